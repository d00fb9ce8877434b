"""How far forge runs are, for pages: small files beside their checkpoints, of which nothing is decided.

Whoever works on a forge run writes `Progress`, whoever fills the slots writes `write_slots`, and an ended forge run
leaves a line by `note_outcome`. What cannot be written is left out: a full disk ends no forge run.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from crucible.errors import CrucibleError
from crucible.files import append_line, make_folder, write_json
from crucible.operations.supervision.process import Identity

Stage = Literal["features", "evolving", "gates", "publishing"]
PROGRESS = "progress.json"
OUTCOMES = "outcomes.jsonl"
SLOTS = "slots.json"
_NEWEST_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one forge run is.

    Attributes
    ----------
    slot : str
    seed : int
    stage : {'features', 'evolving', 'gates', 'publishing'}
    generation, generations : int
        The newest one that is complete, and the last one; 0 before the first.
    best_score : float or None
        Of the newest generation; None where nobody could be judged.
    trials : int
        Candidates that were tried so far.
    mlflow_run : str
    written_s : float
        When this was written, seconds since 1970 by the wall clock.
    process : dict or None
        Who wrote it: while it lives, the forge run is under way.
    """

    slot: str
    seed: int
    stage: Stage
    generation: int = 0
    generations: int = 0
    best_score: float | None = None
    trials: int = 0
    mlflow_run: str = ""
    written_s: float = 0.0
    process: dict[str, Any] | None = None

    def write(self, folder: Path) -> None:
        """Write it into the folder of the forge run, in the name of this process."""
        me = Identity.of(os.getpid())
        worker = None if me is None else me.to_json()
        _keep(folder, PROGRESS, {**asdict(self), "written_s": time.time(), "process": worker})


def read_progress(forge_folder: Path) -> list[dict[str, Any]]:
    """Give what is known of every forge run that has a folder, by slot; a damaged file says so.

    ``alive`` says whether somebody works on it; if not, it was interrupted and waits to be retried.

    Parameters
    ----------
    forge_folder : Path
        The workspace's ``forge``.
    """
    found = []
    for path in sorted(forge_folder.glob(f"*/{PROGRESS}"))[:200]:
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            row = asdict(Progress(**values))
            worker = Identity.from_json(row.pop("process"))
            alive = worker is not None and worker.alive
            found.append({"key": path.parent.name, **row, "alive": alive})
        except FileNotFoundError:
            continue  # it has just ended
        except (OSError, ValueError, TypeError) as error:
            found.append({"key": path.parent.name, "slot": "", "fault": f"{path.name}: {error}"})
    return sorted(found, key=lambda row: str(row["slot"]))


def note_outcome(forge_folder: Path, slot: str, seed: int, outcome: str) -> None:
    """Add what came of a forge run to the list of outcomes."""
    line = {"slot": slot, "seed": seed, "outcome": outcome, "written_s": time.time()}
    with suppress(CrucibleError, OSError):
        make_folder(forge_folder)
        append_line(forge_folder / OUTCOMES, json.dumps(line, sort_keys=True))


def read_outcomes(forge_folder: Path, limit: int) -> list[dict[str, Any]]:
    """Give the newest outcomes, newest first; lines that are none are left out."""
    path = forge_folder / OUTCOMES
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _NEWEST_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in reversed(lines):
        with suppress(ValueError):
            value = json.loads(line)
            if isinstance(value, dict):
                found.append(value)
        if len(found) == limit:
            break
    return found


def write_slots(
    forge_folder: Path,
    rows: Sequence[Mapping[str, Any]],
    actions: Sequence[Mapping[str, Any]],
    under_way: Sequence[str],
) -> None:
    """Keep what each slot looked like when the slots were filled last, and what was ordered."""
    held = Slots([*map(dict, rows)], [*map(dict, actions)], list(under_way), time.time())
    _keep(forge_folder, SLOTS, asdict(held))


@dataclass(frozen=True, slots=True)
class Slots:
    """What each slot looked like when slots were filled last.

    Attributes
    ----------
    rows, actions : list of dict
        The slots, and what was ordered.
    under_way : list of str
        Slots whose forge run was under way or queued.
    written_s : float or None
        When that was, seconds since 1970 by the wall clock; None where slots were never filled.
    fault : str
        What is wrong with the file, which is named; empty where nothing is.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    actions: list[dict[str, Any]] = field(default_factory=list)
    under_way: list[str] = field(default_factory=list)
    written_s: float | None = None
    fault: str = ""


def read_slots(forge_folder: Path) -> Slots:
    """Give what `write_slots` kept; a damaged file says so in `Slots.fault`."""
    path = forge_folder / SLOTS
    try:
        return msgspec.json.decode(path.read_bytes(), type=Slots)
    except FileNotFoundError:
        return Slots()
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return Slots(fault=f"{path} is damaged: {error}; it is written anew when slots are filled")


def _keep(folder: Path, name: str, value: Mapping[str, Any]) -> None:
    with suppress(CrucibleError, OSError, ValueError):
        make_folder(folder)
        write_json(folder / name, value)
