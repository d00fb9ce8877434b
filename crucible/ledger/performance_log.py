"""The performance log: one JSON line for each closed trade and each verdict that moved an agent.

``performance_log.jsonl`` of a run is for people and their scripts; nothing of ours reads it. Both writers, the arena
and the Watchtower, write it here.
"""

from __future__ import annotations

import json
from pathlib import Path

from crucible.files import append_line
from crucible.ledger.trades import Trade

FILE = "performance_log.jsonl"


def log_trade(path: Path, trade: Trade) -> None:
    """Add a closed trade; money as text.

    Raises
    ------
    WriteError
        If the file cannot be written.
    """
    _log(
        path,
        {
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
        },
    )


def log_verdict(path: Path, verdict: str, ts: int, agent: str, reason: str) -> None:
    """Add a verdict.

    Raises
    ------
    WriteError
        If the file cannot be written.
    """
    _log(path, {"event": verdict, "ts": ts, "agent": agent, "reason": reason})


def _log(path: Path, line: dict[str, object]) -> None:
    append_line(path, json.dumps(line, sort_keys=True))
