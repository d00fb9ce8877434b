"""The log: what happened, newest first, by kind and agent. "keep" verdicts are counted, never listed."""

from __future__ import annotations

from typing import Any

from crucible.dashboard.facts import Facts
from crucible.dashboard.views.words import decision_in_words
from crucible.operations.reconciliation.accounts import plain

KINDS = ("fill", "decision", "verdict", "alarm", "birth", "end")
MOST = 200


def events(
    facts: Facts, kinds: frozenset[str], agent: str | None, before_ts: int | None
) -> dict[str, Any]:
    """Give the newest events before an instant.

    Parameters
    ----------
    facts : Facts
    kinds : frozenset of str
        Some of `KINDS`; all of them where it is empty.
    agent : str or None
        Only this agent's.
    before_ts : int or None
        Market instant.
    """
    wanted = kinds & frozenset(KINDS) or frozenset(KINDS)
    found: list[dict[str, Any]] = []
    if "verdict" in wanted:
        found += [
            _event(row["ts"], "verdict", row["agent"], f"{row['verdict']}: {row['reason']}")
            for row in reversed(facts.tally.endings)
            if agent in {None, row["agent"]} and (before_ts is None or row["ts"] < before_ts)
        ][:MOST]
    for row in facts.agents:
        if agent not in {None, row.agent}:
            continue
        since, until = row.since_ts, row.until_ts
        if "birth" in wanted and (before_ts is None or since < before_ts):
            found.append(_event(since, "birth", row.agent, f"took its place as {row.role}"))
        if "end" in wanted and until is not None and (before_ts is None or until < before_ts):
            found.append(_event(until, "end", row.agent, f"ended as {row.role}"))
    found += _of_ledger(facts, wanted, agent, before_ts)
    # The sort is stable: what a ledger table lists first stays first within an instant.
    found.sort(key=lambda event: -event["ts"])
    shown = found[:MOST]
    return {
        "market_ts": facts.market_ts,
        "kinds": list(KINDS),
        "events": shown,
        "next_before_ts": shown[-1]["ts"] if len(found) >= MOST else None,
    }


def _of_ledger(
    facts: Facts, wanted: frozenset[str], agent: str | None, before_ts: int | None
) -> list[dict[str, Any]]:
    if facts.ledger is None:
        return []
    found = []
    if "fill" in wanted:
        for fill in facts.ledger.fills_of(agent, None, before_ts, MOST):
            where = "" if fill.mode == "live" else "simulated: "
            text = f"{where}{fill.side} {plain(fill.qty)} {fill.symbol} at {plain(fill.price)}"
            text += f", fee {plain(fill.fee)}: {fill.reason}"
            found.append({**_event(fill.exec_ts, "fill", fill.agent, text), "mode": fill.mode})
    if "decision" in wanted:
        found += [
            _event(row["ts"], "decision", row["agent"], decision_in_words(row, brief=True))
            for row in facts.ledger.newest_decisions(agent, before_ts, MOST)
        ]
    if "alarm" in wanted:
        found += [
            _event(row["ts"], "alarm", row["agent"] or "", f"{row['code']}: {row['text']}")
            for row in facts.ledger.alarms(agent, before_ts, MOST)
        ]
    return found


def _event(ts: int, kind: str, agent: str, text: str) -> dict[str, Any]:
    return {"ts": ts, "kind": kind, "agent": agent, "text": text}
