"""Intents, orders, fills, protection: what an agent wants is what its ledger shows."""

import signal
from decimal import Decimal

import pytest
import requests

from tests.cerebellum.client import Cerebellum, Client, fault

pytestmark = pytest.mark.timeout(120)


def test_an_intent_becomes_a_fill_of_its_agent_and_the_books_agree(cerebellum: Cerebellum) -> None:
    client = cerebellum.client
    ack = client.submit("a", "buy", "0.010")
    assert ack["status"] == "accepted"
    client.until_order(ack["intent"], "filled")
    client.submit("b", "sell", "0.004")
    out = client.submit("a", "sell", "0.010", reduce_only=True, reason="exit")
    client.until_order(out["intent"], "filled")
    assert client.positions() == {("b", "BTCUSDT"): "-0.004"}
    out = client.submit("b", "buy", "0.004", reduce_only=True, reason="exit")
    client.until_order(out["intent"], "filled")
    snapshot = client.command("snapshot")
    assert snapshot["positions"] == []
    journal = cerebellum.verify()
    assert (journal["fills"], journal["cash"]) == (
        snapshot["totals"]["fills"], snapshot["totals"]["cash"],
    )  # fmt: skip
    client.until_wallet(100_000 + Decimal(journal["cash"]))


def test_the_same_intent_twice_is_one_order(cerebellum: Cerebellum) -> None:
    client = cerebellum.client
    ack = client.submit("a", "buy", "0.010")
    again = client.command("submit", **ack["intent"])
    assert again["status"] == "duplicate"
    assert again["order"]["intent_id"] == ack["intent"]["intent_id"]
    client.until_order(ack["intent"], "filled")
    differs = client.command("submit", **{**ack["intent"], "qty": "0.011"})
    assert (differs["type"], differs["code"]) == ("error", "intent_body_differs")
    assert cerebellum.rows("SELECT count(*) FROM fills WHERE 1") == [(1,)]


def test_events_are_numbered_without_gaps_and_can_be_replayed(cerebellum: Cerebellum) -> None:
    client = cerebellum.client
    for _ in range(3):
        ack = client.submit("a", "buy", "0.010")
        client.until_order(ack["intent"], "filled")
    replayed = client.replay(limit=4)
    assert [event["seq"] for event in replayed] == list(range(1, len(replayed) + 1))
    live = {event["seq"]: event for event in client.seen}
    assert all(live.get(event["seq"], event) == event for event in replayed)
    assert client.replay(since_seq=replayed[-1]["seq"]) == []


def test_a_market_exit_takes_the_place_of_one_that_rests(cerebellum: Cerebellum) -> None:
    client = cerebellum.client
    entry = client.submit("a", "buy", "0.010")
    fill = client.until(lambda event: event["type"] == "fill")
    client.until_order(entry["intent"], "filled")
    far = f"{Decimal(fill['price']) * Decimal('1.03'):.0f}"
    resting = client.submit(
        "a", "sell", "0.010", kind="limit", limit_price=far, reduce_only=True, reason="exit"
    )
    client.until_order(resting["intent"], "new")
    out = client.submit("a", "sell", "0.010", reduce_only=True, reason="exit")
    assert out["status"] == "accepted"
    client.until_order(resting["intent"], "cancelled")
    client.until_order(out["intent"], "filled")
    assert client.positions() == {}
    cerebellum.verify()


def test_a_take_profit_closes_the_position_without_the_arena(cerebellum: Cerebellum) -> None:
    client = cerebellum.client
    protect = {"stop": None, "take_profit": "1", "deadline_ts": None}
    ack = client.submit("a", "buy", "0.010", protect=protect)
    assert ack["status"] == "accepted"
    fill = client.until(lambda e: e["type"] == "fill" and e["reason"] == "take_profit")
    assert (fill["agent"], fill["side"], fill["qty"]) == ("a", "sell", "0.01")
    assert client.positions() == {}


def test_a_deadline_closes_the_position_at_its_market_time(cerebellum: Cerebellum) -> None:
    client = cerebellum.client
    deadline = client.now() + 20_000
    protect = {"stop": "1", "take_profit": None, "deadline_ts": deadline}
    client.submit("a", "buy", "0.010", protect=protect)
    fill = client.until(lambda e: e["type"] == "fill" and e["reason"] == "deadline")
    assert deadline <= fill["exec_ts"] < deadline + 20_000


def test_a_resting_order_is_cancelled_and_kill_closes_everything(
    cerebellum: Cerebellum, venue: dict
) -> None:
    client = cerebellum.client
    ticker = venue["rest"] + "/v5/market/tickers?category=linear&symbol=BTCUSDT"
    last = requests.get(ticker, timeout=5).json()["result"]["list"][0]["lastPrice"]
    below = f"{Decimal(last) * Decimal('0.9'):.0f}.0"
    resting = client.submit("a", "buy", "0.010", kind="limit", limit_price=below)
    client.until_order(resting["intent"], "new")
    assert (
        client.command("cancel", intent_id=resting["intent"]["intent_id"])["status"] == "accepted"
    )
    client.until_order(resting["intent"], "cancelled")
    ended = client.command("cancel", intent_id=resting["intent"]["intent_id"])
    assert (ended["status"], ended["order"]["status"]) == ("duplicate", "cancelled")
    resting = client.submit("a", "buy", "0.010", kind="limit", limit_price=below)
    client.until_order(resting["intent"], "new")
    held = client.submit("b", "buy", "0.010")
    client.until_order(held["intent"], "filled")
    halted = client.command("set_state", agent=None, symbol=None, state="HALTED", operator="ada")
    assert halted["status"] == "accepted"
    client.command("flatten", agent=None, symbol=None, reason="kill")
    client.until_order(resting["intent"], "cancelled")
    client.until(lambda e: e["type"] == "fill" and e["reason"] == "kill")
    assert client.positions() == {}
    assert client.submit("a", "buy", "0.010")["code"] == "halted"
    up = {"agent": None, "symbol": None, "state": "ACTIVE"}
    assert client.command("set_state", **up, operator=None)["code"] == "needs_operator"
    assert client.command("set_state", **up, operator="ada")["status"] == "accepted"
    assert client.submit("a", "buy", "0.010")["status"] == "accepted"


def far_below(venue: dict) -> str:
    """Give a price at which a buy order rests for long."""
    ticker = venue["rest"] + "/v5/market/tickers?category=linear&symbol=BTCUSDT"
    last = requests.get(ticker, timeout=5).json()["result"]["list"][0]["lastPrice"]
    return f"{Decimal(last) * Decimal('0.9'):.0f}.0"


def until_terms(client: Client, intent: dict, qty: str, price: str) -> dict:
    """Wait for the order event that shows these terms."""

    def fits(event: dict) -> bool:
        order = event.get("order", {})
        shown = (order.get("qty"), order.get("limit_price"))
        return order.get("intent_id") == intent["intent_id"] and shown == (qty, price)

    return client.until(fits)


@pytest.mark.parametrize("loss", [None, "drop_ack", "rate_limit"])
def test_an_amend_changes_the_order_at_the_venue_whatever_happens_to_its_answer(
    cerebellum: Cerebellum, venue: dict, loss: str | None
) -> None:
    client = cerebellum.client
    below = far_below(venue)
    resting = client.submit("a", "buy", "0.010", kind="limit", limit_price=below)
    client.until_order(resting["intent"], "new")
    if loss:
        fault(venue, loss, count=1)
    lower = f"{Decimal(below) - 100}"
    amend = {"intent_id": resting["intent"]["intent_id"], "agent": "a"}
    ack = client.command("amend", **amend, qty="0.020", limit_price=lower)
    assert ack["status"] == "accepted", ack
    order = until_terms(client, resting["intent"], "0.020", lower)["order"]
    assert order["status"] == "new"
    again = client.command("amend", **amend, qty="0.02", limit_price=lower)
    assert (again["status"], again["order"]["qty"]) == ("duplicate", "0.020")
    shown = client.command("snapshot")["orders"]
    assert [(row["qty"], row["limit_price"]) for row in shown] == [("0.020", lower)]
    assert client.command("cancel", intent_id=amend["intent_id"])["status"] == "accepted"
    client.until_order(resting["intent"], "cancelled")
    late = client.command("amend", **amend, qty="0.030", limit_price=None)
    assert (late["status"], late["code"]) == ("rejected", "order_ended")
    assert cerebellum.verify()["ok"]


def test_an_amend_into_the_book_fills_the_new_quantity(cerebellum: Cerebellum, venue: dict) -> None:
    client = cerebellum.client
    below = far_below(venue)
    resting = client.submit("a", "buy", "0.010", kind="limit", limit_price=below)
    client.until_order(resting["intent"], "new")
    through = f"{Decimal(below) * Decimal('1.13'):.0f}.0"
    amend = {"intent_id": resting["intent"]["intent_id"], "agent": "a"}
    ack = client.command("amend", **amend, qty="0.015", limit_price=through)
    assert ack["status"] == "accepted", ack
    order = client.until_order(resting["intent"], "filled")["order"]
    assert (order["qty"], order["filled_qty"]) == ("0.015", "0.015")
    assert client.positions() == {("a", "BTCUSDT"): "0.015"}
    assert cerebellum.verify()["ok"]


def test_limits_set_by_command_hold_at_once_and_after_a_restart(cerebellum: Cerebellum) -> None:
    section = {"max_notional": "100", "collar_bps": 500, "per_second_per_agent": 10}
    sections = {"order": section, "position": None, "daily_loss": None, "venue": None}
    nobody = cerebellum.client.command("set_limits", operator=None, **sections)
    assert nobody["code"] == "needs_operator"
    done = cerebellum.client.command("set_limits", operator="ada", **sections)
    assert done["status"] == "accepted"
    assert "order.max_notional none -> 100" in done["text"]
    assert cerebellum.client.submit("a", "buy", "0.010")["code"] == "limit_notional"
    cerebellum.kill()
    cerebellum.start()
    assert cerebellum.client.submit("a", "buy", "0.010")["code"] == "limit_notional"
    cerebellum.process.send_signal(signal.SIGHUP)
    cerebellum.client.until(lambda e: e["type"] == "risk" and e["code"] == "limits_changed")
    assert cerebellum.client.submit("a", "buy", "0.010")["status"] == "accepted"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"symbol": "XXXUSDT"}, "unknown_symbol"),
        ({"qty": "0.0105"}, "bad_quantity"),
        ({"qty": "0"}, "bad_quantity"),
        ({"kind": "limit", "limit_price": "50000.05"}, "bad_price"),
        ({"limit_price": "50000.0"}, "bad_price"),
        ({"kind": "limit", "limit_price": "100.0", "qty": "0.001"}, "below_minimum"),
        ({"kind": "limit", "limit_price": "900000.0"}, "price_collar"),
        ({"ts": 1, "ttl_ms": 1}, "expired"),
        ({"reduce_only": True}, "reduce_only"),
    ],
)
def test_a_bad_intent_is_refused_with_its_code(
    cerebellum: Cerebellum, fields: dict, code: str
) -> None:
    client = cerebellum.client
    fields = {"side": "buy", "qty": "0.010", **fields}
    ack = client.submit("a", fields.pop("side"), fields.pop("qty"), **fields)
    assert (ack["status"], ack["code"]) == ("rejected", code)
    assert ack["text"]
    order = client.until(lambda e: e["type"] == "order")["order"]
    assert (order["status"], order["code"]) == ("rejected", code)


def test_more_than_the_wallet_allows_is_refused_by_the_venue(cerebellum: Cerebellum) -> None:
    client = cerebellum.client
    ack = client.submit("a", "buy", "99.000")
    assert ack["status"] == "accepted"
    order = client.until_order(ack["intent"], "rejected")["order"]
    assert order["code"] in {"insufficient_margin", "venue_rejected"}
