"""Crucible's programs as one would write them without Crucible: pandas or numpy, tree by tree.

`pandas_signals` with `plain_trades` is DEAP's usual way: a compiled expression over Series and a
loop over candles in Python. `numpy_signals` with `compiled_trades` is the careful way: float32
arrays, cumulative sums where they do, compiled loops for the rest and for the backtest.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from deap import gp
from numba import njit

ARITIES = {"neg": 1, "abs": 1, "squash": 1, "not": 1, "if": 3}
OPERATORS = (
    *("add", "sub", "mul", "div", "min", "max", "gt", "lt", "and", "or", "cross_above"),
    *("cross_below", "abs", "neg", "squash", "not", "if", "lag", "diff", "mean", "std"),
    *("lowest", "highest", "rank", "zscore", "ema"),
)


def as_text(tree):
    """A program's rule as a Python expression; Python's own words get an underscore."""
    if isinstance(tree, list):
        return f"{tree[0]}_({', '.join(as_text(part) for part in tree[1:])})"
    return tree if isinstance(tree, str) else repr(tree)


def primitives(functions, names):
    """DEAP's primitive set over named features."""
    made = gp.PrimitiveSet("rule", len(names), prefix="x")
    for name in OPERATORS:
        made.addPrimitive(functions[name], ARITIES.get(name, 2), name=f"{name}_")
    return made


def rank_share(ranks, window):
    """Average rank of the newest, from 1, as the share of the others below it."""
    return (ranks - 1) / (window - 1)


def pandas_functions():
    """Every operator over Series; comparisons give False where something is missing."""

    def zscore(x, w):
        return (x - x.rolling(w).mean()) / x.rolling(w).std(ddof=0)

    def above(x, y):
        before = (x - y).shift(1) if isinstance(x, pd.Series) else (y - x).shift(1) * -1
        return (x > y) & (before <= 0)

    return {
        "add": lambda x, y: x + y,
        "sub": lambda x, y: x - y,
        "mul": lambda x, y: x * y,
        "div": lambda x, y: x / np.sqrt(1 + y * y),
        "min": np.minimum,
        "max": np.maximum,
        "gt": lambda x, y: x > y,
        "lt": lambda x, y: x < y,
        "and": lambda x, y: x & y,
        "or": lambda x, y: x | y,
        "cross_above": above,
        "cross_below": lambda x, y: above(y, x),
        "abs": abs,
        "neg": lambda x: -x,
        "squash": lambda x: x / (1 + abs(x)),
        "not": lambda x: ~x if isinstance(x, pd.Series) else not x,
        "if": lambda c, x, y: pd.Series(np.where(c, x, y)),
        "lag": lambda x, w: x.shift(w),
        "diff": lambda x, w: x.diff(w),
        "mean": lambda x, w: x.rolling(w).mean(),
        "std": lambda x, w: x.rolling(w).std(ddof=0),
        "lowest": lambda x, w: x.rolling(w).min(),
        "highest": lambda x, w: x.rolling(w).max(),
        "rank": lambda x, w: rank_share(x.rolling(w).rank(), w),
        "zscore": zscore,
        "ema": lambda x, w: x.ewm(span=w, adjust=False).mean(),
    }


@njit(cache=True, error_model="numpy")
def _rank(x, w):
    made = np.full(len(x), np.nan, np.float32)
    for i in range(w - 1, len(x)):
        below = 0.0
        for j in range(i - w + 1, i):
            below += 1.0 if x[j] < x[i] else (0.5 if x[j] == x[i] else 0.0)
        made[i] = below / (w - 1)
    return made


@njit(cache=True, error_model="numpy")
def _lowest(x, w):
    """Minimum of each window by a monotonic queue."""
    made = np.full(len(x), np.nan, np.float32)
    queue = np.empty(len(x), np.int64)
    first = last = 0
    for i in range(len(x)):
        while last > first and x[queue[last - 1]] >= x[i]:
            last -= 1
        queue[last] = i
        last += 1
        if queue[first] <= i - w:
            first += 1
        if i >= w - 1:
            made[i] = x[queue[first]]
    return made


@njit(cache=True, error_model="numpy")
def _ema(x, w):
    made = np.empty_like(x)
    mean = float(x[0])
    alpha = 2.0 / (w + 1.0)
    for i in range(len(x)):
        mean += alpha * (x[i] - mean)
        made[i] = mean
    return made


def numpy_functions():
    """Every operator over float32 arrays."""

    def moments(x, w, deviation):
        sums = np.cumsum(np.concatenate([[0.0], x]))
        mean = np.full(len(x), np.nan)
        mean[w - 1 :] = (sums[w:] - sums[:-w]) / w
        if not deviation:
            return mean, None
        squares = np.cumsum(np.concatenate([[0.0], x.astype(np.float64) ** 2]))
        spread = np.full(len(x), np.nan)
        spread[w - 1 :] = np.sqrt(
            np.maximum((squares[w:] - squares[:-w]) / w - mean[w - 1 :] ** 2, 0)
        )
        return mean, spread

    def shifted(x, w):
        made = np.full(len(x), np.nan, np.float32)
        made[w:] = x[:-w]
        return made

    def above(x, y):
        side = np.asarray(x > y)
        made = side.copy()
        made[1:] &= ~side[:-1]
        made[0] = False
        return made

    def single(function):
        return lambda x, w: function(x, w).astype(np.float32)

    def zscore(x, w):
        mean, spread = moments(x, w, deviation=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            return (x - mean) / spread

    return {
        "add": np.add,
        "sub": np.subtract,
        "mul": np.multiply,
        "div": lambda x, y: x / np.sqrt(np.float32(1) + y * y),
        "min": np.minimum,
        "max": np.maximum,
        "gt": np.greater,
        "lt": np.less,
        "and": np.logical_and,
        "or": np.logical_or,
        "cross_above": above,
        "cross_below": lambda x, y: above(y, x),
        "abs": np.abs,
        "neg": np.negative,
        "squash": lambda x: x / (np.float32(1) + np.abs(x)),
        "not": np.logical_not,
        "if": np.where,
        "lag": single(shifted),
        "diff": single(lambda x, w: x - shifted(x, w)),
        "mean": single(lambda x, w: moments(x, w, deviation=False)[0]),
        "std": single(lambda x, w: moments(x, w, deviation=True)[1]),
        "lowest": single(_lowest),
        "highest": single(lambda x, w: -_lowest(-x, w)),
        "rank": single(_rank),
        "zscore": single(zscore),
        "ema": single(_ema),
    }


KEPT = {}


def signals(functions, program, columns, names):
    """Whether to buy and whether to leave, one boolean a row."""
    rules = [gp.compile(as_text(rule), primitives(functions, names)) for rule in program[1:]]
    rows = len(columns[0])
    made = [np.broadcast_to(np.asarray(rule(*columns), bool), rows) for rule in rules]
    return made[0], made[1]


def pandas_signals(program, features, names):
    """Signals through DEAP and pandas."""
    if "pandas" not in KEPT:
        KEPT["pandas"] = [pd.Series(column) for column in features]
    return signals(pandas_functions(), program, KEPT["pandas"], names)


def numpy_signals(program, features, names):
    """Signals through numpy and compiled loops."""
    return signals(numpy_functions(), program, list(features), names)


def candle_loop(buy, leave, opens, highs, lows, closes, regime, pace, exits, costs, warmup):
    """Trade candle by candle; gives how many trades there were and what became of 1."""
    stop_share, target_share, timeout = exits[0], exits[1], exits[2]
    fee, slippage = costs[0], costs[1]
    net = (1 - fee) / (1 + fee)
    cash, trades, pending, position = 1.0, 0, 0, False
    entry = stop = target = limit = 0.0
    held = 0
    for row in range(len(opens)):
        price = 0.0
        if pending == 1:
            entry = opens[row] * (1 + slippage)
            stop, target = entry * (1 - stop_share), entry * (1 + target_share)
            position, held = True, 0
        elif pending == 2:
            price = opens[row]
        pending = 0
        if position and price == 0.0:
            held += 1
            if lows[row] <= stop:
                price = min(opens[row], stop)
            elif highs[row] >= target:
                price = max(opens[row], target)
            elif row == len(opens) - 1:
                price = closes[row]
        if price > 0.0:
            cash *= price * (1 - slippage) / entry * net
            trades += 1
            position = False
        out = leave[row] and row >= warmup
        if position:
            if regime[row] or out or held >= limit:
                pending = 2
        elif buy[row] and not out and row >= warmup and not regime[row]:
            pending = 1
            limit = timeout
            if pace[row] > 0:
                limit = max(1, int(timeout / min(2.0, max(0.5, pace[row]))))
    return trades, cash


_compiled_loop = njit(cache=True, error_model="numpy")(candle_loop)


def _arguments(buy, leave, market, exits, warmup):
    columns = [market[name] for name in ("open", "high", "low", "close", "regime", "pace")]
    costs = (float(market["fee"]), float(market["slippage"]))
    return buy, leave, *columns, tuple(map(float, exits)), costs, warmup


def plain_trades(buy, leave, market, exits, warmup):
    """Run the loop in Python, over lists: the fastest that plain Python reads."""
    arguments = _arguments(buy, leave, market, exits, warmup)
    lists = [part.tolist() if isinstance(part, np.ndarray) else part for part in arguments]
    return candle_loop(*lists)


def compiled_trades(buy, leave, market, exits, warmup):
    """Run the same loop compiled."""
    return _compiled_loop(
        *_arguments(np.ascontiguousarray(buy), np.ascontiguousarray(leave), market, exits, warmup)
    )
