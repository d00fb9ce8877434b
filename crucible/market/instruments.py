"""The grid of prices and sizes that a venue accepts for a symbol."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal


@dataclass(frozen=True, slots=True)
class Instrument:
    """A symbol's grid at the venue, as decimals."""

    symbol: str
    tick_size: Decimal
    qty_step: Decimal
    min_qty: Decimal
    min_notional: Decimal

    def round_qty(self, qty: Decimal) -> Decimal:
        """Round a size down to the venue's step."""
        return (qty / self.qty_step).to_integral_value(ROUND_DOWN) * self.qty_step

    def round_price(self, price: Decimal) -> Decimal:
        """Round a price down to the venue's tick."""
        return (price / self.tick_size).to_integral_value(ROUND_DOWN) * self.tick_size
