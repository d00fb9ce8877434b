"""How status and report look to a person."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from crucible.operations.books import plain
from crucible.operations.report import Report
from crucible.operations.status import ServiceStatus, Status, market_time

_COLOURS = {"up": "green", "starting": "yellow", "down": "red"}


def status_view(status: Status, footer: str = "") -> RenderableType:
    """Two tables: services and agents."""
    parts: list[RenderableType] = [services_table(status.services, status.memory_mb)]
    if status.agents:
        parts.append(agents_table(status.agents, market_time(status.market_ts)))
    if footer:
        parts.append(Text(footer, style="dim"))
    return Group(*parts)


def services_table(services: list[ServiceStatus], total_mb: float) -> Table:
    """One line per service, and the memory of all."""
    table = _table("Services", show_footer=True)
    table.add_column("service", footer="all")
    table.add_column("state")
    table.add_column("address", no_wrap=True)
    table.add_column("memory", justify="right", footer=f"{total_mb:,.0f} MB")
    table.add_column("last event", overflow="fold")
    for service in services:
        table.add_row(
            service.name,
            Text(service.state, style=_COLOURS[service.state]),
            service.address,
            f"{service.memory_mb:,.0f} MB" if service.memory_mb else "",
            service.event,
        )
    return table


def agents_table(agents: list[dict[str, Any]], title: str) -> Table:
    """One line per agent; an unproven version carries its mark."""
    table = _table(f"Agents at {title}  (* unproven)")
    table.add_column("agent", no_wrap=True)
    table.add_column("role", no_wrap=True)
    for name in ("position", "trades", "PnL"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("signal")
    table.add_column("last event", overflow="fold")
    for agent in agents:
        table.add_row(
            _marked(agent),
            str(agent.get("role", "")),
            str(agent.get("position", "")),
            str(agent.get("trades", "")),
            money(agent.get("pnl")),
            str(agent.get("last_signal") or ""),
            str(agent.get("last_event") or ""),
        )
    return table


def report_view(report: Report) -> RenderableType:
    """Tables of agents and books, then every difference and note."""
    parts: list[RenderableType] = [_headline(report)]
    if report.agents:
        parts.append(_report_agents(report.agents))
    parts.append(_books_table(report))
    if report.books_agree:
        parts.append(Text("The three books agree to the last unit.", style="green"))
    parts += [Text(f"DIFFERENT  {line}", style="red") for line in report.disagreements]
    parts += [Text(line, style="dim") for line in report.notes]
    return Group(*parts)


def figures_table(title: str, figures: Mapping[str, object]) -> Table:
    """Names and values, one per line; a figure that is not defined says so."""
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in figures.items():
        text = f"{value:,.4g}" if isinstance(value, float) else str(value)
        table.add_row(name.replace("_", " "), "not defined" if value is None else text)
    return table


def _headline(report: Report) -> Text:
    document = report.to_json()
    versions = "unknown" if report.versions is None else str(report.versions)
    pnl = "unknown" if document["pnl"] is None else money(document["pnl"])
    return Text(
        f"Run {report.run}: {len(report.agents)} agents, {versions} versions, "
        f"{document['fills']} fills, fees {money(document['fees'])}, PnL {pnl} USDT",
        style="bold",
    )


def _report_agents(agents: list[dict[str, Any]]) -> Table:
    table = _table("Agents  (* unproven)")
    table.add_column("agent", no_wrap=True)
    table.add_column("role", no_wrap=True)
    for name in ("live", "shadow", "trades", "fees", "PnL", "position"):
        table.add_column(name, justify="right", no_wrap=True)
    for agent in agents:
        table.add_row(
            _marked(agent),
            agent["role"] if agent["active"] else f"{agent['role']}, left",
            str(agent["fills"]["live"]),
            str(agent["fills"]["shadow"]),
            str(agent["trades"]),
            money(agent["fees"]),
            money(agent["pnl"]),
            agent["position"],
        )
    return table


def _books_table(report: Report) -> Table:
    table = _table("Books (USDT)")
    table.add_column("")
    for keeper in report.books:
        table.add_column(keeper, justify="right")
    values = [book.to_json(report.marks) if book else None for book in report.books.values()]
    for name in ("fills", "fees", "funding", "cash", "pnl"):
        cells = [str(value[name]) if value and value[name] is not None else "-" for value in values]
        table.add_row(name, *cells)
    held = [book.positions if book else {} for book in report.books.values()]
    for symbol in sorted({symbol for positions in held for symbol in positions}):
        table.add_row(symbol, *(plain(positions.get(symbol, Decimal(0))) for positions in held))
    return table


def _table(title: str, *, show_footer: bool = False) -> Table:
    """Lines between head and rows only: narrow terminals have room for the names."""
    return Table(title=title, title_justify="left", show_footer=show_footer, box=SIMPLE_HEAD)


def _marked(agent: dict[str, Any]) -> str:
    return str(agent.get("agent", "")) + ("" if agent.get("proven") else " *")


def money(value: object) -> str:
    """Two decimals for the eye; the exact figure is in the JSON."""
    if value is None:
        return ""
    return f"{Decimal(str(value)):,.2f}"
