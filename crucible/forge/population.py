"""Evaluate a whole population of programs in one pass over the rows.

Rows outside, population inside: a chunk of rows is interpreted for every program at once (shared
subtrees once), and its signals are traded while they are still in the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crucible.features.frame import FeatureFrame
from crucible.forge.backtest import (
    CASH,
    DRAWDOWN,
    EXPOSURE,
    SQUARES,
    SUM,
    TRADES,
    WINS,
    Books,
    Market,
    daily_returns,
)
from crucible.market.candles import Floats, Integers
from crucible.settings import Costs
from crucible.strategies.contract import Exits, Signals
from crucible.strategies.interpreter import Runner, Singles, as_singles
from crucible.strategies.linear import compile_programs
from crucible.strategies.program import Expression

CHUNK = 4096


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What each strategy did over one span; every array has the strategies on its first axis.

    Attributes
    ----------
    trades, wins : ndarray of int64
    net_return, drawdown, exposure : ndarray of float64
        Of the start's capital; of the peak; share of closes in a position.
    trade_mean, trade_sharpe : ndarray of float64
        Mean net return of a trade, and it over its deviation (per trade); NaN below three trades.
    daily : ndarray of float64, shape (strategies, days)
        Returns of each UTC day.
    """

    trades: Integers
    wins: Integers
    net_return: Floats
    drawdown: Floats
    exposure: Floats
    trade_mean: Floats
    trade_sharpe: Floats
    daily: Floats

    @classmethod
    def of(cls, books: Books) -> Outcomes:
        """Read the books at the end of their span."""
        state = books.state
        count = state[:, TRADES]
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = state[:, SUM] / count
            variance = (state[:, SQUARES] - count * mean**2) / (count - 1)
            ratio = mean / np.sqrt(np.maximum(variance, 0))
        ratio[(count < 3) | ~np.isfinite(ratio)] = np.nan
        return cls(
            trades=count.astype(np.int64),
            wins=state[:, WINS].astype(np.int64),
            net_return=state[:, CASH] - 1,
            drawdown=state[:, DRAWDOWN],
            exposure=state[:, EXPOSURE] / max(1, books.last_row - books.first_row),
            trade_mean=mean,
            trade_sharpe=ratio,
            daily=daily_returns(books.daily),
        )


class FeatureTable:
    """Every feature as the interpreter wants it, converted once for many evaluations.

    Parameters
    ----------
    frame : FeatureFrame
        n rows, f features.
    """

    def __init__(self, frame: FeatureFrame) -> None:
        self.schema = frame.schema
        self._values = as_singles(frame.values.T)

    def rows(self, features: Sequence[str], first: int, last: int) -> Singles:
        """Named features over a span, shape (features, last - first)."""
        columns = [self.schema.column(name) for name in features]
        return np.ascontiguousarray(self._values[columns, first:last])


def evaluate_programs(
    programs: Sequence[Expression],
    exits: Sequence[Exits],
    table: FeatureTable,
    market: Market,
    costs: Costs,
    rows: slice,
    chunk: int = CHUNK,
) -> Outcomes:
    """Trade every program with its exits over a span of rows.

    Parameters
    ----------
    programs : sequence of tuple
        As `parse_program` returns them.
    exits : sequence of Exits
        One for each program.
    table : FeatureTable
    market : Market
    costs : Costs
    rows : slice
        The span that is traded. Rows before it only warm the lookbacks up.
    chunk : int
        Rows at a time; results do not depend on it.
    """
    first, last, _ = rows.indices(len(market))
    books = Books.fresh(list(exits), market, first, last)
    if len(programs) == 0:
        return Outcomes.of(books)
    linear = compile_programs(programs)
    runner = Runner(linear)
    warm = max(0, first - int(linear.warmups.max()))
    if warm < first:
        runner.run(table.rows(linear.features, warm, first))
    for start in range(first, last, chunk):
        stop = min(last, start + chunk)
        signals: Signals = runner.run(table.rows(linear.features, start, stop))
        books.trade(market, signals, start, costs)
    return Outcomes.of(books)
