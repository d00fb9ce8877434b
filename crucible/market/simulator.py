"""Seeded simulated candles with known truths: regimes, jumps, a leader, planted changes, or nothing.

Returns follow one common factor plus an idiosyncratic part. Every draw comes from one generator,
so the same arguments give the same bytes. Highs and lows are the extremes of a Brownian bridge
between open and close.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from crucible.market.candles import Candles, Floats
from crucible.settings import MINUTE_MS

START_MS = 1_735_689_600_000
"""Default start of simulated time: 2025-01-01 00:00 UTC."""

Matrix = npt.NDArray[np.float64]
ChangeKind = Literal["volatility", "correlation", "flash"]


@dataclass(frozen=True, slots=True)
class Leader:
    """One symbol that moves before the others.

    Attributes
    ----------
    symbol : str
        Who leads.
    lag : int
        Candles until the others follow.
    share : float
        R squared: the share of a follower's variance that the leader's earlier return explains.
    """

    symbol: str
    lag: int = 3
    share: float = 0.0036


@dataclass(frozen=True, slots=True)
class Change:
    """A planted change of regime.

    Attributes
    ----------
    kind : {"volatility", "correlation", "flash"}
        Multiply the volatility by `size`; replace the factor correlation by `size`; or fall by
        `size` (log return) within `minutes` and recover half of it over the next `minutes`.
    at : int
        First minute of the change, counted from the start.
    minutes : int
        How long it lasts.
    size : float
    """

    kind: ChangeKind
    at: int
    minutes: int
    size: float


def simulate(
    symbols: Sequence[str],
    minutes: int,
    seed: int,
    *,
    start_ms: int = START_MS,
    volatility: float = 0.0006,
    correlation: float = 0.6,
    jumps_per_day: float = 2.0,
    leader: Leader | None = None,
    changes: Sequence[Change] = (),
    null: bool = False,
    gap_share: float = 0.0,
) -> dict[str, Candles]:
    """Simulate one-minute candles of several symbols over the same span.

    Parameters
    ----------
    symbols : sequence of str
    minutes : int
        Candles per symbol before gaps are cut.
    seed : int
    start_ms : int
        Open time of the first candle, epoch milliseconds, a whole minute.
    volatility : float
        Standard deviation of a one-minute log return in an ordinary regime.
    correlation : float
        Pairwise correlation of the returns.
    jumps_per_day : float
        Market-wide jumps, eight ordinary standard deviations in scale.
    leader : Leader, optional
        Plants a predictable relation.
    changes : sequence of Change
        Plants changes of regime.
    null : bool
        A random walk: constant volatility, no regimes, no jumps and, unless `leader` is given,
        nothing to predict.
    gap_share : float
        Share of minutes that are removed, in runs of one to ten, for each symbol on its own.

    Returns
    -------
    dict of str to Candles

    Raises
    ------
    ValueError
        If the start is off the minute grid, the leader is not a symbol, or a size is out of range.
    """
    _check(symbols, minutes, start_ms, correlation, leader)
    generator = np.random.default_rng(seed)
    count = len(symbols)
    pace = np.ones(minutes) if null else _regimes(minutes, generator)
    common = np.full(minutes, correlation)
    for change in changes:
        span = slice(change.at, change.at + change.minutes)
        if change.kind == "volatility":
            pace[span] *= change.size
        elif change.kind == "correlation":
            common[span] = change.size
    factor = generator.standard_normal((minutes, 1))
    own = generator.standard_normal((minutes, count))
    shocks = np.sqrt(common)[:, None] * factor + np.sqrt(1 - common)[:, None] * own
    if leader is not None:
        shocks = _follow(shocks, list(symbols).index(leader.symbol), leader)
    scale = volatility * np.linspace(1.0, 1.6, count)
    sigma = pace[:, None] * scale
    returns = sigma * shocks
    if not null:
        hit = generator.random(minutes) < jumps_per_day / 1_440
        size = generator.standard_normal(minutes) * 8
        returns += (hit * size)[:, None] * scale
    for change in changes:
        if change.kind == "flash":
            fall = change.size / change.minutes
            returns[change.at : change.at + change.minutes] -= fall
            returns[change.at + change.minutes : change.at + 2 * change.minutes] += fall / 2
    ts = start_ms + MINUTE_MS * np.arange(minutes, dtype=np.int64)
    result = {}
    for column, symbol in enumerate(symbols):
        candles = _candles(symbol, ts, returns[:, column], sigma[:, column], column, generator)
        result[symbol] = _cut_gaps(candles, gap_share, generator) if gap_share else candles
    return result


def _check(
    symbols: Sequence[str], minutes: int, start_ms: int, correlation: float, leader: Leader | None
) -> None:
    if start_ms % MINUTE_MS:
        message = f"start_ms {start_ms} is not a whole minute"
        raise ValueError(message)
    if minutes < 1 or not symbols:
        message = f"nothing to simulate: {minutes} minutes of {len(symbols)} symbols"
        raise ValueError(message)
    if not 0 <= correlation <= 1:
        message = f"correlation {correlation} is outside [0, 1]"
        raise ValueError(message)
    if leader is not None and (leader.symbol not in symbols or not 0 <= leader.share < 1):
        message = f"leader {leader} must be one of {list(symbols)} with a share in [0, 1)"
        raise ValueError(message)


def _regimes(minutes: int, generator: np.random.Generator) -> Matrix:
    """Pace of volatility: calm, ordinary and wild spells of four hours on average."""
    levels = np.array([0.6, 1.0, 2.2])
    pace = np.empty(minutes)
    at, level = 0, 1
    while at < minutes:
        spell = int(generator.exponential(240)) + 30
        pace[at : at + spell] = levels[level]
        at += spell
        level = int(generator.choice(3, p=(0.35, 0.45, 0.2)))
    return pace


def _follow(shocks: Matrix, column: int, leader: Leader) -> Matrix:
    """Give every other column a share of the leader's shock `lag` minutes earlier."""
    followed = np.zeros(len(shocks))
    followed[leader.lag :] = shocks[: -leader.lag, column]
    mixed: Matrix = np.sqrt(1 - leader.share) * shocks + np.sqrt(leader.share) * followed[:, None]
    mixed[:, column] = shocks[:, column]
    return mixed


def _candles(
    symbol: str,
    ts: npt.NDArray[np.int64],
    returns: Floats,
    sigma: Floats,
    column: int,
    generator: np.random.Generator,
) -> Candles:
    path = np.concatenate([[0.0], np.cumsum(returns)])
    first = 100.0 * 10.0 ** (2 - column % 4)
    price = first * np.exp(path)
    # The maximum of a Brownian bridge from 0 to x has P(M > m) = exp(-2 m (m - x) / sigma^2).
    spread = -2 * sigma**2 * np.log(generator.random((2, len(ts))))
    up = (returns + np.sqrt(returns**2 + spread[0])) / 2
    down = (-returns + np.sqrt(returns**2 + spread[1])) / 2
    opening, closing = price[:-1], price[1:]
    high = np.maximum(opening * np.exp(up), np.maximum(opening, closing))
    low = np.minimum(opening * np.exp(-down), np.minimum(opening, closing))
    noise = generator.lognormal(0.0, 0.5, len(ts))
    volume = 1e5 / first * noise * (0.3 + np.abs(returns) / sigma)
    return Candles(symbol, ts, opening, high, low, closing, volume)


def _cut_gaps(candles: Candles, share: float, generator: np.random.Generator) -> Candles:
    keep = np.ones(len(candles), dtype=bool)
    runs = int(share * len(candles) / 5.5)
    for start, length in zip(
        generator.integers(1, len(candles), runs), generator.integers(1, 11, runs), strict=True
    ):
        keep[start : start + length] = False
    rows = np.flatnonzero(keep)
    return Candles(
        candles.symbol,
        candles.ts[rows],
        candles.open[rows],
        candles.high[rows],
        candles.low[rows],
        candles.close[rows],
        candles.volume[rows],
    )
