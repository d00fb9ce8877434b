"""A challenger of a walk-forward has the evidence against the incumbent that the arena's marks give the Watchtower."""

import numpy as np
import pytest

from crucible.arena.agent import Agent
from crucible.arena.alignment import Minute
from crucible.arena.execution import SimulatedExecution
from crucible.arena.pairs import Pairs
from crucible.ledger.ledger import Ledger
from crucible.market.funding import Funding
from crucible.settings import Settings
from crucible.walk_forward.life import Life, Stage
from crucible.walk_forward.slot_walk import Pair
from crucible.watchtower.pairs import difference_bound, pair_wealth
from crucible.watchtower.sequential import GainBet
from tests.support.walks import SLOT, birth, stage, strategy_of

QUARTER = 15
HOUR_MS = 3_600_000


def market_of(seed: int) -> Stage:
    """Give a market whose funding is settled at every eighth mark, where no candle is missing."""
    made = stage(seed, 1_200)
    closed = made.candles.close_ts
    whole = np.isin(closed, made.candles.ts) & (closed % (QUARTER * 60_000) == 0)
    ts = closed[whole][::8]
    rates = np.random.default_rng([seed, 1]).normal(0, 0.001, len(ts))
    return Stage.of(
        made.candles, made.frame, Funding("BTCUSDT", ts, rates), made.settings, made.costs
    )


def agents_of(lives: list[Life]) -> dict[str, Agent]:
    """Give the agents of an arena that trade what the lives do."""
    agents = {}
    for life in lives:
        agent = Agent(life.agent.seat, strategy_of(life.birth.strategy))
        agent.execution = SimulatedExecution(agent.name, "1", "BTCUSDT", life.agent.mode)
        agents[agent.name] = agent
    return agents


def lives_of(market: Stage) -> list[Life]:
    """Give an incumbent, its copy and a challenger."""
    births = birth(1, 0, stop=0.02, shift=1), birth(2, 0)
    return [
        Life(market, born, strategy_of(born.strategy), role, 0, 0)
        for born, role in zip(
            (births[0], births[0], births[1]),
            ("production", "challenger", "challenger"),
            strict=True,
        )
    ]


def minutes_of(market: Stage, agents: dict[str, Agent]):
    """Let the agents decide at every candle, and give what an arena hands to its pairs."""
    for row in range(len(market.candles)):
        features, candle = market.frame.row(row), market.candles.candle(row)
        for agent in agents.values():
            agent.decide_and_execute(features, candle, market.context)
        ts = int(market.frame.ts[row])
        yield row, {"BTCUSDT": features}, Minute(ts, {"BTCUSDT": candle})


@pytest.mark.parametrize("seed", range(6))
def test_a_walk_forward_has_the_evidence_that_the_marks_of_the_arena_give(tmp_path, seed):
    market = market_of(seed)
    incumbent, copy, challenger = lives_of(market)
    agents = agents_of([incumbent, challenger])
    bound = difference_bound(
        challenger.agent.strategy.exits,
        copy.agent.strategy.exits,
        market.costs.fee,
        market.costs.slippage,
    )
    walked = Pair(challenger, incumbent, copy, GainBet(bound), 0)
    found = []
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        live = Pairs(Settings(home=tmp_path), {"BTCUSDT": market.context.instrument}, ledger)
        for row, rows, minute in minutes_of(market, agents):
            live.take(agents, rows, minute)
            for life in (challenger, copy):
                life.advance(row + 1)
            if minute.close_ts % (QUARTER * 60_000) == 0:
                ledger.book_pairs(live.marks(minute.close_ts))
                walked.add(minute.close_ts)
                found.append(walked.bet.wealth)
        marks = ledger.pair_marks(f"{SLOT}@2", f"{SLOT}@1", 10**15)
    assert len(marks) == len(found) > 40
    assert any(mark.incumbent_return and mark.challenger_return for mark in marks)
    assert sum(mark.incumbent_holds for mark in marks) > 3
    ours = [pair_wealth(marks[: n + 1], market.funding, bound) for n in range(len(marks))]
    assert ours == pytest.approx(found, rel=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_a_restart_of_the_arena_changes_no_position_of_a_twin(tmp_path, seed):
    market = market_of(seed)
    incumbent, _, challenger = lives_of(market)
    agents = agents_of([incumbent, challenger])
    instruments, settings = {"BTCUSDT": market.context.instrument}, Settings(home=tmp_path)
    found: dict[str, list] = {"whole": [], "restarted": []}
    with Ledger(tmp_path / "one.sqlite") as one, Ledger(tmp_path / "two.sqlite") as two:
        live = {
            "whole": Pairs(settings, instruments, one),
            "restarted": Pairs(settings, instruments, two),
        }
        for row, rows, minute in minutes_of(market, agents):
            if row % 100 == 99:
                live["restarted"] = Pairs(settings, instruments, two)
            for name, pairs in live.items():
                pairs.take(agents, rows, minute)
                if minute.close_ts % (QUARTER * 60_000) == 0:
                    found[name] += pairs.marks(minute.close_ts)
    assert [mark.incumbent_holds for mark in found["restarted"]] == [
        mark.incumbent_holds for mark in found["whole"]
    ]
    equal = sum(
        abs(a.incumbent_return - b.incumbent_return) < 1e-6
        for a, b in zip(found["restarted"], found["whole"], strict=True)
    )
    assert equal > 0.7 * len(found["whole"])


@pytest.mark.parametrize("seed", range(3))
def test_the_candle_in_which_a_pair_begins_counts_for_neither_side(tmp_path, seed):
    market = market_of(seed)
    incumbent, _, challenger = lives_of(market)
    agents = agents_of([incumbent, challenger])
    instruments, settings = {"BTCUSDT": market.context.instrument}, Settings(home=tmp_path)
    pending = 0
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        for row, rows, minute in minutes_of(market, agents):
            # A restart at every minute: whatever was ordered before it is filled in its first candle.
            pairs = Pairs(settings, instruments, ledger)
            pairs.take(agents, rows, minute)
            (mark,) = pairs.marks(minute.close_ts)
            assert (mark.challenger_return, mark.incumbent_return) == (0.0, 0.0)
            pending += mark.incumbent_holds
            if row == 300:
                break
    assert pending > 0


def test_what_a_copy_raises_ends_its_pair_and_nothing_else(tmp_path):
    market = market_of(0)
    incumbent, _, challenger = lives_of(market)
    agents = agents_of([incumbent, challenger])
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        pairs = Pairs(Settings(home=tmp_path), {"BTCUSDT": market.context.instrument}, ledger)
        for row, rows, minute in minutes_of(market, agents):
            agents[f"{SLOT}@1"].last_signal = "NONSENSE" if row == 50 else "HOLD"
            pairs.take(agents, rows, minute)
            if row == 50:
                assert pairs.marks(minute.close_ts) == []
            if row == 60:
                break
        assert len(pairs.marks(minute.close_ts)) == 1


def test_a_copy_that_was_kept_long_ago_is_not_taken_up_again(tmp_path):
    market = market_of(0)
    incumbent, _, challenger = lives_of(market)
    agents = agents_of([incumbent, challenger])
    instruments, settings = {"BTCUSDT": market.context.instrument}, Settings(home=tmp_path)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        pairs = Pairs(settings, instruments, ledger)
        for _, rows, minute in minutes_of(market, agents):
            pairs.take(agents, rows, minute)
            (mark,) = pairs.marks(minute.close_ts)
            if mark.incumbent_holds:
                break
        agents[f"{SLOT}@1"].last_signal = "HOLD"
        for later_ms, holds in ((HOUR_MS, True), (49 * HOUR_MS, False)):
            later = Minute(minute.close_ts + later_ms, minute.candles)
            again = Pairs(settings, instruments, ledger)
            again.take(agents, rows, later)
            copy = again._pairs[SLOT].copy
            # Taken up, it is held still or was closed by this candle.
            assert bool(copy.book.qty or copy.trades) is holds
