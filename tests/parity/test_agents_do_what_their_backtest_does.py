"""What a production agent does by the arena's code is what the backtest does, and whatever departs from it is found."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crucible.features.frame import FeatureFrame
from crucible.ledger.ledger import Ledger
from crucible.ledger.parity import ParityDay
from crucible.lifecycle.checks.parity import expected_of
from crucible.settings import Costs, WatchtowerSettings
from crucible.strategies.contract import Exits
from crucible.watchtower.conduct import Conduct
from crucible.watchtower.parity import compare, with_parity
from crucible.watchtower.scorecard import score
from crucible.watchtower.verdicts import MINIMUM_DECISIONS, judge
from tests.support.live_trading import LiveTrading, Troubles
from tests.support.walks import SLOT, Column, stage

NAME = f"{SLOT}@1"
EXITS = Exits(0.006, 0.009, 12)
ALWAYS = 10**15


def day_of(ledger, strategy, market, frame=None, **options):
    """Let an agent trade a market by `frame`, and compare it with a strategy on the market's own features."""
    trading = LiveTrading(ledger, NAME, options.pop("agent", strategy), **options)
    trading.trade(market.candles, frame or market.frame)
    expected = expected_of(strategy, market.candles, market.frame, Costs().slippage)
    conduct = Conduct(
        ledger.decisions(NAME), ledger.fills(NAME), ledger.attendance(0, ALWAYS).get(NAME, [])
    )

    return compare(NAME, conduct, expected, 0, int(market.candles.close_ts[-1]))


def verdict_of(day):
    card = score(
        NAME, day.ts, [], [], since_ts=day.ts, last_fill_ts=None, largest_loss=1, largest_gain=1
    )
    return judge(with_parity(card, [day]), "production", WatchtowerSettings())


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite") as opened:
        yield opened


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(5, 250),
    st.floats(0.003, 0.02),
    st.floats(0.003, 0.03),
    st.integers(1, 30),
    st.booleans(),
)
def test_an_agent_of_the_arena_departs_in_nothing_whatever_keeps_it_from_trading(
    tmp_path_factory, seed, count, stop, target, timeout, troubled
):
    troubles = Troubles(0.1, 0.1, 0.1, 0.1, 0.1) if troubled else Troubles()
    strategy = Column(Exits(stop, target, timeout))
    with Ledger(tmp_path_factory.mktemp("parity") / "ledger.sqlite") as ledger:
        day = day_of(ledger, strategy, stage(seed, count), troubles=troubles, seed=seed)
    assert day.disagreements == ()
    assert (day.equal, day.fills_within) == (day.compared, day.fills)
    assert day.score in {1.0, None}


def test_what_kept_an_agent_from_trading_is_counted_and_is_neither_agreement_nor_departure(ledger):
    market = stage(3, 1_500)
    troubles = Troubles(catching_up=0.1, shut=0.2, without_size=0.1, rejected=0.2)
    day = day_of(ledger, Column(EXITS), market, troubles=troubles)
    assert day.compared > 100
    assert day.fills > 50
    assert day.score == 1.0
    for why in (
        "catching up",
        "the ledger cannot be written",
        "no positive edge",
        "not filled: rejected: risk_limit",
        "executed outside of the next candle",
    ):
        assert day.excused[why] > 3, why


def test_an_agent_that_was_away_is_compared_where_it_was_not(ledger):
    day = day_of(ledger, Column(EXITS), stage(4, 1_500), troubles=Troubles(away=0.5))
    assert 50 < day.compared < 800
    assert day.score == 1.0


def test_an_agent_that_trades_another_file_is_culled_with_the_figures_and_the_first_departure(
    ledger,
):
    strategy = Column(EXITS)
    day = day_of(ledger, strategy, stage(5, 1_440), agent=replace(strategy, shift=1))
    assert day.score < 0.9
    verdict = verdict_of(day)
    assert verdict.judgement == "cull"
    assert f"broken parity: {day.score:.2%}" in verdict.reason
    assert "below 95.00%" in verdict.reason
    assert verdict.reason.endswith(day.disagreements[0])
    assert "the backtest would have" in day.disagreements[0]


@pytest.mark.parametrize("minutes", [1, -1])
def test_features_that_come_a_minute_late_or_early_are_found(ledger, minutes):
    market = stage(6, 1_440)
    own = market.frame
    shifted = FeatureFrame(own.symbol, own.ts, np.roll(own.values, minutes, axis=0), own.schema)
    day = day_of(ledger, Column(EXITS), market, shifted)
    assert day.score < 0.9
    assert verdict_of(day).judgement == "cull"


def test_fills_that_cost_more_than_the_modelled_slippage_are_found_and_named(ledger):
    market = stage(7, 1_440)
    day = day_of(ledger, Column(EXITS), market, worse=0.005)
    assert day.equal == day.compared
    assert day.fills_within < 0.5 * day.fills
    verdict = verdict_of(day)
    assert verdict.judgement == "cull"
    assert "sold at" in verdict.reason
    assert "the backtest at" in verdict.reason


def test_levels_and_deadlines_that_are_not_the_strategys_are_found(ledger):
    strategy = Column(EXITS)
    market = stage(8, 1_440, busy=0.1)
    wide = replace(strategy, exits=Exits(0.03, 0.05, 60))
    held_on = day_of(ledger, strategy, market, agent=wide)
    assert held_on.score < 0.95
    assert any("held on, the backtest would have left (" in text for text in held_on.disagreements)


def test_levels_that_close_too_early_are_found(ledger):
    strategy = Column(Exits(0.02, 0.03, 30))
    market = stage(9, 1_440, busy=0.1)
    tight = replace(strategy, exits=Exits(0.004, 0.004, 3))
    day = day_of(ledger, strategy, market, agent=tight)
    assert day.score < 0.95
    assert any("the backtest would have held on" in text for text in day.disagreements)


def test_where_nothing_could_be_compared_there_is_no_score_and_nothing_is_judged(ledger):
    market = stage(10, 200)
    day = day_of(ledger, Column(EXITS), market, troubles=Troubles(away=1.0))
    assert (day.score, day.compared, day.fills) == (None, 0, 0)
    assert verdict_of(day).judgement == "keep"


def test_few_decisions_are_shown_and_not_judged():
    few = ParityDay(NAME, ALWAYS, MINIMUM_DECISIONS - 1, 3, disagreements=("one",))
    assert few.score < 0.2
    assert verdict_of(few).judgement == "keep"
    assert verdict_of(replace(few, compared=MINIMUM_DECISIONS)).judgement == "cull"
