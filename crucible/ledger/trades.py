"""Fills, and the trades that they make: exact decimal bookkeeping per agent.

A trade opens when a position leaves zero and closes when it returns to zero. Fees belong to the trade
whose position they changed. Cost is the average-cost method: a reduction takes out its share of the
cost, the last one takes all that is left, so nothing is lost to rounding.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import reduce
from typing import Literal

from crucible.errors import CrucibleError

Mode = Literal["live", "shadow"]
ZERO = Decimal(0)
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)


class BookkeepingError(CrucibleError, ValueError):
    """Fills that cannot be booked; the message names the fill."""


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution of one agent.

    Attributes
    ----------
    exec_id : str
        Unique; the same id is the same execution.
    agent, version, symbol : str
    side : {'buy', 'sell'}
    qty, price, fee : Decimal
        Base asset, quote per base, quote paid (negative: received).
    exec_ts : int
        Market time, epoch milliseconds.
    reason : str
        Why the order was sent.
    intent_id : str
    mode : {'live', 'shadow'}
        Whether a venue filled it, or the arena simulated it.
    seq : int or None
        Place in Cerebellum's journal; None in shadow.
    """

    exec_id: str
    agent: str
    version: str
    symbol: str
    side: str
    qty: Decimal
    price: Decimal
    fee: Decimal
    exec_ts: int
    reason: str
    intent_id: str
    mode: Mode = "live"
    seq: int | None = None

    def __post_init__(self) -> None:
        numbers = all(value.is_finite() for value in (self.qty, self.price, self.fee))
        if self.side not in {"buy", "sell"} or not numbers or self.qty <= 0 or self.price <= 0:
            message = f"fill {self.exec_id}: {self.side} {self.qty} at {self.price}, fee {self.fee}, is not a fill"
            raise BookkeepingError(message)

    @property
    def signed_qty(self) -> Decimal:
        """Size with the sign of its side."""
        return self.qty if self.side == "buy" else -self.qty

    @property
    def cash(self) -> Decimal:
        """Change of the wallet were it spot: ``-side * price * qty - fee``, exact."""
        return _EXACT.subtract(-_EXACT.multiply(self.signed_qty, self.price), self.fee)


@dataclass(frozen=True, slots=True)
class Trade:
    """A closed round trip.

    Attributes
    ----------
    agent, version, symbol : str
    entry_ts, exit_ts : int
        First and last execution, market milliseconds.
    qty : Decimal
        Largest position held, in the base asset.
    entry_price, exit_price : Decimal
        Averages over the opening and the closing executions.
    notional : Decimal
        Sum of opening value, in the quote asset.
    fees, pnl : Decimal
        Quote; `pnl` is after fees and before funding.
    reason : str
        Why it was closed.
    mode : {'live', 'shadow'}
    funding : Decimal
        Quote paid for holding, as far as it is known (see `with_funding`); negative: received.
    """

    agent: str
    version: str
    symbol: str
    entry_ts: int
    exit_ts: int
    qty: Decimal
    entry_price: Decimal
    exit_price: Decimal
    notional: Decimal
    fees: Decimal
    pnl: Decimal
    reason: str
    mode: Mode
    funding: Decimal = ZERO

    @property
    def net_pnl(self) -> Decimal:
        """Profit after fees and funding."""
        return _EXACT.subtract(self.pnl, self.funding)

    @property
    def net_return(self) -> float:
        """Profit after fees and funding as a fraction of the opening value."""
        return float(self.net_pnl / self.notional)


@dataclass(frozen=True, slots=True)
class Payment:
    """What the venue charged an agent for holding over a settlement.

    Attributes
    ----------
    agent, symbol : str
    ts : int
        Instant of the settlement, market milliseconds.
    amount : Decimal
        Quote paid; negative: received.
    """

    agent: str
    symbol: str
    ts: int
    amount: Decimal


@dataclass(slots=True)
class PositionBook:
    """One agent's position in one symbol, built fill by fill.

    Examples
    --------
    >>> book = PositionBook()
    >>> one = Decimal(1)
    >>> _ = book.apply(Fill("a", "x", "1", "B", "buy", one, Decimal(10), Decimal(0), 0, "", ""))
    >>> book.apply(Fill("b", "x", "1", "B", "sell", one, Decimal(12), Decimal(0), 1, "", "")).pnl
    Decimal('2')
    """

    qty: Decimal = ZERO
    cost: Decimal = ZERO
    _opened: list[Fill] = field(default_factory=list)
    _closed: list[Fill] = field(default_factory=list)

    @property
    def entry_ts(self) -> int | None:
        """Market time of the first execution of the open trade."""
        return self._opened[0].exec_ts if self._opened else None

    def apply(self, fill: Fill) -> Trade | None:
        """Book one fill; return the trade that it closed, if it closed one.

        A fill that crosses zero closes one trade and opens the next with the rest; its fee is split
        in proportion, to the last digit.
        """
        signed = fill.signed_qty
        if self.qty == 0 or (self.qty > 0) == (signed > 0):
            self.qty += signed
            self.cost = _EXACT.add(self.cost, _EXACT.multiply(signed, fill.price))
            self._opened.append(fill)
            return None
        if abs(signed) < abs(self.qty):
            share = _EXACT.divide(_EXACT.multiply(self.cost, -signed), self.qty)
            self.cost = _EXACT.subtract(self.cost, share)
            self.qty += signed
            self._closed.append(fill)
            return None
        rest = self.qty + signed
        closing = fill if rest == 0 else _part(fill, abs(self.qty))
        self._closed.append(closing)
        trade = self._finish()
        if rest != 0:
            opening = _part(fill, abs(rest), fee=_EXACT.subtract(fill.fee, closing.fee))
            self.apply(opening)
        return trade

    def _finish(self) -> Trade:
        fills = [*self._opened, *self._closed]
        first, last = self._opened[0], self._closed[-1]
        opened_qty = _total(fill.qty for fill in self._opened)
        closed_qty = _total(fill.qty for fill in self._closed)
        notional = _value(self._opened)
        trade = Trade(
            agent=first.agent,
            version=first.version,
            symbol=first.symbol,
            entry_ts=first.exec_ts,
            exit_ts=last.exec_ts,
            qty=opened_qty,
            entry_price=_EXACT.divide(notional, opened_qty),
            exit_price=_EXACT.divide(_value(self._closed), closed_qty),
            notional=notional,
            fees=_total(fill.fee for fill in fills),
            pnl=_total(fill.cash for fill in fills),
            reason=last.reason,
            mode=first.mode,
        )
        self.qty = self.cost = ZERO
        self._opened, self._closed = [], []
        return trade


def pair(fills: Iterable[Fill]) -> tuple[list[Trade], dict[tuple[str, str, Mode], PositionBook]]:
    """Turn fills, in execution order, into closed trades and open books.

    Books are per (agent, symbol, mode): a simulated position never nets with one at the venue.
    """
    books: dict[tuple[str, str, Mode], PositionBook] = {}
    trades: list[Trade] = []
    for fill in fills:
        trade = books.setdefault((fill.agent, fill.symbol, fill.mode), PositionBook()).apply(fill)
        if trade is not None:
            trades.append(trade)
    return trades, books


def with_funding(trades: Iterable[Trade], payments: Iterable[Payment]) -> list[Trade]:
    """Charge each live trade with the payments that fell due while it was open.

    A payment at the instant at which one trade ends and the next begins belongs to the one that ends.
    """
    charged = list(trades)
    places: dict[tuple[str, str], list[int]] = {}
    for number, trade in enumerate(charged):
        if trade.mode == "live":
            places.setdefault((trade.agent, trade.symbol), []).append(number)
    for payment in payments:
        own = places.get((payment.agent, payment.symbol), [])
        # An agent's trades in a symbol follow one another.
        place = bisect_left(own, payment.ts, key=lambda number: charged[number].exit_ts)
        if place < len(own) and charged[own[place]].entry_ts <= payment.ts:
            trade = charged[own[place]]
            paid = _EXACT.add(trade.funding, payment.amount)
            charged[own[place]] = replace(trade, funding=paid)
    return charged


def _value(fills: Iterable[Fill]) -> Decimal:
    return _total(_EXACT.multiply(fill.qty, fill.price) for fill in fills)


def _total(values: Iterable[Decimal]) -> Decimal:
    """Add up with 60 digits; the default 28 would round the shares of a split fee."""
    return reduce(_EXACT.add, values, ZERO)


def _part(fill: Fill, qty: Decimal, fee: Decimal | None = None) -> Fill:
    share = _EXACT.divide(_EXACT.multiply(fill.fee, qty), fill.qty) if fee is None else fee
    return Fill(
        exec_id=fill.exec_id,
        agent=fill.agent,
        version=fill.version,
        symbol=fill.symbol,
        side=fill.side,
        qty=qty,
        price=fill.price,
        fee=share,
        exec_ts=fill.exec_ts,
        reason=fill.reason,
        intent_id=fill.intent_id,
        mode=fill.mode,
        seq=fill.seq,
    )
