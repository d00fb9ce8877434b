"""The breeder of boosted classifiers: LightGBM on triple-barrier labels, purged and calibrated.

A candidate is a fit (LightGBM's settings and the barriers of its labels) with the most that it may
buy and exit, and its exits. Fits are dear and rates cheap, so a generation tries a few new fits and
many rates. On the training window a candidate is scored, and later judged, by signals from folds that
did not see the row; the strategy itself is fitted on the whole window. See `crucible.forge.boosted.training`.
"""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from deap import base

from crucible.features.frame import FeatureFrame
from crucible.forge.backtest.engine import Accounts, Market
from crucible.forge.backtest.population import Outcomes
from crucible.forge.boosted.recent import Recent
from crucible.forge.boosted.training import Fit, Fitted, Fitter
from crucible.forge.candidates import Quality, Score, Variant, score_of, wanted_trades
from crucible.forge.exits import moved_exits, nudge_exits, random_exits, timeouts_within
from crucible.forge.validation.novelty import Novelty
from crucible.forge.validation.null_maximum import NullMaximum
from crucible.forge.validation.windows import Limits, Windows
from crucible.market.candles import Floats
from crucible.settings import ForgeSettings, Slot
from crucible.strategies.boosted import BoostedStrategy
from crucible.strategies.contract import Exits
from crucible.strategies.gp import exits_to_json
from crucible.vm.signals import Signals

FIRST_FITS = 16
NEW_FITS = 4
KEPT_FITS = 48
"""Fits whose probabilities are kept: more than a population has."""

ROUNDS = (10, 20, 40, 80)
LEARNING_RATES = (0.05, 0.1, 0.2)
LEAVES = (2, 3, 4, 6, 10)
SMALLEST_LEAVES = (20, 50, 100, 200, 400)
PENALTIES = (0.0, 1.0, 10.0, 100.0)
STAKES = (0.5, 1.0)
KEPT = (1, 2, 3, 4, 6, 10)
BUY_RATES = (0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15)
EXIT_RATES = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)


@dataclass(eq=False)
class Trial:
    """A fit with rates and exits.

    `buy_rate` and `exit_rate` are the largest shares of rows that may buy and exit; where less than
    that is worth it, less does.
    """

    fit: Fit
    buy_rate: float
    exit_rate: float
    exits: Exits
    fitness: base.Fitness = field(default_factory=Quality)
    trial_count: int = 1

    @property
    def rates(self) -> tuple[float, float]:
        """How much may buy and exit."""
        return self.buy_rate, self.exit_rate


class BoostedBreeder:
    """Breeds boosted classifiers over every feature of the schema.

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
    seed : int
        LightGBM's.
    by_day : bool
        Whether a trial's Sharpe ratio is of days or of trades.
    novelty : Novelty, optional
        What candidates are compared with.
    """

    finalists = 12

    def __init__(
        self,
        slot: Slot,
        frame: FeatureFrame,
        market: Market,
        windows: Windows,
        limits: Limits,
        settings: ForgeSettings,
        null_maximum: NullMaximum,
        seed: int,
        *,
        by_day: bool,
        novelty: Novelty | None = None,
    ) -> None:
        self._slot = slot
        self._schema = frame.schema
        self._values = np.where(np.isfinite(frame.values), frame.values, np.nan)
        self._market = market
        self._windows = windows
        self._longest = timeouts_within(limits.timeout)[-1]
        self._fitter = Fitter(
            self._values,
            market,
            windows.train,
            settings.costs,
            seed,
        )
        self._settings = settings
        self.null_maximum = null_maximum
        train_rows = windows.train.stop - windows.train.start
        days = len(np.unique(market.day[windows.train]))
        self.wanted = wanted_trades(train_rows, days, settings)
        self._by_day = by_day
        self._novelty = novelty
        self._fitted: Recent[Fit, Fitted] = Recent(KEPT_FITS)
        self._later: Recent[Fit, Floats] = Recent(KEPT_FITS)

    def newcomers(self, population: int, generation: int) -> int:
        """Return a third of the population; the whole at first."""
        return max(4, population // 3) if generation else population

    def first(self, count: int) -> list[Trial]:
        """Return a few random fits with many rates."""
        fits = [self._random_fit() for _ in range(FIRST_FITS)]
        found: dict[str, Trial] = {}
        while len(found) < count:
            fit = random.choice(fits)
            exits = fit.barriers if random.random() < 0.5 else random_exits(self._longest)
            trial = Trial(fit, random.choice(BUY_RATES), random.choice(EXIT_RATES), exits)
            found.setdefault(self.key(trial), trial)
        return list(found.values())

    def children(self, parents: list[Trial], count: int, seen: set[str]) -> list[Trial]:
        """Vary rates and exits of good parents, and try a few new fits."""
        found: dict[str, Trial] = {}
        fits = [self._vary(self._parent(parents).fit) for _ in range(NEW_FITS)]
        attempts = 0
        while len(found) < count and attempts < 50 * count:
            attempts += 1
            child = replace(self._parent(parents), fitness=Quality())
            if random.random() < 0.3:
                child.fit = random.choice(fits)
            if random.random() < 0.2:
                child.exits = self._parent(parents).exits
            for _ in range(random.choice((1, 1, 2))):
                draw = random.randrange(3)
                if draw == 0:
                    child.buy_rate = random.choice(BUY_RATES)
                elif draw == 1:
                    child.exit_rate = random.choice(EXIT_RATES)
                else:
                    child.exits = self._shorter(nudge_exits(child.exits))
            key = self.key(child)
            if key not in seen:
                found.setdefault(key, child)
        return list(found.values())

    def key(self, candidate: Trial) -> str:
        """Return all its settings."""
        return json.dumps(self.write(candidate), sort_keys=True)

    def niche(self, candidate: Trial) -> Fit:
        """Return its fit."""
        return candidate.fit

    def evaluate(self, candidates: list[Trial]) -> list[Score]:
        """Fit what is not fitted yet, and trade the training window out of fold."""
        outcomes = self.outcomes(candidates, self._windows.train)
        scores = [
            score_of(
                outcomes,
                index,
                self._fit(trial.fit).size,
                self._settings,
                self.wanted,
                by_day=self._by_day,
                novelty=self._novelty,
            )
            for index, trial in enumerate(candidates)
        ]
        self.null_maximum.observe(outcomes.daily[[score.judged for score in scores]])
        return scores

    def outcomes(self, candidates: list[Trial], rows: slice) -> Outcomes:
        """Trade the candidates over a span of rows; out of fold where it is training."""
        first, last, _ = rows.indices(len(self._market))
        books = Accounts.fresh([trial.exits for trial in candidates], self._market, first, last)
        if candidates:
            inside = last <= self._windows.train.stop
            signals = np.stack(
                [self._signals(trial, training_only=inside)[first:last] for trial in candidates]
            )
            books.trade(self._market, signals, first, self._settings.costs)
        return Outcomes.of(books)

    def write(self, candidate: Trial) -> dict[str, Any]:
        """Return its settings as JSON values."""
        return {
            "fit": asdict(candidate.fit),
            "buy_rate": candidate.buy_rate,
            "exit_rate": candidate.exit_rate,
            "exits": exits_to_json(candidate.exits),
        }

    def read(self, document: dict[str, Any]) -> Trial:
        """Read what `write` wrote."""
        fit = {**document["fit"], "barriers": Exits(**document["fit"]["barriers"])}
        return Trial(
            Fit(**fit),
            document["buy_rate"],
            document["exit_rate"],
            Exits(**document["exits"]),
        )

    def strategy(self, candidate: Trial) -> BoostedStrategy:
        """Return the model of the whole training window as a strategy of the slot."""
        fitted = self._fit(candidate.fit)
        buy_at, exit_at = fitted.calibrations[-1].thresholds(*candidate.rates)
        return BoostedStrategy(
            slot=self._slot.name,
            symbol=self._slot.symbol,
            schema_hash=self._schema.hash,
            features=tuple(self._schema.names[column] for column in fitted.model.columns),
            model=fitted.model.text,
            buy_at=buy_at,
            exit_at=exit_at,
            exits=candidate.exits,
        )

    def signals(self, candidate: Trial) -> Signals:
        """Signals over all rows; out of fold in the training window."""
        return self._signals(candidate)

    def variants(self, candidate: Trial, seed: int, count: int) -> list[Variant]:
        """Thresholds moved by up to 5% of their distance, exits by up to 10%."""
        generator = np.random.default_rng([seed, 2])
        return [
            Variant(
                self._signals(candidate, *generator.uniform(-0.05, 0.05, 2)),
                moved_exits(candidate.exits, generator),
            )
            for _ in range(count)
        ]

    # --- fitting ---------------------------------------------------------------------------------

    def _fit(self, fit: Fit) -> Fitted:
        return self._fitted.get(fit, self._fitter.fit)

    def _signals(
        self,
        candidate: Trial,
        buy_move: float = 0.0,
        exit_move: float = 0.0,
        *,
        training_only: bool = False,
    ) -> Signals:
        fitted = self._fit(candidate.fit)
        later = np.empty(0) if training_only else self._predicted(candidate.fit)
        return fitted.signals(later, candidate.rates, buy_move, exit_move)

    def _predicted(self, fit: Fit) -> Floats:
        """Return what the final model says of the rows after training, once it is asked for."""
        after = self._values[self._windows.train.stop :]
        return self._later.get(fit, lambda fit: self._fit(fit).model.predict(after))

    # --- variation -------------------------------------------------------------------------------

    def _random_fit(self) -> Fit:
        return Fit(
            random.choice(ROUNDS),
            random.choice(LEARNING_RATES),
            random.choice(LEAVES),
            random.choice(SMALLEST_LEAVES),
            random.choice(PENALTIES),
            random.choice(STAKES),
            random.choice(KEPT),
            random_exits(self._longest),
        )

    def _vary(self, fit: Fit) -> Fit:
        """Draw two of a fit's settings anew."""
        for _ in range(2):
            draw = random.randrange(9)
            if draw == 0:
                fit = replace(fit, learning_rate=random.choice(LEARNING_RATES))
            elif draw == 1:
                fit = replace(fit, leaves=random.choice(LEAVES))
            elif draw == 2:
                fit = replace(fit, smallest_leaf=random.choice(SMALLEST_LEAVES))
            elif draw == 3:
                fit = replace(fit, rounds=random.choice(ROUNDS))
            elif draw == 4:
                fit = replace(fit, penalty=random.choice(PENALTIES))
            elif draw == 5:
                fit = replace(fit, kept=random.choice(KEPT))
            elif draw == 6:
                fit = replace(fit, stake=random.choice(STAKES))
            elif draw == 7:
                fit = replace(fit, stopped=not fit.stopped)
            else:
                fit = replace(fit, barriers=self._shorter(nudge_exits(fit.barriers)))
        return fit

    def _shorter(self, exits: Exits) -> Exits:
        return replace(exits, timeout=min(exits.timeout, self._longest))

    def _parent(self, parents: list[Trial]) -> Trial:
        return parents[min(random.randrange(len(parents)), random.randrange(len(parents)))]
