"""Exact sums over a ledger that grows: what came since the last look is added, nothing is read twice.

A page asks every second; the fills of a quarter do not fit into that. The figures equal those of
`LedgerReader.trades` to the last digit, since they are made by the same bookkeeping.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

from crucible.ledger.page_reader import PageReader
from crucible.ledger.trades import ZERO, Fill, Mode, PositionBook, Trade, pair

DAY_MS = 86_400_000
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
_BATCH = 20_000
_KEPT_ENDINGS = 5_000


@dataclass(slots=True)
class Sums:
    """Money over some time, in the quote asset.

    Attributes
    ----------
    trades, wins : int
        Closed trades, and those of them that earned after fees.
    pnl : Decimal
        Of closed trades, after fees and before funding.
    fees : Decimal
        Of all fills, those of open positions included.
    funding : Decimal
        Paid for holding; negative: received.
    """

    trades: int = 0
    wins: int = 0
    pnl: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO

    @property
    def net(self) -> Decimal:
        """Profit of closed trades after fees, less the funding that was paid."""
        return _EXACT.subtract(self.pnl, self.funding)

    def close(self, trade: Trade) -> None:
        """Add a closed trade."""
        self.trades += 1
        self.wins += trade.pnl > 0
        self.pnl = _EXACT.add(self.pnl, trade.pnl)

    def add(self, other: Sums) -> None:
        """Add what happened over another time."""
        self.trades += other.trades
        self.wins += other.wins
        self.pnl = _EXACT.add(self.pnl, other.pnl)
        self.fees = _EXACT.add(self.fees, other.fees)
        self.funding = _EXACT.add(self.funding, other.funding)


@dataclass(slots=True)
class AgentSums:
    """One agent in one mode: its sums, its open positions, its last fill, and its profit of the newest day."""

    sums: Sums = field(default_factory=Sums)
    books: dict[str, PositionBook] = field(default_factory=dict)
    last: tuple[int, int] = (0, 0)
    fills: int = 0
    newest_day: tuple[int, Decimal] = (0, ZERO)

    def close(self, trade: Trade) -> None:
        """Add a closed trade."""
        self.sums.close(trade)
        day = trade.exit_ts - trade.exit_ts % DAY_MS
        before = self.newest_day[1] if self.newest_day[0] == day else ZERO
        self.newest_day = day, _EXACT.add(before, trade.pnl)

    def closed_on(self, day: int) -> Decimal:
        """Give the profit after fees of the trades that closed on a market day, the newest one."""
        return self.newest_day[1] if self.newest_day[0] == day else ZERO

    @property
    def position(self) -> Decimal:
        """Signed size over its symbols; an agent trades one."""
        return sum((book.qty for book in self.books.values()), ZERO)

    @property
    def cost(self) -> Decimal:
        """Signed cost of what is open."""
        return sum((book.cost for book in self.books.values()), ZERO)


class Tally:
    """Sums by agent and, at the venue, by market day.

    Attributes
    ----------
    agents : dict
        By agent and mode.
    days : dict
        Of the venue's fills, by the first instant of the day: trades by the day in which they closed.
    endings : deque of dict
        The newest verdicts but "keep", oldest first.
    newest_ending : dict
        By agent and verdict the newest one, "keep" left out.
    """

    def __init__(self) -> None:
        self.agents: dict[tuple[str, Mode], AgentSums] = {}
        self.days: dict[int, Sums] = {}
        self.endings: deque[dict[str, Any]] = deque(maxlen=_KEPT_ENDINGS)
        self.newest_ending: dict[tuple[str, str], dict[str, Any]] = {}
        self.last_fill: dict[str, int] = {}
        self._fill = self._payment = self._verdict = 0
        # Whose sums are not right until they have been counted anew. It outlives an error: rows are read only once.
        self._stale: set[tuple[str, Mode]] = set()

    @property
    def total(self) -> Sums:
        """Everything at the venue."""
        whole = Sums()
        for sums in self.days.values():
            whole.add(sums)
        return whole

    def since(self, ts: int) -> Sums:
        """Everything at the venue in the market days that begin at `ts` or later."""
        whole = Sums()
        for day, sums in self.days.items():
            if day >= ts:
                whole.add(sums)
        return whole

    def of(self, agent: str, mode: Mode) -> AgentSums:
        """Give an agent's sums in one mode; zeros where it has no fill."""
        return self.agents.get((agent, mode)) or AgentSums()

    def update(self, ledger: PageReader) -> None:
        """Take in what was booked since the last time."""
        while True:
            found = list(ledger.fills_after(self._fill, _BATCH))
            for row, fill in found:
                self._fill = row
                try:
                    self._take(fill)
                except Exception:
                    # It may have been counted in part.
                    self._stale.add((fill.agent, fill.mode))
                    raise
            if len(found) < _BATCH:
                break
        for agent, mode in sorted(self._stale):
            self._rebuild(ledger, agent, mode)
        if any(mode == "live" for _, mode in self._stale):
            self._rebuild_days(ledger)
        self._stale.clear()
        while True:
            paid = ledger.payments_after(self._payment, _BATCH)
            for row, agent, ts, text in paid:
                amount = Decimal(text)
                self._payment = row
                own = self.agents.setdefault((agent, "live"), AgentSums()).sums
                for sums in (own, self.days.setdefault(ts - ts % DAY_MS, Sums())):
                    sums.funding = _EXACT.add(sums.funding, amount)
            if len(paid) < _BATCH:
                break
        newest = ledger.newest_row("verdicts")
        endings = ledger.endings_between(self._verdict, newest)
        self.endings.extend(endings)
        self.newest_ending |= {(each["agent"], each["verdict"]): each for each in endings}
        self._verdict = newest

    def _take(self, fill: Fill) -> None:
        whose = fill.agent, fill.mode
        self.last_fill[fill.agent] = max(fill.exec_ts, self.last_fill.get(fill.agent, 0))
        own = self.agents.setdefault((fill.agent, fill.mode), AgentSums())
        place = fill.exec_ts, fill.seq or 0
        if place < own.last or whose in self._stale:
            # Booked late: the ledger's order is that of execution, so this agent is counted anew.
            self._stale.add(whose)
            return
        own.last = place
        own.fills += 1
        own.sums.fees = _EXACT.add(own.sums.fees, fill.fee)
        trade = own.books.setdefault(fill.symbol, PositionBook()).apply(fill)
        if trade is not None:
            own.close(trade)
        if fill.mode == "live":
            day = self.days.setdefault(fill.exec_ts - fill.exec_ts % DAY_MS, Sums())
            day.fees = _EXACT.add(day.fees, fill.fee)
            if trade is not None:
                day.close(trade)

    def _rebuild(self, ledger: PageReader, agent: str, mode: Mode) -> None:
        """Count one agent anew in the order of execution."""
        fills = [fill for fill in ledger.fills(agent) if fill.mode == mode]
        trades, books = pair(fills)
        funding = self.of(agent, mode).sums.funding
        own = AgentSums(Sums(funding=funding), {key[1]: book for key, book in books.items()})
        for fill in fills:
            own.sums.fees = _EXACT.add(own.sums.fees, fill.fee)
        for trade in trades:
            own.close(trade)
        own.fills = len(fills)
        own.last = (fills[-1].exec_ts, fills[-1].seq or 0)
        self.agents[agent, mode] = own

    def _rebuild_days(self, ledger: PageReader) -> None:
        """Count every day at the venue anew."""
        held = {day: sums.funding for day, sums in self.days.items()}
        self.days = {day: Sums(funding=funding) for day, funding in held.items()}
        live = [fill for fill in ledger.fills() if fill.mode == "live"]
        for fill in live:
            day = self.days.setdefault(fill.exec_ts - fill.exec_ts % DAY_MS, Sums())
            day.fees = _EXACT.add(day.fees, fill.fee)
        for trade in pair(live)[0]:
            self.days.setdefault(trade.exit_ts - trade.exit_ts % DAY_MS, Sums()).close(trade)
