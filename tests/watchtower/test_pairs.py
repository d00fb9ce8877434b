"""A challenger is compared with the incumbent's shadow copy, and no better one is hardly ever named better."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crucible.ledger.reader import PairMark
from crucible.market.funding import Funding
from crucible.strategies.contract import Exits
from crucible.watchtower.pairs import LARGEST_MOVE, difference_bound, differences, pair_wealth
from crucible.watchtower.sequential import EvidenceError, GainBet, wealth_against_no_gain

QUARTER_MS = 900_000
returns = st.floats(-0.03, 0.03)


def marks_of(ours, theirs, holds=None):
    """Give the marks of one pair, one every quarter of an hour."""
    held = holds or [(False, False)] * len(ours)
    return [
        PairMark("a@2", "a@1", (n + 1) * QUARTER_MS, own, other, *both)
        for n, (own, other, both) in enumerate(zip(ours, theirs, held, strict=True))
    ]


@given(st.lists(st.tuples(returns, returns), max_size=60))
def test_only_the_difference_counts_whatever_the_market_did_to_both(pairs):
    ours, theirs = [own for own, _ in pairs], [other for _, other in pairs]
    swung = [(own + 0.5, other + 0.5) for own, other in pairs]
    plain = pair_wealth(marks_of(ours, theirs), None, 0.1)
    assert pair_wealth(
        marks_of(*map(list, zip(*swung, strict=True))) if swung else [], None, 0.1
    ) == pytest.approx(plain)
    assert plain == pytest.approx(wealth_against_no_gain([a - b for a, b in pairs], 0.1))


@given(st.lists(returns, max_size=40))
def test_a_bet_taken_return_by_return_equals_the_bet_on_all(values):
    bet = GainBet(0.05)
    for value in values:
        bet.add(value)
    assert bet.wealth == pytest.approx(wealth_against_no_gain(values, 0.05))


def test_a_return_that_is_no_number_is_refused():
    with pytest.raises(EvidenceError, match="nan"):
        GainBet(0.05).add(float("nan"))
    with pytest.raises(EvidenceError, match="trade 1 is nan"):
        pair_wealth(marks_of([float("nan")], [0.0]), None, 0.1)


def test_whoever_holds_over_a_settlement_pays_for_it_and_the_other_does_not():
    rates = Funding("BTCUSDT", np.array([2 * QUARTER_MS, 4 * QUARTER_MS]), np.array([0.001, 0.002]))
    nothing = [0.0] * 5
    alone = marks_of(nothing, nothing, [(True, False)] * 5)
    assert differences(alone, rates) == pytest.approx([0, -0.001, 0, -0.002, 0])
    other = marks_of(nothing, nothing, [(False, True)] * 5)
    assert differences(other, rates) == pytest.approx([0, 0.001, 0, 0.002, 0])
    both = marks_of(nothing, nothing, [(True, True)] * 5)
    assert differences(both, rates) == nothing
    assert differences(alone, None) == nothing


def test_a_settlement_between_two_marks_that_are_far_apart_is_charged_at_the_later_one():
    rates = Funding("BTCUSDT", np.array([2 * QUARTER_MS]), np.array([0.001]))
    first, *_, last = marks_of([0.0] * 5, [0.0] * 5, [(True, False)] * 5)
    assert differences([first, last], rates) == pytest.approx([0, -0.001])


def test_the_bound_is_the_stop_of_one_and_the_target_of_the_other_up_to_a_large_move():
    tight, wide = Exits(0.004, 0.008, 60), Exits(0.1, 0.15, 60)
    assert difference_bound(tight, tight, 0.0005, 0.0001) == pytest.approx(0.0092 + 0.01)
    assert difference_bound(wide, wide, 0.0005, 0.0001) == pytest.approx(2 * LARGEST_MOVE + 0.0012)


@pytest.mark.parametrize(("edge", "least", "most"), [(0.0, 0.0, 0.2), (0.0006, 0.7, 1.0)])
def test_a_challenger_that_is_no_better_is_named_better_at_the_stated_rate_and_one_that_is_mostly(
    edge, least, most
):
    """Quarter hours of positions held for hours, with fat tails and the market's moves in common."""
    random = np.random.default_rng(5)
    named = 0
    for _ in range(300):
        market = 0.002 * random.standard_t(4, 2_000)
        held = [np.repeat(random.random(50) < 0.4, 40) for _ in range(2)]
        own, other = (market * each + 0.001 * random.standard_t(4, 2_000) * each for each in held)
        bet = GainBet(0.1012)
        best = 1.0
        own = own + edge * held[0]
        for value in (own - other).tolist():
            if value:
                bet.add(value)
                best = max(best, bet.wealth)
        named += best >= 5
    assert 300 * least <= named <= 300 * most
