"""Which further condition would have kept a strategy's good trades and left the others out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
    fewest = max(3, fewest)
    best: Condition | None = None
    most = -np.inf
    compared: list[tuple[Integers, Floats]] = []
    for column in range(values.shape[1]):
        held = values[:, column]
        known = np.isfinite(held)
        if known.sum() < fewest:
            continue
        for threshold in np.quantile(held[known], LEVELS):
            for above in (True, False):
                left = known & ((held > threshold) if above else (held < threshold))
                kept = returns[left]
                if len(kept) < fewest:
                    continue
                if days is not None:
                    compared.append((days[left], kept))
                spread = float(np.std(kept, ddof=1))
                t_statistic = (
                    float(np.mean(kept)) / spread * len(kept) ** 0.5 if spread > 0 else 0.0
                )
                if t_statistic > most:
                    most = t_statistic
                    best = Condition(column, above, float(threshold), t_statistic)
    if null_maximum is not None:
        null_maximum.observe_groups(compared)
    return best
