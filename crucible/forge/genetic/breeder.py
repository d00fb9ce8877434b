"""The breeder of genetic programs: what evolution drives for slots of kind ``gp``."""

from __future__ import annotations

import math
import random
from copy import deepcopy
from typing import Any

import numpy as np

from crucible.features.frame import FeatureFrame
from crucible.forge.backtest.engine import ForgeError, Market, backtest
from crucible.forge.backtest.population import FeatureTable, Outcomes, evaluate_programs
from crucible.forge.candidates import Score, Variant, score_of, wanted_trades
from crucible.forge.exits import moved_exits, timeouts_within
from crucible.forge.genetic.conditions import best_condition, trial_count
from crucible.forge.genetic.event_study import HORIZONS, Studied, study
from crucible.forge.genetic.genome import Genome, Thresholds, fits
from crucible.forge.genetic.operators import toolbox
from crucible.forge.genetic.terms import TERMS, term_of, terms_at
from crucible.forge.validation.novelty import Novelty
from crucible.forge.validation.null_maximum import NullMaximum
from crucible.forge.validation.windows import Limits, Windows
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
from crucible.vm.simplify import simplify

# How many parents are drawn by score alone, from how many.
SCORE_SHARE = 0.6
TOURNAMENT = 4
# One child in so many narrows its parent by the best of the conditions on so many drawn features.
NARROWED = 10
# One of so many first candidates is a finding of the event study.
FINDINGS_SHARE = 40
DRAWN_FEATURES = 12


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
    null_maximum : NullMaximum
        Of the training window's days.
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
        null_maximum: NullMaximum,
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
        self._box = toolbox(thresholds, limits.timeout)
        self.null_maximum = null_maximum
        days, self._days = np.unique(market.day[windows.train], return_inverse=True)
        train_rows = windows.train.stop - windows.train.start
        self.wanted = wanted_trades(train_rows, len(days), settings)

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
        next(iter(found.values())).trial_count += looked
        while len(found) < count:
            genome = self._lawful(self._box.genome())
            if genome is not None:
                found.setdefault(genome.key, genome)
        return list(found.values())

    def newcomers(self, population: int, generation: int) -> int:
        """As many as the population; four times that at first, to look around widely."""
        return population if generation else 4 * population

    def children(self, parents: list[Genome], count: int, seen: set[str]) -> list[Genome]:
        """Half by crossover or joining, a quarter by tuning, the rest mutants and newcomers."""
        found: dict[str, Genome] = {}
        fruitless = 0
        for _ in range(count // NARROWED):
            # Half of them anybody: what is poor alone may be good under a condition.
            anybody = random.random() < 0.5
            parent = random.choice(parents) if anybody else self._parent(parents)
            narrowed, looked = self._narrowed(parent)
            genome = None if narrowed is None else self._lawful(narrowed)
            if genome is not None and genome.key not in seen and genome.key not in found:
                genome.trial_count = looked
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
        next(iter(found.values())).trial_count += fruitless
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
        scores = [
            score_of(
                outcomes,
                index,
                len(genome),
                self._settings,
                self.wanted,
                by_day=self._by_day,
                novelty=self._novelty,
            )
            for index, genome in enumerate(candidates)
        ]
        self.null_maximum.observe(outcomes.daily[[score.judged for score in scores]])
        return scores

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
        studied = Studied(
            self._frame.values[self._train],
            self._varying,
            self._thresholds.values[:, ::2],
            self._market.candles.open[self._train],
            self._days,
            tuple(h for h in HORIZONS if h <= self._limits.timeout) or HORIZONS[:1],
        )
        charge = 2 * (costs.fee + costs.slippage)
        findings, looked = study(studied, charge, most, math.ceil(self.wanted), self.null_maximum)
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
        found = best_condition(
            terms_at(self._frame.values, rows, columns),
            trades.net_return,
            math.ceil(self.wanted),
            self._days[rows - self._train.start],
            self.null_maximum,
        )
        looked = trial_count(len(TERMS) * count)
        if found is None:
            return None, looked
        place, term = term_of(found.column, count)
        name = self._frame.schema.names[columns[place]]
        child: Genome = self._box.narrow(
            parent, name, found.threshold, above=found.above, term=term
        )
        return child, looked

    def _lawful(self, genome: Genome) -> Genome | None:
        """Return a genome within the limits, simplified, its timeout shortened if need be; None if too large.

        Whoever carries branches that can never matter would count as large for them, and as another trial than the
        same rule without them (the editing operation of Koza, 1992).
        """
        whole = genome.tree_expression
        if (simpler := simplify(whole)) != whole:
            edited = self._box.read(simpler, genome.exits)
            edited.trial_count = genome.trial_count
            genome = edited
        longest = timeouts_within(self._limits.timeout)[-1]
        exits = genome.exits
        if exits.timeout > longest:
            genome.exits = Exits(exits.stop, exits.target, longest)
        del genome.fitness.values
        return genome if fits(genome, self._limits.lookback) else None


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
