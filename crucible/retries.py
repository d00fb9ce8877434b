"""The one way to try again: a fixed list of pauses, and after the last of them no more."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence


def attempts(pauses_s: Sequence[float]) -> Iterator[bool]:
    """Give one attempt more than there are pauses, pausing between them.

    Whoever succeeds leaves the loop; whoever fails at the last attempt says so.

    Parameters
    ----------
    pauses_s : sequence of float
        Seconds between two attempts.

    Yields
    ------
    bool
        Whether it is the last attempt.

    Examples
    --------
    >>> list(attempts((0.0, 0.0)))
    [False, False, True]
    """
    for pause in pauses_s:
        yield False
        time.sleep(pause)
    yield True
