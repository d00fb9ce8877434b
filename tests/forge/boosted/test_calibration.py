from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression

from crucible.forge.boosted.calibration import calibrate

CHARGE = 0.002


def drawn(seed, rows=400):
    generator = np.random.default_rng(seed)
    probabilities = np.round(generator.random(rows), 2)
    net = (probabilities - 0.6) * generator.uniform(-0.01, 0.03) + generator.normal(0, 0.01, rows)
    return probabilities, net, generator.uniform(0.1, 1, rows)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_it_buys_where_isotonic_regression_expects_more_than_the_costs(seed):
    probabilities, net, weight = drawn(seed)
    found = calibrate(probabilities, net, weight, CHARGE)
    levels, place = np.unique(probabilities, return_inverse=True)
    mass = np.bincount(place, weight)
    expected = isotonic_regression(np.bincount(place, weight * net) / mass, weights=mass).x
    pays = levels[expected > 0]
    falls = levels[expected + CHARGE < 0]
    assert found.pays_from == (pays[0] if len(pays) else np.nextafter(levels[-1], 2))
    assert found.falls_until == (falls[-1] if len(falls) else np.nextafter(levels[0], -1))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from((0.005, 0.02, 0.1)),
    st.sampled_from((0.0, 0.01, 0.05, 0.4)),
)
def test_rates_only_ever_make_it_buy_and_exit_less(seed, buy_rate, exit_rate):
    probabilities, net, weight = drawn(seed)
    found = calibrate(probabilities, net, weight, CHARGE)
    buy_at, exit_at = found.thresholds(buy_rate, exit_rate)
    assert exit_at < buy_at
    assert buy_at >= found.pays_from
    assert exit_at <= found.falls_until
    bought = (probabilities >= buy_at).mean()
    left = (probabilities <= exit_at).mean()
    # A level is taken whole: the outermost may be more than the rate.
    assert bought <= max(buy_rate, (probabilities == found.levels[-1]).mean()) + 1e-12
    assert (
        left <= max(exit_rate, (probabilities == found.levels[0]).mean() * (exit_rate > 0)) + 1e-12
    )


def test_what_earns_nothing_anywhere_is_never_bought():
    probabilities = np.linspace(0.2, 0.8, 50)
    found = calibrate(probabilities, np.full(50, -0.001), np.ones(50), CHARGE)
    buy_at, exit_at = found.thresholds(0.5, 0.5)
    assert not (probabilities >= buy_at).any()
    # It loses less than it costs: there is no reason to leave either.
    assert not (probabilities <= exit_at).any()


def test_without_a_row_to_learn_from_nothing_is_traded():
    found = calibrate(np.empty(0), np.empty(0), np.empty(0), CHARGE)
    buy_at, exit_at = found.thresholds(0.5, 0.5)
    assert buy_at > 1.0
    assert exit_at < 0.0


@pytest.mark.parametrize("rate", [0.01, 0.1, 1.0])
def test_a_lucky_row_that_weighs_little_does_not_lower_the_threshold(rate):
    probabilities = np.array([0.1, 0.2, 0.3, 0.4])
    net = np.array([-0.01, 0.05, -0.01, 0.02])
    light = calibrate(probabilities, net, np.array([1, 0.1, 1, 1]), CHARGE)
    heavy = calibrate(probabilities, net, np.array([1, 1, 1, 1]), CHARGE)
    assert light.thresholds(rate, 0)[0] == 0.4
    assert heavy.pays_from == 0.2
