"""What a check of the doctor gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found.

    Attributes
    ----------
    name : str
    state : {'ok', 'warn', 'fail'}
        A warning leaves everything working.
    found : str
    mend : str
        What to do; empty where there is nothing to.
    """

    name: str
    state: State
    found: str
    mend: str = ""

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return {"name": self.name, "state": self.state, "found": self.found, "mend": self.mend}
