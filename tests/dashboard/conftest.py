from __future__ import annotations

import pytest

from crucible.operations.workspace import Workspace


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    made = Workspace.at(tmp_path / "home")
    made.create()
    return made
