"""Features of 15-minute and hourly candles, folded from the ring of minutes.

They are computed when a higher candle closes and held until the next one closes, so a minute sees
only higher candles whose exclusive close time is at or before its own.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from crucible.features.rings import (
    CLOSE,
    HIGH,
    LOW,
    OPEN,
    RING,
    VOLUME,
    deviation,
    ratio,
)
from crucible.market.candles import Floats, Integers
from crucible.market.mtfa import COVERAGE

HIGHER = (
    "return_z_1",
    "return_z_4",
    "rsi_14",
    "bollinger_20",
    "position_20",
    "trend_5_20",
    "volume_z_20",
)

WINDOW = 20
"""Higher candles in a window; one more is needed for the first return."""


@njit(error_model="numpy", nogil=True)
def higher_features(
    stamp: Integers, ring: Floats, boundary: int, length: int, first: int, out: Floats
) -> None:
    """Compute the features of the higher candles that closed up to a boundary.

    Parameters
    ----------
    stamp, ring
        The symbol's ring of minutes.
    boundary : int
        Exclusive close of the newest higher candle, minutes since the epoch.
    length : int
        Minutes in a higher candle; 21 of them must fit the ring.
    first : int
        The symbol's first minute.
    out : ndarray of float64, shape (len(HIGHER),)
        All NaN where the newest higher candle is missing or the window is not covered.
    """
    out[:] = np.nan
    if boundary - (WINDOW + 1) * length < first - 1:
        return
    folded = np.empty((5, WINDOW + 1))  # newest first
    present = 0
    for back in range(WINDOW + 1):
        _fold(stamp, ring, boundary - back * length, length, folded[:, back])
        if back < WINDOW and not np.isnan(folded[CLOSE, back]):
            present += 1
    close = folded[CLOSE, 0]
    if np.isnan(close) or present < COVERAGE * WINDOW:
        return
    _moves(folded, close, out)
    _places(folded, close, out)


@njit(error_model="numpy", nogil=True)
def _fold(stamp: Integers, ring: Floats, boundary: int, length: int, out: Floats) -> None:
    """Fold the minutes that close in ``(boundary - length, boundary]``; NaN when too few."""
    count, volume = 0, 0.0
    opening, close, top, bottom = np.nan, np.nan, -np.inf, np.inf
    for minute in range(boundary - length + 1, boundary + 1):
        slot = minute & (RING - 1)
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


@njit(error_model="numpy", nogil=True)
def _moves(folded: Floats, close: float, out: Floats) -> None:
    count, total, squares = 0, 0.0, 0.0
    recent, recent_total, recent_gains = 0, 0.0, 0.0
    for back in range(WINDOW):
        change = np.log(folded[CLOSE, back] / folded[CLOSE, back + 1])
        if np.isnan(change):
            continue
        count += 1
        total += change
        squares += change * change
        if back < 14:
            recent += 1
            recent_total += change
            recent_gains += max(change, 0.0)
    if count >= COVERAGE * WINDOW:
        scale = deviation(count, total, squares)
        out[0] = ratio(np.log(close / folded[CLOSE, 1]), scale)
        out[1] = ratio(np.log(close / folded[CLOSE, 4]), scale * 2)
    if recent >= COVERAGE * 14:
        out[2] = ratio(recent_total, 2 * recent_gains - recent_total)


@njit(error_model="numpy", nogil=True)
def _places(folded: Floats, close: float, out: Floats) -> None:
    count, total, squares, ranges = 0, 0.0, 0.0, 0.0
    fast, fast_total = 0, 0.0
    volumes, volume_squares = 0.0, 0.0
    top, bottom = -np.inf, np.inf
    for back in range(WINDOW):
        if np.isnan(folded[CLOSE, back]):
            continue
        value = folded[CLOSE, back] / close - 1
        count += 1
        total += value
        squares += value * value
        ranges += (folded[HIGH, back] - folded[LOW, back]) / close
        volumes += folded[VOLUME, back]
        volume_squares += folded[VOLUME, back] ** 2
        top = max(top, folded[HIGH, back])
        bottom = min(bottom, folded[LOW, back])
        if back < 5:
            fast += 1
            fast_total += value
    mean = total / count
    out[3] = ratio(-mean, 2 * deviation(count, total, squares))
    out[4] = ratio(2 * close - top - bottom, top - bottom)
    if fast == 5:
        out[5] = ratio(fast_total / fast - mean, ranges / count)
    out[6] = ratio(folded[VOLUME, 0] - volumes / count, deviation(count, volumes, volume_squares))
