"""Replay of recorded frames: sent on as they are, candles from trades, fills against that book."""

import gzip
import json
import threading
from pathlib import Path

import pybit.unified_trading
import pytest
import websocket

from tests.paper_venue.test_process import refuse
from tests.support.paper_venue import KEYS, write_keys
from tests.support.polling import until

START = 1_704_067_200_000


def book(ts, kind, bids, asks, update, depth=200):
    return {
        "topic": f"orderbook.{depth}.XRPUSDT",
        "type": kind,
        "ts": ts,
        "data": {"s": "XRPUSDT", "b": bids, "a": asks, "u": update, "seq": 10 * update},
        "cts": ts - 2,
    }


def trade(ts, side, price, size, seq):
    row = {"T": ts, "s": "XRPUSDT", "S": side, "v": size, "p": price, "L": "PlusTick"}
    row |= {"i": f"id-{seq}", "BT": False, "RPI": False, "seq": seq}
    return {"topic": "publicTrade.XRPUSDT", "type": "snapshot", "ts": ts, "data": [row]}


def story():
    """Three minutes: the ask side walks up, then trades come down through a resting bid."""
    bids = [["2.0000", "100.0"], ["1.9999", "50.0"]]
    asks = [["2.0001", "30.0"], ["2.0002", "40.0"], ["2.0010", "500.0"]]
    frames = [book(START, "snapshot", bids, asks, 1_000)]
    for step in range(1, 120):
        ts = START + step * 1_500
        frames.append(book(ts, "delta", [["2.0000", f"{100 + step}.0"]], [], 1_000 + step))
        price = "2.0001" if step % 2 else "2.0000"
        frames.append(trade(ts + 10, "Buy" if step % 2 else "Sell", price, f"{step}.0", step))
    return frames


def write(path: Path, frames) -> Path:
    text = "".join(json.dumps(frame) + "\n" for frame in frames).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def collect(venue, topics):
    socket = websocket.create_connection(venue.ws + "/v5/public/linear", timeout=10)
    socket.send(json.dumps({"op": "subscribe", "args": topics}))
    assert json.loads(socket.recv())["success"]
    heard = []

    def read():
        try:
            while True:
                heard.append(json.loads(socket.recv()))
        except (websocket.WebSocketException, OSError):
            return

    threading.Thread(target=read, daemon=True).start()
    return heard


def test_frames_are_sent_on_as_they_are_and_candles_are_made_of_the_trades(fresh, tmp_path):
    frames = story()
    place = write(tmp_path / "xrp.jsonl.gz", frames)
    venue = fresh("--market", "replay", "--frames", str(place), "--speed", "20")
    assert venue.ready["symbols"] == ["XRPUSDT"]
    heard = collect(venue, ["orderbook.200.XRPUSDT", "publicTrade.XRPUSDT", "kline.1.XRPUSDT"])
    until(lambda: venue.get("/admin/status")["ended"], seconds=20, what="the end")
    newest = frames[-1]["data"][0]
    until(
        lambda: any(newest in one["data"] for one in heard if one["topic"].startswith("public")),
        what="the last trade",
    )
    books = [one for one in heard if one["topic"].startswith("orderbook")]
    assert books[0]["type"] == "snapshot"
    first = books[1]["data"]["u"]
    recorded = [one for one in frames if one["topic"].startswith("orderbook")]
    assert books[1:] == [one for one in recorded if one["data"]["u"] >= first]
    rows = [row for one in heard if one["topic"].startswith("publicTrade") for row in one["data"]]
    known = [row for one in frames if one["topic"].startswith("publicTrade") for row in one["data"]]
    assert rows == known[-len(rows) :]
    assert len(rows) > 100
    closed = venue.get("/v5/market/kline?category=linear&symbol=XRPUSDT&interval=1")["result"]
    oldest = closed["list"][-1]
    inside = [row for row in known if row["T"] < START + 60_000]
    assert int(oldest[0]) == START
    assert float(oldest[5]) == sum(float(row["v"]) for row in inside)
    assert oldest[1:5] == [inside[0]["p"], "2.0001", "2.0000", inside[-1]["p"]]
    assert any(one["topic"].startswith("kline") and one["data"][0]["confirm"] for one in heard)


def test_orders_fill_against_the_recorded_book_level_by_level(fresh, tmp_path):
    place = write(tmp_path / "xrp.jsonl", story())
    venue = fresh("--market", "replay", "--frames", str(place))
    session = pybit.unified_trading.HTTP(api_key=KEYS[0]["key"], api_secret=KEYS[0]["secret"])
    session.endpoint = venue.rest
    order = {"category": "linear", "symbol": "XRPUSDT", "side": "Buy", "orderType": "Market"}
    session.place_order(**order, qty="100", orderLinkId="walk")
    fills = session.get_executions(category="linear", orderLinkId="walk")["result"]["list"]
    assert [(one["execPrice"], one["execQty"]) for one in reversed(fills)] == [
        ("2.0001", "30.0"),
        ("2.0002", "40.0"),
        ("2.0010", "30.0"),
    ]
    # What was taken stays away: no frame tells of these asks again.
    session.place_order(**order, qty="10", orderLinkId="again")
    fills = session.get_executions(category="linear", orderLinkId="again")["result"]["list"]
    assert [one["execPrice"] for one in fills] == ["2.0010"]
    public = venue.get("/v5/market/orderbook?category=linear&symbol=XRPUSDT")["result"]
    assert public["a"][0] == ["2.0001", "30.0"], "the public book is the recorded one"
    # A bid behind a hundred waits for the trades that eat what is ahead of it.
    limit = order | {"orderType": "Limit", "price": "2.0000"}
    session.place_order(**limit, qty="5", orderLinkId="queue")
    assert session.get_executions(category="linear", orderLinkId="queue")["result"]["list"] == []


@pytest.mark.process
def test_recordings_that_cannot_be_meant_are_refused_by_name(tmp_path):
    keys = str(write_keys(tmp_path))
    base = ("--keys", keys, "--market", "replay", "--frames")
    assert "nowhere" in refuse(*base, str(tmp_path / "nowhere"))
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"topic": "orderbook.50.XRPUSDT"\n')
    assert "line 1" in refuse(*base, str(broken))
    far = [*story()[:1], book(START + 90_000_000, "delta", [], [["2.0001", "1.0"]], 1_001)]
    assert "silent" in refuse(*base, str(write(tmp_path / "far.jsonl", far)))
    assert "--frames" in refuse(*base, str(broken), "--candles", str(tmp_path))


@pytest.mark.parametrize(
    ("name", "symbol", "depth"),
    [
        ("bybit_v5_capture_2026-08-09.jsonl.gz", "BTCUSDT", 200),
        ("XRPUSDT-ob500-2024-12-01.jsonl.gz", "XRPUSDT", 1_000),
    ],
)
def test_a_capture_of_the_real_exchange_leads_to_its_own_last_book(
    fresh, shared_data, name, symbol, depth
):
    capture = shared_data / "l2" / "bybit-v5" / name
    levels = {"b": {}, "a": {}}
    with gzip.open(capture, "rt") as file:
        for line in file:
            record = json.loads(line)
            if record.get("t", "recv") != "recv" or record.get("conn") == "BYBIT.ws.3":
                continue
            frame = json.loads(record["data"]) if "conn" in record else record
            if frame.get("topic", "").startswith("orderbook") and frame["data"]["s"] == symbol:
                for side, kept in levels.items():
                    if frame["type"] == "snapshot":
                        kept.clear()
                    for price, size in frame["data"][side]:
                        kept[price] = size
                        if size == "0":
                            del kept[price]
                update = frame["data"]["u"]
    venue = fresh("--market", "replay", "--frames", str(capture), "--speed", "60")
    until(lambda: venue.get("/admin/status")["ended"], seconds=30, what="the end")
    last = venue.get(f"/v5/market/orderbook?category=linear&symbol={symbol}&limit={depth}")
    last = last["result"]
    assert last["u"] == update
    for side, best in (("b", True), ("a", False)):
        expected = sorted(levels[side].items(), key=lambda one: float(one[0]), reverse=best)
        assert [tuple(level) for level in last[side]] == expected[:depth]
