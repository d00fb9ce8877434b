"""The MLflow model registry: versions, aliases and lineage.

A slot is a registered model; a version holds one strategy file. Aliases say what the arena does with
it: ``challenger`` trades in shadow, ``production`` trades through Cerebellum, ``retired`` no more.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec
from mlflow.types import Schema as MlflowSchema

from crucible.errors import StrategyError
from crucible.registry import proof as proofs
from crucible.registry.artifacts import fetch
from crucible.registry.errors import RegistryError
from crucible.registry.proof import LivedProof, Proof
from crucible.registry.tracking import TRIALS, ForgeRuns, tracking_address
from crucible.registry.version import PROVEN_BY, Active, Alias, Version
from crucible.settings import Slot
from crucible.strategies.document import parse_document

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TRIALS", "Active", "Alias", "Registry", "Version"]

STRATEGY_FILE = "strategy.json"


class Registry(ForgeRuns):
    """The runs and versions behind one tracking server.

    Parameters
    ----------
    tracking_uri : str
        For example ``http://127.0.0.1:5000``.
    key : str, optional
        The workspace's key of proofs; without it no version is proven.
    """

    def __init__(self, tracking_uri: str, key: str | None = None) -> None:
        super().__init__(tracking_uri)
        self._key = key

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
            with tracking_address(self.tracking_uri), mlflow.start_run(run_id=run_id):
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
        """Write the evidence of a version's forge run under the workspace's seal; twice is as once.

        Raises
        ------
        RegistryError
            If this registry has no key, or the server does not answer.
        """
        return self._seal(version, proofs.TAG, proof)

    def prove_by_life(self, version: Version, proof: LivedProof) -> Version:
        """Write the evidence of a version's life under the workspace's seal; twice is as once.

        Raises
        ------
        RegistryError
            If this registry has no key, or the server does not answer.
        """
        return self._seal(version, proofs.LIVED_TAG, proof)

    def _seal(self, version: Version, tag: str, proof: Proof | LivedProof) -> Version:
        if self._key is None:
            message = f"{version.slot} version {version.version}: no key to seal its proof with"
            raise RegistryError(message)
        names = (version.slot, version.version)
        self.tag(*names, {tag: proofs.seal(proof, self._key)})
        found = self.version(*names)
        if found.tags.get(PROVEN_BY, "") == found.proven_by:
            return found
        self.tag(*names, {PROVEN_BY: found.proven_by})
        return self.version(*names)

    def newest_numbers(self) -> dict[str, int]:
        """Give the highest version number of every registered model; numbers only grow.

        A model without a version has none here. Of versions that were deleted, only those after the
        newest one that is left are missing.

        Raises
        ------
        RegistryError
            If the server does not answer.
        """
        newest: dict[str, int] = {}
        token: str | None = None
        try:
            while True:
                page = self._client.search_registered_models(page_token=token)
                for model in page:
                    numbers = [int(item.version) for item in model.latest_versions]
                    if numbers:
                        newest[str(model.name)] = max(numbers)
                token = page.token
                if not token:
                    return newest
        except MlflowException as error:
            message = f"{self.tracking_uri}: the registry does not answer: {error}; does MLflow run? crucible status"
            raise RegistryError(message) from error

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
        found = self.find_version(slot, version)
        if found is None:
            message = f"{slot} has no version {version}; {self.what_there_is(slot)}"
            raise RegistryError(message)
        return found

    def what_there_is(self, slot: str) -> str:
        """Say which versions a slot has, and which of them have an alias, for whoever asked for another."""
        held = [item.version for item in self.versions(slot)]
        if not held:
            return "no version of it is registered yet"
        count = f"versions {held[0]} to {held[-1]}" if len(held) > 1 else f"version {held[0]}"
        named = [f"{alias} is version {it}" for alias, it in sorted(self.aliases(slot).items())]
        return "; ".join([f"it has {count}", *named])

    def find_version(self, slot: str, version: str) -> Version | None:
        """One version by number; None if there is none, `RegistryError` if the server does not answer."""
        try:
            return self._version(self._client.get_model_version(slot, version))
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            message = f"{self.tracking_uri}: the registry does not answer: {error}; does MLflow run? crucible status"
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
                message = f"{self.tracking_uri}: the registry does not answer: {error}; does MLflow run? crucible status"
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

    def promote(
        self, slot: str, version: str, reason: str, replaced: str | None = None
    ) -> str | None:
        """Make a version the slot's production; return the version that it replaces.

        The replaced one is retired; where the promoted one was challenger it is so no more. Done again after an
        interruption, it does what was left.

        Parameters
        ----------
        slot, version, reason : str
        replaced : str, optional
            Which version production was before an attempt that was interrupted; whatever is in production now,
            where it is not `version` itself, comes before it.
        """
        aliases = self.aliases(slot)
        if aliases.get("production", version) != version:
            replaced = aliases["production"]
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
        return with_proofs(found, self._key)


def with_proofs(version: Version, key: str | None) -> Version:
    """Open the proofs in a version's tags: each is there, or the reason why it is not."""
    names = (version.slot, version.version, version.run_id)
    try:
        proof = proofs.open_sealed(version.tags.get(proofs.TAG), key, *names)
        version = replace(version, proof=proof, doubt="")
    except proofs.ProofError as error:
        version = replace(version, proof=None, doubt=str(error))
    try:
        lived = proofs.open_lived(version.tags.get(proofs.LIVED_TAG), key, *names)
        return replace(version, lived=lived, lived_doubt="")
    except proofs.ProofError as error:
        return replace(version, lived=None, lived_doubt=str(error))


def _signature(example: pd.DataFrame) -> ModelSignature:
    """Describe a table of features, and the signals that a strategy gives for it."""
    return ModelSignature(
        inputs=MlflowSchema([ColSpec("double", str(name)) for name in example.columns]),
        outputs=MlflowSchema([ColSpec("integer", "signal")]),
    )
