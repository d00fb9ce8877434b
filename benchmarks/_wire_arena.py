"""From a closed candle to the order at the venue, through the real arena.

The arena runs in a process of its own (this module): the real engine, the real feature pipeline, and
genetic programs that change their mind at about every second close. The benchmark's process listens
on the venue's public and private streams: the arrival of a closed candle is when it left the venue,
the first arrival of the order is when it was there. Both are the kernel's stamps of a packet.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import os
import signal
import socket
import sqlite3
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

SYMBOLS = ("BTCUSDT", "ETHUSDT")
SPEED = 120
PING_S = 60.0
"""Between two pings: the venue closes a connection that has sent none for ten minutes."""
SO_TIMESTAMPNS = 35
"""Linux's number for stamps of arriving packets."""


class Observer:
    """Listens on the venue's streams and keeps what came, each frame with the kernel's time of its arrival.

    It decodes nothing before it is asked: its own computing must neither be counted nor take the
    processor from what is measured. Every symbol has a connection of its own, so that no two closed
    candles are read at once.
    """

    def __init__(self, ws: str, key: str, secret: str) -> None:
        self._candles: list[tuple[bytes, int]] = []
        self._orders: list[tuple[bytes, int]] = []
        for symbol in SYMBOLS:
            topic = {"op": "subscribe", "args": [f"kline.1.{symbol}"]}
            self._listen(ws + "/v5/public/linear", [topic], b'"confirm":true', self._candles)
        expires = str(int(time.time() * 1000) + 10_000)
        signed = hmac.new(secret.encode(), f"GET/realtime{expires}".encode(), hashlib.sha256)
        auth = {"op": "auth", "args": [key, expires, signed.hexdigest()]}
        subscribe = {"op": "subscribe", "args": ["order"]}
        self._listen(ws + "/v5/private", [auth, subscribe], b'"topic":"order"', self._orders)

    def _listen(
        self,
        url: str,
        greetings: list[dict[str, Any]],
        wanted: bytes,
        kept: list[tuple[bytes, int]],
    ) -> None:
        import websocket

        connection = websocket.create_connection(url, timeout=30)
        for greeting in greetings:
            connection.send(json.dumps(greeting))
        connection.sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        connection.sock.settimeout(None)

        def run() -> None:
            for frame, stamp in frames(connection.sock):
                if wanted in frame:
                    # Without a stamp the reader ends, and too few orders are seen for a percentile.
                    assert stamp is not None, "the kernel did not stamp a packet"
                    kept.append((frame, stamp))

        def keep() -> None:
            with suppress(OSError, websocket.WebSocketException):
                while True:
                    time.sleep(PING_S)
                    connection.send('{"op":"ping"}')

        for work in (run, keep):
            threading.Thread(target=work, daemon=True).start()

    def closed(self) -> dict[tuple[str, int], int]:
        """Nanoseconds since 1970 at which each candle left, by symbol and close time in market ms."""
        found: dict[tuple[str, int], int] = {}
        for frame, stamp in list(self._candles):
            message = json.loads(frame)
            for row in message["data"]:
                if row["confirm"]:
                    symbol = message["topic"].rsplit(".", 1)[1]
                    found.setdefault((symbol, int(row["end"]) + 1), stamp)
        return found

    def placed(self) -> dict[str, int]:
        """Nanoseconds since 1970 at which each order was first told of, by client order id."""
        found: dict[str, int] = {}
        for frame, stamp in list(self._orders):
            for row in json.loads(frame)["data"]:
                found.setdefault(row["orderLinkId"], stamp)
        return found


def frames(connection: socket.socket) -> Iterator[tuple[bytes, int | None]]:
    """Read a server's WebSocket frames, each with its arrival in nanoseconds since 1970.

    The stamp is that of the last packet read: that of the frame, or of a later one that lay behind it.
    Packets that came before stamps were asked for have none.
    """

    def read(count: int) -> tuple[bytes, int | None]:
        read, stamp = bytearray(), None
        while len(read) < count:
            part, notes, _, _ = connection.recvmsg(count - len(read), 64)
            if not part:
                raise EOFError
            read += part
            for level, kind, value in notes:
                if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
                    seconds, rest = struct.unpack("qq", value)
                    stamp = seconds * 1_000_000_000 + rest
        return bytes(read), stamp

    with suppress(OSError, EOFError):
        while True:
            (_, size), stamp = read(2)
            if size >= 126:
                (size,) = struct.unpack(
                    *((">H", read(2)[0]) if size == 126 else (">Q", read(8)[0]))
                )
            yield read(size)[0], stamp


def latencies_ms(
    observer: Observer, journal: Path, since: int, until: int | None = None
) -> list[float]:
    """Give the milliseconds from close to order of every intent of the arena that was placed.

    Only candles that closed from `since` to `until` (nanoseconds since 1970) count: until it is ready
    the arena is still catching up on history.
    """
    with sqlite3.connect(f"file:{journal}?mode=ro", uri=True) as database:
        rows = database.execute(
            "SELECT order_link_id, symbol, ts FROM intents WHERE origin = 'arena'"
        ).fetchall()
    closed, placed = observer.closed(), observer.placed()
    found = []
    for link, symbol, close_ts in rows:
        left, there = closed.get((symbol, close_ts)), placed.get(link)
        if left is not None and there is not None and since <= left <= (until or left):
            found.append((there - left) / 1e6)
    return found


def programs(schema_hash: str) -> list[Any]:
    """Give two agents a symbol whose programs buy and exit by what the last minutes did."""
    from crucible.arena.execution import Seat
    from crucible.arena.registry_watcher import Seated
    from crucible.strategies.contract import FORMAT
    from crucible.strategies.load import load_strategy

    seated = []
    for symbol in SYMBOLS:
        for number, (feature, lookback) in enumerate(
            (("return_1", 2), ("volume_z_60", 3)), start=1
        ):
            rises = ["gt", feature, ["lag", feature, lookback]]
            trade = ["trade", rises, ["not", rises]]
            strategy = load_strategy(
                {
                    "format": FORMAT, "kind": "gp", "slot": f"{symbol}-gp-{number}",
                    "symbol": symbol, "schema_hash": schema_hash, "features": [feature],
                    "exits": {"stop": 0.05, "target": 0.05, "timeout": 600}, "program": trade,
                }
            )  # fmt: skip
            seat = Seat(f"{symbol}-gp-{number}", "1", "production", proven=False, edge=None)
            seated.append(Seated(seat, strategy))
    return seated


class FixedRoster:
    """A roster that never changes."""

    refused: dict[str, str] = {}  # noqa: RUF012
    reachable = True

    def __init__(self, seats: list[Any]) -> None:
        self._seats: list[Any] | None = seats

    def quarantine(self, slot: str, version: str, reason: str) -> None:
        """End the benchmark: nothing in it may fail."""
        message = f"{slot} version {version} failed: {reason}"
        raise RuntimeError(message)

    def latest(self) -> list[Any] | None:
        """Give the seats once."""
        seats, self._seats = self._seats, None
        return seats


def main() -> None:
    """Run the arena until SIGTERM; prints one line when it trades."""
    from crucible.arena.engine import Arena
    from crucible.arena.status_file import ArenaFiles
    from crucible.execution.cerebellum_link import Addresses, CerebellumLink
    from crucible.features.pipeline import FeaturePipeline
    from crucible.market.exchange import Exchange
    from crucible.market.lake import Lake
    from crucible.operations.supervision.services import BEHIND
    from crucible.settings import FeatureSettings, Settings

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--addresses", required=True)
    parser.add_argument("--rest", required=True)
    parser.add_argument("--origin", type=int, required=True)
    given = parser.parse_args()
    os.nice(BEHIND)  # as everything behind the worker
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    pipeline = FeaturePipeline(SYMBOLS, FeatureSettings())
    exchange = Exchange(given.rest)
    lake = Lake(given.folder / "lake")
    files = ArenaFiles(
        given.folder / "ledger.sqlite",
        given.folder / "performance_log.jsonl",
        given.folder / "arena.json",
        given.folder / "lake",
    )
    topics = tuple(f"{symbol}.{kind}" for symbol in SYMBOLS for kind in ("candle", "book"))
    with CerebellumLink(Addresses(**json.loads(given.addresses)), topics) as link:
        arena = Arena(
            Settings(home=given.folder),
            link,
            pipeline,
            {symbol: exchange.instrument(symbol) for symbol in SYMBOLS},
            FixedRoster(programs(pipeline.schema.hash)),  # type: ignore[arg-type]
            files,
            seed=1,
        )
        for symbol in SYMBOLS:
            lake.refresh(exchange, symbol, given.origin, exchange.closed_until(symbol))
        arena.warm(
            lake.read_all(SYMBOLS),
            lambda symbol, start, end: list(exchange.pages(symbol, start, end)),
        )
        print(json.dumps({"event": "ready"}), flush=True)
        arena.run(stopped.is_set)
        arena.close()


if __name__ == "__main__":
    sys.exit(main())
