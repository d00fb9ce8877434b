"""Combinatorial purged cross-validation of the choice among finalists.

Lopez de Prado, "Advances in Financial Machine Learning", 2018, chapter 12. The known rows are cut
into groups; every way to hold out two of them is a fold; in each fold the best finalist of the other
groups is traded in the held-out ones. Each group is held out equally often, so its results can be
strung into several whole histories: the paths. Groups are purged from each other by the longest
lookback and the longest trade, and everyone is flat at both ends of a group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from crucible.forge.backtest.statistics import sharpe
from crucible.market.candles import Floats

GROUPS = 6
HELD_OUT = 2
YEAR = 365**0.5


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """What the folds and the paths showed.

    Attributes
    ----------
    folds : tuple of dict
        JSON-able, one for each fold: `held_out` (numbers of the groups), `chosen` (number of the
        finalist), `inside` and `outside` (its annual Sharpe ratio in the other groups and in the
        held-out ones, None where not defined), `net_return` (held out).
    paths : tuple of float
        Annual Sharpe ratio of each path; NaN where not defined.
    """

    folds: tuple[dict[str, Any], ...]
    paths: tuple[float, ...]

    @property
    def worst(self) -> float:
        """Lowest of the paths' Sharpe ratios; NaN if one is not defined."""
        return float(np.min(self.paths)) if self.paths else float("nan")


def groups_of(rows: slice, purge: int, groups: int = GROUPS) -> list[slice]:
    """Cut rows into equal groups that leave at least `purge` rows between each two.

    Returns
    -------
    list of slice
        In time order; empty where a group would be shorter than what is purged.
    """
    length = rows.stop - rows.start
    edges = [rows.start + length * number // groups for number in range(groups + 1)]
    spans = [
        slice(edges[number] + purge * (number > 0), edges[number + 1]) for number in range(groups)
    ]
    return spans if all(span.stop - span.start > purge for span in spans) else []


def folds_of(groups: int = GROUPS, held_out: int = HELD_OUT) -> list[tuple[int, ...]]:
    """Every way to hold out so many groups."""
    return list(combinations(range(groups), held_out))


def paths_of(groups: int = GROUPS, held_out: int = HELD_OUT) -> list[list[int]]:
    """For each path, the fold in which each group is held out; no fold speaks twice of a group."""
    folds = folds_of(groups, held_out)
    holding = [
        [number for number, fold in enumerate(folds) if group in fold] for group in range(groups)
    ]
    return [[holding[group][path] for group in range(groups)] for path in range(len(holding[0]))]


def cross_validate(daily: Sequence[Floats]) -> CrossValidation:
    """Choose in every fold, trade what was held out, and string the paths.

    Parameters
    ----------
    daily : sequence of ndarray of float64, each of shape (finalists, days of the group)
        Daily returns in each group, traded on its own.
    """
    count = len(daily)
    if count <= HELD_OUT or len(daily[0]) == 0:
        return CrossValidation((), ())
    folds: list[dict[str, Any]] = []
    chosen: list[int] = []
    for held_out in folds_of(count):
        inside = np.concatenate([daily[g] for g in range(count) if g not in held_out], axis=1)
        outside = np.concatenate([daily[g] for g in held_out], axis=1)
        ratios = np.array([sharpe(row) for row in inside])
        best = int(np.nanargmax(ratios)) if np.isfinite(ratios).any() else 0
        chosen.append(best)
        folds.append(
            {
                "held_out": list(held_out),
                "chosen": best,
                "inside": _annual(ratios[best]),
                "outside": _annual(sharpe(outside[best])),
                "net_return": float(np.prod(1 + outside[best]) - 1),
            }
        )
    paths = [
        YEAR * sharpe(np.concatenate([daily[g][chosen[fold]] for g, fold in enumerate(path)]))
        for path in paths_of(count)
    ]
    return CrossValidation(tuple(folds), tuple(paths))


def _annual(ratio: float) -> float | None:
    return float(ratio * YEAR) if np.isfinite(ratio) else None
