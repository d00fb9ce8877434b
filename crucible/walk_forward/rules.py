"""Rules of selection: the factory's own, and those that it is compared with, on the same births and candles.

Each says at every judgement what is to happen to a life, and whether seats are filled by proof.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Literal, Protocol

from crucible.settings import SingularitySettings, Trial, WatchtowerSettings
from crucible.walk_forward.life import Life
from crucible.watchtower.scorecard import Scorecard
from crucible.watchtower.verdicts import Verdict, judge

KEEP = Verdict("keep", "")


class Rule(Protocol):
    """A rule of selection.

    Attributes
    ----------
    name : str
    keeps_first : bool
        Whether the first version of a slot is the only one that it ever trades.
    by_proof : bool
        Whether a proven version takes the seat of an unproven one.
    trial : {'shadow', 'venue'}
        Where unproven versions trade until evidence speaks for them. Rules that know no evidence trade them at once.
    """

    @property
    def name(self) -> str:
        """For tables and file names."""

    @property
    def keeps_first(self) -> bool:
        """Whether the first version of a slot is the only one that it ever trades."""

    @property
    def by_proof(self) -> bool:
        """Whether a proven version takes the seat of an unproven one."""

    @property
    def trial(self) -> Trial:
        """Where unproven versions trade until evidence speaks for them."""

    def verdict(self, life: Life, card: Scorecard) -> Verdict:
        """Say what is to happen to a life at a judgement."""


@dataclass(frozen=True, slots=True)
class ByEvidence:
    """The factory's own: the Watchtower's verdicts."""

    settings: WatchtowerSettings
    trial: Trial = SingularitySettings().trial
    name: str = "factory"
    keeps_first: bool = False
    by_proof: bool = True

    def verdict(self, life: Life, card: Scorecard) -> Verdict:
        """Judge by `crucible.watchtower.verdicts.judge`."""
        role: Literal["production", "challenger"] = (
            "challenger" if life.role == "challenger" else "production"
        )
        return judge(card, role, self.settings, life.birth.gap)


@dataclass(frozen=True, slots=True)
class Frozen:
    """The first population, never judged and never replaced."""

    name: str = "first population"
    keeps_first: bool = True
    by_proof: bool = False
    trial: Trial = "venue"

    def verdict(self, life: Life, card: Scorecard) -> Verdict:  # noqa: ARG002
        """Keep."""
        return KEEP


@dataclass(slots=True)
class AtRandom:
    """Production is culled at random times; its lives last as long on average as the factory's.

    Parameters
    ----------
    mean_life_ms : float
        Market milliseconds.
    every_ms : int
        Between two judgements.
    seed : str
    """

    mean_life_ms: float
    every_ms: int
    seed: str
    name: str = "random replacement"
    keeps_first: bool = False
    by_proof: bool = False
    trial: Trial = "venue"
    _draw: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._draw = random.Random(self.seed)

    def verdict(self, life: Life, card: Scorecard) -> Verdict:  # noqa: ARG002
        """Cull by a draw."""
        if life.role == "production" and self._draw.random() * self.mean_life_ms < self.every_ms:
            return Verdict("cull", "its time was drawn")
        return KEEP


@dataclass(frozen=True, slots=True)
class ByQuarterHour:
    """Whoever lost between the two newest marks of its equity, a quarter hour, is culled, whatever it did before."""

    name: str = "losers of a quarter hour"
    keeps_first: bool = False
    by_proof: bool = False
    trial: Trial = "venue"

    def verdict(self, life: Life, card: Scorecard) -> Verdict:  # noqa: ARG002
        """Cull a loser."""
        lost = life.before - life.equity
        if lost <= 0:
            return KEEP
        return Verdict("cull", f"lost {lost:.2f} over the last quarter hour")
