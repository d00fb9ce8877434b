"""A life of a walk-forward is judged as the Watchtower judges the same agent from its ledger."""

import pytest

from crucible.ledger.ledger import Ledger
from crucible.lifecycle.judgement import judge_one
from crucible.settings import Settings, WatchtowerSettings
from crucible.walk_forward.life import Life
from crucible.walk_forward.rules import ByEvidence
from tests.support.contexts import context_of
from tests.support.factories import agent_row
from tests.support.walks import SLOT, birth, every_minute, stage, strategy_of

QUARTER = 15


@pytest.mark.parametrize("seed", range(6))
def test_a_challenger_has_the_scorecard_and_the_verdict_that_its_ledger_gives(tmp_path, seed):
    watchtower = WatchtowerSettings(
        minimum_trades=2, cull_confidence=0.7, promote_confidence=0.6, max_drawdown=0.02
    )
    context = context_of(tmp_path, Settings(home=tmp_path, watchtower=watchtower))
    market = stage(seed, 900, drift=0.0005 * (seed % 3 - 1), settled=12)
    since_ts = int(market.candles.ts[0])
    life = Life(market, birth(1, 0), strategy_of({}), "challenger", 0, since_ts)
    agent, fills, marks = every_minute(life, market, 0, len(market.candles))
    row = agent_row(f"{SLOT}@1", "challenger", since_ts=since_ts)
    rule, verdicts = ByEvidence(watchtower), set()
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        for fill in fills:
            ledger.book_shadow_fill(fill)
        for stop in range(QUARTER, len(market.candles), QUARTER):
            ledger.book_equity(marks[stop - 1][0], [(agent.name, "shadow", marks[stop - 1][1])])
        for stop in range(QUARTER, len(market.candles), QUARTER):
            ts = int(market.frame.ts[stop - 1])
            life.advance(stop)
            life.mark(ts)
            found = life.card(ts)
            exits = life.agent.strategy.exits
            live = judge_one(context, ledger, row, exits, None, ts, market.funding)
            assert found.drawdown == pytest.approx(live.card.drawdown, abs=1e-12)
            values = found.to_json() | {"drawdown": 0}
            assert values == live.card.to_json() | {"drawdown": 0}
            verdict = rule.verdict(life, found)
            assert verdict.judgement == live.verdict.judgement
            verdicts.add(verdict.judgement)
    assert verdicts
