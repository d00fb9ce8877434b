"""Services come up, come back, give up with a reason, and leave nothing behind."""

import json
import os
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from crucible.operations.errors import ServiceError
from crucible.operations.supervision.process import Identity, marked
from crucible.operations.supervision.services import (
    EXCHANGE_KEYS,
    PREFECT_CLIENT,
    PREFECT_SERVER,
    ServiceSpec,
)
from crucible.operations.supervision.stack import Stack, clear_leftovers
from crucible.operations.workspace import Workspace, read_json
from tests.support.polling import until

pytestmark = pytest.mark.process

LASTING = (
    'import time; print(\'{"event": "ready", "rest": "http://127.0.0.1:9"}\', flush=True)\n'
    "time.sleep(60)"
)
BROKEN = "import sys; print('no such setting: colour', file=sys.stderr); sys.exit(3)"


SECRET = ("BYBIT_API_SECRET", "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING")


def spec(name: str, code: str, *, essential: bool = False) -> ServiceSpec:
    return ServiceSpec(
        name, (sys.executable, "-c", code), prints_ready=True, essential=essential, grace_s=2.0
    )


class Fixture:
    def __init__(self, path: Path) -> None:
        self.workspace = Workspace.at(path / "home")
        self.workspace.create()
        self.said: list[str] = []
        environment = {"CRUCIBLE_HOME": str(self.workspace.path), "PATH": os.environ["PATH"]}
        environment |= dict.fromkeys(SECRET, "secret")
        self.stack = Stack(
            self.workspace, self.workspace.new_run(), environment, path, self.said.append
        )
        self.now = 0.0

    def tick_until(self, done: Callable[[], bool], step_s: float = 0.05) -> None:
        def ticked() -> bool:
            if done():
                return True
            self.stack.tick(self.now)
            self.now += step_s
            return False

        until(ticked, lambda: self.said, seconds=20)


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Fixture]:
    made = Fixture(tmp_path)
    yield made
    made.stack.sweep()


def test_a_ready_line_makes_a_service_up_and_known_to_others(owner: Fixture):
    owner.stack.start(spec("cerebellum", LASTING))
    assert owner.stack.services["cerebellum"].state == "starting"
    owner.tick_until(lambda: owner.stack.up("cerebellum"))

    known = read_json(owner.workspace.services_file)
    entry = known["services"]["cerebellum"]
    assert known["run"] == "0001"
    assert entry["state"] == "up"
    assert entry["ready"]["rest"] == entry["address"] == "http://127.0.0.1:9"
    identity = Identity.from_json(entry)
    assert identity is not None
    assert identity.alive

    owner.stack.stop("cerebellum")
    assert not identity.alive
    assert read_json(owner.workspace.services_file)["services"]["cerebellum"]["state"] == "down"
    assert owner.said[-1] == "cerebellum: stopped"


@pytest.mark.parametrize(
    ("needed", "given"),
    [
        ((), []),
        (EXCHANGE_KEYS, ["BYBIT_API_SECRET"]),
        (PREFECT_CLIENT, ["PREFECT_API_AUTH_STRING"]),
        (PREFECT_SERVER, ["PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING"]),
    ],
)
def test_a_service_is_given_no_secret_that_it_does_not_need(
    owner: Fixture, needed: tuple[str, ...], given: list[str]
):
    asked = replace(spec("mlflow", LASTING), secrets=needed)
    owner.stack.start(asked)
    owner.tick_until(lambda: owner.stack.up("mlflow"))
    service = owner.stack.services["mlflow"]
    assert service.identity is not None
    known = psutil.Process(service.identity.pid).environ()
    assert sorted(set(SECRET) & set(known)) == given


def test_what_does_one_job_at_prefect_is_given_its_password_alone(owner: Fixture):
    helper = owner.stack.helper("deploy", (sys.executable, "-c", LASTING))
    known = psutil.Process(helper.identity.pid).environ()
    assert set(SECRET) & set(known) == {"PREFECT_API_AUTH_STRING"}


def test_a_killed_service_is_started_again_and_it_is_said(owner: Fixture):
    ended: list[tuple[str, str]] = []
    owner.stack.on_end = lambda name, how: ended.append((name, how))
    owner.stack.start(spec("mlflow", LASTING))
    owner.tick_until(lambda: owner.stack.up("mlflow"))
    first = owner.stack.services["mlflow"].identity
    assert first is not None
    os.kill(first.pid, signal.SIGKILL)

    owner.tick_until(lambda: not owner.stack.up("mlflow"))
    assert owner.said[-1] == "mlflow: ended by signal 9; starting again in 1 s"
    assert ended == [("mlflow", "ended by signal 9")]
    owner.tick_until(lambda: owner.stack.up("mlflow"))
    assert owner.stack.services["mlflow"].identity != first


def test_the_end_of_an_essential_service_ends_the_run(owner: Fixture):
    owner.stack.start(spec("paper_venue", LASTING, essential=True))
    owner.tick_until(lambda: owner.stack.up("paper_venue"))
    identity = owner.stack.services["paper_venue"].identity
    assert identity is not None
    os.kill(identity.pid, signal.SIGKILL)
    with pytest.raises(ServiceError, match="paper_venue ended by signal 9"):
        owner.tick_until(lambda: False)


def test_a_service_that_never_starts_gives_its_own_reason(owner: Fixture):
    owner.stack.start(spec("cerebellum", BROKEN))
    with pytest.raises(ServiceError, match="code 3: no such setting: colour"):
        owner.tick_until(lambda: False, step_s=0.5)


def test_a_stop_ends_a_helper_that_hangs(owner: Fixture):
    helper = owner.stack.helper("deploy", (sys.executable, "-c", "import time; time.sleep(60)"))
    owner.stack.stop("deploy")
    assert helper.poll() is not None


def test_leftovers_of_a_killed_run_are_stopped_and_strangers_are_not(owner: Fixture):
    owner.stack.start(spec("prefect", LASTING))
    owner.tick_until(lambda: owner.stack.up("prefect"))
    left = owner.stack.services["prefect"].identity
    assert left is not None
    me = Identity.of(os.getpid())
    assert me is not None
    # A pid that now belongs to somebody else: this very process, born at another time.
    known = read_json(owner.workspace.services_file)
    known["services"]["mlflow"].update(replace(me, start_ticks=me.start_ticks - 100).to_json())
    owner.workspace.services_file.write_text(json.dumps(known))
    said: list[str] = []

    clear_leftovers(owner.workspace, said.append)

    assert not left.alive
    assert marked(owner.workspace.path) == []
    assert said[0] == "an earlier run left 1 processes behind; stopping them"
    said.clear()
    clear_leftovers(owner.workspace, said.append)
    assert said == []


@pytest.mark.parametrize("held", ["", None, "{}"])
def test_a_services_file_that_somebody_changed_while_it_was_written_is_written_anew(
    owner: Fixture, monkeypatch: pytest.MonkeyPatch, held: str | None
):
    path, synced = owner.workspace.services_file, os.fsync

    def changed(descriptor: int) -> None:
        synced(descriptor)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            # It has its name already, and whoever wrote it still waits for the disk.
            path.unlink() if held is None else path.write_text(held)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(os, "fsync", changed)
        owner.stack.save()
    assert not path.exists() if held is None else path.read_text() == held
    owner.stack.save()
    assert read_json(path)["run"] == "0001"
