"""Multi-timeframe alignment: the higher candles that a minute may see, folded from its ring.

A higher candle is visible only when its exclusive close time is at or before the minute's own. The
compiled step calls `process_and_align_mtfa` for every minute, of history and live alike;
`crucible.testing.higher_candles.higher_candles` is its plain reference over whole candles, equal to it in tests.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from crucible.features.rings import CLOSE, HIGH, LOW, OPEN, VOLUME
from crucible.market.candles import Floats, Integers
from crucible.market.timeframes import COVERAGE, WINDOW


@njit(error_model="numpy", nogil=True)
def process_and_align_mtfa(
    stamp: Integers,
    ring: Floats,
    minute: int,
    length: int,
    first: int,
    seen: int,
    folded: Floats,
) -> int:
    """Fold the higher candles of one timeframe that have closed by a minute.

    Parameters
    ----------
    stamp, ring
        The symbol's ring of minutes, as `rings.push` writes it; the minute is in it.
    minute : int
        Exclusive close of the decision's candle, minutes since the epoch.
    length : int
        Minutes in a higher candle, on UTC boundaries; ``WINDOW + 2`` of them must fit the ring.
    first : int
        The symbol's first minute: a window that begins before it is unknown.
    seen : int
        What the last call gave; while no other higher candle has closed nothing is done.
    folded : ndarray of float64, shape (5, WINDOW + 1)
        Receives open, high, low, close, volume, newest higher candle first; NaN for a candle with
        too few of its minutes, and all NaN where the window is unknown.

    Returns
    -------
    int
        Exclusive close of the newest higher candle that the minute may see, minutes since the epoch.
    """
    boundary = minute // length * length
    if boundary == seen:
        return boundary
    folded[:] = np.nan
    if boundary - (WINDOW + 1) * length >= first - 1:
        for back in range(WINDOW + 1):
            _fold(stamp, ring, boundary - back * length, length, folded[:, back])
    return boundary


@njit(error_model="numpy", nogil=True)
def _fold(stamp: Integers, ring: Floats, boundary: int, length: int, out: Floats) -> None:
    """Fold the minutes that close in ``(boundary - length, boundary]``; NaN when too few."""
    count, volume = 0, 0.0
    opening, close, top, bottom = np.nan, np.nan, -np.inf, np.inf
    for minute in range(boundary - length + 1, boundary + 1):
        slot = minute & (len(stamp) - 1)
        if stamp[slot] == minute:
            if count == 0:
                opening = ring[OPEN, slot]
            count += 1
            top = max(top, ring[HIGH, slot])
            bottom = min(bottom, ring[LOW, slot])
            close = ring[CLOSE, slot]
            volume += ring[VOLUME, slot]
    out[:] = np.nan
    if count >= COVERAGE * length:
        out[OPEN], out[HIGH], out[LOW], out[CLOSE] = opening, top, bottom, close
        out[VOLUME] = volume
