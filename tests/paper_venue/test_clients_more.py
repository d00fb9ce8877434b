"""What third-party clients reach beyond plain orders, and what is refused with its own code."""

import json
import time

import ccxt
import pybit.unified_trading
import pytest
import requests
import websocket
from pybit.exceptions import InvalidRequestError

from tests.support.paper_venue import KEYS, ccxt_options, login
from tests.support.polling import until

SYMBOL = "BTC/USDT:USDT"


@pytest.fixture(scope="module")
def client(venue):
    exchange = ccxt.bybit(ccxt_options(venue))
    exchange.load_markets()
    return exchange


@pytest.fixture(scope="module")
def session(venue):
    http = pybit.unified_trading.HTTP(api_key=KEYS[0]["key"], api_secret=KEYS[0]["secret"])
    http.endpoint = venue.rest
    return http


def test_ccxt_loads_markets_with_currencies_and_without_a_switch(client):
    assert SYMBOL in client.symbols


def test_ccxt_orders_carry_exits_and_positions_show_them(client):
    last = client.fetch_ticker(SYMBOL)["last"]
    up, down = (float(client.price_to_precision(SYMBOL, last * x)) for x in (1.03, 0.97))
    client.create_order(
        *(SYMBOL, "market", "buy", 0.02, None),
        {"takeProfit": {"triggerPrice": up}, "stopLoss": {"triggerPrice": down}},
    )
    row = client.fetch_position(SYMBOL)["info"]
    assert (float(row["takeProfit"]), float(row["stopLoss"])) == (up, down)
    client.create_order(
        SYMBOL, "market", "sell", 0.02, None, {"trailingAmount": 500, "reduceOnly": True}
    )
    assert float(client.fetch_position(SYMBOL)["info"]["trailingStop"]) == 500
    waiting = client.fetch_open_orders(SYMBOL, params={"trigger": True})
    assert {order["info"]["stopOrderType"] for order in waiting} == {
        "TakeProfit",
        "StopLoss",
        "TrailingStop",
    }
    client.create_order(SYMBOL, "market", "sell", 0.02, None, {"reduceOnly": True})
    assert client.fetch_open_orders(SYMBOL, params={"trigger": True}) == []


def test_ccxt_trigger_orders_are_placed_and_cancelled(client):
    last = client.fetch_ticker(SYMBOL)["last"]
    trigger = float(client.price_to_precision(SYMBOL, last * 1.05))
    made = client.create_order(
        *(SYMBOL, "market", "buy", 0.01, None),
        {"triggerPrice": trigger, "triggerDirection": "ascending"},
    )
    assert client.fetch_open_order(made["id"], SYMBOL)["info"]["orderStatus"] == "Untriggered"
    client.cancel_order(made["id"], SYMBOL, {"trigger": True})


def test_ccxt_reads_past_funding(client):
    rates = client.fetch_funding_rate_history(SYMBOL, limit=5)
    assert len(rates) >= 3
    assert all(rate["timestamp"] % (8 * 3_600_000) == 0 for rate in rates)
    assert client.fetch_funding_rate(SYMBOL)["fundingRate"] is not None


def test_pybit_sets_moves_and_removes_exits(session, venue):
    order = {"category": "linear", "symbol": "ETHUSDT", "orderType": "Market", "qty": "0.5"}
    session.place_order(**order, side="Buy")
    last = venue.last("ETHUSDT")
    stop = {"category": "linear", "symbol": "ETHUSDT", "positionIdx": 0}
    session.set_trading_stop(**stop, tpslMode="Full", stopLoss=f"{last * 0.95:.2f}")
    with pytest.raises(InvalidRequestError) as refused:
        session.set_trading_stop(**stop, tpslMode="Full", stopLoss=f"{last * 0.95:.2f}")
    assert refused.value.status_code == 34040
    part = {"tpslMode": "Partial", "tpSize": "0.2", "takeProfit": f"{last * 1.05:.2f}"}
    session.set_trading_stop(**stop, **part, tpOrderType="Limit", tpLimitPrice=f"{last * 1.04:.2f}")
    rows = session.get_open_orders(category="linear", symbol="ETHUSDT")["result"]["list"]
    assert {row["stopOrderType"]: row["qty"] for row in rows} == {
        "StopLoss": "0.50",
        "PartialTakeProfit": "0.20",
    }
    session.set_trading_stop(**stop, tpslMode="Full", stopLoss="0")
    session.place_order(**order, side="Sell", reduceOnly=True)
    assert session.get_open_orders(category="linear", symbol="ETHUSDT")["result"]["list"] == []


def test_hedge_mode_is_refused_in_so_many_words(session):
    with pytest.raises(InvalidRequestError, match="hedge") as refused:
        session.switch_position_mode(category="linear", symbol="BTCUSDT", mode=3)
    assert refused.value.status_code == 10001
    with pytest.raises(InvalidRequestError) as refused:
        session.switch_position_mode(category="linear", symbol="BTCUSDT", mode=0)
    assert refused.value.status_code == 110025


def test_fast_executions_come_without_the_clients_id_of_a_maker(venue, session, monkeypatch):
    monkeypatch.setattr(pybit.unified_trading, "PRIVATE_WSS", venue.ws + "/v5/private")
    socket = pybit.unified_trading.WebSocket(
        testnet=False,
        channel_type="private",
        api_key=KEYS[0]["key"],
        api_secret=KEYS[0]["secret"],
    )
    fast, whole = [], []
    socket.fast_execution_stream(lambda message: fast.extend(message["data"]))
    socket.execution_stream(lambda message: whole.extend(message["data"]))
    time.sleep(0.5)
    session.place_order(
        category="linear",
        symbol="SOLUSDT",
        side="Buy",
        orderType="Market",
        qty="2",
        orderLinkId="fast-taker",
    )
    until(lambda: fast and whole, what="both streams")
    assert fast[0]["orderLinkId"] == "fast-taker"
    assert {row["execId"] for row in fast} == {row["execId"] for row in whole}
    assert "execFee" not in fast[0]
    socket.exit()


def test_a_request_id_is_used_once_on_a_trade_socket(venue):
    socket = websocket.create_connection(venue.ws + "/v5/trade", timeout=5)
    socket.send(json.dumps(login(KEYS[1]["key"], KEYS[1]["secret"])))
    assert json.loads(socket.recv())["retCode"] == 0
    order = {"category": "linear", "symbol": "SOLUSDT", "side": "Buy"}
    order |= {"orderType": "Market", "qty": "1"}

    def send(req_id):
        header = {"X-BAPI-TIMESTAMP": str(int(time.time() * 1000))}
        message = {"reqId": req_id, "header": header, "op": "order.create", "args": [order]}
        socket.send(json.dumps(message))
        return json.loads(socket.recv())["retCode"]

    assert [send("once"), send("once"), send("twice"), send("x" * 37)] == [0, 20006, 0, 10001]
    socket.close()


def test_private_topics_of_two_kinds_do_not_mix(venue):
    socket = websocket.create_connection(venue.ws + "/v5/private", timeout=5)
    socket.send(json.dumps(login(KEYS[1]["key"], KEYS[1]["secret"])))
    assert json.loads(socket.recv())["success"]
    for topics, accepted in (
        (["order", "execution.linear"], False),
        (["order.linear", "execution.linear"], True),
        (["order", "greeks"], False),
    ):
        socket.send(json.dumps({"op": "subscribe", "args": topics}))
        assert json.loads(socket.recv())["success"] is accepted
    socket.close()


def test_wrong_methods_and_bodies_have_their_http_status(venue):
    create = venue.rest + "/v5/order/create"
    assert requests.get(create, timeout=5).status_code == 400
    wallet = venue.rest + "/v5/account/wallet-balance?accountType=UNIFIED"
    assert requests.get(wallet, json={"a": 1}, timeout=5).status_code == 403
    assert requests.get(wallet, timeout=5).status_code == 401
    assert requests.get(venue.rest + "/v5/nowhere", timeout=5).status_code == 404
