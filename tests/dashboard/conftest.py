from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from crucible.dashboard.app import make_app
from crucible.ledger.reader import LedgerReader
from crucible.operations.workspace import Workspace
from tests.support.pages import traded


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    made = Workspace.at(tmp_path / "home")
    made.create()
    return made


@pytest.fixture
def client(workspace: Workspace) -> TestClient:
    """The page of a workspace that has traded."""
    traded(workspace)
    return TestClient(make_app(workspace))


@pytest.fixture
def ledger(workspace: Workspace, client: TestClient) -> Iterator[LedgerReader]:
    """What the page reads."""
    run = workspace.current()
    assert run is not None
    with LedgerReader(run.ledger) as reader:
        yield reader
