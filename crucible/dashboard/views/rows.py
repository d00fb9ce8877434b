"""What several views say of an agent: its state, its money, its evidence, and the days of the market."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from crucible.dashboard.facts import Facts
from crucible.ledger.reader import PLACEBO, SHADOW_ROLES, AgentRow
from crucible.ledger.tally import AgentSums, Sums
from crucible.ledger.trades import Mode
from crucible.operations.reconciliation.accounts import plain

DAY_MS = 86_400_000


def day_of(ts: int) -> int:
    """Give the first instant of a market day (UTC)."""
    return ts - ts % DAY_MS


def mode_of(row: AgentRow) -> Mode:
    """Whether what an agent does now is at the venue or simulated."""
    return "shadow" if row.role in SHADOW_ROLES else "live"


def state_of(row: AgentRow, shown: Mapping[str, Any] | None) -> str:
    """Name an agent's state: its role while it trades, ``ended``, or why it is kept out."""
    if shown is not None and shown.get("role") in {"refused", "quarantined"}:
        return str(shown["role"])
    return row.role if row.until_ts is None else "ended"


def money(sums: Sums) -> dict[str, Any]:
    """Give sums as exact text."""
    return {
        "trades": sums.trades,
        "wins": sums.wins,
        "pnl": plain(sums.pnl),
        "fees": plain(sums.fees),
        "funding": plain(sums.funding),
        "net": plain(sums.net),
    }


def known(value: Decimal | None) -> str | None:
    """Give a figure as exact text; None where it is not known."""
    return None if value is None else plain(value)


def open_result(shown: Mapping[str, Any] | None, own: AgentSums) -> Decimal | None:
    """Give what an agent's open position stands at, its fees included; None where it is not known.

    The arena knows the whole result at the newest price; what is closed is taken from it.
    """
    if own.position == 0:
        return Decimal(0)
    if shown is None or shown.get("pnl") is None:
        return None
    return Decimal(str(shown["pnl"])) - own.sums.net


def agent_row(
    facts: Facts, row: AgentRow, cards: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Give one agent as a row of a table.

    Parameters
    ----------
    facts : Facts
    row : AgentRow
    cards : mapping of str to mapping
        Figures of its newest judgement, by agent.
    """
    shown = facts.shown.get(row.agent)
    mode = mode_of(row)
    own = facts.tally.of(row.agent, mode)
    card = cards.get(row.agent, {})
    result = open_result(shown, own)
    whole = None if result is None else own.sums.net + result
    return {
        "agent": row.agent,
        "slot": row.slot,
        "version": row.version,
        "symbol": row.symbol,
        "kind": row.kind,
        "role": row.role,
        "state": state_of(row, shown),
        "simulated": mode == "shadow",
        "proof": row.proven_by or ("forged" if row.proven else "unproven"),
        "since_ts": row.since_ts,
        "until_ts": row.until_ts,
        "position": plain(own.position),
        "last_fill_ts": facts.tally.last_fill.get(row.agent),
        **money(own.sums),
        "open": None if result is None else plain(result),
        "result": None if whole is None else plain(whole),
        "gain_evidence": card.get("gain_evidence"),
        "loss_evidence": card.get("loss_evidence"),
        "pair_evidence": card.get("pair_evidence"),
        "drawdown": card.get("drawdown"),
        "parity": card.get("parity"),
        "last_signal": None if shown is None else shown.get("last_signal"),
        "last_event": None if shown is None else shown.get("last_event"),
    }


def newest_cards(facts: Facts) -> dict[str, dict[str, Any]]:
    """Give by agent the figures of the newest judgement; empty before the first."""
    if facts.ledger is None or (judged := facts.ledger.last_judged()) is None:
        return {}
    return facts.ledger.scorecards(judged)


def cause_of_end(facts: Facts, row: AgentRow) -> str:
    """Say why an agent ended: the reason of the verdict that ended it, or of the change that took its production seat.

    Without either, that no cause was kept.
    """
    ending = facts.tally.newest_ending.get((row.agent, "cull"))
    if ending is None and row.role == PLACEBO:
        # A promotion ends the life of a placebo, and of nobody else.
        ending = facts.tally.newest_ending.get((row.agent, "promote"))
    if ending is None or ending["ts"] < row.since_ts:
        return _seat_lost(facts, row)
    return f"{ending['verdict']}: {ending['reason']}"


def _seat_lost(facts: Facts, row: AgentRow) -> str:
    """Say which change took an agent's seat in production, or that none is known that did."""
    slot, _, version = row.agent.rpartition("@")
    for change in reversed(facts.changes if row.role not in SHADOW_ROLES else ()):
        if (change.slot, change.before) == (slot, version) and change.after != version:
            words = {"promoted": "replaced by", "rolled back": "rolled back to"}
            heir = f"{words.get(change.action, change.action)} version {change.after}"
            action = change.action if change.after is None else heir
            return f"{action} ({change.operator}): {change.reason}"
    if facts.changes_fault:
        return f"not known: {facts.changes_fault}"
    return "not kept: the ledger has no verdict that ended it"
