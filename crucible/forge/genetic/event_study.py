"""Event study of single features: after which of their crossings the price rose.

An event is a close at which a feature comes to lie above, or below, one of its own quantiles. For
each event the returns of the following minutes are compared with the usual ones, so that a search
begins where something happened, not anywhere. Every event and every condition compared is a look, and
counts as a trial.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numba import njit

from crucible.forge.genetic.conditions import Condition, best_condition, trial_count
from crucible.forge.genetic.terms import TERMS, terms_at
from crucible.forge.validation.null_maximum import NullMaximum
from crucible.market.candles import Floats, Integers

HORIZONS = (15, 60, 240, 1_440, 4_320)
"""Candles after an event over which its return is measured, as far as a position may be held."""
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
    t_statistic : float
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
        Its column is one of `terms_at`. None where no condition leaves enough events.
    """

    event: Event
    condition: Condition | None


@dataclass(frozen=True, slots=True)
class Studied:
    """What an event study looks at.

    Attributes
    ----------
    values : ndarray of float64, shape (n, features)
        Features at each close; NaN is neither above nor below.
    columns : sequence of int
        The features that are looked at.
    thresholds : ndarray of float64, shape (len(columns), levels)
    opens : ndarray of float64, shape (n,)
        Opening prices of the same candles.
    days : ndarray of int64, shape (n,)
        Day of each candle, from 0.
    horizons : tuple of int
        Candles after an event over which its return is measured.
    """

    values: Floats
    columns: Sequence[int]
    thresholds: Floats
    opens: Floats
    days: Integers
    horizons: tuple[int, ...]

    def column(self, number: int) -> Floats:
        """Return one feature at every close, shape (n,)."""
        return np.ascontiguousarray(self.values[:, self.columns[number]])


def study(
    studied: Studied, charge: float, most: int, fewest: int, null_maximum: NullMaximum | None = None
) -> tuple[list[Finding], int]:
    """Find the events after which prices rose most beyond the usual, each with its best condition.

    Parameters
    ----------
    studied : Studied
    charge : float
        Costs of a trade, there and back, as a fraction.
    most : int
        How many findings at most, no two of the same feature.
    fewest : int
        Events that a condition must leave.
    null_maximum : NullMaximum, optional
        Observes every event and condition that is compared.

    Returns
    -------
    findings : list of Finding
        Strongest event first.
    looks : int
        Events and conditions that were compared.
    """
    returns = [returns_after(studied.opens, horizon) for horizon in studied.horizons]
    events, looked = _events(studied, returns, null_maximum)
    findings = []
    for event in events[:most]:
        findings.append(_narrowed(event, studied, returns, charge, fewest, null_maximum))
        looked += trial_count(len(TERMS) * len(studied.columns)) * len(studied.horizons)
    return findings, looked


def returns_after(opens: Floats, horizon: int) -> Floats:
    """Return of buying at the next open and selling so many candles later; NaN where it is not over."""
    result = np.full(len(opens), np.nan)
    if len(opens) > horizon + 1:
        result[: -horizon - 1] = opens[horizon + 1 :] / opens[1:-horizon] - 1
    return result


def rows_of(event: Event, column: Floats, end: int) -> Integers:
    """Rows before an end at which an event took place, those too close to an earlier one left out."""
    return _thinned(_crossings_of(event, column), event.horizon, end)


def _crossings_of(event: Event, column: Floats) -> Integers:
    """Every row at which an event took place."""
    found: Integers = _crossings(column, event.threshold, 1.0 if event.above else -1.0)
    return found


def _narrowed(
    event: Event,
    studied: Studied,
    returns: Sequence[Floats],
    charge: float,
    fewest: int,
    null_maximum: NullMaximum | None,
) -> Finding:
    """Return an event with the best condition over all horizons, and the horizon where it is best."""
    best = Finding(event, None)
    column = studied.column(event.column)
    for horizon, earned in zip(studied.horizons, returns, strict=True):
        there = replace(event, horizon=horizon)
        rows = rows_of(there, column, len(column) - horizon - 1)
        condition = best_condition(
            terms_at(studied.values, rows, studied.columns),
            earned[rows] - charge,
            fewest,
            studied.days[rows],
            null_maximum,
        )
        if condition is None:
            continue
        if best.condition is None or condition.t_statistic > best.condition.t_statistic:
            best = Finding(there, condition)
    return best


def _events(
    studied: Studied, returns: Sequence[Floats], null_maximum: NullMaximum | None
) -> tuple[list[Event], int]:
    """Return the strongest event of each feature, strongest first, and the looks."""
    if not studied.horizons or len(studied.opens) <= studied.horizons[-1] + 1:
        return [], 0
    usual = [float(np.nanmean(each)) for each in returns]
    found: list[Event] = []
    looked = 0
    for number in range(len(studied.columns)):
        held = studied.column(number)
        best: Event | None = None
        compared: list[tuple[Integers, Floats]] = []
        for above, threshold in product((True, False), np.unique(studied.thresholds[number])):
            crossed = _crossings_of(Event(number, above, float(threshold), 0, math.nan), held)
            for place, horizon in enumerate(studied.horizons):
                looked += 1
                rows = _thinned(crossed, horizon, len(held) - horizon - 1)
                beyond = returns[place][rows] - usual[place]
                t_statistic = _t_statistic(beyond)
                if not math.isnan(t_statistic):
                    compared.append((studied.days[rows], beyond))
                if t_statistic > (0.0 if best is None else best.t_statistic):
                    best = Event(number, above, float(threshold), horizon, t_statistic)
        if best is not None:
            found.append(best)
        if null_maximum is not None:
            null_maximum.observe_groups(compared)
    return sorted(found, key=lambda event: -event.t_statistic), looked


def _t_statistic(returns: Floats) -> float:
    """Mean in standard errors; NaN where there are too few to tell."""
    if len(returns) < FEWEST_EVENTS:
        return math.nan
    spread = float(np.std(returns, ddof=1))
    return float(np.mean(returns)) / spread * len(returns) ** 0.5 if spread > 0 else math.nan


@njit(nogil=True, cache=True)  # type: ignore[misc,unused-ignore]
def _crossings(column: Floats, threshold: float, side: float) -> Integers:
    rows = np.empty(len(column), np.int64)
    count = 0
    for row in range(1, len(column)):
        before = side * (column[row - 1] - threshold)
        now = side * (column[row] - threshold)
        if before <= 0 < now:
            rows[count] = row
            count += 1
    return rows[:count].copy()


@njit(nogil=True, cache=True)  # type: ignore[misc,unused-ignore]
def _thinned(rows: Integers, gap: int, end: int) -> Integers:
    """Leave out rows at or after the end, and those closer than the gap to the one kept before."""
    kept = np.empty(len(rows), np.int64)
    count = 0
    last = -gap
    for row in rows:
        if row >= end:
            break
        if row - last >= gap:
            kept[count] = row
            count += 1
            last = row
    return kept[:count].copy()
