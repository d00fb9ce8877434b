"""Exits of candidates: the ladders they are drawn from, and small moves on them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from crucible.strategies.contract import Exits

T = TypeVar("T", int, float)

STOPS = (0.003, 0.005, 0.008, 0.012, 0.02, 0.03, 0.05, 0.08, 0.12)
TARGETS = (0.004, 0.006, 0.01, 0.015, 0.025, 0.04, 0.06, 0.1, 0.15)
TIMEOUTS = (15, 30, 60, 120, 240, 480, 960, 1_440, 2_880, 4_320, 7_200, 14_400)
"""Candles: from a quarter of an hour to ten days of minutes."""
# Who holds for longer than this is held back by narrow stops and targets, and who holds for less never
# meets the wide ones: each draws from six rungs.
SHORT = 480
RUNGS = 6
LONG_SHARE = 1 / 3


def timeouts_within(longest: int) -> list[int]:
    """Return the rungs up to a longest timeout, or that alone."""
    return [timeout for timeout in TIMEOUTS if timeout <= longest] or [longest]


def widest(timeout: int) -> Exits:
    """Return exits of the widest stop and target that go with a timeout."""
    rung = RUNGS - 1 if timeout <= SHORT else -1
    return Exits(STOPS[rung], TARGETS[rung], timeout)


def random_exits(longest: int = TIMEOUTS[-1]) -> Exits:
    """Return exits drawn from the ladders above, a third of them held for longer than `SHORT` where allowed.

    Parameters
    ----------
    longest : int
        Candles.
    """
    allowed = timeouts_within(longest)
    long = [timeout for timeout in allowed if timeout > SHORT]
    if long and random.random() < LONG_SHARE:
        return Exits(
            random.choice(STOPS[-RUNGS:]), random.choice(TARGETS[-RUNGS:]), random.choice(long)
        )
    short = [timeout for timeout in allowed if timeout <= SHORT]
    return Exits(random.choice(STOPS[:RUNGS]), random.choice(TARGETS[:RUNGS]), random.choice(short))


def nudge_exits(exits: Exits) -> Exits:
    """One of the three exits moved one step along its ladder."""
    stop, target, timeout = exits.stop, exits.target, exits.timeout
    which = random.randrange(3)
    if which == 0:
        stop = step(STOPS, stop)
    elif which == 1:
        target = step(TARGETS, target)
    else:
        timeout = step(TIMEOUTS, timeout)
    return Exits(stop, target, timeout)


def step(ladder: Sequence[T], value: float) -> T:
    """Return the rung above or below the one nearest to a value."""
    nearest = min(range(len(ladder)), key=lambda i: abs(ladder[i] - value))
    return ladder[max(0, min(len(ladder) - 1, nearest + random.choice((-1, 1))))]


def moved_exits(exits: Exits, generator: np.random.Generator) -> Exits:
    """Move each of the exits by up to 10%."""
    stop, target, timeout = generator.uniform(0.9, 1.1, 3)
    return Exits(exits.stop * stop, exits.target * target, max(1, round(exits.timeout * timeout)))
