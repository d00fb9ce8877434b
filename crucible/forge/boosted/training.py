"""Fitting a boosted classifier, and learning its thresholds, without ever looking at what judges it.

Training is cut into folds. What a fit says of a fold comes from a model that saw no label which
lives in the fold, nor the rows just after it; that model's features were screened, its rows drawn and
its labels weighed among what it may see. Its thresholds were calibrated on the other folds, each
predicted by a model that saw neither that fold nor the one to be judged: so nothing of a fold is in the
signals that trade it. The strategy's model sees all of training, and its thresholds come from every fold's
model. Rows after training are predicted only when somebody asks for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from crucible.forge.backtest.engine import Market
from crucible.forge.boosted.calibration import Calibration, calibrate
from crucible.forge.boosted.labels import Labels, label, uniqueness
from crucible.forge.boosted.recent import Recent
from crucible.forge.boosted.screening import Terrain, chances, screen
from crucible.market.candles import Floats, Integers
from crucible.settings import Costs
from crucible.strategies.boosted import threshold_signals
from crucible.strategies.contract import Exits
from crucible.strategies.forest import Forest
from crucible.strategies.forest_text import parse_forest
from crucible.vm.signals import Signals

FOLDS = 4
KEPT_LABELS = 24
MOST_ROWS = 24_000
"""Rows that a model is fitted on: labels a few candles apart are of the same trade, and more of them
cost time without telling more."""
MOST_DRAWN = 1 / 3
"""Share of the rows that may be seen, at most: of all of them, tails would be too small a part."""
BAGGED = 0.3
"""Share of the drawn rows that each tree is grown on, so that no tree knows all of a lucky trade."""
MOST_CALIBRATED = 20_000
"""Rows of a fold that are calibrated on, evenly spaced: neighbours have almost the same trade."""

BINNING = {"max_bin": 127, "verbosity": -1}

Booster: TypeAlias = Any
"""LightGBM's booster; its package is imported only where it is used."""
Mask: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Fit:
    """What decides a model: LightGBM's settings, how many features it sees, and its labels' barriers.

    A fit that is `stopped` early takes the rounds, up to `rounds`, at which models without the fold to
    be judged predicted the other folds best.
    """

    rounds: int
    learning_rate: float
    leaves: int
    smallest_leaf: int
    penalty: float
    stake: float
    kept: int
    barriers: Exits
    stopped: bool = False

    @property
    def parameters(self) -> dict[str, float | int]:
        """LightGBM's names for them."""
        return {
            "learning_rate": self.learning_rate,
            "num_leaves": self.leaves,
            "min_data_in_leaf": self.smallest_leaf,
            "lambda_l2": self.penalty,
            "bagging_fraction": BAGGED,
            "bagging_freq": 1,
        }


@dataclass(frozen=True)
class Model:
    """A booster and the columns that it reads.

    What it predicts comes from its text, evaluated as a strategy evaluates it.

    `best` are the rounds at which it predicted each fold best that was held out; empty where nobody
    asked.
    """

    booster: Booster
    columns: Integers
    best: Mapping[int, int] = field(default_factory=dict)

    @cached_property
    def text(self) -> str:
        """Give the model as LightGBM writes it."""
        return str(self.booster.model_to_string())

    @cached_property
    def forest(self) -> Forest:
        """Give its trees."""
        return parse_forest(self.text, self.booster.feature_name())

    def predict(self, values: Floats, rounds: int | None = None) -> Floats:
        """Return the probability of each row after so many rounds, NaN where no column has a value."""
        seen = values[:, self.columns]
        found = self.forest.probabilities(seen, rounds)
        found[np.isnan(seen).all(axis=1)] = np.nan
        return found


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fit's final model, and what its folds' models say of the rows they did not see.

    Attributes
    ----------
    model : Model
        Of the whole training window.
    size : int
        Its leaves.
    probabilities : ndarray of float64, shape (n,)
        Out of fold, for the n rows of the training window.
    folds : tuple of slice
        Rows of each fold.
    calibrations : tuple of Calibration
        One for each fold, and the last for all rows after training.
    """

    model: Model
    size: int
    probabilities: Floats
    folds: tuple[slice, ...]
    calibrations: tuple[Calibration, ...]

    def signals(
        self,
        later: Floats,
        rates: tuple[float, float],
        buy_move: float = 0.0,
        exit_move: float = 0.0,
    ) -> Signals:
        """Signals in training and over the rows after it.

        Parameters
        ----------
        later : ndarray of float64
            The final model's probabilities of the rows after training; may be empty.
        rates : tuple of float
            Largest shares of rows that buy and exit.
        buy_move, exit_move : float
            Shares of the thresholds' distance by which they are moved.
        """
        parts = [*(self.probabilities[fold] for fold in self.folds), later]
        signals = []
        for part, calibration in zip(parts, self.calibrations, strict=True):
            buy_at, exit_at = calibration.thresholds(*rates)
            gap = buy_at - exit_at
            moved = buy_at + buy_move * gap, exit_at + exit_move * gap
            signals.append(threshold_signals(part, *moved))
        return np.concatenate(signals)


class Fitter:
    """Fits on one training window, and keeps what several fits need.

    Parameters
    ----------
    values : ndarray of float64, shape (n, features)
        Features of all rows, NaN where missing; training is the first of them.
    market : Market
        n rows.
    train : slice
        Begins at row 0.
    costs : Costs
    seed : int
    """

    def __init__(
        self,
        values: Floats,
        market: Market,
        train: slice,
        costs: Costs,
        seed: int,
    ) -> None:
        self._values = values
        self._market = market
        self._train = train
        self._costs = costs
        self._seed = seed
        parts = np.array_split(np.arange(train.start, train.stop), FOLDS)
        self.folds = tuple(slice(int(part[0]), int(part[-1]) + 1) for part in parts)
        self._labels: Recent[Exits, Labels] = Recent(KEPT_LABELS)
        self._terrains: dict[tuple[int, ...], Terrain] = {}
        self._orders: dict[tuple[Exits, tuple[int, ...]], Integers] = {}

    def labels(self, barriers: Exits) -> Labels:
        """Labels of the training window."""
        return self._labels.get(
            barriers, lambda exits: label(self._market, exits, self._costs, self._train)
        )

    def outside(self, labels: Labels, held: Sequence[int]) -> Mask:
        """Rows that a model may see when folds are held out.

        Their labels live in none of the folds, and no label of a fold can live at them.
        """
        row = np.arange(len(labels.end))
        seen = labels.known.copy()
        for number in held:
            fold = self.folds[number]
            seen &= (labels.end < fold.start) | (row >= fold.stop + labels.longest)
        return seen

    def fit(self, fit: Fit) -> Fitted:
        """Fit the final model, every fold's, and those that calibrate each fold's."""
        labels = self.labels(fit.barriers)
        numbers = range(FOLDS)
        # What each fold is worth when another is held out with it: one model tells of both.
        pairs = {held: self._model(fit, held) for held in combinations(numbers, 2)}
        others = {
            judged: [(reported, pairs[min(judged, reported), max(judged, reported)]) for reported in numbers
                     if reported != judged]
            for judged in numbers
        }  # fmt: skip
        rounds = {judged: _rounds(fit, others[judged]) for judged in numbers}
        beside: dict[tuple[int, int], tuple[Integers, Floats]] = {}
        for judged in numbers:
            for reported, model in others[judged]:
                rows = self._calibrated(labels, reported)
                beside[judged, reported] = rows, model.predict(self._values[rows], rounds[judged])
        probabilities = np.full(self._train.stop, np.nan)
        for number in numbers:
            fold = self.folds[number]
            alone = self._model(_lasting(fit, rounds[number]), (number,))
            probabilities[fold] = alone.predict(self._values[fold])
        calibrations = [
            self._calibrate(
                labels, [beside[judged, reported] for reported in numbers if reported != judged]
            )
            for judged in numbers
        ]
        known = [self._calibrated(labels, number) for number in numbers]
        calibrations.append(
            self._calibrate(labels, [(rows, probabilities[rows]) for rows in known])
        )
        everyone = [pair for judged in numbers for pair in others[judged]]
        model = self._model(_lasting(fit, _rounds(fit, everyone)), ())
        return Fitted(model, len(model.forest.leaf), probabilities, self.folds, tuple(calibrations))

    def _calibrated(self, labels: Labels, number: int) -> Integers:
        fold = self.folds[number]
        known = labels.known[fold].copy()
        # A trade that ends in another fold would tell of that one, and so would rows just after it.
        known &= labels.end[fold] < fold.stop
        known[: labels.longest if fold.start else 0] = False
        every = -(-len(known) // MOST_CALIBRATED)
        return fold.start + np.flatnonzero(known)[::every]

    def _calibrate(self, labels: Labels, parts: Sequence[tuple[Integers, Floats]]) -> Calibration:
        rows = np.concatenate([rows for rows, _ in parts])
        reported = np.concatenate([reported for _, reported in parts])
        rows, reported = rows[~np.isnan(reported)], reported[~np.isnan(reported)]
        charge = 2 * (self._costs.fee + self._costs.slippage)
        return calibrate(reported, labels.net_return[rows], uniqueness(labels.end, rows), charge)

    def _model(self, fit: Fit, held: tuple[int, ...]) -> Model:
        # Imported here: a forge run of genetic programs need not pay for it.
        import lightgbm

        labels = self.labels(fit.barriers)
        rows = self.outside(labels, held)
        columns = self._order(fit.barriers, held)[: fit.kept]
        drawn = self.draw(rows, columns, held)
        # By what is at stake: a probability above one half then means a trade that pays on average.
        # With a mean of one, because penalties and the least weight of a leaf are absolute.
        stake = np.abs(labels.net_return[drawn]) ** fit.stake
        weight = uniqueness(labels.end, drawn) * stake
        data = lightgbm.Dataset(
            self._values[drawn][:, columns],
            labels.pays[drawn],
            weight=weight / weight.mean(),
            feature_name=[f"f{column}" for column in columns],
            params=BINNING,
        )
        options = {
            **fit.parameters,
            "objective": "binary",
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "seed": self._seed % 2**31,
            **BINNING,
        }
        if not fit.stopped:
            return Model(lightgbm.train(options, data, fit.rounds), columns)
        history: dict[str, dict[str, list[float]]] = {}
        tests = []
        for number in held:
            rows_reported = self._calibrated(labels, number)
            tests.append(
                data.create_valid(
                    self._values[rows_reported][:, columns],
                    labels.pays[rows_reported],
                    weight=uniqueness(labels.end, rows_reported)
                    * np.abs(labels.net_return[rows_reported]) ** fit.stake,
                )
            )
        booster = lightgbm.train(
            options,
            data,
            fit.rounds,
            valid_sets=tests,
            valid_names=[str(number) for number in held],
            callbacks=[lightgbm.record_evaluation(history)],
        )
        best = {
            int(name): 1 + int(np.argmin(losses["binary_logloss"]))
            for name, losses in history.items()
        }
        return Model(booster, columns, best)

    def draw(self, rows: Mask, columns: Integers, held: tuple[int, ...]) -> Integers:
        """Draw rows to fit on, rather those in the tails of the features that are fitted on."""
        chosen = np.flatnonzero(rows)
        weight = chances(self._terrain(held), columns)[chosen]
        generator = np.random.default_rng([self._seed, *held])
        # Efraimidis and Spirakis, 2006: the largest keys are a weighted sample without replacement.
        keys = -np.log(generator.random(len(chosen))) / weight
        most = min(MOST_ROWS, round(MOST_DRAWN * len(chosen)))
        return np.sort(chosen[np.argpartition(keys, most - 1)[:most]])

    def _terrain(self, held: tuple[int, ...]) -> Terrain:
        if held not in self._terrains:
            seen = np.ones(self._train.stop, dtype=bool)
            for number in held:
                seen[self.folds[number]] = False
            self._terrains[held] = Terrain.of(self._values[self._train], seen)
        return self._terrains[held]

    def _order(self, barriers: Exits, held: tuple[int, ...]) -> Integers:
        key = barriers, held
        if key not in self._orders:
            labels = self.labels(barriers)
            self._orders[key] = screen(
                self._values[self._train],
                self._terrain(held),
                labels,
                self.outside(labels, held),
            )
        return self._orders[key]


def _rounds(fit: Fit, others: Sequence[tuple[int, Model]]) -> int:
    """Return the rounds that predicted folds best, their median; all of them if not stopped."""
    if not fit.stopped:
        return fit.rounds
    return int(np.median([model.best[reported] for reported, model in others]))


def _lasting(fit: Fit, rounds: int) -> Fit:
    """Return a fit that takes exactly so many rounds."""
    return replace(fit, rounds=rounds, stopped=False)
