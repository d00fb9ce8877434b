"""One market: candles, who entered and left it and why, what changed, and what its order book says."""

from __future__ import annotations

from typing import Any

from crucible.dashboard.facts import Facts
from crucible.dashboard.history import CANDLES
from crucible.ledger.trades import Fill
from crucible.market.candles import COLUMNS
from crucible.market.timeframes import coarser, step_for
from crucible.settings import MINUTE_MS

SPANS = {"3h": 180, "12h": 720, "1d": 1_440, "3d": 4_320, "1w": 10_080, "1mo": 43_200}
"""Market minutes that can be looked at, by name."""
DEFAULT = "12h"
MARKS = 600
"""Entries and exits that a chart shows at most; more of them are thinned evenly."""


def market(facts: Facts, symbol: str, span: str) -> dict[str, Any] | None:
    """Give one symbol's chart over a span, as JSON values; None where the symbol is not traded or tracked."""
    if symbol not in facts.symbols:
        return None
    minutes = SPANS.get(span, SPANS[DEFAULT])
    # Before anything is decided there is no market time: the newest candle stands for it.
    now = facts.market_ts or facts.prices.newest_close(symbol) or 0
    since = max(0, now - minutes * MINUTE_MS)
    step = step_for(minutes, CANDLES)
    known = facts.prices.minutes(facts.tape, symbol, since)
    candles = coarser(known.candles, step)
    book, book_trouble = facts.prices.book_minutes(symbol, since)
    fills, fills_left_out = (
        ([], 0) if facts.ledger is None else facts.ledger.fills_since(symbol, since, MARKS)
    )
    features, features_left_out = _features(facts, symbol, since)
    newest = int(candles.close_ts[-1]) if len(candles) else None
    return {
        "symbol": symbol,
        "symbols": facts.symbols,
        "span": span if span in SPANS else DEFAULT,
        "spans": list(SPANS),
        "market_ts": facts.market_ts,
        "since_ts": since,
        "step_minutes": step,
        "candles_until_ts": newest,
        "missing_minutes": sum(missing for _, missing in known.candles.gaps()),
        "candles": {name: getattr(candles, name).tolist() for name in COLUMNS},
        "candles_trouble": known.trouble,
        "fills": [_mark(fill) for fill in fills],
        "fills_left_out": fills_left_out,
        "regime_changes": _regime_changes(facts, symbol, since, step),
        "features": features,
        "features_left_out": features_left_out,
        "book": book,
        "book_trouble": book_trouble,
        "holders": _holders(facts, symbol),
        "states": [
            scope.to_json() for scope in facts.status.trading.scopes if scope.symbol == symbol
        ],
    }


def _mark(fill: Fill) -> dict[str, Any]:
    return {
        "ts": fill.exec_ts,
        "agent": fill.agent,
        "side": fill.side,
        "qty": str(fill.qty),
        "price": str(fill.price),
        "fee": str(fill.fee),
        "mode": fill.mode,
        "reason": fill.reason,
    }


def _regime_changes(facts: Facts, symbol: str, since: int, step: int) -> list[int]:
    """Give the candles in which an agent left because the regime changed: others are not recorded."""
    if facts.ledger is None:
        return []
    return facts.ledger.times_of_fills(symbol, since, "regime", step * MINUTE_MS)


def _features(facts: Facts, symbol: str, since: int) -> tuple[list[dict[str, Any]], int]:
    """Give what radar, micro-causality and influence said at each entry: they are recorded there alone."""
    if facts.ledger is None:
        return [], 0
    names = [row.agent for row in facts.agents if row.symbol == symbol]
    found = []
    decisions, left_out = facts.ledger.sized_since(names, since, MARKS)
    for decision in decisions:
        inputs: dict[str, Any] = {}
        for each in decision["sizing"]["multipliers"].values():
            if isinstance(each, dict):
                inputs |= each.get("inputs") or {}
        found.append({"ts": decision["ts"], "agent": decision["agent"], **inputs})
    return found, left_out


def _holders(facts: Facts, symbol: str) -> list[dict[str, Any]]:
    held = []
    for row in facts.agents:
        for mode in ("live", "shadow"):
            own = facts.tally.agents.get((row.agent, mode))
            book = None if own is None else own.books.get(symbol)
            if book is not None and book.qty != 0:
                held.append(
                    {
                        "agent": row.agent,
                        "mode": mode,
                        "qty": str(book.qty),
                        "cost": str(book.cost),
                        "entry_ts": book.entry_ts,
                    }
                )
    return held
