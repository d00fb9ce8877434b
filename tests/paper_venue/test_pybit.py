"""pybit's HTTP and WebSocket clients, unmodified."""

import threading

import pybit._websocket_trading
import pybit.unified_trading
import pytest
from pybit.exceptions import FailedRequestError, InvalidRequestError

from tests.support.paper_venue import KEYS
from tests.support.polling import until


@pytest.fixture(scope="module")
def session(venue):
    client = pybit.unified_trading.HTTP(api_key=KEYS[0]["key"], api_secret=KEYS[0]["secret"])
    client.endpoint = venue.rest
    return client


@pytest.fixture
def sockets(venue, monkeypatch):
    monkeypatch.setattr(pybit.unified_trading, "PUBLIC_WSS", venue.ws + "/v5/public/{CHANNEL_TYPE}")
    monkeypatch.setattr(pybit.unified_trading, "PRIVATE_WSS", venue.ws + "/v5/private")
    monkeypatch.setattr(pybit._websocket_trading, "TRADE_WSS", venue.ws + "/v5/trade")
    opened = []

    def begin(kind: str):
        keys = {"api_key": KEYS[0]["key"], "api_secret": KEYS[0]["secret"]}
        if kind == "trade":
            socket = pybit.unified_trading.WebSocketTrading(testnet=False, **keys)
        elif kind == "private":
            socket = pybit.unified_trading.WebSocket(testnet=False, channel_type="private", **keys)
        else:
            socket = pybit.unified_trading.WebSocket(testnet=False, channel_type="linear")
        opened.append(socket)
        return socket

    yield begin
    for socket in opened:
        socket.exit()


def test_every_order_verb_works(session, venue):
    price = f"{venue.last('BTCUSDT') * 0.9:.1f}"
    made = session.place_order(
        category="linear",
        symbol="BTCUSDT",
        side="Buy",
        orderType="Limit",
        qty="0.01",
        price=price,
        orderLinkId="py-1",
    )["result"]
    assert made["orderLinkId"] == "py-1"
    session.amend_order(category="linear", symbol="BTCUSDT", orderLinkId="py-1", qty="0.03")
    row = session.get_open_orders(category="linear", symbol="BTCUSDT", orderLinkId="py-1")[
        "result"
    ]["list"][0]
    assert (row["orderId"], row["qty"], row["orderStatus"]) == (made["orderId"], "0.030", "New")
    session.cancel_order(category="linear", symbol="BTCUSDT", orderId=made["orderId"])
    row = session.get_order_history(category="linear", orderId=made["orderId"])["result"]["list"][0]
    assert (row["orderStatus"], row["cancelType"]) == ("Cancelled", "CancelByUser")
    with pytest.raises(InvalidRequestError) as refused:
        session.place_order(
            category="linear",
            symbol="BTCUSDT",
            side="Buy",
            orderType="Limit",
            qty="0.01",
            price=price,
            orderLinkId="py-1",
        )
    assert refused.value.status_code == 110072


def test_an_unknown_id_is_an_empty_list(session):
    for ask in (session.get_open_orders, session.get_order_history, session.get_executions):
        answer = ask(category="linear", orderLinkId="nobody-used-this")
        assert (answer["retCode"], answer["result"]["list"]) == (0, [])


def test_lists_page_with_cursors_that_need_no_encoding(session):
    for index in range(5):
        session.place_order(
            category="linear",
            symbol="SOLUSDT",
            side="Buy",
            orderType="Market",
            qty="1",
            orderLinkId=f"page-{index}",
        )
    seen, cursor = [], ""
    while True:
        page = session.get_executions(category="linear", symbol="SOLUSDT", limit=2, cursor=cursor)[
            "result"
        ]
        seen += [row["execId"] for row in page["list"]]
        cursor = page["nextPageCursor"]
        if not cursor:
            break
    assert len(seen) == len(set(seen)) >= 5


def test_a_wrong_secret_and_an_unknown_key_are_told_apart(venue):
    for key, secret, code in ((KEYS[0]["key"], "wrong", 10004), ("nobody", "x", 10003)):
        client = pybit.unified_trading.HTTP(api_key=key, api_secret=secret)
        client.endpoint = venue.rest
        with pytest.raises((InvalidRequestError, FailedRequestError)) as refused:
            client.get_wallet_balance(accountType="UNIFIED")
        assert refused.value.status_code == code


def test_over_ten_orders_a_second_pybit_waits_and_goes_on(session, venue):
    price = f"{venue.last('ETHUSDT') * 0.9:.2f}"
    for index in range(14):
        session.place_order(
            category="linear",
            symbol="ETHUSDT",
            side="Buy",
            orderType="Limit",
            qty="0.1",
            price=price,
            orderLinkId=f"burst-{index}",
        )
    rows = session.get_open_orders(category="linear", symbol="ETHUSDT", limit=50)["result"]["list"]
    assert len({row["orderLinkId"] for row in rows}) == 14
    session.cancel_all_orders(category="linear", symbol="ETHUSDT")


def test_a_batch_has_an_outcome_per_order(session):
    order = {"symbol": "SOLUSDT", "side": "Buy", "orderType": "Market", "qty": "1"}
    answer = session.place_batch_order(
        category="linear",
        request=[
            {**order, "orderLinkId": "batch-1"},
            {**order, "qty": "0.01"},
            {**order, "orderLinkId": "batch-1"},
        ],
    )
    assert [one["code"] for one in answer["retExtInfo"]["list"]] == [0, 10001, 110072]
    assert answer["result"]["list"][0]["orderLinkId"] == "batch-1"


def test_pybits_own_book_equals_the_rest_book_at_the_same_update(session, sockets):
    books = {}
    sockets("public").orderbook_stream(
        200, "BTCUSDT", lambda message: books.__setitem__(message["data"]["u"], message["data"])
    )
    until(lambda: len(books) > 20, what="twenty updates of the book")
    compared = 0
    for _ in range(20):
        rest = session.get_orderbook(category="linear", symbol="BTCUSDT", limit=200)["result"]
        seen = until(lambda update=rest["u"]: books.get(update), what="the same update")
        assert sorted(seen["b"]) == sorted(rest["b"])
        assert sorted(seen["a"]) == sorted(rest["a"])
        compared += 1
    assert compared == 20
    updates = sorted(books)
    assert updates == list(range(updates[0], updates[0] + len(updates))), "u grows by one"


def test_private_rows_tell_the_story_of_a_fill(sockets, venue):
    stories = {topic: [] for topic in ("order", "execution", "position", "wallet")}
    private = sockets("private")
    for topic, rows in stories.items():
        getattr(private, f"{topic}_stream")(lambda message, rows=rows: rows.extend(message["data"]))
    trade = sockets("trade")
    until(lambda: True)
    threading.Event().wait(0.5)
    acks = []
    trade.place_order(
        acks.append,
        category="linear",
        symbol="BTCUSDT",
        side="Buy",
        orderType="Market",
        qty="0.02",
        orderLinkId="ws-1",
    )
    until(lambda: acks and stories["wallet"], what="the ack and the wallet")
    order_id = acks[0]["data"]["orderId"]
    fills = [row for row in stories["execution"] if row["orderId"] == order_id]
    assert sum(float(row["execQty"]) for row in fills) == pytest.approx(0.02)
    assert [row["orderStatus"] for row in stories["order"] if row["orderId"] == order_id][
        -1
    ] == "Filled"
    assert stories["position"][-1]["symbol"] == "BTCUSDT"
    assert "entryPrice" in stories["position"][-1]
    trade.place_order(
        acks.append,
        category="linear",
        symbol="BTCUSDT",
        side="Sell",
        orderType="Market",
        qty="0.02",
        reduceOnly=True,
    )
    until(lambda: len(acks) == 2, what="the second ack")


def test_forty_subscriptions_in_a_row_lose_no_socket(sockets):
    for _ in range(10):
        public = sockets("public")
        seen = []
        public.orderbook_stream(50, "BTCUSDT", seen.append)
        public.trade_stream("BTCUSDT", seen.append)
        public.ticker_stream("ETHUSDT", seen.append)
        public.kline_stream(1, "SOLUSDT", seen.append)
        until(
            lambda seen=seen: len({message["topic"] for message in seen}) == 4,
            what="all four topics",
        )
        assert public.is_connected()
