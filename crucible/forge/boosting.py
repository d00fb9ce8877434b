"""The breeder of boosted classifiers: LightGBM on triple-barrier labels, purged and early-stopped.

A candidate is a fit (LightGBM's settings and the barriers of its labels) with two thresholds and
its exits. Fits are dear and thresholds cheap, so a generation tries a few new fits and many
thresholds. On the training window a candidate is scored, and later judged, by probabilities from
folds that did not see the row; the strategy itself is fitted on the whole window.
"""

from __future__ import annotations

import json
import random
import warnings
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from deap import base

from crucible.features.frame import FeatureFrame
from crucible.forge.backtest import Books, Market
from crucible.forge.breeding import Score, Variant, moved_exits, score_of
from crucible.forge.genome import TIMEOUTS, Quality, nudge_exits, random_exits
from crucible.forge.labels import Labels, label
from crucible.forge.novelty import Novelty
from crucible.forge.population import Outcomes
from crucible.forge.windows import Limits, Windows
from crucible.market.candles import Floats, Integers
from crucible.settings import ForgeSettings, Slot
from crucible.strategies.boosted import BoostedStrategy, threshold_signals
from crucible.strategies.contract import Exits, Signals
from crucible.strategies.gp import exits_to_json

FIRST_FITS = 16
NEW_FITS = 4
FOLDS = 4
TAIL_SHARE = 0.015
FEWEST_ENTRIES = 20
MOST_ROWS = 20_000
"""Rows that a model is fitted on: labels a few candles apart are of the same trade, and more of them
cost time without telling more."""
MOST_ROUNDS = 100
PATIENCE = 15

BINNING = {"max_bin": 63, "verbosity": -1}

Booster: TypeAlias = Any
"""LightGBM's booster or data set; its package is imported only where it is used."""

LEARNING_RATES = (0.03, 0.05, 0.1, 0.2)
LEAVES = (4, 7, 15, 31)
SMALLEST_LEAVES = (20, 50, 100, 200, 400, 800)
FEATURE_SHARES = (0.3, 0.5, 0.8, 1.0)
PENALTIES = (0.0, 1.0, 10.0, 100.0)
KEPT = (3, 6, 12, 24, 1_000)
BUY_RATES = (0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15)
EXIT_RATES = (0.01, 0.05, 0.1, 0.2, 0.35, 0.5)


@dataclass(frozen=True, slots=True)
class Fit:
    """What decides a model: LightGBM's settings and the barriers of its labels."""

    learning_rate: float
    leaves: int
    smallest_leaf: int
    feature_share: float
    penalty: float
    kept: int
    barriers: Exits

    @property
    def parameters(self) -> dict[str, float | int]:
        """LightGBM's names for them."""
        return {
            "learning_rate": self.learning_rate,
            "num_leaves": self.leaves,
            "min_data_in_leaf": self.smallest_leaf,
            "feature_fraction": self.feature_share,
            "lambda_l2": self.penalty,
        }


@dataclass(eq=False)
class Trial:
    """A fit with thresholds and exits.

    `buy_rate` and `exit_rate` are the shares of training rows above the one and below the other
    threshold.
    """

    fit: Fit
    buy_rate: float
    exit_rate: float
    exits: Exits
    fitness: base.Fitness = field(default_factory=Quality)
    looks: int = 1


@dataclass(frozen=True, slots=True)
class Fitted:
    """The models of a fit, one for each fold, and what they say of the rows they did not see.

    The last fold's model is the strategy's: it was fitted on everything before that fold, so its
    probabilities there are of the future, and so are the thresholds taken from them. Thresholds of
    the earlier folds are quantiles of those folds: they look ahead at features, never at returns.

    Attributes
    ----------
    text : str
        The last fold's model.
    size : int
        Its leaves.
    probabilities : ndarray of float64, shape (n,)
        Out of fold in the training window, from the last model after it.
    folds : tuple of slice
        Rows of each fold.
    """

    text: str
    size: int
    probabilities: Floats
    folds: tuple[slice, ...]

    def thresholds(self, trial: Trial, fold: int = -1) -> tuple[float, float]:
        """Probabilities at which a trial buys and exits, the second always below the first."""
        seen = self.probabilities[self.folds[fold]]
        seen = seen[~np.isnan(seen)]
        buy_at = float(np.quantile(seen, 1 - trial.buy_rate))
        exit_at = float(np.quantile(seen, trial.exit_rate))
        return buy_at, min(exit_at, float(np.nextafter(buy_at, 0)))

    def signals(self, trial: Trial, buy_move: float = 0.0, exit_move: float = 0.0) -> Signals:
        """Signals over all rows, thresholds moved by shares of their distance."""
        signals = np.zeros(len(self.probabilities), np.int8)
        for number, fold in enumerate(self.folds):
            last = number == len(self.folds) - 1
            rows = slice(fold.start, None if last else fold.stop)
            buy_at, exit_at = self.thresholds(trial, number)
            gap = buy_at - exit_at
            signals[rows] = threshold_signals(
                self.probabilities[rows], buy_at + buy_move * gap, exit_at + exit_move * gap
            )
        return signals


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
        self._timeouts = [t for t in TIMEOUTS if t <= limits.timeout] or [limits.timeout]
        self._embargo = 2 * self._timeouts[-1]
        self._settings = settings
        self._seed = seed
        self._by_day = by_day
        self._novelty = novelty
        self._tails = tails_of(self._values[windows.train])
        self._chance = self._tails.sum(axis=(0, 2)) + 0.05
        self._order: dict[tuple[Exits, int], Integers] = {}
        self._fitted: dict[Fit, Fitted] = {}
        self._labels: dict[Exits, Labels] = {}

    def newcomers(self, population: int, generation: int) -> int:
        """Return a third of the population; the whole at first."""
        return max(4, population // 3) if generation else population

    def first(self, count: int) -> list[Trial]:
        """Return a few random fits with many thresholds."""
        fits = [self._random_fit() for _ in range(FIRST_FITS)]
        found: dict[str, Trial] = {}
        while len(found) < count:
            fit = random.choice(fits)
            exits = fit.barriers if random.random() < 0.5 else self._shorter(random_exits())
            trial = Trial(fit, random.choice(BUY_RATES), random.choice(EXIT_RATES), exits)
            found.setdefault(self.key(trial), trial)
        return list(found.values())

    def children(self, parents: list[Trial], count: int, seen: set[str]) -> list[Trial]:
        """Vary thresholds and exits of good parents, and try one new fit."""
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
        return [
            score_of(
                outcomes,
                index,
                self._fit(trial.fit).size,
                self._settings,
                by_day=self._by_day,
                novelty=self._novelty,
            )
            for index, trial in enumerate(candidates)
        ]

    def outcomes(self, candidates: list[Trial], rows: slice) -> Outcomes:
        """Trade the candidates over a span of rows; out of fold where it is training."""
        first, last, _ = rows.indices(len(self._market))
        books = Books.fresh([trial.exits for trial in candidates], self._market, first, last)
        if candidates:
            signals = np.stack([self.signals(trial)[first:last] for trial in candidates])
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
        """Return the model as a strategy of the slot."""
        fitted = self._fit(candidate.fit)
        buy_at, exit_at = fitted.thresholds(candidate)
        return BoostedStrategy(
            slot=self._slot.name,
            symbol=self._slot.symbol,
            schema_hash=self._schema.hash,
            features=self._schema.names,
            model=fitted.text,
            buy_at=buy_at,
            exit_at=exit_at,
            exits=candidate.exits,
        )

    def signals(self, candidate: Trial) -> Signals:
        """Signals over all rows; out of fold in the training window."""
        return self._fit(candidate.fit).signals(candidate)

    def variants(self, candidate: Trial, seed: int, count: int) -> list[Variant]:
        """Thresholds moved by up to 5% of their distance, exits by up to 10%."""
        generator = np.random.default_rng([seed, 2])
        fitted = self._fit(candidate.fit)
        return [
            Variant(
                fitted.signals(candidate, *generator.uniform(-0.05, 0.05, 2)),
                moved_exits(candidate.exits, generator),
            )
            for _ in range(count)
        ]

    # --- fitting ---------------------------------------------------------------------------------

    def _fit(self, fit: Fit) -> Fitted:
        if fit not in self._fitted:
            self._fitted[fit] = self._train(fit)
        return self._fitted[fit]

    def _train(self, fit: Fit) -> Fitted:
        """Fit every fold's model without the fold and its neighbours, stopped early on it."""
        train = self._windows.train
        if fit.barriers not in self._labels:
            self._labels[fit.barriers] = label(
                self._market, fit.barriers, self._settings.costs, train
            )
        labels = self._labels[fit.barriers]
        probabilities = np.full(len(self._market), np.nan)
        folds = []
        for part in np.array_split(np.arange(train.start, train.stop), FOLDS):
            fold = slice(int(part[0]), int(part[-1]) + 1)
            folds.append(fold)
            inside = slice(fold.start - train.start, fold.stop - train.start)
            booster = self._boost(fit, labels, inside)
            last = fold.stop == train.stop
            rows = slice(fold.start, len(self._market) if last else fold.stop)
            probabilities[rows] = self._predict(booster, rows)
        text = booster.model_to_string(num_iteration=booster.best_iteration)
        leaves = sum(
            tree["num_leaves"]
            for tree in booster.dump_model(num_iteration=booster.best_iteration)["tree_info"]
        )
        return Fitted(text, leaves, probabilities, tuple(folds))

    def _outside(self, labels: Labels, inside: slice) -> npt.NDArray[np.bool_]:
        """Rows to fit on when a fold is held out: no label of theirs lives in it or just after."""
        row = np.arange(len(labels.end))
        before = labels.end < inside.start
        after = row >= inside.stop + self._embargo
        outside: npt.NDArray[np.bool_] = labels.known & (before | after)
        return outside

    def _boost(self, fit: Fit, labels: Labels, inside: slice) -> Booster:
        # Imported here: a forging of genetic programs need not pay for it.
        import lightgbm

        fold = np.zeros(len(labels.end), dtype=bool)
        fold[inside] = labels.known[inside]
        outside = self._outside(labels, inside)
        key = (fit.barriers, inside.start)
        if key not in self._order:
            self._order[key] = telling(self._tails, labels, outside)
        columns = self._order[key][: fit.kept]
        data = self._dataset(labels, self._drawn(outside), columns)
        options = {
            **fit.parameters,
            "objective": "binary",
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "seed": self._seed % 2**31,
            **BINNING,
        }
        return lightgbm.train(
            options,
            data,
            MOST_ROUNDS,
            valid_sets=[self._dataset(labels, self._drawn(fold), columns, data)],
            callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
        )

    def _drawn(self, rows: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        chosen = np.flatnonzero(rows)
        kept = np.zeros(len(rows), dtype=bool)
        chance = self._chance[chosen]
        generator = np.random.default_rng([self._seed, len(chosen)])
        keys = generator.random(len(chosen)) ** (1 / chance)
        kept[chosen[np.argsort(-keys)[:MOST_ROWS]]] = True
        return kept

    def _dataset(
        self,
        labels: Labels,
        rows: npt.NDArray[np.bool_],
        columns: Integers,
        reference: Booster = None,
    ) -> Booster:
        import lightgbm

        # What is left out stands as a constant, which no tree can split.
        values = np.zeros((int(rows.sum()), self._values.shape[1]))
        values[:, columns] = self._values[self._windows.train][rows][:, columns]
        # By what is at stake: a probability above one half then means a trade that pays on average.
        # With a mean of one, because penalties and the least weight of a leaf are absolute.
        weight = labels.weight[rows] * np.abs(labels.net_return[rows])
        return lightgbm.Dataset(
            values,
            labels.pays[rows],
            weight=weight / weight.mean(),
            feature_name=[f"f{index}" for index in range(values.shape[1])],
            reference=reference,
            params=BINNING,
        )

    def _predict(self, booster: Booster, rows: slice) -> Floats:
        values = self._values[rows]
        probabilities: Floats = np.asarray(booster.predict(values, num_threads=1), np.float64)
        probabilities[np.isnan(values).all(axis=1)] = np.nan
        return probabilities

    # --- variation -------------------------------------------------------------------------------

    def _random_fit(self) -> Fit:
        return Fit(
            random.choice(LEARNING_RATES),
            random.choice(LEAVES),
            random.choice(SMALLEST_LEAVES),
            random.choice(FEATURE_SHARES),
            random.choice(PENALTIES),
            random.choice(KEPT),
            self._shorter(random_exits()),
        )

    def _vary(self, fit: Fit) -> Fit:
        """Draw two of a fit's settings anew."""
        for _ in range(2):
            draw = random.randrange(7)
            if draw == 0:
                fit = replace(fit, learning_rate=random.choice(LEARNING_RATES))
            elif draw == 1:
                fit = replace(fit, leaves=random.choice(LEAVES))
            elif draw == 2:
                fit = replace(fit, smallest_leaf=random.choice(SMALLEST_LEAVES))
            elif draw == 3:
                fit = replace(fit, feature_share=random.choice(FEATURE_SHARES))
            elif draw == 4:
                fit = replace(fit, penalty=random.choice(PENALTIES))
            elif draw == 5:
                fit = replace(fit, kept=random.choice(KEPT))
            else:
                fit = replace(fit, barriers=self._shorter(nudge_exits(fit.barriers)))
        return fit

    def _shorter(self, exits: Exits) -> Exits:
        return replace(exits, timeout=min(exits.timeout, self._timeouts[-1]))

    def _parent(self, parents: list[Trial]) -> Trial:
        return parents[min(random.randrange(len(parents)), random.randrange(len(parents)))]


def tails_of(values: Floats) -> npt.NDArray[np.bool_]:
    """Whether each feature is in its low and its high tail, shape (2, n, features)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = np.nanquantile(values[::10], [TAIL_SHARE, 1 - TAIL_SHARE], axis=0)
    return np.stack([values < low, values > high])


def telling(tails: npt.NDArray[np.bool_], labels: Labels, rows: npt.NDArray[np.bool_]) -> Integers:
    """Order features by how far from the usual the trades begun in their tails end, best first.

    One trade for each time a feature enters a tail, so that a long stay does not count as many.
    """
    usual = float(labels.net_return[rows].mean())
    strength = np.zeros(tails.shape[2])
    for tail in tails:
        entered = tail & rows[:, None]
        entered[1:] &= ~tail[:-1]
        for column in range(tails.shape[2]):
            earned = labels.net_return[entered[:, column]] - usual
            if len(earned) >= FEWEST_ENTRIES and earned.std() > 0:
                ratio = abs(earned.mean()) / earned.std() * len(earned) ** 0.5
                strength[column] = max(strength[column], ratio)
    return np.argsort(-strength, kind="stable")
