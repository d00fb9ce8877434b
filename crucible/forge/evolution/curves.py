"""The generation curves: how the finalists fit training, how they hold in validation, and when to stop.

A fit of training that goes on rising while validation falls is overfitting by the length of the search. Validation
breeds nobody: its curve is drawn, and ends the search where a setting says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

TRAIN, VALIDATION = "finalists_train_sharpe", "finalists_validation_sharpe"
"""Columns of the table: median Sharpe ratio of the finalists, annual, or of a trade where days are few."""


def overfits(table: Sequence[Mapping[str, Any]], patience: int) -> bool:
    """Whether validation has not been better for so many generations while training went on rising.

    Parameters
    ----------
    table : sequence of mapping
        One row for each generation, with `TRAIN` and `VALIDATION`.
    patience : int
        Generations; 0 never ends a search.
    """
    known = [row for row in table if row.get(VALIDATION) is not None and row.get(TRAIN) is not None]
    if not patience or len(known) <= patience:
        return False
    best = max(range(len(known)), key=lambda number: float(known[number][VALIDATION]))
    if len(known) - 1 - best < patience:
        return False
    return float(known[-1][TRAIN]) > float(known[best][TRAIN])


def ending(table: Sequence[Mapping[str, Any]], patience: int) -> str:
    """Say why a search ended before its last generation; empty where it did not."""
    if not overfits(table, patience):
        return ""
    return (
        f"ended after generation {table[-1]['generation']}: validation has not been better for {patience} "
        "generations while training went on rising (forge.patience)"
    )
