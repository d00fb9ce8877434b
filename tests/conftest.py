from __future__ import annotations

import os
from pathlib import Path

import pytest

from crucible.forge.revision import code_revision
from tests.support import guard, sharing


def pytest_configure(config: pytest.Config) -> None:
    # Git is asked which code this is before any test, and once: every forge run writes it down.
    code_revision()
    config.pluginmanager.register(guard.Guard(), "process-guard")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of recorded market data; a test that asks for it skips where it is missing."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("CRUCIBLE_SHARED", beside))
    if not (folder / "candles").is_dir():
        pytest.skip(f"no recorded market data at {folder}; set CRUCIBLE_SHARED")
    return folder


@pytest.fixture(scope="session")
def registry(tmp_path_factory):
    """The registry of a real MLflow server, for all tests at once: each uses slots of its own."""
    from tests.support.tracking import running_registry

    with running_registry(tmp_path_factory.mktemp("mlflow")) as running:
        yield running


@pytest.fixture(scope="session")
def plant(tmp_path_factory):
    """A real Prefect server and worker, a real MLflow server and a paper venue, for all tests at once."""
    from tests.support.plant import running_plant

    with running_plant(tmp_path_factory.mktemp("plant")) as running:
        yield running


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One process more than cores, since tests with servers wait; each may start a whole stack."""
    return min(4, (os.cpu_count() or 1) + 1)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> sharing.Together | None:
    return sharing.Together(config, log) if config.getvalue("dist") == "loadgroup" else None


# First, because tests are chosen by their marks afterwards.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that start something, and begin with those that take long."""
    for item in items:
        guard.mark(item)
        sharing.require_together(item)
    items.sort(key=sharing.place)
