"""From a closed candle to the order at the venue, through the real arena.

The arena runs in a process of its own (this module): the real engine, the real feature pipeline, and
genetic programs that change their mind at about every second close. The benchmark's process listens
on the venue's public and private streams: the first sight of a closed candle is when it left the
venue, the first sight of the order is when it was there. Both pass the same socket layer.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import os
import signal
import sqlite3
import sys
import threading
import time
from pathlib import Path
from typing import Any

SYMBOLS = ("BTCUSDT", "ETHUSDT")
SPEED = 120


class Observer:
    """Listens on the venue's streams and notes when things are first seen.

    Attributes
    ----------
    closed : dict
        (symbol, close time in market ms) to seconds of a steady clock.
    placed : dict
        Client order id to (symbol, seconds).
    """

    def __init__(self, ws: str, key: str, secret: str) -> None:
        self.closed: dict[tuple[str, int], float] = {}
        self.placed: dict[str, tuple[str, float]] = {}
        topics = [f"kline.1.{symbol}" for symbol in SYMBOLS]
        expires = str(int(time.time() * 1000) + 10_000)
        signed = hmac.new(secret.encode(), f"GET/realtime{expires}".encode(), hashlib.sha256)
        auth = {"op": "auth", "args": [key, expires, signed.hexdigest()]}
        self._listen(ws + "/v5/public/linear", [{"op": "subscribe", "args": topics}], self._public)
        subscribe = {"op": "subscribe", "args": ["order"]}
        self._listen(ws + "/v5/private", [auth, subscribe], self._private)

    def _listen(self, url: str, greetings: list[dict[str, Any]], take: Any) -> None:
        import websocket

        socket = websocket.create_connection(url, timeout=30)
        for greeting in greetings:
            socket.send(json.dumps(greeting))

        def run() -> None:
            while True:
                try:
                    text = socket.recv()
                except (OSError, websocket.WebSocketException):
                    return
                if not text:
                    return
                take(text, time.perf_counter())

        threading.Thread(target=run, daemon=True).start()

    def _public(self, text: str, now: float) -> None:
        if '"confirm":true' in text:
            message = json.loads(text)
            for row in message["data"]:
                if row["confirm"]:
                    symbol = message["topic"].rsplit(".", 1)[1]
                    self.closed.setdefault((symbol, int(row["end"]) + 1), now)

    def _private(self, text: str, now: float) -> None:
        message = json.loads(text)
        if message.get("topic") == "order":
            for row in message["data"]:
                self.placed.setdefault(row["orderLinkId"], (row["symbol"], now))


def latencies_ms(observer: Observer, journal: Path, since: float) -> list[float]:
    """Give the milliseconds from close to order of every intent of the arena that was placed.

    Candles that closed before `since` (seconds of the observer's clock) do not count: until it is
    ready the arena is still catching up on history.
    """
    with sqlite3.connect(f"file:{journal}?mode=ro", uri=True) as database:
        rows = database.execute(
            "SELECT order_link_id, symbol, ts FROM intents WHERE origin = 'arena'"
        ).fetchall()
    found = []
    for link, symbol, close_ts in rows:
        left = observer.closed.get((symbol, close_ts))
        placed = observer.placed.get(link)
        if left is not None and placed is not None and left >= since:
            found.append((placed[1] - left) * 1_000)
    return found


def programs(schema_hash: str) -> list[Any]:
    """Give two agents a symbol whose programs buy and exit by what the last minutes did."""
    from crucible.arena.agent import Seat
    from crucible.arena.roster import Seated
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

    def latest(self) -> list[Any] | None:
        """Give the seats once."""
        seats, self._seats = self._seats, None
        return seats


def main() -> None:
    """Run the arena until SIGTERM; prints one line when it trades."""
    from crucible.arena.engine import Arena
    from crucible.arena.publication import ArenaFiles
    from crucible.execution.cerebellum_link import Addresses, CerebellumLink
    from crucible.features.pipeline import FeaturePipeline
    from crucible.market.exchange import Exchange
    from crucible.market.lake import Lake
    from crucible.operations.services import BEHIND
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
