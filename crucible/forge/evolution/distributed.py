"""Islands on Dask workers: one task for each island and generation, never one for each candidate.

The workers hold the candles and features once; a state travels to them and back every generation.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from crucible.features.frame import FeatureFrame
from crucible.forge.backtest.engine import ForgeError
from crucible.forge.evolution.checkpoint import ForgeState
from crucible.forge.evolution.islands import Advance, Islands, next_of
from crucible.forge.evolution.run import ForgeRun
from crucible.forge.span import Span
from crucible.forge.validation.novelty import Incumbents
from crucible.market.candles import Candles
from crucible.market.funding import Funding
from crucible.settings import ForgeSettings, Slot


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that a forge run is made of; see `ForgeRun`."""

    slot: Slot
    candles: Candles
    frame: FeatureFrame
    settings: ForgeSettings
    seed: int
    prior_trials: int = 0
    incumbents: Incumbents | None = None
    funding: Funding | None = None
    prior_effective: float | None = None
    span: Span | None = None

    def forge_run(self) -> ForgeRun:
        """Make the forge run."""
        return ForgeRun(
            self.slot,
            self.candles,
            self.frame,
            self.settings,
            self.seed,
            self.prior_trials,
            incumbents=self.incumbents,
            funding=self.funding,
            prior_effective=self.prior_effective,
            span=self.span,
        )


@contextmanager
def distribute(recipe: Recipe, forge_run: ForgeRun) -> Iterator[Islands]:
    """Give the islands of a forge run, computed where its settings say.

    Parameters
    ----------
    recipe : Recipe
        What the workers make the forge run of.
    forge_run : ForgeRun
        The same forge run, here.

    Raises
    ------
    ForgeError
        If the scheduler does not answer, or its workers run other code.
    """
    address = recipe.settings.dask
    if not address:
        yield Islands(forge_run)
        return
    with workers(address, recipe.settings.islands) as client:
        yield Islands(forge_run, on_workers(client, recipe, forge_run.identity))


@contextmanager
def workers(address: str, most: int) -> Iterator[Any]:
    """Connect to Dask workers.

    Parameters
    ----------
    address : str
        ``local`` for processes of this machine, or where a scheduler listens.
    most : int
        Local processes that can be kept busy; no more are started, and no more than there are processors.

    Raises
    ------
    ForgeError
        If the scheduler does not answer.
    """
    # Imported here: only who asks for workers waits a second for it.
    from distributed import Client, LocalCluster

    connect: Any = Client
    with ExitStack() as stack:
        if address == "local":
            make: Any = LocalCluster
            cluster = make(
                n_workers=min(most, os.cpu_count() or 1),
                threads_per_worker=1,
                # Who reaches a scheduler runs code in it: certificates of its own keep other users out.
                security=True,
                dashboard_address=None,
            )
            stack.enter_context(cluster)
            yield stack.enter_context(connect(cluster, set_as_default=False))
            return
        try:
            client = connect(address, timeout=30, set_as_default=False)
        except (OSError, TimeoutError) as error:
            message = f"forge.dask = {address}: no scheduler answers; start one or set it to local"
            raise ForgeError(message) from error
        yield stack.enter_context(client)


def names_of_workers(client: Any, address: str) -> list[str]:  # noqa: ANN401 - Dask's client
    """Name the workers that are there, in a fixed order; `ForgeError` if there is none."""
    names = sorted(client.scheduler_info(n_workers=-1)["workers"])
    if not names:
        message = f"forge.dask = {address}: its scheduler has no worker; start one"
        raise ForgeError(message)
    return names


def on_workers(client: Any, recipe: Recipe, identity: str) -> Advance:  # noqa: ANN401 - Dask's client
    """Compute every island on a worker, the same island on the same worker while it lives.

    Parameters
    ----------
    client : distributed.Client
    recipe : Recipe
    identity : str
        Of the forge run here; a worker whose forge run has another refuses.
    """
    held = client.scatter(recipe, broadcast=True, hash=False)

    def advance(islands: Sequence[ForgeState | None]) -> list[ForgeState]:
        names = names_of_workers(client, recipe.settings.dask)
        futures = [
            client.submit(
                on_worker,
                held,
                identity,
                number,
                state,
                pure=False,
                workers=[names[number % len(names)]],
                allow_other_workers=True,
            )
            for number, state in enumerate(islands)
        ]
        done: list[ForgeState] = client.gather(futures)
        return done

    return advance


ONE_FORGE_RUN = threading.Lock()
"""Held while a process computes a forge run: DEAP draws from the process's one generator."""
_made: dict[str, ForgeRun] = {}


def on_worker(recipe: Recipe, identity: str, number: int, state: ForgeState | None) -> ForgeState:
    """Take one island one generation on, in a worker's process.

    Raises
    ------
    ForgeError
        If this process makes another forge run of the recipe: it runs other code.
    """
    with ONE_FORGE_RUN:
        if identity not in _made:
            forge_run = recipe.forge_run()
            if forge_run.identity != identity:
                message = (
                    f"the worker on {os.uname().nodename} makes forge run {forge_run.identity} of what "
                    f"is {identity} here; install the same Crucible there"
                )
                raise ForgeError(message)
            _made.clear()
            _made[identity] = forge_run
        return next_of(_made[identity], number, state)
