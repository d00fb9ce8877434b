"""The generator that a forge run draws from, which nobody else in the process can touch.

DEAP and the breeders draw from the name ``random`` in their modules. The interpreter has one generator of
that name, and other threads draw from it too: an orchestrator's heartbeat, a worker's jitter. One draw of
theirs in the middle of a generation would change what is bred, so while a forge run breeds, the name stands for a
generator of its own.
"""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

PACKAGES = ("deap.", "crucible.forge.")
"""Whose modules draw for a forge run."""

LENDERS = frozenset({"crucible.forge.evolution.generator", "crucible.forge.evolution.run"})
"""They make generators and draw from none."""

_one = threading.Lock()


@contextmanager
def drawing_from(generator: random.Random) -> Iterator[None]:
    """Let every drawing module draw from a generator; others in the process notice nothing."""
    with _one:
        modules: list[Any] = drawing()
        for module in modules:
            module.random = generator
        try:
            yield
        finally:
            for module in modules:
                module.random = random


def drawing() -> list[ModuleType]:
    """Find every loaded module that draws for a forge run."""
    return [
        module
        for name, module in list(sys.modules.items())
        if name.startswith(PACKAGES)
        and name not in LENDERS
        and getattr(module, "random", None) is random
    ]
