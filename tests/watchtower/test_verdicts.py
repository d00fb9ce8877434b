"""Verdicts follow from the scorecard alone."""

from decimal import Decimal

import pytest

from crucible.ledger.trades import Trade
from crucible.lifecycle.seats import fill_seats
from crucible.settings import Slot, WatchtowerSettings
from crucible.strategies.contract import Exits
from crucible.watchtower.scorecard import drawdown, score
from crucible.watchtower.verdicts import judge, loss_bound

SETTINGS = WatchtowerSettings()
HOUR = 3_600_000


def trades(returns: list[float]) -> list[Trade]:
    return [
        Trade(
            agent="a",
            version="1",
            symbol="BTCUSDT",
            entry_ts=number,
            exit_ts=number + 1,
            qty=Decimal(1),
            entry_price=Decimal(100),
            exit_price=Decimal(100),
            notional=Decimal(100),
            fees=Decimal(0),
            pnl=Decimal(repr(value)) * 100,
            reason="exit",
            mode="live",
        )
        for number, value in enumerate(returns)
    ]


def card(returns: list[float], equity: list[int] | None = None, idle_ms: int = 0):
    marks = [(n, Decimal(value)) for n, value in enumerate(equity or [100])]
    return score(
        "a",
        idle_ms + 1_000,
        trades(returns),
        marks,
        since_ts=0,
        last_fill_ts=1_000,
        bound=loss_bound(Exits(0.01, 0.02, 60), 0.00055, 0.0001),
    )


def test_an_agent_that_keeps_losing_is_culled_with_its_figures_in_the_reason():
    verdict = judge(card([-0.004] * 40), "production", SETTINGS)
    assert verdict.judgement == "cull"
    assert "0.4000%" in verdict.reason
    assert "40 trades" in verdict.reason


def test_a_few_losses_are_not_enough():
    assert judge(card([-0.004] * 7), "production", SETTINGS).judgement == "keep"


def test_an_agent_that_fell_too_far_is_culled_even_without_closed_trades():
    verdict = judge(card([], equity=[100, 110, 100]), "production", SETTINGS)
    assert verdict.judgement == "cull"
    assert "drawdown" in verdict.reason


def test_an_idle_agent_is_culled():
    idle = card([], idle_ms=25 * HOUR)
    assert judge(idle, "challenger", SETTINGS).judgement == "cull"
    assert judge(card([], idle_ms=HOUR), "challenger", SETTINGS).judgement == "keep"


def test_only_a_challenger_that_earned_it_is_promoted():
    winner = card([0.004] * 30)
    assert judge(winner, "challenger", SETTINGS).judgement == "promote"
    assert judge(winner, "production", SETTINGS).judgement == "keep"


@pytest.mark.parametrize(("path", "expected"), [([], 0.0), ([5.0], 0.0), ([4.0, 2.0, 5.0], 0.5)])
def test_drawdown_is_the_largest_fall_from_a_peak(path, expected):
    assert drawdown(path) == expected


BTC, ETH = Slot.parse("BTCUSDT-gp-1"), Slot.parse("ETHUSDT-boosted-1")


def seats(aliases, *, forging=(), explore=True, proven=None, past=None, now_ts=0, quarantined=()):
    return [
        (item.action, item.slot)
        for item in fill_seats(
            [BTC, ETH],
            aliases,
            forging,
            may_seat_unproven=explore,
            proven=proven or {},
            past=past or {},
            now_ts=now_ts,
            quarantined=dict(quarantined),
        )
    ]


def test_rivals_are_forged_one_at_a_time_and_never_while_a_slot_is_empty():
    held = {BTC.name: {"production": "3"}}
    assert seats(held) == [("forge", ETH.name)]
    assert seats(held, forging=[ETH.name]) == []
    filled = {BTC.name: {"production": "3"}, ETH.name: {"production": "1"}}
    assert seats(filled) == [("forge", BTC.name)]
    rival = {**filled, BTC.name: {"production": "3", "challenger": "4"}}
    assert seats(rival) == [("forge", ETH.name)]


def test_a_slot_that_is_being_forged_is_left_alone():
    assert seats({}, forging=[BTC.name, ETH.name]) == []


def test_an_empty_production_seat_goes_to_the_challenger_on_the_paper_venue():
    held = {BTC.name: {"challenger": "1"}, ETH.name: {"production": "1", "challenger": "2"}}
    assert seats(held) == [("seat", BTC.name), ("forge", BTC.name)]


def test_a_quarantined_version_is_retired_and_its_seat_is_filled():
    held = {BTC.name: {"production": "1", "challenger": "2"}, ETH.name: {"production": "1"}}
    bad = {(BTC.name, "1"): "raised", (ETH.name, "9"): "of another time"}
    assert seats(held, quarantined=bad)[:2] == [("retire", BTC.name), ("seat", BTC.name)]
    worse = {**bad, (BTC.name, "2"): "raised too"}
    assert seats(held, quarantined=worse) == [("retire", BTC.name)] * 2 + [("forge", BTC.name)]


def test_an_unproven_challenger_is_never_seated_where_money_is_real():
    held = {BTC.name: {"challenger": "1"}, ETH.name: {"production": "1", "challenger": "2"}}
    assert ("seat", BTC.name) not in seats(held, explore=False)
    assert ("seat", BTC.name) in seats(held, explore=False, proven={(BTC.name, "1"): True})
