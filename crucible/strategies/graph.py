"""Programs as one graph in which equal subtrees are one node, whoever asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

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
_WORDS: dict[str, tuple[int, bool]] = {
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
# The same, and whether the last argument is a window.
STEPS = {word: (step, reverse, step in WINDOWED) for word, (step, reverse) in _WORDS.items()}
# Time of a step, in steps of plain arithmetic, as measured; windows of 60 rows. Only how evenly
# threads share the work depends on them.
COSTS = {k.DIV: 8.0, k.C_DIV: 8.0, k.SQUASH: 3.0, k.CHOOSE: 2.5, k.GREATER: 1.5, k.CROSS: 2.5}
COSTS |= {k.LAG: 3.5, k.DIFF: 3.5, k.MEAN: 43.0, k.STD: 110.0, k.ZSCORE: 125.0, k.EMA: 36.0}
COSTS |= {k.LOWEST: 14.0, k.HIGHEST: 14.0, k.AND: 0.1, k.OR: 0.1, k.NOT: 0.1, k.TRADE: 0.3}
RANK_ROW = 2.2


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
    children : list of tuple
        Nodes that each node reads.
    costs : list of float
        Time of each node, in steps of plain arithmetic.
    sizes : list of int
        Nodes of the tree below each node, itself included, shared subtrees counted each time.
    features : list of str
    constants : list of float
    """

    def __init__(self, programs: Sequence[Expression]) -> None:
        self.nodes: list[Node] = []
        self.children: list[tuple[int, ...]] = []
        self.costs: list[float] = []
        self.lookbacks: list[int] = []
        self.sizes: list[int] = []
        self.features: list[str] = []
        self.constants: list[float] = []
        self._numbers: dict[Node, int] = {}
        self._known: dict[Expression, int] = {}
        self._places: dict[float, int] = {}
        self.roots = [self._add(program) for program in programs]

    def split(self, programs: Sequence[int], parts: int) -> list[list[int]]:
        """Cut programs, by index, into parts of about equal work, relatives side by side.

        Relatives are those whose dearest node is the same. What several read is work of each of
        them in equal shares.
        """
        costs = self.costs
        readers = [0] * len(costs)
        dearest = list(range(len(costs)))
        for number, children in enumerate(self.children):
            for child in children:
                readers[child] += 1
                if costs[dearest[child]] > costs[dearest[number]]:
                    dearest[number] = dearest[child]
        for index in programs:
            readers[self.roots[index]] += 1
        share = [0.0] * len(costs)
        for number, children in enumerate(self.children):
            total = costs[number] + sum([share[child] for child in children])
            share[number] = total / max(1, readers[number])
        order = sorted(programs, key=lambda index: (dearest[self.roots[index]], self.roots[index]))
        work = np.cumsum([share[self.roots[index]] for index in order])
        ends = np.searchsorted(work, work[-1] * np.arange(1, parts) / parts)
        return [part.tolist() for part in np.split(np.array(order, int), ends) if len(part)]

    def _add(self, expression: Expression) -> int:
        number = self._known.get(expression)
        if number is None:
            if isinstance(expression, tuple):
                number = self._operator(expression)
            else:
                number = self._leaf(expression)
            self._known[expression] = number
        return number

    def _operator(self, expression: tuple[Any, ...]) -> int:
        step, reverse, windowed = STEPS[expression[0]]
        window = int(expression[-1]) if windowed else 0
        add = self._add
        children = [add(part) for part in (expression[1:-1] if windowed else expression[1:])]
        if reverse:
            children.reverse()
        elif step in COMMUTATIVE:
            children.sort()
        count = len(children)
        if count == 2:
            node = step, children[0], children[1], NOTHING, window
        elif count == 1:
            node = step, children[0], NOTHING, NOTHING, window
        else:
            node = step, children[0], children[1], children[2], window
        number = self._numbers.get(node)
        if number is None:
            lookbacks, sizes = self.lookbacks, self.sizes
            rows, size = 0, 1 + windowed
            for child in children:
                rows = max(rows, lookbacks[child])
                size += sizes[child]
            number = self._node(node, tuple(children), rows + _rows_behind(step, window), size)
        return number

    def _leaf(self, expression: str | float) -> int:
        if isinstance(expression, str):
            self.features.append(expression)
            place = len(self.features) - 1
            return self._node((FEATURE, NOTHING, NOTHING, NOTHING, place), (), 1, 1)
        # No operator tells -0 from 0.
        value = float(np.float32(expression)) + 0.0
        place = self._places.setdefault(value, len(self.constants))
        if place < len(self.constants):
            return self._numbers[k.FILL, NOTHING, NOTHING, NOTHING, place]
        self.constants.append(value)
        return self._node((k.FILL, NOTHING, NOTHING, NOTHING, place), (), 1, 1)

    def _node(self, node: Node, children: tuple[int, ...], rows: int, size: int) -> int:
        number = self._numbers[node] = len(self.nodes)
        self.nodes.append(node)
        self.children.append(children)
        self.costs.append(_cost(node))
        self.lookbacks.append(rows)
        self.sizes.append(size)
        return number


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
        return 5.0 + RANK_ROW * node[4]
    return 0.0 if node[0] in (FEATURE, k.FILL) else COSTS.get(node[0], 1.0)
