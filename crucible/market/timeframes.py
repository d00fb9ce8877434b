"""Timeframes above the minute, and how complete a span must be before anything is said about it."""

from __future__ import annotations

from collections.abc import Iterable

PREFIXES = {15: "m15", 60: "h1", 240: "h4", 1_440: "d1"}
"""Every higher timeframe that features are computed of, in minutes, and how their names begin."""

WINDOW = 20
"""Higher candles in a window; one more is needed for the first return."""

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
