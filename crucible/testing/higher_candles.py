"""Higher candles, and which of them a minute may see: over whole candles, in plain numpy, for tests.

The pipeline's compiled step does the same minute by minute (`crucible.features.mtfa`).

A higher candle is visible only when its exclusive close time is at or before the decision time.
Joining on the open time would show a minute the close of the hour that it is part of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from crucible.market.candles import CandleError, Candles, Floats, Integers
from crucible.market.timeframes import COVERAGE
from crucible.settings import MINUTE_MS


@dataclass(frozen=True, slots=True)
class AlignedCandles:
    """One symbol's minutes with the closed higher candles that each may see.

    Attributes
    ----------
    base : Candles
        The one-minute candles.
    higher : mapping of int to Candles
        Higher candles by timeframe in minutes.
    index : mapping of int to ndarray of int64, shape (n,)
        By timeframe, for each base candle the row of the last higher candle whose exclusive close
        time is at or before the base candle's; -1 where there is none.
    """

    base: Candles
    higher: Mapping[int, Candles]
    index: Mapping[int, Integers]

    def column(self, timeframe: int, name: str) -> Floats:
        """Give a higher candle's column as each minute sees it, shape (n,); NaN before the first."""
        values = np.append(getattr(self.higher[timeframe], name), np.nan)
        seen: Floats = values[self.index[timeframe]]
        return seen


def higher_candles(
    candles: Candles, timeframes: Sequence[int], coverage: float = COVERAGE
) -> AlignedCandles:
    """Build higher candles from minutes and align them backward, as of each minute's close.

    Parameters
    ----------
    candles : Candles
        One-minute candles, gaps allowed.
    timeframes : sequence of int
        Higher timeframes in minutes; each must divide a day, so that its candles close on UTC
        boundaries.
    coverage : float
        Share of its minutes that a higher candle must hold to exist.

    Raises
    ------
    CandleError
        If the candles are not one-minute candles or a timeframe does not divide a day.
    """
    if candles.timeframe_ms != MINUTE_MS:
        message = (
            f"{candles.symbol}: alignment needs one-minute candles, not {candles.timeframe_ms} ms"
        )
        raise CandleError(message)
    higher = {minutes: resample(candles, minutes, coverage) for minutes in timeframes}
    index = {minutes: align(candles.close_ts, higher[minutes].close_ts) for minutes in timeframes}
    return AlignedCandles(candles, higher, index)


def align(decision_ts: Integers, close_ts: Integers) -> Integers:
    """Row of the last close at or before each decision; -1 where there is none.

    Parameters
    ----------
    decision_ts, close_ts : ndarray of int64
        Epoch milliseconds, each increasing; `close_ts` are exclusive close times.
    """
    return np.searchsorted(close_ts, decision_ts, side="right").astype(np.int64) - 1


def resample(candles: Candles, minutes: int, coverage: float = COVERAGE) -> Candles:
    """Fold minutes into UTC-aligned higher candles; one with too few minutes is absent.

    A last candle whose span has not ended is never returned: it is not closed.

    Raises
    ------
    CandleError
        If `minutes` does not divide a day.
    """
    if minutes < 2 or 1_440 % minutes:
        message = f"timeframe of {minutes} minutes does not divide a day; use for example 15 or 60"
        raise CandleError(message)
    length = minutes * MINUTE_MS
    span = candles.ts // length
    starts = np.flatnonzero(np.diff(span, prepend=span[:1] - 1))
    ends = np.append(starts[1:], len(span)) - 1
    enough = ends - starts + 1 >= np.ceil(coverage * minutes)
    opens = span[starts] * length
    # The last span may still be open; it has closed only if its final minute is there.
    closed = opens + length <= candles.close_ts[-1:]
    keep = enough & closed
    return Candles(
        candles.symbol,
        opens[keep],
        candles.open[starts][keep],
        np.maximum.reduceat(candles.high, starts)[keep],
        np.minimum.reduceat(candles.low, starts)[keep],
        candles.close[ends][keep],
        np.add.reduceat(candles.volume, starts)[keep],
        length,
    )
