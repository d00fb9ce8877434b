"""What will happen: orders, faults and kills, a pure function of the seed and the count of orders.

Moments are counted in orders, not in seconds: an `Event` at 40 happens when the trader is about to
submit order 40. `write` spells a schedule so that the same seed gives the same bytes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Literal

from crucible.execution.cerebellum_link import new_intent_id
from tests.support.processes import DAY_MS, ORIGIN_MS

AGENTS = ("amber", "basil", "cedar", "dahlia", "elm")
SYMBOLS = ("BTCUSDT", "ETHUSDT")
# Smallest quantity times what an order may ask for.
STEPS = {"BTCUSDT": ("0.001", 20), "ETHUSDT": ("0.01", 40)}
PATIENT_TTL_MS = 3_600_000
# A quarter of an hour of market time before the venue settles funding.
START_MS = ORIGIN_MS + 3 * DAY_MS + (8 * 60 - 15) * 60_000

Style = Literal["market", "through", "near", "far", "exit", "hasty"]
"""How an order is meant.

``market`` fills, ``far`` (5 % away) rests, ``through`` (a limit beyond the best price) fills unless the
price ran away, ``near`` (at the best price) may do anything, ``exit`` is reduce-only and may be
refused, ``hasty`` has a time to live that the queue may outlast.
"""
# What must become of an order; the moment decides about the others.
PREDICTED = {"market": "filled", "far": "resting"}
STYLES: tuple[tuple[Style, int], ...] = (
    ("market", 34),
    ("through", 12),
    ("near", 16),
    ("far", 18),
    ("exit", 12),
    ("hasty", 8),
)
# Orders whose fate the order of arrival alone decides, on a market that stands still.
STILL_STYLES: tuple[tuple[Style, int], ...] = (
    ("market", 40),
    ("through", 20),
    ("far", 20),
    ("exit", 20),
)
# Where market time passes only between orders, an order that rests at the best price has one fate, too.
STEPPED_STYLES: tuple[tuple[Style, int], ...] = (
    ("market", 30),
    ("through", 15),
    ("near", 25),
    ("far", 15),
    ("exit", 15),
)
KILLS = ("cerebellum", "arena", "sockets")

# Every fault once, with ranges of its numbers: (name, body of POST /admin/fault, ranges).
FAULTS: tuple[tuple[str, dict[str, Any], dict[str, tuple[int, int]]], ...] = (
    ("drop_ack", {"kind": "drop_ack"}, {"count": (1, 4)}),
    ("delay_answer", {"kind": "delay", "before": False}, {"count": (1, 4), "ms": (50, 1500)}),
    ("delay_order", {"kind": "delay", "before": True}, {"count": (1, 4), "ms": (50, 1500)}),
    ("clock_offset", {"kind": "clock_offset"}, {"ms": (-20_000, 20_000)}),
    ("rate_limit", {"kind": "rate_limit"}, {"count": (2, 15)}),
    ("error_not_done", {"kind": "error", "status": 503, "commit": False}, {"count": (1, 4)}),
    ("error_but_done", {"kind": "error", "status": 502, "commit": True}, {"count": (1, 4)}),
    ("error_code_only", {"kind": "error", "status": 200, "commit": True}, {"count": (1, 3)}),
    ("error_on_question", {"kind": "error", "endpoint": "realtime"}, {"count": (1, 6)}),
    ("silent_public", {"kind": "silent", "path": "public"}, {}),
    ("silent_private", {"kind": "silent", "path": "private"}, {}),
    ("silent_trade", {"kind": "silent", "path": "trade"}, {}),
    ("close_public", {"kind": "close", "path": "public"}, {}),
    ("close_private", {"kind": "close", "path": "private"}, {}),
    ("close_trade", {"kind": "close", "path": "trade"}, {}),
    ("cut_public", {"kind": "cut", "path": "public"}, {}),
    ("cut_private", {"kind": "cut", "path": "private"}, {}),
    ("cut_trade", {"kind": "cut", "path": "trade"}, {}),
    ("book_gap", {"kind": "gap"}, {}),
    ("book_restart", {"kind": "restart"}, {}),
    ("duplicate_private", {"kind": "duplicate_private"}, {"count": (1, 25)}),
    ("reorder_private", {"kind": "reorder_private"}, {"count": (2, 25)}),
)
FAULT_NAMES = tuple(name for name, _, _ in FAULTS)


@dataclass(frozen=True, slots=True)
class Order:
    """One intent before it meets a market.

    Attributes
    ----------
    number : int
        Place in the schedule, from 1.
    offset_bps : int
        Where its limit lies, in hundredths of a percent from the best price at the moment.
    cancel_at : int or None
        When the trader takes it back, in orders.
    amend_at : int or None
        When the trader changes its quantity to `amend_qty`.
    deadline_ms, stop_bps : int or None
        Protection of the position it opens.
    predicted : str or None
        ``filled``, ``resting`` or ``cancelled`` where the moment cannot decide otherwise.
    """

    number: int
    intent_id: str
    agent: str
    symbol: str
    side: Literal["buy", "sell"]
    style: Style
    qty: str
    offset_bps: int
    ttl_ms: int
    cancel_at: int | None
    amend_at: int | None
    amend_qty: str | None
    deadline_ms: int | None
    stop_bps: int | None
    predicted: str | None


@dataclass(frozen=True, slots=True)
class Event:
    """A fault or a kill.

    Attributes
    ----------
    at : int
        Happens when this order is about to be submitted.
    what : str
        Name of the fault, or ``kill_cerebellum``, ``kill_arena``, ``kill_sockets``.
    body : dict
        What the venue's ``POST /admin/fault`` gets; empty for a kill of a process.
    after_ms : int
        Milliseconds after the moment, while orders go on.
    lasts_ms : int
        How long the process stays dead, or the clock stays off.
    """

    at: int
    what: str
    body: dict[str, Any]
    after_ms: int
    lasts_ms: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """Everything that will happen."""

    seed: int
    orders: tuple[Order, ...]
    events: tuple[Event, ...]


def make(seed: int, count: int, *, still: bool = False, stepped: bool = False) -> Schedule:
    """Draw a schedule; every fault and every kill is in it at least once.

    One for a market that stands still leaves out what a moment decides: protection, resting at the
    best price, times to live, and faults of the public streams (a stale book refuses entries). One for
    a market that is stepped from order to order leaves out the same but for resting at the best price.
    """
    random = Random(f"chaos {seed} {count} {'stepped' if stepped else still}")
    styles = STEPPED_STYLES if stepped else STILL_STYLES if still else STYLES
    orders = [_order(random, number, count, styles) for number in range(1, count + 1)]
    events = _events(random, count)
    if still or stepped:
        orders = [_stilled(order) for order in orders]
        events = [event for event in events if not _reaches_public(event)]
    return Schedule(seed, tuple(orders), tuple(events))


def _spell(units: int, places: int) -> str:
    return f"{units * 10**-places:.{places}f}"


def _stilled(order: Order) -> Order:
    if order.style == "through":
        order = replace(order, predicted="filled", cancel_at=None)
    return replace(order, deadline_ms=None, stop_bps=None, amend_at=None, amend_qty=None)


def _reaches_public(event: Event) -> bool:
    return event.body.get("path") in {"public", "all"} or event.body.get("kind") in {
        "gap",
        "restart",
    }


def _order(random: Random, number: int, count: int, styles: tuple[tuple[Style, int], ...]) -> Order:
    style = random.choices([name for name, _ in styles], [weight for _, weight in styles])[0]
    symbol = random.choice(SYMBOLS)
    step, most = STEPS[symbol]
    units = random.randint(5 if symbol == "BTCUSDT" else 1, most)
    places = len(step.split(".")[1])
    taken_back = style == "near" or (style == "far" and random.random() < 0.6)
    cancel_at = min(count + 1, number + random.randint(1, 25)) if taken_back else None
    if style == "through":
        cancel_at = count + 1
    amended = style in {"near", "far"} and random.random() < 0.5
    amend_at = min(count + 1, number + random.randint(1, 12)) if amended else None
    amend_units = random.randint(5 if symbol == "BTCUSDT" else 1, most)
    protected = style == "market" and random.random() < 0.15
    predicted = PREDICTED.get(style)
    return Order(
        number=number,
        intent_id=new_intent_id(ORIGIN_MS + number, random.getrandbits(74)),
        agent=random.choice(AGENTS),
        symbol=symbol,
        side=random.choice(("buy", "sell")),
        style=style,
        qty=_spell(units, places),
        offset_bps={"far": 500, "through": -20}.get(style, 0),
        ttl_ms=random.randint(1_000, 60_000) if style == "hasty" else PATIENT_TTL_MS,
        cancel_at=cancel_at,
        amend_at=amend_at,
        amend_qty=_spell(amend_units, places) if amended else None,
        deadline_ms=random.randint(30_000, 600_000) if protected else None,
        stop_bps=random.randint(5, 60) if protected else None,
        predicted="cancelled" if predicted == "resting" and cancel_at else predicted,
    )


def _events(random: Random, count: int) -> list[Event]:
    # A fault about every nine orders, a kill about every thirty, each kind before any comes again.
    faults = _deal(random, FAULT_NAMES, max(count // 9, len(FAULT_NAMES)))
    kills = _deal(random, KILLS, max(count // 30, len(KILLS)))
    events = [_fault(random, random.randint(2, count), name) for name in faults]
    events += [_kill(random, random.randint(2, count), name) for name in kills]
    return sorted(events, key=lambda event: (event.at, event.what, event.after_ms))


def _deal(random: Random, kinds: tuple[str, ...], count: int) -> list[str]:
    dealt: list[str] = []
    while len(dealt) < count:
        dealt += random.sample(kinds, len(kinds))
    return dealt[:count]


def _fault(random: Random, at: int, name: str) -> Event:
    _, body, ranges = next(fault for fault in FAULTS if fault[0] == name)
    body = body | {field: random.randint(*bounds) for field, bounds in ranges.items()}
    if body["kind"] in {"gap", "restart"}:
        body["symbol"] = random.choice(SYMBOLS)
    lasts = random.randint(300, 2_500) if name == "clock_offset" else 0
    return Event(at, name, body, 0, lasts)


def _kill(random: Random, at: int, victim: str) -> Event:
    after, lasts = random.randint(0, 250), random.randint(0, 800)
    if victim == "sockets":
        return Event(at, "kill_sockets", {"kind": "cut", "path": "all"}, after, 0)
    return Event(at, f"kill_{victim}", {}, after, lasts)


def write(schedule: Schedule, path: Path) -> None:
    """Spell a schedule, one row a line; the same schedule gives the same bytes."""
    rows: list[dict[str, Any]] = [{"seed": schedule.seed}]
    rows += [{"order": asdict(order)} for order in schedule.orders]
    rows += [{"event": asdict(event)} for event in schedule.events]
    path.write_text("".join(json.dumps(row, sort_keys=True) + "\n" for row in rows))


def read(path: Path) -> Schedule:
    """Read what `write` wrote."""
    seed, orders, events = 0, [], []
    for line in path.read_text().splitlines():
        row = json.loads(line)
        if "order" in row:
            orders.append(Order(**row["order"]))
        elif "event" in row:
            events.append(Event(**row["event"]))
        else:
            seed = row["seed"]
    return Schedule(seed, tuple(orders), tuple(events))
