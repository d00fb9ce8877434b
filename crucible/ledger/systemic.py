"""Culls of production agents as the ledger keeps them, and what it keeps where many of them are one event.

Who says that they are one event is `crucible.watchtower.systemic`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class ProductionVerdict:
    """One judgement of a production agent.

    Attributes
    ----------
    ts : int
        Market instant, epoch milliseconds.
    agent : str
        ``SLOT@VERSION``.
    is_cull : bool
    reason : str
    """

    ts: int
    agent: str
    is_cull: bool
    reason: str

    @property
    def slot(self) -> str:
        """Its slot."""
        return self.agent.rpartition("@")[0]


@dataclass(frozen=True, slots=True)
class SystemicFault:
    """Many production agents culled within one market day.

    Attributes
    ----------
    ts : int
        The judgement that culled the newest of them, market milliseconds.
    began_ts : int
        The judgement at which the same event was seen first.
    agents, slots : int
        Production agents that were culled in the market day up to `ts`, and the slots that they had.
    seats : int
        Slots that had a production agent in that day.
    cause : str
        Why most of them were culled.
    of_cause : int
        How many of them.
    """

    ts: int
    began_ts: int
    agents: int
    slots: int
    seats: int
    cause: str
    of_cause: int

    @property
    def is_first(self) -> bool:
        """Whether the event was seen here first."""
        return self.ts == self.began_ts

    @property
    def sentence(self) -> str:
        """What happened, with every figure."""
        return (
            f"{self.agents} production agents were culled within one market day, in {self.slots} of "
            f"{self.seats} slots with one; the most frequent cause: {self.cause} ({self.of_cause} of them)"
        )

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return {**asdict(self), "sentence": self.sentence}


WHAT_NEXT = (
    "One fault may be behind them all. See crucible doctor; look at the features, which all of them read, by the last "
    "decisions and the parity on their pages; hold everything back if in doubt: crucible halt"
)
"""What somebody does who hears of it."""
