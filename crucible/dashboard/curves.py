"""Profit at the venue over time, summed over agents: exact, thinned, and read once.

A run of months has millions of marks. The curve takes at most `POINTS` instants, a power of two apart, so that a
coarser grid is part of the finer one and what was read stays of use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from crucible.ledger.page_reader import PageReader
from crucible.ledger.reader import AgentRow
from crucible.ledger.tally import Tally
from crucible.ledger.trades import ZERO
from crucible.settings import MINUTE_MS

MARK_MS = 15 * MINUTE_MS
"""Market time between two marks of equity."""
POINTS = 240


def grid(first_ts: int, last_ts: int, points: int = POINTS) -> list[int]:
    """Give the instants at which a curve is read, marks of equity all of them.

    Examples
    --------
    >>> len(grid(0, 90 * 86_400_000)) <= POINTS
    True
    >>> grid(0, 3 * MARK_MS) == [0, MARK_MS, 2 * MARK_MS, 3 * MARK_MS]
    True
    """
    step = MARK_MS
    while (last_ts - first_ts) // step > points - 2:
        step *= 2
    first = -(-first_ts // step) * step
    return list(range(first, last_ts + 1, step))


@dataclass(slots=True)
class MarkCache:
    """Marks that were read: by agent, then by instant; None where there is none at an instant that has passed."""

    marks: dict[str, dict[int, Decimal | None]] = field(default_factory=dict)

    def of(
        self, ledger: PageReader, agent: str, instants: Sequence[int], settled_ts: int
    ) -> dict[int, Decimal | None]:
        """Give an agent's marks at the venue; only those are read that were not read before.

        Parameters
        ----------
        ledger : PageReader
        agent : str
        instants : sequence of int
        settled_ts : int
            Up to here no mark is written any more, so that one that is missing stays missing.
        """
        held = self.marks.setdefault(agent, {})
        unread = [ts for ts in instants if ts not in held]
        if unread:
            found = ledger.equity_at(agent, unread, "live")
            for ts in unread:
                if ts in found:
                    held[ts] = Decimal(found[ts])
                elif ts <= settled_ts:
                    held[ts] = None
        return held


def total_profit(
    cache: MarkCache,
    ledger: PageReader,
    tally: Tally,
    agents: Sequence[AgentRow],
    instants: Sequence[int],
    capital: Decimal,
) -> list[Decimal]:
    """Sum up what agents had earned at the venue at each instant, open positions at their marks.

    An agent counts from its first mark on with its newest one, and from its end on with what it came to.

    Parameters
    ----------
    cache : MarkCache
    ledger : PageReader
    tally : Tally
    agents : sequence of AgentRow
    instants : sequence of int
        Ascending.
    capital : Decimal
        What each agent began with.
    """
    totals = [ZERO] * len(instants)
    if not instants:
        return totals
    settled = instants[-1] - 2 * MARK_MS
    for row in agents:
        own = tally.agents.get((row.agent, "live"))
        if own is None or not own.fills:
            continue
        ended = row.until_ts if row.until_ts is not None and own.position == 0 else None
        within = [ts for ts in instants if ended is None or ts < ended]
        marks = cache.of(ledger, row.agent, within, settled)
        earned = ZERO
        for place, ts in enumerate(instants):
            if ended is not None and ts >= ended:
                earned = own.sums.net
            elif (mark := marks.get(ts)) is not None:
                earned = mark - capital
            totals[place] += earned
    return totals


def drawdown_path(values: Sequence[Decimal]) -> list[float]:
    """Give the fall from the highest value so far at each, as a negative fraction of that value.

    Examples
    --------
    >>> drawdown_path([Decimal(100), Decimal(120), Decimal(90)])
    [0.0, 0.0, -0.25]
    """
    path, peak = [], Decimal("-Infinity")
    for value in values:
        peak = max(peak, value)
        path.append(float(value / peak - 1) if peak > 0 else -1.0)
    return path


def thin(points: list[Any], most: int) -> list[Any]:
    """Keep at most `most` points, evenly spread, the first and the newest always.

    Examples
    --------
    >>> thin([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]], 2)
    [[0.0, 1.0], [2.0, 3.0]]
    """
    if len(points) <= most:
        return points
    step = (len(points) - 1) / (most - 1)
    return [points[round(number * step)] for number in range(most)]
