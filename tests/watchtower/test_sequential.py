"""The sequential test keeps its promise however often it is looked at."""

import numpy as np
import pytest

from crucible.watchtower.sequential import (
    BoundError,
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


@pytest.mark.parametrize("bound", [0.0, -1.0, float("nan")])
def test_a_bound_that_is_none_is_refused(bound):
    with pytest.raises(BoundError):
        wealth_against_no_gain([0.1], bound)
