"""A walk-forward's summary as a table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType

from crucible.operations.sheet import Column, Sheet
from crucible.text import moment
from crucible.walk_forward.report import number, percent


def summary_table(summary: Mapping[str, Any]) -> RenderableType:
    """Give one row for each rule of selection, its figures with their standard errors."""
    title = (
        f"{', '.join(summary['slots'])}: {moment(summary['from_ts'])} to {moment(summary['to_ts'])} UTC, "
        f"{summary['forge_runs']} forge runs, {summary['registered']} versions, {summary['proven']} proven at birth"
    )
    sheet = Sheet(
        title,
        Column("rule", "name"),
        Column("net return", "figure"),
        Column("Sharpe, annual", "figure"),
        Column("drawdown", "figure"),
        Column("the factory is ahead by", "figure"),
        Column("trades", "figure"),
        Column("culled", "figure"),
        Column("promoted", "figure"),
    )
    for place, row in enumerate(summary["rows"]):
        sheet.add(
            row["name"],
            percent(row["net_return"], row["net_return_error"]),
            number(row["sharpe_annual"], row["sharpe_annual_error"]),
            percent(row["max_drawdown"]),
            percent(row["factory_ahead"], row["factory_ahead_error"]) if place else "-",
            *(number(row.get(name)) for name in ("trades", "culled", "promoted")),
        )
    return sheet
