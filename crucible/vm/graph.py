"""Programs as one graph in which equal subtrees are one node, whoever asks for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit

from crucible.vm import kernels as k
from crucible.vm.kernels import Doubles, Integers
from crucible.vm.program import EMA_MEMORY, Expression

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
# Time of a step, in steps of plain arithmetic, as measured among a population's other steps. Only how
# evenly threads share the work depends on them.
_DEAR = {k.DIV: 3.5, k.SQUASH: 2.5, k.CHOOSE: 1.5, k.CROSS: 1.5}
_DEAR |= {k.LAG: 2.5, k.DIFF: 2.5, k.MEAN: 15.0, k.STD: 40.0, k.ZSCORE: 53.0, k.EMA: 12.0}
_DEAR |= {k.LOWEST: 5.0, k.HIGHEST: 5.0, k.RANK: 3.6, k.AND: 0.5, k.OR: 0.5, k.NOT: 0.5}
_DEAR |= {k.TRADE: 0.5, FEATURE: 0.0, k.FILL: 0.0}
COSTS = np.array([_DEAR.get(step, 1.0) for step in range(FEATURE + 1)])
# What each row of its window adds to a rank.
RANK_ROW = 0.4


class Graph:
    """Programs as hash-consed nodes; a child always has a smaller number than its parent.

    Parameters
    ----------
    programs : sequence of tuple
        As `parse_program` returns them, or numeric expressions.

    Attributes
    ----------
    nodes : ndarray of int64, shape (nodes, 5)
        See `Node`.
    roots : list of int
        Node of each program.
    lookbacks : ndarray of int64, shape (nodes,)
        Rows that each node looks at, as `crucible.vm.program.lookback` counts them.
    sizes : ndarray of int64, shape (nodes,)
        Nodes of the tree below each node, itself included, shared subtrees counted each time.
    costs : ndarray of float64, shape (nodes,)
        Time of each node, in steps of plain arithmetic.
    features : list of str
    constants : list of float
    """

    def __init__(self, programs: Sequence[Expression]) -> None:
        self.features: list[str] = []
        self.constants: list[float] = []
        self._places: dict[float, int] = {}
        self._numbers: dict[Node, int] = {}
        known = _Known(self._node)
        self.roots = [known[program] for program in programs]
        cells = chain.from_iterable(self._numbers)
        self.nodes = np.fromiter(cells, np.int64, 5 * len(self._numbers)).reshape(-1, 5)
        steps, windows = self.nodes[:, 0], np.where(self.leaves, 0, self.nodes[:, 4])
        self.costs = COSTS[steps] + RANK_ROW * windows * (steps == k.RANK)
        self.lookbacks = _rows_behind(steps, windows)
        # A window is a node of the tree.
        self.sizes = 1 + (windows > 0)
        _measure(self.nodes, self.lookbacks, self.sizes)

    @property
    def leaves(self) -> npt.NDArray[np.bool_]:
        """Which nodes are features or constants, shape (nodes,)."""
        return np.isin(self.nodes[:, 0], (FEATURE, k.FILL))

    def split(self, programs: Sequence[int], parts: int) -> list[list[int]]:
        """Cut programs, by index, into parts of about equal work, relatives side by side.

        Relatives are those whose dearest node is the same. What several read is work of each of
        them in equal shares.
        """
        roots = np.array(self.roots, np.int64)[programs]
        dearest, share = np.arange(len(self.nodes)), self.costs.copy()
        _weigh(self.nodes, self.costs, roots, dearest, share)
        order = np.lexsort((roots, dearest[roots]))
        work = np.cumsum(share[roots[order]])
        ends = np.searchsorted(work, work[-1] * np.arange(1, parts) / parts)
        members = np.array(programs, np.int64)[order]
        return [part.tolist() for part in np.split(members, ends) if len(part)]

    def _node(self, expression: Expression, known: _Known) -> int:
        """Make the node of an expression that was not met before; gives its number."""
        if isinstance(expression, tuple):
            node = _operator(expression, known)
        elif isinstance(expression, str):
            self.features.append(expression)
            node = FEATURE, NOTHING, NOTHING, NOTHING, len(self.features) - 1
        else:
            # No operator tells -0 from 0.
            value = float(np.float32(expression)) + 0.0
            place = self._places.setdefault(value, len(self.constants))
            if place == len(self.constants):
                self.constants.append(value)
            node = k.FILL, NOTHING, NOTHING, NOTHING, place
        return self._numbers.setdefault(node, len(self._numbers))


class _Known(dict[Expression, int]):
    """Numbers of expressions; one that is not there yet is made."""

    def __init__(self, make: Callable[[Expression, _Known], int]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, expression: Expression) -> int:
        number = self[expression] = self._make(expression, self)
        return number


def _operator(expression: tuple[Any, ...], known: _Known) -> Node:
    """Node of an operator, the arguments that may change places in the order of their numbers."""
    step, reverse, windowed = STEPS[expression[0]]
    if windowed:
        return step, known[expression[1]], NOTHING, NOTHING, int(expression[2])
    if len(expression) == 2:
        return step, known[expression[1]], NOTHING, NOTHING, 0
    first, second = known[expression[1]], known[expression[2]]
    if len(expression) == 4:
        return step, first, second, known[expression[3]], 0
    if reverse or (first > second and step in COMMUTATIVE):
        first, second = second, first
    return step, first, second, NOTHING, 0


def _rows_behind(steps: Integers, windows: Integers) -> Integers:
    """Rows that each node looks at beyond those that its children look at."""
    rows = np.maximum(windows - 1, 0)
    rows[steps == k.EMA] = EMA_MEMORY * windows[steps == k.EMA]
    rows[np.isin(steps, (k.LAG, k.DIFF))] += 1
    rows[steps == k.CROSS] = 1
    rows[np.isin(steps, (FEATURE, k.FILL))] = 1
    return rows


# What is compiled fills arrays that it is given: an interrupt is lost while numba makes one.


@njit(cache=True)
def _measure(nodes: Integers, lookbacks: Integers, sizes: Integers) -> None:
    """Add to each node's own rows and size those of its children."""
    for number in range(len(nodes)):
        rows = 0
        for child in nodes[number, 1:4]:
            if child != NOTHING:
                rows = max(rows, lookbacks[child])
                sizes[number] += sizes[child]
        lookbacks[number] += rows


@njit(cache=True)
def _weigh(
    nodes: Integers, costs: Doubles, roots: Integers, dearest: Integers, share: Doubles
) -> None:
    """Find the dearest node below each node, and add up work, what several read in equal shares."""
    readers = np.zeros(len(nodes))
    for number in range(len(nodes)):
        for child in nodes[number, 1:4]:
            if child != NOTHING:
                readers[child] += 1
                if costs[dearest[child]] > costs[dearest[number]]:
                    dearest[number] = dearest[child]
    for root in roots:
        readers[root] += 1
    for number in range(len(nodes)):
        for child in nodes[number, 1:4]:
            if child != NOTHING:
                share[number] += share[child]
        share[number] /= max(1.0, readers[number])
