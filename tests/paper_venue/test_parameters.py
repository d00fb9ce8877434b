"""A query is answered as it was asked, or refused: no parameter is passed over."""

import pybit.unified_trading
import pytest
from pybit.exceptions import InvalidRequestError

from tests.support.paper_venue import KEYS

LINEAR = {"category": "linear"}
BTC = LINEAR | {"symbol": "BTCUSDT"}
QUERIES = {
    "/v5/market/time": {},
    "/v5/market/kline": BTC | {"interval": "1"},
    "/v5/market/mark-price-kline": BTC | {"interval": "1"},
    "/v5/market/index-price-kline": BTC | {"interval": "1"},
    "/v5/market/orderbook": BTC,
    "/v5/market/tickers": LINEAR,
    "/v5/market/recent-trade": BTC,
    "/v5/market/instruments-info": LINEAR,
    "/v5/market/price-limit": BTC,
    "/v5/market/funding/history": BTC,
    "/v5/order/realtime": BTC,
    "/v5/order/history": LINEAR,
    "/v5/execution/list": LINEAR,
    "/v5/position/list": BTC,
    "/v5/account/wallet-balance": {"accountType": "UNIFIED"},
    "/v5/account/info": {},
    "/v5/user/query-api": {},
    "/v5/account/fee-rate": LINEAR,
    "/v5/asset/coin/query-info": {},
}


@pytest.fixture(scope="module")
def session(venue):
    client = pybit.unified_trading.HTTP(api_key=KEYS[0]["key"], api_secret=KEYS[0]["secret"])
    client.endpoint = venue.rest
    return client


@pytest.fixture(scope="module")
def ask(venue, session):
    def answer(path, query):
        private = not path.startswith("/v5/market/")
        return session._submit_request(
            method="GET", path=venue.rest + path, query=query, auth=private
        )["result"]

    return answer


@pytest.fixture(scope="module")
def orders(venue, session):
    """One filled, one cancelled and one open order, and their ids."""
    price = f"{venue.last('BTCUSDT') * 0.9:.1f}"
    limit = BTC | {"side": "Buy", "orderType": "Limit", "qty": "0.01", "price": price}
    market = BTC | {"side": "Buy", "orderType": "Market", "qty": "0.01"}
    session.place_order(**market, orderLinkId="filled")
    session.place_order(**limit, orderLinkId="cancelled")
    session.cancel_order(**BTC, orderLinkId="cancelled")
    session.place_order(**limit, orderLinkId="open")
    return session


@pytest.mark.parametrize("path", QUERIES)
def test_a_parameter_that_is_not_known_is_refused_by_name(ask, path):
    ask(path, QUERIES[path])
    with pytest.raises(InvalidRequestError, match="symbl is not known here") as refused:
        ask(path, QUERIES[path] | {"symbl": "BTCUSDT"})
    assert refused.value.status_code == 10001


ORDERS = {
    "/v5/order/create": BTC | {"side": "Buy", "orderType": "Market", "qty": "0.01"},
    "/v5/order/amend": BTC | {"orderLinkId": "none", "qty": "0.01"},
    "/v5/order/cancel": BTC | {"orderLinkId": "none"},
    "/v5/order/cancel-all": BTC,
    "/v5/position/set-leverage": BTC | {"buyLeverage": "3", "sellLeverage": "3"},
    "/v5/position/switch-mode": BTC | {"mode": 0},
    "/v5/position/trading-stop": BTC | {"positionIdx": 0, "stopLoss": "1"},
}


@pytest.mark.parametrize("path", ORDERS)
def test_an_order_with_a_field_that_is_not_known_is_refused_and_nothing_is_done(
    venue, session, path
):
    """A misspelt stop, passed over, would leave a position without one."""

    def held():
        (row,) = session.get_positions(**BTC)["result"]["list"]
        return [row[name] for name in ("size", "leverage", "stopLoss", "takeProfit")]

    before = held()
    with pytest.raises(InvalidRequestError, match="stopLos is not known here") as refused:
        session._submit_request(
            method="POST", path=venue.rest + path, query=ORDERS[path] | {"stopLos": "1"}, auth=True
        )
    assert refused.value.status_code == 10001
    assert held() == before


def test_admin_queries_refuse_what_they_do_not_know(venue):
    assert "ky is not known here" in venue.get("/admin/ledger?ky=key-one")["error"]
    assert "key is not known here" in venue.get("/admin/status?key=key-one")["error"]


def links(ask, path, **query):
    return [row["orderLinkId"] for row in ask(path, LINEAR | query)["list"]]


def test_order_history_is_filtered_by_status(ask, orders):
    assert links(ask, "/v5/order/history", orderStatus="Filled") == ["filled"]
    assert links(ask, "/v5/order/history", orderStatus="Cancelled") == ["cancelled"]
    assert links(ask, "/v5/order/history", orderStatus="Rejected") == []
    assert links(ask, "/v5/order/history") == ["cancelled", "filled"]


def test_every_other_filter_filters(ask, orders):
    realtime, history = "/v5/order/realtime", "/v5/order/history"
    assert links(ask, realtime, symbol="BTCUSDT", openOnly="0") == ["open"]
    assert links(ask, realtime, symbol="BTCUSDT", openOnly="1") == ["cancelled", "filled"]
    assert links(ask, realtime, symbol="BTCUSDT", orderFilter="StopOrder") == []
    assert links(ask, history, settleCoin="USDC") == []
    assert links(ask, history, baseCoin="ETH") == []
    assert links(ask, history, orderFilter="Order") == ["cancelled", "filled"]
    assert links(ask, "/v5/execution/list", execType="Trade") == ["filled"]
    assert links(ask, "/v5/execution/list", execType="Settle") == []
    assert links(ask, "/v5/execution/list", settleCoin="USDC") == []
    assert ask("/v5/position/list", LINEAR | {"settleCoin": "USDC"})["list"] == []
    wallet = {"accountType": "UNIFIED"}
    coins = ask("/v5/account/wallet-balance", wallet | {"coin": "USDC,USDT"})["list"][0]["coin"]
    assert [row["coin"] for row in coins] == ["USDT"]
    assert ask("/v5/account/wallet-balance", wallet | {"coin": "BTC"})["list"][0]["coin"] == []
    tickers = ask("/v5/market/tickers", LINEAR | {"baseCoin": "ETH"})["list"]
    assert [row["symbol"] for row in tickers] == ["ETHUSDT"]
    rates = ask("/v5/account/fee-rate", LINEAR | {"baseCoin": "SOL"})["list"]
    assert [row["symbol"] for row in rates] == ["SOLUSDT"]
    assert ask("/v5/market/instruments-info", LINEAR | {"symbolType": "innovation"})["list"] == []
    assert ask("/v5/asset/coin/query-info", {"coin": "BTC"})["rows"] == []


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("/v5/order/history", {"orderStatus": "Fillled"}),
        ("/v5/order/history", {"orderFilter": "tpslOrder"}),
        ("/v5/order/realtime", {"openOnly": "2"}),
        ("/v5/execution/list", {"execType": "Trades"}),
        ("/v5/execution/list", {"startTime": "2000", "endTime": "1000"}),
        ("/v5/execution/list", {"startTime": "1000", "endTime": str(1_000 + 7 * 86_400_001)}),
        ("/v5/market/instruments-info", {"cursor": "third"}),
        ("/v5/account/wallet-balance", {"accountType": "SPOT"}),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_by_its_parameter(ask, path, wrong):
    with pytest.raises(InvalidRequestError, match=next(iter(wrong))) as refused:
        ask(path, QUERIES[path] | wrong)
    assert refused.value.status_code == 10001


def test_all_orders_of_a_filter_that_is_not_known_are_left_alone(session, orders):
    with pytest.raises(InvalidRequestError, match="orderFilter OpenOrders"):
        session.cancel_all_orders(**BTC, orderFilter="OpenOrders")
    assert session.get_open_orders(**BTC)["result"]["list"]
