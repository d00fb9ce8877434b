"""What came of a backtest, for the eye: dates, buying and holding, what the trades were like, and which candles had been seen before."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from crucible.forge.reporting.explain import WINDOWS
from crucible.operations.sheet import Column, Sheet, open_console
from crucible.operations.tables import figures_table
from crucible.text import moment


def print_backtest(done: Mapping[str, Any]) -> None:
    """Print a backtest: figures, trades by the reason of their exit, and a word on candles that it was forged on.

    Parameters
    ----------
    done : mapping
        What `crucible.forge.command.backtest_command` gives.
    """
    console = open_console()
    title = f"{done['strategy']['symbol']} {done['strategy']['kind']}: {len(done['trades'])} trades"
    title += f"; {done['candles']['description']}; funding {done['funding']}"
    figures = {**done["summary"], "buy_and_hold": done["hold_return"]}
    console.print(figures_table(title, figures))
    if done["trades"]:
        console.print(_reasons(done["trades"]))
        console.print(_extremes(done["trades"]))
    if "sized" in done:
        sized = {name: value for name, value in done["sized"].items() if name != "trades"}
        console.print(figures_table("At the sizes that an unproven agent gives them", sized))
    for line in _seen(done["seen"]):
        print(line)


def _reasons(trades: Sequence[Mapping[str, Any]]) -> Sheet:
    """Count trades by the reason of their exit."""
    sheet = Sheet(
        "Why trades ended",
        Column("reason", "name"),
        *(Column(name, "figure") for name in ("trades", "won", "mean return", "mean minutes")),
    )
    by_reason: dict[str, list[Mapping[str, Any]]] = {}
    for trade in trades:
        by_reason.setdefault(str(trade["reason"]), []).append(trade)
    for reason, own in sorted(by_reason.items(), key=lambda item: -len(item[1])):
        returns = [float(trade["net_return"]) for trade in own]
        sheet.add(
            reason,
            str(len(own)),
            f"{sum(value > 0 for value in returns) / len(own):.0%}",
            f"{statistics.fmean(returns):+.3%}",
            f"{statistics.fmean(map(_minutes, own)):,.0f}",
        )
    return sheet


def _extremes(trades: Sequence[Mapping[str, Any]]) -> Sheet:
    """Show the best, the worst, the first and the last trade."""
    sheet = Sheet(
        "Trades",
        *(Column(name, "name") for name in ("", "entered", "left", "why")),
        *(Column(name, "figure") for name in ("entry", "exit", "return")),
    )
    ranked = sorted(trades, key=lambda trade: float(trade["net_return"]))
    for name, trade in (
        ("best", ranked[-1]),
        ("worst", ranked[0]),
        ("first", trades[0]),
        ("last", trades[-1]),
    ):
        sheet.add(
            name,
            moment(trade["entry_ts"]),
            moment(trade["exit_ts"]),
            str(trade["reason"]),
            f"{trade['entry_price']:,.8g}",
            f"{trade['exit_price']:,.8g}",
            f"{trade['net_return']:+.3%}",
        )
    return sheet


def _seen(seen: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say how much of the candles a forge run had seen, window by window."""
    lines = []
    for window in seen:
        if window["share"] <= 0:
            continue
        name = WINDOWS.get(window["name"], window["name"])
        until = moment(window["last_ts"])
        lines.append(
            f"{window['share']:.0%} of these candles are its {name} window (to {until}): "
            + (
                "it was chosen by them, so they prove nothing"
                if window["name"] != "sealed"
                else "they decided nothing"
            )
        )
    return lines


def _minutes(trade: Mapping[str, Any]) -> float:
    return float(int(trade["exit_ts"]) - int(trade["entry_ts"])) / 60_000
