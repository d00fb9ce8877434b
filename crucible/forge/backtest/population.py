"""Evaluate a whole population of programs in one pass over the rows.

Rows outside, population inside: a block of rows is interpreted for every program at once (shared
subtrees once), and its signals, packed 64 rows to a word, are traded while they are in the cache.
Threads share the steps and the strategies of a block; none of it changes a result.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from crucible.features.frame import FeatureFrame
from crucible.forge.backtest.engine import Accounts, Market, daily_returns
from crucible.forge.backtest.kernel import CASH, DRAWDOWN, EXPOSURE, SQUARES, SUM, TRADES, WINS
from crucible.forge.backtest.parallel import Span, trade_together
from crucible.market.candles import Floats, Integers
from crucible.settings import Costs
from crucible.strategies.contract import Exits
from crucible.vm.graph import Graph
from crucible.vm.interpreter import BLOCK, Lines, columns_of
from crucible.vm.linear import emit
from crucible.vm.program import Expression

# Programs times rows below which another thread costs more than it brings.
WORTH_A_THREAD = 2_000_000
# Rows before a span from which lookbacks are warmed up, unless a program needs more.
SHORTEST_WARMUP = 2_048


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
    def of(cls, books: Accounts) -> Outcomes:
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

    def of_each(self, places: Integers) -> Outcomes:
        """Outcomes of the strategies at some places, in that order."""
        return Outcomes(*(getattr(self, field.name)[places] for field in fields(self)))


class FeatureTable:
    """Every feature as the interpreter wants it, converted once for many evaluations.

    Parameters
    ----------
    frame : FeatureFrame
        n rows, f features.

    Attributes
    ----------
    schema : FeatureSchema
    lines : Lines
    """

    def __init__(self, frame: FeatureFrame) -> None:
        self.schema = frame.schema
        self.lines = Lines.of(frame.values.T)


def evaluate_programs(
    programs: Sequence[Expression],
    exits: Sequence[Exits],
    table: FeatureTable,
    market: Market,
    costs: Costs,
    rows: slice,
    *,
    block: int = BLOCK,
    threads: int | None = None,
    short: bool = False,
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
    block : int
        Rows at a time; results depend on it as little as on `threads`.
    threads : int, optional
        Default: as many as there are processors, if there is work for them.
    short : bool
        Sell first and buy back.
    """
    first, last, _ = rows.indices(len(market))
    graph = Graph(programs)
    # A program with the same exits earns the same: it is traded once, whoever asks.
    distinct: dict[tuple[int, Exits], int] = {}
    places = [
        distinct.setdefault(pair, len(distinct)) for pair in zip(graph.roots, exits, strict=True)
    ]
    graph.roots = [root for root, _ in distinct]
    books = Accounts.fresh([each for _, each in distinct], market, first, last, short=short)
    for start, members in _by_start(graph, first).items():
        team = threads or os.cpu_count() or 1
        team = max(1, min(team, len(members) * (last - start) // WORTH_A_THREAD))
        _trade(graph, graph.split(members, team), table, market, costs, block, start, books)
    return Outcomes.of(books).of_each(np.array(places, dtype=np.int64))


def _by_start(graph: Graph, first: int) -> dict[int, list[int]]:
    """Programs by the row at which they begin to warm up.

    The row depends on the program and the span alone: an ema remembers where it began.
    """
    starts: dict[int, list[int]] = {}
    for index, rows in enumerate(graph.lookbacks[graph.roots].tolist()):
        warm = max(SHORTEST_WARMUP, 1 << (rows - 1).bit_length())
        starts.setdefault(max(0, first - warm), []).append(index)
    return starts


def _trade(
    graph: Graph,
    shares: list[list[int]],
    table: FeatureTable,
    market: Market,
    costs: Costs,
    block: int,
    start: int,
    books: Accounts,
) -> None:
    """Interpret and trade some programs, a share for each thread, and write their books."""
    linear = emit(graph, shares)
    members = np.array([index for share in shares for index in share])
    state, daily = books.state[members], books.daily[members]
    span = Span(
        start,
        books.first_row,
        books.last_row,
        books.columns,
        market.regime,
        books.stretches,
        np.array([costs.fee, costs.slippage, float(books.short)]),
    )
    trade_together(
        linear,
        [len(share) for share in shares],
        table.lines,
        columns_of(linear.features, table.schema),
        span,
        block,
        books.exits[members],
        state,
        daily,
    )
    books.state[members] = state
    books.daily[members] = daily
