"""Slots of a real registry with versions in their seats, and a context that decides about them."""

from __future__ import annotations

import itertools
from pathlib import Path

from crucible.lifecycle.context import Context
from crucible.lifecycle.records import Records
from crucible.operations.workspace import Workspace
from crucible.registry.models import Registry
from crucible.settings import Slot
from tests.support.contexts import context_of
from tests.support.tracking import KEY

numbers = itertools.count(1)


def new_slot() -> Slot:
    """A slot that nothing else uses."""
    return Slot(symbol=f"KILLED{next(numbers)}USDT", kind="gp", number=1)


def seated(registry: Registry, slot: Slot) -> list[str]:
    """Put two versions in their seats, as they are before the change."""
    versions = []
    registry._client.create_registered_model(slot.name)
    for alias in ("production", "challenger"):
        # Without a model: logging one takes a second, and nothing here reads it.
        run = registry.open_run(f"forge run {slot} {next(numbers)}", "forge", {"slot": slot.name})
        version = registry._client.create_model_version(slot.name, f"runs:/{run}/none", run)
        registry.set_alias(slot.name, alias, version.version)
        versions.append(str(version.version))
    Records(registry).notice(slot.name)
    return versions


def context(registry: Registry, tmp_path: Path) -> Context:
    """A context with a run of its own under a folder."""
    run = Workspace.at(tmp_path).run("1")
    run.path.mkdir(parents=True, exist_ok=True)
    return context_of(tmp_path, registry=Registry(registry.tracking_uri, KEY), run=run)
