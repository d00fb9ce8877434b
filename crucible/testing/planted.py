"""Simulated markets with one rule that predicts them, and their permutations, which nothing predicts.

A base market (regimes of volatility, jumps) is drawn by the simulator. Minute by minute a rule looks
at what has closed; when it speaks, a small drift is added to the traded symbol's returns of the next
minutes, up or down, so that the market as a whole goes nowhere. Rules are stated in the
market's own past, not in the product's features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from crucible.market.candles import Candles, Floats, Integers
from crucible.market.simulator import START_MS, simulate
from crucible.strategies.contract import Exits
from crucible.vm.signals import Signal, Signals

TRADED, OTHER = "BTCUSDT", "ETHUSDT"
HOLD = 60
"""Minutes for which a rule moves the price."""
SLOW_HOLD = 2_880
"""The same of a slow rule: two days."""

RULES: dict[str, str] = {
    "reversion": "a close 2.7 deviations from its mean of 60 minutes comes back",
    "leader": "the other symbol moves 2.8 deviations in 15 minutes and this one follows",
    "flow": "in a calm hour, volume of 15 minutes that leans 0.55 to one side is followed by price",
    "breakout": "a move of 2.6 deviations in an hour goes on",
    "hour": "price rises in the hour after 14:00 UTC and falls in the hour after 02:00",
    "day_reversion": "a move of 1.3 deviations in a day comes back within two",
    "day_breakout": "a close 0.9 deviations of a day beyond the mean of three days goes on for two",
    "quiet_volume": "four hours of 1.05 times the day's volume that move a deviation go on for two days",
    "odd_sum": "the sum of 37 minutes' returns is 2.2 of their deviations from nothing and comes back",
    "median_ratio": "11 minutes of twice the median volume of 97 that move 1.5 deviations go on",
    "two_steps": "four times the mean volume of 53 minutes, and within 7 a move of 2.2 deviations, go on",
}
"""Every rule in words, by its name."""
SLOW_RULES = ("day_reversion", "day_breakout", "quiet_volume")
"""Rules that speak a few times a week and move the price for `SLOW_HOLD` minutes."""
FREE_RULES = ("odd_sum", "median_ratio", "two_steps")
"""Rules in windows and terms that are no feature of the product."""

_CODES = {name: code for code, name in enumerate(RULES)}
_DAY = 1_440


@dataclass(frozen=True, slots=True)
class Planted:
    """A market whose predictability is known.

    Attributes
    ----------
    candles : dict of str to Candles
        The traded symbol and the other one, n candles each over the same minutes.
    request : ndarray of int8, shape (n,)
        What the rule says at each close of the traded symbol: 1 up, -1 down, 0 nothing.
    hold : int
        Minutes for which it moves the price.
    """

    candles: dict[str, Candles]
    request: npt.NDArray[np.int8]
    hold: int = HOLD

    @property
    def oracle(self) -> Signals:
        """Signals of a trader who knows the rule: buy when it says up, exit when it says down."""
        signals = np.where(self.request > 0, Signal.BUY, Signal.HOLD)
        return np.where(self.request < 0, Signal.EXIT, signals).astype(np.int8)

    @property
    def exits(self) -> Exits:
        """How the oracle leaves: after the rule's minutes, or far away."""
        wide = 0.05 if self.hold <= HOLD else 0.2
        return Exits(stop=wide, target=wide, timeout=self.hold)


def planted(rule: str, minutes: int, seed: int, edge: float) -> Planted:
    """Plant a rule.

    Parameters
    ----------
    rule : str
        One of `RULES`.
    minutes : int
    seed : int
    edge : float
        Log return that the rule adds over its minutes (`HOLD`, or `SLOW_HOLD`) each time it speaks, before
        costs. Zero plants nothing.

    Raises
    ------
    ValueError
        If there is no such rule.
    """
    if rule not in RULES:
        message = f"rule {rule!r} is not one of {', '.join(RULES)}"
        raise ValueError(message)
    hold = SLOW_HOLD if rule in SLOW_RULES else HOLD
    codes = np.full(minutes, _CODES[rule], np.int8)
    return _planted(codes, np.full(minutes, edge / hold), hold, seed)


def switching(rules: Sequence[tuple[str, int, float]], seed: int) -> Planted:
    """Plant one rule after the other: at each switch one ends, for good, and the next begins.

    Parameters
    ----------
    rules : sequence of (str, int, float)
        Rule (none of `SLOW_RULES`), minutes for which it holds, and edge as in `planted`.
    seed : int

    Raises
    ------
    ValueError
        If there is no such rule.
    """
    for rule, _, _ in rules:
        if rule not in RULES or rule in SLOW_RULES:
            message = f"rule {rule!r} is not one of {', '.join(set(RULES) - set(SLOW_RULES))}"
            raise ValueError(message)
    lengths = [minutes for _, minutes, _ in rules]
    codes = np.repeat([_CODES[rule] for rule, _, _ in rules], lengths).astype(np.int8)
    drifts = np.repeat([edge / HOLD for _, _, edge in rules], lengths)
    return _planted(codes, drifts, HOLD, seed)


def _planted(codes: npt.NDArray[np.int8], drifts: Floats, hold: int, seed: int) -> Planted:
    base = simulate((TRADED, OTHER), len(codes), seed, start_ms=START_MS)
    shapes = {symbol: _Shape.of(candles) for symbol, candles in base.items()}
    own, other = shapes[TRADED], shapes[OTHER]
    moved, request = _plant(
        codes, own.change, other.change, own.volume, base[TRADED].ts, drifts, hold
    )
    candles = {
        TRADED: own.moved_to(moved).candles(base[TRADED]),
        OTHER: base[OTHER],
    }
    return Planted(candles, request, hold)


def permuted(candles: dict[str, Candles], seed: int) -> dict[str, Candles]:
    """Shuffle whole minutes, the same way for every symbol, and take the mean return away.

    Every minute keeps its range and volume and its company of other symbols; what came before it
    says nothing any more. Without the mean no position has an expected return either.

    Parameters
    ----------
    candles : dict of str to Candles
        Over the same minutes.
    seed : int
    """
    count = len(next(iter(candles.values())))
    order = np.random.default_rng([seed, 3]).permutation(count)
    result = {}
    for symbol, held in candles.items():
        shape = _Shape.of(held)
        centred = shape.moved_to(shape.change - shape.change.mean())
        result[symbol] = centred.taken(order).candles(held)
    return result


@dataclass(frozen=True, slots=True)
class _Shape:
    """Candles as changes from their opens, all in log prices, shape (n,) each."""

    change: Floats
    high: Floats
    low: Floats
    volume: Floats

    @classmethod
    def of(cls, candles: Candles) -> _Shape:
        opening = np.log(candles.open)
        return cls(
            np.log(candles.close) - opening,
            np.log(candles.high) - opening,
            np.log(candles.low) - opening,
            candles.volume,
        )

    def moved_to(self, change: Floats) -> _Shape:
        """Other changes; highs and lows are moved by half as much and still hold the body."""
        shift = (change - self.change) / 2
        high = np.maximum(self.high + shift, np.maximum(change, 0))
        low = np.minimum(self.low + shift, np.minimum(change, 0))
        return _Shape(change, high, low, self.volume)

    def taken(self, order: Integers) -> _Shape:
        return _Shape(self.change[order], self.high[order], self.low[order], self.volume[order])

    def candles(self, like: Candles) -> Candles:
        """Candles on the times of others, from the same first price."""
        level = np.log(like.open[0]) + np.concatenate([[0.0], np.cumsum(self.change)])
        opening, closing = np.exp(level[:-1]), np.exp(level[1:])
        # Rounding of exp must not put the body outside its range.
        high = np.maximum(np.exp(level[:-1] + self.high), np.maximum(opening, closing))
        low = np.minimum(np.exp(level[:-1] + self.low), np.minimum(opening, closing))
        return Candles(like.symbol, like.ts, opening, high, low, closing, self.volume)


@njit(error_model="numpy", cache=True)  # type: ignore[misc,unused-ignore]
def _plant(
    rules: npt.NDArray[np.int8],
    own: Floats,
    other: Floats,
    volume: Floats,
    ts: Integers,
    drifts: Floats,
    hold: int,
) -> tuple[Floats, npt.NDArray[np.int8]]:
    """Add the drift of the rule that holds to the returns, minute by minute; say what it said at each close."""
    rows = len(own)
    moved = own.copy()
    request = np.zeros(rows, np.int8)
    # Sums up to a row, the row before it excluded by taking differences.
    level = np.zeros(rows + 1)
    level_sum = np.zeros(rows + 1)
    level_squares = np.zeros(rows + 1)
    squares = np.zeros(rows + 1)
    other_level = np.zeros(rows + 1)
    other_squares = np.zeros(rows + 1)
    flow = np.zeros(rows + 1)
    traded = np.zeros(rows + 1)
    left = 0
    side = 0
    drift = 0.0
    spike = -rows
    for t in range(rows):
        rule = rules[t]
        if left > 0:
            moved[t] += side * drift
            left -= 1
        n = t + 1
        level[n] = level[t] + moved[t]
        level_sum[n] = level_sum[t] + level[n]
        level_squares[n] = level_squares[t] + level[n] ** 2
        squares[n] = squares[t] + moved[t] ** 2
        other_level[n] = other_level[t] + other[t]
        other_squares[n] = other_squares[t] + other[t] ** 2
        flow[n] = flow[t] + np.sign(moved[t]) * volume[t]
        traded[n] = traded[t] + volume[t]
        if n < (1_441 if rule < 5 else 4_321):
            continue
        said = 0
        if rule == 0:
            mean = (level_sum[n] - level_sum[n - 60]) / 60
            variance = (level_squares[n] - level_squares[n - 60]) / 60 - mean**2
            z = (level[n] - mean) / np.sqrt(max(variance, 1e-18))
            said = -1 if z > 2.7 else (1 if z < -2.7 else 0)
        elif rule == 1:
            sigma = np.sqrt((other_squares[n] - other_squares[n - 240]) / 240)
            z = (other_level[n] - other_level[n - 15]) / (sigma * np.sqrt(15.0))
            said = 1 if z > 2.8 else (-1 if z < -2.8 else 0)
        elif rule == 2:
            now = (squares[n] - squares[n - 60]) / 60
            usual = (squares[n] - squares[n - 1_440]) / 1_440
            lean = (flow[n] - flow[n - 15]) / (traded[n] - traded[n - 15])
            if now < 0.5 * usual:
                said = 1 if lean > 0.55 else (-1 if lean < -0.55 else 0)
        elif rule == 3:
            sigma = np.sqrt((squares[n] - squares[n - 240]) / 240)
            z = (level[n] - level[n - 60]) / (sigma * np.sqrt(60.0))
            said = 1 if z > 2.6 else (-1 if z < -2.6 else 0)
        elif rule == 4:
            minute = (ts[t] // 60_000 + 1) % 1_440
            said = 1 if minute == 840 else (-1 if minute == 120 else 0)
        elif rule == 5:
            sigma = np.sqrt((squares[n] - squares[n - 4_320]) / 4_320)
            z = (level[n] - level[n - 1_440]) / (sigma * np.sqrt(1_440.0))
            said = -1 if z > 1.3 else (1 if z < -1.3 else 0)
        elif rule == 6:
            sigma = np.sqrt((squares[n] - squares[n - 4_320]) / 4_320 * 1_440)
            z = (level[n] - (level_sum[n] - level_sum[n - 4_320]) / 4_320) / sigma
            said = 1 if z > 0.9 else (-1 if z < -0.9 else 0)
        elif rule == 7:
            busy = (traded[n] - traded[n - 240]) / 240 / ((traded[n] - traded[n - 1_440]) / 1_440)
            sigma = np.sqrt((squares[n] - squares[n - 1_440]) / 1_440)
            z = (level[n] - level[n - 240]) / (sigma * np.sqrt(240.0))
            if busy > 1.05:
                said = 1 if z > 1.0 else (-1 if z < -1.0 else 0)
        elif rule == 8:
            sigma = np.sqrt((squares[n] - squares[n - 37]) / 37)
            z = (level[n] - level[n - 37]) / (sigma * np.sqrt(37.0))
            said = -1 if z > 2.2 else (1 if z < -2.2 else 0)
        elif rule == 9:
            if (traded[n] - traded[n - 11]) / 11 > 2.0 * np.median(volume[n - 97 : n]):
                sigma = np.sqrt((squares[n] - squares[n - 97]) / 97)
                z = (level[n] - level[n - 11]) / (sigma * np.sqrt(11.0))
                said = 1 if z > 1.5 else (-1 if z < -1.5 else 0)
        else:
            if volume[t] > 4.0 * (traded[n] - traded[n - 53]) / 53:
                spike = t
            if 0 < t - spike <= 7:
                sigma = np.sqrt((squares[n] - squares[n - 240]) / 240)
                z = (level[n] - level[n - 3]) / (sigma * np.sqrt(3.0))
                said = 1 if z > 2.2 else (-1 if z < -2.2 else 0)
        if said != 0:
            request[t] = said
            side = said
            left = hold
            drift = drifts[t]
    return moved, request
