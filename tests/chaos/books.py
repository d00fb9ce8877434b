"""What each side wrote down, and whether the three agree to the last unit.

Three records, each read from its own source: the venue's ledger (`GET /admin/ledger`), Cerebellum's
journal (its SQLite file) and the arena's ledger and intents (theirs). `faults` is pure: three records
in, sentences out, none when nothing was lost and nothing doubled.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

from tests.chaos.schedule import Order

EXACT = Context(prec=60)
ZERO = Decimal(0)
ENDED = {"filled", "cancelled", "rejected"}
RESTING = {"new", "partially_filled"}
# The venue's words for what the wire calls otherwise.
VENUE_STATUS = {
    "New": "new",
    "PartiallyFilled": "partially_filled",
    "Filled": "filled",
    "Cancelled": "cancelled",
    "PartiallyFilledCanceled": "cancelled",
    "Rejected": "rejected",
}
# Alarms that say by themselves that something was lost, doubled or impossible.
GRAVE = {"foreign_execution", "impossible_transition", "reconcile_mismatch"}

# An amended order has terms of its own, all others those of their intent.
ORDERS = """
SELECT order_link_id, symbol, side, coalesce(qty, intent_qty) AS qty, intent_qty AS meant,
       coalesce(limit_price, intent_limit_price) AS limit_price, filled_qty, status, sends,
       code, origin, agent, order_id
FROM orders
"""


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution as any side has it."""

    link: str
    symbol: str
    side: str
    qty: Decimal
    price: Decimal
    fee: Decimal


@dataclass(frozen=True, slots=True)
class Placed:
    """One order as any side has it.

    `qty` and `price` (of limit orders) are the newest terms. The journal alone has `meant` (the
    quantity of the intent), `sends`, `code`, `origin`, `agent` and `arrived`: whether the venue ever gave
    the order a number.
    """

    symbol: str
    side: str
    qty: Decimal
    filled: Decimal
    status: str
    price: Decimal | None = None
    meant: Decimal | None = None
    sends: int = 0
    code: str | None = None
    origin: str = ""
    agent: str = ""
    arrived: bool = False


@dataclass(slots=True)
class Record:
    """One side's word.

    Attributes
    ----------
    orders : dict
        By client order id.
    fills : dict
        By execution id.
    positions : dict
        Signed net size per symbol, as the side itself states it; the arena's and the journal's are
        sums over agents.
    """

    orders: dict[str, Placed] = field(default_factory=dict)
    fills: dict[str, Fill] = field(default_factory=dict)
    funding: dict[str, Decimal] = field(default_factory=dict)
    agents: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    positions: dict[str, Decimal] = field(default_factory=dict)
    doubled: list[str] = field(default_factory=list)
    last_seq: int = 0
    alarms: list[tuple[str, str]] = field(default_factory=list)
    wallet: Decimal = ZERO
    deposit: Decimal = ZERO
    open_cost: Decimal = ZERO
    # The arena's alone: intent id to outcome of its submit.
    outcomes: dict[str, str | None] = field(default_factory=dict)

    def fees(self) -> Decimal:
        """Sum what trading cost."""
        return _sum(fill.fee for fill in self.fills.values())

    def cash(self) -> Decimal:
        """Sum what fills and funding moved."""
        total = ZERO
        for fill in self.fills.values():
            value = EXACT.multiply(_signed(fill), fill.price)
            total = EXACT.subtract(EXACT.subtract(total, value), fill.fee)
        return EXACT.subtract(total, _sum(self.funding.values()))


def _sum(values: Any) -> Decimal:
    total = ZERO
    for value in values:
        total = EXACT.add(total, value)
    return total


def _signed(fill: Fill) -> Decimal:
    return fill.qty if fill.side == "buy" else -fill.qty


def link_of(intent_id: str) -> str:
    """Client order id that belongs to an intent."""
    return "c-" + intent_id.replace("-", "")


def venue_record(account: dict[str, Any]) -> Record:
    """Read one account of ``GET /admin/ledger``."""
    record = Record(deposit=Decimal(account["deposit"]))
    for row in account["orders"]:
        link = row["orderLinkId"] or row["orderId"]
        if link in record.orders:
            record.doubled.append(f"the venue has two orders of {link}")
        record.orders[link] = Placed(
            symbol=row["symbol"],
            side=row["side"].lower(),
            qty=Decimal(row["qty"]),
            filled=Decimal(row["cumExecQty"]),
            status=VENUE_STATUS.get(row["orderStatus"], row["orderStatus"]),
            price=Decimal(row["price"]) if row["orderType"] == "Limit" else None,
        )
    for row in account["executions"]:
        if row["execId"] in record.fills or row["execId"] in record.funding:
            record.doubled.append(f"the venue has execution {row['execId']} twice")
        if row["execType"] == "Funding":
            record.funding[row["execId"]] = Decimal(row["execFee"])
        else:
            record.fills[row["execId"]] = Fill(
                link=row["orderLinkId"] or row["orderId"],
                symbol=row["symbol"],
                side=row["side"].lower(),
                qty=Decimal(row["execQty"]),
                price=Decimal(row["execPrice"]),
                fee=Decimal(row["execFee"]),
            )
    for row in account["positions"]:
        sign = -1 if row["side"] == "Sell" else 1
        if Decimal(row["size"]):
            record.positions[row["symbol"]] = sign * Decimal(row["size"])
            cost = sign * abs(Decimal(row["positionValue"]))
            record.open_cost = EXACT.add(record.open_cost, cost)
    coins = {coin["coin"]: coin for coin in account["wallet"]["coin"]}
    record.wallet = Decimal(coins["USDT"]["walletBalance"])
    return record


def journal_record(path: Path) -> Record:
    """Read Cerebellum's journal from its tables."""
    record = Record()
    with _reading(path) as database:
        for row in database.execute(ORDERS):
            record.orders[row["order_link_id"]] = Placed(
                symbol=row["symbol"],
                side=row["side"],
                qty=Decimal(row["qty"]),
                filled=Decimal(row["filled_qty"]),
                status=row["status"],
                price=None if row["limit_price"] is None else Decimal(row["limit_price"]),
                meant=Decimal(row["meant"]),
                sends=row["sends"],
                code=row["code"],
                origin=row["origin"],
                agent=row["agent"],
                arrived=row["order_id"] is not None,
            )
        agents: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
        rows = "SELECT fills.*, order_link_id FROM fills JOIN intents USING (intent_id)"
        for row in database.execute(rows):
            fill = _fill(row, row["order_link_id"])
            record.fills[row["exec_id"]] = fill
            agents[row["agent"], row["symbol"]] += _signed(fill)
        _take_funding(record, database)
        _take_agents(record, agents)
        for seq, kind, body in database.execute("SELECT seq, type, body FROM events ORDER BY seq"):
            if seq != record.last_seq + 1:
                record.doubled.append(f"events of the journal jump from {record.last_seq} to {seq}")
            record.last_seq = seq
            if kind == "risk":
                event = json.loads(body)
                record.alarms.append((event["code"], event["text"]))
    return record


def arena_record(folder: Path) -> Record:
    """Read the arena's ledger and what it knows of its intents."""
    record = Record()
    with _reading(folder / "ledger.sqlite") as database:
        for intent_id, body in database.execute("SELECT intent_id, body FROM orders"):
            order = json.loads(body)
            record.orders[link_of(intent_id)] = Placed(
                symbol=order["symbol"],
                side=order["side"],
                qty=Decimal(order["qty"]),
                filled=Decimal(order["filled_qty"]),
                status=order["status"],
                price=None if order["limit_price"] is None else Decimal(order["limit_price"]),
            )
        agents: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
        for row in database.execute("SELECT * FROM fills"):
            fill = _fill(row, link_of(row["intent_id"]))
            record.fills[row["exec_id"]] = fill
            agents[row["agent"], row["symbol"]] += _signed(fill)
        _take_funding(record, database)
        _take_agents(record, agents)
        seq = database.execute("SELECT value FROM meta WHERE key = 'last_seq'").fetchone()
        record.last_seq = int(seq[0]) if seq else 0
    with _reading(folder / "intents.sqlite") as database:
        record.outcomes = dict(
            database.execute("SELECT intent_id, outcome FROM intents").fetchall()
        )
    return record


def _reading(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    database.row_factory = sqlite3.Row
    return database


def _fill(row: sqlite3.Row, link: str) -> Fill:
    numbers = (Decimal(row[name]) for name in ("qty", "price", "fee"))
    return Fill(link, row["symbol"], row["side"], *numbers)


def _take_funding(record: Record, database: sqlite3.Connection) -> None:
    for row in database.execute("SELECT exec_id, amount FROM funding"):
        paid = record.funding.get(row["exec_id"], ZERO)
        record.funding[row["exec_id"]] = EXACT.add(paid, Decimal(row["amount"]))


def _take_agents(record: Record, agents: dict[tuple[str, str], Decimal]) -> None:
    record.agents = {holding: qty for holding, qty in agents.items() if qty}
    nets: defaultdict[str, Decimal] = defaultdict(Decimal)
    for (_, symbol), qty in agents.items():
        nets[symbol] += qty
    record.positions = {symbol: qty for symbol, qty in nets.items() if qty}


def faults(venue: Record, journal: Record, arena: Record, orders: tuple[Order, ...]) -> list[str]:
    """Say what was lost, doubled or is told differently; empty when nothing was."""
    return [
        *venue.doubled,
        *journal.doubled,
        *_intents(journal, arena, orders),
        *_orders(venue, journal, arena),
        *_fills(venue, journal, arena),
        *_sums(venue, journal, arena),
        *(f"alarm {code}: {text}" for code, text in _unhealed(journal.alarms)),
    ]


def _intents(journal: Record, arena: Record, orders: tuple[Order, ...]) -> list[str]:
    found = []
    for order in orders:
        link = link_of(order.intent_id)
        outcome = arena.outcomes.get(order.intent_id)
        kept = journal.orders.get(link)
        if outcome is None:
            found.append(f"order {order.number}: the arena does not know its fate")
        elif kept is None:
            found.append(f"order {order.number}: answered {outcome}, but the journal has no intent")
        elif outcome.startswith("rejected:") and kept.code != outcome.removeprefix("rejected:"):
            found.append(f"order {order.number}: answered {outcome}, the journal says {kept.code}")
        elif outcome.startswith("error"):
            found.append(f"order {order.number}: {outcome}")
        elif (kept.symbol, kept.side, kept.meant) != (order.symbol, order.side, Decimal(order.qty)):
            found.append(f"order {order.number}: the journal has {kept}, the schedule {order}")
    ours = {link_of(order.intent_id) for order in orders}
    strange = [link for link, kept in journal.orders.items() if kept.origin == "arena"]
    found += [f"the journal has {link}, which nobody meant" for link in set(strange) - ours]
    return found


def _orders(venue: Record, journal: Record, arena: Record) -> list[str]:
    found = [
        f"the venue has order {link} of no intent"
        for link in venue.orders
        if link not in journal.orders
    ]
    for link, kept in journal.orders.items():
        placed = venue.orders.get(link)
        if kept.status not in ENDED | RESTING:
            found.append(f"{link}: the journal left it {kept.status}")
        elif placed is None and (kept.status != "rejected" and not _never_left(kept)):
            found.append(f"{link}: the journal says {kept.status}, the venue has no such order")
        elif placed is not None:
            if (placed.status, placed.filled) != (kept.status, kept.filled):
                found.append(
                    f"{link}: {placed.status} {placed.filled} at the venue, "
                    f"{kept.status} {kept.filled} in the journal"
                )
            if _terms(placed) != _terms(kept):
                found.append(f"{link}: the venue has {placed}, the journal {kept}")
        reported = arena.orders.get(link)
        if reported is None or (reported.status, reported.filled, *_terms(reported)) != (
            kept.status,
            kept.filled,
            *_terms(kept),
        ):
            found.append(f"{link}: the arena has {reported}, the journal {kept}")
    return found


def _terms(placed: Placed) -> tuple[str, str, Decimal, Decimal | None]:
    return placed.symbol, placed.side, placed.qty, placed.price


def _never_left(kept: Placed) -> bool:
    # Withdrawn before it was sent, or withdrawn when it was certain that it never arrived.
    return kept.status == "cancelled" and not kept.arrived and kept.filled == 0


def _fills(venue: Record, journal: Record, arena: Record) -> list[str]:
    found = []
    for name, side in (("the journal", journal), ("the arena", arena)):
        found += [f"{name} lost fill {one}" for one in venue.fills.keys() - side.fills.keys()]
        found += [f"{name} has fill {one} alone" for one in side.fills.keys() - venue.fills.keys()]
        found += [
            f"fill {one}: the venue has {venue.fills[one]}, {name} {side.fills[one]}"
            for one in venue.fills.keys() & side.fills.keys()
            if venue.fills[one] != side.fills[one]
        ]
    return found


def _sums(venue: Record, journal: Record, arena: Record) -> list[str]:
    found = []
    for name, side in (("journal", journal), ("arena", arena)):
        if side.positions != venue.positions:
            found.append(f"positions: venue {venue.positions}, {name} {side.positions}")
        if side.funding != venue.funding:
            found.append(f"funding: venue {venue.funding}, {name} {side.funding}")
        if side.fees() != venue.fees():
            found.append(f"fees: venue {venue.fees()}, {name} {side.fees()}")
        moved = EXACT.subtract(venue.wallet, venue.deposit)
        if moved != EXACT.add(side.cash(), venue.open_cost):
            found.append(f"the wallet moved {moved}, {name}: {side.cash()} + {venue.open_cost}")
    if journal.agents != arena.agents:
        found.append(f"sub-ledgers: journal {journal.agents}, arena {arena.agents}")
    if journal.last_seq != arena.last_seq:
        found.append(
            f"the journal's last event is {journal.last_seq}, the arena's {arena.last_seq}"
        )
    return found


def _unhealed(alarms: list[tuple[str, str]]) -> list[tuple[str, str]]:
    counts = Counter(code for code, _ in alarms)
    healed = counts["reconcile_mismatch"] <= counts["reconcile_agrees"]
    grave = [one for one in alarms if one[0] in GRAVE]
    return [one for one in grave if not (healed and one[0] == "reconcile_mismatch")]
