"""May this version trade here? One answer from version, venue and policy, whoever asks.

Promotion, seating, publishing, the arena's registry watcher and Singularity all ask `refusal`; what the arena adds
is only whether it can serve the version (features, symbol), which it leaves as the tag `REFUSED`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from crucible.errors import Rule
from crucible.registry.version import Version
from crucible.settings import Settings

QUARANTINED = "arena_quarantined"
"""Tag of a version that failed while it traded. Whoever takes it away may promote it again."""
REFUSED = "arena_refused"
"""Tag of a version that the arena cannot serve or may not trade; the arena takes it away again."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Where versions are to trade, and under which policy.

    Attributes
    ----------
    venue : str
        ``paper``, ``testnet`` or ``live``.
    policy : str
        ``explore`` or ``strict``.
    """

    venue: str
    policy: str

    @classmethod
    def of(cls, settings: Settings) -> Rules:
        """Take them from the settings."""
        return cls(settings.execution.venue, settings.forge.policy)

    @property
    def only_proven(self) -> bool:
        """Whether a version needs proof to trade: everywhere but on paper under ``explore``."""
        return self.venue != "paper" or self.policy != "explore"


class Refusal(str):
    """Why a version may not trade, and which rule says so; empty if it may.

    Parameters
    ----------
    text : str
    rule : Rule
    """

    __slots__ = ("rule",)
    rule: Rule

    def __new__(cls, text: str = "", rule: Rule = Rule.ADMISSION) -> Self:
        """Make the text with its rule."""
        made = super().__new__(cls, text)
        made.rule = rule
        return made


def refusal(
    version: Version, rules: Rules, strategy: str | None, *, asked_by_arena: bool = False
) -> Refusal:
    """Say why a version may not trade; empty if it may.

    Parameters
    ----------
    version : Version
    rules : Rules
    strategy : str or None
        Digest of its strategy file as it was fetched; None where it was not looked at, which is enough
        where no proof is needed.
    asked_by_arena : bool
        The arena finds out by itself whether it can serve a version: it heeds no older tag of its own.
    """
    if QUARANTINED in version.tags:
        return Refusal(f"is quarantined: {version.tags[QUARANTINED]}", Rule.QUARANTINE)
    if version.tags.get(REFUSED) and not asked_by_arena:
        return Refusal(
            f"was refused by the arena: {version.tags[REFUSED]}; take the tag {REFUSED} away to have "
            "the arena look again",
            Rule.ARENA_CAN_SERVE,
        )
    if not rules.only_proven:
        return Refusal()
    doubt = version.unproven_because if strategy is None else version.doubt_of(strategy)
    if not doubt:
        return Refusal()
    where = "the venue is not paper" if rules.venue != "paper" else f"the policy is {rules.policy}"
    return Refusal(f"is not proven ({doubt}), and {where}", Rule.ONLY_PROVEN)
