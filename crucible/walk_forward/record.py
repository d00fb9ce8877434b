"""A walk-forward as a run of MLflow, in the experiment ``walk-forwards``: figures, daily profit, page and tables."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crucible.forge.backtest.engine import DAY_MS
from crucible.registry.experiments import MetricRow
from crucible.registry.models import Registry
from crucible.walk_forward.figures import Path as Profit
from crucible.walk_forward.plan import OF_BIRTHS
from crucible.walk_forward.report import NAMES, REPORT, SUMMARY

EXPERIMENT = "walk-forwards"
NOTE = """One run for each walk-forward: what the factory would have earned on candles of the past, beside other rules of
selection on the same versions. A step of the charts is a day; `RULE/profit` is a share of capital. The page
*report.html* among the artifacts tells the whole story."""
FILES = (REPORT, SUMMARY, *NAMES.values())


def record(
    registry: Registry, summary: Mapping[str, Any], paths: Sequence[Profit], folder: Path
) -> str:
    """Write a walk-forward to MLflow, once: the same walk-forward continues its own run.

    Parameters
    ----------
    registry : Registry
    summary : mapping
    paths : sequence of Path
    folder : Path
        Where `write_outcome` left its files.

    Returns
    -------
    str
        The run's id.

    Raises
    ------
    MlflowException
        If the server does not answer.
    """
    experiment = registry.other_experiment(EXPERIMENT, NOTE)
    key = hashlib.sha256(json.dumps(summary, sort_keys=True).encode()).hexdigest()[:32]
    slots = ", ".join(summary["slots"])
    run_id = experiment.open_run(
        key, f"walk-forward {slots}", {"slots": slots, "policy": summary["policy"]}
    )
    asked = {name: summary[name] for name in ("slots", "to_ts", "policy", "capital", *OF_BIRTHS)}
    seen = experiment.steps(run_id, _metric(paths[0].name, "profit"))
    experiment.log(run_id, parameters=asked, metrics=[] if seen else _metrics(summary, paths))
    for name in FILES:
        registry.log_file(run_id, folder / name)
    experiment.close_run(run_id, "FINISHED")
    return run_id


def _metrics(summary: Mapping[str, Any], paths: Sequence[Profit]) -> list[MetricRow]:
    """Give every rule's figures, and its profit by days."""
    rows: list[MetricRow] = [
        (_metric(row["name"], name), float(value), 0)
        for row in summary["rows"]
        for name, value in row.items()
        if name != "name" and value is not None
    ]
    for path in paths:
        day = path.ts // DAY_MS
        last = np.flatnonzero(np.diff(day, append=day[-1] + 1))
        rows += [
            (_metric(path.name, "profit"), float(path.profit[place]), step)
            for step, place in enumerate(last.tolist())
        ]
    return rows


def _metric(rule: str, name: str) -> str:
    return f"{rule}/{name}"
