"""The arena's side of the chaos: several agents in a process of its own that may die at any moment.

Speaks to Cerebellum over the product's own link and books events into the product's own ledger. What
it means to submit is on disk before it is sent; a new process sends again, under the same ids, all of
which it does not know the fate. Tells its driver on stdout what it does and waits at each moment of
the schedule that has an event until the driver says on stdin that it may go on.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sqlite3
import sys
import time
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from pathlib import Path
from typing import Any

import msgspec
import requests

from crucible.execution.cerebellum_link import Addresses, CerebellumLink, LinkError
from crucible.execution.messages import (
    TERMINAL,
    Ack,
    Amend,
    Cancel,
    ErrorReply,
    FillEvent,
    FundingEvent,
    Heartbeat,
    OrderEvent,
    PositionEvent,
    Protect,
    Replay,
    ReplayReply,
    RiskEvent,
    StaleMessage,
    StateEvent,
    Submit,
    TopMessage,
)
from crucible.ledger.ledger import Ledger
from tests.chaos.schedule import START_MS, SYMBOLS, Order, read

TICKS = {"BTCUSDT": Decimal("0.1"), "ETHUSDT": Decimal("0.01")}
EVENTS = (OrderEvent, FillEvent, FundingEvent, PositionEvent, RiskEvent, StateEvent)
PATIENCE_S = 1.0
PULSE_S = 0.5
QUIET_S = 0.02

_TABLE = """
CREATE TABLE IF NOT EXISTS intents (
    number INTEGER PRIMARY KEY, intent_id TEXT NOT NULL UNIQUE, body BLOB NOT NULL,
    sent_at REAL NOT NULL, sends INTEGER NOT NULL DEFAULT 1, outcome TEXT
)
"""


class SteppedMarket:
    """The venue's time, which passes only when it is told to.

    Parameters
    ----------
    rest : str
    key : str
        Of the account whose fills are watched.
    stride_ms : int
        Market time that passes before each order but the first.
    """

    def __init__(self, rest: str, key: str, stride_ms: int) -> None:
        self.rest, self.key, self.stride_ms = rest, key, stride_ms
        self.ask_at = 0.0

    def is_quiet(self, place: int, fills: int) -> bool:
        """Let time pass up to an order's; say whether it has, and the fills it brought are booked.

        A trader that was killed finds the time that it left, and lets none pass twice.
        """
        now = time.monotonic()
        if now < self.ask_at:
            return False
        self.ask_at = now + QUIET_S
        account = requests.get(self.rest + "/admin/ledger", params={"key": self.key}, timeout=10)
        (own,) = account.json()["accounts"]
        if sum(1 for row in own["executions"] if row["execType"] != "Funding") != fills:
            return False
        status = requests.get(self.rest + "/admin/status", timeout=10).json()
        late = START_MS + place * self.stride_ms - status["market_ts"]
        if late > 0:
            requests.post(self.rest + "/admin/advance", json={"ms": late}, timeout=30)
            return False
        return True


class Trader:
    """Agents that submit one schedule.

    Parameters
    ----------
    folder : Path
        Holds the schedule and, from one life to the next, the ledger and the intents.
    addresses : Addresses
    window : int
        Most orders whose place at the venue is not known; 1 submits them one after the other, each
        when all before it have ended or rest and all that is to be withdrawn is gone.
    rest : str or None
        Where to ask for the best prices before each order, instead of hearing of them.
    market : SteppedMarket or None
        Whose time is to pass before each order.
    """

    def __init__(
        self,
        folder: Path,
        addresses: Addresses,
        window: int,
        rest: str | None = None,
        market: SteppedMarket | None = None,
    ) -> None:
        self.schedule = read(folder / "schedule.jsonl")
        self.window, self.rest, self.market = window, rest, market
        self.ledger = Ledger(folder / "ledger.sqlite")
        self.intents = sqlite3.connect(folder / "intents.sqlite", isolation_level=None)
        self.intents.execute("PRAGMA journal_mode = WAL")
        self.intents.execute("PRAGMA synchronous = NORMAL")
        self.intents.execute(_TABLE)
        topics = tuple(f"{symbol}.{kind}" for symbol in SYMBOLS for kind in ("top", "stale"))
        self.link = CerebellumLink(addresses, topics)
        self.held = {event.at for event in self.schedule.events}
        self.tops: dict[str, tuple[str, str]] = {}
        self.market_ms = 0
        self.next_pulse = 0.0
        self.bodies: dict[str, Submit] = {}
        self.outcome: dict[str, str | None] = {}
        self.asked_at: dict[str, float] = {}
        self.cancel_asked_at: dict[str, float] = {}
        self.amend_asked_at: dict[str, float] = {}
        self.amended: set[str] = set()
        for intent_id, body, outcome in self.intents.execute(
            "SELECT intent_id, body, outcome FROM intents ORDER BY number"
        ):
            self.bodies[intent_id] = msgspec.json.decode(body, type=Submit)
            self.outcome[intent_id] = outcome
            self.asked_at[intent_id] = 0.0
        rows = self.ledger._db.execute("SELECT intent_id, status FROM orders")
        self.status: dict[str, str] = {row[0]: row[1] for row in rows}
        self.place = len(self.bodies)
        self.held_told = 0
        self.stopped = False

    def run(self) -> None:
        """Go on until told to stop."""
        self.catch_up()
        publish(event="up", place=self.place, last_seq=self.ledger.last_seq())
        reported = False
        while not self.stopped:
            for message in self.link.poll(5):
                self.take(message)
            self.read_driver()
            now = time.monotonic()
            if now >= self.next_pulse:
                self.next_pulse = now + PULSE_S
                self.pulse()
            self.send_again(now)
            self.amend(now)
            self.take_back(now)
            while self.may_submit():
                self.submit(self.schedule.orders[self.place])
            if not reported and self.is_done():
                reported = True
                publish(event="done")
        self.catch_up()
        self.ledger.close()
        self.link.close()
        publish(event="stopped")

    # --- what arrives ------------------------------------------------------------------------------

    def take(self, message: Any) -> None:
        """Take one message of the link."""
        self.market_ms = max(self.market_ms, message.ts)
        if isinstance(message, EVENTS):
            if message.seq > self.ledger.last_seq() + 1:
                self.catch_up()
            self.book(message)
        elif isinstance(message, ReplayReply):
            for event in message.events:
                self.book(event)
        elif isinstance(message, TopMessage):
            self.tops[message.symbol] = (message.bid, message.ask)
        elif isinstance(message, StaleMessage) and message.stale:
            self.tops.pop(message.symbol, None)
        elif isinstance(message, Ack) and message.request_id.startswith("submit-"):
            self.answered(message)
        elif isinstance(message, Ack) and message.request_id.startswith("amend-"):
            # One that finds another amend under way, or nobody ready, is asked for again.
            if message.intent_id and message.code not in {"not_ready", "not_amendable"}:
                self.amended.add(message.intent_id)
        elif isinstance(message, ErrorReply):
            publish(event="error", code=message.code, text=message.text, request=message.request_id)

    def answered(self, ack: Ack) -> None:
        """Take the answer to a submit; `not_ready` decides nothing."""
        if ack.intent_id is None or self.outcome.get(ack.intent_id) is not None:
            return
        if ack.code == "not_ready":
            self.asked_at[ack.intent_id] = time.monotonic() - PATIENCE_S * 0.8
            return
        outcome = ack.status if ack.code is None else f"{ack.status}:{ack.code}"
        self.outcome[ack.intent_id] = outcome
        self.intents.execute(
            "UPDATE intents SET outcome = ? WHERE intent_id = ?", (outcome, ack.intent_id)
        )

    def book(self, event: Any) -> None:
        """Book an event of the journal into the ledger; one seen before changes nothing."""
        is_new = event.seq > self.ledger.last_seq()
        self.ledger.book_event(event)
        if is_new and isinstance(event, OrderEvent):
            self.status[event.order.intent_id] = event.order.status

    def catch_up(self) -> None:
        """Fetch every event that was missed; wait while Cerebellum is away, unless told to stop."""
        while True:
            try:
                for event in self.link.replay(self.ledger.last_seq()):
                    self.book(event)
            except LinkError:
                if not self.stopped:
                    continue
            return

    def read_driver(self) -> None:
        """Read what the driver says: the next held order may go."""
        while line := read_line():
            self.held.discard(json.loads(line)["go"])

    # --- what leaves -------------------------------------------------------------------------------

    def may_submit(self) -> bool:
        """Whether the next order may leave now."""
        if self.place >= len(self.schedule.orders):
            return False
        if self.market_ms == 0 or (len(self.tops) < len(SYMBOLS) and self.rest is None):
            return False
        if self.window == 1 and any(self.is_due_back(order) for order in self.schedule.orders):
            return False
        order = self.schedule.orders[self.place]
        if sum(1 for intent_id in self.bodies if self.is_on_its_way(intent_id)) >= self.window:
            return False
        if self.market is not None and not self.market.is_quiet(self.place, self.fills_booked()):
            return False
        if order.number in self.held:
            if self.held_told != order.number:
                self.held_told = order.number
                publish(event="reached", number=order.number)
            return False
        return True

    def fills_booked(self) -> int:
        """Count the fills that Cerebellum told of."""
        (count,) = self.ledger._db.execute("SELECT count(*) FROM fills").fetchone()
        return int(count)

    def is_on_its_way(self, intent_id: str) -> bool:
        """Whether an intent has neither an end nor a place at the venue."""
        outcome = self.outcome[intent_id]
        if outcome is None:
            return True
        if outcome.startswith("rejected"):
            return False
        status = self.status.get(intent_id)
        if self.window == 1 and self.bodies[intent_id].kind == "market":
            return status not in TERMINAL
        return status in {None, "pending", "sent", "unknown"}

    def submit(self, order: Order) -> None:
        """Write an intent down, then send it."""
        command = self.command(order)
        now = time.time()
        self.intents.execute(
            "INSERT INTO intents (number, intent_id, body, sent_at) VALUES (?, ?, ?, ?)",
            (order.number, order.intent_id, msgspec.json.encode(command), now),
        )
        self.place += 1
        self.bodies[order.intent_id] = command
        self.outcome[order.intent_id] = None
        self.asked_at[order.intent_id] = time.monotonic()
        self.send(command)
        publish(event="sent", number=order.number, at=now)

    def command(self, order: Order) -> Submit:
        """Spell an order against the book of the moment."""
        bid, ask = self.tops[order.symbol] if self.rest is None else self.ask_top(order.symbol)
        tick = TICKS[order.symbol]
        best = Decimal(bid if (order.side == "buy") != (order.style == "through") else ask)
        sign = -1 if order.side == "buy" else 1
        limit = best * (1 + sign * Decimal(order.offset_bps) / 10_000)
        rounding = ROUND_FLOOR if order.side == "buy" else ROUND_CEILING
        limit = (limit / tick).to_integral_value(rounding) * tick
        protect = None
        if order.deadline_ms is not None and order.stop_bps is not None:
            stop = best * (1 + sign * Decimal(order.stop_bps) / 10_000)
            stop = (stop / tick).to_integral_value(rounding) * tick
            deadline = self.market_ms + order.deadline_ms
            protect = Protect(stop=format(stop, "f"), take_profit=None, deadline_ts=deadline)
        is_limit = order.style in {"through", "near", "far"}
        return Submit(
            ts=self.market_ms,
            request_id=f"submit-{order.number}",
            intent_id=order.intent_id,
            agent=order.agent,
            version=f"{order.agent}@1",
            symbol=order.symbol,
            side=order.side,
            kind="limit" if is_limit else "market",
            qty=order.qty,
            limit_price=format(limit, "f") if is_limit else None,
            reduce_only=order.style == "exit",
            ttl_ms=order.ttl_ms,
            protect=protect,
            reason=order.style,
        )

    def ask_top(self, symbol: str) -> tuple[str, str]:
        """Ask the venue for its best prices."""
        query = {"category": "linear", "symbol": symbol, "limit": "1"}
        answer = requests.get(f"{self.rest}/v5/market/orderbook", params=query, timeout=10)
        book = answer.json()["result"]
        return book["b"][0][0], book["a"][0][0]

    def send_again(self, now: float) -> None:
        """Send what nobody has answered once more, unchanged."""
        for intent_id, outcome in self.outcome.items():
            if outcome is None and now - self.asked_at[intent_id] >= PATIENCE_S:
                self.asked_at[intent_id] = now
                self.intents.execute(
                    "UPDATE intents SET sends = sends + 1 WHERE intent_id = ?", (intent_id,)
                )
                self.send(self.bodies[intent_id])

    def amend(self, now: float) -> None:
        """Change what the schedule changes, until Cerebellum has taken it or the order has ended."""
        for order in self.schedule.orders[: self.place]:
            due = order.amend_at is not None and order.amend_at <= self.place
            if not due or order.intent_id in self.amended or not self.is_open(order.intent_id):
                continue
            if now - self.amend_asked_at.get(order.intent_id, 0.0) >= PATIENCE_S:
                self.amend_asked_at[order.intent_id] = now
                self.send(
                    Amend(
                        ts=self.market_ms,
                        request_id=f"amend-{order.number}-{self.link.request_id()}",
                        intent_id=order.intent_id,
                        agent=order.agent,
                        qty=order.amend_qty,
                        limit_price=None,
                    )
                )

    def take_back(self, now: float) -> None:
        """Cancel what the schedule withdraws, until it has ended."""
        for order in self.schedule.orders[: self.place]:
            if not self.is_due_back(order):
                continue
            if now - self.cancel_asked_at.get(order.intent_id, 0.0) >= PATIENCE_S:
                self.cancel_asked_at[order.intent_id] = now
                request_id = self.link.request_id()
                self.send(
                    Cancel(ts=self.market_ms, request_id=request_id, intent_id=order.intent_id)
                )

    def is_due_back(self, order: Order) -> bool:
        """Whether an order is open that the schedule has withdrawn by now."""
        if order.cancel_at is None or order.number > self.place:
            return False
        is_over = self.place >= len(self.schedule.orders)
        return (is_over or order.cancel_at <= self.place) and self.is_open(order.intent_id)

    def is_open(self, intent_id: str) -> bool:
        """Whether an accepted order has not ended."""
        outcome = self.outcome[intent_id]
        taken = outcome is not None and not outcome.startswith("rejected")
        return taken and self.status.get(intent_id) not in TERMINAL

    def is_done(self) -> bool:
        """Whether every order has an end or rests as it should."""
        if self.place < len(self.schedule.orders):
            return False
        for order in self.schedule.orders:
            if self.outcome[order.intent_id] is None:
                return False
            rests = order.style == "far" and order.cancel_at is None
            at_rest = rests and self.status.get(order.intent_id) in {"new", "partially_filled"}
            if self.is_open(order.intent_id) and not at_rest:
                return False
        return True

    def pulse(self) -> None:
        """Say that this side lives, and ask for events that were published while nobody listened.

        A killed Cerebellum takes events with it that are in its journal and were not carried to anybody
        yet; where market time stands still, no later event shows the gap.
        """
        self.send(Heartbeat(ts=self.market_ms, request_id=self.link.request_id()))
        since_seq = self.ledger.last_seq()
        request_id = self.link.request_id()
        self.send(Replay(ts=self.market_ms, request_id=request_id, since_seq=since_seq, limit=500))

    def send(self, command: Any) -> None:
        """Send a command; one that finds a full queue is sent again later."""
        try:
            self.link.send(command)
        except LinkError as error:
            publish(event="full", text=str(error))


_driver = bytearray()


def read_line() -> str | None:
    """Take a whole line of stdin if one is there; never wait."""
    try:
        piece = os.read(0, 65_536)
        if not piece:
            raise SystemExit(0)
        _driver.extend(piece)
    except BlockingIOError:
        pass
    head, newline, rest = bytes(_driver).partition(b"\n")
    if not newline:
        return None
    _driver[:] = rest
    return head.decode()


def publish(**fields: Any) -> None:
    """Tell the driver something, one JSON line."""
    os.write(1, (json.dumps(fields) + "\n").encode())


def main() -> None:
    """Run one life of the trader."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--addresses", required=True)
    parser.add_argument("--window", type=int, required=True)
    parser.add_argument("--rest")
    parser.add_argument("--key")
    parser.add_argument("--stride-ms", type=int, default=0)
    arguments = parser.parse_args()
    os.set_blocking(0, False)
    addresses = Addresses(**json.loads(arguments.addresses))
    market = None
    if arguments.stride_ms:
        market = SteppedMarket(arguments.rest, arguments.key, arguments.stride_ms)
    trader = Trader(arguments.folder, addresses, arguments.window, arguments.rest, market)

    def stop(*_: object) -> None:
        trader.stopped = True

    signal.signal(signal.SIGTERM, stop)
    trader.run()


if __name__ == "__main__":
    sys.exit(main())
