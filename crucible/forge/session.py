"""A forge session: prepare, start or resume, advance, finish; the command line and the flow both use it.

A session breeds one generation at a time and leaves a checkpoint after each, from which another process goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crucible.forge.evolution.distributed import Recipe, distribute
from crucible.forge.evolution.islands import Islands, IslandsState
from crucible.forge.evolution.run import ForgeRun
from crucible.forge.reporting.importance import with_importance
from crucible.forge.result import ForgeResult
from crucible.interruption import interruptible

CHECKPOINT = "checkpoint.json"


class ForgeSession:
    """One forge run of a process.

    Made by `open_session`. The order is: `start` or `resume`, `advance` as often as there are generations,
    `finish`.

    Attributes
    ----------
    forge_run : ForgeRun
        What does not change.
    checkpoint : Path
        Written after every generation.
    """

    def __init__(self, forge_run: ForgeRun, islands: Islands, checkpoint: Path) -> None:
        self.forge_run = forge_run
        self.checkpoint = checkpoint
        self._islands = islands
        self._state: IslandsState | None = None

    @property
    def started(self) -> bool:
        """Whether there is a generation."""
        return self._state is not None

    @property
    def state(self) -> IslandsState:
        """All islands after the newest generation; there is none before `start` or `resume`."""
        if self._state is None:
            message = "a session has no state before it is started or resumed"
            raise RuntimeError(message)
        return self._state

    @property
    def ending(self) -> str:
        """Why the search ends before its last generation; empty where it goes on."""
        return self.forge_run.ending(self.state.table)

    def start(self) -> IslandsState:
        """Make the first generation."""
        with interruptible():
            self._state = self._islands.start()
        self._state.save(self.checkpoint)
        return self._state

    def resume(self) -> IslandsState:
        """Take up the checkpoint.

        Raises
        ------
        CheckpointError
            If it is not one of this forge run.
        """
        self._state = IslandsState.resume(self.checkpoint, self.forge_run.identity)
        return self._state

    def advance(self) -> IslandsState:
        """Breed, evaluate and select once on every island, and leave a checkpoint."""
        with interruptible():
            self._state = self._islands.advance(self.state)
        self._state.save(self.checkpoint)
        return self._state

    def finish(self) -> ForgeResult:
        """Put the best to the gates, and measure which features the winner listens to."""
        with interruptible():
            return with_importance(self._islands.finish(self.state), self.forge_run)


@contextmanager
def open_session(recipe: Recipe, checkpoint: Path) -> Iterator[ForgeSession]:
    """Prepare a session; what it holds of workers ends with the block.

    Parameters
    ----------
    recipe : Recipe
    checkpoint : Path
        Where its state is kept between two generations.

    Raises
    ------
    ForgeError
        If candles and features do not match or are too few, or workers cannot be reached.
    """
    forge_run = recipe.forge_run()
    with distribute(recipe, forge_run) as islands:
        yield ForgeSession(forge_run, islands, checkpoint)
