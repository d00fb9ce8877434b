"""What the ledger keeps so that an agent can be compared with its backtest, and how it compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Stretch:
    """An unbroken stretch of minutes at whose closes a production agent decided, holding a position or not.

    Attributes
    ----------
    first_ts, last_ts : int
        Its first and last close, epoch milliseconds, both of them in it.
    holds : bool
        Whether the agent took itself to hold a position when it decided.
    """

    first_ts: int
    last_ts: int
    holds: bool


@dataclass(frozen=True, slots=True)
class ParityDay:
    """How far an agent did on one market day what the backtest of its strategy does on the same candles.

    Attributes
    ----------
    agent : str
    ts : int
        End of the day, epoch milliseconds.
    compared, equal : int
        Decisions that could be compared, and those of them that are the backtest's.
    fills, fills_within : int
        Executed orders whose price could be compared, and those of them within the modelled slippage.
    disagreements : tuple of str
        The first ones, in time order, one sentence each.
    excused : dict of str to int
        Why something was compared with nothing, and how often.
    reason : str
        Why the whole day could not be compared; empty where it could.
    """

    agent: str
    ts: int
    compared: int = 0
    equal: int = 0
    fills: int = 0
    fills_within: int = 0
    disagreements: tuple[str, ...] = ()
    excused: dict[str, int] = field(default_factory=dict)
    reason: str = ""

    @property
    def score(self) -> float | None:
        """Share of what was compared that agrees, from 0 to 1; None where nothing was compared."""
        compared = self.compared + self.fills
        return (self.equal + self.fills_within) / compared if compared else None

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> ParityDay:
        """Read a row of the ledger's table."""
        details = json.loads(row["details"])
        return cls(
            agent=str(row["agent"]),
            ts=int(row["ts"]),
            compared=int(row["compared"]),
            equal=int(row["equal"]),
            fills=int(row["fills"]),
            fills_within=int(row["fills_within"]),
            disagreements=tuple(map(str, details["disagreements"])),
            excused={str(why): int(count) for why, count in details["excused"].items()},
            reason=str(details["reason"]),
        )

    def to_row(self) -> tuple[object, ...]:
        """Give the columns of the ledger's table, in order."""
        details = {
            "disagreements": self.disagreements,
            "excused": self.excused,
            "reason": self.reason,
        }
        counts = self.compared, self.equal, self.fills, self.fills_within
        return self.agent, self.ts, *counts, self.score, json.dumps(details, sort_keys=True)
