"""Faults on demand: each does what it says, and loses nothing that was committed."""

import json
import time

import pybit.unified_trading
import pytest
import requests
import websocket
from pybit.exceptions import InvalidRequestError

from tests.support.paper_venue import KEYS, login
from tests.support.polling import until

ORDER = {
    "category": "linear",
    "symbol": "BTCUSDT",
    "side": "Buy",
    "orderType": "Market",
    "qty": "0.01",
}


@pytest.fixture
def clean(venue):
    """A venue without leftovers of an earlier fault."""
    time.sleep(1.0)
    yield venue
    venue.post("/admin/fault", {"kind": "clear"})


@pytest.fixture
def session(clean):
    client = pybit.unified_trading.HTTP(
        api_key=KEYS[0]["key"], api_secret=KEYS[0]["secret"], max_retries=1, retry_codes={1}
    )
    client.endpoint = clean.rest
    return client


def fault(venue, kind, **fields):
    answer = venue.post("/admin/fault", {"kind": kind, **fields})
    assert answer["ok"], answer
    return answer


def fills(session, link):
    return session.get_executions(category="linear", orderLinkId=link)["result"]["list"]


def private_socket(venue):
    socket = websocket.create_connection(venue.ws + "/v5/private", timeout=5)
    socket.send(json.dumps(login(KEYS[0]["key"], KEYS[0]["secret"])))
    assert json.loads(socket.recv())["success"]
    socket.send(
        json.dumps({"op": "subscribe", "args": ["order", "execution", "position", "wallet"]})
    )
    assert json.loads(socket.recv())["success"]
    return socket


def book_socket(venue, symbol="ETHUSDT"):
    socket = websocket.create_connection(venue.ws + "/v5/public/linear", timeout=5)
    socket.send(json.dumps({"op": "subscribe", "args": [f"orderbook.50.{symbol}"]}))
    assert json.loads(socket.recv())["success"]
    return socket


def drain(socket):
    while True:
        socket.recv()


def receive_something(socket):
    if socket.recv() == "":
        raise ConnectionError


def test_a_dropped_ack_leaves_the_order_in_place(clean, session):
    fault(clean, "drop_ack", count=1)
    with pytest.raises(requests.exceptions.ConnectionError):
        session.place_order(**ORDER, orderLinkId="lost-ack")
    assert fills(session, "lost-ack")
    with pytest.raises(InvalidRequestError) as refused:
        session.place_order(**ORDER, orderLinkId="lost-ack")
    assert refused.value.status_code == 110072


def test_an_error_commits_only_when_told_to(clean, session):
    for commit in (False, True):
        link = f"error-{commit}"
        fault(clean, "error", count=1, status=503, commit=commit)
        with pytest.raises(Exception, match=r"503|JSON"):
            session.place_order(**ORDER, orderLinkId=link)
        assert bool(fills(session, link)) is commit


def test_a_late_answer_is_late_and_nothing_else(clean, session):
    fault(clean, "delay", count=1, ms=400)
    began = time.monotonic()
    session.place_order(**ORDER, orderLinkId="late")
    assert time.monotonic() - began > 0.4
    assert fills(session, "late")


def test_a_clock_that_is_off_refuses_until_it_is_right_again(clean, session):
    fault(clean, "clock_offset", ms=60_000)
    with pytest.raises(InvalidRequestError) as refused:
        session.place_order(**ORDER, orderLinkId="clock")
    assert refused.value.status_code == 10002
    fault(clean, "clock_offset", ms=0)
    session.place_order(**ORDER, orderLinkId="clock")


def test_a_burst_of_rate_limits_refuses_without_doing(clean, session):
    fault(clean, "rate_limit", count=1)
    with pytest.raises(InvalidRequestError) as refused:
        session.place_order(**ORDER, orderLinkId="burst")
    assert refused.value.status_code == 10006
    assert fills(session, "burst") == []


def test_a_silent_socket_stays_open_and_answers_no_ping(clean):
    socket = book_socket(clean)
    assert fault(clean, "silent", path="public")["sockets"] >= 1
    time.sleep(0.3)
    socket.settimeout(1.0)
    socket.send(json.dumps({"op": "ping"}))
    with pytest.raises(websocket.WebSocketTimeoutException):
        drain(socket)
    assert socket.connected
    socket.close(timeout=0)


def test_a_gap_skips_one_update_and_a_restart_begins_at_one(clean):
    socket = book_socket(clean)
    last = json.loads(socket.recv())["data"]["u"]
    fault(clean, "gap", symbol="ETHUSDT")
    steps = []
    while 2 not in steps:
        update = json.loads(socket.recv())["data"]["u"]
        steps.append(update - last)
        last = update
    assert set(steps) <= {1, 2}
    fault(clean, "restart", symbol="ETHUSDT")
    while True:
        message = json.loads(socket.recv())
        if message["data"]["u"] == 1:
            assert message["type"] == "snapshot"
            break
    assert json.loads(socket.recv())["data"]["u"] == 2
    socket.close()


def test_private_messages_come_twice_or_backwards(clean, session):
    socket = private_socket(clean)
    fault(clean, "duplicate_private", count=4)
    session.place_order(**ORDER, orderLinkId="twice")
    ids = [json.loads(socket.recv())["id"] for _ in range(8)]
    assert ids[::2] == ids[1::2]
    fault(clean, "reorder_private", count=4)
    session.place_order(**ORDER, orderLinkId="backwards")
    topics = [json.loads(socket.recv())["topic"] for _ in range(4)]
    assert topics == ["wallet", "position", "order", "execution"]
    socket.close()


def test_a_cut_ends_in_the_middle_of_a_frame(clean):
    socket = private_socket(clean)
    fault(clean, "cut", path="private")
    with pytest.raises((websocket.WebSocketConnectionClosedException, ConnectionError)):
        drain(socket)
    again = private_socket(clean)
    again.close()


def test_a_trade_socket_that_loses_its_ack_still_trades(clean, session):
    socket = websocket.create_connection(clean.ws + "/v5/trade", timeout=5)
    socket.send(json.dumps(login(KEYS[0]["key"], KEYS[0]["secret"])))
    assert json.loads(socket.recv())["retCode"] == 0
    fault(clean, "drop_ack", count=1)
    header = {"X-BAPI-TIMESTAMP": str(int(time.time() * 1000))}
    order = {**ORDER, "orderLinkId": "trade-lost"}
    socket.send(
        json.dumps({"reqId": "r1", "header": header, "op": "order.create", "args": [order]})
    )
    with pytest.raises((websocket.WebSocketConnectionClosedException, ConnectionError)):
        receive_something(socket)
    until(lambda: fills(session, "trade-lost"), what="the fill")


def test_an_unknown_fault_is_refused_by_name(clean):
    answer = clean.post("/admin/fault", {"kind": "earthquake"})
    assert "earthquake" in answer["error"]
    assert "NOPEUSDT" in clean.post("/admin/fault", {"kind": "gap", "symbol": "NOPEUSDT"})["error"]
