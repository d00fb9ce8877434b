"""Which tests run in one process, so that what they share is made once, and which begin first.

pytest-xdist's own groups are a suffix of a test's id, which pytest 9 does not let it set any more.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).resolve().parents[2]
# Made once a session: every file that takes one runs where the others run that take it.
SHARED = ("plant", "registry", "planted")
# Two at a time starve each other on two cores, and what a server gives up then is not what is tested.
WHOLE_STACKS = "tests/e2e/"
# The longest first, so that no process is left with one of them at the end.
LONG = (
    WHOLE_STACKS,
    "plant",
    "tests/browser/",
    "tests/chaos/",
    "planted",
    "tests/features/topology/test_giotto",
    "tests/forge/",
)

# What people must see within seconds is looked at when the whole stacks have ended: what they take of the cores is not the page's.
LAST = ("tests/browser/test_live_page.py",)


@cache
def group_of(file: str) -> str:
    """The fixture of the session that a file's tests take, or the file itself; whole stacks run one after the other."""
    if file.startswith(WHOLE_STACKS):
        return WHOLE_STACKS
    text = (ROOT / file).read_text(encoding="utf-8")
    taken = (name for name in SHARED if re.search(rf"def \w+\([^)]*\b{name}\b", text))
    return next(taken, file)


def place(item: pytest.Item) -> int:
    """Where an item stands in the order of the run."""
    group = group_of(item.location[0])
    if group in LAST:
        return len(LONG) + 1
    found = (number for number, start in enumerate(LONG) if group.startswith(start))
    return next(found, len(LONG))


def require_together(item: pytest.Item) -> None:
    """Refuse an item that takes what is shared in a way that its file's text does not show."""
    group, used = group_of(item.location[0]), getattr(item, "fixturenames", ())
    if next((name for name in SHARED if name in used), group) != group:
        message = f"{item.nodeid} takes one of {', '.join(SHARED)}, but runs with {group}"
        raise pytest.UsageError(message)


class Together(LoadScopeScheduling):
    """Gives each group of files to one process, as a whole."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid.partition("::")[0])
