"""CerebellumLink: the arena's end of the wire.

One thread owns the link. `poll` returns whatever arrived; commands are sent without waiting, and
their replies come back through `poll` too, so a slow disk on the other side never stops the loop.
"""

from __future__ import annotations

import json
import math
import time
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import zmq

from crucible.errors import CrucibleError
from crucible.execution.messages import (
    Ack,
    CommandMessage,
    ErrorReply,
    JournalEvent,
    MarketMessage,
    OrderEvent,
    Replay,
    ReplayReply,
    ReplyMessage,
    SetState,
    Snapshot,
    SnapshotReply,
    WireError,
    decode_event,
    decode_market,
    decode_reply,
    encode,
)

ON_THE_WAY = frozenset({"pending", "sent"})
_READABLE = int(zmq.POLLIN)


class LinkError(CrucibleError, RuntimeError):
    """Cerebellum cannot be reached or refused a question."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where Cerebellum listens: its ready line, kept by whoever started it."""

    commands: str
    events: str
    market: str

    @classmethod
    def read(cls, services_file: Path) -> Addresses:
        """Read them from the stack's ``services.json``.

        Raises
        ------
        LinkError
            If the file is missing or names no running Cerebellum.
        """
        try:
            ready = json.loads(services_file.read_text())["services"]["cerebellum"]["ready"]
            return cls(ready["commands"], ready["events"], ready["market"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            message = f"{services_file}: no running cerebellum in it; start the stack: crucible up"
            raise LinkError(message) from error


def new_intent_id(market_ms: int, random_bits: int) -> str:
    """Make a UUIDv7 from market time and 74 given random bits, so that a seed repeats it.

    Examples
    --------
    >>> new_intent_id(1_700_000_000_000, 5)
    '018bcfe5-6800-7000-8000-000000000005'
    """
    value = (market_ms & ((1 << 48) - 1)) << 80
    value |= 0x7 << 76
    value |= ((random_bits >> 62) & 0xFFF) << 64
    value |= 0b10 << 62
    value |= random_bits & ((1 << 62) - 1)
    return str(uuid.UUID(int=value))


class CerebellumLink:
    """Sockets to one Cerebellum.

    Parameters
    ----------
    addresses : Addresses
    topics : sequence of str
        Market topics to subscribe to, for example ``BTCUSDT.candle``.
    """

    def __init__(self, addresses: Addresses, topics: tuple[str, ...] = ()) -> None:
        self._context = zmq.Context()
        self._commands = self._socket(zmq.DEALER, addresses.commands)
        self._events = self._socket(zmq.SUB, addresses.events)
        self._events.setsockopt(zmq.SUBSCRIBE, b"event")
        self._market = self._socket(zmq.SUB, addresses.market)
        for topic in topics:
            self._market.setsockopt(zmq.SUBSCRIBE, topic.encode())
        self._poller = zmq.Poller()
        for socket in (self._commands, self._events, self._market):
            self._poller.register(socket, zmq.POLLIN)
        self._backlog: list[MarketMessage | JournalEvent | ReplyMessage] = []
        self._requests = 0
        self.bad_frames = 0

    def _socket(self, kind: int, address: str) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVHWM, 0)
        socket.setsockopt(zmq.SNDHWM, 10_000)
        socket.connect(address)
        return socket

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every socket; unsent commands are dropped."""
        for socket in (self._commands, self._events, self._market):
            socket.close(linger=0)
        self._context.term()

    def request_id(self) -> str:
        """Give a request id that this link has not used."""
        self._requests += 1
        return f"r{self._requests}"

    def send(self, command: CommandMessage) -> None:
        """Send a command without waiting for its reply.

        Raises
        ------
        LinkError
            If the outgoing queue is full: Cerebellum has not read for a long time.
        """
        try:
            self._commands.send(encode(command), flags=zmq.NOBLOCK)
        except zmq.Again as error:
            message = f"command {command.request_id} not sent: the queue to Cerebellum is full"
            raise LinkError(message) from error

    def poll(self, timeout_ms: int) -> list[MarketMessage | JournalEvent | ReplyMessage]:
        """Wait up to `timeout_ms` for something, and return everything that has arrived.

        A frame that is not a message of this wire is counted in `bad_frames` and left out.
        """
        if self._backlog:
            backlog, self._backlog = self._backlog, []
            return backlog + list(self._drain(0))
        return list(self._drain(timeout_ms))

    def let_through(self, intents: Collection[str], longest_s: float) -> None:
        """Do nothing until orders that were just sent have arrived; all that comes is kept for `poll`.

        Where cores are few, whoever goes on computing here keeps waiting those who carry the orders.
        An order has arrived when the venue or Cerebellum has said something of it; a venue that is far
        away takes longer than is worth waiting for.

        Parameters
        ----------
        intents : collection of str
            Their intent ids.
        longest_s : float
            Wall seconds after which it is over in any case.
        """
        waiting = set(intents)
        deadline = time.monotonic() + longest_s
        while waiting and (left := deadline - time.monotonic()) > 0:
            for message in self._drain(math.ceil(left * 1_000)):
                self._backlog.append(message)
                if isinstance(message, OrderEvent) and message.order.status not in ON_THE_WAY:
                    waiting.discard(message.order.intent_id)
                elif isinstance(message, Ack) and message.status == "rejected":
                    waiting.discard(message.intent_id or "")

    def _drain(self, timeout_ms: int) -> Iterator[MarketMessage | JournalEvent | ReplyMessage]:
        self._poller.poll(timeout_ms)
        # Events first: a fill must be known before the candle after it is decided upon.
        for socket, decode in (
            (self._events, decode_event),
            (self._commands, decode_reply),
            (self._market, decode_market),
        ):
            # Asking whether something is there costs less than the exception that nothing is.
            while int(socket.getsockopt(zmq.EVENTS)) & _READABLE:
                frames = socket.recv_multipart(flags=zmq.NOBLOCK)
                try:
                    yield decode(frames[-1])
                except WireError:
                    self.bad_frames += 1

    def ask(self, command: CommandMessage, timeout_s: float = 5.0) -> ReplyMessage:
        """Send a command and wait for its own reply; all else is kept for `poll`.

        Raises
        ------
        LinkError
            If no reply comes in time, or the reply is an error.
        """
        self.send(command)
        deadline = time.monotonic() + timeout_s
        reply: ReplyMessage | None = None
        while reply is None and (left := deadline - time.monotonic()) > 0:
            for message in self._drain(int(left * 1000)):
                if (
                    isinstance(message, Ack | ErrorReply | SnapshotReply | ReplayReply)
                    and message.request_id == command.request_id
                ):
                    reply = message
                else:
                    self._backlog.append(message)
        if isinstance(reply, ErrorReply):
            text = f"Cerebellum refused {type(command).__name__}: {reply.code}: {reply.text}"
            raise LinkError(text)
        if reply is not None:
            return reply
        text = f"no reply to {type(command).__name__} in {timeout_s:g} s; is Cerebellum running?"
        raise LinkError(text)

    def require(self, command: CommandMessage, timeout_s: float = 5.0) -> str:
        """Send a command that must be taken; give what Cerebellum says to it.

        Raises
        ------
        LinkError
            If no reply comes in time, or Cerebellum refuses the command; the message has its reason.
        """
        reply = self.ask(command, timeout_s)
        if not isinstance(reply, Ack):
            return ""
        if reply.status == "rejected":
            text = f"Cerebellum refused {type(command).__name__}: {reply.code}: {reply.text}"
            raise LinkError(text)
        return reply.text

    def snapshot(self, market_ms: int = 0) -> SnapshotReply:
        """Ask for everything open, and sums."""
        reply = self.ask(Snapshot(ts=market_ms, request_id=self.request_id()))
        if not isinstance(reply, SnapshotReply):
            message = f"asked for a snapshot, got {type(reply).__name__}"
            raise LinkError(message)
        return reply

    def set_active(
        self,
        operator: str,
        market_ms: int = 0,
        *,
        agent: str | None = None,
        symbol: str | None = None,
    ) -> None:
        """Move a state up in an operator's name: the global one, or that of an agent or symbol.

        Raises
        ------
        LinkError
            If Cerebellum does not answer or refuses.
        """
        self.require(
            SetState(
                ts=market_ms,
                request_id=self.request_id(),
                agent=agent,
                symbol=symbol,
                state="ACTIVE",
                operator=operator,
            )
        )

    def replay(self, since_seq: int, market_ms: int = 0) -> Iterator[JournalEvent]:
        """Ask for every event after `since_seq`, page by page."""
        while True:
            command = Replay(
                ts=market_ms, request_id=self.request_id(), since_seq=since_seq, limit=500
            )
            reply = self.ask(command)
            if not isinstance(reply, ReplayReply):
                message = f"asked for a replay, got {type(reply).__name__}"
                raise LinkError(message)
            yield from reply.events
            if not reply.more or not reply.events:
                return
            since_seq = reply.events[-1].seq
