"""What the arena shows to the outside: a status file and the performance log, both plain JSON."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from crucible.arena.agent import Agent
from crucible.execution.trades import Trade


@dataclass(frozen=True, slots=True)
class ArenaFiles:
    """Where the arena keeps its state."""

    ledger: Path
    performance_log: Path
    status: Path
    lake: Path


def write_status(
    path: Path,
    market_ts: int,
    agents: list[Agent],
    prices: dict[str, Decimal],
    capital: Decimal,
    extra: dict[str, Any],
) -> None:
    """Write the status file atomically: market time, every agent, and the engine's own figures."""
    rows = []
    for agent in agents:
        equity = agent.equity(capital, prices.get(agent.strategy.symbol))
        rows.append(
            {
                "agent": agent.name,
                "slot": agent.seat.slot,
                "version": agent.seat.version,
                "role": agent.seat.role,
                "symbol": agent.strategy.symbol,
                "kind": agent.strategy.kind,
                "proven": agent.seat.proven,
                # Of the figures below: whether they are the arena's own, or the venue's.
                "simulated": agent.mode == "shadow",
                "position": str(agent.book.qty),
                "trades": len(agent.trades),
                "pnl": None if equity is None else str(equity - capital),
                "multipliers": agent.multipliers.to_json(),
                "last_signal": agent.last_signal,
                "last_event": agent.last_event,
            }
        )
    text = json.dumps({"market_ts": market_ts, "agents": rows, **extra})
    part = path.with_suffix(".part")
    part.write_text(text)
    part.replace(path)


def timing(minutes: int, decide_ms: Collection[float]) -> dict[str, Any]:
    """Give how many minutes were traded, and how long a minute takes from candle to orders sent."""
    ordered = sorted(decide_ms)
    return {
        "minutes": minutes,
        "decide_ms_p50": ordered[len(ordered) // 2],
        "decide_ms_p99": ordered[int(len(ordered) * 0.99)],
    }


def append_line(path: Path, line: dict[str, Any]) -> None:
    """Append one JSON line to the performance log."""
    with path.open("a", encoding="utf-8") as log:
        log.write(json.dumps(line, sort_keys=True) + "\n")


def trade_line(trade: Trade) -> dict[str, Any]:
    """Give a closed trade as a line of the performance log."""
    return {
        "event": "trade",
        "ts": trade.exit_ts,
        "agent": trade.agent,
        "version": trade.version,
        "symbol": trade.symbol,
        "mode": trade.mode,
        "entry_ts": trade.entry_ts,
        "entry_price": str(trade.entry_price),
        "exit_price": str(trade.exit_price),
        "qty": str(trade.qty),
        "fees": str(trade.fees),
        "pnl": str(trade.pnl),
        "reason": trade.reason,
    }
