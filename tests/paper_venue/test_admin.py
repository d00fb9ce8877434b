"""Faults with a target and a chance, and the ledger that a test compares its own books with."""

import time

import pybit.unified_trading
import pytest
import requests
from pybit.exceptions import InvalidRequestError

from tests.support.paper_venue import KEYS

ORDER = {"category": "linear", "side": "Buy", "orderType": "Market"}


def client(venue, account: int = 0):
    session = pybit.unified_trading.HTTP(
        api_key=KEYS[account]["key"],
        api_secret=KEYS[account]["secret"],
        max_retries=1,
        retry_codes={1},
    )
    session.endpoint = venue.rest
    return session


@pytest.fixture
def clean(venue):
    """A venue without leftovers of an earlier fault."""
    time.sleep(1.0)
    yield venue
    venue.post("/admin/fault", {"kind": "clear"})


def fault(venue, kind, **fields):
    answer = venue.post("/admin/fault", {"kind": kind, **fields})
    assert answer.get("ok"), answer


def buy(session, symbol, qty, link):
    return session.place_order(**ORDER, symbol=symbol, qty=qty, orderLinkId=link)


def test_a_fault_for_one_account_spares_the_other(clean):
    fault(clean, "rate_limit", count=1, endpoint="create", key=KEYS[1]["key"])
    buy(client(clean), "BTCUSDT", "0.01", "spared")
    with pytest.raises(InvalidRequestError) as refused:
        buy(client(clean, 1), "BTCUSDT", "0.01", "struck")
    assert refused.value.status_code == 10006
    buy(client(clean, 1), "BTCUSDT", "0.01", "struck")


def test_a_fault_for_one_symbol_and_endpoint_spares_the_others(clean):
    session = client(clean)
    fault(clean, "error", count=1, status=200, code=10016, endpoint="create", symbol="SOLUSDT")
    buy(session, "ETHUSDT", "0.1", "symbol-spared")
    session.cancel_all_orders(category="linear", symbol="SOLUSDT")
    with pytest.raises(InvalidRequestError) as refused:
        buy(session, "SOLUSDT", "1", "symbol-struck")
    assert refused.value.status_code == 10016
    assert clean.get("/admin/status")["faults"]["armed"] == []


def test_a_query_can_fail_too(clean):
    fault(clean, "error", count=1, status=502, endpoint="wallet")
    signed = client(clean)
    with pytest.raises(Exception, match=r"502|JSON"):
        signed.get_wallet_balance(accountType="UNIFIED")
    assert signed.get_wallet_balance(accountType="UNIFIED")["retCode"] == 0
    fault(clean, "error", count=1, status=503, endpoint="market")
    url = clean.rest + "/v5/market/tickers?category=linear&symbol=BTCUSDT"
    assert requests.get(url, timeout=5).status_code == 503
    assert requests.get(url, timeout=5).status_code == 200


def test_a_batch_loses_its_ack_and_is_carried_out(clean):
    session = client(clean)
    fault(clean, "drop_ack", count=1, endpoint="create-batch")
    row = {"symbol": "SOLUSDT", "side": "Buy", "orderType": "Market", "qty": "1"}
    with pytest.raises(requests.exceptions.ConnectionError):
        session.place_batch_order(
            category="linear", request=[{**row, "orderLinkId": f"lost-{n}"} for n in range(2)]
        )
    for number in range(2):
        fills = session.get_executions(category="linear", orderLinkId=f"lost-{number}")
        assert fills["result"]["list"]


def test_the_same_seed_strikes_the_same_requests(clean):
    stories = []
    for _ in range(2):
        fault(clean, "error", probability=0.5, seed=9, status=503, endpoint="market")
        url = clean.rest + "/v5/market/time"
        stories.append([requests.get(url, timeout=5).status_code for _ in range(40)])
        clean.post("/admin/fault", {"kind": "clear"})
    assert stories[0] == stories[1]
    assert set(stories[0]) == {200, 503}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"kind": "drop_ack"}, "count"),
        ({"kind": "drop_ack", "count": 1, "endpoint": "door"}, "door"),
        ({"kind": "drop_ack", "count": 1, "key": "nobody"}, "nobody"),
        ({"kind": "drop_ack", "count": 1, "symbol": "NOPEUSDT"}, "NOPEUSDT"),
        ({"kind": "drop_ack", "probability": 2}, "probability 2"),
        ({"kind": "clock_offset", "ms": 1, "count": 1}, "count"),
        ({"kind": "gap"}, "symbol"),
    ],
)
def test_a_fault_that_cannot_be_meant_is_refused_by_name(venue, body, named):
    assert named in venue.post("/admin/fault", body)["error"]


def test_the_ledger_is_the_whole_history_of_one_key(fresh):
    venue = fresh("--seed", "3", "--history-days", "1")
    session, other = client(venue), client(venue, 1)
    price = f"{venue.last('BTCUSDT') * 0.9:.1f}"
    for number in range(3):
        buy(session, "SOLUSDT", "1", f"fill-{number}")
        session.place_order(
            **ORDER | {"orderType": "Limit"},
            symbol="BTCUSDT",
            qty="0.01",
            price=price,
            orderLinkId=f"rest-{number}",
        )
    session.cancel_order(category="linear", symbol="BTCUSDT", orderLinkId="rest-0")
    buy(other, "SOLUSDT", "2", "other")
    books = venue.get(f"/admin/ledger?key={KEYS[0]['key']}")["accounts"]
    assert [one["key"] for one in books] == [KEYS[0]["key"]]
    books = books[0]
    assert books["deposit"] == KEYS[0]["usdt"]
    assert {row["orderLinkId"] for row in books["orders"]} == {
        f"{kind}-{number}" for kind in ("fill", "rest") for number in range(3)
    }
    known = {row["orderId"]: row for row in books["orders"]}
    for ask in (session.get_open_orders, session.get_order_history):
        for row in ask(category="linear", settleCoin="USDT", limit=50)["result"]["list"]:
            assert known.pop(row["orderId"]) == row
    assert known == {}
    fills = session.get_executions(category="linear", limit=100)["result"]["list"]
    assert books["executions"] == fills[::-1]
    assert {row["symbol"] for row in books["positions"]} >= {"BTCUSDT", "SOLUSDT"}
    both = venue.get("/admin/ledger")["accounts"]
    assert [len(one["orders"]) for one in both] == [6, 1]
    assert "nobody" in venue.get("/admin/ledger?key=nobody")["error"]
