from __future__ import annotations

import numpy as np
import pytest

from crucible.forge.boosted.labels import Labels
from crucible.forge.boosted.screening import MIDDLE, TAILS, Terrain, chances, screen

ROWS, FEATURES = 60_000, 12
EVERYTHING = np.ones(ROWS, dtype=bool)


def market(acts, seed=0, gain=0.01):
    """Features without meaning, and labels of ten rows that earn where `acts` says so."""
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(ROWS, FEATURES))
    earned = generator.normal(0, 0.005, ROWS) + gain * acts(values)
    return values, Labels(earned, np.minimum(np.arange(ROWS) + 10, ROWS - 1), 10)


@pytest.mark.parametrize("share", [0.002, 0.01, 0.04])
@pytest.mark.parametrize("side", [-1, 1])
def test_a_feature_that_tells_in_a_tail_however_rare_comes_first(share, side):
    values, labels = market(
        lambda x: side * x[:, 7] > np.quantile(side * x[:, 7], 1 - share), seed=3
    )
    order = screen(values, Terrain.of(values, EVERYTHING), labels, EVERYTHING)
    assert order[0] == 7
    assert sorted(order) == list(range(FEATURES))


def test_a_companion_that_tells_nothing_alone_comes_first_with_its_tail():
    values, labels = market(lambda x: (x[:, 4] > 1.7) * np.sign(x[:, 9]))
    order = screen(values, Terrain.of(values, EVERYTHING), labels, EVERYTHING)
    assert sorted(order[:2]) == [4, 9]


def test_a_companion_by_chance_does_not_come_before_what_tells_alone():
    values, labels = market(lambda x: (x[:, 4] > 2.0) * 1.0 + (x[:, 2] < -2.0))
    order = screen(values, Terrain.of(values, EVERYTHING), labels, EVERYTHING)
    assert sorted(order[:2]) == [2, 4]


def test_rows_that_a_fit_may_not_see_change_nothing():
    values, labels = market(lambda x: x[:, 7] > 2.0)
    seen = np.arange(ROWS) < 40_000
    spoilt, other = values.copy(), Labels(labels.net_return.copy(), labels.end, 10)
    spoilt[40_000:] = 9.0
    other.net_return[40_000:] = np.where(values[40_000:, 1] > 2, 1.0, -1.0)
    before, after = Terrain.of(values, seen), Terrain.of(spoilt, seen)
    np.testing.assert_array_equal(before.depths[:, :40_000], after.depths[:, :40_000])
    np.testing.assert_array_equal(before.edges, after.edges)
    assert (
        screen(values, before, labels, seen).tolist() == screen(spoilt, after, other, seen).tolist()
    )


def test_a_trade_that_is_still_open_is_not_counted_again():
    values, labels = market(lambda x: np.zeros(ROWS))
    generator = np.random.default_rng(1)
    # Feature 0 stays high for long while one good trade lives; feature 5 is high for many.
    values[:, 0] = 0.0
    for start in generator.choice(ROWS // 40, 20, replace=False) * 40:
        values[start : start + 40, 0] = 5.0 + generator.random(40)
        labels.net_return[start : start + 40] = 0.02
        labels.end[start : start + 40] = start + 40
    labels.net_return[values[:, 5] > 2.0] += 0.004
    order = screen(values, Terrain.of(values, EVERYTHING), labels, EVERYTHING)
    assert order[0] == 5


def test_the_deeper_in_a_tail_of_a_kept_feature_the_likelier_a_row_is_drawn():
    values = np.random.default_rng(0).normal(size=(ROWS, 3))
    values[::7, 1] = np.nan
    terrain = Terrain.of(values, EVERYTHING)
    found = chances(terrain, np.array([1]))
    ordered = found[np.argsort(np.where(np.isnan(values[:, 1]), 0, np.abs(values[:, 1])))]
    assert ordered[: ROWS // 2].max() == MIDDLE
    assert ordered[-20:].min() == MIDDLE + len(TAILS)
    assert (found[::7] == MIDDLE).all()
    share = (found >= MIDDLE + 1).sum() / (~np.isnan(values[:, 1])).sum()
    assert share == pytest.approx(2 * TAILS[0], rel=0.1)
