"""Of the strategies that their lives prove, few earn nothing."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crucible.watchtower.discovery import proven_by_living
from crucible.watchtower.sequential import EvidenceError

WEALTH = st.dictionaries(st.text(min_size=1, max_size=3), st.floats(0, 1e6), max_size=12)


@given(WEALTH, st.floats(0.01, 0.5), st.integers(0, 20))
def test_the_largest_set_is_named_whose_least_evidence_pays_for_its_size(evidence, rate, unborn):
    ever = len(evidence) + unborn
    named = proven_by_living(evidence, rate, ever)
    sizes = [
        size
        for size in range(1, len(evidence) + 1)
        if sorted(evidence.values())[-size] * rate * size >= ever
    ]
    assert len(named) == max(sizes, default=0)
    if named:
        others = set(evidence) - named
        assert min(evidence[name] for name in named) >= max(
            (evidence[name] for name in others), default=0.0
        )


@given(WEALTH, st.integers(1, 50))
def test_more_births_prove_no_one(evidence, births):
    ever = len(evidence)
    assert proven_by_living(evidence, 0.05, ever + births) <= proven_by_living(evidence, 0.05, ever)


def test_of_strategies_without_skill_that_share_a_market_few_are_ever_named():
    random = np.random.default_rng(3)
    wrong = []
    for _ in range(300):
        shared = random.choice([-1.0, 1.0], size=200)
        # Each follows the shared market or its opposite: evidence moves together.
        sides = random.choice([-1.0, 1.0], size=20)
        wealth = np.exp(np.log1p(0.2 * np.outer(sides, shared)).sum(axis=1))
        evidence = {str(number): float(value) for number, value in enumerate(wealth)}
        wrong.append(bool(proven_by_living(evidence, 0.05, 20)))
    assert np.mean(wrong) <= 0.05


@pytest.mark.parametrize(
    ("evidence", "rate", "ever", "named"),
    [
        ({"a@1": math.nan}, 0.05, 1, "a@1"),
        ({"a@1": -0.1}, 0.05, 1, "a@1"),
        ({"a@1": math.inf}, 0.05, 1, "a@1"),
        ({"a@1": 1.0, "b@1": 2.0}, 0.05, 1, "only 1 were ever born"),
        ({}, 0.0, 1, "rate"),
        ({}, 1.0, 1, "rate"),
    ],
)
def test_evidence_that_is_none_is_refused_by_name(evidence, rate, ever, named):
    with pytest.raises(EvidenceError, match=named):
        proven_by_living(evidence, rate, ever)
