"""A venue that mirrors another one: its books and candles, orders that fill on paper only."""

import itertools
import json
import time

import pybit.unified_trading
import pytest
import websocket
from pybit.exceptions import InvalidRequestError

from tests.paper_venue.test_process import refuse
from tests.support.paper_venue import KEYS, Venue, write_keys
from tests.support.polling import until

SYMBOLS = "BTCUSDT,ETHUSDT"


def mirror_flags(upstream: Venue) -> list[str]:
    return [
        *("--market", "mirror", "--symbols", SYMBOLS, "--history-days", "1"),
        *("--mirror-rest", upstream.rest, "--mirror-ws", upstream.ws),
    ]


@pytest.fixture
def pair(fresh):
    """A simulated venue, and one that mirrors it."""
    upstream = fresh("--seed", "21", "--history-days", "1", "--symbols", SYMBOLS)
    return upstream, fresh(*mirror_flags(upstream))


def session(venue: Venue):
    client = pybit.unified_trading.HTTP(
        api_key=KEYS[0]["key"], api_secret=KEYS[0]["secret"], max_retries=1, retry_codes={1}
    )
    client.endpoint = venue.rest
    return client


def listen(venue: Venue, topic: str) -> websocket.WebSocket:
    socket = websocket.create_connection(venue.ws + "/v5/public/linear", timeout=10)
    socket.send(json.dumps({"op": "subscribe", "args": [topic]}))
    assert json.loads(socket.recv())["success"]
    return socket


class Book:
    """A book kept from frames, with what it was at each update."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[str, str]] = {"b": {}, "a": {}}
        self.at: dict[int, tuple[dict, dict]] = {}
        self.updates: list[int] = []

    def hear(self, text: str) -> None:
        frame = json.loads(text)
        if not frame.get("topic", "").startswith("orderbook"):
            return
        data = frame["data"]
        for side, levels in self.sides.items():
            if frame["type"] == "snapshot":
                levels.clear()
            for price, size in data[side]:
                if size == "0":
                    del levels[price]
                else:
                    levels[price] = size
        self.updates.append(data["u"])
        self.at[data["u"]] = (dict(self.sides["b"]), dict(self.sides["a"]))


def keep(socket: websocket.WebSocket, seconds: float) -> Book:
    book, end = Book(), time.monotonic() + seconds
    while time.monotonic() < end:
        book.hear(socket.recv())
    return book


def test_books_are_the_upstreams_at_every_update_and_orders_fill_here_only(pair):
    upstream, mirror = pair
    topic = "orderbook.200.BTCUSDT"
    ours, theirs = listen(mirror, topic), listen(upstream, topic)
    shallow = listen(mirror, "orderbook.50.BTCUSDT")
    mine, real, top = keep(ours, 6), keep(theirs, 0.3), keep(shallow, 0.3)
    # What the second socket has not read yet is still in its buffer.
    while max(real.at) < max(mine.at):
        real.hear(theirs.recv())
    while max(top.at) < max(mine.at):
        top.hear(shallow.recv())
    common = sorted(set(mine.at) & set(real.at))
    assert len(common) > 3
    for update in common:
        assert mine.at[update] == real.at[update]
    for update in set(top.at) & set(mine.at):
        best = sorted(mine.at[update][1].items(), key=lambda level: float(level[0]))[:50]
        assert top.at[update][1] == dict(best)
    assert [b - a for a, b in itertools.pairwise(mine.updates)] == [1] * (len(mine.updates) - 1)

    here, there = session(mirror), session(upstream)
    order = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Market"}
    here.place_order(**order, qty="0.05", orderLinkId="paper")
    fills = here.get_executions(category="linear", orderLinkId="paper")["result"]["list"]
    assert sum(float(fill["execQty"]) for fill in fills) == pytest.approx(0.05)
    offered = {price for _, asks in mine.at.values() for price in asks}
    assert float(fills[0]["execPrice"]) <= max(map(float, offered))
    assert there.get_executions(category="linear")["result"]["list"] == []
    assert there.get_positions(category="linear", symbol="BTCUSDT")["result"]["list"][0][
        "size"
    ] in ("0", "")
    assert (
        here.get_positions(category="linear", symbol="BTCUSDT")["result"]["list"][0]["size"]
        == "0.050"
    )


def test_instruments_and_candles_are_the_upstreams(pair):
    upstream, mirror = pair
    for path in (
        "/v5/market/instruments-info?category=linear&symbol=ETHUSDT",
        "/v5/market/price-limit?category=linear&symbol=ETHUSDT",
    ):
        one, two = (venue.get(path)["result"] for venue in pair)
        assert one.get("list") == two.get("list")
    path = "/v5/market/kline?category=linear&symbol=ETHUSDT&interval=1&limit=1000"
    one, two = (venue.get(path)["result"]["list"][1:] for venue in (upstream, mirror))
    known = {row[0]: row for row in one}
    assert len(two) > 990
    assert [row for row in two if row[0] in known] == [
        known[row[0]] for row in two if row[0] in known
    ]


def test_a_lost_upstream_refuses_orders_until_its_books_are_back(pair):
    upstream, mirror = pair
    here = session(mirror)
    order = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Market"}
    assert upstream.post("/admin/fault", {"kind": "silent", "path": "public"})["sockets"] == 1

    def refused():
        try:
            here.place_order(**order, qty="0.001")
        except InvalidRequestError as error:
            return error.status_code == 110074
        return False

    until(refused, seconds=15, what="the refusal")

    def accepted():
        try:
            return here.place_order(**order, qty="0.001")["retCode"] == 0
        except InvalidRequestError:
            return False

    until(accepted, seconds=15, what="an order after the reconnect")


def test_a_gap_is_noticed_and_the_book_begins_again_with_a_snapshot(pair):
    upstream, mirror = pair
    socket = listen(mirror, "orderbook.200.ETHUSDT")
    assert json.loads(socket.recv())["type"] == "snapshot"
    upstream.post("/admin/fault", {"kind": "gap", "symbol": "ETHUSDT"})
    end = time.monotonic() + 10
    while json.loads(socket.recv())["type"] != "snapshot":
        assert time.monotonic() < end, "no snapshot after the gap"
    rest = [
        until(
            lambda venue=venue: venue.get(
                "/v5/market/orderbook?category=linear&symbol=ETHUSDT&limit=200"
            )["result"],
            what="a book",
        )
        for venue in pair
    ]
    assert abs(rest[0]["u"] - rest[1]["u"]) < 20


@pytest.mark.process
def test_a_mirror_without_an_upstream_says_so_and_ends(tmp_path):
    keys = str(write_keys(tmp_path))
    base = ("--keys", keys, "--market", "mirror")
    line = refuse(*base, "--mirror-rest", "http://127.0.0.1:9", "--mirror-ws", "ws://127.0.0.1:9")
    assert "127.0.0.1:9" in line
    assert "--mirror-rest" in refuse(*base, "--mirror-rest", "ftp://nowhere")
    assert "--speed" in refuse(*base, "--speed", "5")
