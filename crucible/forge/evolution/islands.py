"""Several populations that evolve beside each other and exchange their best.

Every island of a forge run draws from its own generator, derived from the forge run's seed. After every few
generations the best of each island are offered to the next one in a ring, in the order of the islands'
numbers and from the populations as they were before. Who computes an island, and when it is done, changes
nothing: the same seed gives the same champion on one worker, on four, or here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from crucible.forge.evolution.checkpoint import (
    CheckpointError,
    ForgeState,
    read_checked,
    vars_of,
    write_checked,
)
from crucible.forge.evolution.run import ForgeRun
from crucible.forge.result import ForgeResult

FORMAT = "crucible.forge-islands/1"

Advance: TypeAlias = Callable[[Sequence[ForgeState | None]], list[ForgeState]]
"""Takes every island one generation on, in order; None asks for an island's first population."""


@dataclass(frozen=True, slots=True)
class IslandsState:
    """All islands between two generations.

    Attributes
    ----------
    islands : tuple of ForgeState
        In the order of their numbers.
    table : tuple of dict
        One row for each generation, over all islands together.
    """

    islands: tuple[ForgeState, ...]
    table: tuple[dict[str, Any], ...]

    @property
    def identity(self) -> str:
        """Of the forge run that the islands belong to."""
        return self.islands[0].identity

    @property
    def generation(self) -> int:
        """Generation that every island has reached."""
        return self.islands[0].generation

    @property
    def trials(self) -> int:
        """Candidates evaluated on all islands; one that two of them met counts twice."""
        return sum(island.trials for island in self.islands)

    def save(self, path: Path) -> None:
        """Write the state; the file is the old one or the new one, never half of one."""
        values = {"islands": [vars_of(island) for island in self.islands], "table": self.table}
        write_checked(path, FORMAT, values)

    @classmethod
    def load(cls, path: Path) -> IslandsState:
        """Read a state.

        Raises
        ------
        CheckpointError
            If the file is missing, of another format, or not what was written.
        """
        values = read_checked(path, FORMAT)
        try:
            islands = tuple(ForgeState(**island) for island in values["islands"])
            state = cls(islands, tuple(values["table"]))
        except (KeyError, TypeError) as error:
            message = f"{path}: {error}; delete it to start again"
            raise CheckpointError(message) from error
        return state

    @classmethod
    def resume(cls, path: Path, identity: str) -> IslandsState:
        """Read a state to go on with.

        Raises
        ------
        CheckpointError
            If it cannot be read, or belongs to the forge run of another identity.
        """
        state = cls.load(path)
        if state.identity != identity:
            message = (
                f"{path}: generation {state.generation} of another forge run ({state.identity}, not "
                f"{identity}): data, settings, seed or code differ; delete it to start again"
            )
            raise CheckpointError(message)
        return state


class Islands:
    """The islands of one forge run; one island is the forge run as it is.

    Parameters
    ----------
    forge_run : ForgeRun
    advance : callable, optional
        Computes the islands of a generation; here, one after the other, by default.
    """

    def __init__(self, forge_run: ForgeRun, advance: Advance | None = None) -> None:
        self.forge_run = forge_run
        self._advance = advance or inline(forge_run)

    def start(self) -> IslandsState:
        """Give every island its first population: generation 0."""
        count = self.forge_run.settings.islands
        return self._with_new_row(tuple(self._advance([None] * count)), ())

    def advance(self, state: IslandsState) -> IslandsState:
        """Take every island one generation on, and let the best migrate when it is time."""
        islands = tuple(self._advance(state.islands))
        settings = self.forge_run.settings
        if len(islands) > 1 and islands[0].generation % settings.migrate_every == 0:
            islands = tuple(
                self.forge_run.merge(island, [islands[number - 1]], settings.migrants)
                for number, island in enumerate(islands)
            )
        return self._with_new_row(islands, state.table)

    def merged(self, state: IslandsState) -> ForgeState:
        """Give the best of all islands as one population, with every trial counted."""
        first, *others = state.islands
        if not others:
            return first
        whole = self.forge_run.merge(replace(first, trials=state.trials), others)
        return replace(whole, table=list(state.table))

    def finish(self, state: IslandsState) -> ForgeResult:
        """Let validation choose, the gates judge, and open the hold-out window once."""
        return self.forge_run.finish(self.merged(state))

    def run(self) -> ForgeResult:
        """All generations of the settings, start to finish."""
        state = self.start()
        forge_run = self.forge_run
        while state.generation < forge_run.settings.generations and not forge_run.ending(
            state.table
        ):
            state = self.advance(state)
        return self.finish(state)

    def _with_new_row(
        self, islands: tuple[ForgeState, ...], table: tuple[dict[str, Any], ...]
    ) -> IslandsState:
        """Write the generation down, over all islands."""
        state = IslandsState(islands, table)
        row = islands[0].table[-1]
        if len(islands) > 1:
            first = replace(islands[0], trials=state.trials)
            row = self.forge_run.merge(first, islands[1:]).table[-1]
        return IslandsState(islands, (*table, row))


def inline(forge_run: ForgeRun) -> Advance:
    """Compute the islands here, one after the other."""

    def advance(islands: Sequence[ForgeState | None]) -> list[ForgeState]:
        return [next_of(forge_run, number, state) for number, state in enumerate(islands)]

    return advance


def next_of(forge_run: ForgeRun, number: int, state: ForgeState | None) -> ForgeState:
    """Take one island one generation on; without a state, begin it."""
    return forge_run.start(number) if state is None else forge_run.advance(state)
