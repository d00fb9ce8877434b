"""MCE, micro-causality: book skew and the pressure of order flow on the next return.

Order-flow imbalance explains the return of its own minute, which is no forecast; `mce_pressure`
keeps only what last minute's flow said about this minute's return beyond last minute's return.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from crucible.features.grid import Matrix, State
from crucible.features.rings import NONE
from crucible.market.candles import Candles, Floats, Integers
from crucible.settings import MINUTE_MS

MICROSTRUCTURE = ("mce_skew", "mce_pressure", "mce_tier")

HALF_LIFE = 240.0
"""Half-life of the regression's weights, minutes."""

CRITICAL_F = 4.0
"""F statistic below which the flow is taken to say nothing."""

MINIMUM_EVIDENCE = 120.0
"""Effective number of minutes before a tier's regression is used."""

MINIMUM_SECONDS = 45
"""Seconds of a minute whose book must have been fresh for the minute to count as tier 3."""

BOOK_TIER, CANDLE_TIER, NO_TIER = 3.0, 1.0, 0.0


@dataclass(frozen=True, slots=True)
class BookSecond:
    """The statistics of one second of a live book, as the wire's `SYMBOL.book` carries them.

    Attributes
    ----------
    second_ts : int
        Start of the second, epoch milliseconds.
    skew, ofi, depth, microprice_offset : float
        NaN where the book was stale.
    updates : int
        Book updates within the second.
    """

    second_ts: int
    skew: float
    ofi: float
    depth: float
    microprice_offset: float
    updates: int


@dataclass(frozen=True, slots=True)
class BookMinute:
    """The book over one candle.

    Attributes
    ----------
    ts : int
        Exclusive close time of the candle, epoch milliseconds.
    skew : float
        Mean skew of the fresh seconds, in [-1, 1]; seconds have equal length, so it is
        time-weighted. NaN without one.
    ofi : float
        Sum of the seconds' order-flow imbalance, in units of mean depth.
    depth : float
        Mean size resting on the ten best levels of a side, base asset.
    seconds : int
        Fresh seconds, at most 60.
    """

    ts: int
    skew: float
    ofi: float
    depth: float
    seconds: int

    @property
    def tier(self) -> int:
        """3 when the minute's book can be trusted, 0 when too much of it was stale."""
        return int(BOOK_TIER) if self.seconds >= MINIMUM_SECONDS else int(NO_TIER)


class OpenBookMinute:
    """A candle's book in the making: the seconds so far, ready to be summed up.

    Seconds may come in any order; of one that comes twice the last counts. Nothing but three sums is
    left to do at the close, since orders wait for them.
    """

    def __init__(self) -> None:
        self._skew: dict[int, float] = {}
        self._ofi: dict[int, float] = {}
        self._depth: dict[int, float] = {}

    def add(self, second: BookSecond) -> None:
        """Take a second of this candle; one with a stale book counts as missing."""
        at = second.second_ts
        if math.isfinite(second.skew) and math.isfinite(second.ofi):
            self._skew[at], self._ofi[at] = second.skew, second.ofi
            self._depth[at] = second.depth
        elif at in self._skew:
            del self._skew[at], self._ofi[at], self._depth[at]

    def close(self, close_ts: int) -> BookMinute:
        """Sum up. Sums are exactly rounded, so the order of the seconds does not matter."""
        fresh = len(self._skew)
        if fresh == 0:
            return BookMinute(close_ts, math.nan, math.nan, math.nan, 0)
        return BookMinute(
            close_ts,
            math.fsum(self._skew.values()) / fresh,
            math.fsum(self._ofi.values()),
            math.fsum(self._depth.values()) / fresh,
            fresh,
        )


@dataclass(frozen=True, slots=True)
class BookMinutes:
    """Book minutes of one symbol as columns, oldest first; shape (n,) each."""

    ts: Integers
    skew: Floats
    ofi: Floats
    depth: Floats
    seconds: Integers

    @classmethod
    def of(cls, minutes: Sequence[BookMinute]) -> BookMinutes:
        """Collect minutes."""
        return cls(
            np.array([m.ts for m in minutes], np.int64),
            np.array([m.skew for m in minutes], np.float64),
            np.array([m.ofi for m in minutes], np.float64),
            np.array([m.depth for m in minutes], np.float64),
            np.array([m.seconds for m in minutes], np.int64),
        )

    def at(self, close_ts: Integers) -> tuple[Floats, Floats]:
        """Skew and flow of given closes, NaN where the book is missing or was mostly stale."""
        if len(self.ts) == 0:
            return np.full(len(close_ts), np.nan), np.full(len(close_ts), np.nan)
        rows = np.minimum(self.ts.searchsorted(close_ts), len(self.ts) - 1)
        hit = (self.ts[rows] == close_ts) & (self.seconds[rows] >= MINIMUM_SECONDS)
        return np.where(hit, self.skew[rows], np.nan), np.where(hit, self.ofi[rows], np.nan)


class Microstructure:
    """The block: one regression per symbol and source tier, updated in O(1).

    The sums forget with a half-life of four hours and are saved with the pipeline's state; a
    fresh start agrees with a long run only as fast as they forget.
    """

    def fresh(self, symbols: int) -> State:
        """Empty state."""
        return {
            "mce_sums": np.zeros((symbols, 2, _SUMS)),
            "mce_last": np.full((symbols, 3), np.nan),
            "mce_minute": np.full(symbols, NONE),
        }

    def run(
        self,
        state: State,
        column: int,
        candles: Candles,
        standard: Matrix,
        books: BookMinutes | None,
    ) -> Matrix:
        """Features of one symbol's candles, shape (n, 3).

        Parameters
        ----------
        state
            Changed in place.
        column : int
            The symbol's place in the pipeline.
        candles : Candles
        standard : ndarray, shape (n, 2)
            Returns and standardised returns of those candles.
        books : BookMinutes, optional
        """
        close_ts = candles.close_ts
        if books is None:
            skew = ofi = np.full(len(close_ts), np.nan)
        else:
            skew, ofi = books.at(close_ts)
        out = np.empty((len(close_ts), 3))
        out[:, 0] = skew
        pressure_steps(
            close_ts // MINUTE_MS,
            standard[:, 1].copy(),
            candles.volume,
            ofi,
            state["mce_sums"][column],
            state["mce_last"][column],
            state["mce_minute"][column : column + 1],
            out,
        )
        return out


_AA, _AB, _BB, _AY, _BY, _YY, _WEIGHT, _WEIGHT_SQUARED, _VOLUME = range(9)
_SUMS = 9


@njit(cache=True, error_model="numpy", nogil=True)
def pressure_steps(
    minutes: Integers,
    returns: Floats,
    volume: Floats,
    book_flow: Floats,
    sums: Floats,
    last: Floats,
    last_minute: Integers,
    out: Floats,
) -> None:
    """Step both tiers' regressions through minutes and write pressure and tier.

    For each tier the model is ``r_t = a r_{t-1} + b OFI_{t-1}`` with exponential weights, kept as
    six sums. Pressure is ``tanh(3 s b OFI_t / sigma_r)`` with ``s = max(0, 1 - F* / F)`` and F the
    statistic for leaving the flow out.

    Parameters
    ----------
    minutes : ndarray of int64, shape (n,)
    returns : ndarray of float64, shape (n,)
        Standardised returns.
    volume : ndarray of float64, shape (n,)
    book_flow : ndarray of float64, shape (n,)
        Order-flow imbalance from the book, NaN where there is none.
    sums : ndarray of float64, shape (2, 9)
        Tier 3 and tier 1: six sums, sum of weights and of their squares, mean volume.
    last : ndarray of float64, shape (3,)
        Last minute's return and its two flows.
    last_minute : ndarray of int64, shape (1,)
    out : ndarray of float64, shape (n, 3)
        Columns 1 and 2 are written.
    """
    keep = 0.5 ** (1 / HALF_LIFE)
    for row in range(len(minutes)):
        elapsed = 1
        if last_minute[0] > 0:
            elapsed = minutes[row] - last_minute[0]
        decay = keep**elapsed
        value = returns[row]
        candle_flow = _bulk_flow(value, volume[row], sums[1], decay)
        for tier in range(2):
            own = sums[tier]
            own[:_VOLUME] *= decay
            own[_WEIGHT_SQUARED] *= decay
            flow = last[1 + tier]
            before = last[0]
            if elapsed == 1 and not np.isnan(value + before + flow):
                own[_AA] += before * before
                own[_AB] += before * flow
                own[_BB] += flow * flow
                own[_AY] += before * value
                own[_BY] += flow * value
                own[_YY] += value * value
                own[_WEIGHT] += 1.0
                own[_WEIGHT_SQUARED] += 1.0
        last_minute[0] = minutes[row]
        last[0], last[1], last[2] = value, book_flow[row], candle_flow
        pressure = _pressure(sums[0], book_flow[row])
        tier_now = BOOK_TIER
        if np.isnan(pressure):
            pressure = _pressure(sums[1], candle_flow)
            tier_now = NO_TIER if np.isnan(pressure) else CANDLE_TIER
        out[row, 1] = pressure
        out[row, 2] = tier_now


@njit(cache=True, error_model="numpy", nogil=True)
def _bulk_flow(value: float, volume: float, own: Floats, decay: float) -> float:
    """Signed volume by bulk classification, in units of the mean volume.

    Easley, Lopez de Prado and O'Hara (2012): the bought share of a candle's volume is
    ``Phi(dp / sigma_dp)``.
    """
    mean = float(own[_VOLUME])
    own[_VOLUME] = volume if mean == 0 else decay * mean + (1 - decay) * volume
    if mean <= 0 or np.isnan(value):
        return np.nan
    return math.erf(value / math.sqrt(2.0)) * volume / mean


@njit(cache=True, error_model="numpy", nogil=True)
def _pressure(own: Floats, flow: float) -> float:
    """Pressure of one tier; NaN without a flow or enough evidence."""
    if np.isnan(flow) or own[_WEIGHT_SQUARED] <= 0:
        return np.nan
    evidence = own[_WEIGHT] ** 2 / own[_WEIGHT_SQUARED]
    determinant = own[_AA] * own[_BB] - own[_AB] ** 2
    if evidence < MINIMUM_EVIDENCE or determinant <= 1e-12 * own[_AA] * own[_BB]:
        return np.nan
    slope = (own[_AA] * own[_BY] - own[_AB] * own[_AY]) / determinant
    other = (own[_BB] * own[_AY] - own[_AB] * own[_BY]) / determinant
    restricted = own[_YY] - own[_AY] ** 2 / own[_AA]
    full = own[_YY] - other * own[_AY] - slope * own[_BY]
    if full <= 0:
        return np.nan
    # Sums are weighted; the effective count of minutes stands for the number of rows.
    statistic = (restricted - full) / full * (evidence - 2)
    certainty = max(0.0, 1 - CRITICAL_F / statistic) if statistic > 0 else 0.0
    sigma = math.sqrt(own[_YY] / own[_WEIGHT])
    return math.tanh(3 * certainty * slope * flow / sigma)
