"""Systemic faults at the Watchtower: looked for after each judgement, booked once, and reported. Entry point: `book_fault`.

Nothing follows but the alarm: who was culled is out, and what takes the seats is proven or in shadow.
"""

from __future__ import annotations

from crucible.ledger.ledger import Ledger
from crucible.ledger.systemic import DAY_MS, SystemicFault
from crucible.lifecycle.context import Context
from crucible.watchtower.systemic import find_fault


def book_fault(context: Context, ledger: Ledger, ts: int) -> SystemicFault | None:
    """Book a systemic fault that the judgement at one market instant shows; give it, None where there is none.

    Done twice, it leaves what doing it once leaves.

    Parameters
    ----------
    context : Context
    ledger : Ledger
        Every verdict of `ts` is booked in it.
    ts : int
        Market instant, epoch milliseconds.
    """
    verdicts = ledger.production_verdicts(ts - DAY_MS, ts)
    before = ledger.systemic_faults(ts - DAY_MS, ts - 1)
    found = find_fault(verdicts, ts, before[-1] if before else None)
    if found is not None and ledger.book_fault(found) and found.is_first:
        context.log.error("systemic fault: %s", found.sentence)
    return found
