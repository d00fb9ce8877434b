"""The process: ready line, settings, keys, two clocks, the same market twice."""

import json
import subprocess
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
import websocket

from tests.support.paper_venue import write_keys
from tests.support.polling import until
from tests.support.processes import binary

START = 1_704_067_200_000


def refuse(*flags) -> str:
    done = subprocess.run(
        [binary("paper_venue"), *flags], capture_output=True, text=True, timeout=10, check=False
    )
    assert done.returncode != 0
    assert done.stdout == ""
    line = done.stderr.strip()
    assert len(line.splitlines()) == 1 or "--help" in line
    return line


@pytest.mark.process
def test_bad_settings_end_with_one_clear_line(tmp_path):
    keys = str(write_keys(tmp_path))
    assert "--keys" in refuse()
    assert "loopback" in refuse("--keys", keys, "--rest", "0.0.0.0:0")
    assert "btc" in refuse("--keys", keys, "--symbols", "btc")
    assert "--speed 0" in refuse("--keys", keys, "--speed", "0")
    assert "--candles" in refuse("--keys", keys, "--market", "replay")
    assert "--step-ms 7" in refuse("--keys", keys, "--step-ms", "7")
    assert "nowhere" in refuse("--keys", keys, "--config", str(tmp_path / "nowhere.toml"))


@pytest.mark.process
def test_a_keys_file_that_others_can_read_is_refused_and_never_shown(tmp_path):
    line = refuse("--keys", str(write_keys(tmp_path, 0o644)))
    assert "chmod 600" in line
    path = tmp_path / "broken.json"
    path.write_text('[{"key": "k", "secret": 12345678, "usdt": "1"}]')
    path.chmod(0o600)
    assert "12345678" not in refuse("--keys", str(path))


def test_settings_come_from_a_file_and_a_flag_wins(fresh, tmp_path):
    config = tmp_path / "venue.toml"
    config.write_text(f'speed = 5.0\nsymbols = ["XRPUSDT"]\nstart = {START}\nhistory-days = 1\n')
    venue = fresh("--config", str(config), "--speed", "7")
    assert venue.ready["symbols"] == ["XRPUSDT"]
    assert venue.ready["market_ts"] >= START
    assert venue.get("/admin/status")["speed"] == 7


def test_market_time_is_its_own_and_server_time_is_the_walls(fresh):
    venue = fresh("--start", str(START), "--speed", "60", "--history-days", "1")
    wall = venue.get("/v5/market/time")["time"]
    assert abs(wall - time.time() * 1000) < 2_000
    first = venue.get("/admin/status")["market_ts"]
    time.sleep(1)
    passed = venue.get("/admin/status")["market_ts"] - first
    assert 50_000 < passed < 90_000


def test_without_a_start_at_speed_one_there_is_one_clock(fresh):
    venue = fresh("--history-days", "1")
    assert abs(venue.get("/admin/status")["market_ts"] - time.time() * 1000) < 2_000


def test_sigterm_ends_in_order_even_with_open_sockets(fresh):
    venue = fresh("--history-days", "1")
    socket = websocket.create_connection(venue.ws + "/v5/public/linear")
    socket.send(json.dumps({"op": "subscribe", "args": ["orderbook.50.BTCUSDT"]}))
    socket.recv()
    began = time.monotonic()
    assert venue.stop() == 0
    assert time.monotonic() - began < 5
    socket.close()


def test_a_venue_started_later_serves_the_same_history(fresh):
    flags = (
        "--origin",
        str(START),
        "--seed",
        "3",
        "--speed",
        "10000",
        "--step-ms",
        "10000",
        "--symbols",
        "BTCUSDT,ETHUSDT",
    )
    early = fresh("--start", str(START + 3_600_000), *flags)
    late = fresh("--start", str(START + 6 * 3_600_000), *flags)
    path = f"/v5/market/kline?category=linear&symbol=ETHUSDT&interval=1&start={START}&limit=200"
    # The two hundred minutes that are asked for have passed in the venue that began with them.
    passed = START + 200 * 60_000
    until(lambda: early.get("/admin/status")["market_ts"] > passed, "200 minutes", seconds=30)
    rows = early.get(path)["result"]["list"]
    assert rows == late.get(path)["result"]["list"]
    assert len(rows) == 200


def write_candles(folder, symbol, minutes):
    rows = {name: [] for name in ("ts", "open", "high", "low", "close", "volume")}
    price = 1000.0
    for minute in range(minutes):
        close = round(price + (minute * 7919 % 13 - 6) * 0.11, 2)
        rows["ts"].append(START + minute * 60_000)
        rows["open"].append(price)
        rows["close"].append(close)
        rows["high"].append(round(max(price, close) + 0.37, 2))
        rows["low"].append(round(min(price, close) - 0.21, 2))
        rows["volume"].append(round(3 + minute % 11 * 1.234567, 6))
        price = close
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(rows), folder / f"{symbol}-1m.parquet", compression="zstd")
    return list(zip(*rows.values(), strict=True))


def test_a_replay_streams_exactly_the_recorded_candles_and_then_stands_still(fresh, tmp_path):
    symbols = ("ETHUSDT", "NEWUSDT")
    source = {symbol: write_candles(tmp_path, symbol, 90) for symbol in symbols}
    venue = fresh(
        "--market",
        "replay",
        "--candles",
        str(tmp_path),
        "--start",
        str(START + 30 * 60_000),
        "--speed",
        "600",
    )
    socket = websocket.create_connection(venue.ws + "/v5/public/linear", timeout=10)
    socket.send(
        json.dumps({"op": "subscribe", "args": [f"kline.1.{symbol}" for symbol in symbols]})
    )
    closed: dict[str, list] = {symbol: [] for symbol in symbols}
    order = []
    while min(len(rows) for rows in closed.values()) < 55:
        message = json.loads(socket.recv())
        for row in message.get("data", []):
            symbol = message["topic"].split(".")[-1]
            order.append((row["confirm"], row["start"], symbol))
            if row["confirm"]:
                closed[symbol].append(
                    (
                        row["start"],
                        *(float(row[name]) for name in ("open", "high", "low", "close", "volume")),
                    )
                )
    for symbol in symbols:
        expected = [row for row in source[symbol] if row[0] >= closed[symbol][0][0]]
        assert closed[symbol] == expected[: len(closed[symbol])]
        answer = venue.get(
            f"/v5/market/kline?category=linear&symbol={symbol}&interval=1&limit=1000"
        )["result"]["list"]
        history = [(int(row[0]), *(float(value) for value in row[1:6])) for row in reversed(answer)]
        assert history[:60] == source[symbol][:60]
    confirmed = [index for index, (confirm, _, _) in enumerate(order) if confirm]
    pairs = list(zip(confirmed[::2], confirmed[1::2], strict=False))
    assert all(second == first + 1 for first, second in pairs), (
        "all symbols' candles leave together"
    )
    status = until(
        lambda: (reported := venue.get("/admin/status"))["ended"] and reported,
        "the end",
        seconds=10,
    )
    assert status["market_ts"] == START + 90 * 60_000
    assert "the recording is over" in venue.errors.read_text()
    socket.close()


@pytest.mark.process
def test_a_start_that_cannot_be_meant_ends_with_one_line_and_no_trace(tmp_path):
    keys = ("--keys", str(write_keys(tmp_path)))
    candles = tmp_path / "candles"
    write_candles(candles, "BTCUSD", 5)
    replay = (*keys, "--market", "replay", "--candles")
    assert "BTCUSD" in refuse(*replay, str(candles))
    broken = candles / "BTCUSDT-1m.parquet"
    broken.mkdir()
    assert "BTCUSDT-1m.parquet: is no file" in refuse(*replay, str(candles))
    assert "not a name" in refuse(*keys, "--allow-host", "a b")
    assert "--origin 0" in refuse(*keys, "--origin", "0", "--start", str(START))
    for place in ("--keys", "--config", "--frames", "--candles"):
        given = {"--keys": (), "--config": keys}
        flags = given.get(place, replay[:-1])
        assert str(broken / "x") in refuse(*flags, place, str(broken / "x"))


@pytest.mark.process
def test_bytes_that_are_no_candles_never_end_in_a_trace(tmp_path):
    write_candles(tmp_path / "candles", "BTCUSDT", 90)
    path = tmp_path / "candles" / "BTCUSDT-1m.parquet"
    sound, random = path.read_bytes(), np.random.default_rng(3)
    replay = ("--keys", str(write_keys(tmp_path)), "--market", "replay")
    for _ in range(40):
        hurt = bytearray(sound)
        for at in random.integers(0, len(hurt), 4):
            hurt[at] = random.integers(0, 256)
        path.write_bytes(hurt)
        # A start beyond the end is refused, too, so every run ends.
        flags = (*replay, "--candles", str(path.parent), "--start", str(START + 86_400_000))
        done = subprocess.run(
            [binary("paper_venue"), *flags], capture_output=True, text=True, timeout=10, check=False
        )
        assert done.returncode == 2, done.stderr
        assert "panicked" not in done.stderr
        assert done.stderr.splitlines()[-1].startswith("paper_venue: ")


@pytest.mark.process
def test_a_log_that_cannot_be_written_ends_nothing(tmp_path):
    flags = [binary("paper_venue"), "--keys", write_keys(tmp_path), "--history-days", "1"]
    with open("/dev/full", "w") as full:  # noqa: PTH123
        process = subprocess.Popen(flags, stdout=subprocess.PIPE, stderr=full, text=True)
        rest = json.loads(process.stdout.readline())["rest"]
        assert requests.get(rest + "/v5/market/time", timeout=5).json()["retCode"] == 0
        assert requests.post(rest + "/admin/fault", json={"kind": "clear"}, timeout=5).ok
        process.terminate()
        assert process.wait(timeout=5) == 0
