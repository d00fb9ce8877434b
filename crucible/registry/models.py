"""The MLflow model registry: versions, aliases and lineage.

A slot is a registered model; a version holds one strategy file. Aliases say what the arena does with
it: ``challenger`` trades in shadow, ``production`` trades through Cerebellum, ``retired`` no more.
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec
from mlflow.types import Schema as MlflowSchema

from crucible.errors import CrucibleError, StrategyError
from crucible.registry import proof as proofs
from crucible.registry.artifacts import fetch
from crucible.registry.experiments import Experiment, parameter
from crucible.registry.pages import EXPERIMENT, HOW_TO_READ, experiment_tags
from crucible.registry.proof import Proof
from crucible.registry.version import Active, Alias, Version
from crucible.settings import Slot
from crucible.strategies.document import parse_document

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TRIALS", "Active", "Alias", "Registry", "RegistryError", "Version"]

STRATEGY_FILE = "strategy.json"
TRIALS = "candidates_evaluated"
"""Metric of a run: candidates that this forge run alone evaluated."""
SEALED = "sealed_trades"
"""Metric of a run that has opened its hold-out window."""


_ADDRESS = threading.Lock()


@contextmanager
def _at(tracking_uri: str) -> Iterator[None]:
    """Set MLflow's address, which is one for the whole process, and put it back."""
    with _ADDRESS:
        before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None  # type: ignore[no-untyped-call]
        mlflow.set_tracking_uri(tracking_uri)
        try:
            yield
        finally:
            mlflow.set_tracking_uri(before)  # type: ignore[arg-type]


class RegistryError(CrucibleError, RuntimeError):
    """The registry cannot be reached, or refuses; the message names model, version and reason."""


class Registry:
    """The registry behind one tracking server.

    Parameters
    ----------
    tracking_uri : str
        For example ``http://127.0.0.1:5000``.
    key : str, optional
        The workspace's key of proofs; without it no version is proven.
    """

    def __init__(self, tracking_uri: str, key: str | None = None) -> None:
        self.tracking_uri = tracking_uri
        self._key = key
        self._client = MlflowClient(tracking_uri)
        self.forge_runs_experiment = Experiment(
            self._client, EXPERIMENT, HOW_TO_READ, experiment_tags()
        )

    def other_experiment(self, name: str, note: str) -> Experiment:
        """Give an experiment beside that of the forge runs."""
        return Experiment(self._client, name, note)

    def model_of(self, version: Version) -> str | None:
        """Give the id of the logged model of a version, to which metrics can be bound."""
        # The server tells the model's id as the version's source, `models:/ID`.
        try:
            found = self._client.get_model_version(version.slot, version.version)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":  # a person deleted the version
                return None
            raise
        source = str(found.source or "")
        return source.removeprefix("models:/") if source.startswith("models:/") else None

    # --- runs ----------------------------------------------------------------------------------

    def open_run(self, key: str, name: str, tags: Mapping[str, str]) -> str:
        """Start the run of a forge run, or continue the one that has the same key.

        Parameters
        ----------
        key : str
            Identifies the forge run: a retry has the same key, and its run is not doubled.
        name : str
        tags : mapping
        """
        return self.forge_runs_experiment.open_run(key, name, tags)

    def log(
        self,
        run_id: str,
        *,
        parameters: Mapping[str, object] | None = None,
        metrics: Iterable[tuple[str, float, int]] = (),
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log parameters, ``(name, value, step)`` metrics and tags, as `Experiment.log`."""
        self.forge_runs_experiment.log(run_id, parameters=parameters, metrics=metrics, tags=tags)

    def metrics(self, run_id: str) -> dict[str, float]:
        """Newest value of every metric of a run."""
        return dict(self._client.get_run(run_id).data.metrics)

    def steps(self, run_id: str, metric: str) -> set[int]:
        """Give the steps at which a metric has been logged; a batch is stored whole or not at all."""
        return self.forge_runs_experiment.steps(run_id, metric)

    def changed(self, run_id: str, parameters: Mapping[str, object]) -> dict[str, tuple[str, str]]:
        """Compare parameters with those of a run: what it was and what it would be, by name.

        A parameter that the run does not have yet has not changed.
        """
        held = self._client.get_run(run_id).data.params
        return {
            name: (held[name], parameter(value))
            for name, value in parameters.items()
            if name in held and held[name] != parameter(value)
        }

    def finished(self, key: str) -> bool:
        """Whether the forge run of a key has ended, its outcome published."""
        runs = self._client.search_runs(
            [self.experiment()],
            f"tags.`crucible.key` = '{key}' and attributes.status = 'FINISHED'",
            max_results=1,
        )
        return bool(runs)

    def status(self, run_id: str) -> str:
        """State of a run: RUNNING, FINISHED, FAILED or KILLED."""
        return str(self._client.get_run(run_id).info.status)

    def log_folder(self, run_id: str, folder: Path) -> None:
        """Attach every file of a folder to the run."""
        self._client.log_artifacts(run_id, str(folder))

    def log_dataset(self, run_id: str, name: str, digest: str, source: str) -> None:
        """Record which data the forge run saw."""
        dataset = mlflow.entities.Dataset(
            name=name, digest=digest[:36], source_type="local", source=json.dumps({"uri": source})
        )
        tag = mlflow.entities.InputTag("mlflow.data.context", "training")
        self._client.log_inputs(run_id, [mlflow.entities.DatasetInput(dataset, [tag])])

    def run_facts(self, run_id: str) -> dict[str, str]:
        """Tags and parameters of a run by name; a parameter wins over a tag."""
        data = self._client.get_run(run_id).data
        return {**data.tags, **data.params}

    def file_of_run(self, run_id: str, name: str) -> str:
        """Address of a file of a run."""
        return f"{self.tracking_uri}/get-artifact?path={name}&run_uuid={run_id}"

    def page_of_run(self, run_id: str) -> str:
        """Address of a run in MLflow's page."""
        return f"{self.tracking_uri}/#/experiments/{self.experiment()}/runs/{run_id}"

    def close_run(self, run_id: str, status: Literal["FINISHED", "FAILED", "KILLED"]) -> None:
        """End the run."""
        self._client.set_terminated(run_id, status)

    def trials(self, slot: str, *, without: str = "") -> int:
        """Count every candidate ever evaluated for a slot, refused forge runs included.

        Parameters
        ----------
        slot : str
        without : str
            A run whose own candidates are left out.
        """
        others = (run for run in self._runs(slot) if run.info.run_id != without)
        return int(sum(run.data.metrics.get(TRIALS, 0.0) for run in others))

    def openings(self, slot: str, *, without: str = "") -> int:
        """Count the forge runs of a slot that opened their hold-out window, but for one run."""
        return sum(
            SEALED in run.data.metrics and run.info.run_id != without for run in self._runs(slot)
        )

    def forge_runs(self, slot: str) -> int:
        """Count the forge runs that a slot ever had, refused and failed ones included."""
        return len(self._runs(slot))

    def ended(self, slot: str) -> list[tuple[bool, int | None]]:
        """Tell of every forge run of a slot, the newest first, whether it gave a version and until when it saw.

        One that was refused, failed or was cancelled gave none. The second is market time, epoch
        milliseconds; None where the run does not say.
        """
        runs = sorted(self._runs(slot), key=lambda run: -run.info.start_time)
        reported = []
        for run in runs:
            tags, until = run.data.tags, run.data.tags.get("until_ms", "")
            gave = run.info.status == "FINISHED" and not tags.get("refused_by")
            reported.append((gave, int(until) if until.isdigit() else None))
        return reported

    def _runs(self, slot: str) -> list[Run]:
        return self.forge_runs_experiment.all(f"tags.slot = '{slot}'")

    def experiment(self) -> str:
        """Give the id of the experiment that holds every forge run."""
        return self.forge_runs_experiment.id()

    # --- versions ------------------------------------------------------------------------------

    def register(
        self,
        run_id: str,
        slot: Slot,
        strategy: Mapping[str, Any],
        tags: Mapping[str, str],
        *,
        example: pd.DataFrame | None = None,
        note: str = "",
    ) -> Version:
        """Log a strategy as a model of its run and register it as the slot's next version.

        The model is logged from code: loading it through MLflow reads the strategy's JSON and
        runs no pickle.

        Parameters
        ----------
        run_id : str
        slot : Slot
        strategy : mapping
            The strategy file.
        tags : mapping
        example : DataFrame, optional
            Some rows of features, one column each: kept as the model's input example, and the
            source of its signature.
        note : str
            Markdown that describes the version.
        """
        described: dict[str, Any] = {}
        if example is not None:
            described = {"input_example": example, "signature": _signature(example)}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / STRATEGY_FILE
            path.write_text(json.dumps(strategy, sort_keys=True, indent=1))
            with _at(self.tracking_uri), mlflow.start_run(run_id=run_id):
                info = mlflow.pyfunc.log_model(
                    name="strategy",
                    python_model=str(Path(__file__).with_name("pyfunc_model.py")),
                    artifacts={"strategy": str(path)},
                    pip_requirements=["msgspec", "numba", "numpy", "pandas"],
                    **described,
                )
        try:
            self._client.create_registered_model(
                slot.name, tags={"symbol": slot.symbol, "kind": slot.kind}
            )
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        made = self._client.create_model_version(
            slot.name,
            info.model_uri,
            run_id=run_id,
            tags=dict(tags),
            description=note or None,
            model_id=info.model_id,
        )
        return self._version(made)

    def prove(self, version: Version, proof: Proof) -> Version:
        """Write a version's evidence under the workspace's seal; done twice, it is as done once.

        Raises
        ------
        RegistryError
            If this registry has no key, or the server does not answer.
        """
        if self._key is None:
            message = f"{version.slot} version {version.version}: no key to seal its proof with"
            raise RegistryError(message)
        self.tag(version.slot, version.version, {proofs.TAG: proofs.seal(proof, self._key)})
        return self.version(version.slot, version.version)

    def version_of_run(self, run_id: str) -> Version | None:
        """Give the version that a run has registered; None before it has."""
        found = self._client.search_model_versions(f"run_id = '{run_id}'")
        return self._version(found[0]) if found else None

    def versions(self, slot: str | None = None) -> list[Version]:
        """Every version of a slot, or of all slots, oldest first."""
        query = f"name = '{slot}'" if slot else ""
        found = [self._version(item) for item in self._client.search_model_versions(query)]
        return sorted(found, key=lambda item: (item.slot, int(item.version)))

    def version(self, slot: str, version: str) -> Version:
        """One version by number; `RegistryError` if there is none."""
        try:
            return self._version(self._client.get_model_version(slot, version))
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                message = f"{slot} has no version {version}: {error}"
            else:
                message = f"{self.tracking_uri}: the registry does not answer: {error}"
            raise RegistryError(message) from error

    def aliases(self, slot: str) -> dict[str, str]:
        """Aliases of a slot and the versions that they point to; empty for an unknown slot."""
        try:
            return dict(self._client.get_registered_model(slot).aliases)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return {}
            raise

    def active(
        self, slots: Iterable[Slot], unread: dict[tuple[str, str], str] | None = None
    ) -> list[Active]:
        """Every version under ``production`` or ``challenger``, for the given slots.

        Parameters
        ----------
        slots : iterable of Slot
        unread : dict, optional
            Takes slot and number of every version that cannot be looked up, and why; without it one
            such version is an error.

        Raises
        ------
        RegistryError
            If the tracking server does not answer.
        """
        found: list[Active] = []
        for slot in slots:
            try:
                aliases = self.aliases(slot.name)
            except MlflowException as error:
                message = f"{self.tracking_uri}: the registry does not answer: {error}"
                raise RegistryError(message) from error
            for alias in ("production", "challenger"):
                number = aliases.get(alias)
                if number is None or (
                    alias == "challenger" and number == aliases.get("production")
                ):
                    continue
                try:
                    found.append(Active(alias, self.version(slot.name, number)))
                except RegistryError as error:
                    if unread is None:
                        raise
                    unread[slot.name, number] = str(error)
        return found

    def strategy(self, version: Version) -> dict[str, Any]:
        """Fetch a version's strategy file; nothing in it is executed.

        Raises
        ------
        StrategyError
            If the version has none, or it is not JSON within bounds.
        RegistryError
            If the server does not answer; asking again later may help.
        """
        return self.document(version, STRATEGY_FILE)

    def document(self, version: Version, file: str) -> dict[str, Any]:
        """Fetch a JSON file of the run that made a version.

        Raises
        ------
        StrategyError
            If there is none, or it is not a JSON object within bounds.
        RegistryError
            If the server does not answer; asking again later may help.
        """
        name = f"{version.slot} version {version.version}"
        if not version.run_id:
            message = f"{name}: it has no run, so no {file}; register it from a run"
            raise StrategyError(message)
        try:
            return parse_document(fetch(self._client, version.run_id, file))
        except StrategyError as error:
            message = f"{name}: no usable {file}: {error}"
            raise StrategyError(message) from error
        except (MlflowException, OSError) as error:
            message = f"{self.tracking_uri}: {name} cannot be fetched now: {error}"
            raise RegistryError(message) from error

    def set_alias(self, slot: str, alias: Alias, version: str) -> None:
        """Point an alias at a version."""
        self._client.set_registered_model_alias(slot, alias, version)

    def drop_alias(self, slot: str, alias: Alias) -> None:
        """Take an alias away; nothing happens where it is not set."""
        if alias in self.aliases(slot):
            self._client.delete_registered_model_alias(slot, alias)

    def tag(self, slot: str, version: str, tags: Mapping[str, str]) -> None:
        """Tag a version; an empty text takes the tag away."""
        try:
            for name, value in tags.items():
                if value:
                    self._client.set_model_version_tag(slot, version, name, value)
                else:
                    self._client.delete_model_version_tag(slot, version, name)
        except MlflowException as error:
            message = f"{self.tracking_uri}: {slot} version {version} cannot be tagged: {error}"
            raise RegistryError(message) from error

    def promote(self, slot: str, version: str, reason: str) -> str | None:
        """Make a version the slot's production; return the version that it replaces.

        The replaced one is retired; where the promoted one was challenger it is so no more.
        """
        aliases = self.aliases(slot)
        replaced = aliases.get("production")
        promoted = {"promoted": reason}
        if replaced is not None and replaced != version:
            promoted["replaced"] = replaced
        self.tag(slot, version, promoted)
        if "retired" in self.version(slot, version).tags:
            self._client.delete_model_version_tag(slot, version, "retired")
        if aliases.get("retired") == version:
            self.drop_alias(slot, "retired")
        self.set_alias(slot, "production", version)
        if aliases.get("challenger") == version:
            self.drop_alias(slot, "challenger")
        if replaced is not None and replaced != version:
            self.set_alias(slot, "retired", replaced)
            self.tag(slot, replaced, {"retired": f"replaced by version {version}: {reason}"})
            return replaced
        return None

    def retire(self, slot: str, version: str, reason: str) -> None:
        """Take a version out of trading: its alias moves to ``retired`` and the reason is tagged."""
        aliases = self.aliases(slot)
        self.tag(slot, version, {"retired": reason})
        self.set_alias(slot, "retired", version)
        for alias in ("production", "challenger"):
            if aliases.get(alias) == version:
                self.drop_alias(slot, alias)

    def _version(self, item: Any) -> Version:  # noqa: ANN401 - MLflow's entity
        found = Version(str(item.name), str(item.version), str(item.run_id), dict(item.tags))
        names = (found.slot, found.version, found.run_id)
        try:
            proof = proofs.open_sealed(found.tags.get(proofs.TAG), self._key, *names)
        except proofs.ProofError as error:
            return replace(found, doubt=str(error))
        return replace(found, proof=proof, doubt="")


def _signature(example: pd.DataFrame) -> ModelSignature:
    """Describe a table of features, and the signals that a strategy gives for it."""
    return ModelSignature(
        inputs=MlflowSchema([ColSpec("double", str(name)) for name in example.columns]),
        outputs=MlflowSchema([ColSpec("integer", "signal")]),
    )
