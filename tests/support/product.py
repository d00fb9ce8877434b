"""The product as a person starts it, and ends it with Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import free_ports

PATIENCE_S = 90.0


def environment_of(workspace: Path, **settings: object) -> dict[str, str]:
    """The environment of a workspace of its own, on free ports, with settings by their names."""
    prefect, mlflow, dashboard = free_ports(3)
    return {
        **os.environ,
        "CRUCIBLE_HOME": str(workspace),
        "CRUCIBLE_PORTS__PREFECT": str(prefect),
        "CRUCIBLE_PORTS__MLFLOW": str(mlflow),
        "CRUCIBLE_PORTS__DASHBOARD": str(dashboard),
        **{name: str(value) for name, value in settings.items()},
    }


@contextmanager
def started(
    workspace: Path, *arguments: str, **settings: object
) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, str]]]:
    """Start ``crucible up`` on free ports, its output in ``up.log``; give the process and its environment."""
    environment = environment_of(workspace, **settings)
    workspace.mkdir(parents=True, exist_ok=True)
    with (workspace / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "crucible.cli", "up", "--no-browser", *arguments],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process, environment
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(timeout=PATIENCE_S)
                except subprocess.TimeoutExpired:
                    process.kill()
