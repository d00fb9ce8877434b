from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from crucible.forge.validation.cross_validation import cross_validate, folds_of, groups_of, paths_of
from crucible.forge.validation.windows import cut, limits_for
from crucible.settings import ForgeSettings


@given(st.integers(2_000, 600_000), st.integers(3, 10))
def test_groups_are_apart_by_the_longest_lookback_and_trade(rows, groups):
    windows = cut(rows, ForgeSettings())
    limits = limits_for(rows)
    assert windows.purge >= limits.lookback + 2 * limits.timeout
    known = slice(windows.train.start, windows.validation.stop)
    spans = groups_of(known, windows.purge, groups)
    assert all(known.start <= span.start < span.stop <= known.stop for span in spans)
    for before, after in pairwise(spans):
        assert after.start - before.stop >= windows.purge


def test_what_is_too_short_for_its_purge_has_no_groups():
    assert groups_of(slice(0, 600), purge=60) == []


@given(st.integers(3, 9), st.data())
def test_every_path_holds_each_group_out_once_and_shares_no_fold_for_it(groups, data):
    held_out = data.draw(st.integers(1, groups - 1))
    folds, paths = folds_of(groups, held_out), paths_of(groups, held_out)
    used = set()
    for path in paths:
        assert len(path) == groups
        for group, fold in enumerate(path):
            assert group in folds[fold]
            assert (group, fold) not in used
            used.add((group, fold))
    assert len(used) == len(folds) * held_out


def test_a_choice_that_does_not_carry_over_has_a_losing_path():
    generator = np.random.default_rng(1)
    noise = generator.normal(-0.001, 0.01, (20, 6, 30))
    lucky = cross_validate([noise[:, group] for group in range(6)])
    assert lucky.worst < 0
    assert all(fold["inside"] > fold["outside"] for fold in lucky.folds)
    noise[3] += 0.02
    real = cross_validate([noise[:, group] for group in range(6)])
    assert real.worst > 10
    assert {fold["chosen"] for fold in real.folds} == {3}


def test_the_held_out_groups_do_not_decide_who_trades_in_them():
    generator = np.random.default_rng(2)
    daily = [generator.normal(0, 0.01, (5, 20)) for _ in range(6)]
    before = cross_validate(daily)
    spoilt = [*daily[:4], daily[4] * -3 + 1, daily[5] * 7 - 1]
    after = cross_validate(spoilt)
    last = folds_of().index((4, 5))
    assert before.folds[last]["chosen"] == after.folds[last]["chosen"]
    assert before.folds[last]["inside"] == after.folds[last]["inside"]
    assert before.folds[last]["outside"] != after.folds[last]["outside"]


def test_nothing_to_hold_out_is_not_a_number():
    assert np.isnan(cross_validate([]).worst)
