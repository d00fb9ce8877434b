from __future__ import annotations

import os
from pathlib import Path

import pytest

from crucible.forge.revision import code_revision
from tests.support import guard


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


# Each is made once: whoever takes it runs in the process that made it.
SHARED = ("plant", "registry", "planted")
# The longest groups first, so that no process is left with one of them at the end.
LONG = (
    "tests/e2e/",
    "plant",
    "tests/browser/",
    "tests/chaos/",
    "tests/features/topology/test_giotto",
)


# First, because pytest-xdist reads the marks in its own.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that start something, give those that share servers to one process, begin with the long."""
    places = {}
    for item in items:
        used = getattr(item, "fixturenames", ())
        group = next((name for name in SHARED if name in used), item.location[0])
        item.add_marker(pytest.mark.xdist_group(group))
        guard.mark(item)
        place = (number for number, start in enumerate(LONG) if group.startswith(start))
        places[item] = next(place, len(LONG))
    items.sort(key=places.__getitem__)
