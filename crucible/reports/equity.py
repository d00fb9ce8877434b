"""Equity of fills: capital, what was paid and received, and what is open at the newest price. Pure and exact in cash."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from crucible.ledger.trades import Fill
from crucible.market.candles import Candles, Integers
from crucible.operations.reconciliation.accounts import EXACT, ZERO


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices of one symbol that somebody traded at: closes of candles, and fills.

    Attributes
    ----------
    ts : ndarray of int64, shape (n,)
        From when on each is known, epoch milliseconds, ascending.
    price : list of Decimal
    """

    ts: Integers
    price: list[Decimal]

    @classmethod
    def of(cls, candles: Candles | None, fills: Iterable[Fill]) -> Prices:
        """Put closes and fills in the order in which they became known."""
        known = (
            []
            if candles is None
            else list(
                zip(candles.close_ts.tolist(), map(_exact, candles.close.tolist()), strict=True)
            )
        )
        known += [(fill.exec_ts, fill.price) for fill in fills]
        known.sort(key=lambda pair: pair[0])
        return cls(np.array([ts for ts, _ in known], dtype=np.int64), [price for _, price in known])

    def at(self, instants: Sequence[int]) -> list[Decimal | None]:
        """Give the newest price at each instant; None before the first."""
        places = np.searchsorted(self.ts, np.array(instants, dtype=np.int64), side="right")
        return [self.price[place - 1] if place else None for place in places.tolist()]


def equity_at(
    instants: Sequence[int],
    capital: Decimal,
    fills: Sequence[Fill],
    paid: Iterable[tuple[int, Decimal]],
    prices: Mapping[str, Prices],
) -> list[tuple[int, Decimal]]:
    """Give the equity at each instant.

    Parameters
    ----------
    instants : sequence of int
        Epoch milliseconds, ascending.
    capital : Decimal
    fills : sequence of Fill
        In execution order.
    paid : iterable of (int, Decimal)
        Funding: when, and how much was paid.
    prices : mapping
        Of every symbol of `fills`.
    """
    owed = sorted(paid)
    newest = {symbol: each.at(instants) for symbol, each in prices.items()}
    cash, positions = capital, dict.fromkeys(prices, ZERO)
    marks: list[tuple[int, Decimal]] = []
    next_fill = next_owed = 0
    for place, ts in enumerate(instants):
        while next_fill < len(fills) and fills[next_fill].exec_ts <= ts:
            fill = fills[next_fill]
            cash = EXACT.add(cash, fill.cash)
            positions[fill.symbol] = EXACT.add(positions[fill.symbol], fill.signed_qty)
            next_fill += 1
        while next_owed < len(owed) and owed[next_owed][0] <= ts:
            cash = EXACT.subtract(cash, owed[next_owed][1])
            next_owed += 1
        total = cash
        for symbol, qty in positions.items():
            if qty:
                price = newest[symbol][place]
                assert price is not None, "a position is opened by a fill, which has a price"
                total = EXACT.add(total, EXACT.multiply(qty, price))
        marks.append((ts, total))
    return marks


def hold_at(
    instants: Sequence[int],
    capital: Decimal,
    candles: Mapping[str, Candles],
    weights: Mapping[str, int],
) -> list[float] | None:
    """Give what buying with all capital at the first instant and holding is worth; None where a price is missing.

    Parameters
    ----------
    instants : sequence of int
    capital : Decimal
    candles : mapping
        Symbol to candles.
    weights : mapping
        Symbol to its share of the capital, in any unit.
    """
    total = sum(weights.values())
    if not total:
        return None
    worth = np.zeros(len(instants))
    for symbol, weight in weights.items():
        own = candles.get(symbol)
        if own is None or not len(own):
            return None
        rows = np.searchsorted(own.close_ts, np.array(instants, dtype=np.int64), side="right") - 1
        if own.ts[0] > instants[0]:
            return None
        # Where the first candle opens at the first instant, its open is the price then.
        closes = np.where(rows < 0, own.open[0], own.close[np.maximum(rows, 0)])
        worth += float(capital) * weight / total * closes / closes[0]
    found: list[float] = worth.tolist()
    return found


def _exact(price: float) -> Decimal:
    return Decimal(repr(price))
