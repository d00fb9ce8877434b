"""Technical features of one symbol: the compiled step that serves history and the live row.

Definitions and units are in ``docs/reference/features.md``. Every value is a ratio, a z-score or a
fraction, so that it compares across prices and regimes; NaN until its window is covered.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from crucible.features import higher, mtfa, rings
from crucible.features.grid import Grid, build_grid
from crucible.features.higher import HIGHER, higher_features
from crucible.features.mtfa import process_and_align_mtfa
from crucible.features.rings import (
    CLOSE,
    FIELDS,
    NONE,
    RETURN,
    STANDARD,
    VOLATILITY,
    covered,
    deviation,
    price_sums,
    push,
    ratio,
    return_sums,
    ring_length,
    value_at,
    volume_sums,
)
from crucible.market import timeframes
from crucible.market.candles import COLUMNS, Candles, Floats, Integers
from crucible.market.timeframes import PREFIXES, WINDOW, minutes_until_known
from crucible.settings import MINUTE_MS

MINUTE_NAMES = (
    "return_1",
    "return_5",
    "return_z_1",
    "return_z_5",
    "return_z_15",
    "return_z_60",
    "return_z_240",
    "volatility_60",
    "volatility_ratio_15_60",
    "volatility_ratio",
    "range_ratio_60",
    "skew_60",
    "autocorrelation_60",
    "efficiency_60",
    "rsi_14",
    "rsi_60",
    "atr_14",
    "atr_ratio_14_240",
    "bollinger_20",
    "bollinger_width_20",
    "close_z_60",
    "close_z_240",
    "trend_15_60",
    "trend_60_240",
    "position_60",
    "position_1440",
    "distance_high_1440",
    "distance_low_1440",
    "distance_vwap_60",
    "distance_vwap_1440",
    "volume_z_60",
    "volume_z_1440",
    "volume_ratio_15_240",
    "flow_15",
    "flow_60",
    "body",
    "upper_shadow",
    "lower_shadow",
    "candle_range",
    "day_sin",
    "day_cos",
)

Steps = Callable[
    [Integers, Floats, Integers, Integers, Floats, Integers, Floats, Floats, Floats],
    None,
]

FIRST, LAST, BOUNDARIES = range(3)
"""Marks of a symbol: first and last minute, then one boundary for each higher timeframe."""

_MINUTES = len(MINUTE_NAMES)
_HIGHER = len(HIGHER)
_DAY = 1_440

AT_ONCE = 65_536
"""Rows of history that are computed in one call."""


def technical_names(timeframes: Sequence[int]) -> tuple[str, ...]:
    """Names of the technical features in the order of their columns.

    Parameters
    ----------
    timeframes : sequence of int
        Higher timeframes, minutes; each a key of `PREFIXES`.
    """
    higher_names = (f"{PREFIXES[length]}_{name}" for length in timeframes for name in HIGHER)
    return (*MINUTE_NAMES, *higher_names)


def warmup(timeframes: Sequence[int]) -> int:
    """Candles until every technical feature is defined, whenever the first of them closed.

    A day and the candle before it, or what the longest higher timeframe needs.
    """
    return max(_DAY + 1, minutes_until_known(timeframes))


@dataclass(frozen=True, slots=True)
class TechnicalState:
    """What the technical step of several symbols remembers; `technical_steps` says how."""

    timeframes: tuple[int, ...]
    stamp: Integers
    ring: Floats
    marks: Integers
    held: Floats

    @classmethod
    def fresh(cls, symbols: int, timeframes: Sequence[int], length: int = 0) -> TechnicalState:
        """State before any candle.

        Parameters
        ----------
        symbols : int
        timeframes : sequence of int
            Higher timeframes, minutes; each a key of `PREFIXES`.
        length : int
            Minutes that the rings hold at least; by default as many as the timeframes need.
        """
        length = ring_length(max(length, minutes_until_known(timeframes)))
        return cls(
            tuple(timeframes),
            np.full((symbols, length), NONE),
            np.full((symbols, FIELDS, length), np.nan),
            np.full((symbols, BOUNDARIES + len(timeframes)), NONE),
            np.full((symbols, len(timeframes), _HIGHER), np.nan),
        )

    def run(
        self,
        column: int,
        candles: Candles,
        out: Floats | None,
        done: Callable[[int], None] | None = None,
    ) -> tuple[Integers, Floats]:
        """Step one symbol through its candles.

        Parameters
        ----------
        column : int
            The symbol's place.
        candles : Candles
            n candles.
        out : ndarray of float64, shape (n, at least len(technical_names(timeframes))), optional
            Its first columns receive the features; whatever lies behind them becomes NaN. None where
            only the returns are wanted.
        done : callable, optional
            Takes the number of rows that were computed, now and then.

        Returns
        -------
        minutes : ndarray of int64, shape (n,)
        standard : ndarray of float64, shape (n, 2)
            One-minute log returns and standardised returns.
        """
        minutes = candles.close_ts // MINUTE_MS
        standard = np.empty((len(minutes), 2))
        timeframes = np.array(self.timeframes, np.int64)
        state = self.stamp[column], self.ring[column], self.marks[column], self.held[column]
        for first in range(0, len(minutes), AT_ONCE):
            rows = slice(first, first + AT_ONCE)
            prices = np.empty((len(minutes[rows]), len(COLUMNS) - 1))
            for place, name in enumerate(COLUMNS[1:]):
                prices[:, place] = getattr(candles, name)[rows]
            if out is None:
                into = np.empty((len(prices), len(technical_names(self.timeframes))))
            else:
                into = out[rows]
            technical_steps(minutes[rows], prices, timeframes, *state, into, standard[rows])
            if done is not None:
                done(len(prices))
        return minutes, standard


def market_grid(candles: Mapping[str, Candles], carry: int = 0) -> Grid:
    """Lay the returns of several symbols on a grid of minutes, from a fresh start.

    Parameters
    ----------
    candles : mapping of str to Candles
    carry : int
        Empty minutes in front of the first.
    """
    state = TechnicalState.fresh(len(candles), ())
    rows, standard = [], []
    for column, own in enumerate(candles.values()):
        minutes, returns = state.run(column, own, None)
        rows.append(minutes)
        standard.append(returns)
    empty = np.full((carry, len(candles)), np.nan)
    return build_grid(np.unique(np.concatenate(rows)), rows, standard, (NONE, empty, empty))


def _sources() -> str:
    """Digest of the files whose functions and constants are compiled into the step."""
    digest = hashlib.sha256()
    for module in (rings, mtfa, higher, timeframes):
        digest.update(inspect.getsource(module).encode())
    return digest.hexdigest()


def _compile(sources: str) -> Steps:
    """Compile the step under a key that changes with every file it is made of.

    Numba's cache looks only at the file of the cached function, and would go on serving machine
    code with an old helper inside. What a function closes over is part of its key, so it closes
    over the digest; and only this outermost function is cached.
    """

    @njit(cache=True, error_model="numpy", nogil=True)
    def technical_steps(
        minutes: Integers,
        candles: Floats,
        timeframes: Integers,
        stamp: Integers,
        ring: Floats,
        marks: Integers,
        held: Floats,
        out: Floats,
        standard: Floats,
    ) -> None:
        """Step one symbol through closed candles, oldest first.

        Parameters
        ----------
        minutes : ndarray of int64, shape (n,)
            Exclusive close times in minutes since the epoch, later than every minute already seen.
        candles : ndarray of float64, shape (n, 5)
            Open, high, low, close, volume.
        timeframes : ndarray of int64, shape (t,)
            Minutes in a candle of each higher timeframe.
        stamp, ring, marks, held
            The symbol's state, changed in place: the ring of minutes; first and last minute and the
            boundaries up to which features of higher candles were computed; those features.
        out : ndarray of float64, shape (n, at least len(technical_names(timeframes)))
            Its first columns receive the features, all others NaN.
        standard : ndarray of float64, shape (n, 2)
            Receives the one-minute log return, and the same divided by the day's volatility as it
            was known a minute earlier.
        """
        if not sources:
            return
        folded = np.empty((5, WINDOW + 1))
        for row in range(len(minutes)):
            minute = minutes[row]
            if marks[FIRST] < 0:
                marks[FIRST] = minute
            marks[LAST] = minute
            push(
                stamp,
                ring,
                minute,
                candles[row, 0],
                candles[row, 1],
                candles[row, 2],
                candles[row, 3],
                candles[row, 4],
            )
            _minute_features(stamp, ring, minute, marks[FIRST], candles[row], out[row])
            slot = minute & (ring.shape[1] - 1)
            standard[row, 0] = ring[RETURN, slot]
            standard[row, 1] = ring[STANDARD, slot]
            for which in range(len(timeframes)):
                block, seen = held[which], marks[BOUNDARIES + which]
                boundary = process_and_align_mtfa(
                    stamp, ring, minute, timeframes[which], marks[FIRST], seen, folded
                )
                if boundary != seen:
                    higher_features(folded, block)
                marks[BOUNDARIES + which] = boundary
                start = _MINUTES + which * _HIGHER
                out[row, start : start + _HIGHER] = block

    compiled: Steps = technical_steps
    return compiled


@njit(error_model="numpy", nogil=True)
def _minute_features(
    stamp: Integers, ring: Floats, minute: int, first: int, candle: Floats, out: Floats
) -> None:
    out[:] = np.nan
    close = candle[3]
    volatility = _returns(stamp, ring, minute, first, close, out)
    _levels(stamp, ring, minute, first, close, volatility, out)
    _volumes(stamp, ring, minute, first, close, volatility, out)
    high, low, opening = candle[1], candle[2], candle[0]
    out[35] = ratio(close - opening, high - low)
    out[36] = ratio(high - max(opening, close), high - low)
    out[37] = ratio(min(opening, close) - low, high - low)
    angle = 2 * np.pi * (minute % _DAY) / _DAY
    out[39] = np.sin(angle)
    out[40] = np.cos(angle)


@njit(error_model="numpy", nogil=True)
def _returns(
    stamp: Integers, ring: Floats, minute: int, first: int, close: float, out: Floats
) -> tuple[float, float]:
    """Write returns, volatilities and momentum; give back the volatilities over 60 and 1,440."""
    volatility = np.full(4, np.nan)  # over 15, 60, 240 and 1,440 minutes
    for which, width in enumerate((15, 60, 240, _DAY)):
        count, total, squares, cubes, gains, lagged = return_sums(stamp, ring, minute, width)
        if not covered(count, width, minute, first):
            continue
        volatility[which] = deviation(count, total, squares)
        if width == 60:
            mean = total / count
            third = cubes / count - 3 * mean * squares / count + 2 * mean**3
            out[11] = ratio(third, volatility[1] ** 3)
            out[12] = ratio(lagged - (count - 1) * mean * mean, volatility[1] ** 2 * (count - 1))
            # gains - losses = total, so the sum of absolute returns is 2 gains - total.
            out[13] = ratio(abs(total), 2 * gains - total)
            out[15] = ratio(total, 2 * gains - total)
    count, total, _, _, gains, _ = return_sums(stamp, ring, minute, 14)
    if covered(count, 14, minute, first):
        out[14] = ratio(total, 2 * gains - total)
    for which, lag in enumerate((1, 5, 15, 60, 240)):
        change = np.log(close / value_at(stamp, ring, CLOSE, minute - lag))
        if which < 2:
            out[which] = change
        scale = volatility[3] if lag == 240 else volatility[2]
        out[2 + which] = ratio(change, scale * np.sqrt(lag))
    out[7] = volatility[1]
    out[8] = ratio(volatility[0], volatility[1])
    out[9] = ratio(volatility[1], volatility[3])
    ring[VOLATILITY, minute & (ring.shape[1] - 1)] = volatility[3]
    return volatility[1], volatility[3]


@njit(error_model="numpy", nogil=True)
def _levels(
    stamp: Integers,
    ring: Floats,
    minute: int,
    first: int,
    close: float,
    volatility: tuple[float, float],
    out: Floats,
) -> None:
    """Write where the close stands among recent prices, in their own spread."""
    means = np.full(3, np.nan)  # of close / current close - 1, over 15, 60 and 240 minutes
    ranges = np.full(3, np.nan)  # true range as a fraction of the close, over 14, 60 and 240
    for width in (14, 15, 20, 60, 240, _DAY):
        count, total, squares, top, bottom, true_ranges, parkinson = price_sums(
            stamp, ring, minute, width, close
        )
        if not covered(count, width, minute, first):
            continue
        mean = total / count
        spread = deviation(count, total, squares)
        true_range = true_ranges / count / close
        if width == 14:
            ranges[0] = true_range
        elif width == 15:
            means[0] = mean
        elif width == 20:
            out[18] = ratio(-mean, 2 * spread)
            out[19] = 4 * spread / (1 + mean)
        elif width == 60:
            means[1], ranges[1] = mean, true_range
            # Parkinson (1980): the variance of a return is the mean of ln(high/low)^2 / (4 ln 2).
            out[10] = ratio(np.sqrt(parkinson / count / (4 * np.log(2.0))), volatility[0])
            out[20] = ratio(-mean, spread)
            out[24] = ratio(2 * close - top - bottom, top - bottom)
        elif width == 240:
            means[2], ranges[2] = mean, true_range
            out[21] = ratio(-mean, spread)
        else:
            scale = volatility[1] * np.sqrt(float(_DAY))
            out[25] = ratio(2 * close - top - bottom, top - bottom)
            out[26] = ratio(np.log(close / top), scale)
            out[27] = ratio(np.log(close / bottom), scale)
    out[16] = ranges[0]
    out[17] = ratio(ranges[0], ranges[2])
    out[22] = ratio(means[0] - means[1], ranges[1])
    out[23] = ratio(means[1] - means[2], ranges[2])
    slot = minute & (ring.shape[1] - 1)
    out[38] = ratio((ring[1, slot] - ring[2, slot]) / close, ranges[1])


@njit(error_model="numpy", nogil=True)
def _volumes(
    stamp: Integers,
    ring: Floats,
    minute: int,
    first: int,
    close: float,
    volatility: tuple[float, float],
    out: Floats,
) -> None:
    """Write how much is traded, in which direction, and at what average price."""
    volume = ring[4, minute & (ring.shape[1] - 1)]
    short = np.nan
    for width in (15, 60, 240, _DAY):
        count, total, squares, signed, traded = volume_sums(stamp, ring, minute, width)
        if not covered(count, width, minute, first):
            continue
        mean = total / count
        if width == 15:
            short = mean
            out[33] = ratio(signed, total)
        elif width == 240:
            quotient = ratio(short, mean)
            out[32] = np.log(quotient) if quotient > 0 else np.nan
        else:
            day = width == _DAY
            scale = (volatility[1] if day else volatility[0]) * np.sqrt(float(width))
            out[29 if day else 28] = ratio(np.log(close * ratio(total, traded)), scale)
            out[31 if day else 30] = ratio(volume - mean, deviation(count, total, squares))
            if not day:
                out[34] = ratio(signed, total)


technical_steps = _compile(_sources())
