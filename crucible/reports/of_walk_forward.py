"""A walk-forward as a report's subject: read from the folder that it left."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

from crucible.market.lake import Lake
from crucible.operations.reconciliation.accounts import ZERO
from crucible.reports.of_run import ReportError
from crucible.reports.subject import ClosedTrade, Costs, Subject
from crucible.settings import MINUTE_MS, Slot
from crucible.text import moment

SUMMARY, EQUITY, TRADES = "summary.json", "equity.parquet", "trades.parquet"
VERDICTS, LIVES = "verdicts.parquet", "agents.parquet"
OWN, HOLD = "factory", "buy and hold"


def subject_of_walk_forward(folder: Path, lake: Lake) -> Subject:
    """Read what the factory's own rule of selection did in a walk-forward.

    Parameters
    ----------
    folder : Path
        The folder that a walk-forward was asked to write to.
    lake : Lake
        Candles to draw the trades on.

    Raises
    ------
    ReportError
        If the folder is not one that a walk-forward left.
    """
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        equity, trades = _rows(folder / EQUITY), _rows(folder / TRADES)
        verdicts, lives = _rows(folder / VERDICTS), _rows(folder / LIVES)
        return _made(folder, summary, equity, trades, verdicts, lives, lake)
    except (OSError, ValueError, LookupError, TypeError, ArithmeticError) as error:
        said = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        message = (
            f"{folder}: holds no outcome of a walk-forward ({said}); name the folder of its --out"
        )
        raise ReportError(message) from error


def _made(
    folder: Path,
    summary: dict[str, Any],
    equity: list[dict[str, Any]],
    trades: list[dict[str, Any]],
    verdicts: list[dict[str, Any]],
    lives: list[dict[str, Any]],
    lake: Lake,
) -> Subject:
    capital = Decimal(summary["capital"])
    marks = [_mark(row, capital) for row in equity]
    first_ts, last_ts = marks[0][0], marks[-1][0]
    own = [row for row in trades if row["rule"] == OWN and row["role"] == "production"]
    closed = sorted(map(_closed, own), key=lambda trade: trade.exit_ts)
    notes = [
        "A walk-forward simulates: fills are at opens, and slippage is in their prices.",
        "Profits of the curve are kept as shares of the capital, so they are exact to 15 digits, not to the last one.",
    ]
    candles = {}
    for symbol in sorted({Slot.parse(name).symbol for name in summary["slots"]}):
        found = lake.read(symbol)
        span = None if found is None else found.between(first_ts, last_ts + MINUTE_MS)
        if span is None or not len(span):
            notes.append(
                f"{symbol}: the lake has no candles of this time, so no trades are drawn on them."
            )
        else:
            candles[symbol] = span
    return Subject(
        title=f"Walk-forward of {', '.join(summary['slots'])}",
        facts=[
            ("folder", folder.name),
            ("from", f"{moment(first_ts)} UTC"),
            ("to", f"{moment(last_ts)} UTC"),
            ("capital", f"{capital:,} USDT"),
            ("forge runs", str(summary["forge_runs"])),
        ],
        capital=capital,
        first_ts=first_ts,
        last_ts=last_ts,
        marks=marks,
        hold=_hold(equity, capital),
        hold_name="all symbols of its slots",
        hold_costs="fees and slippage charged, funding not",
        no_hold="the walk-forward does not know it at every instant",
        trades=closed,
        costs=Costs(
            sum((trade.fees for trade in closed), ZERO),
            sum((trade.funding for trade in closed), ZERO),
        ),
        verdicts=[
            {name: row[name] for name in ("ts", "agent", "verdict", "reason", "role")}
            for row in verdicts
            if row["rule"] == OWN
        ],
        agents=[_life(row) for row in lives if row["rule"] == OWN],
        candles=candles,
        notes=notes,
    )


def _mark(row: dict[str, Any], capital: Decimal) -> tuple[int, Decimal]:
    profit = _profit(row, OWN)
    if profit is None:
        message = f"{OWN!r} at {row['ts']} is no number"
        raise ValueError(message)
    return int(row["ts"]), capital + capital * Decimal(repr(profit))


def _hold(equity: list[dict[str, Any]], capital: Decimal) -> list[float] | None:
    profits = [_profit(row, HOLD) for row in equity]
    known = [profit for profit in profits if profit is not None]
    return [float(capital) * (1.0 + each) for each in known] if len(known) == len(equity) else None


def _profit(row: dict[str, Any], name: str) -> float | None:
    value = row.get(name)
    return float(value) if value is not None and math.isfinite(value) else None


def _closed(row: dict[str, Any]) -> ClosedTrade:
    return ClosedTrade(
        agent=str(row["agent"]),
        symbol=Slot.parse(row["slot"]).symbol,
        entry_ts=int(row["entry_ts"]),
        exit_ts=int(row["exit_ts"]),
        qty=Decimal(row["qty"]),
        entry_price=Decimal(row["entry_price"]),
        exit_price=Decimal(row["exit_price"]),
        fees=Decimal(row["fees"]),
        funding=Decimal(row["funding"]),
        profit=Decimal(row["profit"]),
        net_return=float(row["net_return"]),
        reason=str(row["reason"]),
    )


def _life(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "agent": str(row["agent"]),
        "role": str(row["role"]),
        "proven": bool(row["proven_by"]),
        "proven_by": str(row["proven_by"]),
        "trades": int(row["trades"]),
        "fees": str(row["fees"]),
        "pnl": str(row["profit"]),
        "position": "",
        "since_ts": int(row["since_ts"]),
        "until_ts": int(row["until_ts"]),
        "end": str(row["end"]),
    }


def _rows(path: Path) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    except pa.ArrowException as error:
        message = f"{path.name} cannot be read: {error}"
        raise ValueError(message) from error
    return found
