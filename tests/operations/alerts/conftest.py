from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crucible.operations.workspace import Run, Workspace
from tests.support.receiver import SECRET, Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving(SECRET) as made:
        yield made


@pytest.fixture
def run(tmp_path: Path) -> Run:
    workspace = Workspace.at(tmp_path / "workspace")
    workspace.create()
    return workspace.new_run()
