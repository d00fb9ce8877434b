"""Genetic programs as DEAP trees: making, varying, and writing them down.

DEAP's own crossover chooses among a set of types, whose order changes from one process to the
next; the operators here choose from lists only, so a seed gives the same trees everywhere.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, TypeVar

import numpy as np
from deap import base, gp

from crucible.features.frame import FeatureFrame
from crucible.market.candles import Floats
from crucible.strategies.contract import Exits
from crucible.strategies.program import (
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
STOPS = (0.003, 0.005, 0.008, 0.012, 0.02, 0.03)
TARGETS = (0.004, 0.006, 0.01, 0.015, 0.025, 0.04)
TIMEOUTS = (15, 30, 60, 120, 240, 480)

# Tails at which every feature is looked at on its own before evolution begins.
SCREENS = (0.01, 0.03, 0.07)
PATIENT = (60, 120, 240)

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


class Wish:
    """DEAP's type of the root: a signal."""


TYPES: dict[ValueType, type] = {
    ValueType.RATIO: Ratio,
    ValueType.BOUNDED: Bounded,
    ValueType.BOOLEAN: Boolean,
    ValueType.WINDOW: Window,
    ValueType.SIGNAL: Wish,
}


class Quality(base.Fitness):
    """Score up, drawdown down, size down."""

    weights = (1.0, -1.0, -1.0)


class Genome(gp.PrimitiveTree):
    """A typed tree with the exits that are evolved beside it.

    `looks` is how many trials went into making it, itself included.
    """

    def __init__(self, nodes: Sequence[Node], exits: Exits, looks: int = 1) -> None:
        super().__init__(nodes)
        self.exits = exits
        self.looks = looks
        self.fitness = Quality()

    def __deepcopy__(self, memo: dict[int, Any]) -> Genome:
        copy = Genome(list(self), self.exits)
        copy.fitness.values = self.fitness.values
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
            node.value for node in self[self.searchSubtree(1)] if node.arity == 0 and isinstance(node.value, str)
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


def toolbox(thresholds: Thresholds) -> base.Toolbox:
    """DEAP's toolbox over the given features.

    It has ``genome()``, ``screens()``, ``mate(a, b)``, ``mutate(a)``, ``join(a, b)``,
    ``narrow(a, feature, threshold, above=...)``, ``tune(a)``,
    ``read(program, exits)``; every random choice comes from the `random` module's global generator,
    which the caller seeds and keeps.
    """
    pset = _primitives(thresholds.names)
    box = base.Toolbox()
    grower = _Grower(pset, thresholds)
    box.register("genome", grower.genome)
    box.register("screens", grower.screens)
    box.register("join", grower.join)
    box.register("narrow", grower.narrow)
    box.register("tune", grower.tune)
    box.register("read", partial(_from_expression, pset))
    box.register("mate", _mate)
    box.register("mutate", grower.mutate)
    return box


def fits(genome: Genome, most_lookback: int) -> bool:
    """Whether a genome keeps the bloat limits: nodes, height and lookback in rows."""
    if len(genome) > MOST_GENOME_NODES or genome.height > MOST_HEIGHT:
        return False
    return lookback(genome.program) <= most_lookback


def _primitives(features: Sequence[str]) -> Primitives:
    pset = gp.PrimitiveSetTyped("trade", [], Wish)
    for operator in OPERATORS.values():
        arguments = [TYPES[argument] for argument in operator.arguments]
        pset.addPrimitive(None, arguments, TYPES[operator.returns], name=operator.name)
    for name in features:
        pset.addTerminal(name, Ratio)
    for rows in LOOKBACKS:
        pset.addTerminal(rows, Window)
    return pset


def _words(pset: Primitives) -> dict[str, Any]:
    return {word.name: word for words in pset.primitives.values() for word in words}


def _constant(value: float, kind: type) -> Node:
    return gp.Terminal(float(f"{value:.5g}"), False, kind)  # noqa: FBT003


def _feature(name: str) -> Node:
    return gp.Terminal(name, False, Ratio)  # noqa: FBT003


def _window(rows: int) -> Node:
    return gp.Terminal(rows, False, Window)  # noqa: FBT003


class _Grower:
    """Makes trees of sensible sentences, and varies them."""

    def __init__(self, pset: Primitives, thresholds: Thresholds) -> None:
        self.pset = pset
        self.thresholds = thresholds
        self.words = _words(pset)
        self.numeric = [word for word in self.words.values() if issubclass(word.ret, Ratio)]

    def genome(self) -> Genome:
        """Return a random genome: a rule to buy, a rule to exit, and exits."""
        buy = self.boolean(random.choice((0, 0, 1, 1, 2, 3)))
        # A rule that leaves at once hides whatever the buying rule is worth: half start rare.
        rare = random.random() < 0.5
        leave = self.rare_comparison() if rare else self.boolean(random.choice((0, 1, 2)))
        return Genome([self.words["trade"], *buy, *leave], random_exits())

    def screens(self) -> list[Genome]:
        """Return one genome for each tail of each feature; every side of each once before any twice.

        It buys in the tail, leaves in the opposite one and has patience with the trade, so that what
        a feature says on its own is seen before rules and exits are combined.
        """
        sides = [
            (index, low) for index in range(len(self.thresholds.names)) for low in (True, False)
        ]
        shares = {side: random.sample(SCREENS, len(SCREENS)) for side in sides}
        places = []
        for turn in range(len(SCREENS)):
            random.shuffle(sides)
            places += [(*side, SCREENS.index(shares[side][turn])) for side in sides]
        result = []
        for index, low, which in places:
            name, levels = self.thresholds.names[index], self.thresholds.values[index]
            tail = TAIL.index(SCREENS[which])
            under = [self.words["lt"], _feature(name), _constant(levels[tail if low else 0], Ratio)]
            over = [
                self.words["gt"],
                _feature(name),
                _constant(levels[-1 if low else -1 - tail], Ratio),
            ]
            rules = [*under, *over] if low else [*over, *under]
            exits = Exits(STOPS[-1], TARGETS[-1], random.choice(PATIENT))
            result.append(Genome([self.words["trade"], *rules], exits))
        return result

    def join(self, genome: Genome, other: Genome) -> Genome:
        """Return a genome that buys where it bought and another condition holds as well.

        The condition is one that the other genome buys by, or a new one.
        """
        buy = genome.searchSubtree(1)
        theirs = [
            index
            for index in range(*other.searchSubtree(1).indices(len(other)))
            if other[index].ret is Boolean
        ]
        if random.random() < 0.5:
            condition = other[other.searchSubtree(random.choice(theirs))]
        else:
            condition = self.comparison()
        word = self.words["and" if random.random() < 0.8 else "or"]
        nodes = [genome[0], word, *genome[buy], *condition, *genome[buy.stop :]]
        return Genome(nodes, genome.exits)

    def narrow(self, genome: Genome, name: str, threshold: float, *, above: bool) -> Genome:
        """Return a genome that buys where it bought and a feature is beyond a threshold."""
        buy = genome.searchSubtree(1)
        condition = [
            self.words["gt" if above else "lt"],
            _feature(name),
            _constant(threshold, Ratio),
        ]
        nodes = [genome[0], self.words["and"], *genome[buy], *condition, *genome[buy.stop :]]
        return Genome(nodes, genome.exits)

    def tune(self, genome: Genome) -> Genome:
        """Return a genome with one or two constants, lookbacks or exits a small step away."""
        result = Genome(list(genome), genome.exits)
        for _ in range(random.choice((1, 1, 2))):
            if random.random() < 0.35:
                result.exits = nudge_exits(result.exits)
            else:
                self._nudge(result)
        return result

    def mutate(self, genome: Genome) -> tuple[Genome]:
        """Change a copy's subtree, constant, operator, lookback or exits in place."""
        draw = random.random()
        if draw < 0.30:
            self._replace_subtree(genome)
        elif draw < 0.55:
            self._nudge(genome)
        elif draw < 0.70:
            gp.mutNodeReplacement(genome, self.pset)
        elif draw < 0.80:
            _shrink(genome)
        else:
            genome.exits = nudge_exits(genome.exits)
        return (genome,)

    def boolean(self, depth: int) -> list[Node]:
        """Return a condition at most `depth` boolean operators deep."""
        if depth <= 0:
            return self.comparison()
        name = random.choice(("and", "and", "and", "or", "not", "leaf"))
        if name == "leaf":
            return self.comparison()
        if name == "not":
            return [self.words["not"], *self.boolean(depth - 1)]
        return [self.words[name], *self.boolean(depth - 1), *self.boolean(depth - 1)]

    def comparison(self) -> list[Node]:
        """Compare a feature with its own quantile, past or rank, or with another."""
        name, levels = self._pick()
        leaf = [_feature(name)]
        window = _window(random.choice(LOOKBACKS))
        side = self.words[random.choice(("gt", "lt"))]
        draw = random.random()
        if draw < 0.25:
            return self.rare_comparison()
        if draw < 0.45:
            return [side, *leaf, _constant(random.choice(list(levels)), Ratio)]
        if draw < 0.58:
            limit = _constant(
                random.choice((0.02, 0.05, 0.1, 0.2, 0.5, 0.8, 0.9, 0.95, 0.98)), Ratio
            )
            return [side, self.words["rank"], *leaf, window, limit]
        if draw < 0.70:
            limit = _constant(random.uniform(-2.5, 2.5), Ratio)
            return [side, self.words["zscore"], *leaf, window, limit]
        if draw < 0.80:
            smooth = self.words[random.choice(("mean", "ema", "lag"))]
            return [side, *leaf, smooth, *leaf, window]
        if draw < 0.90:
            cross = self.words[random.choice(("cross_above", "cross_below"))]
            return [cross, *leaf, _constant(random.choice(list(levels)), Ratio)]
        return [side, *self.number(2), *self.number(1)]

    def rare_comparison(self) -> list[Node]:
        """Compare a feature with one of its tails, so that it is seldom true."""
        name, levels = self._pick()
        tail = random.randrange(len(TAIL))
        if random.random() < 0.5:
            return [self.words["lt"], _feature(name), _constant(levels[tail], Ratio)]
        return [self.words["gt"], _feature(name), _constant(levels[-1 - tail], Ratio)]

    def number(self, depth: int) -> list[Node]:
        """Return a numeric expression at most `depth` operators deep."""
        if depth <= 0 or random.random() < 0.3:
            name, levels = self._pick()
            if random.random() < 0.8:
                return [_feature(name)]
            return [_constant(random.choice(list(levels)), Ratio)]
        word = random.choice(self.numeric)
        nodes = [word]
        for argument in word.args:
            nodes.extend(self.subtree(argument, depth - 1))
        return nodes

    def subtree(self, kind: type, depth: int) -> list[Node]:
        """Any expression of a type."""
        if kind is Window:
            return [_window(random.choice(LOOKBACKS))]
        if kind is Boolean:
            return self.boolean(depth)
        return self.number(depth)

    def _pick(self) -> tuple[str, Floats]:
        index = random.randrange(len(self.thresholds.names))
        return self.thresholds.names[index], self.thresholds.values[index]

    def _replace_subtree(self, genome: Genome) -> None:
        index = random.randrange(1, len(genome))
        place = genome.searchSubtree(index)
        kind = genome[index].ret
        genome[place] = self.subtree(kind, random.choice((0, 1, 2)))

    def _nudge(self, genome: Genome) -> None:
        """Move one constant by a fifth of itself or so, or one lookback a step."""
        places = [
            i
            for i, node in enumerate(genome)
            if node.arity == 0 and not isinstance(node.value, str)
        ]
        if not places:
            genome.exits = nudge_exits(genome.exits)
            return
        index = random.choice(places)
        node = genome[index]
        if node.ret is Window:
            genome[index] = _window(_step(LOOKBACKS, int(node.value)))
        else:
            scale = 0.2 * abs(node.value) or 0.05
            genome[index] = _constant(node.value + random.gauss(0, scale), node.ret)


def random_exits() -> Exits:
    """Return exits drawn from the ladders above."""
    return Exits(random.choice(STOPS), random.choice(TARGETS), random.choice(TIMEOUTS))


def nudge_exits(exits: Exits) -> Exits:
    """One of the three exits moved one step along its ladder."""
    stop, target, timeout = exits.stop, exits.target, exits.timeout
    which = random.randrange(3)
    if which == 0:
        stop = _step(STOPS, stop)
    elif which == 1:
        target = _step(TARGETS, target)
    else:
        timeout = _step(TIMEOUTS, timeout)
    return Exits(stop, target, timeout)


def _step(ladder: Sequence[T], value: float) -> T:
    nearest = min(range(len(ladder)), key=lambda i: abs(ladder[i] - value))
    return ladder[max(0, min(len(ladder) - 1, nearest + random.choice((-1, 1))))]


def _shrink(genome: Genome) -> None:
    """Replace an operator by one of its own arguments of the same type."""
    places = [
        (index, position)
        for index, node in enumerate(genome)
        if node.arity and node.ret is not Wish
        for position, kind in enumerate(node.args)
        if issubclass(node.ret, kind)
    ]
    if not places:
        return
    index, position = random.choice(places)
    child = index + 1
    for _ in range(position):
        child = genome.searchSubtree(child).stop
    genome[genome.searchSubtree(index)] = list(genome[genome.searchSubtree(child)])


def _mate(first: Genome, second: Genome) -> tuple[Genome, Genome]:
    """Exchange one subtree of the same type in place; sometimes the exits as well.

    Every argument that takes a number takes any ratio, so a bounded subtree may stand there too.
    """
    kinds = (Boolean, Ratio, Window)
    groups = [
        (
            [i for i, node in enumerate(first) if i and issubclass(node.ret, kind)],
            [i for i, node in enumerate(second) if i and issubclass(node.ret, kind)],
        )
        for kind in kinds
    ]
    weights = [
        weight * bool(mine and theirs)
        for weight, (mine, theirs) in zip((4, 2, 1), groups, strict=True)
    ]
    mine, theirs = random.choices(groups, weights=weights)[0]
    here = first.searchSubtree(random.choice(mine))
    there = second.searchSubtree(random.choice(theirs))
    first[here], second[there] = second[there], first[here]
    if random.random() < 0.3:
        first.exits, second.exits = second.exits, first.exits
    return first, second


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


def _from_expression(pset: Primitives, value: object, exits: Exits) -> Genome:
    """Return a genome from a program's JSON or tuples."""
    words = _words(pset)
    nodes: list[Node] = []

    def visit(part: Expression, kind: type) -> None:
        if isinstance(part, tuple):
            word = words[part[0]]
            nodes.append(word)
            for child, argument in zip(part[1:], word.args, strict=True):
                visit(child, argument)
        elif isinstance(part, str):
            nodes.append(_feature(part))
        elif kind is Window:
            nodes.append(_window(int(part)))
        else:
            nodes.append(gp.Terminal(float(part), False, kind))  # noqa: FBT003

    visit(parse_program(value), Wish)
    return Genome(nodes, exits)
