"""What a kind of strategy brings to an evolution, and the breeder of genetic programs."""

from __future__ import annotations

import math
import random
from collections.abc import Hashable, Sequence
from copy import deepcopy
from dataclasses import astuple, dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np

from crucible.features.frame import FeatureFrame
from crucible.forge.backtest.engine import ForgeError, Market, backtest
from crucible.forge.backtest.population import FeatureTable, Outcomes, evaluate_programs
from crucible.forge.backtest.statistics import sharpe
from crucible.forge.genetic.conditions import best_condition, looks
from crucible.forge.genetic.event_study import study
from crucible.forge.genetic.genome import TIMEOUTS, Genome, Thresholds, fits
from crucible.forge.genetic.operators import toolbox
from crucible.forge.validation.novelty import Novelty
from crucible.forge.validation.windows import Limits, Windows
from crucible.market.candles import Floats
from crucible.settings import ForgeSettings, Slot
from crucible.strategies.contract import Exits, Strategy
from crucible.strategies.gp import GpStrategy, exits_to_json
from crucible.vm.program import (
    OPERATORS,
    Expression,
    ValueType,
    expression_to_json,
)
from crucible.vm.signals import Signals

Candidate: TypeAlias = Any
"""A candidate of any kind; it has a DEAP ``fitness``."""
Document: TypeAlias = Any
"""JSON values."""

SLICES = 4
# Slices of the training days that lexicase selection looks at.
CASES = 12
FEWEST_TRADES = 10
# How many parents are drawn by score alone, from how many.
SCORE_SHARE = 0.6
TOURNAMENT = 4
# One child in so many narrows its parent by the best of the conditions on so many drawn features.
NARROWED = 10
# One of so many first candidates is a finding of the event study.
FINDINGS_SHARE = 40
DRAWN_FEATURES = 12
# Below this a score says "does not trade enough to be judged", and how far it is from doing so.
UNJUDGED = -9.0


@dataclass(frozen=True, slots=True)
class Score:
    """How a candidate did on the training window.

    Attributes
    ----------
    value : float
        The worst Sharpe ratio of daily returns with one quarter of the days left out, so that one
        lucky spell cannot carry a candidate; where days are few, the Sharpe ratio of its trades
        times the root of trades a day; below -9 if it traded too little to be judged.
    drawdown : float
    size : float
        Nodes of a program, leaves of a model.
    trades : int
    net_return : float
    sharpe : float
        Of daily returns, or of trades where days are few; NaN where not defined.
    novelty : float
        See `crucible.forge.validation.novelty`; NaN where it is not measured or not defined.
    cases : tuple of float
        Mean daily return of each of up to twelve consecutive slices of the days; empty where the
        selection does not look at slices.
    """

    value: float
    drawdown: float
    size: float
    trades: int
    net_return: float
    sharpe: float
    novelty: float = float("nan")
    cases: tuple[float, ...] = ()

    @property
    def judged(self) -> bool:
        """Whether it traded enough to be judged."""
        return self.value > UNJUDGED

    def to_json(self) -> list[float | None]:
        """Its fields in order, the last two only where there is something; None for NaN."""
        *values, novelty, cases = astuple(self)
        if cases or not math.isnan(novelty):
            values += [novelty, *cases]
        return [None if isinstance(x, float) and math.isnan(x) else x for x in values]

    @classmethod
    def from_json(cls, values: Sequence[Any]) -> Score:
        """Read what `to_json` wrote."""
        value, drawdown, size, trades, net_return, *measured = values
        ratio, *rest = [float("nan") if each is None else each for each in measured]
        return cls(
            value,
            drawdown,
            size,
            trades,
            net_return,
            ratio,
            novelty=rest[0] if rest else float("nan"),
            cases=tuple(rest[1:]),
        )


@dataclass(frozen=True, slots=True)
class Variant:
    """What a slightly moved version of a candidate would trade: signals over all rows, and exits."""

    signals: Signals
    exits: Exits


class Breeder(Protocol):
    """Makes, varies and evaluates the candidates of one kind.

    A candidate is any object with a DEAP ``fitness``. Random choices come from the `random`
    module's global generator.
    """

    finalists: int

    def first(self, count: int) -> list[Candidate]:
        """Random candidates."""

    def children(self, parents: list[Candidate], count: int, seen: set[str]) -> list[Candidate]:
        """Return new candidates from old ones, none of them in `seen`."""

    def newcomers(self, population: int, generation: int) -> int:
        """How many new candidates a generation has for a population of this size."""

    def key(self, candidate: Candidate) -> str:
        """Return what makes two candidates the same trial."""

    def niche(self, candidate: Candidate) -> Hashable:
        """Return what candidates share that look for the same thing."""

    def evaluate(self, candidates: list[Candidate]) -> list[Score]:
        """Score candidates on the training window."""

    def outcomes(self, candidates: list[Candidate], rows: slice) -> Outcomes:
        """Return what evaluated candidates do over a span of rows."""

    def write(self, candidate: Candidate) -> Document:
        """Return a candidate as JSON values."""

    def read(self, document: Document) -> Candidate:
        """Read what `write` wrote."""

    def strategy(self, candidate: Candidate) -> Strategy:
        """Return the strategy that a candidate stands for."""

    def signals(self, candidate: Candidate) -> Signals:
        """Signals over all rows, in training from a model that did not see the row."""

    def variants(self, candidate: Candidate, seed: int, count: int) -> list[Variant]:
        """Return versions of a candidate with slightly moved parameters."""


def score_of(
    outcomes: Outcomes,
    index: int,
    size: float,
    settings: ForgeSettings,
    *,
    by_day: bool,
    novelty: Novelty | None = None,
) -> Score:
    """Score one of the outcomes on a training window."""
    returns = outcomes.daily[index]
    trades = int(outcomes.trades[index])
    wanted = fewest_trades(len(returns), settings)
    trade_sharpe = float(outcomes.trade_sharpe[index])
    # What the daily ratio would be if trades were independent.
    value = trade_sharpe * math.sqrt(trades / len(returns))
    if by_day:
        value = worst_without_a_slice(returns)
    if trades < wanted or math.isnan(value):
        value = UNJUDGED - 1 + min(1.0, trades / wanted)
    return Score(
        value=value,
        drawdown=float(outcomes.drawdown[index]) if value > UNJUDGED else 1.0,
        size=size,
        trades=trades,
        net_return=float(outcomes.net_return[index]),
        sharpe=sharpe(returns) if by_day else trade_sharpe,
        novelty=float("nan") if novelty is None else novelty.of(returns),
        cases=cases_of(returns) if settings.selection == "lexicase" else (),
    )


def cases_of(returns: Floats) -> tuple[float, ...]:
    """Mean daily return of each of `CASES` consecutive slices of the days; of each day if fewer."""
    parts = np.array_split(returns, min(CASES, len(returns)))
    return tuple(float(part.mean()) for part in parts)


def fewest_trades(days: int, settings: ForgeSettings) -> float:
    """Trades over a number of days below which a candidate is not judged."""
    return max(FEWEST_TRADES, settings.trades_per_day * days)


def worst_without_a_slice(returns: Floats) -> float:
    """Smallest Sharpe ratio with one of four consecutive slices of the days left out.

    With fewer than twelve days the whole is judged at once.
    """
    if len(returns) < 3 * SLICES:
        return sharpe(returns)
    parts = np.array_split(np.arange(len(returns)), SLICES)
    return min(sharpe(np.delete(returns, part)) for part in parts)


class ProgramBreeder:
    """Breeds genetic programs over every feature that varies.

    Parameters
    ----------
    slot : Slot
    frame : FeatureFrame
        n rows.
    market : Market
        n rows.
    windows : Windows
    limits : Limits
    settings : ForgeSettings
    by_day : bool
        Whether a trial's Sharpe ratio is of days or of trades.
    novelty : Novelty, optional
        What candidates are compared with.

    Raises
    ------
    ForgeError
        If no feature varies over the training window.
    """

    finalists = 24

    def __init__(
        self,
        slot: Slot,
        frame: FeatureFrame,
        market: Market,
        windows: Windows,
        limits: Limits,
        settings: ForgeSettings,
        *,
        by_day: bool,
        novelty: Novelty | None = None,
    ) -> None:
        thresholds = Thresholds.of(frame, windows.train)
        if not thresholds.names:
            message = f"{slot.name}: no feature varies over the training window"
            raise ForgeError(message)
        self._slot = slot
        self._frame = frame
        self._market = market
        self._train = windows.train
        self._varying = [frame.schema.column(name) for name in thresholds.names]
        self._limits = limits
        self._settings = settings
        self._by_day = by_day
        self._novelty = novelty
        self._table = FeatureTable(frame)
        self._thresholds = thresholds
        self._box = toolbox(thresholds)

    def first(self, count: int) -> list[Genome]:
        """Return what an event study found, looks at single features, and random programs.

        The random ones are at least a quarter.
        """
        found: dict[str, Genome] = {}
        studied, looked = self._studied(count // FINDINGS_SHARE)
        for screen in [*studied, *self._box.screens()][: 3 * count // 4]:
            genome = self._lawful(screen)
            if genome is not None:
                found.setdefault(genome.key, genome)
        # The looks of the study, which led to many of them, are counted once.
        next(iter(found.values())).looks += looked
        while len(found) < count:
            genome = self._lawful(self._box.genome())
            if genome is not None:
                found.setdefault(genome.key, genome)
        return list(found.values())

    def newcomers(self, population: int, generation: int) -> int:
        """As many as the population; four times that at first, to look around widely."""
        return population if generation else 4 * population

    def children(self, parents: list[Genome], count: int, seen: set[str]) -> list[Genome]:
        """Half by crossover or joining, a quarter by tuning, the rest mutants and strangers."""
        found: dict[str, Genome] = {}
        fruitless = 0
        for _ in range(count // NARROWED):
            # Half of them anybody: what is poor alone may be good under a condition.
            anybody = random.random() < 0.5
            parent = random.choice(parents) if anybody else self._parent(parents)
            narrowed, looked = self._narrowed(parent)
            genome = None if narrowed is None else self._lawful(narrowed)
            if genome is not None and genome.key not in seen and genome.key not in found:
                genome.looks = looked
                found[genome.key] = genome
            else:
                fruitless += looked
        while len(found) < count:
            draw = random.random()
            if draw < 0.05:
                family = [self._box.genome()]
            elif draw < 0.35:
                pair = self._box.mate(
                    deepcopy(self._parent(parents)), deepcopy(self._parent(parents))
                )
                family = [
                    self._box.mutate(child)[0] if random.random() < 0.3 else child for child in pair
                ]
            elif draw < 0.55:
                family = [self._box.join(self._parent(parents), self._parent(parents))]
            elif draw < 0.80:
                family = [self._box.tune(self._parent(parents))]
            else:
                family = [self._box.mutate(deepcopy(self._parent(parents)))[0]]
            for child in family:
                genome = self._lawful(child)
                if genome is not None and genome.key not in seen and len(found) < count:
                    found.setdefault(genome.key, genome)
        # What was compared and led to nobody was looked at, too.
        next(iter(found.values())).looks += fruitless
        return list(found.values())

    def key(self, candidate: Genome) -> str:
        """Return the program in canonical form, and its exits."""
        return candidate.key

    def niche(self, candidate: Genome) -> frozenset[str]:
        """Return the features that it buys by."""
        return candidate.buying_features

    def evaluate(self, candidates: list[Genome]) -> list[Score]:
        """Trade all programs over the training window in one pass."""
        outcomes = self.outcomes(candidates, self._train)
        return [
            score_of(
                outcomes,
                index,
                len(genome),
                self._settings,
                by_day=self._by_day,
                novelty=self._novelty,
            )
            for index, genome in enumerate(candidates)
        ]

    def outcomes(self, candidates: list[Genome], rows: slice) -> Outcomes:
        """Trade all programs over a span of rows in one pass."""
        return evaluate_programs(
            [genome.program for genome in candidates],
            [genome.exits for genome in candidates],
            self._table,
            self._market,
            self._settings.costs,
            rows,
        )

    def write(self, candidate: Genome) -> dict[str, Any]:
        """Program and exits."""
        return {
            "program": expression_to_json(candidate.tree_expression),
            "exits": exits_to_json(candidate.exits),
        }

    def read(self, document: dict[str, Any]) -> Genome:
        """Read what `write` wrote."""
        genome: Genome = self._box.read(document["program"], Exits(**document["exits"]))
        return genome

    def strategy(self, candidate: Genome) -> Strategy:
        """Return the program as a strategy of the slot."""
        return GpStrategy(
            self._slot.name,
            self._slot.symbol,
            self._frame.schema.hash,
            candidate.program,
            candidate.exits,
        )

    def signals(self, candidate: Genome) -> Signals:
        """Signals over all rows."""
        return self.strategy(candidate).signals(self._frame)

    def variants(self, candidate: Genome, seed: int, count: int) -> list[Variant]:
        """Every constant moved by up to 5%, every exit by up to 10%."""
        generator = np.random.default_rng([seed, 2])
        strategies = [
            GpStrategy(
                self._slot.name,
                self._slot.symbol,
                self._frame.schema.hash,
                moved_constants(candidate.program, generator),
                moved_exits(candidate.exits, generator),
            )
            for _ in range(count)
        ]
        return [Variant(each.signals(self._frame), each.exits) for each in strategies]

    def _parent(self, parents: list[Genome]) -> Genome:
        """Return the best of a few by score, or the better of two by rank and crowding.

        `parents` are in the order of rank and crowding.
        """
        if random.random() < SCORE_SHARE:
            drawn = random.choices(parents, k=TOURNAMENT)
            return max(drawn, key=lambda parent: parent.fitness.values[0])
        return parents[min(random.randrange(len(parents)), random.randrange(len(parents)))]

    def _studied(self, most: int) -> tuple[list[Genome], int]:
        """Return programs of the strongest events of training, and how many looks that took."""
        costs = self._settings.costs
        days = len(np.unique(self._market.day[self._train]))
        findings, looked = study(
            self._frame.values[self._train][:, self._varying],
            self._thresholds.values[:, ::2],
            self._market.candles.open[self._train],
            2 * (costs.fee + costs.slippage),
            most,
            math.ceil(fewest_trades(days, self._settings)),
        )
        return self._box.findings(findings), looked

    def _narrowed(self, parent: Genome) -> tuple[Genome | None, int]:
        """Return a parent with a condition that left out its worse trades in training.

        Also how many conditions were compared, whether one of them was worth it or not.
        """
        count = min(DRAWN_FEATURES, len(self._varying))
        columns = random.sample(self._varying, count)
        trades = backtest(
            self.signals(parent), self._market, parent.exits, self._settings.costs, self._train
        ).trades
        # A trade is decided at the close before the candle that filled it.
        rows = np.searchsorted(self._market.candles.ts, trades.entry_ts) - 1
        fewest = fewest_trades(len(np.unique(self._market.day[self._train])), self._settings)
        found = best_condition(
            self._frame.values[rows][:, columns], trades.net_return, math.ceil(fewest)
        )
        if found is None:
            return None, looks(count)
        name = self._frame.schema.names[columns[found.column]]
        child: Genome = self._box.narrow(parent, name, found.threshold, above=found.above)
        return child, looks(count)

    def _lawful(self, genome: Genome) -> Genome | None:
        """Return a genome within the limits, its timeout shortened if need be; None if too large."""
        allowed = [t for t in TIMEOUTS if t <= self._limits.timeout] or [self._limits.timeout]
        exits = genome.exits
        if exits.timeout > allowed[-1]:
            genome.exits = Exits(exits.stop, exits.target, allowed[-1])
        del genome.fitness.values
        return genome if fits(genome, self._limits.lookback) else None


def moved_exits(exits: Exits, generator: np.random.Generator) -> Exits:
    """Move each of the exits by up to 10%."""
    stop, target, timeout = generator.uniform(0.9, 1.1, 3)
    return Exits(exits.stop * stop, exits.target * target, max(1, round(exits.timeout * timeout)))


def moved_constants(expression: Expression, generator: np.random.Generator) -> Expression:
    """Move every constant of a program by up to 5%; lookbacks stay."""
    if not isinstance(expression, tuple):
        return expression
    arguments = OPERATORS[expression[0]].arguments
    parts = [
        part * float(generator.uniform(0.95, 1.05))
        if isinstance(part, float) and argument is not ValueType.WINDOW
        else moved_constants(part, generator)
        for part, argument in zip(expression[1:], arguments, strict=True)
    ]
    return (expression[0], *parts)
