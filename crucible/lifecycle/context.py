"""The context of a decision: settings, workspace, venue, lake and registry, read once.

Flows and the walk-forward pass it to the functions of this package; nothing here knows an orchestrator.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from crucible.errors import CrucibleError, Rule, StrategyError
from crucible.locks import HeldError, held
from crucible.operations.supervision.ownership import refuse_another
from crucible.operations.workspace import Run, Workspace, read_json
from crucible.registry.admission import Refusal, Rules, refusal
from crucible.registry.models import Registry, Version
from crucible.registry.proof import digest
from crucible.settings import Settings, load_settings

if TYPE_CHECKING:
    from crucible.features.pipeline import FeaturePipeline
    from crucible.features.store import FeatureStore
    from crucible.market.exchange import Exchange
    from crucible.market.lake import Lake


Log: TypeAlias = "logging.Logger | logging.LoggerAdapter[Any]"


class ContextError(CrucibleError, RuntimeError):
    """What a decision needs is not there; the message says what, and how to start it."""


@dataclass(frozen=True)
class Context:
    """Everything a decision needs, read once from ``CRUCIBLE_HOME`` and the environment."""

    settings: Settings
    workspace: Workspace
    log: Log = field(default=logging.getLogger(__name__), compare=False)

    @cached_property
    def run(self) -> Run:
        """The run that is on."""
        run_id = os.environ.get("CRUCIBLE_RUN")
        run = self.workspace.run(run_id) if run_id else self.workspace.current()
        if run is None:
            message = f"{self.workspace.path}: nothing has run here; start the stack: crucible up"
            raise ContextError(message)
        return run

    @cached_property
    def _configuration(self) -> dict[str, object]:
        configuration = read_json(self.workspace.configuration_file)
        if not isinstance(configuration, dict):
            message = f"{self.workspace.configuration_file}: no market here yet; start the stack: crucible up"
            raise ContextError(message)
        return configuration

    @property
    def symbols(self) -> tuple[str, ...]:
        """Tracked symbols."""
        symbols = self._configuration["symbols"]
        if not isinstance(symbols, list):
            message = f"{self.workspace.configuration_file}: symbols is {symbols!r}, not a list"
            raise ContextError(message)
        return tuple(map(str, symbols))

    @property
    def origin_ms(self) -> int:
        """First market instant that has history."""
        return int(str(self._configuration["origin_ms"]))

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
        return self.workspace.path / "lake"

    @property
    def influence_file(self) -> Path:
        """Frozen arrays of the influence model: part of every feature schema."""
        return self.workspace.path / "models" / "influence.npz"

    @cached_property
    def registry(self) -> Registry:
        """The MLflow registry."""
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        if not uri:
            message = "MLFLOW_TRACKING_URI is not set; start the stack: crucible up"
            raise ContextError(message)
        refuse_another(self.workspace, "mlflow")
        return Registry(uri, self.workspace.proof_key())

    @property
    def rules(self) -> Rules:
        """Venue and policy, for `crucible.registry.admission.refusal`."""
        return Rules.of(self.settings)

    def refusal(self, version: Version) -> Refusal:
        """Say why a version may not trade here, its strategy file looked at; empty if it may.

        Raises
        ------
        RegistryError
            If the registry does not answer.
        """
        strategy = None
        if self.rules.only_proven and version.proven:
            try:
                strategy = digest(self.registry.strategy(version))
            except StrategyError as error:
                return Refusal(str(error), Rule.READABLE_STRATEGY)
        return refusal(version, self.rules, strategy)

    def market_ts(self) -> int | None:
        """Ask the venue for market time, epoch milliseconds; None while it does not answer."""
        from crucible.market.exchange import ExchangeError

        try:
            return self.exchange.closed_until(self.symbols[0])
        except ExchangeError as error:
            self.log.warning("market time is not known, so slots that rest go on: %s", error)
            return None

    @property
    def feature_store(self) -> FeatureStore | None:
        """Where computed features are kept; None where the settings say that none are."""
        from crucible.features.store import FeatureStore

        return FeatureStore.of(self.settings)

    def pipeline(self) -> FeaturePipeline:
        """Make the feature pipeline that every forge run and the arena share."""
        from crucible.features.influence.mapper import InfluenceArrays
        from crucible.features.pipeline import FeaturePipeline

        influence = None
        if self.influence_file.exists():
            influence = InfluenceArrays.load(self.influence_file)
        return FeaturePipeline(
            self.symbols,
            self.settings.features,
            influence,
            radar_cache=self.workspace.path / "cache" / "radar",
        )

    def forge_folder(self, key: str) -> Path:
        """Folder of a forge run's job and checkpoint."""
        return self.workspace.path / "forge" / key

    @property
    def real_money(self) -> bool:
        """Whether the venue is anything but our own paper venue."""
        return self.settings.execution.venue != "paper"


def load_context(log: Log | None = None) -> Context:
    """Read settings and workspace.

    Parameters
    ----------
    log : Logger, optional
        Where decisions are reported: in a flow, its run's logger.
    """
    settings = load_settings()
    return Context(settings, Workspace.at(settings.home), log or logging.getLogger(__name__))


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
    ContextError
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(held(lock, wait_s))
        except HeldError as error:
            raise ContextError(refusal) from error
        yield
