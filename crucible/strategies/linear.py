"""From a graph of programs to a linear program: steps in order, registers by liveness.

A linear program is what the interpreter runs. Its results for one root do not depend on the other
roots, nor on how many threads share the steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crucible.strategies import kernels as k
from crucible.strategies.graph import CELLS, CONSTANT_FORMS, FEATURE, WINDOWED, Graph
from crucible.strategies.program import Expression

# Registers of roots that are numbers, until it is known how many others there are.
LATER = 1 << 24
# A common step stays beside what it reads while that thread is ahead by so many of it.
NEARNESS = 4.0


@dataclass(frozen=True, slots=True)
class LinearProgram:
    """Steps that compute the signals, or the numbers, of one or many programs.

    Attributes
    ----------
    features : tuple of str
        The features that steps read where a source is negative: -1 is the first.
    code : ndarray of int32, shape (steps, 7)
        Step, target (of ``TRADE``: number of the root), three sources, window, offset into the
        state.
    constants : ndarray of float32, shape (steps,)
        The constant argument of a step that has one.
    ends : tuple of int
        Where the steps of each thread end. What several threads read comes first, and a thread
        waits by a step (``WAIT``) for what another has said is done (``MARK``).
    roots : ndarray of int64, shape (programs,)
        Root of each program; equal programs have one.
    warmups : ndarray of int64, shape (roots that trade,)
        Rows each root must have seen before it signals.
    registers, conditions : int
        Registers needed for numbers and for conditions.
    values : int
        Roots that are numbers; they stay in registers of their own behind the others.
    tails, cells : int
        Length of the state that is carried from block to block: past inputs, and float64 cells.
    shared : int
        Distinct subtrees; the total before sharing is in `nodes`.
    nodes : int
    """

    features: tuple[str, ...]
    code: npt.NDArray[np.int32]
    constants: npt.NDArray[np.float32]
    ends: tuple[int, ...]
    roots: npt.NDArray[np.int64]
    warmups: npt.NDArray[np.int64]
    registers: int
    conditions: int
    values: int
    tails: int
    cells: int
    shared: int
    nodes: int


def compile_programs(programs: Sequence[Expression]) -> LinearProgram:
    """Compile programs into one linear program for one thread.

    Parameters
    ----------
    programs : sequence of tuple
        As `parse_program` returns them, or numeric expressions.
    """
    return emit(Graph(programs), [range(len(programs))])


def emit(graph: Graph, shares: Sequence[Sequence[int]]) -> LinearProgram:
    """Order the steps of some programs of a graph and give them registers.

    Parameters
    ----------
    graph : Graph
    shares : sequence of sequence of int
        Programs, by index, of each thread. Steps that several threads need are computed once, by
        one of them.
    """
    return _Emitter(graph, shares).run()


class _Registers:
    """Numbers of registers, the one a thread freed last given out first: it is in its cache."""

    def __init__(self, threads: int) -> None:
        self.count = 0
        self.free: list[list[int]] = [[] for _ in range(threads)]

    def take(self, thread: int) -> int:
        """Give a register out."""
        free = self.free[thread]
        if free:
            return free.pop()
        self.count += 1
        return self.count - 1


class _Emitter:
    """Gives every node of some programs a thread, a place in its steps, and a register."""

    def __init__(self, graph: Graph, shares: Sequence[Sequence[int]]) -> None:
        self._graph = graph
        self._nodes = graph.nodes
        self._shares = [[graph.roots[index] for index in share] for share in shares]
        self._numbers = _Registers(len(shares))
        self._conditions = _Registers(len(shares))
        self._home: dict[int, int] = {}
        self._uses = [0] * len(graph.nodes)
        self._wanted = [0] * len(graph.nodes)
        self._roots = {root for share in self._shares for root in share}
        self._place: dict[int, int] = {}
        self._rows: list[int] = []
        self._constants: list[float] = []
        self._warmups: list[int] = []
        self._values = self._tails = self._cells = 0

    def run(self) -> LinearProgram:
        """Emit every step."""
        nodes, graph = self._nodes, self._graph
        order = self._needed()
        features = sorted(
            (node for node in order if nodes[node][0] == FEATURE),
            key=lambda node: graph.features[nodes[node][4]],
        )
        self._home = {node: -1 - place for place, node in enumerate(features)}
        ends = self._schedule(order)
        code = np.array(self._rows, dtype=np.int32).reshape(-1, 7)
        registers = max(1, self._numbers.count)
        places = code[:, 1:5]
        places[places >= LATER] += registers - LATER
        roots = [root for share in self._shares for root in share]
        return LinearProgram(
            features=tuple(graph.features[nodes[node][4]] for node in features),
            code=code,
            constants=np.array(self._constants, dtype=np.float32),
            ends=ends,
            roots=np.array([self._place[root] for root in roots], dtype=np.int64),
            warmups=np.array(self._warmups, dtype=np.int64),
            registers=registers,
            conditions=max(1, self._conditions.count),
            values=self._values,
            tails=max(1, self._tails),
            cells=max(1, self._cells),
            shared=len(order),
            nodes=sum(graph.sizes[root] for root in roots),
        )

    # --- who computes what -----------------------------------------------------------------------

    def _needed(self) -> list[int]:
        """Every node below the roots once, children first; counts who reads it, and how often."""
        wanted, uses, children = self._wanted, self._uses, self._graph.children
        for thread, share in enumerate(self._shares):
            for root in share:
                wanted[root] |= 1 << thread
                # A root is read once more, where it leaves the program.
                uses[root] = 1
        for number in range(len(wanted) - 1, -1, -1):
            if wanted[number]:
                for child in children[number]:
                    wanted[child] |= wanted[number]
                    uses[child] += 1
        return [number for number, threads in enumerate(wanted) if threads]

    def _schedule(self, order: list[int]) -> tuple[int, ...]:
        """Emit the steps of each thread: its part of the common ones, then its own."""
        threads = range(len(self._shares))
        own: list[list[int]] = [[] for _ in threads]
        common = []
        for number in order:
            readers = self._wanted[number]
            if self._nodes[number][0] in (FEATURE, k.FILL):
                if number in self._roots:
                    own[0].append(number)
            elif readers & (readers - 1):
                common.append(number)
            else:
                own[readers.bit_length() - 1].append(number)
        shared = self._divide(common, own)
        # What several threads read keeps its register for the whole block.
        for number in common:
            self._uses[number] += 1
            self._settle(number, 0)
        made = {
            number: (thread, mark)
            for thread, part in enumerate(shared)
            for mark, number in enumerate(part, 1)
        }
        ends = []
        for thread in threads:
            seen = [0] * len(shared)
            for mark, number in enumerate(shared[thread], 1):
                self._await(number, thread, made, seen)
                self._emit(number, thread)
                self._step((k.MARK, 0, mark, 0, 0, 0, 0))
            for number in self._latest_last(own[thread], thread, made) if made else own[thread]:
                if made:
                    self._await(number, thread, made, seen)
                self._settle(number, thread)
                self._emit(number, thread)
            ends.append(len(self._constants))
        return tuple(ends)

    def _latest_last(
        self, own: list[int], thread: int, made: dict[int, tuple[int, int]]
    ) -> list[int]:
        """Put what is above other threads' steps behind the rest, so that nobody waits early."""
        late: set[int] = set()
        for number in own:
            for child in self._graph.children[number]:
                if child in late or made.get(child, (thread, 0))[0] != thread:
                    late.add(number)
        return [n for n in own if n not in late] + [n for n in own if n in late]

    def _await(
        self, number: int, thread: int, made: dict[int, tuple[int, int]], seen: list[int]
    ) -> None:
        """Wait for the marks of what a step reads, unless they have been waited for."""
        for child in self._graph.children[number]:
            other, mark = made.get(child, (thread, 0))
            if other != thread and mark > seen[other]:
                seen[other] = mark
                self._step((k.WAIT, 0, other, mark, 0, 0, 0))

    def _divide(self, common: list[int], own: list[list[int]]) -> list[list[int]]:
        """Give each common step to the thread with the least to do, if it can beside its sources."""
        costs = self._graph.costs
        load = [sum(costs[number] for number in part) for part in own]
        shared: list[list[int]] = [[] for _ in own]
        owner: dict[int, int] = {}
        for number in common:
            near = {owner[child] for child in self._graph.children[number] if child in owner}
            thread = load.index(min(load))
            if len(near) == 1:
                (beside,) = near
                # There nobody waits; a few dear steps more make up for it.
                if load[beside] <= load[thread] + NEARNESS * costs[number]:
                    thread = beside
            owner[number] = thread
            load[thread] += costs[number]
            shared[thread].append(number)
        return shared

    # --- steps and registers ---------------------------------------------------------------------

    def _settle(self, number: int, thread: int) -> None:
        """Give a node its register, or a root its number.

        Before its sources are freed: a step never writes what it reads.
        """
        step = self._nodes[number][0]
        if step == k.TRADE:
            self._place[number] = self._home[number] = len(self._warmups)
            self._warmups.append(self._graph.lookbacks[number])
        elif number in self._roots:
            self._place[number] = self._values
            # A leaf is read elsewhere: a feature in its line, a constant laid out for each use.
            if step not in (FEATURE, k.FILL):
                self._home[number] = LATER + self._values
            self._values += 1
        else:
            self._home[number] = self._bank(step).take(thread)

    def _emit(self, number: int, thread: int) -> None:
        nodes, uses, home = self._nodes, self._uses, self._home
        step, first, second, third, window = nodes[number]
        children = self._graph.children[number]
        constant = 0.0
        if not children:
            self._leave(number)
            return
        if step in CONSTANT_FORMS:
            # Where both are constants the first is laid out in a register.
            if nodes[second][0] == k.FILL:
                step, constant, children = CONSTANT_FORMS[step][0], self._constant(second), (first,)
            elif nodes[first][0] == k.FILL:
                step, constant, children = CONSTANT_FORMS[step][1], self._constant(first), (second,)
        sources = [
            home[child] if child in home else self._laid_out(child, thread) for child in children
        ]
        first, second, third = (*sources, 0, 0)[:3]
        state = self._state(step, window) if window or step in CELLS else 0
        self._step((step, home[number], first, second, third, window, state), constant)
        for child, source in zip(children, sources, strict=True):
            uses[child] -= 1
            kind = nodes[child][0]
            if kind == k.FILL:
                self._numbers.free[thread].append(source)
            elif uses[child] == 0 and kind != FEATURE:
                self._bank(kind).free[thread].append(source)

    def _leave(self, number: int) -> None:
        """Lay out a root that is a leaf."""
        register = LATER + self._place[number]
        if self._nodes[number][0] == FEATURE:
            self._step((k.VALUE, register, self._home[number], 0, 0, 0, 0))
        else:
            self._step((k.FILL, register, 0, 0, 0, 0, 0), self._constant(number))

    def _laid_out(self, number: int, thread: int) -> int:
        """Fill a register with a constant, afresh for each use."""
        register = self._numbers.take(thread)
        self._step((k.FILL, register, 0, 0, 0, 0, 0), self._constant(number))
        return register

    def _step(self, row: tuple[int, ...], constant: float = 0.0) -> None:
        self._rows += row
        self._constants.append(constant)

    def _bank(self, step: int) -> _Registers:
        return self._conditions if k.GREATER <= step < k.TRADE else self._numbers

    def _constant(self, number: int) -> float:
        return self._graph.constants[self._nodes[number][4]]

    def _state(self, step: int, window: int) -> int:
        """Reserve what a step carries from block to block; where it begins."""
        if step in CELLS:
            self._cells += CELLS[step]
            return self._cells - CELLS[step]
        tail = 0
        if step in WINDOWED:
            tail = window if step in (k.LAG, k.DIFF) else window - 1
        self._tails += tail
        return self._tails - tail
