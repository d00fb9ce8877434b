from __future__ import annotations

import numpy as np
import pytest

from crucible.forge.backtest.statistics import (
    deflated_sharpe,
    expected_maximum_sharpe,
    max_drawdown,
    overfitting_probability,
    sharpe,
    superior_probability,
)


def test_the_expected_maximum_is_what_worthless_trials_show():
    generator = np.random.default_rng(0)
    best = generator.normal(0, 0.1, size=(4_000, 500)).max(axis=1).mean()
    assert expected_maximum_sharpe(500, 0.01) == pytest.approx(best, rel=0.01)
    assert expected_maximum_sharpe(1, 0.01) == 0


def test_one_trial_of_normal_returns_deflates_to_the_plain_probability():
    returns = np.random.default_rng(1).normal(0.1, 1, 400)
    returns = (returns - returns.mean()) / returns.std(ddof=1) + 0.1
    # Mertens (2002): standard error of a Sharpe ratio of 0.1 over 400 returns is close to 1/20.
    assert deflated_sharpe(returns, 1) == pytest.approx(0.977, abs=0.003)


def test_every_trial_makes_the_same_result_less_believable():
    returns = np.random.default_rng(2).normal(0.2, 1, 300)
    values = [deflated_sharpe(returns, trials) for trials in (1, 10, 100, 1_000, 100_000)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.95 > values[-1]


def test_the_best_of_worthless_trials_is_rarely_believed():
    generator = np.random.default_rng(3)
    believed = 0
    for _ in range(200):
        field = generator.normal(0, 1, size=(50, 60))
        best = field[np.argmax([sharpe(row) for row in field])]
        believed += deflated_sharpe(best, 50) >= 0.95
    assert believed <= 10


def test_too_few_or_constant_returns_have_no_sharpe_ratio():
    assert np.isnan(sharpe(np.array([0.1, 0.2])))
    assert np.isnan(sharpe(np.zeros(10)))
    assert np.isnan(deflated_sharpe(np.zeros(10), 5))


def test_overfitting_is_even_on_noise_and_rare_with_one_real_edge():
    generator = np.random.default_rng(4)
    noise = [overfitting_probability(generator.normal(size=(40, 80))) for _ in range(20)]
    assert 0.3 < np.mean(noise) < 0.7
    field = generator.normal(size=(40, 80))
    field[7] += 1.5
    assert overfitting_probability(field) < 0.05
    assert np.isnan(overfitting_probability(field[:1]))
    assert np.isnan(overfitting_probability(field[:, :10]))


def test_a_drawdown_counts_from_the_start():
    assert max_drawdown(np.array([0.9, 1.2, 0.6])) == pytest.approx(0.5)
    assert max_drawdown(np.array([0.9, 0.95])) == pytest.approx(0.1)


def test_a_field_of_equals_that_all_earn_is_not_overfitted():
    generator = np.random.default_rng(5)
    equals = generator.normal(0.3, 0.1, size=(1, 80)) + generator.normal(0, 0.05, size=(40, 80))
    assert overfitting_probability(equals) == 0
    assert overfitting_probability(equals - 0.6) > 0.2


def test_the_best_of_many_on_noise_is_rarely_called_superior():
    generator = np.random.default_rng(6)
    called = [
        superior_probability(generator.normal(0, 1, (24, 60)), seed, 300) <= 0.1
        for seed in range(60)
    ]
    assert np.mean(called) <= 0.2
    field = generator.normal(0, 1, (24, 60))
    field[5] += 1.0
    assert superior_probability(field, 1, 300) <= 0.05


def test_superiority_is_the_same_for_the_same_seed_and_needs_observations():
    field = np.random.default_rng(7).normal(0, 1, (5, 40))
    assert superior_probability(field, 3) == superior_probability(field, 3)
    assert np.isnan(superior_probability(field[:, :9], 3))
    assert np.isnan(superior_probability(np.zeros((5, 40)), 3))
