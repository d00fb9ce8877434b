"""The depth of an order book: each level with what lies between it and the best price, exact, as the page shows it."""

from __future__ import annotations

from decimal import Decimal
from itertools import accumulate
from typing import Any

from crucible.execution.levels import Levels
from crucible.execution.messages import LevelsMessage
from crucible.operations.reconciliation.accounts import plain


def depth(message: LevelsMessage, age_s: float) -> dict[str, Any]:
    """Give levels with cumulative size, mid and spread, as JSON values; prices and sizes are text.

    Parameters
    ----------
    message : LevelsMessage
    age_s : float
        Wall seconds since it was received.
    """
    bid, ask = Decimal(message.bids[0][0]), Decimal(message.asks[0][0])
    return {
        "ts": message.ts,
        "age_s": age_s,
        "mid": plain((bid + ask) / 2),
        "spread": plain(ask - bid),
        "bids": _cumulative(message.bids),
        "asks": _cumulative(message.asks),
    }


def _cumulative(levels: Levels) -> list[dict[str, str]]:
    totals = accumulate(Decimal(size) for _, size in levels)
    return [
        {"price": price, "qty": size, "total": plain(total)}
        for (price, size), total in zip(levels, totals, strict=True)
    ]
