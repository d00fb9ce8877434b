"""Event study of single features: after which of their crossings the price rose.

An event is a close at which a feature comes to lie above, or below, one of its own quantiles. For
each event the returns of the following minutes are compared with the usual ones, so that a search
begins where something happened, not anywhere. Every event and every condition compared is a look, and
counts as a trial.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numba import njit

from crucible.forge.genetic.conditions import Condition, best_condition, trial_count
from crucible.market.candles import Floats, Integers

HORIZONS = (15, 60, 240)
"""Candles after an event over which its return is measured."""
FEWEST_EVENTS = 30


@dataclass(frozen=True, slots=True)
class Event:
    """A feature that comes to lie beyond one of its quantiles.

    Attributes
    ----------
    column : int
        Of the values that were given.
    above : bool
        Whether it comes from below.
    threshold : float
    horizon : int
        Candles after which its return is measured.
    strength : float
        Mean return beyond the usual one, in standard errors; events closer together than the
        horizon count once.
    """

    column: int
    above: bool
    threshold: float
    horizon: int
    t_statistic: float


@dataclass(frozen=True, slots=True)
class Finding:
    """An event, and the condition at the event that kept its good returns.

    Attributes
    ----------
    event : Event
    condition : Condition or None
        None where no condition leaves enough events.
    """

    event: Event
    condition: Condition | None


def study(
    values: Floats, thresholds: Floats, opens: Floats, charge: float, most: int, fewest: int
) -> tuple[list[Finding], int]:
    """Find the events after which prices rose most beyond the usual, each with its best condition.

    Parameters
    ----------
    values : ndarray of float64, shape (n, columns)
        Features at each close; NaN is neither above nor below.
    thresholds : ndarray of float64, shape (columns, levels)
    opens : ndarray of float64, shape (n,)
        Opening prices of the same candles.
    charge : float
        Costs of a trade, there and back, as a fraction.
    most : int
        How many findings at most, no two of the same feature.
    fewest : int
        Events that a condition must leave.

    Returns
    -------
    findings : list of Finding
        Strongest event first.
    looks : int
        Events and conditions that were compared.
    """
    returns = np.stack([returns_after(opens, horizon) for horizon in HORIZONS])
    events, looked = _events(values, thresholds, returns)
    findings = []
    for event in events[:most]:
        findings.append(_narrowed(event, values, returns - charge, fewest))
        looked += trial_count(values.shape[1]) * len(HORIZONS)
    return findings, looked


def returns_after(opens: Floats, horizon: int) -> Floats:
    """Return of buying at the next open and selling so many candles later; NaN where it is not over."""
    result = np.full(len(opens), np.nan)
    if len(opens) > horizon + 1:
        result[: -horizon - 1] = opens[horizon + 1 :] / opens[1:-horizon] - 1
    return result


def rows_of(event: Event, column: Floats, end: int) -> Integers:
    """Rows before an end at which an event took place, those too close to an earlier one left out."""
    found: Integers = _crossings(
        column, event.threshold, 1.0 if event.above else -1.0, event.horizon, end
    )
    return found


def _narrowed(event: Event, values: Floats, earned: Floats, fewest: int) -> Finding:
    """Return an event with the best condition over all horizons, and the horizon where it is best."""
    best = Finding(event, None)
    for place, horizon in enumerate(HORIZONS):
        there = replace(event, horizon=horizon)
        rows = rows_of(there, values[:, event.column], len(values) - horizon - 1)
        condition = best_condition(values[rows], earned[place, rows], fewest)
        if condition is None:
            continue
        if best.condition is None or condition.t_statistic > best.condition.t_statistic:
            best = Finding(there, condition)
    return best


def _events(values: Floats, thresholds: Floats, returns: Floats) -> tuple[list[Event], int]:
    """Return the strongest event of each feature, strongest first, and the looks."""
    usual = np.nanmean(returns, axis=1) if returns.shape[1] > HORIZONS[-1] + 1 else None
    if usual is None:
        return [], 0
    found: list[Event] = []
    looked = 0
    for column in range(values.shape[1]):
        held = np.ascontiguousarray(values[:, column])
        best: Event | None = None
        sides = product((True, False), np.unique(thresholds[column]), enumerate(HORIZONS))
        for above, threshold, (place, horizon) in sides:
            looked += 1
            event = Event(column, above, float(threshold), horizon, math.nan)
            rows = rows_of(event, held, returns.shape[1] - horizon - 1)
            t_statistic = _t_statistic(returns[place, rows] - usual[place])
            if t_statistic > (0.0 if best is None else best.t_statistic):
                best = replace(event, t_statistic=t_statistic)
        if best is not None:
            found.append(best)
    return sorted(found, key=lambda event: -event.t_statistic), looked


def _t_statistic(returns: Floats) -> float:
    """Mean in standard errors; NaN where there are too few to tell."""
    if len(returns) < FEWEST_EVENTS:
        return math.nan
    spread = float(np.std(returns, ddof=1))
    return float(np.mean(returns)) / spread * len(returns) ** 0.5 if spread > 0 else math.nan


@njit(nogil=True, cache=True)  # type: ignore[misc,unused-ignore]
def _crossings(column: Floats, threshold: float, side: float, gap: int, end: int) -> Integers:
    rows = np.empty(max(0, end), np.int64)
    count = 0
    last = -gap
    for row in range(1, end):
        before = side * (column[row - 1] - threshold)
        now = side * (column[row] - threshold)
        if before <= 0 < now and row - last >= gap:
            rows[count] = row
            count += 1
            last = row
    return rows[:count].copy()
