"""What a report is about: equity, trades, costs and verdicts, whoever they were read from."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from crucible.market.candles import Candles

QUARTER_MS = 15 * 60_000
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class ClosedTrade:
    """One round trip.

    Attributes
    ----------
    agent, symbol : str
    entry_ts, exit_ts : int
        Epoch milliseconds of the market.
    qty, entry_price, exit_price : Decimal
    fees, funding, profit : Decimal
        Quote; `profit` is after fees and funding.
    net_return : float
        `profit` as a fraction of the opening value.
    reason : str
        Why it was closed.
    """

    agent: str
    symbol: str
    entry_ts: int
    exit_ts: int
    qty: Decimal
    entry_price: Decimal
    exit_price: Decimal
    fees: Decimal
    funding: Decimal
    profit: Decimal
    net_return: float
    reason: str

    @property
    def held_ms(self) -> int:
        """How long it was held."""
        return self.exit_ts - self.entry_ts


@dataclass(frozen=True, slots=True)
class Costs:
    """What trading cost, in the quote asset; negative where it was received.

    Attributes
    ----------
    fees, funding : Decimal
    slippage : Decimal or None
        Against the close that an order was decided on; None where no fill has one.
    fills, fills_decided : int or None
        All, and those with such a close; None where fills are not known.
    """

    fees: Decimal
    funding: Decimal
    slippage: Decimal | None = None
    fills: int | None = None
    fills_decided: int | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """Everything that a report is made of.

    Attributes
    ----------
    title : str
    facts : list of (str, str)
        What it is, and where it was read.
    capital : Decimal
        At the beginning.
    first_ts, last_ts : int
        Span of the market's time, epoch milliseconds.
    marks : list of (int, Decimal)
        Equity at `first_ts` and at every quarter of an hour up to `last_ts`: the whole curve, which every figure is
        computed of.
    hold : list of float or None
        Worth at the same instants of who bought with all capital and held; None where it is not known.
    hold_name : str
        What was held.
    hold_costs : str
        What holding it was charged.
    no_hold : str
        Why it is not known, where it is not.
    trades : list of ClosedTrade
        By exit.
    costs : Costs
    verdicts, agents, proofs : list of dict
        Rows for the tables, oldest first.
    candles : dict
        Symbol to its candles over the span; left out where there are none.
    notes : list of str
        What could not be read or is to be known.
    """

    title: str
    facts: list[tuple[str, str]]
    capital: Decimal
    first_ts: int
    last_ts: int
    marks: list[tuple[int, Decimal]]
    hold: list[float] | None
    hold_name: str
    trades: list[ClosedTrade]
    costs: Costs
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    agents: list[dict[str, Any]] = field(default_factory=list)
    proofs: list[dict[str, Any]] = field(default_factory=list)
    candles: dict[str, Candles] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    hold_costs: str = "without costs"
    no_hold: str = "no candles reach over the span"


def instants(first_ts: int, last_ts: int) -> list[int]:
    """Give the instants at which equity is taken: both ends, and every quarter of an hour between.

    Examples
    --------
    >>> instants(100, 2 * QUARTER_MS)
    [100, 900000, 1800000]
    """
    inner = range((first_ts // QUARTER_MS + 1) * QUARTER_MS, last_ts, QUARTER_MS)
    return [first_ts, *inner, *([last_ts] if last_ts > first_ts else [])]
