"""Features of higher candles: of 15 minutes, an hour, four hours, a day.

They are computed when a higher candle closes and held until the next one closes; which higher
candles a minute may see is `crucible.features.mtfa`'s to say.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from crucible.features.rings import CLOSE, HIGH, LOW, VOLUME, deviation, ratio
from crucible.market.candles import Floats
from crucible.market.timeframes import COVERAGE, WINDOW

HIGHER = (
    "return_z_1",
    "return_z_4",
    "rsi_14",
    "bollinger_20",
    "position_20",
    "trend_5_20",
    "volume_z_20",
)


@njit(error_model="numpy", nogil=True)
def higher_features(folded: Floats, out: Floats) -> None:
    """Compute the features of the higher candles that a minute may see.

    Parameters
    ----------
    folded : ndarray of float64, shape (5, WINDOW + 1)
        Newest first, as `process_and_align_mtfa` gives them.
    out : ndarray of float64, shape (len(HIGHER),)
        All NaN where the newest higher candle is missing or the window is not covered.
    """
    out[:] = np.nan
    close = folded[CLOSE, 0]
    present = 0
    for back in range(WINDOW):
        if not np.isnan(folded[CLOSE, back]):
            present += 1
    if np.isnan(close) or present < COVERAGE * WINDOW:
        return
    _moves(folded, close, out)
    _places(folded, close, out)


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
