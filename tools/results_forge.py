"""Forge on real candles and write down what came of it: docs/results/forge.md and its picture.

`make results ARGS="--candles DIR"` forges on every span under DIR (a folder of SYMBOL-1m.parquet, or a
folder of such folders) with the product's own settings, exactly as
`crucible forge` does, and tells what the strict policy makes of it. Every figure of the page about a strategy is read from the champion.json or
refusal.json of its forge run, kept under --out. The same arguments, candles and code give the same page.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from crucible.forge.backtest.engine import DAY_MS, ForgeError, daily_returns
from crucible.forge.backtest.statistics import max_drawdown, sharpe
from crucible.forge.command import forge_to_folder
from crucible.forge.reporting.description import exits_in_words, rules
from crucible.forge.reporting.evidence import hold_return
from crucible.forge.reporting.folder import CHAMPION, REFUSAL
from crucible.forge.result import Curve, ForgeResult, WindowReport, finite, verdict
from crucible.market.candles import CandleError, folder_hash, read_folder
from crucible.settings import FeatureSettings, ForgeSettings, Settings, SettingsError
from tools.results_forge_page import PICTURE, page, picture

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = "forge.md"
ROWS = "rows.json"
ENDING = "-1m.parquet"
POINTS = 120
YEAR_DAYS = 365


@dataclass(frozen=True, slots=True)
class Job:
    """One forge run: its slot, the folder of its span, and where its files go."""

    slot: str
    span: Path
    seed: int
    population: int
    generations: int
    out: Path


def main(arguments: list[str] | None = None) -> None:
    """Forge, or read the rows of an earlier run, and write the page."""
    parser = argparse.ArgumentParser(prog="make results", description=__doc__)
    defaults = ForgeSettings()
    parser.add_argument("--candles", type=Path, action="append", default=[], metavar="DIR")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--population", type=int, default=defaults.population)
    parser.add_argument("--generations", type=int, default=defaults.generations)
    parser.add_argument("--gp", type=int, default=1, help="genetic programs for each span")
    parser.add_argument("--boosted", type=int, default=1, help="classifiers for each span")
    parser.add_argument(
        "--least-days",
        type=float,
        default=0,
        help="leave out spans that are shorter than so many days",
    )
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "data" / "results" / "forge")
    parser.add_argument("--docs", type=Path, default=REPOSITORY / "docs" / "results")
    parser.add_argument(
        "--page-only", action="store_true", help="write the page of the run that is kept in --out"
    )
    options = parser.parse_args(arguments)
    kept = options.out / ROWS
    try:
        if options.page_only:
            reported = json.loads(kept.read_text(encoding="utf-8"))
        else:
            reported = everything(options)
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(reported, indent=1, sort_keys=True), encoding="utf-8")
        reported["rows"] = [
            {**row, **judged(options.out / row["span"] / row["slot"])} for row in reported["rows"]
        ]
    except (ForgeError, CandleError, SettingsError, OSError) as error:
        sys.exit(f"make results: {error}")
    options.docs.mkdir(parents=True, exist_ok=True)
    (options.docs / PAGE).write_text(page(reported), encoding="utf-8")
    (options.docs / PICTURE).write_text(picture(reported), encoding="utf-8")
    print(f"{options.docs / PAGE}: {len(reported['rows'])} forge runs")


def everything(options: argparse.Namespace) -> dict[str, Any]:
    """Forge every slot of the plan and gather what the page tells, JSON-able."""
    spans = [span for span in find_spans(options.candles) if days_of(span) >= options.least_days]
    if not spans:
        message = f"no span has {options.least_days:g} days of candles; lower --least-days"
        raise ForgeError(message)
    jobs = plan(spans, options)
    if options.processes > 1:
        # A fresh interpreter each: compiled code with threads does not survive a fork.
        with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
            rows = list(pool.map(forge, jobs))
    else:
        rows = [forge(job) for job in jobs]
    settings = forge_settings(options.population, options.generations)
    return {
        "command": (
            f"--candles DIR --seed {options.seed} --population {options.population} "
            f"--generations {options.generations} --gp {options.gp} --boosted {options.boosted}"
            + (f" --least-days {options.least_days:g}" if options.least_days else "")
        ),
        "seed": options.seed,
        "settings": settings.model_dump(mode="json"),
        "spans": [describe(span) for span in spans],
        "rows": rows,
    }


def find_spans(folders: list[Path]) -> list[Path]:
    """Return the folders that hold one-minute candles, by name: the given ones or those in them.

    Raises
    ------
    ForgeError
        If there is none, or two have the same name.
    """
    spans: dict[str, Path] = {}
    for folder in folders:
        inner = sorted(path for path in folder.glob("*") if path.is_dir())
        for each in (folder, *inner):
            if not any(each.glob(f"*{ENDING}")):
                continue
            name = each.resolve().name
            if name in spans:
                message = f"two spans are named {name}; rename one: a page tells them by name"
                raise ForgeError(message)
            spans[name] = each.resolve()
    if not spans:
        message = (
            f"no folder with SYMBOL{ENDING} under {', '.join(map(str, folders)) or '--candles'}"
        )
        raise ForgeError(message)
    return [spans[name] for name in sorted(spans)]


def plan(spans: list[Path], options: argparse.Namespace) -> list[Job]:
    """Deal symbols out in turn: each span goes on in its alphabet where the one before stopped."""
    jobs = []
    turn = 0
    for span in spans:
        symbols = sorted(path.name.removesuffix(ENDING) for path in span.glob(f"*{ENDING}"))
        for kind, wanted in (("gp", options.gp), ("boosted", options.boosted)):
            for _ in range(min(wanted, len(symbols))):
                slot = f"{symbols[turn % len(symbols)]}-{kind}-1"
                out = options.out / span.name / slot
                jobs.append(
                    Job(slot, span, options.seed, options.population, options.generations, out)
                )
                turn += 1
    return jobs


def forge(job: Job) -> dict[str, Any]:
    """Forge one slot as the command does, and tell what came of it."""
    settings = Settings(
        home=job.out,
        features=FeatureSettings(),
        forge=forge_settings(job.population, job.generations),
    )
    result = forge_to_folder(job.slot, job.span, job.seed, job.out, settings)
    print(f"{job.span.name} {job.slot}: {verdict(result)}", file=sys.stderr, flush=True)
    return beside(job, result)


def forge_settings(population: int, generations: int) -> ForgeSettings:
    """Give the product's own settings, under the policy that measures every gate of everybody."""
    return ForgeSettings(population=population, generations=generations, policy="explore")


def beside(job: Job, result: ForgeResult) -> dict[str, Any]:
    """Tell what a forge run's file does not: words, buy-and-hold and the sealed curve, JSON-able."""
    words: dict[str, Any] = {}
    if result.candidate is not None:
        words = {**rules(result.candidate), "exits": exits_in_words(result.candidate.exits)}
    return {
        "span": job.span.name,
        "slot": job.slot,
        "words": words,
        "hold": {window.name: hold_figures(result.curve, window) for window in result.windows},
        "curve": sealed_curve(result.curve, result.window("sealed")),
    }


def judged(folder: Path) -> dict[str, Any]:
    """Read the one of champion.json and refusal.json that a forge run wrote: its lineage, and who refuses.

    What the strict policy says: the first gate that failed.
    """
    champion = (folder / CHAMPION).exists()
    document = json.loads((folder / (CHAMPION if champion else REFUSAL)).read_text("utf-8"))
    lineage = document["lineage"]
    described = lineage.pop("span")["description"]
    failed = [gate["name"] for gate in lineage["gates"] if not gate["passed"]]
    return {**lineage, "span_described": described, "refused_by": failed[0] if failed else None}


def hold_figures(curve: Curve | None, window: WindowReport) -> dict[str, float | None]:
    """Return, Sharpe ratio and drawdown of holding through a window without costs; None if unknown."""
    earned = hold_return(curve, window)
    if curve is None or earned is None:
        return {"net_return": None, "sharpe_annual": None, "max_drawdown": None}
    start, inside = rows_of(curve, window)
    held = curve.hold[inside] / curve.hold[start]
    day = (curve.ts[inside] - 1) // DAY_MS
    last = np.append(np.flatnonzero(np.diff(day)), len(day) - 1)
    ratio = sharpe(daily_returns(held[last])) * YEAR_DAYS**0.5
    return {
        "net_return": earned,
        "sharpe_annual": finite(ratio),
        "max_drawdown": max_drawdown(held),
    }


def sealed_curve(curve: Curve | None, window: WindowReport) -> dict[str, list[float]]:
    """Thin the equity inside a window, both lines from 1 at its start; empty without a candidate."""
    if curve is None:
        return {}
    start, inside = rows_of(curve, window)
    chosen = np.unique(np.linspace(0, len(inside) - 1, POINTS).astype(int))
    return {
        "equity": (curve.equity[inside] / curve.equity[start])[chosen].round(5).tolist(),
        "hold": (curve.hold[inside] / curve.hold[start])[chosen].round(5).tolist(),
    }


def rows_of(curve: Curve, window: WindowReport) -> tuple[int, np.ndarray]:
    """Give the last row before a window, and the rows inside."""
    inside = np.flatnonzero((curve.ts > window.first_ts) & (curve.ts <= window.last_ts))
    return max(0, int(inside[0]) - 1), inside


def days_of(span: Path) -> float:
    """Days from the first candle of a span's folder to its last."""
    described = describe(span)
    return float(described["last_ts"] - described["first_ts"]) / DAY_MS


def describe(span: Path) -> dict[str, Any]:
    """Tell what a span's folder holds: symbols, first and last candle, hash."""
    candles = read_folder(span)
    return {
        "name": span.name,
        "symbols": list(candles),
        "first_ts": min(int(held.ts[0]) for held in candles.values()),
        "last_ts": max(int(held.close_ts[-1]) for held in candles.values()),
        "hash": folder_hash(candles),
    }


if __name__ == "__main__":
    main()
