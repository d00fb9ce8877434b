"""A systemic fault: so many production agents are culled within one market day that it is one event.

One strategy that loses is culled, and another takes its turn. Where half of production goes in a day, what they share
is the likelier cause: features, candles, costs, or a market that nobody was evolved for. Entry point: `find_fault`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from crucible.ledger.systemic import DAY_MS, ProductionVerdict, SystemicFault

LEAST_AGENTS = 3
LEAST_SHARE = 0.5
# How the reason of a cull begins (`verdicts`), and what it is called.
_CAUSES = {
    "broken parity": "broken parity",
    "drawdown": "drawdown",
    "loses": "losses",
    "no fill": "no fills",
}


def find_fault(
    verdicts: Iterable[ProductionVerdict], ts: int, before: SystemicFault | None
) -> SystemicFault | None:
    """Say whether the culls of one market instant belong to a systemic fault; None where they do not, or there are none.

    They do where in the market day up to that instant at least three production agents were culled, and in at least
    half of the slots that had a production agent in that day. A fault that is seen within a market day of the one
    before is the same event and has its beginning.

    Parameters
    ----------
    verdicts : iterable of ProductionVerdict
        Every judgement of a production agent; those outside of the day are left out.
    ts : int
        Market instant, epoch milliseconds.
    before : SystemicFault or None
        The newest that was seen before `ts`.
    """
    day = [each for each in verdicts if ts - DAY_MS < each.ts <= ts]
    culls = {each.agent: each for each in sorted(day, key=lambda one: one.ts) if each.is_cull}
    if not any(each.is_cull and each.ts == ts for each in day):
        return None
    seats = {each.slot for each in day}
    slots = {each.slot for each in culls.values()}
    if len(culls) < LEAST_AGENTS or len(slots) < LEAST_SHARE * len(seats):
        return None
    counts = Counter(cause_of(each.reason) for each in culls.values())
    cause, of_cause = min(counts.items(), key=lambda each: (-each[1], each[0]))
    is_same = before is not None and ts - DAY_MS < before.ts < ts
    began_ts = before.began_ts if before is not None and is_same else ts
    return SystemicFault(ts, began_ts, len(culls), len(slots), len(seats), cause, of_cause)


def cause_of(reason: str) -> str:
    """Name the cause in the reason of a cull, without its figures.

    Examples
    --------
    >>> cause_of("loses 0.1200% a trade over 40 trades (evidence 21.0, needed 20.0)")
    'losses'
    >>> cause_of("something else")
    'something else'
    """
    return next((name for begin, name in _CAUSES.items() if reason.startswith(begin)), reason)
