"""Several threads that interpret one linear program and trade its signals, block by block.

Steps that several threads need are computed once; whoever has interpreted its own goes on to trade,
its own strategies first and then those that others have not come to. Nobody begins a block before all
have ended the one before. Which thread does what changes no result.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from crucible.forge.backtest import kernel as trading
from crucible.forge.backtest.kernel import trade_block
from crucible.market.candles import Floats, Integers
from crucible.vm import kernels, vectors
from crucible.vm.compiled import sources
from crucible.vm.interpreter import Lines, Scratch, Workspace
from crucible.vm.kernels import MARKS, SPACING, Doubles, Singles, Table, Words, run_block
from crucible.vm.linear import LinearProgram
from crucible.vm.vectors import LANES

# Strategies that a thread takes at a time.
HANDFUL = 16
# The last marks of a block: all steps are done, all strategies are traded.
INTERPRETED, TRADED = MARKS - 2, MARKS - 1


@dataclass(frozen=True, slots=True)
class Span:
    """What is traded, and over which rows.

    Attributes
    ----------
    start, first, last : int
        Rows from `start` on warm the lookbacks up; those from `first` to before `last` are traded.
    columns : tuple of ndarray of float64
        Open, high, low, close, volatility and funding of the market's rows.
    regime : ndarray of bool
        Rows at whose close the regime changed.
    stretches : ndarray of int64, shape (stretches, 2)
        See `crucible.forge.backtest.engine.Books`.
    costs : ndarray of float64, shape (3,)
    """

    start: int
    first: int
    last: int
    columns: tuple[Floats, ...]
    regime: npt.NDArray[np.bool_]
    stretches: Integers
    costs: Floats


def trade_together(
    program: LinearProgram,
    shares: list[int],
    lines: Lines,
    columns: Integers,
    span: Span,
    block: int,
    exits: Floats,
    state: Floats,
    daily: Floats,
) -> None:
    """Interpret and trade strategies over a span, with a thread for each end of the program.

    Parameters
    ----------
    program : LinearProgram
    shares : list of int
        Strategies of each thread; they stand one after the other.
    lines : Lines
    columns : ndarray of int64
        Lines of the program's features.
    span : Span
    block : int
    exits, state, daily : ndarray
        See `crucible.forge.backtest.engine.Books`; the last two are written.
    """
    team = len(program.ends)
    space = Workspace(program, block)
    bounds = np.concatenate([[0], np.cumsum(shares)])
    claims = np.zeros((2, team, SPACING), np.int64)
    claims[:, :, 0] = bounds[:-1]
    begins = (0, *program.ends[:-1])
    # All begin or none does: one alone would wait for ever.
    gate = threading.Barrier(team)

    def work(me: int) -> None:
        scratch = Scratch(block)
        stops = np.empty((2, block + 1), np.int64)
        regime = np.zeros(space.words, np.uint64)
        steps = slice(begins[me], program.ends[me])
        gate.wait()
        _run_span(
            me,
            program.code[steps],
            program.constants[steps],
            program.warmups,
            columns,
            lines.cells,
            lines.wide,
            span.start,
            span.first,
            span.last,
            block,
            space.registers,
            space.stride,
            space.conditions,
            space.words,
            scratch.windows,
            scratch.sums,
            space.tails,
            space.cells,
            scratch.weights,
            space.buys,
            space.leaves,
            space.progress,
            bounds,
            claims.reshape(-1),
            span.columns,
            span.regime,
            regime,
            span.stretches,
            stops,
            program.roots,
            exits,
            span.costs,
            state,
            daily,
        )

    if team == 1:
        work(0)
        return
    with ThreadPoolExecutor(team - 1) as pool:
        try:
            tasks = [pool.submit(work, me) for me in range(1, team)]
            work(0)
        except BaseException:
            gate.abort()
            raise
        for task in tasks:
            task.result()


def _span_runner(made_from: str) -> Callable[..., None]:
    """Give the kernel of one thread; its compiled code is kept until a source changes."""

    @njit(nogil=True, error_model="numpy", cache=True)
    def run_span(
        me: int,
        code: Table,
        constants: Singles,
        warmups: Integers,
        lines_of: Integers,
        cells_of: Singles,
        wide: int,
        start: int,
        first: int,
        last: int,
        block: int,
        registers: Singles,
        stride: int,
        conditions: Words,
        full: int,
        windows: Singles,
        scratch: Doubles,
        tails: Singles,
        cells: Doubles,
        weights: Doubles,
        buys: Words,
        leaves: Words,
        progress: Integers,
        bounds: Integers,
        claims: Integers,
        columns: tuple[Floats, ...],
        regime: npt.NDArray[np.bool_],
        regime_words: Words,
        stretches: Integers,
        stops: Integers,
        roots: Integers,
        exits: Floats,
        costs: Floats,
        state: Floats,
        daily: Floats,
    ) -> None:
        _ = made_from
        team = len(bounds) - 1
        opens, highs, lows, closes, volatility, funding = columns
        log, equity = np.zeros((0, 6)), np.zeros((0, 0))
        row = start
        number = 0
        stretch = 0
        while row < last:
            before = number * MARKS
            rows = min(block, (first if row < first else last) - row)
            run_block(
                code,
                constants,
                warmups,
                lines_of,
                cells_of,
                wide,
                row,
                rows,
                row - start,
                registers,
                stride,
                conditions,
                full,
                windows,
                scratch,
                tails,
                cells,
                weights,
                buys,
                leaves,
                progress,
                me,
                before,
            )
            vectors.publish(progress, me * SPACING, before + INTERPRETED)
            if row >= first:
                stop = row + rows
                while stretches[stretch, 0] <= row:
                    stretch += 1
                count = 0
                while stretch + count < len(stretches) and stretches[stretch + count, 0] <= stop:
                    stops[0, count] = stretches[stretch + count, 0]
                    stops[1, count] = stretches[stretch + count, 1]
                    count += 1
                if count == 0 or stops[0, count - 1] < stop:
                    stops[0, count] = stop
                    stops[1, count] = stretches[stretch + count, 1]
                    count += 1
                regime_words[:] = np.uint64(0)
                for i in range(rows):
                    if regime[row + i]:
                        regime_words[i // LANES] |= np.uint64(1) << np.uint64(i % LANES)
                turn = number % 2 * team
                for step in range(team):
                    other = (me + step) % team
                    vectors.await_value(progress, other * SPACING, before + INTERPRETED)
                    while True:
                        low = vectors.claim(claims, (turn + other) * SPACING, HANDFUL)
                        high = min(low + HANDFUL, bounds[other + 1])
                        if low >= high:
                            break
                        trade_block(
                            buys,
                            leaves,
                            regime_words,
                            roots[low:high],
                            row,
                            rows,
                            stop == last,
                            opens,
                            highs,
                            lows,
                            closes,
                            volatility,
                            funding,
                            stops[0, :count],
                            stops[1, :count],
                            exits[low:high],
                            costs,
                            state[low:high],
                            daily[low:high],
                            log,
                            equity,
                        )
                # Nobody claims from the next block's before this one has ended.
                vectors.publish(claims, ((number + 1) % 2 * team + me) * SPACING, bounds[me])
            vectors.publish(progress, me * SPACING, before + TRADED)
            for other in range(team):
                vectors.await_value(progress, other * SPACING, before + TRADED)
            row += rows
            number += 1

    runner: Callable[..., None] = run_span
    return runner


_run_span = _span_runner(sources(kernels.__file__, vectors.__file__, trading.__file__, __file__))
