"""Execution: how fast, what is on its way, what was refused, which limits are near, and the three accounts."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from crucible import sqlite
from crucible.dashboard.facts import Facts
from crucible.dashboard.views.rows import day_of, known, open_result
from crucible.ledger.trades import ZERO
from crucible.operations.errors import BooksError
from crucible.operations.reconciliation.own_accounts import open_records

NEWEST = 5_000
"""Newest orders of the journal among which refusals are counted."""
_LINE = re.compile(r"([a-z_]+)(?:\{([^}]*)\})? ([-+0-9.eE]+|NaN|[+-]?Inf)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_MEASURES = {
    "cerebellum_commit_seconds": "an order is on disk",
    "cerebellum_rest_seconds": "the venue answers over REST",
    "cerebellum_trade_socket_seconds": "the venue answers over its socket",
}
COMMAND, FILE = "set by command", "limits file"
"""Where limits are from."""
_QUANTILES = ("0.5", "0.9", "0.95", "0.99", "0.999")


@dataclass(frozen=True, slots=True)
class InForce:
    """Limits of one origin: by section, or why they are not known.

    Attributes
    ----------
    sections : mapping
        As they were written; what is left out does not bind.
    source : str
        Where they are from.
    why : str
        Why they are not known; empty where they are.
    """

    sections: Mapping[str, Any]
    source: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Journal:
    """What the view takes from Cerebellum's journal: open orders, counted refusals, limits that were set by command.

    `note` says why there are none, where the journal cannot be read.
    """

    orders: list[dict[str, Any]]
    refused: list[dict[str, Any]]
    set_limits: InForce
    note: str


def execution(facts: Facts, metrics: str | None) -> dict[str, Any]:
    """Give the view but for the three accounts, which take longer.

    Parameters
    ----------
    facts : Facts
    metrics : str or None
        The text of Cerebellum's metrics; None where it does not answer.
    """
    journal = _read_journal(None if facts.run is None else facts.run.journal)
    return {
        "market_ts": facts.market_ts,
        "trading": facts.status.trading.to_json(),
        "decide_ms": {name: facts.arena.get(f"decide_ms_{name}") for name in ("p50", "p99")},
        "latencies": None if metrics is None else latencies(metrics),
        "counters": None if metrics is None else counters(metrics),
        "orders": journal.orders,
        "refused": journal.refused,
        "refused_of": NEWEST,
        "limits": limits(facts, journal.set_limits),
        "note": journal.note,
    }


def samples(metrics: str) -> list[tuple[str, dict[str, str], float]]:
    """Read Prometheus' text form: name, labels and value of each line; others are left out."""
    found = []
    for line in metrics.splitlines():
        match = _LINE.match(line)
        if match:
            labels = dict(_LABEL.findall(match[2] or ""))
            found.append((match[1], labels, float(match[3])))
    return found


def latencies(metrics: str) -> list[dict[str, Any]]:
    """Give the percentiles that Cerebellum measures, in milliseconds; None where nothing was measured lately.

    Examples
    --------
    >>> latencies('cerebellum_commit_seconds{quantile="0.5"} 0.002')[0]["ms"]["0.5"]
    2.0
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for name, labels, value in samples(metrics):
        base = name.removesuffix("_count").removesuffix("_sum")
        if base not in _MEASURES:
            continue
        path = labels.get("path", "")
        row = rows.setdefault(
            (base, path),
            {"what": _MEASURES[base], "path": path, "ms": dict.fromkeys(_QUANTILES), "count": 0},
        )
        if name.endswith("_count"):
            row["count"] = int(value)
        # Nothing measured lately is exported as 0, which no measurement is.
        elif labels.get("quantile") in _QUANTILES and value > 0:
            row["ms"][labels["quantile"]] = round(value * 1_000, 3)
    return list(rows.values())


def counters(metrics: str) -> dict[str, float]:
    """Give what else Cerebellum counts, by name and label."""
    found = {}
    for name, labels, value in samples(metrics):
        base = name.removesuffix("_count").removesuffix("_sum")
        if base in _MEASURES or math.isnan(value):
            continue
        label = ", ".join(labels.values())
        word = name.removeprefix("cerebellum_").removesuffix("_total").replace("_", " ")
        found[f"{word} ({label})" if label else word] = value
    return found


def _read_journal(path: Path | None) -> Journal:
    if path is None or not path.exists():
        return Journal([], [], InForce({}, COMMAND), "no journal is there yet")
    try:
        with open_records(path) as database:
            orders = [
                dict(row)
                for row in database.execute(
                    "SELECT intent_id, agent, symbol, side, kind, intent_qty AS qty, status, filled_qty, "
                    "intent_limit_price AS limit_price, reduce_only, ts, sends FROM orders WHERE is_open = 1 "
                    "ORDER BY ts LIMIT 200"
                )
            ]
            refused = [
                dict(row)
                for row in database.execute(
                    "SELECT coalesce(code, status) AS code, count(*) AS orders, max(ts) AS ts, max(text) AS text "
                    # Their ids begin with market time (UUIDv7), and the table is kept in their order.
                    "FROM (SELECT * FROM orders ORDER BY intent_id DESC LIMIT ?) WHERE status = 'rejected' "
                    "GROUP BY 1 ORDER BY 2 DESC",
                    (NEWEST,),
                )
            ]
            row = database.execute("SELECT value FROM meta WHERE key = 'limits'").fetchone()
    except (BooksError, sqlite.Error) as error:
        why = f"the journal cannot be read now: {error}"
        return Journal([], [], InForce({}, COMMAND, why), why)
    return Journal(orders, refused, _set_by_command(path, None if row is None else row[0]), "")


def _set_by_command(journal: Path, text: str | None) -> InForce:
    try:
        value = {} if text is None else json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        return InForce({}, COMMAND, f"{journal}: its limits are damaged: {error}")
    if not isinstance(value, dict):
        return InForce({}, COMMAND, f"{journal}: its limits are damaged: no table of sections")
    return InForce(value, COMMAND)


def _of_file(facts: Facts) -> InForce:
    if facts.settings is None:
        return InForce({}, FILE, "the settings that name the limits file cannot be used")
    path = facts.settings.execution.limits_file
    if path is None:
        return InForce({}, FILE)
    try:
        return InForce(tomllib.loads(path.read_text(encoding="utf-8")), FILE)
    except (OSError, ValueError, RecursionError) as error:
        return InForce({}, FILE, f"the limits file cannot be read: {path}: {error}")


def limits(facts: Facts, set_limits: InForce) -> list[dict[str, Any]]:
    """Give each limit with what is used of it; one that is not known says why, and is never called none.

    Parameters
    ----------
    facts : Facts
    set_limits : InForce
        Those that were set by command: each section of theirs takes the place of the file's.
    """
    of_file = _of_file(facts)
    live = {agent: own for (agent, mode), own in facts.tally.agents.items() if mode == "live"}
    costs = {agent: abs(own.cost) for agent, own in live.items()}
    largest = max(costs, key=lambda agent: costs[agent], default="")
    losses = _losses(facts)
    unknown = sorted(agent for agent, result in losses.items() if result is None)
    results = {agent: result for agent, result in losses.items() if result is not None}
    worst = unknown[0] if unknown else min(results, key=lambda agent: results[agent], default="")
    # One open position without a price may have lost any sum.
    of_one = None if unknown else -min(ZERO, results.get(worst, ZERO))
    of_all = None if unknown else -min(ZERO, sum(results.values(), ZERO))
    why = f"not known: no price for what is open of {', '.join(unknown)}" if unknown else ""
    rows = (
        ("largest position", "position", "max_notional", costs.get(largest, ZERO), largest, ""),
        ("all positions", "position", "max_total_notional", sum(costs.values(), ZERO), "", ""),
        ("day's loss of one agent", "daily_loss", "agent", of_one, worst, why),
        ("day's loss of all", "daily_loss", "total", of_all, "", why),
        ("one order", "order", "max_notional", None, "", "each"),
    )
    return [
        _limit(what, _bound(of_file, set_limits, section, name), used, who, why)
        for what, section, name, used, who, why in rows
    ]


def _losses(facts: Facts) -> dict[str, Decimal | None]:
    """Give what each agent at the venue has earned today: closed trades after fees, and what is open now.

    None where what is open is not known.
    """
    if facts.market_ts is None:
        return {}
    day = day_of(facts.market_ts)
    found: dict[str, Decimal | None] = {}
    for (agent, mode), own in facts.tally.agents.items():
        if mode == "live":
            result = open_result(facts.shown.get(agent), own)
            found[agent] = None if result is None else own.closed_on(day) + result
    return found


@dataclass(frozen=True, slots=True)
class _Bound:
    """One limit: its value, None where it does not bind or, with the reason in `why`, is not known."""

    value: Decimal | None
    source: str | None = None
    why: str = ""


def _bound(of_file: InForce, set_limits: InForce, section: str, name: str) -> _Bound:
    # A command replaces a section as a whole.
    held = of_file
    if set_limits.why or section in set_limits.sections:
        held = set_limits
    if held.why:
        return _Bound(None, why=f"not known: {held.why}")
    values = held.sections.get(section)
    if values is None:
        return _Bound(None)
    if not isinstance(values, Mapping):
        return _Bound(None, why=f"not known: {held.source}: {section} is no section")
    value = values.get(name)
    if value is None:
        return _Bound(None)
    with suppress(InvalidOperation):
        amount = Decimal(str(value))
        if amount.is_finite():
            return _Bound(amount, held.source)
    return _Bound(
        None, why=f"not known: {held.source}: {section}.{name} is {value!r:.40}, no amount"
    )


def _limit(
    what: str, bound: _Bound, used: Decimal | None, who: str, why_used: str
) -> dict[str, Any]:
    share = None
    if bound.value is not None and used is not None and bound.value > 0:
        share = round(float(used / bound.value), 4)
    return {
        "what": what,
        "limit": known(bound.value),
        # Why it is not known; empty where there is no such limit.
        "limit_why": bound.why,
        "used": known(used),
        # Why there is no figure of what is used.
        "why": why_used,
        "share": share,
        "who": who,
        "source": bound.source,
    }
