"""Which further condition would have kept a strategy's good trades and left the others out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from crucible.forge.validation.null_maximum import NullMaximum
from crucible.market.candles import Floats, Integers

LEVELS = (0.25, 0.5, 0.75)
"""Quantiles of a feature over the trades at which it is cut."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A feature above or below a threshold.

    Attributes
    ----------
    column : int
        Of the values that were given.
    above : bool
    threshold : float
    t_statistic : float
        Mean return of the trades that it leaves, in standard errors.
    """

    column: int
    above: bool
    threshold: float
    t_statistic: float


def trial_count(columns: int) -> int:
    """How many conditions `best_condition` compares: each counts as a trial."""
    return columns * len(LEVELS) * 2


def best_condition(
    values: Floats,
    returns: Floats,
    fewest: int,
    days: Integers | None = None,
    null_maximum: NullMaximum | None = None,
) -> Condition | None:
    """Return the condition under which the mean return is most standard errors above zero.

    Parameters
    ----------
    values : ndarray of float64, shape (trades, columns)
        Features at the closes that decided the trades. A condition does not hold where its feature
        is NaN.
    returns : ndarray of float64, shape (trades,)
        Net returns.
    fewest : int
        Trades that a condition must leave, at least three.
    days : ndarray of int64, shape (trades,), optional
        Day of the training window of each trade, from 0.
    null_maximum : NullMaximum, optional
        Observes every condition that is compared.

    Returns
    -------
    Condition or None
        None where no condition keeps enough trades.
    """
    day_count = 0 if days is None or null_maximum is None else null_maximum.days
    t_statistics, thresholds, sums = _compared(
        np.ascontiguousarray(values),
        np.ascontiguousarray(returns),
        np.empty(0, np.int64) if days is None else days,
        day_count,
        max(3, fewest),
        np.array(LEVELS),
    )
    if null_maximum is not None:
        null_maximum.observe(sums)
    if not np.isfinite(t_statistics).any():
        return None
    column, level, side = np.unravel_index(int(np.nanargmax(t_statistics)), t_statistics.shape)
    return Condition(
        int(column),
        above=bool(side == 0),
        threshold=float(thresholds[column, level]),
        t_statistic=float(t_statistics[column, level, side]),
    )


@njit(nogil=True, cache=True)  # type: ignore[misc,unused-ignore]
def _compared(
    values: Floats,
    returns: Floats,
    days: Integers,
    day_count: int,
    fewest: int,
    levels: Floats,
) -> tuple[Floats, Floats, Floats]:
    """Compare every condition.

    Returns
    -------
    t_statistics : ndarray of float64, shape (columns, levels, 2)
        Above and below each threshold; NaN where too few trades are left.
    thresholds : ndarray of float64, shape (columns, levels)
    sums : ndarray of float64, shape (comparisons, day_count)
        By day, the returns that each comparison of enough trades leaves.
    """
    trades, columns = values.shape
    t_statistics = np.full((columns, len(levels), 2), np.nan)
    thresholds = np.full((columns, len(levels)), np.nan)
    sums = np.zeros((columns * len(levels) * 2, day_count))
    compared = 0
    for column in range(columns):
        held = values[:, column]
        known = np.sort(held[np.isfinite(held)])
        if len(known) < fewest:
            continue
        for level in range(len(levels)):
            # As numpy's quantile: linear between the two nearest.
            place = levels[level] * (len(known) - 1)
            below = int(np.floor(place))
            part = place - below
            low, high = known[below], known[min(below + 1, len(known) - 1)]
            threshold = low + (high - low) * part
            if part >= 0.5:
                threshold = high - (high - low) * (1.0 - part)
            thresholds[column, level] = threshold
            for side in range(2):
                count, total = 0, 0.0
                for trade in range(trades):
                    beyond = held[trade] > threshold if side == 0 else held[trade] < threshold
                    if beyond and np.isfinite(held[trade]):
                        count += 1
                        total += returns[trade]
                if count < fewest:
                    continue
                mean, squares = total / count, 0.0
                for trade in range(trades):
                    beyond = held[trade] > threshold if side == 0 else held[trade] < threshold
                    if beyond and np.isfinite(held[trade]):
                        squares += (returns[trade] - mean) ** 2
                        if day_count > 0:
                            sums[compared, days[trade]] += returns[trade]
                compared += 1
                spread = np.sqrt(squares / (count - 1))
                t_statistics[column, level, side] = (
                    mean / spread * count**0.5 if spread > 0 else 0.0
                )
    return t_statistics, thresholds, sums[:compared]
