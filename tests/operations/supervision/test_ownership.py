"""No command takes another home's server for its own."""

import re
from pathlib import Path

import pytest

from crucible.operations.errors import HomeError
from crucible.operations.supervision.ownership import address_of, refuse_another
from crucible.operations.supervision.process import Identity
from crucible.operations.workspace import Home, write_json
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
def home(tmp_path: Path, process, monkeypatch) -> Home:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    made = Home.at(tmp_path / "home")
    made.create()
    identity = Identity.of(process.pid)
    assert identity is not None
    known = {"address": OURS, **identity.to_json()}
    write_json(made.services_file, {"services": {"mlflow": known}})
    return made


@pytest.mark.process
def test_a_living_server_of_the_home_is_its_own(home: Home, monkeypatch):
    assert address_of(home, "mlflow") == OURS
    monkeypatch.setenv("MLFLOW_TRACKING_URI", OURS + "/")
    assert address_of(home, "mlflow") == OURS


@pytest.mark.process
def test_whoever_took_the_port_of_a_server_that_ended_is_not_asked(home: Home, process):
    process.kill()
    process.wait()
    with pytest.raises(HomeError, match=promised("ended-server")):
        address_of(home, "mlflow")


def test_a_home_in_which_nothing_was_started_has_no_server(tmp_path: Path):
    with pytest.raises(HomeError, match=promised("no-server")):
        address_of(Home.at(tmp_path), "mlflow")


@pytest.mark.process
def test_another_homes_server_named_by_the_environment_is_refused_by_name(home: Home, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", THEIRS)
    for ask in (address_of, refuse_another):
        with pytest.raises(HomeError, match=promised("other-server")) as told:
            ask(home, "mlflow")
        assert f"{THEIRS}, but the server of {home.path} is {OURS}" in str(told.value)


@pytest.mark.process
def test_a_secret_is_made_once_and_is_yours_alone(home: Home):
    first = home.password()
    assert home.password() == first
    assert len(first) >= 32
    assert home.password_file.stat().st_mode & 0o777 == 0o600
    home.password_file.chmod(0o640)
    with pytest.raises(HomeError, match=promised("open-secret")):
        home.password()
    home.password_file.unlink()
    home.password_file.symlink_to("/etc/hostname")
    with pytest.raises(HomeError, match=promised("open-secret")):
        home.password()
    home.password_file.unlink()
    home.password_file.touch(mode=0o600)
    with pytest.raises(HomeError, match=promised("empty-secret")):
        home.password()
