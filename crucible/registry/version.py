"""A version of a slot's registered model, as the registry tells of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from crucible.registry.proof import Proof

Alias = Literal["production", "challenger", "retired"]


TRADING_GAP = "minutes_between_trades"
"""Tag of a version: how long it waits between two trades in its backtest."""


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
        Its evidence, where the seal was checked.
    doubt : str
        Why there is no proof.
    """

    slot: str
    version: str
    run_id: str
    tags: dict[str, str] = field(hash=False)
    proof: Proof | None = field(default=None, hash=False)
    doubt: str = "its proof was not looked at"

    @property
    def proven(self) -> bool:
        """Whether its sealed evidence says that it passed every gate of its policy."""
        return self.proof is not None and self.proof.passed

    @property
    def unproven_because(self) -> str:
        """Why it is not proven; empty if it is."""
        if self.proof is None:
            return self.doubt
        if self.proof.failed:
            return f"it failed {', '.join(self.proof.failed)}"
        return "" if self.proof.gates else "no gate was measured"

    def doubt_of(self, strategy: str) -> str:
        """Why it is not proven with that strategy file, given by its digest; empty if it is."""
        if self.proof is not None and self.proof.strategy != strategy:
            return "its strategy file is not the one that was judged"
        return self.unproven_because


@dataclass(frozen=True, slots=True)
class Active:
    """A version that the arena trades, under its alias."""

    alias: Literal["production", "challenger"]
    version: Version
