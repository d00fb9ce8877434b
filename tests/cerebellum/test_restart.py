"""Faults of the venue and of the process: nothing lost, nothing doubled."""

import json
import time
from decimal import Decimal

import pytest

from tests.cerebellum.client import Cerebellum, Client, fault
from tests.support.polling import until

pytestmark = pytest.mark.timeout(180)


def settle(client: Client, intents: list[dict], seconds: float = 40.0) -> None:
    """Wait until the journal shows an end of every intent."""
    wanted = {intent["intent_id"] for intent in intents}

    def open_ones() -> set[str]:
        return wanted - {
            event["order"]["intent_id"]
            for event in client.replay()
            if event["type"] == "order"
            and event["order"]["status"] in {"filled", "cancelled", "rejected"}
        }

    until(lambda: not open_ones(), lambda: f"the end of {open_ones()}", seconds=seconds, pause=0.1)


def test_a_dropped_ack_is_resolved_and_not_doubled(cerebellum: Cerebellum, venue: dict) -> None:
    client = cerebellum.client
    fault(venue, "drop_ack", count=1)
    ack = client.submit("a", "buy", "0.010")
    client.until_order(ack["intent"], "filled")
    assert client.positions() == {("a", "BTCUSDT"): "0.01"}
    assert cerebellum.verify()["fills"] == 1


@pytest.mark.parametrize("commit", [True, False])
def test_an_error_page_is_no_rejection(cerebellum: Cerebellum, venue: dict, commit: bool) -> None:
    client = cerebellum.client
    fault(venue, "error", count=1, status=503, commit=commit)
    ack = client.submit("a", "buy", "0.010")
    client.until_order(ack["intent"], "filled")
    assert client.positions() == {("a", "BTCUSDT"): "0.01"}


def test_a_rate_limit_delays_and_does_not_reject(cerebellum: Cerebellum, venue: dict) -> None:
    client = cerebellum.client
    fault(venue, "rate_limit", count=1)
    ack = client.submit("a", "buy", "0.010")
    client.until_order(ack["intent"], "filled")


def test_repeated_and_reordered_private_rows_change_nothing(
    cerebellum: Cerebellum, venue: dict
) -> None:
    client = cerebellum.client
    fault(venue, "duplicate_private", count=6)
    fault(venue, "reorder_private", count=6)
    ack = client.submit("a", "buy", "0.010")
    client.until_order(ack["intent"], "filled")
    out = client.submit("a", "sell", "0.010", reduce_only=True)
    client.until_order(out["intent"], "filled")
    assert client.positions() == {}
    assert cerebellum.verify()["fills"] == 2


def test_fills_during_a_broken_private_stream_are_fetched(
    cerebellum: Cerebellum, venue: dict
) -> None:
    client = cerebellum.client
    ack = client.submit("a", "buy", "0.010")
    fault(venue, "cut", path="private")
    client.until_order(ack["intent"], "filled")
    assert client.positions() == {("a", "BTCUSDT"): "0.01"}


def test_a_gap_in_the_book_is_stale_until_a_new_snapshot(
    cerebellum: Cerebellum, venue: dict
) -> None:
    client = cerebellum.client
    assert client.market.poll(10_000), "the subscription does not work"
    fault(venue, "gap", symbol="BTCUSDT")
    marks = []
    end = time.monotonic() + 15
    while time.monotonic() < end and len(marks) < 2:
        if client.market.poll(200):
            topic, body = client.market.recv_multipart()
            if topic == b"BTCUSDT.stale":
                marks.append(json.loads(body)["stale"])
    assert marks == [True, False]


def test_a_kill_at_any_moment_loses_and_doubles_nothing(
    cerebellum: Cerebellum, venue: dict
) -> None:
    intents = []
    for round_number in range(6):
        for side in ("buy", "buy", "sell"):
            agent = "abc"[round_number % 3]
            ack = cerebellum.client.submit(agent, side, "0.010")
            assert ack["status"] == "accepted"
            intents.append(ack["intent"])
        if round_number % 2:
            fault(venue, "drop_ack", count=1)
        time.sleep((0.0, 0.01, 0.05)[round_number % 3])
        cerebellum.kill()
        cerebellum.start()
    settle(cerebellum.client, intents)
    positions = {key: Decimal(qty) for key, qty in cerebellum.client.positions().items()}
    assert positions == {(agent, "BTCUSDT"): Decimal("0.02") for agent in "abc"}
    journal = cerebellum.verify()
    assert journal["intents"] == len(intents)
    assert journal["open_orders"] == 0
    risks = [e["code"] for e in cerebellum.client.replay() if e["type"] == "risk"]
    assert "reconcile_mismatch" not in risks
    assert "foreign_execution" not in risks


def test_protection_survives_a_kill(cerebellum: Cerebellum) -> None:
    client = cerebellum.client
    deadline = client.now() + 60_000
    protect = {"stop": "1", "take_profit": None, "deadline_ts": deadline}
    ack = client.submit("a", "buy", "0.010", protect=protect)
    client.until_order(ack["intent"], "filled")
    cerebellum.kill()
    cerebellum.start()
    row = cerebellum.client.command("snapshot")["positions"]
    if row:
        assert row[0]["deadline_ts"] == deadline
    fills = until(
        lambda: [
            event
            for event in cerebellum.client.replay()
            if event["type"] == "fill" and event["reason"] == "deadline"
        ],
        "the exit at the deadline",
        seconds=30,
        pause=0.1,
    )
    assert len(fills) == 1
