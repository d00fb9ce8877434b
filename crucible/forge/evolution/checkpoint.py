"""The state of a forge run between two generations, and its file.

JSON, written atomically with a checksum: whoever reads it sees one whole generation or an error,
and reading it executes no code.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crucible.files import make_folder, write_text
from crucible.forge.backtest.engine import ForgeError

FORMAT = "crucible.forge-checkpoint/1"


class CheckpointError(ForgeError):
    """A checkpoint that cannot be resumed; the message names the file and why."""


@dataclass(slots=True)
class ForgeState:
    """Everything that the next generation depends on.

    Attributes
    ----------
    identity : str
        Hash of data, features, settings, slot, seed and code: a state resumes only where these are
        the same.
    generation : int
        0 after the first evaluation.
    population : list
        Candidates as JSON values, best first by rank and crowding.
    seen : dict
        Score of every candidate ever evaluated, by its key: the fitness cache.
    python_random : list
        State of the `random` generator.
    trials : int
        Candidates evaluated in this forge run; those before it are counted apart.
    table : list of dict
        One row for each generation.
    null_maxima : list of float
        See `NullMaximum.state`.
    """

    identity: str
    generation: int
    population: list[Any]
    seen: dict[str, list[float | None]]
    python_random: list[Any]
    trials: int
    table: list[dict[str, Any]] = field(default_factory=list)
    null_maxima: list[float] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write the state; the file is the old one or the new one, never half of one."""
        write_checked(path, FORMAT, vars_of(self))

    @classmethod
    def load(cls, path: Path) -> ForgeState:
        """Read a state.

        Raises
        ------
        CheckpointError
            If the file is missing, of another format, or not what was written.
        """
        state = read_checked(path, FORMAT)
        try:
            return cls(**state)
        except TypeError as error:
            message = f"{path}: {error}; delete it to start again"
            raise CheckpointError(message) from error


def vars_of(state: ForgeState) -> dict[str, Any]:
    """Give the fields of a state, by name."""
    return {name: getattr(state, name) for name in state.__slots__}


def write_checked(path: Path, kind: str, values: Any) -> None:  # noqa: ANN401 - JSON values
    """Write JSON values with a checksum, atomically."""
    body = json.dumps(values, separators=(",", ":"))
    digest = hashlib.sha256(body.encode()).hexdigest()
    make_folder(path.parent)
    write_text(path, f'{{"format":"{kind}","sha256":"{digest}","state":\n{body}\n}}\n')


def read_checked(path: Path, kind: str) -> Any:  # noqa: ANN401 - JSON values
    """Read what `write_checked` wrote.

    Raises
    ------
    CheckpointError
        If the file is missing, of another format, or not what was written.
    """
    try:
        text = path.read_text()
        document = json.loads(text)
        found, digest, state = document["format"], document["sha256"], document["state"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        message = f"{path}: not a readable checkpoint ({error}); delete it to start again"
        raise CheckpointError(message) from error
    if found != kind:
        message = f"{path}: format {found!r} is not {kind!r}; delete it to start again"
        raise CheckpointError(message)
    body = text.partition("\n")[2].rpartition("\n}")[0]
    if hashlib.sha256(body.encode()).hexdigest() != digest:
        message = f"{path}: its checksum does not match; delete it to start again"
        raise CheckpointError(message)
    return state


def random_state(state: tuple[Any, ...]) -> list[Any]:
    """Return what `random.getstate` gave, as JSON values."""
    version, numbers, gauss = state
    return [version, list(numbers), gauss]


def restore_random(values: list[Any]) -> tuple[Any, ...]:
    """Return what `random.setstate` takes, from `random_state`'s values."""
    version, numbers, gauss = values
    return (version, tuple(numbers), gauss)
