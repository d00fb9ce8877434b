from __future__ import annotations

import numpy as np
import pytest

from tests.support.markets import forge_run_of, make_market


def forging_with_a_rule(seed=1):
    """A forge run that has something to find: where nothing pays, a calibrated fit does not trade."""
    return forge_run_of("boosted", make_market(rows=12_000, drift=0.0004), seed=seed)


@pytest.fixture(scope="module")
def forged():
    forge_run = forging_with_a_rule()
    breeder = forge_run._breeder
    trials = [breeder.read(document) for document in forge_run.start().population]
    return forge_run, next(
        trial
        for trial in trials
        if (breeder.signals(trial)[forge_run.windows.validation] == 1).any()
    )


def test_the_strategy_signals_as_it_was_judged_after_training(forged):
    forge_run, trial = forged
    breeder = forge_run._breeder
    after = forge_run.windows.train.stop
    strategy = breeder.strategy(trial)
    judged = breeder.signals(trial)
    assert strategy.signals(forge_run.frame)[after:].tolist() == judged[after:].tolist()
    assert (judged[forge_run.windows.validation] != 0).any()


def test_a_strategy_reads_only_the_features_that_its_fit_kept(forged):
    forge_run, trial = forged
    strategy = forge_run._breeder.strategy(trial)
    assert len(strategy.features) == min(trial.fit.kept, len(forge_run.frame.schema.names))
    assert set(strategy.features) <= set(forge_run.frame.schema.names)


def test_a_fit_never_looks_beyond_training(forged):
    forge_run, trial = forged
    spoilt = forging_with_a_rule()
    after = spoilt.windows.train.stop
    breeder = spoilt._breeder
    breeder._values[after:] = 9.0
    for column in ("open", "high", "low", "close"):
        getattr(spoilt.market.candles, column)[after:] *= 3
    before, again = forge_run._breeder._fit(trial.fit), breeder._fit(trial.fit)
    np.testing.assert_array_equal(before.probabilities, again.probabilities)
    assert forge_run._breeder.strategy(trial).to_json() == breeder.strategy(trial).to_json()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(forged):
    forge_run, trial = forged
    first = forge_run._breeder.strategy(trial).to_json()
    assert forging_with_a_rule()._breeder.strategy(trial).to_json() == first
    assert forging_with_a_rule(seed=2)._breeder.strategy(trial).to_json() != first


def test_rows_after_training_are_foretold_only_when_asked_for(forged):
    forge_run, trial = forged
    breeder = forging_with_a_rule()._breeder
    breeder.outcomes([trial], forge_run.windows.train)
    assert not breeder._later._held
    breeder.outcomes([trial], forge_run.windows.validation)
    assert list(breeder._later._held) == [trial.fit]
