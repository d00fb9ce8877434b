"""The generator that a forging draws from, which nobody else in the process can touch.

DEAP and the breeders draw from the name ``random`` in their modules. The interpreter has one generator of
that name, and other threads draw from it too: an orchestrator's heartbeat, a worker's jitter. One draw of
theirs in the middle of a generation would change what is bred, so while a forging breeds, the name stands for a
generator of its own.
"""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

DRAWING = (
    "deap.gp",
    "deap.tools.crossover",
    "deap.tools.emo",
    "deap.tools.mutation",
    "deap.tools.selection",
    "crucible.forge.boosting",
    "crucible.forge.breeding",
    "crucible.forge.genome",
)
"""Every module that draws."""

_one = threading.Lock()


@contextmanager
def drawing_from(generator: random.Random) -> Iterator[None]:
    """Let every drawing module draw from a generator; others in the process notice nothing."""
    modules: list[Any] = [sys.modules[name] for name in DRAWING]
    with _one:
        for module in modules:
            module.random = generator
        try:
            yield
        finally:
            for module in modules:
                module.random = random
