from __future__ import annotations

import pytest

from tests.flows.plant import running_plant


@pytest.fixture(scope="session")
def plant(tmp_path_factory):
    with running_plant(tmp_path_factory.mktemp("plant")) as plant:
        yield plant
