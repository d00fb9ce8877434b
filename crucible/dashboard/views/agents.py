"""The table of agents, and how much their results move together."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from crucible.dashboard.curves import MARK_MS
from crucible.dashboard.facts import Facts
from crucible.dashboard.views.rows import agent_row, mode_of, newest_cards
from crucible.ledger.reader import PLACEBO
from crucible.ledger.trades import Mode

ENDED = 200
"""Ended agents that the table shows unless all are asked for."""
COMPARED = 40
"""Agents of one mode that are compared with each other at most."""
MARKS = 672
"""Marks of each that are compared: a week of market time."""
FEWEST = 12
"""Changes that two agents must have in common."""


def agents(facts: Facts, *, everyone: bool = False) -> dict[str, Any]:
    """Give the table: all that trade, and the newest that ended; all of them where that is asked for."""
    cards = newest_cards(facts)
    trading = [row for row in facts.agents if row.until_ts is None]
    ended = sorted(
        (row for row in facts.agents if row.until_ts is not None),
        key=lambda row: -(row.until_ts or 0),
    )
    shown = ended if everyone else ended[:ENDED]
    rows = [agent_row(facts, row, cards) for row in (*trading, *shown)]
    known = {row["agent"] for row in rows}
    kept_out = [
        {
            **dict(each),
            "state": each.get("role"),
            "proof": each.get("proven_by") or "unproven",
            "result": None,
        }
        for name, each in facts.shown.items()
        if name not in known and each.get("role") in {"refused", "quarantined"}
    ]
    return {
        "market_ts": facts.market_ts,
        "rows": rows + kept_out,
        "ended": len(ended),
        "left_out": len(ended) - len(shown),
    }


def correlations(facts: Facts) -> dict[str, Any]:
    """Give how much the changes of equity of agents that trade move together, from -1 to 1.

    Those at the venue among themselves, and those that are simulated among themselves: what an agent was simulated to
    earn before its promotion is no money, and the two are marked at different fills. Changes are from one mark (15
    market minutes) to the next over the last market week. None where two agents have too few in common, or one of them
    never changed.
    """
    modes: tuple[Mode, ...] = ("live", "shadow")
    return {"groups": [] if facts.ledger is None else [_group(facts, mode) for mode in modes]}


def _group(facts: Facts, mode: Mode) -> dict[str, Any]:
    assert facts.ledger is not None
    trading = [
        row
        for row in facts.agents
        if row.until_ts is None and row.role != PLACEBO and mode_of(row) == mode
    ]
    trading.sort(key=lambda row: (row.role != "production", row.since_ts, row.agent))
    names = [row.agent for row in trading[:COMPARED]]
    changes: list[dict[int, float]] = []
    for name in names:
        marks = [(ts, float(value)) for ts, value in facts.ledger.newest_marks(name, mode, MARKS)]
        steps = pairwise(marks)
        changes.append(
            {after[0]: after[1] - was[1] for was, after in steps if after[0] - was[0] == MARK_MS}
        )
    matrix: list[list[float | None]] = [[None] * len(names) for _ in names]
    counts = [[0] * len(names) for _ in names]
    for row, mine in enumerate(changes):
        for column in range(row + 1):
            common = sorted(mine.keys() & changes[column].keys())
            counts[row][column] = counts[column][row] = len(common)
            value = _correlation(
                [mine[ts] for ts in common], [changes[column][ts] for ts in common]
            )
            matrix[row][column] = matrix[column][row] = value
    return {
        "mode": mode,
        "agents": names,
        "matrix": matrix,
        "changes": counts,
        "left_out": len(trading) - len(names),
    }


def _correlation(left: list[float], right: list[float]) -> float | None:
    if len(left) < FEWEST or len(set(left)) == 1 or len(set(right)) == 1:
        return None
    return round(float(np.corrcoef(left, right)[0, 1]), 4)
