"""The figures of a report: each with its value, its definition, and why it is missing where it is. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import fmean, median
from typing import Any, Literal

import numpy as np

from crucible.operations.reconciliation.accounts import plain
from crucible.reports.daily import (
    FEWEST_DAYS,
    WINDOW_DAYS,
    Days,
    Drawdown,
    Month,
    days_of,
    max_drawdown,
    months_of,
    rolling_sharpe,
    sharpe,
    sortino,
    volatility,
    winning_days,
    worst_drawdowns,
)
from crucible.reports.subject import ClosedTrade, Subject

Unit = Literal["share", "rate", "money", "ratio", "count", "span"]
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure.

    Attributes
    ----------
    name : str
        Its key in JSON.
    label : str
        What people read.
    unit : {'share', 'rate', 'money', 'ratio', 'count', 'span'}
        A share is a fraction of 1 that may be negative, a rate one that may not, money is in the quote asset, a span in milliseconds.
    value : Decimal, float, int or None
    definition : str
    why : str
        Why there is no value; empty where there is one.
    """

    name: str
    label: str
    unit: Unit
    value: Decimal | float | int | None
    definition: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class ReasonRow:
    """Trades that ended for one reason."""

    reason: str
    trades: int
    share: float
    profit: Decimal
    mean_return: float


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that is computed of a subject."""

    days: Days
    headline: list[Figure]
    months: list[Month]
    drawdowns: list[Drawdown]
    rolling: list[tuple[int, float]]
    reasons: list[ReasonRow]

    def to_json(self, subject: Subject) -> dict[str, Any]:
        """Give the figures as JSON values, money as decimal strings."""
        costs = subject.costs
        return {
            "subject": subject.title,
            "from_ts": subject.first_ts,
            "to_ts": subject.last_ts,
            "whole_days": len(self.days),
            "figures": {
                each.name: {"value": _json(each.value), "unit": each.unit, "why": each.why or None}
                for each in self.headline
            },
            "months": [
                {
                    "month": month.name,
                    "net_return": month.net_return,
                    "profit": plain(month.profit),
                    "whole": month.is_whole,
                }
                for month in self.months
            ],
            "drawdowns": [
                {
                    "depth": each.depth,
                    "peak_ts": each.peak_ts,
                    "valley_ts": each.valley_ts,
                    "recovered_ts": each.recovered_ts,
                }
                for each in self.drawdowns
            ],
            "rolling_sharpe": [list(point) for point in self.rolling],
            "daily_equity": [
                [int(ts), value]
                for ts, value in zip(self.days.ts.tolist(), self.days.equity.tolist(), strict=True)
            ],
            "costs": {
                "fees": plain(costs.fees),
                "funding": plain(costs.funding),
                "slippage": None if costs.slippage is None else plain(costs.slippage),
                "fills": costs.fills,
                "fills_decided": costs.fills_decided,
            },
            "exit_reasons": [
                {
                    "reason": row.reason,
                    "trades": row.trades,
                    "share": row.share,
                    "profit": plain(row.profit),
                    "mean_return": row.mean_return,
                }
                for row in self.reasons
            ],
            "verdicts": subject.verdicts,
            "agents": subject.agents,
            "proofs": subject.proofs,
            "notes": subject.notes,
        }


def figures_of(subject: Subject) -> Figures:
    """Compute everything of a subject."""
    days = days_of(subject.marks)
    rolling = rolling_sharpe(days)
    headline = [*_of_equity(subject, days), *_of_days(days), *_of_trades(subject.trades)]
    return Figures(
        days,
        headline,
        months_of(subject.marks),
        worst_drawdowns(days),
        rolling,
        reasons_of(subject.trades),
    )


def reasons_of(trades: Sequence[ClosedTrade]) -> list[ReasonRow]:
    """Count trades by why they were closed, the most frequent first."""
    rows = []
    for reason in sorted({trade.reason for trade in trades}):
        own = [trade for trade in trades if trade.reason == reason]
        rows.append(
            ReasonRow(
                reason,
                len(own),
                len(own) / len(trades),
                sum((trade.profit for trade in own), ZERO),
                fmean(trade.net_return for trade in own),
            )
        )
    return sorted(rows, key=lambda row: -row.trades)


def _of_equity(subject: Subject, days: Days) -> list[Figure]:
    begin, end = subject.marks[0][1], subject.marks[-1][1]
    profit = end - begin
    hold = None if subject.hold is None else subject.hold[-1] / subject.hold[0] - 1.0
    no_hold = "" if hold is not None else subject.no_hold
    net = float(profit / begin)
    every = np.array([float(value) for _, value in subject.marks])
    return [
        Figure(
            "profit",
            "Profit",
            "money",
            profit,
            "Equity at the end less equity at the beginning: after fees and funding, what is open at the newest price.",
        ),
        Figure(
            "net_return",
            "Net return",
            "share",
            net,
            "Profit as a share of the equity at the beginning; capital is not compounded.",
        ),
        Figure(
            "hold_return",
            "Buy and hold",
            "share",
            hold,
            f"Return of {subject.hold_name}, bought at the beginning with all capital and held; {subject.hold_costs}.",
            no_hold,
        ),
        Figure(
            "ahead_of_hold",
            "Ahead of buy and hold",
            "share",
            None if hold is None else net - hold,
            "Net return less that of buy and hold.",
            no_hold,
        ),
        _or_why(
            "max_drawdown",
            "Deepest drawdown",
            "share",
            max_drawdown(days.equity),
            "Deepest fall of the equity at midnights (UTC) from its highest before.",
            f"needs 1 whole day; there is {len(days)}",
        ),
        _or_why(
            "max_drawdown_within",
            "Deepest drawdown, within days",
            "share",
            max_drawdown(every),
            "The same on every mark of the curve, parts of days included: never above the one of midnights.",
            "needs two marks",
        ),
    ]


def _of_days(days: Days) -> list[Figure]:
    returns = days.returns
    short = f"needs {FEWEST_DAYS} whole days; there are {len(days)}"
    flat = "the days do not vary enough"
    why = short if len(days) < FEWEST_DAYS else flat
    return [
        Figure(
            "whole_days",
            "Whole days",
            "count",
            len(days),
            "Days from midnight to midnight (UTC) within the span: what every ratio is computed of.",
        ),
        _or_why(
            "sharpe",
            "Sharpe ratio, annual",
            "ratio",
            sharpe(returns),
            "Mean of daily returns over their standard deviation (n - 1), times the root of 365; no risk-free rate.",
            why,
        ),
        _or_why(
            "sortino",
            "Sortino ratio, annual",
            "ratio",
            sortino(returns),
            "Mean of daily returns over the root of their mean squared loss, a gain counting as 0, times the root of 365.",
            why,
        ),
        _or_why(
            "volatility",
            "Volatility, annual",
            "rate",
            volatility(returns),
            "Standard deviation (n - 1) of daily returns, times the root of 365.",
            why,
        ),
        _or_why(
            "winning_days",
            "Winning days",
            "rate",
            winning_days(returns),
            "Share of days that gained, among those whose return is not exactly 0.",
            why,
        ),
        _or_why(
            "best_day",
            "Best day",
            "share",
            float(np.max(returns)) if len(days) else None,
            "Largest return of a whole day.",
            "needs 1 whole day; there is none",
        ),
        _or_why(
            "worst_day",
            "Worst day",
            "share",
            float(np.min(returns)) if len(days) else None,
            "Smallest return of a whole day.",
            "needs 1 whole day; there is none",
        ),
    ]


def _of_trades(trades: Sequence[ClosedTrade]) -> list[Figure]:
    none = "no trade was closed"
    won = [trade for trade in trades if trade.profit > 0]
    lost = [trade for trade in trades if trade.profit < 0]
    gained = sum((trade.profit for trade in won), ZERO)
    given = -sum((trade.profit for trade in lost), ZERO)
    returns = [trade.net_return for trade in trades]
    held = [trade.held_ms for trade in trades]
    return [
        Figure("trades", "Closed trades", "count", len(trades), "From flat to flat."),
        _or_why(
            "win_rate",
            "Winning trades",
            "rate",
            len(won) / len(trades) if trades else None,
            "Share of closed trades with a profit after fees and funding.",
            none,
        ),
        _or_why(
            "profit_factor",
            "Profit factor",
            "ratio",
            float(gained / given) if given else None,
            "Sum of what trades won over the sum of what trades lost.",
            none if not trades else "no trade lost",
        ),
        _or_why(
            "mean_trade",
            "Mean trade",
            "share",
            fmean(returns) if trades else None,
            "Mean return of a closed trade, a fraction of its opening value.",
            none,
        ),
        _or_why(
            "median_trade",
            "Median trade",
            "share",
            median(returns) if trades else None,
            "Median return of a closed trade.",
            none,
        ),
        _or_why(
            "best_trade", "Best trade", "share", max(returns, default=None), "Largest return.", none
        ),
        _or_why(
            "worst_trade",
            "Worst trade",
            "share",
            min(returns, default=None),
            "Smallest return.",
            none,
        ),
        _or_why(
            "median_held",
            "Median time in a trade",
            "span",
            int(median(held)) if trades else None,
            "From the first execution to the last one.",
            none,
        ),
        _or_why(
            "longest_held",
            "Longest trade",
            "span",
            max(held, default=None),
            "From the first execution to the last one.",
            none,
        ),
    ]


def _or_why(
    name: str, label: str, unit: Unit, value: float | None, definition: str, why: str
) -> Figure:
    return Figure(name, label, unit, value, definition, "" if value is not None else why)


def _json(value: Decimal | float | None) -> str | float | None:
    return plain(value) if isinstance(value, Decimal) else value


__all__ = ["WINDOW_DAYS", "Figure", "Figures", "ReasonRow", "figures_of", "reasons_of"]
