"""The one ancestor of every fault that Crucible names itself."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Rule(StrEnum):
    """Every rule by which a command refuses, with what it forbids; a command then ends with 3 and names it.

    Attributes
    ----------
    meaning : str
        For people.
    """

    meaning: str

    def __new__(cls, name: str, meaning: str) -> Self:
        """Make a text with its meaning."""
        made = str.__new__(cls, name)
        made._value_ = name
        made.meaning = meaning
        return made

    ONLY_PROVEN = "only-proven", "the venue or the policy takes proven versions only"
    QUARANTINE = "quarantine", "the version failed while it traded"
    ARENA_CAN_SERVE = "arena-can-serve", "the arena cannot give the version its features"
    READABLE_STRATEGY = "readable-strategy", "the version's strategy file cannot be used"
    NOTHING_TO_CHANGE = "nothing-to-change", "there is no such version, or none to roll back to"
    ADMISSION = "admission", "the version may not trade here; the message says why"
    KEEP_SETTINGS_FILE = "keep-settings-file", "a settings file is replaced by `--force` only"
    ONE_SOURCE_A_FOLDER = "one-source-a-folder", "the folder holds candles of another exchange"
    ONE_DOWNLOAD_A_SYMBOL = "one-download-a-symbol", "another download of the symbol is under way"
    NO_LOOKAHEAD = "no-lookahead", "what was checked knows the future"


class CrucibleError(Exception):
    """A fault of the input or of the environment, with one message for a person.

    The message names the thing, the value and the next step. Whatever runs for long catches this class
    and goes on; a command prints the message and ends with 1. Anything else is a defect of the code and
    shows where it is. Subclasses derive from a built-in error as well, `ValueError` for input and
    `RuntimeError` for the environment.
    """


class StrategyError(CrucibleError, ValueError):
    """A strategy file that cannot be used; the message names the field, the value and why."""


class RefusedError(CrucibleError, RuntimeError):
    """What a rule forbids, with nothing wrong in what was asked; a command ends with 3.

    Parameters
    ----------
    message : str
        What was refused, and the next step.
    rule : Rule
    """

    def __init__(self, message: str, rule: Rule) -> None:
        super().__init__(message)
        self.rule = rule
