from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crucible.forge.genetic import breeder as breeding
from crucible.forge.genetic.conditions import LEVELS, best_condition, trial_count
from crucible.forge.validation.null_maximum import NullMaximum
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


def plain(values, returns, fewest):
    """Every condition compared, as its definition says."""
    found = []
    for column in range(values.shape[1]):
        held = values[:, column]
        known = np.isfinite(held)
        if known.sum() < fewest:
            continue
        for threshold in np.quantile(held[known], LEVELS):
            for above in (True, False):
                left = known & ((held > threshold) if above else (held < threshold))
                if left.sum() >= fewest:
                    kept = returns[left]
                    ratio = np.mean(kept) / np.std(kept, ddof=1) * len(kept) ** 0.5
                    found.append((ratio, column, above, threshold, left))
    return found


@given(st.integers(0, 10_000), st.integers(8, 120), st.integers(3, 20))
@settings(max_examples=60, deadline=None)
def test_the_compiled_comparison_is_its_definition(seed, trades, fewest):
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(trades, 4)).round(1)
    values[generator.random(values.shape) < 0.1] = np.nan
    values[generator.random(values.shape) < 0.05] = np.inf
    returns, days = generator.normal(size=trades), generator.integers(0, 9, trades)
    observed = NullMaximum(1, 9)
    found = best_condition(values, returns, fewest, days, observed)
    expected = plain(values, returns, fewest)
    if not expected:
        assert found is None
        return
    best = max(expected, key=lambda each: each[0])
    assert found.t_statistic == pytest.approx(best[0])
    ties = [each for each in expected if each[0] == pytest.approx(best[0])]
    assert (found.column, found.above, found.threshold) in [each[1:4] for each in ties]
    groups = NullMaximum(1, 9)
    groups.observe_groups([(days[left], returns[left]) for *_, left in expected])
    np.testing.assert_allclose(observed.largest, groups.largest, rtol=1e-6)


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
