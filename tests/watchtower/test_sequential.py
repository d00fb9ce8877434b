"""The sequential test keeps its promise however often it is looked at."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crucible.watchtower.sequential import (
    BETS,
    MOST_LOG_WEALTH,
    BoundError,
    EvidenceError,
    gain_wealth_path,
    loss_wealth_path,
    wealth_against_no_gain,
    wealth_against_no_loss,
    wealth_of_segments,
)

WEALTH = st.lists(st.floats(0, 1e300), max_size=8)

BOUND = 0.02


def ever_crosses(returns: np.ndarray, wealth, threshold: float) -> bool:
    return any(wealth(returns[:n].tolist(), BOUND) >= threshold for n in range(5, len(returns), 5))


def test_looking_after_every_fifth_trade_condemns_an_honest_agent_in_at_most_one_of_twenty_runs():
    random = np.random.default_rng(11)
    runs = 400
    condemned = sum(
        ever_crosses(random.choice([-0.01, 0.01], size=200), wealth_against_no_loss, 20.0)
        for _ in range(runs)
    )
    assert condemned / runs <= 0.05


def test_a_skewed_agent_without_edge_is_promoted_in_at_most_one_of_five_runs():
    random = np.random.default_rng(12)
    runs = 400
    # Wins often and little, loses seldom and much: mean zero, which looks like skill for a while.
    promoted = sum(
        ever_crosses(
            random.choice([0.002, -0.018], size=200, p=[0.9, 0.1]), wealth_against_no_gain, 5.0
        )
        for _ in range(runs)
    )
    assert promoted / runs <= 0.20


def test_a_steady_loser_is_found_within_sixty_trades_nine_times_of_ten():
    random = np.random.default_rng(13)
    runs = [random.normal(-0.004, 0.005, size=60).tolist() for _ in range(200)]
    found = sum(wealth_against_no_loss(returns, BOUND) >= 20 for returns in runs)
    assert found >= 180
    assert sum(wealth_against_no_gain(returns, BOUND) >= 5 for returns in runs) == 0


def test_wealth_starts_at_one_and_never_goes_below_zero():
    assert wealth_against_no_gain([], BOUND) == 1.0
    assert 0 <= wealth_against_no_gain([-1.0] * 500, BOUND) < 1e-3


def bet(returns, side):
    """Wealth of each bet size, multiplied trade by trade: the definition."""
    wealths = [1.0] * len(BETS)
    for value in returns:
        outcome = max(side * value / BOUND, -1.0)
        wealths = [held * (1 + size * outcome) for held, size in zip(wealths, BETS, strict=True)]
    return sum(wealths) / len(wealths)


def test_evidence_of_gain_is_one_bet_from_birth_at_every_look():
    returns = np.random.default_rng(14).standard_t(2, size=120) * 0.01
    expected = [bet(returns[: n + 1], 1) for n in range(len(returns))]
    looked = [wealth_against_no_gain(returns[: n + 1].tolist(), BOUND) for n in range(len(returns))]
    np.testing.assert_allclose(gain_wealth_path(returns, BOUND), expected, rtol=1e-9)
    np.testing.assert_allclose(looked, expected, rtol=1e-9)


def test_evidence_of_loss_is_bets_that_begin_one_after_the_other_with_shares_that_add_up_to_one():
    returns = np.random.default_rng(14).standard_t(2, size=120) * 0.01
    shares = [0.5, *(0.5 / (place * (place + 1)) for place in range(1, 10_000))]
    assert sum(shares) == pytest.approx(1, abs=1e-4)
    expected = []
    for n in range(1, len(returns) + 1):
        starts = range(0, n, 8)
        begun = sum(
            share * bet(returns[start:n], -1) for start, share in zip(starts, shares, strict=False)
        )
        # What has not begun is not lost, nor won.
        expected.append(begun + 1 - sum(shares[: len(starts)]))
    looked = [wealth_against_no_loss(returns[: n + 1].tolist(), BOUND) for n in range(len(returns))]
    np.testing.assert_allclose(loss_wealth_path(returns, BOUND), expected, rtol=1e-9)
    np.testing.assert_allclose(looked, expected, rtol=1e-9)


def test_who_earned_for_long_and_loses_now_is_found_in_half_the_trades_that_one_bet_from_birth_takes():
    random = np.random.default_rng(16)
    lives = [np.r_[random.normal(0.004, 0.009, 300), random.normal(-0.003, 0.009, 1_500)] for _ in range(40)]  # fmt: skip

    def taken(paths):
        return np.median([int(np.argmax(path[300:] >= 20)) for path in paths])

    anew = taken(loss_wealth_path(life, BOUND) for life in lives)
    assert 0 < anew < 0.5 * taken(gain_wealth_path(-life, BOUND) for life in lives)


def test_an_agent_that_earned_and_then_neither_earns_nor_loses_is_condemned_in_at_most_one_of_twenty_lives():
    random = np.random.default_rng(17)
    lives = [np.r_[random.normal(0.002, 0.009, 200), random.choice([-0.01, 0.01], 600)] for _ in range(400)]  # fmt: skip
    condemned = sum(bool((loss_wealth_path(life, BOUND) >= 20).any()) for life in lives)
    assert condemned / len(lives) <= 0.05


def test_evidence_stays_a_number_that_json_can_hold_however_long_an_agent_earns():
    path = gain_wealth_path([0.05] * 5_000, BOUND)
    assert np.isfinite(path).all()
    assert (np.diff(path) >= 0).all()
    assert path[-1] > 1e300


def test_a_bet_on_loss_is_fair_for_an_agent_with_rare_large_gains():
    random = np.random.default_rng(15)
    # Mean zero exactly: nine losses of 0.4% for each gain of 3.6%.
    lives = random.choice([-0.004, 0.036], size=(400, 300), p=[0.9, 0.1])
    condemned = sum(bool((loss_wealth_path(life, 0.036) >= 20).any()) for life in lives)
    assert condemned / len(lives) <= 0.05


@pytest.mark.parametrize("bound", [0.0, -1.0, math.nan, math.inf])
def test_a_bound_that_is_none_is_refused(bound):
    with pytest.raises(BoundError):
        wealth_against_no_gain([0.1], bound)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("wealth", [wealth_against_no_gain, wealth_against_no_loss])
def test_a_return_that_is_no_number_is_refused_by_its_place(wealth, value):
    with pytest.raises(EvidenceError, match="the return of trade 2 is"):
        wealth([0.01, value, 0.01], BOUND)


@given(WEALTH)
def test_segments_multiply_and_stay_a_number_whatever_they_hold(segments):
    wealth = wealth_of_segments(segments)
    assert 0 <= wealth < math.inf
    if 0 in segments:
        assert wealth == 0
    else:
        log = sum(map(math.log, segments))
        assert math.isclose(
            wealth, math.exp(min(log, MOST_LOG_WEALTH)), rel_tol=1e-9, abs_tol=1e-300
        )


@given(WEALTH, WEALTH)
def test_it_matters_neither_how_a_life_is_cut_nor_in_which_order_its_segments_are_given(a, b):
    whole = wealth_of_segments([*a, *b])
    assert math.isclose(whole, wealth_of_segments([*b, *a]), rel_tol=1e-9)
    assert math.isclose(wealth_of_segments([whole]), whole, rel_tol=1e-9)


def test_over_all_segments_of_a_life_without_edge_the_evidence_keeps_its_promise():
    random = np.random.default_rng(21)
    crossed = 0
    for _ in range(400):
        ended: list[float] = []
        reached = 0.0
        for _segment in range(4):
            # Each run ends when it looks best or is over: a segment may stop at any time.
            path = gain_wealth_path(random.choice([-0.01, 0.01], size=60), BOUND)
            stop = int(np.argmax(path >= 3)) if (path >= 3).any() else len(path) - 1
            reached = max(reached, *(wealth_of_segments([*ended, w]) for w in path[: stop + 1]))
            ended.append(float(path[stop]))
        crossed += reached >= 20
    assert crossed / 400 <= 0.05


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_a_segment_without_evidence_is_refused(value):
    with pytest.raises(EvidenceError, match="segment 2"):
        wealth_of_segments([1.0, value])
