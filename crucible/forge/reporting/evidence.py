"""Everything a person wants to see of a forge run, as files: words, pictures and tables."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from crucible.files import write_text
from crucible.forge.reporting.description import strategy_in_words
from crucible.forge.reporting.folder import PICTURE, write_folder
from crucible.forge.reporting.tree import COLOURS, document, program_tree
from crucible.forge.result import (
    Curve,
    ForgeResult,
    Gate,
    Importance,
    WindowReport,
    finite,
    verdict,
)
from crucible.strategies.boosted import BoostedStrategy
from crucible.strategies.gp import GpStrategy

WORDS = "strategy.txt"
TREE = "strategy.svg"
BARS = "importance.svg"
STRATEGY = "strategy.json"
MODEL = "model.txt"
BAR_ROW, BAR_LEFT, BAR_WIDE = 24, 260, 420


def write_evidence(result: ForgeResult, folder: Path) -> None:
    """Write what `write_folder` writes, and the same as pictures, tables and words.

    ``strategy.json`` is there only for whom the policy lets in. The same result gives the same bytes.
    """
    write_folder(result, folder, picture=True)
    _table(folder / "gates.csv", map(_gate_row, result.gates))
    _table(folder / "windows.csv", [_window_row(result, window) for window in result.windows])
    _table(
        folder / "folds.csv", [_fold_row(number, row) for number, row in enumerate(result.folds)]
    )
    _table(folder / "importance.csv", [each.to_json() for each in result.importance])
    candidate = result.candidate
    if candidate is None:
        return
    write_text(folder / WORDS, strategy_in_words(candidate))
    write_text(folder / BARS, importance_bars(result.importance))
    if isinstance(candidate, GpStrategy):
        write_text(folder / TREE, program_tree(candidate.program))
    if isinstance(candidate, BoostedStrategy):
        write_text(folder / MODEL, candidate.model)
    if result.offered is not None:
        text = json.dumps(result.offered.to_json(), sort_keys=True, indent=1)
        write_text(folder / STRATEGY, text)


def headline(result: ForgeResult) -> dict[str, float]:
    """Give the few figures by which forge runs are compared; a missing one is left out."""
    figures: dict[str, float | None] = {
        "effective_trials": result.effective_trials,
        "effective_trials_own": result.effective_own,
        "candles_used": float(result.span.used),
        "candles_left_out": float(result.span.left_out),
        "gates_failed": float(len(result.failed_gates)),
        "deflated_sharpe": next(
            (finite(gate.value) for gate in result.gates if gate.name == "deflated_sharpe"), None
        ),
    }
    sealed = result.window("sealed")
    for name in ("net_return", "max_drawdown", "trades"):
        figures[f"sealed_{name}"] = sealed.summary.get(name)
    figures["sealed_hold_return"] = hold_return(result.curve, sealed)
    return {name: float(value) for name, value in figures.items() if value is not None}


def hold_return(curve: Curve | None, window: WindowReport) -> float | None:
    """Return of buying at a window's start and holding to its end, without costs."""
    if curve is None:
        return None
    inside = np.flatnonzero((curve.ts > window.first_ts) & (curve.ts <= window.last_ts))
    if len(inside) == 0:
        return None
    start = max(0, int(inside[0]) - 1)
    return float(curve.hold[inside[-1]] / curve.hold[start] - 1)


def note(result: ForgeResult, file: str, page: str) -> str:
    """Sum a forge run up in Markdown, for its page in MLflow.

    Parameters
    ----------
    result : ForgeResult
    file : str
        Address of a file of the run; ``{}`` stands for its name.
    page : str
        Address of the flow run; empty if there is none.
    """
    sealed = result.window("sealed")
    lines = [
        f"**{result.slot.name}: {verdict(result)}**",
        "",
        (
            f"Seed {result.seed}, {result.trials:,} trials for the slot (as {result.effective_trials:,.0f} independent "
            f"ones), policy {result.policy}, code {result.code_revision}, data {result.data_hash[:12]}; "
            f"funding {result.funding}. Used {result.span.describe()}."
        ),
        *([result.ended.capitalize() + "."] if result.ended else []),
        "",
    ]
    if result.candidate is not None:
        lines += [
            f"![Equity beside buy-and-hold]({file.format(PICTURE)})",
            "",
            "| hold-out window | strategy | buy and hold |",
            "|---|---|---|",
            (
                f"| net return | {_share(sealed.summary.get('net_return'))} | "
                f"{_share(hold_return(result.curve, sealed))} |"
            ),
            f"| largest fall | {_share(sealed.summary.get('max_drawdown'))} | |",
            f"| trades | {sealed.summary.get('trades')} | |",
            "",
        ]
    if result.gates:
        lines += ["| gate | value | wanted | verdict |", "|---|---|---|---|"]
        for gate in result.gates:
            row = _gate_row(gate)
            reported = row["verdict"] if gate.passed else f"**{row['verdict']}**"
            lines.append(f"| {gate.name} | {row['value']} | {row['wanted']} | {reported} |")
        lines.append("")
    if result.candidate is not None:
        lines += [
            "What it does:",
            "",
            "```",
            strategy_in_words(result.candidate).strip(),
            "```",
            "",
        ]
    links = [f"[report]({file.format('report.html')})", f"[picture]({file.format(PICTURE)})"]
    if isinstance(result.candidate, GpStrategy):
        links.append(f"[tree]({file.format(TREE)})")
    if page:
        links.append(f"[flow run]({page})")
    return "\n".join([*lines, " | ".join(links)])


def importance_bars(importance: Sequence[Importance]) -> str:
    """Draw how many signals change when a feature is shuffled, as an SVG document."""
    most = max((each.signals_changed for each in importance), default=0.0) or 1.0
    parts = [
        (
            f'<text x="14" y="20" fill="{COLOURS["constant"][1]}">signals that change when a feature '
            "is shuffled, validation window</text>"
        )
    ]
    for row, each in enumerate(importance):
        y = 46 + row * BAR_ROW
        wide = BAR_WIDE * each.signals_changed / most
        parts.append(
            f'<text x="{BAR_LEFT - 10}" y="{y}" text-anchor="end">{escape(each.feature)}</text>'
            f'<rect x="{BAR_LEFT}" y="{y - 8}" width="{wide:.1f}" height="16" rx="3" '
            f'fill="#0b6e4f"/><text x="{BAR_LEFT + wide + 8:.1f}" y="{y}">'
            f"{each.signals_changed:.2%}</text>"
        )
    return document(
        BAR_LEFT + BAR_WIDE + 90, 56 + max(1, len(importance)) * BAR_ROW, "".join(parts)
    )


def _gate_row(gate: Gate) -> dict[str, str]:
    side = "at least" if gate.better == "higher" else "at most"
    return {
        "gate": gate.name,
        "verdict": "passed" if gate.passed else "failed",
        "value": "not measured" if finite(gate.value) is None else f"{gate.value:.4g}",
        "wanted": f"{side} {gate.threshold:g}",
        "kind": gate.kind,
        "meaning": gate.meaning,
    }


def _window_row(result: ForgeResult, window: WindowReport) -> dict[str, Any]:
    row = {name: value for name, value in window.to_json().items() if name != "summary"}
    return {**row, **window.summary, "hold_return": hold_return(result.curve, window)}


def _fold_row(number: int, fold: Mapping[str, Any]) -> dict[str, Any]:
    """Give a fold's row, the numbers of the held-out groups as one cell."""
    cells = {
        name: " and ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
        for name, value in fold.items()
    }
    return {"fold": number, **cells}


def _table(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as CSV, which MLflow's page shows as a table; nothing where there are none."""
    held = list(rows)
    if not held:
        return
    columns = list(dict.fromkeys(name for row in held for name in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(held)
    write_text(path, text.getvalue())


def _share(value: float | None) -> str:
    return "not known" if value is None else f"{value:+.2%}"
