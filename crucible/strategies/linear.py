"""From programs to linear programs: shared subtrees once, registers by liveness.

A linear program is what the interpreter runs. Its results for one root do not depend on the other
roots: a shared subtree has one value whoever asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from crucible.strategies import kernels as k
from crucible.strategies.program import EMA_MEMORY, Expression

Node: TypeAlias = tuple[int, int, int, int, int]
"""Step, the numbers of up to three nodes it reads, window. A feature or a constant (``FILL``) reads
none, and has its place among the features or constants instead of a window."""

NOTHING = -1
FEATURE = 50
WINDOWED = range(k.LAG, k.EMA + 1)
CELLS = {k.EMA: k.EMA_CELLS, k.CROSS: 2, k.CROSS_C: 2, k.C_CROSS: 2}
COMMUTATIVE = (k.ADD, k.MUL, k.MIN, k.MAX, k.AND, k.OR)
# The step for a constant second argument, and for a constant first one.
CONSTANT_FORMS = {
    k.ADD: (k.ADD_C, k.ADD_C),
    k.SUB: (k.SUB_C, k.C_SUB),
    k.MUL: (k.MUL_C, k.MUL_C),
    k.DIV: (k.DIV_C, k.C_DIV),
    k.MIN: (k.MIN_C, k.MIN_C),
    k.MAX: (k.MAX_C, k.MAX_C),
    k.GREATER: (k.GREATER_C, k.LESS_C),
    k.CROSS: (k.CROSS_C, k.C_CROSS),
}
# Step of each word, and whether its two arguments change places: a < b is b > a.
STEPS: dict[str, tuple[int, bool]] = {
    "add": (k.ADD, False),
    "sub": (k.SUB, False),
    "mul": (k.MUL, False),
    "div": (k.DIV, False),
    "min": (k.MIN, False),
    "max": (k.MAX, False),
    "gt": (k.GREATER, False),
    "lt": (k.GREATER, True),
    "and": (k.AND, False),
    "or": (k.OR, False),
    "cross_above": (k.CROSS, False),
    "cross_below": (k.CROSS, True),
    "abs": (k.ABS, False),
    "neg": (k.NEG, False),
    "squash": (k.SQUASH, False),
    "not": (k.NOT, False),
    "if": (k.CHOOSE, False),
    "lag": (k.LAG, False),
    "diff": (k.DIFF, False),
    "mean": (k.MEAN, False),
    "std": (k.STD, False),
    "lowest": (k.LOWEST, False),
    "highest": (k.HIGHEST, False),
    "rank": (k.RANK, False),
    "zscore": (k.ZSCORE, False),
    "ema": (k.EMA, False),
    "trade": (k.TRADE, False),
}
# Time of a step, in steps of plain arithmetic; windows add their share. Only splits work evenly.
COSTS = {k.DIV: 9.0, k.C_DIV: 9.0, k.SQUASH: 4.0, k.EMA: 14.0, k.MEAN: 25.0, k.STD: 60.0}
COSTS |= {k.ZSCORE: 80.0, k.LOWEST: 8.0, k.HIGHEST: 8.0, k.RANK: 5.0, k.LAG: 2.5, k.DIFF: 2.5}
COSTS |= {k.AND: 0.1, k.OR: 0.1, k.NOT: 0.1, k.TRADE: 20.0}


@dataclass(frozen=True, slots=True)
class LinearProgram:
    """Steps that compute the signals, or the numbers, of one or many programs.

    Attributes
    ----------
    features : tuple of str
        The feature that fills each of the first registers, before every block.
    code : ndarray of int32, shape (steps, 7)
        Step, target (for ``TRADE`` and ``VALUE``: number of the root), three sources, window,
        offset into the state.
    constants : ndarray of float32, shape (steps,)
        The constant argument of a step that has one.
    roots : ndarray of int64, shape (programs,)
        Root of each program; equal programs have one.
    warmups : ndarray of int64, shape (roots that trade,)
        Rows each root must have seen before it signals.
    registers, conditions : int
        Registers needed for numbers, features included, and for conditions.
    values : int
        Roots that are numbers.
    tails, cells : int
        Length of the state that is carried from block to block: past inputs, and float64 cells.
    shared : int
        Distinct subtrees; the total before sharing is in `nodes`.
    nodes : int
    """

    features: tuple[str, ...]
    code: npt.NDArray[np.int32]
    constants: npt.NDArray[np.float32]
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
    """Compile programs into one linear program.

    Parameters
    ----------
    programs : sequence of tuple
        As `parse_program` returns them, or numeric expressions.
    """
    graph = Graph(programs)
    return graph.emit(range(len(programs)))


class Graph:
    """Programs as hash-consed nodes; a child always has a smaller number than its parent.

    Parameters
    ----------
    programs : sequence of tuple
        As `parse_program` returns them, or numeric expressions.

    Attributes
    ----------
    nodes : list of Node
    roots : list of int
        Node of each program.
    lookbacks : list of int
        Rows that each node looks at, as `crucible.strategies.program.lookback` counts them.
    sizes : list of int
        Nodes of the tree below each node, itself included, shared subtrees counted each time.
    features : list of str
    constants : list of float
    """

    def __init__(self, programs: Sequence[Expression]) -> None:
        self.nodes: list[Node] = []
        self.lookbacks: list[int] = []
        self.sizes: list[int] = []
        self.features: list[str] = []
        self.constants: list[float] = []
        self._numbers: dict[Node, int] = {}
        self._known: dict[Expression, int] = {}
        self.roots = [self._add(program) for program in programs]

    def emit(self, programs: Iterable[int]) -> LinearProgram:
        """Order the steps of some of the programs, by index, and give them registers."""
        return Emitter(self, [self.roots[index] for index in programs]).run()

    def split(self, programs: Sequence[int], parts: int) -> list[list[int]]:
        """Cut programs, by index, into parts of about equal work, relatives side by side.

        Relatives are those whose dearest node is the same.
        """
        costs = [_cost(node) for node in self.nodes]
        dearest = list(range(len(self.nodes)))
        for number, node in enumerate(self.nodes):
            for child in children_of(node):
                if costs[dearest[child]] > costs[dearest[number]]:
                    dearest[number] = dearest[child]
        order = sorted(programs, key=lambda index: (dearest[self.roots[index]], self.roots[index]))
        seen: set[int] = set()
        work = []
        for index in order:
            stack = [self.roots[index]]
            total = COSTS[k.TRADE]
            while stack:
                number = stack.pop()
                if number not in seen:
                    seen.add(number)
                    total += costs[number]
                    stack.extend(children_of(self.nodes[number]))
            work.append(total)
        ends = np.searchsorted(np.cumsum(work), np.sum(work) * np.arange(1, parts) / parts)
        return [part.tolist() for part in np.split(np.array(order, int), ends) if len(part)]

    def _add(self, expression: Expression) -> int:
        known = self._known.get(expression)
        if known is not None:
            return known
        if isinstance(expression, tuple):
            number = self._operator(expression)
        elif isinstance(expression, str):
            self.features.append(expression)
            place = len(self.features) - 1
            number = self._node((FEATURE, NOTHING, NOTHING, NOTHING, place), 1, 1)
        else:
            # No operator tells -0 from 0.
            self.constants.append(float(np.float32(expression)) + 0.0)
            place = self.constants.index(self.constants[-1])
            number = self._node((k.FILL, NOTHING, NOTHING, NOTHING, place), 1, 1)
        self._known[expression] = number
        return number

    def _operator(self, expression: tuple[Any, ...]) -> int:
        name, *parts = expression
        step, reverse = STEPS[name]
        window = 0
        if step in WINDOWED:
            window = int(parts.pop())
        children = [self._add(part) for part in parts]
        rows = max([self.lookbacks[child] for child in children]) + _rows_behind(step, window)
        size = 1 + (window > 0) + sum([self.sizes[child] for child in children])
        if reverse:
            children.reverse()
        elif step in COMMUTATIVE:
            children.sort()
        first, second, third = (*children, NOTHING, NOTHING)[:3]
        return self._node((step, first, second, third, window), rows, size)

    def _node(self, node: Node, rows: int, size: int) -> int:
        number = self._numbers.get(node)
        if number is None:
            number = self._numbers[node] = len(self.nodes)
            self.nodes.append(node)
            self.lookbacks.append(rows)
            self.sizes.append(size)
        return number


class _Registers:
    """Numbers of registers, the one freed last given out first: it is in the nearest cache."""

    def __init__(self) -> None:
        self.count = 0
        self.free: list[int] = []

    def take(self) -> int:
        """Give a register out."""
        if self.free:
            return self.free.pop()
        self.count += 1
        return self.count - 1


class Emitter:
    """Orders nodes depth first and gives each a register for as long as it is needed.

    Parameters
    ----------
    graph : Graph
    roots : list of int
        Nodes wanted, one for each program.
    """

    def __init__(self, graph: Graph, roots: list[int]) -> None:
        self._graph = graph
        self._nodes = graph.nodes
        self._roots = roots
        self._numbers = _Registers()
        self._conditions = _Registers()
        self._home: dict[int, int] = {}
        self._uses: dict[int, int] = {}
        self._rows: list[tuple[int, ...]] = []
        self._constants: list[float] = []
        self._warmups: list[int] = []
        self._values = self._tails = self._cells = 0

    def run(self) -> LinearProgram:
        """Emit every step."""
        nodes, graph = self._nodes, self._graph
        place = dict.fromkeys(self._roots, 0)
        order = self._order(place)
        features = sorted(
            (node for node in self._uses if nodes[node][0] == FEATURE),
            key=lambda node: graph.features[nodes[node][4]],
        )
        for node in features:
            self._home[node] = self._numbers.take()
        for number in order:
            if nodes[number][0] not in (FEATURE, k.FILL):
                self._emit(number)
            if number in place:
                place[number] = self._finish(number)
        return LinearProgram(
            features=tuple(graph.features[nodes[node][4]] for node in features),
            code=np.array(self._rows, dtype=np.int32).reshape(-1, 7),
            constants=np.array(self._constants, dtype=np.float32),
            roots=np.array([place[number] for number in self._roots], dtype=np.int64),
            warmups=np.array(self._warmups, dtype=np.int64),
            registers=max(1, self._numbers.count),
            conditions=max(1, self._conditions.count),
            values=self._values,
            tails=max(1, self._tails),
            cells=max(1, self._cells),
            shared=len(order),
            nodes=sum(graph.sizes[number] for number in self._roots),
        )

    def _order(self, roots: Iterable[int]) -> list[int]:
        """Every node once, children first; counts how often each is read."""
        order: list[int] = []
        uses = self._uses
        for root in roots:
            # A root is read once more, where it leaves the program.
            stack = [root]
            while stack:
                number = stack.pop()
                if number < 0:
                    order.append(~number)
                elif number not in uses:
                    uses[number] = 0
                    stack.append(~number)
                    stack.extend(children_of(self._nodes[number])[::-1])
        for number in order:
            for child in children_of(self._nodes[number]):
                uses[child] += 1
        for root in roots:
            uses[root] += 1
        return order

    def _emit(self, number: int) -> None:
        step, *arguments, window = self._nodes[number]
        children = [child for child in arguments if child >= 0]
        constant = 0.0
        if step in CONSTANT_FORMS:
            which = [self._nodes[child][0] == k.FILL for child in children]
            if any(which):
                # Where both are constants the first is laid out in a register.
                fixed = children.pop(1 if which[1] else 0)
                step = CONSTANT_FORMS[step][0 if which[1] else 1]
                constant = self._constant(fixed)
        sources = [self._source(child) for child in children]
        if step == k.TRADE:
            target = len(self._warmups)
            self._warmups.append(self._graph.lookbacks[number])
        else:
            # Taken before the sources are freed: a step never writes what it reads.
            target = self._home[number] = self._bank(step).take()
        state = self._state(step, window)
        first, second, third = (*sources, 0, 0)[:3]
        self._step((step, target, first, second, third, window, state), constant)
        for child, source in zip(children, sources, strict=True):
            self._release(child, source)

    def _finish(self, number: int) -> int:
        """Return the number of a root whose node is done; numbers leave by a step."""
        if self._nodes[number][0] == k.TRADE:
            return len(self._warmups) - 1
        source = self._source(number)
        self._step((k.VALUE, self._values, source, 0, 0, 0, 0), 0.0)
        self._release(number, source)
        self._values += 1
        return self._values - 1

    def _step(self, row: tuple[int, ...], constant: float) -> None:
        self._rows.append(row)
        self._constants.append(constant)

    def _source(self, number: int) -> int:
        if self._nodes[number][0] != k.FILL:
            return self._home[number]
        # A constant is laid out afresh for each use.
        register = self._numbers.take()
        self._step((k.FILL, register, 0, 0, 0, 0, 0), self._constant(number))
        return register

    def _release(self, number: int, source: int) -> None:
        step = self._nodes[number][0]
        self._uses[number] -= 1
        if step == k.FILL or (step != FEATURE and self._uses[number] == 0):
            self._bank(step).free.append(source)

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


def children_of(node: Node) -> tuple[int, ...]:
    """Nodes that a node reads."""
    _, first, second, third, _ = node
    if first < 0:
        return ()
    if second < 0:
        return (first,)
    return (first, second) if third < 0 else (first, second, third)


def _rows_behind(step: int, window: int) -> int:
    if step == k.EMA:
        return EMA_MEMORY * window
    if step in (k.LAG, k.DIFF):
        return window
    if step == k.CROSS:
        return 1
    return window - 1 if window else 0


def _cost(node: Node) -> float:
    if node[0] == k.RANK:
        return COSTS[k.RANK] + node[4]
    return 0.0 if node[0] in (FEATURE, k.FILL) else COSTS.get(node[0], 1.0)
