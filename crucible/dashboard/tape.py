"""The market as Cerebellum publishes it: heard, never asked for, so that no order waits for a page.

A subscriber that is slow loses messages and slows nobody. Closed candles are always kept, a few hours of them; what an
order book says each second, its levels among it, is taken only while somebody looks at a market.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import Any

import zmq

from crucible.dashboard.depth import depth
from crucible.execution.cerebellum_link import Addresses, LinkError
from crucible.execution.messages import (
    BookMessage,
    CandleMessage,
    LevelsMessage,
    StaleMessage,
    TopMessage,
    WireError,
    decode_market,
)
from crucible.operations.workspace import Workspace

logger = logging.getLogger(__name__)

CANDLES = 1_500
WATCHED_S = 20.0
"""How long books are listened to after the last question."""
_SECONDS = 120
_LOOKED_AT = ("book", "top", "levels", "stale")
"""Kinds of messages of a symbol that are taken while somebody looks at it."""
_NAMED_S = 60.0
"""Between two lines of the log about messages that are refused."""

Row = tuple[int, float, float, float, float, float]


class MarketTape:
    """Newest candles, and the order books of the symbols that somebody looks at.

    Parameters
    ----------
    workspace : Workspace
        Whose Cerebellum is listened to, as soon as there is one.

    Attributes
    ----------
    symbols : frozenset of str
        Symbols whose candles are kept; whoever reads the run's facts sets them.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.symbols: frozenset[str] = frozenset()
        self._workspace = workspace
        self._candles: dict[str, deque[Row]] = {}
        self._books: dict[str, deque[dict[str, Any]]] = {}
        self._tops: dict[str, dict[str, Any]] = {}
        self._levels: dict[str, tuple[float, LevelsMessage]] = {}
        self._stale: dict[str, str] = {}
        self._watched: dict[str, float] = {}
        self._since: dict[str, float] = {}
        self._refused, self._named = 0, 0.0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    def start(self) -> None:
        """Listen from now on, in a thread of its own."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="market-tape", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Listen no more."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=2.0)

    def candles(self, symbol: str) -> list[Row]:
        """Give the closed minutes that were heard, oldest first: open time and the five figures."""
        with self._lock:
            return list(self._candles.get(symbol, ()))

    def book(self, symbol: str) -> dict[str, Any]:
        """Give the newest levels, best prices and book seconds that were heard of a symbol; listening begins with this."""
        with self._lock:
            now = time.monotonic()
            self._watched[symbol] = now
            received, levels = self._levels.get(symbol, (now, None))
            return {
                "top": self._tops.get(symbol),
                "seconds": list(self._books.get(symbol, ())),
                "levels": None if levels is None else depth(levels, now - received),
                "stale": self._stale.get(symbol),
                "listened_s": now - self._since.setdefault(symbol, now),
            }

    def take(self, frame: bytes) -> None:
        """Take one message of the market socket; what is none is left out, and named in the log."""
        try:
            message = decode_market(frame)
        except WireError as error:
            self._refuse(error)
            return
        with self._lock:
            if isinstance(message, CandleMessage):
                held = self._candles.setdefault(message.symbol, deque(maxlen=CANDLES))
                if not held or message.open_ts > held[-1][0]:
                    figures = message.open, message.high, message.low, message.close, message.volume
                    first, high, low, close, volume = map(float, figures)
                    held.append((message.open_ts, first, high, low, close, volume))
            elif isinstance(message, BookMessage):
                seconds = self._books.setdefault(message.symbol, deque(maxlen=_SECONDS))
                seconds.append(
                    {
                        "ts": message.second_ts,
                        "mid": message.mid,
                        "spread": message.spread,
                        "skew": message.skew,
                        "ofi": message.ofi,
                        "depth": message.depth,
                    }
                )
            elif isinstance(message, TopMessage):
                self._tops[message.symbol] = {
                    "ts": message.ts,
                    "bid": message.bid,
                    "bid_qty": message.bid_qty,
                    "ask": message.ask,
                    "ask_qty": message.ask_qty,
                }
            elif isinstance(message, LevelsMessage):
                self._levels[message.symbol] = time.monotonic(), message
                self._stale.pop(message.symbol, None)
            elif isinstance(message, StaleMessage):
                if message.stale:
                    # Nobody knows any more what lies in the book.
                    self._levels.pop(message.symbol, None)
                    self._stale[message.symbol] = message.reason
                else:
                    self._stale.pop(message.symbol, None)

    def _refuse(self, error: WireError) -> None:
        """Name a message that is none, and how many there were, once in a while."""
        self._refused += 1
        now = time.monotonic()
        if self._refused == 1 or now - self._named > _NAMED_S:
            self._named = now
            logger.warning(
                "a message of the market socket is left out (%d so far): %s; Cerebellum and Crucible must be of one version",
                self._refused,
                error,
            )

    def _run(self) -> None:
        context = zmq.Context()
        try:
            while not self._ended.is_set():
                try:
                    address = Addresses.read(self._workspace.services_file).market
                except LinkError:
                    self._ended.wait(2.0)
                    continue
                self._listen(context, address)
        finally:
            context.term()

    def _listen(self, context: zmq.Context[Any], address: str) -> None:
        """Listen at one address until another one is named."""
        socket = context.socket(zmq.SUB)
        try:
            socket.setsockopt(zmq.LINGER, 0)
            # Whoever publishes drops what this one cannot take in time.
            socket.setsockopt(zmq.RCVHWM, 2_000)
            socket.connect(address)
            topics: set[str] = set()
            checked = time.monotonic()
            while not self._ended.is_set():
                topics = self._subscribe(socket, topics)
                if socket.poll(500):
                    self.take(socket.recv_multipart()[-1])
                if time.monotonic() - checked > 5.0:
                    checked = time.monotonic()
                    if self._elsewhere(address):
                        return
        except zmq.ZMQError as error:
            logger.warning("the market cannot be listened to: %s", error)
            self._ended.wait(2.0)
        finally:
            socket.close(linger=0)

    def _elsewhere(self, address: str) -> bool:
        try:
            return Addresses.read(self._workspace.services_file).market != address
        except LinkError:
            return False

    def _subscribe(self, socket: zmq.Socket[bytes], topics: set[str]) -> set[str]:
        """Ask for candles of every symbol that is traded, and for the books that somebody looks at."""
        now = time.monotonic()
        with self._lock:
            watched = {name for name, at in self._watched.items() if now - at < WATCHED_S}
            # What is not listened to is not known: neither what lies in the book, nor whether it is stale.
            held: dict[str, Any]
            for held in (self._levels, self._stale, self._since):
                for name in held.keys() - watched:
                    del held[name]
        wanted = {f"{name}.{kind}" for name in watched for kind in _LOOKED_AT}
        wanted |= {f"{name}.candle" for name in self.symbols}
        for topic in wanted - topics:
            socket.setsockopt(zmq.SUBSCRIBE, topic.encode())
        for topic in topics - wanted:
            socket.setsockopt(zmq.UNSUBSCRIBE, topic.encode())
        return wanted
