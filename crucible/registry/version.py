"""A version of a slot's registered model, as the registry tells of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from crucible.registry.proof import LivedProof, Proof

Alias = Literal["production", "challenger", "retired"]


TRADING_GAP = "minutes_between_trades"
"""Tag of a version: how long it waits between two trades in its backtest."""
PROVEN_BY = "proven_by"
"""Tag of a version: the route of its proof, for people; nothing believes it."""
FORGED, LIVED, BOTH = "forged", "lived", "forged and lived"
"""Routes of proof, as every page names them."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a slot's registered model.

    Attributes
    ----------
    slot : str
    version : str
    run_id : str
        The MLflow run of the forge run that made it.
    tags : dict
        What anybody who reaches the registry may have written: for people to read, never to admit.
    proof : Proof or None
        The evidence of its forge run, where the seal was checked.
    doubt : str
        Why there is no such proof.
    lived : LivedProof or None
        The evidence of its life, where the seal was checked.
    lived_doubt : str
        Why there is no such proof.
    """

    slot: str
    version: str
    run_id: str
    tags: dict[str, str] = field(hash=False)
    proof: Proof | None = field(default=None, hash=False)
    doubt: str = "its proof was not looked at"
    lived: LivedProof | None = field(default=None, hash=False)
    lived_doubt: str = "its life was not looked at"

    @property
    def proven(self) -> bool:
        """Whether sealed evidence says that it passed every gate of its policy, or that its life proved it."""
        return bool(self.proven_by)

    @property
    def proven_by(self) -> str:
        """The route of its proof: ``forged``, ``lived``, ``forged and lived``, or empty."""
        return self._route(None)

    @property
    def unproven_because(self) -> str:
        """What both routes lack; empty if it is proven by one."""
        return self._doubt(None)

    def proven_with(self, strategy: str) -> str:
        """Give the route by which it is proven with that strategy file, given by its digest; empty if by none."""
        return self._route(strategy)

    def doubt_of(self, strategy: str) -> str:
        """Say what both routes lack with that strategy file, given by its digest; empty if it is proven."""
        return self._doubt(strategy)

    def _route(self, strategy: str | None) -> str:
        forged, lived = not self._forged_doubt(strategy), not self._lived_doubt(strategy)
        if forged and lived:
            return BOTH
        return FORGED if forged else LIVED if lived else ""

    def _doubt(self, strategy: str | None) -> str:
        if self._route(strategy):
            return ""
        return f"{self._forged_doubt(strategy)}; {self._lived_doubt(strategy)}"

    def _forged_doubt(self, strategy: str | None) -> str:
        if self.proof is None:
            return self.doubt
        if strategy not in {None, self.proof.strategy}:
            return "its strategy file is not the one that was judged"
        if self.proof.failed:
            return f"it failed {', '.join(self.proof.failed)}"
        return "" if self.proof.gates else "no gate was measured"

    def _lived_doubt(self, strategy: str | None) -> str:
        if self.lived is None:
            return self.lived_doubt
        if strategy not in {None, self.lived.strategy}:
            return "its strategy file is not the one that lived"
        return "" if self.lived.passed else "the evidence of its life is not enough"


def gap_of(version: Version) -> float | None:
    """Minutes between two trades of a version in its backtest; None where its tags do not tell."""
    try:
        gap = float(version.tags.get(TRADING_GAP, ""))
    except ValueError:
        return None
    return gap if 0 < gap < math.inf else None


@dataclass(frozen=True, slots=True)
class Active:
    """A version that the arena trades, under its alias."""

    alias: Literal["production", "challenger"]
    version: Version
