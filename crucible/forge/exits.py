"""Exits of candidates: the ladders they are drawn from, and small moves on them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from crucible.strategies.contract import Exits

T = TypeVar("T", int, float)

STOPS = (0.003, 0.005, 0.008, 0.012, 0.02, 0.03)
TARGETS = (0.004, 0.006, 0.01, 0.015, 0.025, 0.04)
TIMEOUTS = (15, 30, 60, 120, 240, 480)


def random_exits() -> Exits:
    """Return exits drawn from the ladders above."""
    return Exits(random.choice(STOPS), random.choice(TARGETS), random.choice(TIMEOUTS))


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
