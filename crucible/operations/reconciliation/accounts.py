"""One account, kept three times: what each keeper says, and whether they agree to the last unit.

Pure: rows in, accounts out. `venue_statement` and `own_accounts` read the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Context, Decimal

from crucible.operations.errors import BooksError

ZERO = Decimal(0)
# Prices times sizes have some 20 digits; 60 leave every sum exact.
EXACT = Context(prec=60)


@dataclass(frozen=True, slots=True)
class FillRow:
    """One execution, as any of the three keepers has it."""

    exec_id: str
    symbol: str
    side: str
    qty: Decimal
    price: Decimal
    fee: Decimal


@dataclass(frozen=True, slots=True)
class FundingRow:
    """One funding payment; negative was received."""

    exec_id: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Book:
    """Sums over one keeper's rows.

    Attributes
    ----------
    fills : int
    fees : Decimal
        Paid for trading; funding apart.
    funding : Decimal
        Paid for holding.
    cash : Decimal
        ``sum(-side * qty * price - fee) - funding``, exact.
    positions : dict
        Signed size per symbol; flat ones are left out.
    """

    fills: int
    fees: Decimal
    funding: Decimal
    cash: Decimal
    positions: dict[str, Decimal] = field(hash=False)

    def pnl(self, marks: Mapping[str, Decimal]) -> Decimal | None:
        """Profit with open positions valued at `marks`; None if one has no mark."""
        total = self.cash
        for symbol, qty in self.positions.items():
            if symbol not in marks:
                return None
            total = EXACT.add(total, EXACT.multiply(qty, marks[symbol]))
        return total

    def to_json(self, marks: Mapping[str, Decimal]) -> dict[str, object]:
        """Give the book with money as decimal strings."""
        pnl = self.pnl(marks)
        return {
            "fills": self.fills,
            "fees": plain(self.fees),
            "funding": plain(self.funding),
            "cash": plain(self.cash),
            "pnl": None if pnl is None else plain(pnl),
            "positions": {name: plain(qty) for name, qty in sorted(self.positions.items())},
        }


def book(fills: Iterable[FillRow], funding: Iterable[FundingRow] = ()) -> Book:
    """Sum up rows.

    Raises
    ------
    BooksError
        If an execution appears twice, or has a side that is neither ``buy`` nor ``sell``.
    """
    seen: set[str] = set()
    fees = paid = cash = ZERO
    positions: dict[str, Decimal] = {}
    for fill in fills:
        if fill.exec_id in seen:
            message = f"execution {fill.exec_id} is booked twice"
            raise BooksError(message)
        seen.add(fill.exec_id)
        if fill.side not in {"buy", "sell"}:
            message = f"execution {fill.exec_id} has side {fill.side!r}"
            raise BooksError(message)
        signed = fill.qty if fill.side == "buy" else -fill.qty
        positions[fill.symbol] = EXACT.add(positions.get(fill.symbol, ZERO), signed)
        value = EXACT.multiply(signed, fill.price)
        cash = EXACT.subtract(EXACT.subtract(cash, value), fill.fee)
        fees = EXACT.add(fees, fill.fee)
    for row in funding:
        paid = EXACT.add(paid, row.amount)
        cash = EXACT.subtract(cash, row.amount)
    held = {symbol: qty for symbol, qty in positions.items() if qty != 0}
    return Book(len(seen), fees, paid, cash, held)


def differences(books: Mapping[str, Book]) -> list[str]:
    """Say where books differ, with every side's value; empty when they agree exactly.

    Examples
    --------
    >>> one = book([])
    >>> differences({"venue": one, "journal": one})
    []
    """
    found = []
    for name in ("fills", "fees", "funding", "cash"):
        values = {keeper: getattr(each, name) for keeper, each in books.items()}
        if len(set(values.values())) > 1:
            sides = ", ".join(f"{keeper} {_text(value)}" for keeper, value in values.items())
            found.append(f"{name}: {sides}")
    for symbol in sorted({symbol for each in books.values() for symbol in each.positions}):
        held = {keeper: each.positions.get(symbol, ZERO) for keeper, each in books.items()}
        if len(set(held.values())) > 1:
            sides = ", ".join(f"{keeper} {plain(value)}" for keeper, value in held.items())
            found.append(f"position {symbol}: {sides}")
    return found


def plain(value: Decimal) -> str:
    """Write a decimal without exponent and without idle zeros.

    Examples
    --------
    >>> plain(Decimal("1.2300")), plain(Decimal("-0E-8")), plain(Decimal("1E+2"))
    ('1.23', '0', '100')
    """
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"", "-0"} else text


def _text(value: object) -> str:
    return plain(value) if isinstance(value, Decimal) else str(value)
