"""No command takes another workspace's server for its own."""

import re
from pathlib import Path

import pytest

from crucible.operations.errors import WorkspaceError
from crucible.operations.supervision.ownership import address_of, refuse_another
from crucible.operations.supervision.process import Identity
from crucible.operations.workspace import Workspace, write_json
from tests.support.documented import answers
from tests.support.processes import python

PROMISED = answers("Homes, secrets and proofs")
OURS, THEIRS = "http://127.0.0.1:5000", "http://127.0.0.1:5001"


def promised(case: str) -> str:
    return ".*".join(map(re.escape, PROMISED[case]))


@pytest.fixture
def process():
    with python("import time; time.sleep(60)") as started:
        yield started


@pytest.fixture
def workspace(tmp_path: Path, process, monkeypatch) -> Workspace:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    made = Workspace.at(tmp_path / "home")
    made.create()
    identity = Identity.of(process.pid)
    assert identity is not None
    known = {"address": OURS, **identity.to_json()}
    write_json(made.services_file, {"services": {"mlflow": known}})
    return made


@pytest.mark.process
def test_a_living_server_of_the_home_is_its_own(workspace: Workspace, monkeypatch):
    assert address_of(workspace, "mlflow") == OURS
    monkeypatch.setenv("MLFLOW_TRACKING_URI", OURS + "/")
    assert address_of(workspace, "mlflow") == OURS


@pytest.mark.process
def test_whoever_took_the_port_of_a_server_that_ended_is_not_asked(workspace: Workspace, process):
    process.kill()
    process.wait()
    with pytest.raises(WorkspaceError, match=promised("ended-server")):
        address_of(workspace, "mlflow")


def test_a_home_in_which_nothing_was_started_has_no_server(tmp_path: Path):
    with pytest.raises(WorkspaceError, match=promised("no-server")):
        address_of(Workspace.at(tmp_path), "mlflow")


@pytest.mark.process
def test_another_homes_server_named_by_the_environment_is_refused_by_name(
    workspace: Workspace, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", THEIRS)
    for ask in (address_of, refuse_another):
        with pytest.raises(WorkspaceError, match=promised("other-server")) as reported:
            ask(workspace, "mlflow")
        assert f"{THEIRS}, but the server of {workspace.path} is {OURS}" in str(reported.value)


@pytest.mark.process
def test_a_secret_is_made_once_and_is_yours_alone(workspace: Workspace):
    first = workspace.password()
    assert workspace.password() == first
    assert len(first) >= 32
    assert workspace.password_file.stat().st_mode & 0o777 == 0o600
    workspace.password_file.chmod(0o640)
    with pytest.raises(WorkspaceError, match=promised("open-secret")):
        workspace.password()
    workspace.password_file.unlink()
    workspace.password_file.symlink_to("/etc/hostname")
    with pytest.raises(WorkspaceError, match=promised("open-secret")):
        workspace.password()
    workspace.password_file.unlink()
    workspace.password_file.touch(mode=0o600)
    with pytest.raises(WorkspaceError, match=promised("empty-secret")):
        workspace.password()
