"""One agent: what it earned, how it is judged, what it decided last and where it comes from."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from crucible.dashboard.curves import MARK_MS, drawdown_path, grid, thin
from crucible.dashboard.facts import Facts
from crucible.dashboard.views.rows import agent_row, cause_of_end, mode_of, money, newest_cards
from crucible.dashboard.views.words import decision_in_words
from crucible.ledger.page_reader import NEWEST, PageReader
from crucible.ledger.reader import AgentRow
from crucible.ledger.trades import Trade
from crucible.operations.reconciliation.accounts import plain

POINTS = 400
TRADES = 300
DECISIONS = 50
JUDGED = 200
"""Judgements that the chart of evidence shows at most."""


def agent(facts: Facts, name: str) -> dict[str, Any] | None:
    """Give everything that is known of one agent; None where the ledger does not know it."""
    row = next((each for each in facts.agents if each.agent == name), None)
    if row is None or facts.ledger is None:
        return None
    ledger, now = facts.ledger, facts.market_ts or row.since_ts
    cards = newest_cards(facts)
    shown = facts.shown.get(name, {})
    trades = ledger.trades(name)
    until = NEWEST if row.until_ts is None else (row.until_ts + 1, 0)
    decisions = ledger.newest_decisions(name, until, DECISIONS, _first_ts(row, trades))
    ended = row.until_ts is not None
    return {
        **agent_row(facts, row, cards),
        "market_ts": facts.market_ts,
        "cause_of_end": cause_of_end(facts, row) if ended else None,
        "venue": money(facts.tally.of(name, "live").sums),
        "shadow": money(facts.tally.of(name, "shadow").sums),
        "equity": _equity(facts, row, trades, now),
        "trades_shown": [_trade(trade) for trade in reversed(trades[-TRADES:])],
        "trades_in_all": len(trades),
        "evidence": _evidence(facts, row, now),
        "bounds": bounds(facts),
        "decisions": [
            {
                **{k: v for k, v in each.items() if k not in {"place", "sizing"}},
                "words": decision_in_words(each),
            }
            for each in decisions
        ],
        "sizing": next((each["sizing"] for each in decisions if each["sizing"]), None),
        "multipliers": shown.get("multipliers") or None,
        "parity_days": _parity(ledger, name, now),
        "orders": ledger.orders(name)[-20:],
        "strategy": row.strategy,
    }


def bounds(facts: Facts) -> dict[str, float | int] | None:
    """Give the bounds at which the Watchtower decides; None where settings cannot be used."""
    if facts.settings is None:
        return None
    rules = facts.settings.watchtower
    return {
        "promote_at": 1.0 / (1.0 - rules.promote_confidence),
        "cull_at": 1.0 / (1.0 - rules.cull_confidence),
        "futility": rules.futility,
        "minimum_trades": rules.minimum_trades,
        "max_drawdown": rules.max_drawdown,
        "minimum_parity": rules.minimum_parity,
        "idle_minutes": rules.idle_minutes,
    }


def _first_ts(row: AgentRow, trades: list[Trade]) -> int:
    """Give when it began to trade: a promoted one has traded in shadow before it took its seat."""
    return min([row.since_ts, *(trade.entry_ts for trade in trades[:1])])


def _equity(facts: Facts, row: AgentRow, trades: list[Trade], now: int) -> dict[str, Any]:
    assert facts.ledger is not None
    mode = mode_of(row)
    until = row.until_ts if row.until_ts is not None else now
    instants = grid(min(row.since_ts, until), until, POINTS)
    held = facts.ledger.equity_at(row.agent, instants, mode)
    points = [(ts, held[ts]) for ts in instants if ts in held]
    newest = facts.ledger.newest_marks(row.agent, mode, 1)
    points += [mark for mark in newest if not points or mark[0] > points[-1][0]]
    values = [Decimal(value) for _, value in points]
    closed = [trade for trade in trades if trade.mode == mode]
    return {
        "ts": [ts for ts, _ in points],
        "equity": [value for _, value in points],
        "drawdown": drawdown_path(values),
        "simulated": mode == "shadow",
        "exits": thin([[trade.exit_ts, float(trade.net_return)] for trade in closed], POINTS),
    }


def _trade(trade: Trade) -> dict[str, Any]:
    return {
        "entry_ts": trade.entry_ts,
        "exit_ts": trade.exit_ts,
        "mode": trade.mode,
        "symbol": trade.symbol,
        "qty": plain(trade.qty),
        "entry_price": plain(trade.entry_price),
        "exit_price": plain(trade.exit_price),
        "fees": plain(trade.fees),
        "funding": plain(trade.funding),
        "pnl": plain(trade.pnl),
        "net": plain(trade.net_pnl),
        "net_return": trade.net_return,
        "reason": trade.reason,
    }


def _evidence(facts: Facts, row: AgentRow, now: int) -> list[dict[str, Any]]:
    assert facts.ledger is not None
    until = row.until_ts if row.until_ts is not None else now
    step = MARK_MS
    if facts.settings is not None:
        step = facts.settings.watchtower.every_minutes * 60_000
    instants = _every(step, min(row.since_ts, until), until)
    judged = facts.ledger.last_judged()
    if judged is not None and row.until_ts is None:
        instants.append(judged)
    return facts.ledger.evidence(row.agent, sorted(set(instants)))


def _every(step: int, first_ts: int, last_ts: int) -> list[int]:
    whole = step
    while (last_ts - first_ts) // whole > JUDGED:
        whole *= 2
    return list(range(-(-first_ts // whole) * whole, last_ts + 1, whole))


def _parity(ledger: PageReader, name: str, now: int) -> list[dict[str, Any]]:
    return [
        {
            "ts": day.ts,
            "score": day.score,
            "compared": day.compared,
            "equal": day.equal,
            "fills": day.fills,
            "fills_within": day.fills_within,
            "disagreements": list(day.disagreements),
            "reason": day.reason,
        }
        for day in ledger.parity(name, now - 90 * 86_400_000, now + 86_400_000)
    ]
