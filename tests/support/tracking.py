"""A real MLflow server, started for tests and ended with them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from crucible.registry.models import Registry
from crucible.sqlite import LINKED, sqlalchemy_url
from tests.support.polling import until
from tests.support.processes import REPOSITORY, end, free_ports

KEY = "a key of this workspace"


@contextmanager
def running_registry(folder: Path) -> Iterator[Registry]:
    """Give the registry of a fresh server whose state is in `folder`."""
    (port,) = free_ports(1)
    # As a workspace may be called: what is a letter of a path must not be read as part of an address.
    workspace = folder / "a?b#c%41"
    workspace.mkdir()
    server = subprocess.Popen(
        [
            sys.executable, "-m", "crucible.registry.server",
            "--host", "127.0.0.1", "--port", str(port),
            "--backend-store-uri", sqlalchemy_url(workspace / "mlflow.db"),
            "--artifacts-destination", (workspace / "artifacts").as_uri(),
        ],
        cwd=folder,
        env={
            **os.environ,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "PYTHONPATH": os.pathsep.join((str(LINKED), str(REPOSITORY))),
        },
        stdout=subprocess.DEVNULL,
        stderr=(folder / "log").open("w"),
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"

    def healthy() -> bool:
        assert server.poll() is None, (folder / "log").read_text()[-2000:]
        try:
            return httpx.get(f"{address}/health", timeout=1).status_code == 200
        except httpx.HTTPError:
            return False

    try:
        until(healthy, lambda: f"MLflow: {(folder / 'log').read_text()[-2000:]}", seconds=120)
        yield Registry(address, KEY)
        assert (workspace / "mlflow.db").stat().st_size > 0, "its database is where the path says"
    finally:
        end(server, 20)
