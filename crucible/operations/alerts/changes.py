"""Changes of production that a person made: lines in the run's folder, since whoever else trades here wants to know.

The door to production writes them, alerts read them. The record of a change is its run in MLflow; nobody reads it here.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from crucible.files import append_line
from crucible.operations.workspace import Run

FILE = "changes.jsonl"
PARTS = frozenset({"watchtower", "singularity", "forge", "arena", "crucible"})
"""Parts of Crucible that decide changes; whoever else does is a person."""


class PersonsChange(msgspec.Struct, frozen=True):
    """One change.

    Attributes
    ----------
    slot, version : str
        The version that the change is about.
    action : {'promoted', 'rolled back', 'retired'}
    before, after : str or None
        Versions in production before and after; None for an empty seat.
    operator, reason : str
    """

    slot: str
    version: str
    action: Literal["promoted", "rolled back", "retired"]
    before: str | None
    after: str | None
    operator: str
    reason: str


def write_change(run: Run, change: PersonsChange) -> None:
    """Add a change that was made.

    Raises
    ------
    WriteError
        If it cannot be written.
    """
    append_line(run.path / FILE, msgspec.json.encode(change).decode())


def changes_after(run: Run, place: int) -> tuple[list[PersonsChange], int, int]:
    """Give the changes written after a place, the place where they end, and how many lines are damaged.

    Parameters
    ----------
    run : Run
    place : int
        Bytes of the file that were read before.
    """
    path = run.path / FILE
    if not path.exists():
        return [], 0, 0
    with path.open("rb") as file:
        file.seek(place)
        whole, end, _ = file.read().rpartition(b"\n")  # a line that is being written is read later
    found, damaged = [], 0
    for line in whole.splitlines():
        try:
            found.append(msgspec.json.decode(line, type=PersonsChange))
        except msgspec.MsgspecError:
            damaged += bool(line.strip())
    return found, place + len(whole) + len(end), damaged
