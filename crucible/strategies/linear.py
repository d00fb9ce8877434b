"""From programs to one linear program: shared subtrees once, registers by liveness.

The linear program is what the interpreter runs. Its results for one root do not depend on the
other roots: a shared subtree has one value whoever asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from crucible.strategies.program import (
    OPERATORS,
    Expression,
    features_of,
    lookback,
)

FILL = 70
TRADE = OPERATORS["trade"].code

# Columns of `LinearProgram.code`.
OPERATION, TARGET, FIRST, SECOND, THIRD, WINDOW, STATE = range(7)


@dataclass(frozen=True, slots=True)
class LinearProgram:
    """Steps that compute the signals of one or many programs.

    Attributes
    ----------
    features : tuple of str
        The feature that fills each of the first registers, before every block.
    code : ndarray of int32, shape (steps, 7)
        Operation, target register (for ``trade``: number of the root), three source registers,
        lookback, offset into the state.
    constants : ndarray of float32, shape (steps,)
        What a ``FILL`` step writes.
    warmups : ndarray of int64, shape (roots,)
        Rows each root must have seen before it signals.
    registers : int
        Registers needed, features included.
    state_size : int
        Length of the float64 state that is carried from block to block.
    shared : int
        Distinct subtrees; the total before sharing is in `nodes`.
    nodes : int
    """

    features: tuple[str, ...]
    code: npt.NDArray[np.int32]
    constants: npt.NDArray[np.float32]
    warmups: npt.NDArray[np.int64]
    registers: int
    state_size: int
    shared: int
    nodes: int


def compile_programs(programs: Sequence[Expression]) -> LinearProgram:
    """Compile programs into one linear program with a root for each, in their order.

    Parameters
    ----------
    programs : sequence of tuple
        As `parse_program` returns them.
    """
    features = tuple(sorted({name for program in programs for name in features_of(program)}))
    graph = _Graph({name: index for index, name in enumerate(features)})
    roots = [graph.add(program) for program in programs]
    return _Emitter(graph, roots, features, [lookback(program) for program in programs]).run()


@dataclass
class _Graph:
    """Hash-consed nodes; a child always has a smaller number than its parent."""

    columns: dict[str, int]
    numbers: dict[tuple[Any, ...], int] = field(default_factory=dict)
    nodes: list[tuple[Any, ...]] = field(default_factory=list)
    total: int = 0

    def add(self, expression: Expression) -> int:
        self.total += 1
        if isinstance(expression, str):
            return self._number(("feature", self.columns[expression]))
        if not isinstance(expression, tuple):
            return self._number(("constant", float(np.float32(expression))))
        operator = OPERATORS[expression[0]]
        window = 0
        parts = expression[1:]
        if operator.code in range(40, 50):
            window = int(parts[-1])
            parts = parts[:-1]
        children = [self.add(part) for part in parts]
        if operator.commutative:
            children.sort()
        return self._number((operator.code, window, *children))

    def _number(self, key: tuple[Any, ...]) -> int:
        number = self.numbers.get(key)
        if number is None:
            number = self.numbers[key] = len(self.nodes)
            self.nodes.append(key)
        return number


class _Emitter:
    """Orders the nodes depth first and gives each a register for as long as it is needed."""

    def __init__(
        self, graph: _Graph, roots: list[int], features: tuple[str, ...], warmups: list[int]
    ) -> None:
        self.graph = graph
        self.roots = roots
        self.features = features
        self.warmups = warmups
        self.registers = len(features)
        self.free: list[int] = []
        self.home: dict[int, int] = {}
        self.rows: list[tuple[int, ...]] = []
        self.constants: list[float] = []
        self.state_size = 0

    def run(self) -> LinearProgram:
        order = self._order()
        uses = [0] * len(self.graph.nodes)
        for number, _ in order:
            for child in self._children(number):
                uses[child] += 1
        for number, root in order:
            children = self._children(number)
            sources = [self._source(child) for child in children]
            self._emit(number, root, sources)
            for child, source in zip(children, sources, strict=True):
                uses[child] -= 1
                kind = self.graph.nodes[child][0]
                # A constant is written afresh for each use, so it never outlives the step.
                if kind == "constant" or (kind != "feature" and uses[child] == 0):
                    self.free.append(source)
        return LinearProgram(
            features=self.features,
            code=np.array(self.rows, dtype=np.int32).reshape(-1, 7),
            constants=np.array(self.constants, dtype=np.float32),
            warmups=np.array(self.warmups, dtype=np.int64),
            registers=max(1, self.registers),
            state_size=max(1, self.state_size),
            shared=len(self.graph.nodes),
            nodes=self.graph.total,
        )

    def _children(self, number: int) -> tuple[int, ...]:
        node = self.graph.nodes[number]
        return () if isinstance(node[0], str) else node[2:]

    def _order(self) -> list[tuple[int, int]]:
        """Every node once, children first, and every root each time it is asked for."""
        order: list[tuple[int, int]] = []
        done: set[int] = set()
        for index, root in enumerate(self.roots):
            stack = list(self._children(root)[::-1])
            while stack:
                number = stack.pop()
                if number >= 0:
                    if number in done or isinstance(self.graph.nodes[number][0], str):
                        continue
                    stack.append(~number)
                    stack.extend(self._children(number)[::-1])
                elif ~number not in done:
                    done.add(~number)
                    order.append((~number, -1))
            order.append((root, index))
        return order

    def _take(self) -> int:
        if self.free:
            return self.free.pop()
        self.registers += 1
        return self.registers - 1

    def _source(self, number: int) -> int:
        node = self.graph.nodes[number]
        if node[0] == "feature":
            return int(node[1])
        if node[0] == "constant":
            register = self._take()
            self.rows.append((FILL, register, 0, 0, 0, 0, 0))
            self.constants.append(node[1])
            return register
        return self.home[number]

    def _emit(self, number: int, root: int, sources: list[int]) -> None:
        code, window = self.graph.nodes[number][:2]
        first, second, third = (*sources, 0, 0, 0)[:3]
        if code == TRADE:
            target = root
        else:
            # Taken before the sources are freed: a step never writes what it reads.
            target = self.home[number] = self._take()
        self.rows.append((code, target, first, second, third, window, self.state_size))
        self.constants.append(0.0)
        self.state_size += _state_of(code, window)


def _state_of(code: int, window: int) -> int:
    """Float64 cells a step carries: its last inputs, or an ema's value and count."""
    name = {operator.code: operator.name for operator in OPERATORS.values()}[code]
    if name in ("lag", "diff"):
        return window
    if name in ("ema", "cross_above", "cross_below"):
        return 2
    return window - 1 if code in range(40, 50) else 0
