"""An edge is measured from trades, and a run of winners is neither no edge nor an endless one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crucible.arena.sizing.entry import kelly_fraction
from crucible.ledger.edge import Edge

gains = st.floats(1e-5, 0.2)
STOP = 0.01


@given(st.lists(gains, min_size=1, max_size=50))
def test_winners_alone_are_an_edge_that_assumes_one_trade_lost_its_stop(returns):
    edge = Edge.of_returns(returns, STOP)
    assert edge == Edge(
        len(returns),
        pytest.approx(len(returns) / (len(returns) + 1)),
        pytest.approx(sum(returns) / len(returns) / STOP),
    )
    assert kelly_fraction(edge) < 1
    # What it is taken to be is what it would be with that trade.
    with_loss = Edge.of_returns([*returns, -STOP], STOP)
    assert kelly_fraction(edge) == pytest.approx(kelly_fraction(with_loss))


@given(gains, st.integers(1, 40))
def test_more_winners_never_make_it_smaller(gain, count):
    fewer, more = (Edge.of_returns([gain] * number, STOP) for number in (count, count + 1))
    assert kelly_fraction(more) > kelly_fraction(fewer)


def test_one_small_winner_is_no_edge():
    assert kelly_fraction(Edge.of_returns([0.002], STOP)) < 0


@pytest.mark.parametrize("returns", [[], [0.0], [-0.01, -0.02]])
def test_without_a_winner_there_is_no_edge(returns):
    assert Edge.of_returns(returns, STOP) is None


@given(
    st.lists(st.floats(-0.1, 0.1).filter(lambda value: abs(value) > 1e-6), min_size=1, max_size=40)
)
def test_a_backtests_summary_says_the_same_as_its_trades(returns):
    gained = sum(value for value in returns if value > 0)
    lost = -sum(value for value in returns if value < 0)
    summary = {
        "trades": len(returns),
        "win_rate": sum(value > 0 for value in returns) / len(returns),
        "mean_trade": sum(returns) / len(returns),
        # A summary has None for what is not defined.
        "profit_factor": gained / lost if lost else None,
    }
    edge, found = Edge.of_returns(returns, STOP), Edge.of_summary(summary, STOP)
    if edge is None:
        assert found is None
    else:
        assert found == Edge(
            edge.trades, pytest.approx(edge.win_rate), pytest.approx(edge.payoff, rel=1e-6)
        )
