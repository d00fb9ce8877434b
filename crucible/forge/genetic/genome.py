"""Genetic programs as DEAP trees: what they are made of, and writing them down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
from deap import gp

from crucible.features.frame import FeatureFrame
from crucible.forge.candidates import Quality
from crucible.market.candles import Floats
from crucible.strategies.contract import Exits
from crucible.vm.program import (
    OPERATORS,
    Expression,
    ValueType,
    canonical,
    lookback,
    parse_program,
)

Node: TypeAlias = Any
"""DEAP's primitive or terminal."""
Primitives: TypeAlias = Any
"""DEAP's typed primitive set."""
T = TypeVar("T", int, float)

LOOKBACKS = (2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 240)
# Quantiles of a feature below which (or above one minus which) something rare happens.
TAIL = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07)

MOST_GENOME_NODES = 48
MOST_HEIGHT = 8


class Ratio:
    """DEAP's type of a number without bounds."""


class Bounded(Ratio):
    """DEAP's type of a number within -1 and 1."""


class Boolean:
    """DEAP's type of true, false or unknown."""


class Window:
    """DEAP's type of a lookback in candles."""


class SignalType:
    """DEAP's type of the root: a signal."""


TYPES: dict[ValueType, type] = {
    ValueType.RATIO: Ratio,
    ValueType.BOUNDED: Bounded,
    ValueType.BOOLEAN: Boolean,
    ValueType.WINDOW: Window,
    ValueType.SIGNAL: SignalType,
}


class Genome(gp.PrimitiveTree):
    """A typed tree with the exits that are evolved beside it.

    `looks` is how many trials went into making it, itself included.
    """

    def __init__(self, nodes: Sequence[Node], exits: Exits, trial_count: int = 1) -> None:
        super().__init__(nodes)
        self.exits = exits
        self.trial_count = trial_count
        self.fitness = Quality()

    def __deepcopy__(self, memo: dict[int, Any]) -> Genome:
        copy = Genome(list(self), self.exits)
        copy.fitness = type(self.fitness)(self.fitness.values)
        return copy

    @property
    def tree_expression(self) -> Expression:
        """The tree as it stands, node for node: what a checkpoint keeps."""
        return _to_expression(self, 0)[0]

    @property
    def program(self) -> Expression:
        """The tree as a program; arguments of commutative operators in a canonical order."""
        return canonical(self.tree_expression)

    @property
    def buying_features(self) -> frozenset[str]:
        """Names of the features in the rule to buy."""
        return frozenset(
            node.value
            for node in self[self.searchSubtree(1)]
            if node.arity == 0 and isinstance(node.value, str)
        )

    @property
    def key(self) -> str:
        """What makes two genomes the same trial."""
        return repr((self.program, self.exits.stop, self.exits.target, self.exits.timeout))


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Quantiles of every feature over the training rows: constants worth comparing it with.

    Attributes
    ----------
    names : tuple of str
        Features with at least two distinct present values.
    values : ndarray of float64, shape (features, quantiles)
    """

    names: tuple[str, ...]
    values: Floats

    @classmethod
    def of(cls, frame: FeatureFrame, rows: slice) -> Thresholds:
        """Measure the quantiles over the rows; half of them in the tails, where events are."""
        levels = np.array([*TAIL, *np.linspace(0.1, 0.9, 2 * len(TAIL)), *(1 - q for q in TAIL)])
        names: list[str] = []
        values: list[Floats] = []
        for index, name in enumerate(frame.schema.names):
            column = frame.values[rows, index]
            column = column[np.isfinite(column)]
            if len(column) and column.min() < column.max():
                names.append(name)
                values.append(np.quantile(column, levels))
        return cls(tuple(names), np.array(values).reshape(len(names), len(levels)))


def fits(genome: Genome, most_lookback: int) -> bool:
    """Whether a genome keeps the bloat limits: nodes, height and lookback in rows."""
    if len(genome) > MOST_GENOME_NODES or genome.height > MOST_HEIGHT:
        return False
    return lookback(genome.program) <= most_lookback


def primitives(features: Sequence[str]) -> Primitives:
    """Return the typed vocabulary over the given features."""
    pset = gp.PrimitiveSetTyped("trade", [], SignalType)
    for operator in OPERATORS.values():
        arguments = [TYPES[argument] for argument in operator.arguments]
        pset.addPrimitive(None, arguments, TYPES[operator.returns], name=operator.name)
    for name in features:
        pset.addTerminal(name, Ratio)
    for rows in LOOKBACKS:
        pset.addTerminal(rows, Window)
    return pset


def words_of(pset: Primitives) -> dict[str, Any]:
    """Operators by name."""
    return {word.name: word for words in pset.primitives.values() for word in words}


def constant(value: float, kind: type) -> Node:
    """Return a terminal of five digits."""
    return gp.Terminal(float(f"{value:.5g}"), False, kind)  # noqa: FBT003


def feature(name: str) -> Node:
    """Return the terminal of a feature."""
    return gp.Terminal(name, False, Ratio)  # noqa: FBT003


def window(rows: int) -> Node:
    """Return the terminal of a lookback."""
    return gp.Terminal(rows, False, Window)  # noqa: FBT003


def _to_expression(nodes: Sequence[Node], index: int) -> tuple[Expression, int]:
    node = nodes[index]
    index += 1
    if node.arity == 0:
        return node.value, index
    parts: list[Expression] = []
    for _ in range(node.arity):
        part, index = _to_expression(nodes, index)
        parts.append(part)
    return (node.name, *parts), index


def from_expression(pset: Primitives, value: object, exits: Exits) -> Genome:
    """Return a genome from a program's JSON or tuples."""
    words = words_of(pset)
    nodes: list[Node] = []

    def visit(part: Expression, kind: type) -> None:
        if isinstance(part, tuple):
            word = words[part[0]]
            nodes.append(word)
            for child, argument in zip(part[1:], word.args, strict=True):
                visit(child, argument)
        elif isinstance(part, str):
            nodes.append(feature(part))
        elif kind is Window:
            nodes.append(window(int(part)))
        else:
            nodes.append(gp.Terminal(float(part), False, kind))  # noqa: FBT003

    visit(parse_program(value), SignalType)
    return Genome(nodes, exits)
