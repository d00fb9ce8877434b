"""What came of a forge run, for the eye and as JSON: what it earned, which gates failed, and where its files are."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from crucible.forge.reporting.explain import WINDOWS
from crucible.forge.reporting.folder import REPORT
from crucible.forge.result import ForgeResult, WindowReport, finite, verdict
from crucible.operations.sheet import Column, Sheet, open_console
from crucible.text import moment


def outcome_json(result: ForgeResult, out: Path) -> dict[str, Any]:
    """Give the outcome as JSON values."""
    file = _file(result, out)
    return {
        "slot": result.slot.name,
        "outcome": file.stem,
        "file": str(file),
        "report": str(out / REPORT),
        "verdict": verdict(result),
        "proven": result.proven,
        "failed_gates": [_gate(result, name) for name in result.failed_gates],
        "windows": [
            {**window.to_json(), "hold_return": held(result, window)} for window in result.windows
        ],
        "trials": result.trials,
        "effective_trials": result.effective_trials,
        "candles": result.span.to_json(),
        "generations": int(result.generations[-1]["generation"]),
        "feature_schema": result.feature_schema,
    }


def print_outcome(result: ForgeResult, out: Path) -> None:
    """Print the outcome: the verdict, each window beside holding, the failed gates, the effort, and where the report is."""
    console = open_console()
    file = _file(result, out)
    print(f"{file}: {verdict(result)}")
    if any(window.summary for window in result.windows):
        sheet = Sheet(
            "What it earned, net of costs",
            *(Column(name, "name") for name in ("window", "from", "to")),
            *(
                Column(name, "figure")
                for name in ("return", "holding", "Sharpe", "drawdown", "trades", "won")
            ),
        )
        for window in result.windows:
            sheet.add(*_cells(result, window))
        console.print(sheet)
    if result.failed_gates:
        gates = Sheet(
            "Gates that failed",
            Column("gate", "name"),
            Column("value", "figure"),
            Column("needed", "figure"),
            Column("what it is", "text"),
        )
        for name in result.failed_gates:
            gate = _gate(result, name)
            value = "not measured" if gate["value"] is None else f"{gate['value']:.4g}"
            side = "at least" if gate["better"] == "higher" else "at most"
            gates.add(name, value, f"{side} {gate['threshold']:.4g}", gate["meaning"])
        console.print(gates)
    elif result.refusal is not None:
        refusal = result.refusal
        print(f"gate {refusal.gate}: {refusal.value:g}, needed {refusal.threshold:g}")
    print(
        f"{result.trials:,} trials in {int(result.generations[-1]['generation'])} generations, as "
        f"{result.effective_trials:,.0f} independent ones"
    )
    print(f"used {result.span.describe()}")
    if result.ended:
        print(result.ended)
    print(f"report: {out / REPORT}")


def held(result: ForgeResult, window: WindowReport) -> float | None:
    """Give what buying and holding returned over a window, before costs; None where there is no curve."""
    curve = result.curve
    if curve is None:
        return None
    first, last = np.searchsorted(curve.ts, [window.first_ts, window.last_ts], side="right")
    if last <= first:
        return None
    before = float(curve.hold[first - 1]) if first else 1.0
    return float(curve.hold[last - 1]) / before - 1.0


def _file(result: ForgeResult, out: Path) -> Path:
    return out / ("champion.json" if result.champion is not None else "refusal.json")


def _gate(result: ForgeResult, name: str) -> dict[str, Any]:
    gate = next(gate for gate in result.gates if gate.name == name)
    return {
        "gate": name,
        "value": finite(gate.value),
        "threshold": gate.threshold,
        "better": gate.better,
        "meaning": gate.meaning,
    }


def _cells(result: ForgeResult, window: WindowReport) -> list[str]:
    summary = window.summary
    return [
        WINDOWS.get(window.name, window.name),
        moment(window.first_ts),
        moment(window.last_ts),
        _plain(summary.get("net_return"), "+.2%"),
        _plain(held(result, window), "+.2%"),
        _plain(summary.get("sharpe_annual"), ".2f"),
        _plain(summary.get("max_drawdown"), ".2%"),
        _plain(summary.get("trades"), ".0f"),
        _plain(summary.get("win_rate"), ".0%"),
    ]


def _plain(value: float | None, form: str) -> str:
    return "-" if value is None or not math.isfinite(value) else format(value, form)
