"""Where a flow finds things: settings, the home, the services' addresses, the registry."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import runtime

from crucible.errors import CrucibleError, StrategyError
from crucible.locks import HeldError, held
from crucible.operations.supervision.ownership import refuse_another
from crucible.operations.workspace import Home, Run, read_json
from crucible.registry.models import Registry, Version
from crucible.registry.proof import digest
from crucible.settings import Settings, load_settings

if TYPE_CHECKING:
    from crucible.features.pipeline import FeaturePipeline
    from crucible.market.exchange import Exchange
    from crucible.market.lake import Lake


class HouseError(CrucibleError, RuntimeError):
    """The stack that a flow needs is not there; the message says what and how to start it."""


@dataclass(frozen=True)
class House:
    """Everything a flow needs, read once from ``CRUCIBLE_HOME`` and the environment."""

    settings: Settings
    home: Home

    @cached_property
    def run(self) -> Run:
        """The run that is on."""
        run_id = os.environ.get("CRUCIBLE_RUN")
        run = self.home.run(run_id) if run_id else self.home.current()
        if run is None:
            message = f"{self.home.path}: nothing has run here; start the stack: crucible up"
            raise HouseError(message)
        return run

    @cached_property
    def _world(self) -> dict[str, object]:
        world = read_json(self.home.world_file)
        if not isinstance(world, dict):
            message = f"{self.home.world_file}: no market here yet; start the stack: crucible up"
            raise HouseError(message)
        return world

    @property
    def symbols(self) -> tuple[str, ...]:
        """Tracked symbols."""
        symbols = self._world["symbols"]
        if not isinstance(symbols, list):
            message = f"{self.home.world_file}: symbols is {symbols!r}, not a list"
            raise HouseError(message)
        return tuple(map(str, symbols))

    @property
    def origin_ms(self) -> int:
        """First market instant that has history."""
        return int(str(self._world["origin_ms"]))

    @cached_property
    def exchange(self) -> Exchange:
        """The venue's public data."""
        from crucible.market.exchange import Exchange

        return Exchange(os.environ.get("CRUCIBLE_EXCHANGE_URL"))

    @cached_property
    def lake(self) -> Lake:
        """The data lake."""
        from crucible.market.lake import Lake

        return Lake(self.lake_folder)

    @property
    def lake_folder(self) -> Path:
        """Folder of the data lake."""
        return self.home.path / "lake"

    @property
    def influence_file(self) -> Path:
        """Frozen arrays of the influence model: part of every feature schema."""
        return self.home.path / "models" / "influence.npz"

    @cached_property
    def registry(self) -> Registry:
        """The MLflow registry."""
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        if not uri:
            message = "MLFLOW_TRACKING_URI is not set; start the stack: crucible up"
            raise HouseError(message)
        refuse_another(self.home, "mlflow")
        return Registry(uri, self.home.proof_key())

    def doubt(self, version: Version) -> str:
        """Say why a version is not proven, its strategy file looked at; empty if it is.

        Raises
        ------
        RegistryError
            If the registry does not answer.
        """
        if not version.proven:
            return version.unproven_because
        try:
            return version.doubt_of(digest(self.registry.strategy(version)))
        except StrategyError as error:
            return str(error)

    def pipeline(self) -> FeaturePipeline:
        """Make the feature pipeline that every forging and the arena share."""
        from crucible.features.influence.mapper import InfluenceArrays
        from crucible.features.pipeline import FeaturePipeline

        influence = None
        if self.influence_file.exists():
            influence = InfluenceArrays.load(self.influence_file)
        return FeaturePipeline(
            self.symbols,
            self.settings.features,
            influence,
            radar_cache=self.home.path / "cache" / "radar",
        )

    def forge_folder(self, key: str) -> Path:
        """Folder of a forging's job and checkpoint."""
        return self.home.path / "forge" / key

    @property
    def real_money(self) -> bool:
        """Whether the venue is anything but our own paper venue."""
        return self.settings.execution.venue != "paper"

    @property
    def seats_unproven(self) -> bool:
        """Whether an empty production seat may go to an unproven version."""
        return self.settings.forge.policy == "explore" and not self.real_money


def open_house() -> House:
    """Read settings and home."""
    settings = load_settings()
    return House(settings, Home.at(settings.home))


def page_of_flow_run() -> str:
    """Address of this flow run in Prefect's page; empty outside a flow run."""
    found = str(runtime.flow_run.ui_url or "")
    return found.replace("/flow-runs/flow-run/", "/runs/flow-run/")


@contextmanager
def only_one(lock: Path, refusal: str, wait_s: float = 0.0) -> Iterator[None]:
    """Keep a second process off the same work, whatever Prefect believes about the first.

    The lock ends with the process that holds it, however that ends.

    Parameters
    ----------
    lock : Path
    refusal : str
        What to say when another living process holds it.
    wait_s : float
        How long to wait for it.

    Raises
    ------
    HouseError
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(held(lock, wait_s))
        except HeldError as error:
            raise HouseError(refusal) from error
        yield
