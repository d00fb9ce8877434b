"""How status and report look to a person."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from crucible.ledger.reader import SHADOW_ROLES
from crucible.operations.reconciliation.accounts import plain
from crucible.operations.reconciliation.report import Report
from crucible.operations.sheet import Column, Sheet
from crucible.operations.status import ServiceStatus, Status, market_time
from crucible.operations.trading_state import Trading

_TRADING = {"ACTIVE": "green", "REDUCE_ONLY": "bold yellow", "STOPPED": "bold"}
_COLOURS = {"up": "green", "starting": "yellow", "down": "red"}


def status_view(status: Status, footer: str = "") -> RenderableType:
    """Show what may be sent, then tables of services and agents."""
    parts: list[RenderableType] = [trading_line(status.trading)]
    if status.systemic:
        parts.append(systemic_line(status.systemic))
    if status.placebos:
        parts.append(placebos_line(status.placebos))
    parts.append(services_table(status.services, status.memory_mb))
    parts += agents_tables(status.agents, market_time(status.market_ts))
    if footer:
        parts.append(Text(footer, style="dim"))
    return Group(*parts)


def trading_line(trading: Trading) -> Text:
    """Show the trading state, and the command that lifts it."""
    first, *others = trading.lines
    text = Text("Trading: ", style="bold")
    held = trading.state == "ACTIVE" and trading.why
    text.append(first, style=_TRADING.get("REDUCE_ONLY" if held else trading.state, "bold red"))
    for line in others:
        text.append(f"\n  {line}", style="bold yellow")
    return text


def placebos_line(check: Mapping[str, Any]) -> Text:
    """Show what placebos say of the Watchtower's error rates."""
    return Text(str(check.get("sentence", "")), style="bold red" if check.get("alarm") else "dim")


def systemic_line(fault: Mapping[str, Any]) -> Text:
    """Show that many agents were culled at once, and what to look at."""
    said = f"{fault.get('sentence')}. Next: {fault.get('next')}"
    if fault.get("alarm"):
        return Text(f"ALARM: {said}", style="bold red")
    return Text(said, style="bold yellow")


def services_table(services: list[ServiceStatus], total_mb: float) -> Sheet:
    """One line per service, and the memory of all."""
    sheet = Sheet(
        "Services",
        Column("service", "name", "all"),
        Column("state", "name"),
        Column("address", "name"),
        Column("memory", "figure", f"{total_mb:,.0f} MB"),
        Column("last event", "text"),
    )
    for service in services:
        sheet.add(
            service.name,
            Text(service.state, style=_COLOURS[service.state]),
            service.address,
            f"{service.memory_mb:,.0f} MB" if service.memory_mb else "",
            service.event,
        )
    return sheet


def agents_tables(agents: list[dict[str, Any]], at: str) -> list[Sheet]:
    """One line per agent, those at the venue apart from those that are only simulated.

    An unproven version carries its mark.
    """
    real = [agent for agent in agents if not is_simulated(agent)]
    simulated = [agent for agent in agents if is_simulated(agent)]
    sheets = []
    if real:
        sheets.append(_agents_table(real, f"Agents at {at}; PnL in USDT  (* unproven)", ""))
    if simulated:
        title = f"Challengers at {at}: SIMULATED, none of this is at the venue; PnL in USDT  (* unproven)"
        sheets.append(_agents_table(simulated, title, "simulated "))
    return sheets


def is_simulated(agent: Mapping[str, Any]) -> bool:
    """Whether an agent's position and profit exist in the arena's books only."""
    return bool(agent.get("simulated", agent.get("role") in SHADOW_ROLES))


def _agents_table(agents: list[dict[str, Any]], title: str, mark: str) -> Sheet:
    sheet = Sheet(
        title,
        Column("agent", "name"),
        Column("role", "name"),
        Column("proven by", "name"),
        *(Column(f"{mark}{name}", "figure") for name in ("position", "trades", "PnL")),
        Column("signal", "name"),
        Column("last event", "text"),
    )
    for agent in agents:
        sheet.add(
            _marked(agent),
            str(agent.get("role", "")),
            proven_by(agent),
            str(agent.get("position", "")),
            str(agent.get("trades", "")),
            money(agent.get("pnl")),
            str(agent.get("last_signal") or ""),
            str(agent.get("last_event") or ""),
        )
    return sheet


def report_view(report: Report) -> RenderableType:
    """Tables of agents and books, then every difference and note."""
    parts: list[RenderableType] = [_headline(report)]
    parts += _report_agents(report.agents)
    parts.append(_books_table(report))
    if report.books_agree:
        parts.append(Text("The three accounts are reconciled to the last unit.", style="green"))
    parts += [Text(f"DIFFERENT  {line}", style="red") for line in report.disagreements]
    parts += [Text(line, style="dim") for line in report.notes]
    return Group(*parts)


def figures_table(title: str, figures: Mapping[str, object]) -> RenderableType:
    """Names and values, one per line; a figure that is not defined says so."""
    sheet = Sheet("", Column("", "name"), Column("", "figure"))
    for name, value in figures.items():
        sheet.add(name.replace("_", " "), share(value) if is_share(name) else figure(value))
    return Group(Text(title, style="italic"), sheet)


SHARES = ("return", "drawdown", "rate", "exposure", "fraction", "hold", "mean_trade")
"""Parts of the names of figures that are fractions of something: people read them as percent."""


def is_share(name: str) -> bool:
    """Whether a figure of that name is a fraction of something."""
    return any(part in name for part in SHARES)


def share(value: object) -> str:
    """Write a fraction as percent, small ones with as many places as show them.

    Examples
    --------
    >>> share(0.0688), share(-0.00005276), share(0.0), share(None)
    ('6.88%', '-0.0053%', '0.00%', 'not defined')
    """
    if not isinstance(value, float):
        return figure(value)
    places = 2 if value == 0 or abs(value) >= 0.001 else 4
    return f"{value:.{places}%}"


def figure(value: object) -> str:
    """Write a figure for the eye, never shorter than it is before its decimal point.

    Examples
    --------
    >>> figure(1234567.891), figure(0.012345), figure(None), figure(12)
    ('1,234,567.89', '0.01235', 'not defined', '12')
    """
    if value is None:
        return "not defined"
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.2f}" if abs(value) >= 1_000 else f"{value:.4g}"


def _headline(report: Report) -> Text:
    document = report.to_json()
    versions = "unknown" if report.versions is None else str(report.versions)
    pnl = "unknown" if document["pnl"] is None else money(document["pnl"])
    return Text(
        f"Run {report.run}: {len(report.agents)} agents, {versions} versions, "
        f"{document['fills']} fills, fees {money(document['fees'])}, PnL {pnl} USDT",
        style="bold",
    )


def _report_agents(agents: list[dict[str, Any]]) -> list[Sheet]:
    """Show what agents did at the venue, and apart from it what was only simulated."""
    real = Sheet(
        "Agents at the venue; money in USDT  (* unproven)",
        Column("agent", "name"),
        Column("role", "name"),
        Column("proven by", "name"),
        *(
            Column(name, "figure")
            for name in ("fills", "trades", "fees", "realised PnL", "position")
        ),
    )
    simulated = Sheet(
        "Challengers: SIMULATED, no part of any sum above; money in USDT  (* unproven)",
        Column("agent", "name"),
        Column("role", "name"),
        Column("proven by", "name"),
        *(
            Column(f"simulated {name}", "figure")
            for name in ("fills", "trades", "fees", "PnL", "position")
        ),
    )
    for agent in agents:
        role = agent["role"] if agent["active"] else f"{agent['role']}, left"
        if agent["role"] not in SHADOW_ROLES or agent["fills"]["live"]:
            real.add(
                _marked(agent),
                role,
                proven_by(agent),
                str(agent["fills"]["live"]),
                str(agent["trades"]),
                money(agent["fees"]),
                money(agent["pnl"]),
                agent["position"],
            )
        if (shadow := agent["simulated"]) is not None:
            simulated.add(
                _marked(agent),
                role if agent["role"] in SHADOW_ROLES else f"{role}; a challenger before",
                proven_by(agent),
                str(agent["fills"]["shadow"]),
                str(shadow["trades"]),
                money(shadow["fees"]),
                money(shadow["pnl"]),
                shadow["position"],
            )
    return [sheet for sheet in (real, simulated) if sheet]


def _books_table(report: Report) -> Sheet:
    sheet = Sheet(
        "The three accounts (USDT)",
        Column("", "name"),
        *(Column(keeper, "figure") for keeper in report.books),
    )
    values = [book.to_json(report.marks) if book else None for book in report.books.values()]
    for name in ("fills", "fees", "funding", "cash", "pnl"):
        cells = [str(value[name]) if value and value[name] is not None else "-" for value in values]
        sheet.add(name, *cells)
    held = [book.positions if book else {} for book in report.books.values()]
    for symbol in sorted({symbol for positions in held for symbol in positions}):
        sheet.add(symbol, *(plain(positions.get(symbol, Decimal(0))) for positions in held))
    return sheet


def _marked(agent: dict[str, Any]) -> str:
    return str(agent.get("agent", "")) + ("" if agent.get("proven") else " *")


def proven_by(agent: Mapping[str, Any]) -> str:
    """Name the route by which an agent's version is proven; empty where it is unproven.

    A status file of before names no route: there was only one.
    """
    return str(agent.get("proven_by") or "forged") if agent.get("proven") else ""


def money(value: object) -> str:
    """Two decimals for the eye, more where two would show nothing; the exact figure is in the JSON.

    Examples
    --------
    >>> money("-1234.567"), money("0"), money("-0.00123")
    ('-1,234.57', '0.00', '-0.0012')
    """
    if value is None:
        return "not known"
    amount = Decimal(str(value))
    if amount != 0 and abs(amount) < Decimal("0.005"):
        return plain(Decimal(f"{amount:.1e}"))
    return f"{amount:,.2f}"
