"""A real MLflow server, started for tests and ended with them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from crucible.registry.models import Registry
from crucible.sqlite import LINKED, sqlalchemy_url

KEY = "a key of this home"


@contextmanager
def running_registry(folder: Path) -> Iterator[Registry]:
    """Give the registry of a fresh server whose state is in `folder`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # As a home may be called: what is a letter of a path must not be read as part of an address.
    home = folder / "a?b#c%41"
    home.mkdir()
    server = subprocess.Popen(
        [
            sys.executable, "-m", "crucible.registry.server",
            "--host", "127.0.0.1", "--port", str(port),
            "--backend-store-uri", sqlalchemy_url(home / "mlflow.db"),
            "--artifacts-destination", (home / "artifacts").as_uri(),
        ],
        cwd=folder,
        env={
            **os.environ,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "PYTHONPATH": str(LINKED),
        },
        stdout=subprocess.DEVNULL,
        stderr=(folder / "log").open("w"),
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            try:
                if httpx.get(f"{address}/health", timeout=1).status_code == 200:
                    break
            except httpx.HTTPError:
                time.sleep(0.5)
        else:
            message = f"MLflow did not start: {(folder / 'log').read_text()[-2000:]}"
            raise RuntimeError(message)
        yield Registry(address, KEY)
        assert (home / "mlflow.db").stat().st_size > 0, "its database is where the path says"
    finally:
        server.terminate()
        server.wait(timeout=20)
