"""How many independent trials the looks of a search are worth."""

from __future__ import annotations

import numpy as np
import pytest

from crucible.forge.backtest.statistics import sharpe
from crucible.forge.validation.null_maximum import NullMaximum, effective_trials, merged

DAYS = 260


def worth(returns: np.ndarray, seed: int = 1) -> float:
    null_maximum = NullMaximum(seed, returns.shape[1])
    null_maximum.observe(returns)
    found = effective_trials(null_maximum.state(), returns.shape[1])
    assert found is not None
    return found


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, DAYS))


@pytest.mark.parametrize("count", [10, 100, 1_000])
def test_independent_trials_count_as_many(count):
    assert worth(noise(count)) == pytest.approx(count, rel=0.3)


def test_copies_count_once_and_near_copies_hardly_more():
    own = noise(20)
    assert worth(np.repeat(own, 50, axis=0)) == pytest.approx(worth(own))
    near = np.repeat(own, 50, axis=0) + 0.1 * noise(1_000, seed=1)
    assert worth(own) <= worth(near) < 3 * worth(own)


def test_an_edge_does_not_count_as_more_trials():
    plain = noise(200)
    assert worth(plain + 0.3) == pytest.approx(worth(plain), rel=0.5)


def test_the_best_of_a_field_without_edge_is_as_good_as_the_count_says():
    """The parity: over many fields of near copies the mean best ratio is that of the effective count."""
    from crucible.forge.backtest.statistics import expected_maximum_sharpe

    bests, expected = [], []
    for seed in range(60):
        base = noise(40, seed=seed)
        field = np.repeat(base, 10, axis=0) + 0.3 * noise(400, seed=1_000 + seed)
        bests.append(max(sharpe(row) for row in field))
        expected.append(expected_maximum_sharpe(worth(field), 1 / (DAYS - 1)))
    error = np.std(bests) / len(bests) ** 0.5
    assert np.mean(bests) == pytest.approx(np.mean(expected), abs=4 * error)


def test_what_is_looked_at_in_parts_counts_as_what_is_looked_at_at_once():
    field = noise(300)
    parts = NullMaximum(1, DAYS)
    for part in np.array_split(field, 7):
        parts.observe(part)
    resumed = NullMaximum(1, DAYS)
    resumed.observe(field[:100])
    again = NullMaximum(1, DAYS)
    again.restore(resumed.state())
    again.observe(field[100:])
    assert parts.state() == again.state()
    others = [NullMaximum(1, DAYS), NullMaximum(1, DAYS)]
    others[0].observe(field[:150])
    others[1].observe(field[150:])
    assert merged([other.state() for other in others]) == parts.state()


@pytest.mark.parametrize("days", [1, 9, DAYS, 4_000])
def test_no_bit_depends_on_how_many_rows_are_added_up_together(days):
    field = np.random.default_rng(2).standard_t(2, size=(97, days))
    field[0] = 1.0  # the largest sum that can be: all of one sign
    at_once, one_by_one = NullMaximum(3, days), NullMaximum(3, days)
    at_once.observe(field)
    for row in field:
        one_by_one.observe(row[None, :])
    assert at_once.state() == one_by_one.state()
    scaled = field / np.sqrt((field**2).sum(axis=1, keepdims=True))
    plain = (scaled @ at_once._signs.astype(np.float64)).max(axis=0)
    assert np.abs(plain - at_once.largest).max() < 1e-3


def test_comparisons_are_heeded_by_the_days_of_what_they_compare():
    generator = np.random.default_rng(3)
    groups = [(generator.integers(0, DAYS, 50), generator.normal(size=50)) for _ in range(80)]
    grouped = NullMaximum(1, DAYS)
    grouped.observe_groups(groups)
    by_day = np.zeros((80, DAYS))
    for row, (days, values) in enumerate(groups):
        np.add.at(by_day[row], days, values)
    assert effective_trials(grouped.state(), DAYS) == pytest.approx(worth(by_day))


def test_nothing_looked_at_is_no_count():
    null_maximum = NullMaximum(1, DAYS)
    null_maximum.observe(np.zeros((5, DAYS)))
    assert null_maximum.state() == []
    assert effective_trials([], DAYS) is None
    assert merged([[], []]) == []
