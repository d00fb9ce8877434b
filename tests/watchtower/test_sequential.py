"""The sequential test keeps its promise however often it is looked at."""

import numpy as np
import pytest

from crucible.watchtower.sequential import (
    BETS,
    BoundError,
    gain_wealth_path,
    loss_wealth_path,
    wealth_against_no_gain,
    wealth_against_no_loss,
)

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


@pytest.mark.parametrize(
    ("wealth", "path"),
    [(wealth_against_no_gain, gain_wealth_path), (wealth_against_no_loss, loss_wealth_path)],
)
def test_wealth_after_each_trade_is_that_of_its_definition_and_of_a_look_there(wealth, path):
    returns = np.random.default_rng(14).standard_t(2, size=300) * 0.01
    sign = 1 if wealth is wealth_against_no_gain else -1
    wealths, expected = [1.0] * len(BETS), []
    for value in returns:
        outcome = max(sign * value / BOUND, -1.0)
        wealths = [held * (1 + bet * outcome) for held, bet in zip(wealths, BETS, strict=True)]
        expected.append(sum(wealths) / len(wealths))
    looked = [wealth(returns[: n + 1].tolist(), BOUND) for n in range(len(returns))]
    np.testing.assert_allclose(path(returns, BOUND), expected, rtol=1e-9)
    np.testing.assert_allclose(looked, expected, rtol=1e-9)


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


@pytest.mark.parametrize("bound", [0.0, -1.0, float("nan")])
def test_a_bound_that_is_none_is_refused(bound):
    with pytest.raises(BoundError):
        wealth_against_no_gain([0.1], bound)
