"""What holding costs is part of what an agent is judged by, live and in shadow."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from crucible.execution.messages import FundingEvent
from crucible.ledger.ledger import Ledger
from crucible.lifecycle.judgement import judge_all, settlements
from crucible.market.exchange import ExchangeError
from crucible.market.funding import Funding, write_funding
from crucible.market.lake import Lake
from crucible.registry.version import Version
from crucible.settings import Settings
from tests.support.contexts import context_of
from tests.support.factories import agent_row, fill, fill_event

HOUR_MS = 3_600_000
ORIGIN_MS = 1_735_689_600_000  # 2025-01-01


def at(hour):
    return ORIGIN_MS + hour * HOUR_MS


RATES = Funding(
    "BTCUSDT", np.array([8, 16], np.int64) * HOUR_MS + ORIGIN_MS, np.array([0.002, 0.003])
)


class OneSeat:
    """A registry with one version in one alias."""

    def __init__(self, alias):
        self.alias = alias

    def version(self, slot, version):
        return Version(slot, version, "run", {})

    def aliases(self, slot):
        return {self.alias: "1"}

    def strategy(self, version):
        return {"exits": {"stop": 0.02, "target": 0.02, "timeout": 600}}


def context(alias):
    return context_of(Path("unused"), Settings(), registry=OneSeat(alias))


def seat(ledger, role):
    ledger.seat(agent_row("s@1", role, since_ts=at(0)))


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite") as opened:
        yield opened


def test_a_challenger_that_earns_less_than_its_funding_is_judged_a_loser(ledger):
    seat(ledger, "challenger")
    for number, (side, price, hour) in enumerate((("buy", "100", 7), ("sell", "100.4", 17))):
        shadow = {
            "agent": "s@1",
            "exec_ts": at(hour),
            "reason": "exit",
            "intent_id": "",
            "mode": "shadow",
        }
        ledger.book_shadow_fill(fill(number, side, 1, price, **shadow))
    (judged,) = judge_all(context("challenger"), ledger, at(18), {"BTCUSDT": RATES})
    assert judged.card.funding == Decimal("0.5")
    assert judged.card.pnl == Decimal("-0.1")
    assert judged.card.mean_return == pytest.approx(-0.001)
    (free,) = judge_all(context("challenger"), ledger, at(18), {})
    assert free.card.pnl == Decimal("0.4")


@pytest.mark.parametrize(("closed", "reason"), [(None, ""), (17, "exit"), (16, "stop")])
def test_a_challengers_drawdown_counts_what_it_owed_for_holding_by_each_mark(
    ledger, closed, reason
):
    seat(ledger, "challenger")
    sides = [("buy", 7, "entry")] + ([("sell", closed, reason)] if closed else [])
    for number, (side, hour, why) in enumerate(sides):
        shadow = {
            "agent": "s@1",
            "exec_ts": at(hour),
            "reason": why,
            "intent_id": "",
            "mode": "shadow",
        }
        ledger.book_shadow_fill(fill(number, side, 1, 100, **shadow))
    for hour in (7, 8, 15, 16, 18):
        ledger.book_equity(at(hour), [("s@1", "shadow", Decimal(1_000))])

    def drawdown(hour, rates):
        (judged,) = judge_all(context("challenger"), ledger, at(hour), rates)
        return judged.card.drawdown

    known = {"BTCUSDT": RATES}
    assert drawdown(7, known) == 0
    assert drawdown(8, known) == pytest.approx(0.2 / 1_000)
    assert drawdown(15, known) == pytest.approx(0.2 / 1_000)
    # Whoever was stopped out inside the candle before a settlement does not pay it.
    assert drawdown(18, known) == pytest.approx((0.2 if reason == "stop" else 0.5) / 1_000)
    assert drawdown(18, {}) == 0


def test_a_production_agent_is_judged_by_what_the_venue_charged_and_by_that_alone(ledger):
    seat(ledger, "production")
    common = {"agent": "s@1", "symbol": "BTCUSDT"}
    for seq, (side, price, hour) in enumerate((("buy", "100", 7), ("sell", "100.4", 17)), start=1):
        more = {"price": price, "fee": "0", "exec_ts": at(hour), "reason": "exit"}
        event = fill_event(2 * seq, f"x{seq}", ts=seq, side=side, qty="1", **more, **common)
        paid = FundingEvent(
            ts=seq, seq=2 * seq + 1, exec_id=f"f{seq}", amount="0.3", exec_ts=at(8), **common
        )
        ledger.book_event(event)
        ledger.book_event(paid)
    (judged,) = judge_all(context("production"), ledger, at(18), {"BTCUSDT": RATES})
    assert judged.card.funding == Decimal("0.6")
    assert judged.card.pnl == Decimal("-0.2")


class Venue:
    """A venue that knows one more settlement, or is away."""

    def __init__(self, *, away=False):
        self.away, self.asked = away, []

    def funding(self, symbol, start_ms, end_ms):
        self.asked.append((start_ms, end_ms))
        if self.away:
            message = "the venue is away"
            raise ExchangeError(message)
        return Funding(symbol, np.array([at(24)]), np.array([0.004]))


@pytest.mark.parametrize(("away", "known"), [(False, 3), (True, 2)])
def test_rates_are_asked_for_once_one_is_due_and_a_venue_that_is_away_stops_no_judgement(
    tmp_path, away, known
):
    lake, venue = Lake(tmp_path), Venue(away=away)
    write_funding(RATES, lake.funding_folder)
    place = context_of(tmp_path, lake=lake, exchange=venue, _configuration={"symbols": ["BTCUSDT"]})
    assert len(settlements(place, at(23))["BTCUSDT"]) == 2
    assert venue.asked == []
    assert len(settlements(place, at(24))["BTCUSDT"]) == known
    assert venue.asked == [(at(16) + 1, at(24) + 1)]


def test_a_symbol_without_any_known_rate_is_not_asked_for(tmp_path):
    venue = Venue()
    place = context_of(
        tmp_path, lake=Lake(tmp_path), exchange=venue, _configuration={"symbols": ["BTCUSDT"]}
    )
    assert len(settlements(place, at(24))["BTCUSDT"]) == 0
    assert venue.asked == []
