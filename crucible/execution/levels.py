"""What the levels of an order book may hold: prices and sizes as plain decimals, in order, the sides apart.

Entry point: `check_levels`. The message that carries levels is in `messages`.
"""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Annotated, TypeAlias

import msgspec

MOST = 10
"""Levels of a side, at most."""
LATEST_TS = 4_102_444_800_000
"""The latest market time that is believed, ms: the year 2100."""

# So many digits that the sum of ten sizes, and half of the sum of two prices, are still exact.
_Plain = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,14}(\.[0-9]{1,12})?\Z")]
PriceLevel: TypeAlias = tuple[_Plain, _Plain]
Levels: TypeAlias = Annotated[list[PriceLevel], msgspec.Meta(min_length=1, max_length=MOST)]


def check_levels(ts: int, bids: Levels, asks: Levels) -> None:
    """Refuse what no order book can hold at any market time.

    Parameters
    ----------
    ts : int
        Market time of the book, ms.
    bids, asks : list of (price, size)
        Plain decimals as text, the best level first.

    Raises
    ------
    ValueError
        What is wrong: a time outside of 1970 to 2100, a price or size that is not positive, prices out of order, or
        a best bid that is not below the best ask.
    """
    if not 0 < ts <= LATEST_TS:
        message = f"ts {ts} is no time between 1970 and 2100"
        raise ValueError(message)
    _in_order("bids", _prices("bids", bids)[::-1])
    _in_order("asks", _prices("asks", asks))
    bid, ask = bids[0][0], asks[0][0]
    if Decimal(bid) >= Decimal(ask):
        message = f"the best bid {bid} is not below the best ask {ask}"
        raise ValueError(message)


def _prices(side: str, levels: Levels) -> list[Decimal]:
    for price, size in levels:
        if not (Decimal(price) > 0 and Decimal(size) > 0):
            message = f"{side}: price {price} and size {size} must both be above zero"
            raise ValueError(message)
    return [Decimal(price) for price, _ in levels]


def _in_order(side: str, rising: list[Decimal]) -> None:
    for lower, higher in pairwise(rising):
        if lower >= higher:
            message = f"{side}: the prices {lower} and {higher} are out of order"
            raise ValueError(message)
