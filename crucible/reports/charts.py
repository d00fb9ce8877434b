"""The charts of a report, as plotly draws them: traces and layouts as JSON values. Pure.

Colours are named (``ink``, ``own``, ...) and filled in by the page, for dark and light. What others wrote is escaped,
since plotly reads a little markup.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np

from crucible.forge.backtest.statistics import drawdown_curve
from crucible.market.candles import PRICE_COLUMNS, Candles, Floats
from crucible.market.timeframes import coarser, step_for
from crucible.reports.daily import WINDOW_DAYS
from crucible.reports.figures import Figures
from crucible.reports.subject import ClosedTrade, Subject
from crucible.reports.wording import money, share, span
from crucible.settings import MINUTE_MS
from crucible.text import moment

MOST_POINTS = 2_000
MOST_CANDLES = 600
MOST_TRADES = 2_000


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart.

    Attributes
    ----------
    name : str
        Of its element in the page.
    title, note : str
    traces : list of dict
    layout : dict
    """

    name: str
    title: str
    note: str
    traces: list[dict[str, Any]]
    layout: dict[str, Any] = field(default_factory=dict)


def charts_of(subject: Subject, figures: Figures) -> list[Chart]:
    """Draw everything that there is something to draw of."""
    values = np.array([float(value) for _, value in subject.marks])
    falls = drawdown_curve(values)
    rows = _drawn(values, falls)
    found = [_equity(subject, rows), _falls(subject, falls, rows)]
    if figures.rolling:
        found.append(_rolling(figures))
    if subject.trades:
        found.append(_returns(subject.trades))
        found.append(_held(subject.trades))
    return found


def candle_charts(subject: Subject) -> list[Chart]:
    """Draw the trades of each symbol on its candles."""
    return [
        _candles(symbol, candles, [trade for trade in subject.trades if trade.symbol == symbol])
        for symbol, candles in sorted(subject.candles.items())
        if len(candles)
    ]


def _equity(subject: Subject, rows: Sequence[int]) -> Chart:
    x = [_time(subject.marks[row][0]) for row in rows]
    own = [float(subject.marks[row][1]) for row in rows]
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "equity",
            "x": x,
            "y": own,
            "line": {"color": "own", "width": 2},
            "hovertemplate": "%{x|%Y-%m-%d %H:%M}<br>%{y:,.2f} USDT<extra>equity</extra>",
        }
    ]
    if subject.hold is not None:
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": "buy and hold",
                "x": x,
                "y": [subject.hold[row] for row in rows],
                "line": {"color": "other", "width": 1.5, "dash": "dash"},
                "hovertemplate": "%{x|%Y-%m-%d %H:%M}<br>%{y:,.2f} USDT<extra>buy and hold</extra>",
            }
        )
    note = "Capital and what was earned, what is open at the newest price."
    if subject.hold is None:
        note += f" Buy and hold is not drawn: {subject.no_hold}."
    return Chart("equity", "Equity", note, traces, {"yaxis": {"title": {"text": "USDT"}}})


def _falls(subject: Subject, falls: Floats, rows: list[int]) -> Chart:
    trace = {
        "type": "scatter",
        "mode": "lines",
        "fill": "tozeroy",
        "name": "drawdown",
        "x": [_time(subject.marks[row][0]) for row in rows],
        "y": falls[rows].tolist(),
        "line": {"color": "bad", "width": 1.5},
        "fillcolor": "bad-soft",
        "hovertemplate": "%{x|%Y-%m-%d %H:%M}<br>%{y:.2%}<extra></extra>",
    }
    note = "Fall from the highest equity before, on every mark of the curve."
    return Chart("drawdown", "Drawdown", note, [trace], {"yaxis": {"tickformat": ".1%"}})


def _rolling(figures: Figures) -> Chart:
    trace = {
        "type": "scatter",
        "mode": "lines",
        "name": "Sharpe ratio",
        "x": [_time(ts) for ts, _ in figures.rolling],
        "y": [value for _, value in figures.rolling],
        "line": {"color": "own", "width": 2},
        "hovertemplate": "%{x|%Y-%m-%d}<br>%{y:.2f}<extra></extra>",
    }
    note = f"Annual Sharpe ratio of the {WINDOW_DAYS} whole days before."
    return Chart("rolling", "Rolling Sharpe ratio", note, [trace])


def _returns(trades: Sequence[ClosedTrade]) -> Chart:
    trace = {
        "type": "histogram",
        "x": [trade.net_return for trade in trades],
        "nbinsx": 40,
        "marker": {"color": "own"},
        "hovertemplate": "%{x}<br>%{y} trades<extra></extra>",
    }
    note = "Return of each closed trade after fees and funding, a fraction of its opening value."
    layout = {
        "xaxis": {"type": "linear", "tickformat": ".2%"},
        "yaxis": {"title": {"text": "trades"}},
    }
    return Chart("returns", "Distribution of trade returns", note, [trace], layout)


def _held(trades: Sequence[ClosedTrade]) -> Chart:
    trace = {
        "type": "histogram",
        "x": [trade.held_ms / 60_000 for trade in trades],
        "nbinsx": 40,
        "marker": {"color": "other"},
        "hovertemplate": "%{x} minutes<br>%{y} trades<extra></extra>",
    }
    note = "Minutes from the first execution of a trade to its last one."
    layout = {
        "xaxis": {"type": "linear", "title": {"text": "minutes"}},
        "yaxis": {"title": {"text": "trades"}},
    }
    return Chart("durations", "How long trades were held", note, [trace], layout)


def _candles(symbol: str, candles: Candles, trades: Sequence[ClosedTrade]) -> Chart:
    minutes, shown = _grouped(candles)
    newest = trades[-MOST_TRADES:]
    traces: list[dict[str, Any]] = [
        {
            "type": "candlestick",
            "name": symbol,
            **shown,
            "increasing": {"line": {"color": "up", "width": 1}, "fillcolor": "paper"},
            "decreasing": {"line": {"color": "down", "width": 1}, "fillcolor": "down"},
            "showlegend": False,
        },
        _markers(
            "entries",
            [(trade.entry_ts, float(trade.entry_price), _entry(trade)) for trade in newest],
            "triangle-up",
            "own",
        ),
        _markers(
            "exits",
            [(trade.exit_ts, float(trade.exit_price), _exit(trade)) for trade in newest],
            "triangle-down",
            "bad",
        ),
    ]
    each = f"{minutes} minutes" if minutes < 60 else f"{minutes // 60} hours"
    note = f"Candles of {'1 minute' if minutes == 1 else '1 hour' if minutes == 60 else each}."
    if len(newest) < len(trades):
        note += f" The newest {len(newest):,} of {len(trades):,} trades."
    layout = {"xaxis": {"rangeslider": {"visible": False}}, "yaxis": {"title": {"text": "price"}}}
    return Chart(f"candles-{symbol}", f"Trades on candles: {symbol}", note, traces, layout)


def _markers(
    name: str, points: Sequence[tuple[int, float, str]], shape: str, colour: str
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [_time(ts) for ts, _, _ in points],
        "y": [price for _, price, _ in points],
        "text": [text for _, _, text in points],
        "marker": {
            "symbol": shape,
            "size": 10,
            "color": colour,
            "line": {"color": "ink", "width": 1},
        },
        "hovertemplate": "%{x|%Y-%m-%d %H:%M}<br>%{y:,}<br>%{text}<extra></extra>",
    }


def _entry(trade: ClosedTrade) -> str:
    return escape(f"{trade.agent} enters, {trade.qty:f}")


def _exit(trade: ClosedTrade) -> str:
    return escape(
        f"{trade.agent} exits: {trade.reason}, {share(trade.net_return)}, {money(trade.profit)} USDT "
        f"after {span(trade.held_ms)}"
    )


def _grouped(candles: Candles) -> tuple[int, dict[str, Any]]:
    """Put candles together until a screen can show them."""
    step = step_for(int(candles.ts[-1] - candles.ts[0]) // MINUTE_MS + 1, MOST_CANDLES)
    shown = coarser(candles, step)
    prices = {name: getattr(shown, name).tolist() for name in PRICE_COLUMNS}
    return step, {"x": [_time(int(ts)) for ts in shown.ts.tolist()], **prices}


def _drawn(equity: Floats, falls: Floats) -> list[int]:
    """Choose the rows that both curves show: the ends, and of each stretch its highest equity and its deepest fall."""
    count = len(equity)
    if count <= MOST_POINTS:
        return list(range(count))
    edges = np.linspace(0, count, MOST_POINTS // 2).round().astype(int).tolist()
    rows = {0, count - 1}
    for start, stop in itertools.pairwise(edges):
        rows.add(start + int(np.argmax(equity[start:stop])))
        rows.add(start + int(np.argmin(falls[start:stop])))
    return sorted(rows)


def _time(ts: int) -> str:
    return moment(ts)
