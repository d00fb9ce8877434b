"""DEAP's toolbox of the genetic programs: growing sensible trees, and varying them.

DEAP's own crossover chooses among a set of types, whose order changes from one process to the
next; the operators here choose from lists only, so a seed gives the same trees everywhere.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial

from deap import base, gp

from crucible.forge.exits import nudge_exits, random_exits, step, timeouts_within, widest
from crucible.forge.genetic.event_study import Finding
from crucible.forge.genetic.genome import (
    LOOKBACKS,
    TAIL,
    Boolean,
    Genome,
    Node,
    Primitives,
    Ratio,
    SignalType,
    Thresholds,
    Window,
    constant,
    feature,
    from_expression,
    primitives,
    window,
    words_of,
)
from crucible.forge.genetic.terms import NOW, RECENT, term_of
from crucible.market.candles import Floats

# Tails at which every feature is looked at on its own before evolution begins.
SCREENS = (0.01, 0.03, 0.07)
PATIENT = (60, 120, 240, 1_440, 4_320)


def toolbox(thresholds: Thresholds, longest: int) -> base.Toolbox:
    """DEAP's toolbox over the given features; nobody holds for longer than `longest` candles.

    It has ``genome()``, ``screens()``, ``findings(found)``, ``mate(a, b)``, ``mutate(a)``, ``join(a, b)``,
    ``narrow(a, feature, threshold, above=..., term=...)``, ``tune(a)``,
    ``read(program, exits)``; every random choice comes from the `random` module's global generator,
    which the caller seeds and keeps.
    """
    pset = primitives(thresholds.names)
    box = base.Toolbox()
    grower = _Grower(pset, thresholds, longest)
    box.register("genome", grower.genome)
    box.register("screens", grower.screens)
    box.register("findings", grower.findings)
    box.register("join", grower.join)
    box.register("narrow", grower.narrow)
    box.register("tune", grower.tune)
    box.register("read", partial(from_expression, pset))
    box.register("mate", _mate)
    box.register("mutate", grower.mutate)
    return box


class _Grower:
    """Makes trees of sensible sentences, and varies them."""

    def __init__(self, pset: Primitives, thresholds: Thresholds, longest: int) -> None:
        self.pset = pset
        self.longest = longest
        self.patient = [timeout for timeout in PATIENT if timeout <= longest] or timeouts_within(
            longest
        )[-1:]
        self.thresholds = thresholds
        self.words = words_of(pset)
        self.numeric = [word for word in self.words.values() if issubclass(word.ret, Ratio)]

    def genome(self) -> Genome:
        """Return a random genome: a rule to buy, a rule to exit, and exits."""
        buy = self.boolean(random.choice((0, 0, 1, 1, 2, 3)))
        # A rule that leaves at once hides whatever the buying rule is worth: half start rare.
        rare = random.random() < 0.5
        leave = self.rare_comparison() if rare else self.boolean(random.choice((0, 1, 2)))
        return Genome([self.words["trade"], *buy, *leave], random_exits(self.longest))

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
            under = [self.words["lt"], feature(name), constant(levels[tail if low else 0], Ratio)]
            over = [
                self.words["gt"],
                feature(name),
                constant(levels[-1 if low else -1 - tail], Ratio),
            ]
            rules = [*under, *over] if low else [*over, *under]
            exits = widest(random.choice(self.patient))
            result.append(Genome([self.words["trade"], *rules], exits))
        return result

    def findings(self, found: Sequence[Finding]) -> list[Genome]:
        """Return what trades each finding: at the crossing and beyond it, with its condition and without.

        It leaves at the opposite extreme, or when the time over which the event was measured is up.
        """
        result = []
        for finding in found:
            event = finding.event
            name, levels = self.thresholds.names[event.column], self.thresholds.values[event.column]
            far = constant(levels[0 if event.above else -1], Ratio)
            leave = [self.words["lt" if event.above else "gt"], feature(name), far]
            exits = widest(event.horizon)
            for word in ("cross_above", "gt") if event.above else ("cross_below", "lt"):
                buy = [self.words[word], feature(name), constant(event.threshold, Ratio)]
                alone = Genome([self.words["trade"], *buy, *leave], exits)
                result.append(alone)
                if finding.condition is not None:
                    held = finding.condition
                    place, term = term_of(held.column, len(self.thresholds.names))
                    other = self.thresholds.names[place]
                    result.append(
                        self.narrow(alone, other, held.threshold, above=held.above, term=term)
                    )
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

    def narrow(
        self, genome: Genome, name: str, threshold: float, *, above: bool, term: str = NOW
    ) -> Genome:
        """Return a genome that buys where it bought and a term of a feature is beyond a threshold."""
        buy = genome.searchSubtree(1)
        compared = [feature(name)]
        if term != NOW:
            compared = [self.words[term], *compared, window(RECENT)]
        condition = [self.words["gt" if above else "lt"], *compared, constant(threshold, Ratio)]
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
        leaf = [feature(name)]
        rows = window(random.choice(LOOKBACKS))
        side = self.words[random.choice(("gt", "lt"))]
        draw = random.random()
        if draw < 0.25:
            return self.rare_comparison()
        if draw < 0.45:
            return [side, *leaf, constant(random.choice(list(levels)), Ratio)]
        if draw < 0.58:
            limit = constant(
                random.choice((0.02, 0.05, 0.1, 0.2, 0.5, 0.8, 0.9, 0.95, 0.98)), Ratio
            )
            return [side, self.words["rank"], *leaf, rows, limit]
        if draw < 0.70:
            limit = constant(random.uniform(-2.5, 2.5), Ratio)
            return [side, self.words["zscore"], *leaf, rows, limit]
        if draw < 0.80:
            smooth = self.words[random.choice(("mean", "ema", "lag"))]
            return [side, *leaf, smooth, *leaf, rows]
        if draw < 0.90:
            cross = self.words[random.choice(("cross_above", "cross_below"))]
            return [cross, *leaf, constant(random.choice(list(levels)), Ratio)]
        return [side, *self.number(2), *self.number(1)]

    def rare_comparison(self) -> list[Node]:
        """Compare a feature with one of its tails, so that it is seldom true."""
        name, levels = self._pick()
        tail = random.randrange(len(TAIL))
        if random.random() < 0.5:
            return [self.words["lt"], feature(name), constant(levels[tail], Ratio)]
        return [self.words["gt"], feature(name), constant(levels[-1 - tail], Ratio)]

    def number(self, depth: int) -> list[Node]:
        """Return a numeric expression at most `depth` operators deep."""
        if depth <= 0 or random.random() < 0.3:
            name, levels = self._pick()
            if random.random() < 0.8:
                return [feature(name)]
            return [constant(random.choice(list(levels)), Ratio)]
        word = random.choice(self.numeric)
        nodes = [word]
        for argument in word.args:
            nodes.extend(self.subtree(argument, depth - 1))
        return nodes

    def subtree(self, kind: type, depth: int) -> list[Node]:
        """Any expression of a type."""
        if kind is Window:
            return [window(random.choice(LOOKBACKS))]
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
            genome[index] = window(step(LOOKBACKS, int(node.value)))
        else:
            scale = 0.2 * abs(node.value) or 0.05
            genome[index] = constant(node.value + random.gauss(0, scale), node.ret)


def _shrink(genome: Genome) -> None:
    """Replace an operator by one of its own arguments of the same type."""
    places = [
        (index, position)
        for index, node in enumerate(genome)
        if node.arity and node.ret is not SignalType
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
