"""Execution: how fast, what is on its way, what was refused, which limits are near, and the three accounts."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from crucible import sqlite
from crucible.dashboard.facts import Facts
from crucible.dashboard.views.rows import day_of, known, open_result
from crucible.ledger.trades import ZERO
from crucible.operations.errors import BooksError
from crucible.operations.reconciliation.accounts import plain
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
_QUANTILES = ("0.5", "0.9", "0.95", "0.99", "0.999")


def execution(facts: Facts, metrics: str | None) -> dict[str, Any]:
    """Give the view but for the three accounts, which take longer.

    Parameters
    ----------
    facts : Facts
    metrics : str or None
        The text of Cerebellum's metrics; None where it does not answer.
    """
    journal = None if facts.run is None else facts.run.journal
    orders, refused, set_limits, note = _of_journal(journal)
    return {
        "market_ts": facts.market_ts,
        "trading": facts.status.trading.to_json(),
        "decide_ms": {name: facts.arena.get(f"decide_ms_{name}") for name in ("p50", "p99")},
        "latencies": None if metrics is None else latencies(metrics),
        "counters": None if metrics is None else counters(metrics),
        "orders": orders,
        "refused": refused,
        "refused_of": NEWEST,
        "limits": limits(facts, set_limits),
        "note": note,
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
        elif labels.get("quantile") in _QUANTILES and not math.isnan(value):
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


def _of_journal(
    journal: Path | None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any], str]:
    """Read open orders, counted refusals and limits that were set by command."""
    if journal is None or not journal.exists():
        return [], [], {}, "no journal is there yet"
    try:
        with open_records(journal) as database:
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
        return [], [], {}, f"the journal cannot be read now: {error}"
    set_limits: dict[str, Any] = {}
    with suppress(ValueError, TypeError):
        set_limits = dict(json.loads(row[0])) if row is not None else {}
    return orders, refused, set_limits, ""


def limits(facts: Facts, set_limits: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give each limit with what is used of it; those that bind nothing are named as such."""
    held: dict[str, Any] = {}
    source = "limits file"
    path = None if facts.settings is None else facts.settings.execution.limits_file
    if path is not None:
        with suppress(OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
            held = tomllib.loads(path.read_text(encoding="utf-8"))
    if set_limits:
        held = {**held, **set_limits}
        source = "set by command"
    position, loss = _section(held, "position"), _section(held, "daily_loss")
    order = _section(held, "order")
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
    rows = [
        ("largest position", position.get("max_notional"), costs.get(largest, ZERO), largest, ""),
        ("all positions", position.get("max_total_notional"), sum(costs.values(), ZERO), "", ""),
        ("day's loss of one agent", loss.get("agent"), of_one, worst, why),
        ("day's loss of all", loss.get("total"), of_all, "", why),
        ("one order", order.get("max_notional"), None, "", "each"),
    ]
    return [_limit(*row, source) for row in rows]


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


def _section(held: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = held.get(name)
    return found if isinstance(found, Mapping) else {}


def _limit(
    what: str, limit: object, used: Decimal | None, who: str, why: str, source: str
) -> dict[str, Any]:
    bound: Decimal | None = None
    with suppress(InvalidOperation, ValueError):
        bound = Decimal(str(limit)) if limit is not None else None
    share = None
    if bound is not None and used is not None and bound > 0:
        share = round(float(used / bound), 4)
    return {
        "what": what,
        "limit": None if bound is None else plain(bound),
        "used": known(used),
        # Why there is no figure of what is used.
        "why": why,
        "share": share,
        "who": who,
        "source": None if bound is None else source,
    }
