from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from crucible.forge.backtest.engine import Market
from crucible.forge.boosted.labels import uniqueness
from crucible.forge.boosted.training import FOLDS, MOST_DRAWN, Fit, Fitter
from crucible.settings import Costs
from crucible.strategies.contract import Exits
from tests.support.markets import make_market

TRAIN = slice(0, 6_000)
FIT = Fit(20, 0.1, 4, 10, 1.0, 1.0, 2, Exits(0.01, 0.01, 30))
EMBARGO = 2 * FIT.barriers.timeout
STOPPED = replace(FIT, rounds=60, stopped=True)


def fitter_of(spoil=None, drift=0.0004):
    candles, frame = make_market(rows=8_000, drift=drift)
    values = frame.values
    if spoil is not None:
        # Another future of the fold: its features and its prices.
        values[spoil] = np.random.default_rng(9).normal(size=values[spoil].shape)
        for column in ("open", "high", "low", "close"):
            getattr(candles, column)[spoil] *= 1.5
    market = Market.of(candles, frame)
    return Fitter(values, market, TRAIN, Costs(), seed=1)


@pytest.fixture(scope="module")
def fitted():
    fitter = fitter_of()
    return fitter, fitter.fit(FIT)


HELD = [(), *combinations(range(FOLDS), 1), *combinations(range(FOLDS), 2)]


@pytest.mark.parametrize("held", HELD)
def test_no_label_that_a_model_sees_lives_in_a_held_out_fold_or_just_after(held, fitted):
    fitter, _ = fitted
    labels = fitter.labels(FIT.barriers)
    rows = np.flatnonzero(fitter.outside(labels, held))
    assert len(rows) > 2_000
    for number in held:
        fold = fitter.folds[number]
        assert ((labels.end[rows] < fold.start) | (rows >= fold.stop + EMBARGO)).all()


def test_folds_cover_the_training_window_once(fitted):
    fitter, _ = fitted
    covered = np.concatenate([np.arange(fold.start, fold.stop) for fold in fitter.folds])
    assert covered.tolist() == list(range(TRAIN.start, TRAIN.stop))


@pytest.mark.parametrize("number", range(FOLDS))
def test_nothing_of_a_fold_is_in_the_model_and_thresholds_that_trade_it(number, fitted):
    fitter, before = fitted
    # A label just before the fold may end in it; what was spoilt begins where none does any more.
    after = fitter_of(fitter.folds[number])
    labels = after.labels(FIT.barriers)
    rows = fitter.outside(fitter.labels(FIT.barriers), (number,))
    np.testing.assert_array_equal(rows, after.outside(labels, (number,)))
    again = after.fit(FIT)
    kept, other = before.calibrations[number], again.calibrations[number]
    np.testing.assert_array_equal(kept.levels, other.levels)
    assert (kept.pays_from, kept.falls_until) == (other.pays_from, other.falls_until)
    model, same = fitter._model(FIT, (number,)), after._model(FIT, (number,))
    assert model.booster.model_to_string() == same.booster.model_to_string()
    # The final model and its thresholds are of the whole window.
    assert before.calibrations[-1].pays_from != again.calibrations[-1].pays_from


@pytest.mark.parametrize("number", [0, 2])
def test_where_a_fit_stops_early_is_decided_by_the_other_folds(number, fitted):
    fitter, _ = fitted
    before = fitter.fit(STOPPED)
    after = fitter_of(fitter.folds[number])
    again = after.fit(STOPPED)
    kept, other = before.calibrations[number], again.calibrations[number]
    np.testing.assert_array_equal(kept.levels, other.levels)
    pair = (number, 3) if number != 3 else (2, 3)
    reported = pair[1]
    mine, theirs = fitter._model(STOPPED, pair), after._model(STOPPED, pair)
    assert mine.best[reported] == theirs.best[reported]
    assert mine.best[number] != theirs.best[number]


def test_a_fit_on_noise_stops_long_before_its_last_round():
    found = fitter_of(drift=0.0).fit(STOPPED)
    assert 1 <= found.model.booster.num_trees() < STOPPED.rounds
    whole = fitter_of(drift=0.0).fit(replace(STOPPED, stopped=False))
    assert whole.model.booster.num_trees() == STOPPED.rounds
    assert np.nanstd(found.probabilities) < np.nanstd(whole.probabilities)


def test_a_fit_on_a_market_with_a_rule_buys_when_the_rule_speaks(fitted):
    fitter, found = fitted
    later = found.model.predict(fitter._values[TRAIN.stop :])
    signals = found.signals(later, (0.05, 0.05))
    edge = fitter._values[:, 0]
    bought = edge[signals == 1]
    assert len(bought) > 0.5 * (edge > 2.2).sum()
    assert (bought > 2.0).mean() > 0.9


def test_what_a_fits_models_foretell_is_lightgbms_to_the_last_bit(fitted):
    fitter, found = fitted
    models = [
        found.model,
        *(fitter._model(replace(FIT, rounds=9), held) for held in ((0,), (1, 3))),
    ]
    for model in models:
        rows = fitter._values[:, model.columns]
        known = ~np.isnan(rows).all(axis=1)
        for rounds in (None, 1, 5):
            theirs = model.booster.predict(rows, num_threads=1, num_iteration=rounds)
            ours = model.predict(fitter._values, rounds)
            np.testing.assert_array_equal(ours[known], theirs[known])
            assert np.isnan(ours[~known]).all()


def test_drawn_rows_are_few_allowed_and_rather_in_tails(fitted, monkeypatch):
    fitter, _ = fitted
    rows = fitter.outside(fitter.labels(FIT.barriers), (1,))
    drawn = fitter.draw(rows, np.array([0]), (1,))
    assert rows[drawn].all()
    assert len(np.unique(drawn)) == len(drawn) == round(MOST_DRAWN * rows.sum())
    edge = np.abs(fitter._values[:, 0])
    assert edge[drawn].mean() > 1.3 * edge[: TRAIN.stop][rows].mean()
    monkeypatch.setattr("crucible.forge.boosted.training.MOST_ROWS", 300)
    assert len(fitter.draw(rows, np.array([0]), (1,))) == 300


def test_weights_are_of_the_rows_that_were_drawn(fitted, monkeypatch):
    import lightgbm

    fitter, _ = fitted
    seen = {}
    monkeypatch.setattr("crucible.forge.boosted.training.MOST_ROWS", 500)
    monkeypatch.setattr(
        lightgbm, "train", lambda options, data, rounds: seen.update(weight=data.get_weight())
    )
    fitter._model(FIT, (1,))
    labels = fitter.labels(FIT.barriers)
    columns = fitter._order(FIT.barriers, (1,))[: FIT.kept]
    drawn = fitter.draw(fitter.outside(labels, (1,)), columns, (1,))
    assert len(drawn) == 500
    assert np.abs(fitter._values[drawn][:, columns]).mean() > 1.2
    weight = uniqueness(labels.end, drawn) * np.abs(labels.net_return[drawn])
    np.testing.assert_allclose(seen["weight"], weight / weight.mean(), rtol=1e-6)
