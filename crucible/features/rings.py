"""Rings of recent minutes, and the sums that every window feature is made of.

A ring holds one symbol's last minutes by minute number, so a missing minute is a slot whose stamp does
not match. It is as long as the longest window asks for; its length changes no value. Every window is summed afresh from its ring, newest minute first: a running
sum would depend on where it was started, and history and live would differ in the last bits.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from crucible.market.candles import Floats, Integers
from crucible.market.timeframes import COVERAGE

SHORTEST = 2_048
"""Minutes kept at least: longer than the longest window of minutes, which is a day."""

OPEN, HIGH, LOW, CLOSE, VOLUME, RETURN, TRUE_RANGE, PARKINSON, VOLATILITY, STANDARD = range(10)
FIELDS = 10

NONE = np.iinfo(np.int64).min
"""Stamp of a slot that was never written, and of a first minute that has not come."""


def ring_length(minutes: int) -> int:
    """Length of a ring that holds this many minutes: a power of two, so that a slot is a few bits.

    Examples
    --------
    >>> ring_length(1_440), ring_length(31_680)
    (2048, 32768)
    """
    return max(SHORTEST, 1 << (minutes - 1).bit_length())


@njit(error_model="numpy", nogil=True)
def push(
    stamp: Integers,
    ring: Floats,
    minute: int,
    opening: float,
    high: float,
    low: float,
    close: float,
    volume: float,
) -> None:
    """Write one closed candle and what follows from it and the minute before.

    Parameters
    ----------
    stamp : ndarray of int64, shape (length,)
        The length is a power of two; see `ring_length`.
    ring : ndarray of float64, shape (FIELDS, length)
    minute : int
        Exclusive close time in minutes since the epoch.
    """
    slot = minute & (len(stamp) - 1)
    before = (minute - 1) & (len(stamp) - 1)
    known = stamp[before] == minute - 1
    stamp[slot] = minute
    ring[OPEN, slot] = opening
    ring[HIGH, slot] = high
    ring[LOW, slot] = low
    ring[CLOSE, slot] = close
    ring[VOLUME, slot] = volume
    ring[PARKINSON, slot] = np.log(high / low) ** 2
    ring[VOLATILITY, slot] = np.nan
    if known:
        previous = ring[CLOSE, before]
        change = np.log(close / previous)
        ring[RETURN, slot] = change
        ring[TRUE_RANGE, slot] = max(high, previous) - min(low, previous)
        ring[STANDARD, slot] = ratio(change, ring[VOLATILITY, before])
    else:
        ring[RETURN, slot] = np.nan
        ring[TRUE_RANGE, slot] = high - low
        ring[STANDARD, slot] = np.nan


@njit(error_model="numpy", nogil=True)
def ratio(value: float, scale: float) -> float:
    """``value / scale``, NaN where the scale is zero, negative or unknown."""
    return value / scale if scale > 0 else np.nan


@njit(error_model="numpy", nogil=True)
def deviation(count: int, first: float, second: float) -> float:
    """Sample standard deviation from a count and the sums of values and squares.

    Values that differ by rounding only have deviation 0, so that no z-score is made of noise.
    """
    if count < 2:
        return np.nan
    variance = (second - first * first / count) / (count - 1)
    return np.sqrt(variance) if variance > 1e-12 * second / count else 0.0


@njit(error_model="numpy", nogil=True)
def value_at(stamp: Integers, ring: Floats, field: int, minute: int) -> float:
    """Read a field of one minute; NaN where the minute is missing."""
    slot = minute & (len(stamp) - 1)
    return ring[field, slot] if stamp[slot] == minute else np.nan


@njit(error_model="numpy", nogil=True)
def return_sums(
    stamp: Integers, ring: Floats, minute: int, width: int
) -> tuple[int, float, float, float, float, float]:
    """Sum over the one-minute log returns of a window ending at `minute`.

    Returns
    -------
    count, sum, sum of squares, sum of cubes, sum of gains, sum of products with the one before
    """
    count, first, second, third, gains, lagged = 0, 0.0, 0.0, 0.0, 0.0, 0.0
    later = np.nan
    for back in range(width):
        slot = (minute - back) & (len(stamp) - 1)
        value = ring[RETURN, slot] if stamp[slot] == minute - back else np.nan
        if not np.isnan(value):
            count += 1
            first += value
            square = value * value
            second += square
            third += square * value
            gains += max(value, 0.0)
            if not np.isnan(later):
                lagged += value * later
        later = value
    return count, first, second, third, gains, lagged


@njit(error_model="numpy", nogil=True)
def price_sums(
    stamp: Integers, ring: Floats, minute: int, width: int, close: float
) -> tuple[int, float, float, float, float, float, float]:
    """Sum over the candles of a window ending at `minute`.

    Returns
    -------
    count, sum and sum of squares of ``close / current close - 1``, highest high, lowest low,
    sum of true ranges, sum of Parkinson terms
    """
    count, first, second, ranges, parkinson = 0, 0.0, 0.0, 0.0, 0.0
    top, bottom = -np.inf, np.inf
    for back in range(width):
        slot = (minute - back) & (len(stamp) - 1)
        if stamp[slot] == minute - back:
            count += 1
            value = ring[CLOSE, slot] / close - 1
            first += value
            second += value * value
            top = max(top, ring[HIGH, slot])
            bottom = min(bottom, ring[LOW, slot])
            ranges += ring[TRUE_RANGE, slot]
            parkinson += ring[PARKINSON, slot]
    return count, first, second, top, bottom, ranges, parkinson


@njit(error_model="numpy", nogil=True)
def volume_sums(
    stamp: Integers, ring: Floats, minute: int, width: int
) -> tuple[int, float, float, float, float]:
    """Sum over the volumes of a window ending at `minute`.

    Returns
    -------
    count, sum, sum of squares, sum signed by the candle's return, sum times typical price
    """
    count, first, second, signed, traded = 0, 0.0, 0.0, 0.0, 0.0
    for back in range(width):
        slot = (minute - back) & (len(stamp) - 1)
        if stamp[slot] == minute - back:
            count += 1
            value = ring[VOLUME, slot]
            first += value
            second += value * value
            if ring[RETURN, slot] > 0:
                signed += value
            elif ring[RETURN, slot] < 0:
                signed -= value
            traded += value * (ring[HIGH, slot] + ring[LOW, slot] + ring[CLOSE, slot]) / 3
    return count, first, second, signed, traded


@njit(error_model="numpy", nogil=True)
def covered(count: int, width: int, minute: int, first: int) -> bool:
    """Whether a window may be spoken of: old enough, and enough of its minutes present.

    A window must start after the symbol's first candle, so a cold start says nothing until it
    says what a longer run says.
    """
    return minute - first >= width and count >= COVERAGE * width
