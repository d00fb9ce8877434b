"""A life of a walk-forward is an agent of the arena that trades minute by minute."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crucible.arena.agent import Agent
from crucible.ledger.funding_charges import marks_after_settlements, with_settlements
from crucible.strategies.exit_reasons import ExitReason
from crucible.walk_forward.life import Life
from crucible.watchtower.scorecard import score
from crucible.watchtower.verdicts import gain_bound, loss_bound
from tests.support.walks import birth, every_minute, stage, strategy_of

MINUTE = 60_000


@settings(max_examples=120, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(30, 400),
    st.floats(0.02, 0.9),
    st.sampled_from(["production", "challenger"]),
    st.integers(0, 20),
    st.data(),
)
def test_a_life_trades_as_an_agent_that_sees_every_minute(seed, count, busy, role, settled, data):
    market = stage(seed, count, busy=busy, settled=settled)
    first = data.draw(st.integers(0, count - 2))
    life = Life(market, birth(1, 0), strategy_of({}), role, first, int(market.candles.ts[first]))
    stops = [*sorted(data.draw(st.sets(st.integers(first + 1, count), max_size=5))), count]
    for stop in stops:
        life.advance(stop)
    agent, _, _ = every_minute(life, market, first, count)
    assert life.agent.trades == agent.trades
    assert life.agent.cash == agent.cash
    assert life.agent.book.qty == agent.book.qty


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(60, 400),
    st.sampled_from(["production", "challenger"]),
    st.integers(0, 20),
)
def test_the_scorecard_of_a_life_is_that_of_its_trades_and_marks(seed, count, role, settled):
    market = stage(seed, count, settled=settled)
    life = Life(market, birth(1, 0), strategy_of({}), role, 0, int(market.candles.ts[0]))
    agent, fills, marks = every_minute(life, market, 0, count)
    exits, costs = life.agent.strategy.exits, market.costs
    for stop in range(15, count, 15):
        life.advance(stop)
        ts = int(market.frame.ts[stop - 1])
        life.mark(ts)
        trades = [t for t in with_settlements(agent.trades, market.funding) if t.exit_ts < ts]
        seen = [fill for fill in fills if fill.exec_ts < ts]
        seen_marks = [marks[row - 1] for row in range(15, stop + 1, 15)]
        # Its book as it was at the instant, rebuilt from the fills until then.
        rebuilt = Agent(agent.seat, agent.strategy)
        for fill in (fill for fill in fills if fill.exec_ts <= ts):
            rebuilt.apply_fill(fill)
        closed = [trade for trade in agent.trades if trade.exit_ts <= ts]
        seen_marks = marks_after_settlements(seen_marks, closed, rebuilt.book, market.funding)
        held = sum((fill.signed_qty for fill in seen), Decimal(0)) != 0
        expected = score(
            agent.name,
            ts,
            trades,
            seen_marks,
            since_ts=life.since_ts,
            last_fill_ts=max((fill.exec_ts for fill in seen), default=None),
            largest_loss=loss_bound(exits, costs.fee, costs.slippage),
            largest_gain=gain_bound(exits),
            holds=held,
        )
        found = life.card(ts)
        assert found.drawdown == pytest.approx(expected.drawdown, abs=1e-12)
        assert replace(found, drawdown=0.0) == replace(expected, drawdown=0.0)


def test_a_life_that_drains_opens_nothing_and_leaves_at_the_next_open():
    market = stage(3, 300, busy=0.05)
    wide = strategy_of({"stop": 0.2, "target": 0.2, "timeout": 200})
    life = Life(market, birth(1, 0), wide, "production", 0, 0)
    row = 0
    while not life.agent.book.qty:
        row += 1
        life.advance(row)
    life.drain()
    life.advance(row + 2)
    assert life.is_flat
    left_at = float(market.candles.open[row + 1]) * (1 - market.costs.slippage)
    assert float(life.agent.trades[-1].exit_price) == pytest.approx(left_at)
    traded = len(life.agent.trades)
    life.advance(300)
    assert len(life.agent.trades) == traded


def test_a_challenger_that_ends_closes_at_the_newest_close():
    market = stage(4, 300, busy=0.9)
    life = Life(market, birth(1, 0), strategy_of({"timeout": 200}), "challenger", 0, 0)
    row = 0
    while not life.agent.book.qty:
        row += 1
        life.advance(row)
    ts = int(market.frame.ts[row - 1])
    life.close(ExitReason.RETIRED, ts)
    trade = life.agent.trades[-1]
    assert (trade.exit_ts, trade.reason) == (ts, ExitReason.RETIRED)
    assert float(trade.exit_price) == pytest.approx(market.candles.close[row - 1])
    assert life.equity == Decimal(10_000) + life.agent.cash
