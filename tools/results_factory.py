"""Walk the factory forward on real candles and on markets that switch: docs/results/factory.md and its pictures.

`make results-factory ARGS="--candles DIR"` walks every span under DIR (a folder of SYMBOL-1m.parquet, or a folder of such
folders) that is long enough, exactly as `crucible walk-forward` does, and then markets whose rule ends at a known instant
and another begins. Every figure of the page is read from a summary.json, kept under --out. The same arguments, candles and code give the same page.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crucible.errors import CrucibleError
from crucible.forge.reporting.charts import Line, chart
from crucible.market.candles import write_candles
from crucible.settings import ForgeSettings, Settings
from crucible.testing.planted import switching
from crucible.text import moment
from crucible.walk_forward.command import Asked, walk_forward
from crucible.walk_forward.report import number, percent
from tools.results_forge import days_of, find_spans

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = "factory.md"
DAY = 1_440
STYLE = (
    "<style>svg{background:#fff}text{font:11px sans-serif;fill:#667}polyline{fill:none;stroke-width:1.4}"
    ".grid{stroke:#d9dde2;stroke-width:.6}</style>"
)
RULES = ("reversion", "flow", "breakout")
EDGES = {"reversion": 0.006, "flow": 0.007, "breakout": 0.012}


def main(arguments: list[str] | None = None) -> None:
    """Walk, or read what an earlier run has left, and write the page."""
    parser = argparse.ArgumentParser(prog="make results-factory", description=__doc__)
    parser.add_argument("--candles", type=Path, action="append", default=[], metavar="DIR")
    parser.add_argument("--least-days", type=float, default=80.0, help="of a span")
    parser.add_argument("--kinds", default="gp", help="gp, boosted, or gp,boosted: a slot each")
    parser.add_argument("--most-symbols", type=int, default=5, help="of a span, by the alphabet")
    parser.add_argument("--refit", default="14d")
    parser.add_argument("--policy", choices=("explore", "strict"), default="explore")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--markets", type=int, default=10, help="markets that switch")
    parser.add_argument("--market-days", type=int, default=160)
    parser.add_argument("--population", type=int, default=ForgeSettings().population)
    parser.add_argument("--generations", type=int, default=ForgeSettings().generations)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "data" / "results" / "factory")
    parser.add_argument("--docs", type=Path, default=REPOSITORY / "docs" / "results")
    options = parser.parse_args(arguments)
    try:
        spans = [] if not options.candles else find_spans(options.candles)
        walked = [
            walk(options, span, slots_of(options, span), options.out / span.name)
            for span in spans
            if days_of(span) >= options.least_days
        ]
        switched = [switch(options, seed) for seed in range(1, options.markets + 1)]
    except (CrucibleError, OSError) as error:
        sys.exit(f"make results-factory: {error}")
    options.docs.mkdir(parents=True, exist_ok=True)
    for summary in walked:
        drawn = picture(options.out / summary["name"], summary)
        (options.docs / f"factory-{summary['name']}.svg").write_text(drawn, encoding="utf-8")
    (options.docs / PAGE).write_text(page(options, walked, switched), encoding="utf-8")
    print(f"{options.docs / PAGE}: {len(walked)} spans, {len(switched)} markets that switch")


def slots_of(options: argparse.Namespace, span: Path) -> tuple[str, ...]:
    """Give a slot of every kind for the first symbols of a span."""
    symbols = sorted(path.name.removesuffix("-1m.parquet") for path in span.glob("*-1m.parquet"))
    kinds = options.kinds.split(",")
    return tuple(
        f"{symbol}-{kind}-1" for symbol in symbols[: options.most_symbols] for kind in kinds
    )


def walk(
    options: argparse.Namespace,
    candles: Path,
    slots: tuple[str, ...],
    out: Path,
    forge: ForgeSettings | None = None,
) -> dict[str, Any]:
    """Walk one folder of candles as the command does; its summary, with the folder's name."""
    settings = Settings(home=options.out, forge=forge or ForgeSettings())
    asked = Asked(
        candles,
        out,
        slots,
        options.refit,
        seed=options.seed,
        policy=options.policy,
        generations=options.generations,
        population=options.population,
    )
    summary = walk_forward(asked, settings)
    print(f"{out.name}: {summary['registered']} versions of {summary['forge_runs']} forge runs", file=sys.stderr)  # fmt: skip
    return {**summary, "name": out.name}


def switch(options: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Write the candles of a market that switches, and walk it with forge runs that see 35 days."""
    draw = np.random.default_rng([seed, 23])
    rules = draw.permutation(RULES)[:2].tolist()
    half = options.market_days // 2
    days = (half + int(draw.integers(-10, 11)), half)
    folder = options.out / "markets" / str(seed)
    folder.mkdir(parents=True, exist_ok=True)
    market = switching(
        [(rule, length * DAY, EDGES[rule]) for rule, length in zip(rules, days, strict=True)], seed
    )
    symbol, own = next(iter(market.candles.items()))
    write_candles(own, folder / f"{symbol}-1m.parquet")
    summary = walk(
        options, folder, (f"{symbol}-gp-1",), folder / "walked", ForgeSettings(max_candles=35 * DAY)
    )
    equity = pd.read_parquet(folder / "walked" / "equity.parquet")
    at = int(own.ts[0]) + days[0] * DAY * 60_000
    before = equity[equity["ts"] <= at].iloc[-1]
    after = {name: float(equity[name].iloc[-1] - before[name]) for name in equity if name != "ts"}
    return {**summary, "seed": seed, "rules": rules, "after": after}


def page(
    options: argparse.Namespace, walked: list[dict[str, Any]], switched: list[dict[str, Any]]
) -> str:
    """Return the page, in Markdown."""
    parts = [
        "# What the factory would have earned",
        (
            "Written by `make results-factory`; every figure is that of a `summary.json` of `crucible walk-forward`, and what it "
            "says is [told there](../reference/walk-forward.md). After ± stands one standard error. Returns are shares of all slots' "
            "capital, not compounded; agents put at most a tenth of it into a position, the holder all."
        ),
    ]
    for summary in walked:
        parts += span_part(summary)
    if switched:
        parts += switching_part(switched)
    parts += [
        "## How it was made",
        (
            '```sh\nmake results-factory ARGS="--candles DIR '
            f"--least-days {options.least_days:g} --kinds {options.kinds} --most-symbols {options.most_symbols} "
            f"--refit {options.refit} --policy {options.policy} --seed {options.seed} --markets {options.markets} "
            f'--population {options.population} --generations {options.generations}"\n```'
        ),
    ]
    return "\n\n".join(parts) + "\n"


def span_part(summary: dict[str, Any]) -> list[str]:
    """Tell one span: its table and its picture."""
    name = summary["name"]
    return [
        f"## {name}",
        (
            f"{', '.join(summary['slots'])}; {moment(summary['from_ts'])} to {moment(summary['to_ts'])} UTC; policy "
            f"{summary['policy']}. {summary['forge_runs']} forge runs gave {summary['registered']} versions, "
            f"{summary['proven']} proven at birth."
        ),
        "\n".join(
            [
                "| rule | net return | Sharpe, annual | drawdown | the factory is ahead by | trades | culled | promoted | seated |",
                "|---|---|---|---|---|---|---|---|---|",
                *(row_of(row, place) for place, row in enumerate(summary["rows"])),
            ]
        ),
        f"![Profit of every rule](factory-{name}.svg)",
    ]


def row_of(row: dict[str, Any], place: int) -> str:
    """Tell one rule of selection."""
    seated = row.get("seated_share")
    cells = [
        row["name"],
        percent(row["net_return"], row["net_return_error"]),
        number(row["sharpe_annual"], row["sharpe_annual_error"]),
        percent(row["max_drawdown"]),
        percent(row["factory_ahead"], row["factory_ahead_error"]) if place else "-",
        *(number(row.get(name)) for name in ("trades", "culled", "promoted")),
        "-" if seated is None else f"{seated:.0%}",
    ]
    return f"| {' | '.join(cells)} |"


def switching_part(switched: list[dict[str, Any]]) -> list[str]:
    """Tell what each rule earned after the switch, over all markets."""
    names = list(switched[0]["after"])
    own = np.array([summary["after"][names[0]] for summary in switched])
    rows = ["| rule | profit after the switch | the factory is ahead by | in markets |", "|---|---|---|---|"]  # fmt: skip
    for name in names:
        earned = np.array([summary["after"][name] for summary in switched])
        ahead = own - earned
        count = f"{int((ahead > 0).sum())} of {len(ahead)}"
        cells = (
            (_mean(earned), "-", "-") if name == names[0] else (_mean(earned), _mean(ahead), count)
        )
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return [
        "## Markets that switch",
        (
            f"{len(switched)} simulated markets in which one rule can be learned, ends for good, and another begins; forge runs "
            "see the newest 35 days. Means over the markets with their standard errors."
        ),
        "\n".join(rows),
    ]


def _mean(values: np.ndarray) -> str:
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else None
    return percent(float(np.mean(values)), error)


def picture(folder: Path, summary: dict[str, Any]) -> str:
    """Draw the profit of every rule of a span, as an SVG document."""
    equity = pd.read_parquet(folder / "equity.parquet")
    x = equity["ts"].to_numpy(np.float64)
    lines = [Line(name, x, equity[name].to_numpy()) for name in equity if name != "ts"]
    ends = (moment(summary["from_ts"]), moment(summary["to_ts"]))
    drawn = chart(lines, "{:+.1%}", ends)
    opening = '<svg xmlns="http://www.w3.org/2000/svg" '
    return drawn.replace("<svg ", opening, 1).replace(">", f">{STYLE}", 1) + "\n"


if __name__ == "__main__":
    main()
