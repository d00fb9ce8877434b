from __future__ import annotations

import numpy as np

from crucible.forge.genetic import breeder as breeding
from crucible.forge.genetic.conditions import best_condition, trial_count
from tests.support.markets import forge_run_of


def test_the_condition_that_made_trades_pay_is_found():
    generator = np.random.default_rng(0)
    values = generator.normal(size=(400, 5))
    returns = generator.normal(-0.001, 0.01, 400) + np.where(values[:, 3] < 0, 0.01, 0)
    found = best_condition(values, returns, 40)
    assert (found.column, found.above) == (3, False)
    assert abs(found.threshold) < 0.2


def test_a_condition_leaves_enough_trades():
    values = np.arange(40.0).reshape(-1, 1)
    returns = np.where(values[:, 0] >= 35, 1.0, -1.0) + np.linspace(0, 0.1, 40)
    found = best_condition(values, returns, 20)
    kept = values[:, 0] > found.threshold if found.above else values[:, 0] < found.threshold
    assert kept.sum() >= 20
    assert best_condition(values, returns, 41) is None


def test_a_feature_that_is_never_known_is_passed_over():
    values = np.full((50, 2), np.nan)
    assert best_condition(values, np.ones(50), 3) is None


def test_a_comparison_that_led_to_nobody_counts_as_a_trial_too(monkeypatch):
    compared = []

    def nothing_worth_it(values, returns, fewest, *others):
        compared.append(trial_count(values.shape[1]))

    monkeypatch.setattr(breeding, "best_condition", nothing_worth_it)
    forge_run = forge_run_of()
    state = forge_run.start()
    trials, seen = state.trials, len(state.seen)
    state = forge_run.advance(state)
    assert trial_count(6) == 36
    assert len(compared) > 0
    assert state.trials - trials == len(state.seen) - seen + sum(compared)


def test_every_comparison_counts_as_a_trial_once(monkeypatch):
    compared, kept = [], []

    def counted(values, returns, fewest, *others):
        compared.append(trial_count(values.shape[1]))
        return best_condition(values, returns, fewest, *others)

    monkeypatch.setattr(breeding, "best_condition", counted)
    sound = breeding.ProgramBreeder.evaluate

    def evaluate(self, candidates):
        kept.extend(candidate for candidate in candidates if candidate.trial_count > 1)
        return sound(self, candidates)

    monkeypatch.setattr(breeding.ProgramBreeder, "evaluate", evaluate)
    forge_run = forge_run_of()
    state = forge_run.start()
    trials, seen = state.trials, len(state.seen)
    kept.clear()
    for _ in range(3):
        state = forge_run.advance(state)
    others = len(state.seen) - seen - len(kept)
    assert sum(compared) <= state.trials - trials - others <= sum(compared) + len(kept)
