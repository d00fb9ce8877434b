"""Every message of the wire between Arena and Cerebellum, as msgspec structs.

The wire is documented in ``docs/reference/wire.md``; the golden vectors in
``cerebellum_core/protocol/vectors`` hold one example of each message for both languages.
Every field is required; a field without a value is ``None`` on both sides.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from crucible.errors import CrucibleError
from crucible.execution.levels import Levels, check_levels

VERSION = 1
FRAME_LIMIT = 64 * 1024

Side: TypeAlias = Literal["buy", "sell"]
OrderKind: TypeAlias = Literal["market", "limit"]
State: TypeAlias = Literal["ACTIVE", "REDUCE_ONLY", "HALTED"]
OrderStatus: TypeAlias = Literal[
    "pending", "sent", "new", "partially_filled", "filled", "cancelled", "rejected", "unknown"
]
TERMINAL: frozenset[str] = frozenset({"filled", "cancelled", "rejected"})


class WireError(CrucibleError, ValueError):
    """A frame that is not a message of this wire."""


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Fields of every message: protocol version and time in milliseconds."""

    v: Literal[1] = 1
    ts: int


class Protect(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Exits that Cerebellum carries out by itself: prices as decimal strings, market time."""

    stop: str | None
    take_profit: str | None
    deadline_ts: int | None


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is known of one order."""

    intent_id: str
    order_link_id: str
    order_id: str | None
    agent: str
    version: str
    symbol: str
    side: Side
    kind: OrderKind
    qty: str
    limit_price: str | None
    reduce_only: bool
    status: OrderStatus
    filled_qty: str
    avg_price: str | None
    code: str | None
    text: str | None
    reason: str


class Command(Message, frozen=True, kw_only=True):
    """A message to Cerebellum; its reply repeats `request_id`."""

    request_id: str


class Submit(Command, frozen=True, kw_only=True, tag="submit"):
    """Ask for an order; `ttl_ms` is market time after `ts`."""

    intent_id: str
    agent: str
    version: str
    symbol: str
    side: Side
    kind: OrderKind
    qty: str
    limit_price: str | None
    reduce_only: bool
    ttl_ms: int
    protect: Protect | None
    reason: str


class Amend(Command, frozen=True, kw_only=True, tag="amend"):
    """Change a limit order; `qty` is the whole quantity after it, ``None`` leaves a term."""

    intent_id: str
    agent: str
    qty: str | None
    limit_price: str | None


class Cancel(Command, frozen=True, kw_only=True, tag="cancel"):
    """Cancel one order."""

    intent_id: str


class CancelAll(Command, frozen=True, kw_only=True, tag="cancel_all"):
    """Cancel every resting order of an agent, a symbol or all."""

    agent: str | None
    symbol: str | None


class Flatten(Command, frozen=True, kw_only=True, tag="flatten"):
    """Close every position of an agent, a symbol or all."""

    agent: str | None
    symbol: str | None
    reason: str


class SetState(Command, frozen=True, kw_only=True, tag="set_state"):
    """Move a state; only a named operator moves one up."""

    agent: str | None
    symbol: str | None
    state: State
    operator: str | None


class OrderLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Limits on one order; `max_notional` is a decimal string, ``None`` is no limit."""

    max_notional: str | None
    collar_bps: int
    per_second_per_agent: int


class PositionLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Limits on positions: of one agent in one symbol, and of all together."""

    max_notional: str | None
    max_total_notional: str | None


class DailyLossLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What may be lost in a market day, by one agent and by all."""

    agent: str | None
    total: str | None


class VenueLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the venue allows."""

    orders_per_second: int


class SetLimits(Command, frozen=True, kw_only=True, tag="set_limits"):
    """Put limits in force, section by section; ``None`` leaves a section as it is."""

    operator: str | None
    order: OrderLimits | None
    position: PositionLimits | None
    daily_loss: DailyLossLimits | None
    venue: VenueLimits | None


class Heartbeat(Command, frozen=True, kw_only=True, tag="heartbeat"):
    """Tell Cerebellum that the arena is alive."""


class Snapshot(Command, frozen=True, kw_only=True, tag="snapshot"):
    """Ask for positions, open orders, states and totals."""


class Replay(Command, frozen=True, kw_only=True, tag="replay"):
    """Ask for the events after a sequence number."""

    since_seq: int
    limit: int


class Event(Message, frozen=True, kw_only=True):
    """A row of Cerebellum's journal; `seq` has no gaps."""

    seq: int


class OrderEvent(Event, frozen=True, kw_only=True, tag="order"):
    """An order changed."""

    order: Order


class FillEvent(Event, frozen=True, kw_only=True, tag="fill"):
    """An execution at the venue."""

    exec_id: str
    intent_id: str
    order_link_id: str
    order_id: str
    agent: str
    version: str
    symbol: str
    side: Side
    qty: str
    price: str
    fee: str
    fee_currency: str
    is_maker: bool
    exec_ts: int
    reason: str


class FundingEvent(Event, frozen=True, kw_only=True, tag="funding"):
    """What an agent paid for holding a perpetual; negative when received."""

    exec_id: str
    agent: str
    symbol: str
    amount: str
    exec_ts: int


class PositionEvent(Event, frozen=True, kw_only=True, tag="position"):
    """An agent's position: signed size and signed cost."""

    agent: str
    symbol: str
    qty: str
    cost: str


class RiskEvent(Event, frozen=True, kw_only=True, tag="risk"):
    """A guard acted, or two books differ."""

    code: str
    text: str
    agent: str | None
    symbol: str | None


class StateEvent(Event, frozen=True, kw_only=True, tag="state"):
    """A trading state moved."""

    agent: str | None
    symbol: str | None
    state: State
    reason: str


JournalEvent: TypeAlias = (
    OrderEvent | FillEvent | FundingEvent | PositionEvent | RiskEvent | StateEvent
)


class Ack(Message, frozen=True, kw_only=True, tag="ack"):
    """The answer to a command."""

    request_id: str
    intent_id: str | None
    status: Literal["accepted", "duplicate", "rejected"]
    code: str | None
    text: str
    order: Order | None


class ErrorReply(Message, frozen=True, kw_only=True, tag="error"):
    """A frame that Cerebellum could not take as a command."""

    request_id: str | None
    code: str
    text: str


class ScopedState(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A state below the global one."""

    agent: str | None
    symbol: str | None
    state: State


class Position(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An agent's position with its protection."""

    agent: str
    symbol: str
    qty: str
    cost: str
    stop: str | None
    take_profit: str | None
    deadline_ts: int | None


class Totals(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Sums over the whole journal."""

    fills: int
    fees: str
    cash: str


class VenueState(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What Cerebellum knows of the venue."""

    connected: bool
    wallet: str | None


class SnapshotReply(Message, frozen=True, kw_only=True, tag="snapshot"):
    """Everything open, and sums."""

    request_id: str
    seq: int
    state: State
    states: list[ScopedState]
    positions: list[Position]
    orders: list[Order]
    totals: Totals
    venue: VenueState


class ReplayReply(Message, frozen=True, kw_only=True, tag="replay"):
    """Events after the asked sequence number."""

    request_id: str
    events: list[JournalEvent]
    last_seq: int
    more: bool


class CandleMessage(Message, frozen=True, kw_only=True, tag="candle"):
    """A closed candle; `ts` is its exclusive close time."""

    symbol: str
    open_ts: int
    close_ts: int
    open: str
    high: str
    low: str
    close: str
    volume: str
    turnover: str


class TopMessage(Message, frozen=True, kw_only=True, tag="top"):
    """Best bid and ask."""

    symbol: str
    bid: str
    bid_qty: str
    ask: str
    ask_qty: str


class BookMessage(Message, frozen=True, kw_only=True, tag="book"):
    """Ten-level book features of one market second."""

    symbol: str
    second_ts: int
    mid: str
    spread: str
    skew: float | None
    ofi: float | None
    depth: float | None
    microprice_offset: float | None
    updates: int


class LevelsMessage(Message, frozen=True, kw_only=True, tag="levels"):
    """The best levels of a book at one market time: price and size, the best of each side first."""

    symbol: str
    bids: Levels
    asks: Levels

    def __post_init__(self) -> None:
        """Refuse what no order book can hold; the error says what and where."""
        check_levels(self.ts, self.bids, self.asks)


class TradeMessage(Message, frozen=True, kw_only=True, tag="trade"):
    """A trade at the venue; `side` is the taker's."""

    symbol: str
    side: Side
    price: str
    qty: str
    trade_id: str


class StaleMessage(Message, frozen=True, kw_only=True, tag="stale"):
    """The book of a symbol can, or can again, be trusted."""

    symbol: str
    stale: bool
    reason: str


CommandMessage: TypeAlias = (
    Submit
    | Amend
    | Cancel
    | CancelAll
    | Flatten
    | SetState
    | SetLimits
    | Heartbeat
    | Snapshot
    | Replay
)
ReplyMessage: TypeAlias = Ack | ErrorReply | SnapshotReply | ReplayReply
MarketMessage: TypeAlias = (
    CandleMessage | TopMessage | BookMessage | LevelsMessage | TradeMessage | StaleMessage
)

_encoder = msgspec.json.Encoder()
_commands: msgspec.json.Decoder[CommandMessage] = msgspec.json.Decoder(CommandMessage)
_replies: msgspec.json.Decoder[ReplyMessage] = msgspec.json.Decoder(ReplyMessage)
_events: msgspec.json.Decoder[JournalEvent] = msgspec.json.Decoder(JournalEvent)
_market: msgspec.json.Decoder[MarketMessage] = msgspec.json.Decoder(MarketMessage)


def encode(message: Message) -> bytes:
    """Write one message as a JSON frame.

    Raises
    ------
    WireError
        If the frame is over 64 KiB.
    """
    frame = _encoder.encode(message)
    if len(frame) > FRAME_LIMIT:
        message_text = f"{type(message).__name__} of {len(frame)} bytes is over {FRAME_LIMIT}"
        raise WireError(message_text)
    return frame


def decode_command(frame: bytes) -> CommandMessage:
    """Read a frame sent to Cerebellum; `WireError` says what is wrong with it."""
    try:
        return _commands.decode(frame)
    except msgspec.MsgspecError as error:
        raise WireError(str(error)) from error


def decode_reply(frame: bytes) -> ReplyMessage:
    """Read a frame that answers a command; `WireError` says what is wrong with it."""
    try:
        return _replies.decode(frame)
    except msgspec.MsgspecError as error:
        raise WireError(str(error)) from error


def decode_event(frame: bytes) -> JournalEvent:
    """Read a journal event; `WireError` says what is wrong with it."""
    try:
        return _events.decode(frame)
    except msgspec.MsgspecError as error:
        raise WireError(str(error)) from error


def decode_market(frame: bytes) -> MarketMessage:
    """Read a market message; `WireError` says what is wrong with it."""
    try:
        return _market.decode(frame)
    except msgspec.MsgspecError as error:
        raise WireError(str(error)) from error
