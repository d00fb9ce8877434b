"""Changes of production: lines in the run's folder, since whoever trades here wants to know who trades for them.

The door to production writes them, alerts read them. A line is written after the change is made and before its record in
MLflow is closed: a record that is still open is one of which nobody may have been told, and whoever does it to its end
writes the line. A line that was written stays the only one of its change.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from crucible.files import append_line
from crucible.locks import held
from crucible.operations.workspace import Run

FILE = "changes.jsonl"
LOCK = "changes.lock"
PARTS = frozenset({"watchtower", "singularity", "forge", "arena", "crucible"})
"""Parts of Crucible that decide changes; whoever else does is a person."""
LATE = "crucible"
"""Who decided a change that is put on record afterwards, when nobody knows any more."""
WAIT_S = 10.0


class ProductionChange(msgspec.Struct, frozen=True):
    """One change.

    Attributes
    ----------
    slot, version : str
        The version that the change is about.
    action : {'promoted', 'rolled back', 'retired', 'culled'}
    before, after : str or None
        Versions in production before and after; None for an empty seat.
    operator, reason : str
        Who decided it, a part or a person, and why.
    key : str
        The same for the same change; empty in lines of before there was one.
    """

    slot: str
    version: str
    action: Literal["promoted", "rolled back", "retired", "culled"]
    before: str | None
    after: str | None
    operator: str
    reason: str
    key: str = ""


def write_change(run: Run, change: ProductionChange) -> bool:
    """Add a change that was made; give False where a line of this run or of one before it tells it already.

    A change that is put on record afterwards has another key: the newest line of its slot tells it, if it ends there.

    Raises
    ------
    WriteError, HeldError, OSError
        If it cannot be written.
    """
    with held(run.path / LOCK, WAIT_S):
        newest: ProductionChange | None = None
        for line in _every_line(run):
            if line.key and line.key == change.key:
                return False
            newest = line if line.slot == change.slot else newest
        if change.operator == LATE and newest is not None and newest.after == change.after:
            return False
        append_line(run.path / FILE, msgspec.json.encode(change).decode())
    return True


def changes_after(run: Run, place: int) -> tuple[list[ProductionChange], int, int]:
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
            found.append(msgspec.json.decode(line, type=ProductionChange))
        except msgspec.MsgspecError:
            damaged += bool(line.strip())
    return found, place + len(whole) + len(end), damaged


def _every_line(run: Run) -> Iterator[ProductionChange]:
    """Give the lines of every run of the workspace, the oldest run first."""
    numbered = [path for path in run.path.parent.iterdir() if path.name.isdecimal()]
    for path in sorted(numbered, key=lambda each: int(each.name)):
        yield from changes_after(Run(path.name, path), 0)[0]
