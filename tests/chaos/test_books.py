"""The comparison itself: each way of losing or doubling something is noticed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from tests.chaos.books import Fill, Placed, Record, faults, link_of
from tests.chaos.schedule import Order, make

Books = tuple[Record, Record, Record]
ORDERS = tuple(replace(order, style="market") for order in make(3, 4, still=True).orders)
LINKS = [link_of(order.intent_id) for order in ORDERS]


def sound() -> Books:
    """Three books of four orders: three filled, one refused by Cerebellum."""
    venue, journal, arena = (Record(last_seq=9, deposit=Decimal(1000)) for _ in range(3))
    for number, order in enumerate(ORDERS):
        link, qty = LINKS[number], Decimal(order.qty)
        refused = number == 3
        status, filled = ("rejected", Decimal(0)) if refused else ("filled", qty)
        arena.outcomes[order.intent_id] = "rejected:reduce_only" if refused else "accepted"
        placed = Placed(order.symbol, order.side, qty, filled, status)
        arena.orders[link] = placed
        kept = replace(placed, origin="arena", agent=order.agent, arrived=not refused, meant=qty)
        journal.orders[link] = replace(kept, code="reduce_only" if refused else None)
        if not refused:
            venue.orders[link] = placed
            _book(order, link, (venue, journal, arena))
    return venue, journal, arena


def _book(order: Order, link: str, records: Books) -> None:
    fill = Fill(link, order.symbol, order.side, Decimal(order.qty), Decimal(100), Decimal("0.05"))
    signed = fill.qty if fill.side == "buy" else -fill.qty
    for record in records:
        record.fills[f"e-{link}"] = fill
        record.positions[fill.symbol] = record.positions.get(fill.symbol, Decimal(0)) + signed
        holding = (order.agent, fill.symbol)
        record.agents[holding] = record.agents.get(holding, Decimal(0)) + signed
    venue = records[0]
    venue.open_cost += signed * 100
    venue.wallet = venue.deposit + venue.cash() + venue.open_cost


def test_sound_books_have_no_fault() -> None:
    assert faults(*sound(), ORDERS) == []


def lose_fill(side: int) -> Callable[[Books], object]:
    return lambda books: books[side].fills.pop(f"e-{LINKS[0]}")


def change(side: int, link: str, **fields: object) -> Callable[[Books], object]:
    def tamper(books: Books) -> None:
        books[side].orders[link] = replace(books[side].orders[link], **fields)

    return tamper


def cheapen(books: Books) -> None:
    name = f"e-{LINKS[1]}"
    books[1].fills[name] = replace(books[1].fills[name], fee=Decimal("0.05000001"))


def shift(books: Books) -> None:
    holding = next(iter(books[2].agents))
    books[2].agents[holding] += Decimal("0.001")


TAMPERINGS: dict[str, Callable[[Books], object]] = {
    "the journal lost a fill": lose_fill(1),
    "the arena lost a fill": lose_fill(2),
    "the venue lacks a fill": lose_fill(0),
    "a fee is off by the last unit": cheapen,
    "an order is not at the venue": lambda books: books[0].orders.pop(LINKS[0]),
    "an order is of no intent": lambda books: books[1].orders.pop(LINKS[0]),
    "an order is there twice": lambda books: books[0].doubled.append("twice"),
    "an order of no intent": lambda books: books[0].orders.update(
        {"c-0": books[0].orders[LINKS[0]]}
    ),
    "an amend is not in the journal": change(0, LINKS[0], qty=Decimal("0.9")),
    "a limit differs": change(2, LINKS[0], price=Decimal("0.9")),
    "an order never ended": change(1, LINKS[0], status="unknown"),
    "an order filled less": change(0, LINKS[0], filled=Decimal("0.0001")),
    "a refused order landed": lambda books: books[0].orders.update(
        {LINKS[3]: books[0].orders[LINKS[0]]}
    ),
    "a filled order is called cancelled": change(1, LINKS[1], status="cancelled"),
    "a rested order is gone": lambda books: (
        change(1, LINKS[1], status="cancelled", filled=Decimal(0))(books),
        books[0].orders.pop(LINKS[1]),
    ),
    "the arena does not know a fate": lambda books: books[2].outcomes.update(
        {ORDERS[0].intent_id: None}
    ),
    "another refusal was told": lambda books: books[2].outcomes.update(
        {ORDERS[3].intent_id: "rejected:expired"}
    ),
    "a sub-ledger differs": shift,
    "the venue's position differs": lambda books: books[0].positions.update(
        {"BTCUSDT": Decimal(7)}
    ),
    "funding was not booked": lambda books: books[0].funding.update({"f": Decimal("0.1")}),
    "the wallet moved more": lambda books: setattr(books[0], "wallet", Decimal(1)),
    "an event is missing": lambda books: setattr(books[2], "last_seq", 8),
    "a foreign execution": lambda books: books[1].alarms.append(("foreign_execution", "x")),
    "a mismatch that stayed": lambda books: books[1].alarms.append(("reconcile_mismatch", "x")),
}


@pytest.mark.parametrize("what", TAMPERINGS)
def test_each_way_of_losing_or_doubling_is_noticed(what: str) -> None:
    books = copy.deepcopy(sound())
    TAMPERINGS[what](books)
    assert faults(*books, ORDERS)
