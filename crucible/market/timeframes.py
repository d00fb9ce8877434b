"""Timeframes above the minute: how complete a span must be before anything is said about it, and candles for charts."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from crucible.market.candles import Candles
from crucible.settings import ENOUGH_CANDLES, MINUTE_MS, Settings

PREFIXES = {15: "m15", 60: "h1", 240: "h4", 1_440: "d1"}
"""Every higher timeframe that features are computed of, in minutes, and how their names begin."""

WINDOW = 20
"""Higher candles in a window; one more is needed for the first return."""

MINUTES_OF_A_DAY = 1_440
STEPS_OF_CHARTS = (1, 5, 15, 60, 240, MINUTES_OF_A_DAY)
"""Lengths of the candles that charts show, in minutes."""

COVERAGE = 0.9
"""Share of a window's minutes that must be present before anything is said about the window."""


def minutes_until_known(timeframes: Iterable[int]) -> int:
    """Candles until a window of every timeframe is known, whenever the first of them closed.

    The window is `WINDOW` + 1 whole higher candles; the first minute may lie just behind the opening of
    one, and the newest of them is seen until the next has closed.

    Parameters
    ----------
    timeframes : iterable of int
        Minutes.

    Examples
    --------
    >>> minutes_until_known([15, 60])
    1319
    """
    return max(((WINDOW + 2) * length - 1 for length in timeframes), default=0)


def days_until_known(settings: Settings) -> int:
    """Whole days before the features of the longest timeframe have a value."""
    return minutes_until_known(settings.features.timeframes) // MINUTES_OF_A_DAY


def history_days(settings: Settings) -> int:
    """Days of history that a market begins with: those that are asked for, or what a forge run needs.

    It needs the days before features are known, and a training window long enough to ask for all the trades that
    statistics need.
    """
    if settings.market.history_days is not None:
        return settings.market.history_days
    candles = ENOUGH_CANDLES / settings.forge.train_fraction
    return days_until_known(settings) + math.ceil(candles / MINUTES_OF_A_DAY)


def step_for(minutes: int, most: int) -> int:
    """Give the length of a candle, in minutes, with which a span is at most `most` candles; a day for any longer one.

    Examples
    --------
    >>> step_for(300, 400), step_for(2_000, 400), step_for(10_000_000, 400)
    (1, 5, 1440)
    """
    fitting = (step for step in STEPS_OF_CHARTS if minutes <= step * most)
    return next(fitting, STEPS_OF_CHARTS[-1])


def coarser(candles: Candles, step: int) -> Candles:
    """Merge one-minute candles into candles of `step` minutes; an unfinished last one is given as it is."""
    if step == 1 or not len(candles):
        return candles
    step_ms = step * MINUTE_MS
    group = candles.ts // step_ms
    starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
    ends = np.r_[starts[1:], len(group)] - 1
    return Candles(
        candles.symbol,
        group[starts] * step_ms,
        candles.open[starts],
        np.maximum.reduceat(candles.high, starts),
        np.minimum.reduceat(candles.low, starts),
        candles.close[ends],
        np.add.reduceat(candles.volume, starts),
        step_ms,
    )
