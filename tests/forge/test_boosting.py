from __future__ import annotations

import numpy as np
import pytest

from tests.forge.markets import forging_of


@pytest.fixture(scope="module")
def forged():
    forging = forging_of("boosted")
    state = forging.start()
    return forging, forging._breeder.read(state.population[0])


def test_no_label_of_the_training_rows_lives_in_the_held_out_fold(forged):
    forging, trial = forged
    breeder = forging._breeder
    fitted = breeder._fit(trial.fit)
    labels = breeder._labels[trial.fit.barriers]
    for fold in fitted.folds:
        rows = np.flatnonzero(breeder._outside(labels, fold))
        assert len(rows) > 500
        lives_before = labels.end[rows] < fold.start
        decided_after = rows >= fold.stop + breeder._embargo
        assert (lives_before | decided_after).all()


def test_folds_cover_the_training_window_once(forged):
    forging, trial = forged
    folds = forging._breeder._fit(trial.fit).folds
    covered = np.concatenate([np.arange(fold.start, fold.stop) for fold in folds])
    train = forging.windows.train
    assert covered.tolist() == list(range(train.start, train.stop))


def test_the_strategy_signals_as_it_was_judged_from_its_fold_on(forged):
    forging, trial = forged
    breeder = forging._breeder
    start = breeder._fit(trial.fit).folds[-1].start
    strategy = breeder.strategy(trial)
    judged = breeder.signals(trial)
    assert strategy.signals(forging.frame)[start:].tolist() == judged[start:].tolist()
    assert (judged[forging.windows.validation] != 0).any()


def test_the_strategys_model_never_saw_its_own_fold(forged):
    forging, trial = forged
    breeder = forging._breeder
    fold = breeder._fit(trial.fit).folds[-1]
    spoilt = forging_of("boosted")
    spoilt._breeder._values[fold.start :] = 0.0
    spoilt._market = None
    with_less = spoilt._breeder._fit(trial.fit).text
    assert trees(with_less)[0] == trees(breeder._fit(trial.fit).text)[0]


def trees(text):
    return text.split("Tree=")[1:]
