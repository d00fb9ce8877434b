"""The population: who lived when, who took whose place, and what is being forged."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from crucible.dashboard.facts import Facts
from crucible.dashboard.views.rows import cause_of_end, mode_of, money
from crucible.forge.progress import read_outcomes, read_progress
from crucible.ledger.reader import PLACEBO, AgentRow

LIVES = 400
"""Lives that are drawn at most, the newest."""


def population(facts: Facts) -> dict[str, Any]:
    """Give every life: birth, role, end and its cause, and whom it replaced."""
    rows = sorted(facts.agents, key=lambda row: (row.slot, row.since_ts, row.agent))
    newest = sorted(facts.agents, key=lambda row: -(row.until_ts or 1 << 62))[:LIVES]
    shown = {row.agent for row in newest}
    promoted = {
        agent: int(each["ts"])
        for (agent, verdict), each in facts.tally.newest_ending.items()
        if verdict == "promote"
    }
    return {
        "market_ts": facts.market_ts,
        "lives": [
            {
                "agent": row.agent,
                "slot": row.slot,
                "symbol": row.symbol,
                "role": row.role,
                "placebo": row.role == PLACEBO,
                "proof": row.proven_by or "unproven",
                "since_ts": row.since_ts,
                "until_ts": row.until_ts,
                "promoted_ts": promoted.get(row.agent),
                "cause": None if row.until_ts is None else cause_of_end(facts, row),
                "replaced": _replaced(row, rows),
                **money(facts.tally.of(row.agent, mode_of(row)).sums),
            }
            for row in rows
            if row.agent in shown
        ],
        "left_out": len(rows) - len(shown),
        "placebos": dict(facts.status.placebos or {}),
    }


def _replaced(row: AgentRow, rows: list[AgentRow]) -> str | None:
    """Name the agent of the same slot and seat whose end came last before this one began."""
    if row.role == PLACEBO:
        return None
    before = [
        other
        for other in rows
        if other.slot == row.slot
        and other.agent != row.agent
        and other.role in {row.role, "draining"}
        and other.until_ts is not None
        and other.since_ts <= row.since_ts
    ]
    return max(before, key=lambda other: other.until_ts or 0).agent if before else None


def forge_under_way(folder: Path, facts: Facts) -> dict[str, Any]:
    """Give the forge runs under way, the queue, and what the last ones came to.

    Parameters
    ----------
    folder : Path
        The workspace's ``forge``.
    facts : Facts
    """
    running = read_progress(folder)
    now = time.time()
    for row in running:
        written = row.get("written_s")
        row["age_s"] = max(0.0, now - written) if isinstance(written, int | float) else None
    held = facts.slots
    busy = {row["slot"] for row in running if row.get("alive")}
    ordered = [
        str(each.get("slot")) for each in held.actions if each.get("action") in {"forge", "renew"}
    ]
    reasons = {str(each.get("slot")): each.get("reason") for each in held.actions}
    queue = [
        {"slot": slot, "reason": reasons.get(slot, "was ordered, and waits for a worker")}
        for slot in dict.fromkeys([*held.under_way, *ordered])
        if slot not in busy
    ]
    outcomes = read_outcomes(folder, 40)
    for row in outcomes:
        written = row.get("written_s")
        row["age_s"] = max(0.0, now - written) if isinstance(written, int | float) else None
    return {
        "running": running,
        "queue": queue,
        "queue_age_s": None if held.written_s is None else max(0.0, now - held.written_s),
        "outcomes": outcomes,
        "slots": held.rows,
        "slots_fault": held.fault,
    }
