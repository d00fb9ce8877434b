"""The one ancestor of every fault that Crucible names itself."""

from __future__ import annotations


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
    rule : str
        Name of the rule, in lower case with hyphens.
    """

    def __init__(self, message: str, rule: str) -> None:
        super().__init__(message)
        self.rule = rule
