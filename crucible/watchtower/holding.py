"""What holding cost a trade that the arena only simulated: no venue charged it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Literal

import numpy as np

from crucible.execution.trades import Trade
from crucible.market.funding import Funding
from crucible.settings import MINUTE_MS

INSIDE_A_CANDLE = frozenset({"stop", "take_profit"})


def with_settlements(trades: Iterable[Trade], funding: Funding) -> list[Trade]:
    """Charge simulated long trades with the settlements over which they were held.

    As the backtest does, except that the position's worth is taken at its entry: whoever holds at the
    instant of a candle's open is charged, whatever is filled at that open. Where no rate is known
    nothing is charged.

    Parameters
    ----------
    trades : iterable of Trade
        Of one symbol, simulated.
    funding : Funding
        Of that symbol.
    """
    settled = funding.ts // MINUTE_MS * MINUTE_MS
    charged = []
    for trade in trades:
        # A stop's fill is stamped with the close of its candle, which is the next one's open.
        side: Literal["left", "right"] = "left" if trade.reason in INSIDE_A_CANDLE else "right"
        first = np.searchsorted(settled, trade.entry_ts, side="right")
        last = np.searchsorted(settled, trade.exit_ts, side=side)
        rates = (Decimal(repr(float(rate))) for rate in funding.rate[first:last])
        owed = sum((rate * trade.notional for rate in rates), Decimal(0))
        charged.append(replace(trade, funding=trade.funding + owed))
    return charged
