"""What holding cost a position that the arena only simulated: no venue charged it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Literal

from crucible.ledger.trades import ZERO, PositionBook, Trade
from crucible.market.candles import Integers
from crucible.market.funding import Funding
from crucible.settings import MINUTE_MS
from crucible.strategies.exit_reasons import WITHIN_A_CANDLE


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
    charged = []
    for trade in trades:
        owed = sum((amount for _, amount in _owed_by(trade, funding)), ZERO)
        charged.append(replace(trade, funding=trade.funding + owed))
    return charged


def marks_after_settlements(
    marks: Iterable[tuple[int, Decimal]],
    trades: Iterable[Trade],
    held: PositionBook | None,
    funding: Funding,
) -> list[tuple[int, Decimal]]:
    """Take from each mark of a simulated equity what had been due for holding by then.

    Parameters
    ----------
    marks : iterable of (int, Decimal)
        Market instant and equity, oldest first, before funding.
    trades : iterable of Trade
        Closed ones of the same agent, simulated.
    held : PositionBook, optional
        Its open position, if it has one.
    funding : Funding
        Of its symbol.
    """
    due = [charge for trade in trades for charge in _owed_by(trade, funding)]
    if held is not None and held.entry_ts is not None:
        due += _owed(held.entry_ts, len(funding), held.cost, funding)
    due.sort()
    after, paid, place = [], ZERO, 0
    for ts, equity in marks:
        while place < len(due) and due[place][0] <= ts:
            paid += due[place][1]
            place += 1
        after.append((ts, equity - paid))
    return after


def _owed_by(trade: Trade, funding: Funding) -> Sequence[tuple[int, Decimal]]:
    # A stop's fill is stamped with the close of its candle, which is the next one's open.
    side: Literal["left", "right"] = "left" if trade.reason in WITHIN_A_CANDLE else "right"
    end = int(_opens(funding).searchsorted(trade.exit_ts, side=side))
    return _owed(trade.entry_ts, end, trade.notional, funding)


def _owed(
    entry_ts: int, end: int, notional: Decimal, funding: Funding
) -> list[tuple[int, Decimal]]:
    """Give the settlements after an entry and before place `end`: instant and amount."""
    first = int(_opens(funding).searchsorted(entry_ts, side="right"))
    rows = zip(funding.ts[first:end].tolist(), funding.rate[first:end].tolist(), strict=True)
    return [(ts, Decimal(repr(rate)) * notional) for ts, rate in rows]


def _opens(funding: Funding) -> Integers:
    """Give the opens of the candles in which each settlement falls."""
    return funding.ts // MINUTE_MS * MINUTE_MS
