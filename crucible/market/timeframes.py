"""Timeframes above the minute, and how complete a span must be before anything is said about it."""

from __future__ import annotations

import math
from collections.abc import Iterable

from crucible.settings import ENOUGH_CANDLES, Settings

PREFIXES = {15: "m15", 60: "h1", 240: "h4", 1_440: "d1"}
"""Every higher timeframe that features are computed of, in minutes, and how their names begin."""

WINDOW = 20
"""Higher candles in a window; one more is needed for the first return."""

MINUTES_OF_A_DAY = 1_440

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
