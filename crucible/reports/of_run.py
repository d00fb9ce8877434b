"""A run, or one agent of it, as a report's subject: read from its ledger and the workspace's lake."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from crucible import sqlite
from crucible.errors import CrucibleError
from crucible.ledger.funding_charges import with_settlements
from crucible.ledger.reader import SHADOW_ROLES, AgentRow, LedgerError
from crucible.ledger.report_reader import ReportReader
from crucible.ledger.trades import BookkeepingError, Fill, Mode, Payment, Trade, pair, with_funding
from crucible.market.candles import Candles
from crucible.market.lake import Lake
from crucible.operations.errors import BooksError
from crucible.operations.reconciliation.accounts import EXACT, ZERO
from crucible.operations.reconciliation.report import agent_sums
from crucible.operations.workspace import Run, Workspace
from crucible.reports.equity import Prices, equity_at, hold_at
from crucible.reports.subject import DAY_MS, ClosedTrade, Costs, Subject, instants
from crucible.settings import MINUTE_MS, Settings
from crucible.text import moment

STALE_MS = 60 * MINUTE_MS


class ReportError(CrucibleError, ValueError):
    """There is nothing of which a report could be made; the message says what is there instead."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """What the ledger says, as of one instant."""

    agents: list[AgentRow]
    fills: list[Fill]
    payments: list[Payment]
    decided: dict[str, Decimal]
    market_ts: int | None
    changes: list[dict[str, Any]]
    newest: list[dict[str, Any]]


def subject_of_run(workspace: Workspace, run_id: str | None, settings: Settings) -> Subject:
    """Read what a run did at the venue; the newest run by default.

    Raises
    ------
    WorkspaceError, ReportError, BooksError
        If there is no such run, nothing was decided in it yet, or its ledger cannot be read.
    """
    run = workspace.chosen_run(run_id)
    rows = _read(run)
    fills = [fill for fill in rows.fills if fill.mode == "live"]
    slots = {row.slot: row.symbol for row in rows.agents if row.role not in SHADOW_ROLES}
    per_slot = settings.arena.capital_per_agent
    notes = [f"Capital is taken as {per_slot:,} USDT for each slot, by arena.capital_per_agent."]
    if not slots:
        slots = {slot.name: slot.symbol for slot in settings.slots}
        notes.append("Nobody has had a production slot: capital is that of all slots.")
    first = [row.since_ts for row in rows.agents] + [fill.exec_ts for fill in rows.fills]
    subject = _made(
        f"Run {run.run_id}",
        rows,
        fills,
        [(each.ts, each.amount) for each in rows.payments],
        with_funding(pair(fills)[0], rows.payments),
        per_slot * len(slots),
        Counter(slots.values()),
        (min(first), _last(rows, fills)),
        Lake(workspace.path / "lake"),
        notes,
    )
    subject.facts[:0] = [("run", run.run_id), ("slots", str(len(slots)))]
    subject.agents.extend(agent_sums(run))
    subject.verdicts.extend(rows.changes)
    subject.proofs.extend(_proof(row, rows.newest) for row in rows.agents if row.until_ts is None)
    return subject


def subject_of_agent(
    workspace: Workspace, run_id: str | None, agent: str, settings: Settings
) -> Subject:
    """Read what one agent did: at the venue, or simulated where it never traded there.

    Raises
    ------
    WorkspaceError, ReportError, BooksError
        As `subject_of_run`; also if the run has no such agent.
    """
    run = workspace.chosen_run(run_id)
    rows = _read(run)
    row = next((each for each in rows.agents if each.agent == agent), None)
    if row is None:
        known = ", ".join(each.agent for each in rows.agents[-12:]) or "none"
        message = f"run {run.run_id} has no agent {agent!r}; the newest of it: {known}"
        raise ReportError(message)
    own = [fill for fill in rows.fills if fill.agent == agent]
    mode: Mode = "shadow" if row.role in SHADOW_ROLES else "live"
    fills = [fill for fill in own if fill.mode == mode]
    payments = [each for each in rows.payments if each.agent == agent] if mode == "live" else []
    lake = Lake(workspace.path / "lake")
    trades, books = pair(fills)
    notes = [
        f"Capital is taken as {settings.arena.capital_per_agent:,} USDT, by arena.capital_per_agent."
    ]
    if mode == "live":
        trades = with_funding(trades, payments)
        paid = [(each.ts, each.amount) for each in payments]
        left_out = len(own) - len(fills)
        if left_out:
            notes.append(
                f"{left_out} fills of before, as a challenger, were simulated and are left out."
            )
    else:
        trades = with_settlements(trades, lake.read_funding(row.symbol))
        paid = [(trade.exit_ts, trade.funding) for trade in trades if trade.funding]
        notes.append(
            "SIMULATED: none of this was at the venue. Funding is charged at the lake's rates, when a trade is closed."
        )
    since = min([row.since_ts, *(fill.exec_ts for fill in fills)])
    until = row.until_ts if row.until_ts is not None else _last(rows, [])
    subject = _made(
        agent,
        rows,
        fills,
        paid,
        trades,
        settings.arena.capital_per_agent,
        Counter({row.symbol: 1}),
        (since, max([until, since, *(fill.exec_ts for fill in fills)])),
        lake,
        notes,
    )
    place = "simulated" if mode == "shadow" else "at the venue"
    subject.facts[:0] = [("run", run.run_id), ("role", f"{row.role}, {place}"), ("kind", row.kind)]
    subject.verdicts.extend(each for each in rows.changes if each["agent"] == agent)
    subject.proofs.append(_proof(row, rows.newest))
    held = [book.qty for book in books.values() if book.qty]
    if held:
        subject.facts.append(("open position", ", ".join(f"{qty:f}" for qty in held)))
    return subject


def _read(run: Run) -> _Rows:
    if not run.ledger.exists():
        message = f"run {run.run_id} has no ledger yet: its arena has decided nothing"
        raise ReportError(message)
    try:
        with ReportReader(run.ledger) as ledger, ledger.one_instant():
            rows = _Rows(
                ledger.agents(),
                ledger.fills(),
                ledger.payments(),
                ledger.decided_prices(),
                ledger.market_ts(),
                ledger.verdicts_after(0),
                ledger.newest_judgements(),
            )
    except (LedgerError, BookkeepingError, sqlite.Error) as error:
        message = f"{run.ledger} cannot be read: {error}"
        raise BooksError(message) from error
    if not rows.agents:
        message = f"run {run.run_id} has no agent yet, so there is nothing to report"
        raise ReportError(message)
    return rows


def _made(
    title: str,
    rows: _Rows,
    fills: Sequence[Fill],
    paid: Iterable[tuple[int, Decimal]],
    trades: Sequence[Trade],
    capital: Decimal,
    weights: Mapping[str, int],
    span: tuple[int, int],
    lake: Lake,
    notes: list[str],
) -> Subject:
    first_ts, last_ts = span
    symbols = sorted({*weights, *(fill.symbol for fill in fills)})
    candles = _candles(lake, symbols, first_ts, last_ts, notes)
    at = instants(first_ts, last_ts)
    own = {symbol: [fill for fill in fills if fill.symbol == symbol] for symbol in symbols}
    prices = {symbol: Prices.of(candles.get(symbol), own[symbol]) for symbol in symbols}
    owed = list(paid)
    hold = hold_at(at, capital, candles, weights)
    return Subject(
        title=title,
        facts=[
            ("from", f"{moment(first_ts)} UTC"),
            ("to", f"{moment(last_ts)} UTC"),
            ("capital", f"{capital:,} USDT"),
        ],
        capital=capital,
        first_ts=first_ts,
        last_ts=last_ts,
        marks=equity_at(at, capital, fills, owed, prices),
        hold=hold,
        hold_name=f"{' and '.join(sorted(weights))}, as much of each as it has slots",
        trades=sorted(map(_closed, trades), key=lambda trade: trade.exit_ts),
        costs=costs_of(fills, sum((amount for _, amount in owed), ZERO), rows.decided),
        candles={
            symbol: each.between(first_ts // MINUTE_MS * MINUTE_MS, last_ts + MINUTE_MS)
            for symbol, each in candles.items()
        },
        notes=notes,
    )


def costs_of(fills: Sequence[Fill], funding: Decimal, decided: Mapping[str, Decimal]) -> Costs:
    """Sum up what trading cost.

    Slippage of a fill is its size times how much worse its price was than the close that its order was decided on.
    """
    known = [fill for fill in fills if fill.intent_id in decided]
    slippage = ZERO
    for fill in known:
        worse = EXACT.subtract(fill.price, decided[fill.intent_id])
        slippage = EXACT.add(slippage, EXACT.multiply(worse, fill.signed_qty))
    fees = ZERO
    for fill in fills:
        fees = EXACT.add(fees, fill.fee)
    return Costs(fees, funding, slippage if known else None, len(fills), len(known))


def _candles(
    lake: Lake, symbols: Iterable[str], first_ts: int, last_ts: int, notes: list[str]
) -> dict[str, Candles]:
    found = {}
    for symbol in symbols:
        try:
            whole = lake.read(symbol)
        except (CrucibleError, OSError) as error:
            notes.append(f"{symbol}: its candles cannot be read: {error}")
            continue
        # A day more: the first price may be older than the span.
        own = None if whole is None else whole.between(first_ts - DAY_MS, last_ts + MINUTE_MS)
        if own is None or not len(own):
            notes.append(
                f"{symbol}: the lake has no candles of this time; fills alone give its price."
            )
            continue
        if last_ts - int(own.close_ts[-1]) > STALE_MS:
            notes.append(
                f"{symbol}: the lake's candles end at {moment(int(own.close_ts[-1]))} UTC; what is open later is "
                "valued at the newest price that is known."
            )
        found[symbol] = own
    return found


def _closed(trade: Trade) -> ClosedTrade:
    return ClosedTrade(
        trade.agent,
        trade.symbol,
        trade.entry_ts,
        trade.exit_ts,
        trade.qty,
        trade.entry_price,
        trade.exit_price,
        trade.fees,
        trade.funding,
        trade.net_pnl,
        trade.net_return,
        trade.reason,
    )


def _last(rows: _Rows, fills: Sequence[Fill]) -> int:
    known = [rows.market_ts] if rows.market_ts is not None else []
    return max([*known, *(row.since_ts for row in rows.agents), *(fill.exec_ts for fill in fills)])


def _proof(row: AgentRow, newest: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Say how an agent is proven, and what its newest judgement found."""
    judged = next((each for each in newest if each["agent"] == row.agent), None)
    details: Mapping[str, Any] = {} if judged is None else judged["details"]
    return {
        "agent": row.agent,
        "role": row.role,
        "proven": row.proven,
        "proven_by": row.proven_by,
        "judged_ts": None if judged is None else judged["ts"],
        "verdict": None if judged is None else judged["verdict"],
        "reason": None if judged is None else judged["reason"],
        **{
            name: details.get(name)
            for name in ("trades", "gain_evidence", "loss_evidence", "parity")
        },
    }
