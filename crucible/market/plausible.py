"""Are these times, prices and volumes plausible? Asked of all data before anything is computed from it.

A time in another unit is still a number: microseconds read as milliseconds are the year 57000, and a
table with a row for every minute until then does not fit into any machine. The bounds are in
``data/schema.md``, word for word; the paper venue asks the same questions.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from crucible.settings import MINUTE_MS

Integers = npt.NDArray[np.int64]

FIRST_YEAR, LAST_YEAR = 2000, 2099
FIRST_MS = 946_684_800_000
END_MS = 4_102_444_800_000
DAY_MS = 1_440 * MINUTE_MS
LARGEST_GAP_MS = 14 * DAY_MS
"""Longest known halt of a large venue: eight days (Bitfinex, August 2016)."""
STEPS_APART = 60
"""Of so many steps in a row at least one is a single candle; the quietest recording has 23."""
FEWEST_STEPS = 5
"""A file with fewer steps is too short to tell its candles' length from."""
SPARSE_SPAN_MS = 30 * DAY_MS
SPARSEST = 10
"""Over more than `SPARSE_SPAN_MS` at least one candle in so many is there."""
LEAST_PRICE, LARGEST_PRICE = 1e-12, 1e12
"""A coin in satoshi is 1e-8, one in the smallest currency about 1e9."""
LARGEST_VOLUME = 1e18
"""Of a minute; the supply of the most numerous coins is about 1e15."""
MOST_ROWS = (END_MS - FIRST_MS) // MINUTE_MS

_YEAR_MS = 31_556_952_000
_UNITS = (("seconds", 1_000, 1), ("microseconds", 1, 1_000), ("nanoseconds", 1, 1_000_000))


def implausible_year(ts: Integers) -> tuple[int, str] | None:
    """Find the first time that lies outside of the years in which candles can be.

    Returns
    -------
    (int, str) or None
        The row and what is wrong with it, with the unit that it is probably in.
    """
    bad = (ts < FIRST_MS) | (ts >= END_MS)
    if not bad.any():
        return None
    row = int(np.argmax(bad))
    value = int(ts[row])
    what = f"ts is in the year {1970 + value // _YEAR_MS}, not in {FIRST_YEAR} to {LAST_YEAR}"
    unit = likely_unit(value)
    if unit is not None:
        what += f"; it looks like {unit}"
    return row, f"{what}; write milliseconds since 1970 UTC"


def likely_unit(value: int) -> str | None:
    """Name the unit in which a number is a plausible time; None if there is none but milliseconds.

    Examples
    --------
    >>> likely_unit(1_735_689_600), likely_unit(1_735_689_600_000_000), likely_unit(0)
    ('seconds', 'microseconds', None)
    """
    for unit, times, over in _UNITS:
        if FIRST_MS <= value * times // over < END_MS:
            return unit
    return None


def implausible_steps(ts: Integers, timeframe_ms: int) -> tuple[int, str] | None:
    """Find what candles of one length never look like.

    That is a gap beyond `LARGEST_GAP_MS`; `STEPS_APART` steps in a row (or all of a shorter file) that
    are longer than one candle, as if longer candles had the wrong name; or so many missing candles that
    a table with a row for each would be mostly empty.

    Parameters
    ----------
    ts : ndarray of int64, shape (n,)
        Plausible open times, strictly increasing, on the grid.
    timeframe_ms : int

    Returns
    -------
    (int, str) or None
        The row and what is wrong with it.
    """
    steps = np.diff(ts)
    if not len(steps):
        return None
    largest = int(np.argmax(steps))
    if steps[largest] > LARGEST_GAP_MS:
        return largest + 1, (
            f"ts is {_days(steps[largest])} days after the row before "
            f"({_when(ts[largest])} to {_when(ts[largest + 1])}), a gap of more than "
            f"{_days(LARGEST_GAP_MS)} days; fetch what is missing, or cut the file there"
        )
    apart = _first_run(steps > timeframe_ms, min(STEPS_APART, len(steps)))
    if apart is not None and len(steps) >= FEWEST_STEPS:
        usual = int(np.median(steps[apart : apart + STEPS_APART])) // MINUTE_MS
        return apart + 1, (
            f"ts is {int(steps[apart]) // MINUTE_MS} minutes after the row before, and no step is one "
            f"minute from there to row {apart + min(STEPS_APART, len(steps))}; it looks like {usual}-minute "
            "candles; the name says one minute: give one-minute candles"
        )
    span = int(ts[-1]) - int(ts[0])
    if span > SPARSE_SPAN_MS and len(ts) * SPARSEST < span // timeframe_ms:
        return len(ts) - 1, (
            f"{len(ts)} candles over {_days(span)} days are fewer than one in {SPARSEST} minutes; "
            "fetch what is missing, or cut the file"
        )
    return None


def _first_run(mask: npt.NDArray[np.bool_], length: int) -> int | None:
    """Give the first row of the first run of so many true rows."""
    ends = np.flatnonzero(np.diff(np.r_[False, mask, False].astype(np.int8)))
    starts, stops = ends[::2], ends[1::2]
    long = np.flatnonzero(stops - starts >= length)
    return int(starts[long[0]]) if len(long) else None


def _days(span_ms: int) -> str:
    return f"{int(span_ms) / DAY_MS:.4g}"


def _when(ts: int) -> str:
    return datetime.fromtimestamp(int(ts) / 1_000, UTC).strftime("%Y-%m-%dT%H:%MZ")
