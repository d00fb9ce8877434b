"""`crucible up` as it is, over small programs instead of servers: started as a program of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from crucible.operations.errors import ServerError
from crucible.operations.supervision import services, supervisor
from crucible.operations.supervision.options import UpOptions
from crucible.operations.supervision.services import ServiceSpec
from crucible.settings import load_settings
from crucible.text import terminal

LASTING = (
    'import time; print(\'{"event": "ready", "rest": "http://127.0.0.1:9"}\', flush=True)\n'
    "time.sleep(600)"
)
HOSTILE = os.environ.get("STAND_IN_SAYS", "")


def spec(name: str) -> ServiceSpec:
    return ServiceSpec(name, (sys.executable, "-c", LASTING), prints_ready=True, grace_s=2.0)


class Prefect:
    """Every run is done, and the arena's is a process of its own."""

    def __init__(self, *_: Any) -> None:
        self.arena: subprocess.Popen[bytes] | None = None

    def start(self, deployment: str, _name: str) -> str:
        if deployment == "arena/arena" and self.arena is None:
            environment = {**os.environ, "CRUCIBLE_SERVICE": "worker"}
            self.arena = subprocess.Popen(
                [sys.executable, "-c", "import time; time.sleep(600)"], env=environment
            )
            run = Path(environment["CRUCIBLE_HOME"]) / "runs"
            (next(run.iterdir()) / "arena.json").write_text("{}")
        return deployment

    def run(self, run_id: str) -> dict[str, Any]:
        if run_id == "arena/arena" and self.arena is not None:
            pid = self.arena.pid
            return {"state_type": "RUNNING", "state": {}, "infrastructure_pid": pid}
        return {"state_type": "COMPLETED", "state": {}, "infrastructure_pid": None}

    def unfinished_of(self, _deployment: str) -> None:
        return None

    def clear(self, *_: Any, **__: Any) -> int:
        if HOSTILE:
            raise ServerError(HOSTILE)
        return 0

    def force(self, *_: Any) -> None: ...
    def close(self) -> None: ...
    def ensure_pool(self, *_: Any) -> None: ...
    def ensure_queue(self, *_: Any, **__: Any) -> None: ...
    def online_worker(self, *_: Any) -> bool:
        return True

    def rest(self, *_: Any) -> None: ...


def clock(_address: str) -> tuple[int | None, bool]:
    if os.environ.get("STAND_IN_DEFECT"):
        return {}["never"]
    return 1_738_500_000_000, False


def main() -> None:
    supervisor.PrefectServer = Prefect  # type: ignore[assignment,misc]
    supervisor.market_clock = clock
    supervisor.WORLD_EVERY_S = 0.2
    for name in (
        "prefect",
        "mlflow",
        "paper_venue",
        "cerebellum",
        "worker",
        "selection",
        "dashboard",
    ):
        setattr(services, name, lambda *_, name=name: spec(name))
    services.deploy_command = lambda: (sys.executable, "-c", "pass")
    as_json = "--json" in sys.argv
    supervisor.up(
        load_settings(),
        UpOptions(browser=False, ready_line=as_json),
        terminal(stderr=as_json, patient=True),
    )


if __name__ == "__main__":
    from crucible import cli

    cli.app = main  # type: ignore[assignment]
    cli.main()
