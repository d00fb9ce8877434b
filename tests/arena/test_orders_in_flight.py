"""One intent per agent is in flight, and none is ever forgotten that nobody answered."""

from decimal import Decimal
from random import Random
from types import SimpleNamespace

import pytest

from crucible.arena.execution import IntentWanted
from crucible.arena.orders_in_flight import OrdersInFlight
from crucible.execution.messages import Ack, Order
from crucible.ledger.trades import Fill

INTENT = IntentWanted("buy", Decimal("0.01"), False, "entry", Decimal(50_000), Decimal(49_000))


@pytest.fixture
def agent():
    seat = SimpleNamespace(version="1")
    strategy = SimpleNamespace(symbol="BTCUSDT")
    return SimpleNamespace(
        name="a@1",
        seat=seat,
        strategy=strategy,
        last_event="",
        execution=SimpleNamespace(in_flight=None),
    )


@pytest.fixture
def orders_in_flight():
    return OrdersInFlight(60_000, Random(1))


def order(command, status, filled):
    return Order(
        intent_id=command.intent_id, order_link_id="l", order_id="o", agent="a@1", version="1",
        symbol="BTCUSDT", side="buy", kind="market", qty="0.01", limit_price=None,
        reduce_only=False, status=status, filled_qty=filled, avg_price=None, code=None, text=None,
        reason="entry",
    )  # fmt: skip


def fill(command, qty):
    return Fill(
        "e" + qty, "a@1", "1", "BTCUSDT", "buy", Decimal(qty), Decimal(50_000), Decimal(0), 1,
        "entry", command.intent_id,
    )  # fmt: skip


def ack(command, status="accepted"):
    return Ack(
        ts=0, request_id=command.request_id, intent_id=command.intent_id, status=status,
        code=None if status == "accepted" else "expired", text="", order=None,
    )  # fmt: skip


def test_an_agent_waits_until_its_order_ended_and_every_fill_is_booked(orders_in_flight, agent):
    agents = {agent.name: agent}
    orders_in_flight.reserve(agent, INTENT)
    command = orders_in_flight.submit(agent, INTENT, 1_000, "r1", now=0.0)
    assert agent.execution.in_flight == command.intent_id
    assert orders_in_flight.reserved() == 500
    orders_in_flight.answered(ack(command), agents)
    orders_in_flight.filled(fill(command, "0.004"), agents)
    orders_in_flight.order_changed(order(command, "filled", "0.01"), agents)
    assert agent.execution.in_flight == command.intent_id  # one fill is still on its way
    orders_in_flight.filled(fill(command, "0.006"), agents)
    assert agent.execution.in_flight is None
    assert orders_in_flight.reserved() == 0


def test_a_rejected_intent_frees_its_agent_and_says_why(orders_in_flight, agent):
    agents = {agent.name: agent}
    command = orders_in_flight.submit(agent, INTENT, 1_000, "r1", now=0.0)
    intent_id, problem = orders_in_flight.answered(ack(command, "rejected"), agents)
    assert intent_id == command.intent_id
    assert "expired" in problem
    assert agent.execution.in_flight is None


def test_a_command_that_nobody_answered_is_sent_again_unchanged(orders_in_flight, agent):
    command = orders_in_flight.submit(agent, INTENT, 1_000, "r1", now=0.0)
    assert orders_in_flight.unanswered(4.9, 5.0) == []
    assert orders_in_flight.unanswered(5.0, 5.0) == [command]
    assert orders_in_flight.unanswered(6.0, 5.0) == []
    orders_in_flight.answered(ack(command), {agent.name: agent})
    assert orders_in_flight.unanswered(99.0, 5.0) == []


def test_the_same_seed_gives_the_same_intents(agent):
    first = OrdersInFlight(1, Random(3)).submit(agent, INTENT, 1_000, "r1", now=0.0)
    second = OrdersInFlight(1, Random(3)).submit(agent, INTENT, 1_000, "r1", now=9.0)
    assert first == second
