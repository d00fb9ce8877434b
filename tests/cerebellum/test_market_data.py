"""Market data of the arena: candles in order, books each second, equal to the reference."""

import gzip
import json
import math
import subprocess
import time
from decimal import Decimal
from heapq import nlargest, nsmallest
from pathlib import Path

import pytest

from crucible.testing.orderflow import Book, book_second
from tests.cerebellum.client import Cerebellum
from tests.support.processes import binary

RECORDED = "l2/bybit-v5/bybit_v5_capture_2026-08-09.jsonl.gz"
PLACES = {"BTCUSDT": (1, 3), "ETHUSDT": (2, 2), "SOLUSDT": (3, 1), "DOGEUSDT": (5, 0)}

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize("speed", [40])
def test_candles_come_closed_in_order_and_after_their_seconds(cerebellum: Cerebellum) -> None:
    candles: dict[str, list[dict]] = {}
    seconds: dict[str, int] = {}
    end = time.monotonic() + 60
    while time.monotonic() < end and min(map(len, candles.values()), default=0) < 3:
        if not cerebellum.client.market.poll(500):
            continue
        topic, body = cerebellum.client.market.recv_multipart()
        symbol, kind = topic.decode().split(".")
        message = json.loads(body)
        assert (message["symbol"], message["type"]) == (symbol, kind)
        if kind == "book":
            seconds[symbol] = message["second_ts"]
        if kind == "candle":
            assert (
                message["close_ts"] - message["open_ts"]
                == 60_000
                == message["ts"] - message["open_ts"]
            )
            if symbol in seconds:
                assert seconds[symbol] == message["close_ts"] - 1_000
            low, high = Decimal(message["low"]), Decimal(message["high"])
            assert low <= Decimal(message["open"]) <= high
            candles.setdefault(symbol, []).append(message)
    for rows in candles.values():
        starts = [row["open_ts"] for row in rows]
        assert starts == [starts[0] + 60_000 * at for at in range(len(starts))]


def frames(recorded: Path) -> list[str]:
    with gzip.open(recorded, "rt") as lines:
        rows = [json.loads(line) for line in lines]
    linear = [row for row in rows if row.get("conn") == "BYBIT.ws.2" and row["t"] != "send"]
    texts = [row.get("data") for row in linear]
    return [text for text in texts if isinstance(text, str) and '"orderbook.' in text]


def replayed(tmp_path: Path, texts: list[str]) -> list[dict]:
    path = tmp_path / "frames.jsonl"
    path.write_text("\n".join(texts))
    places = ",".join(f"{symbol}:{price}:{qty}" for symbol, (price, qty) in PLACES.items())
    done = subprocess.run(
        [binary("cerebellum"), "replay-frames", str(path), "--places", places, "--depth", "200"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.process
def test_recorded_frames_have_no_gap_and_the_features_equal_the_reference(
    tmp_path: Path, shared_data: Path
) -> None:
    texts = frames(shared_data / RECORDED)
    assert len(texts) > 1000
    out = replayed(tmp_path, texts)
    assert out[-1]["faults"] == 0, [row for row in out if "fault" in row][:3]
    books: dict[str, dict[str, dict[Decimal, Decimal]]] = {}
    history: dict[str, list[tuple[int, Book]]] = {}
    for text in texts:
        frame = json.loads(text)
        data = frame["data"]
        sides = books.setdefault(data["s"], {"b": {}, "a": {}})
        if frame["type"] == "snapshot":
            sides["b"].clear()
            sides["a"].clear()
        for side in "ba":
            for price, qty in data[side]:
                if Decimal(qty) == 0:
                    sides[side].pop(Decimal(price), None)
                else:
                    sides[side][Decimal(price)] = Decimal(qty)
        best = {
            "b": nlargest(10, sides["b"].items()),
            "a": nsmallest(10, sides["a"].items()),
        }
        book = Book(
            tuple((float(p), float(q)) for p, q in best["b"]),
            tuple((float(p), float(q)) for p, q in best["a"]),
        )
        history.setdefault(data["s"], []).append((frame["ts"], book))
    for symbol, sides in books.items():
        final = out[-1]["books"][symbol]
        for side, name in (("b", "bids"), ("a", "asks")):
            ours = [(Decimal(price), Decimal(qty)) for price, qty in final[name]]
            assert ours == sorted(sides[side].items(), reverse=side == "b")[:200]
    compared = 0
    for message in out:
        if message.get("type") != "book":
            continue
        start = message["second_ts"]
        events = history[message["symbol"]]
        earlier = [book for ts, book in events if ts < start]
        inside = [(ts, book) for ts, book in events if start <= ts < start + 1000]
        expected = book_second(start, earlier[-1] if earlier else None, inside)
        assert message["updates"] == expected.updates
        for name in ("skew", "ofi", "depth", "microprice_offset"):
            value = getattr(expected, name)
            assert math.isclose(message[name], value, rel_tol=1e-9, abs_tol=1e-9), (name, message)
        compared += 1
    assert compared > 100
