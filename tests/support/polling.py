"""Waiting for what comes true by itself, with a patience and a word for what did not come."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(
    check: Callable[[], T],
    what: str | Callable[[], object] = "the condition",
    *,
    seconds: float = 10.0,
    pause: float = 0.02,
) -> T:
    """Ask until the answer is true, and give it.

    Parameters
    ----------
    check
        What is asked, once at least; what it raises is raised.
    what
        What is waited for, or who tells the story of it once it did not come.
    seconds
        The patience.
    pause
        Seconds between two questions.

    Raises
    ------
    AssertionError
        The answer was not true in time; it says what was waited for and the last answer.
    """
    end = time.monotonic() + seconds
    while not (found := check()):
        if time.monotonic() >= end:
            reported = what if isinstance(what, str) else what()
            message = f"{reported}: not within {seconds:g} s; the last answer was {found!r}"
            raise AssertionError(message)
        time.sleep(pause)
    return found
