"""One market: candles, who entered and left it and why, what changed, and what its order book says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crucible.dashboard.facts import Facts
from crucible.dashboard.history import CANDLES
from crucible.ledger.page_reader import PageReader
from crucible.ledger.readings import FIGURES, KEPT_MINUTES, Step
from crucible.ledger.trades import Fill
from crucible.market.candles import COLUMNS
from crucible.market.timeframes import coarser, step_for
from crucible.settings import MINUTE_MS

SPANS = {"3h": 180, "12h": 720, "1d": 1_440, "3d": 4_320, "1w": 10_080, "1mo": KEPT_MINUTES}
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
        "readings": _readings(facts.ledger, symbol, since, step * MINUTE_MS),
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


def _readings(ledger: PageReader | None, symbol: str, since: int, step_ms: int) -> dict[str, Any]:
    """Give what the features said of every candle, whether anybody traded or not."""
    steps = [] if ledger is None else ledger.readings(symbol, since, step_ms)
    held = {step.ts: step for step in steps}
    # A candle without a reading is a gap in every line, never a way across it.
    every = range(steps[0].ts, steps[-1].ts + 1, step_ms) if steps else ()
    lines = {
        name: [getattr(held[ts], name) if ts in held else None for ts in every] for name in FIGURES
    }
    return {
        "minutes": sum(step.minutes for step in steps),
        "regime_minutes": sum(step.regime_minutes for step in steps),
        "regime_changes": _bands(steps, step_ms),
        "ts": list(every),
        "lines": lines,
        "empty": _empty(ledger, lines),
    }


def _bands(steps: list[Step], step_ms: int) -> list[list[int]]:
    """Give beginning and end of each run of candles in which the regime was taken to have changed."""
    bands: list[list[int]] = []
    for step in steps:
        if not step.regime_change_detected:
            continue
        if bands and bands[-1][1] == step.ts:
            bands[-1][1] += step_ms
        else:
            bands.append([step.ts, step.ts + step_ms])
    return bands


def _empty(ledger: PageReader | None, lines: Mapping[str, list[float | None]]) -> dict[str, str]:
    """Say of each line without any figure why it has none."""
    if ledger is None:
        every = "the run has no ledger yet"
    elif not ledger.keeps_readings():
        every = "an older Crucible recorded this run; the run that crucible up begins next has them"
    elif not any(lines.values()):
        every = "no minute of this time is recorded"
    else:
        every = "not known in this time: too little history yet, or too old to count"
    missing = {} if ledger is None else ledger.missing_sources()
    return {
        name: f"no source: {missing[name]}" if name in missing else every
        for name, line in lines.items()
        if all(value is None for value in line)
    }


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
