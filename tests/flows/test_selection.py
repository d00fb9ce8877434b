"""One process judges and fills slots: each turn is a flow run, and no fault of one stops the next."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import httpx
import pytest

from crucible.operations.supervision import services
from crucible.settings import Settings
from flows.selection import TAG, Turn, take_turns, turns_of
from flows.watchtower import watchtower
from tests.flows.turns import DEPLOYMENTS
from tests.support.plant import TERMINAL
from tests.support.processes import REPOSITORY

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def deployed(plant):
    """Deploy the small flows with the limit that prefect.yaml gives to the real ones."""
    known = {}
    for name in DEPLOYMENTS:
        flow = plant.ask("POST", "/flows/", {"name": name})
        body = {
            "name": name,
            "flow_id": flow["id"],
            "entrypoint": f"tests/flows/turns.py:{name}",
            "work_pool_name": services.POOL,
            "concurrency_limit": 1,
            "concurrency_options": {"collision_strategy": "CANCEL_NEW"},
        }
        known[name] = plant.ask("POST", "/deployments/", body)["id"]
    return known


@contextmanager
def selection_process(plant, folder, *longest_s):
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "PREFECT_API_URL": plant.ports.prefect_api,
        "PREFECT_API_AUTH_STRING": plant.workspace.password(),
    }
    with (folder / "log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.flows.turns", str(folder), *map(str, longest_s)],
            stdout=log,
            stderr=log,
            env=environment,
            cwd=REPOSITORY,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def runs_of(plant, deployment):
    body = {"deployments": {"id": {"any_": [deployment]}}, "sort": "START_TIME_ASC"}
    return plant.ask("POST", "/flow_runs/filter", body)


def ended(plant, deployment, count):
    """Wait until so many runs of a deployment have begun, and give those that have ended."""

    def enough():
        found = [run for run in runs_of(plant, deployment) if run["state_type"] in TERMINAL]
        return found if len(found) >= count else None

    return plant.wait(enough, lambda: str(runs_of(plant, deployment)))


def test_turns_are_named_runs_of_their_deployment_in_one_process_and_outlive_every_fault(
    plant, deployed, tmp_path
):
    def story():
        return (tmp_path / "log").read_text()[-3_000:]

    with selection_process(plant, tmp_path) as process:
        steady = ended(plant, deployed["steady"], 3)
        failing = ended(plant, deployed["failing"], 2)
        assert set((tmp_path / "pids").read_text().split()) == {str(process.pid)}
        (tmp_path / "hang").touch()
        plant.wait((tmp_path / "hanging").exists, story)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert {(run["name"], run["state_type"]) for run in steady} == {("look around", "COMPLETED")}
    assert {(run["name"], run["state_type"]) for run in failing} == {("fail", "FAILED")}
    assert "as a test wants it" in failing[0]["state"]["message"]
    (hung,) = (r for r in runs_of(plant, deployed["steady"]) if r["state_type"] == "RUNNING")

    # The killed one held the deployment's only place: the next process ends its runs and goes on.
    (tmp_path / "hang").unlink()
    before = len(runs_of(plant, deployed["steady"]))
    with selection_process(plant, tmp_path):
        after = ended(plant, deployed["steady"], before + 2)
    assert plant.run(hung["id"])["state_type"] == "CRASHED"
    body = {"flow_runs": {"parent_flow_run_id": {"any_": [hung["id"]]}}}
    (child,) = plant.ask("POST", "/flow_runs/filter", body)
    assert (child["name"], child["state_type"]) == ("hang", "CRASHED")
    assert {run["state_type"] for run in after if run["id"] != hung["id"]} == {"COMPLETED"}


def test_a_turn_that_hangs_ends_its_process_says_where_and_keeps_nobody_waiting(
    plant, deployed, tmp_path
):
    def story():
        return (tmp_path / "log").read_text()[-3_000:]

    (tmp_path / "hang").touch()
    failed = len(runs_of(plant, deployed["failing"]))
    with selection_process(plant, tmp_path, 10.0) as process:
        plant.wait(lambda: process.poll() is not None, story)
    assert process.returncode == 1
    log = (tmp_path / "log").read_text()
    assert "Timeout (0:00:10)!" in log
    assert "turns.py" in log
    assert "in inner" in log
    hung = runs_of(plant, deployed["steady"])[-1]
    assert hung["state_type"] == "RUNNING"

    (tmp_path / "hang").unlink()
    with selection_process(plant, tmp_path):
        ended(plant, deployed["failing"], failed + 1)
    assert plant.run(hung["id"])["state_type"] == "CRASHED"


def test_a_run_that_a_person_started_keeps_the_only_place_and_a_paused_deployment_has_no_turn(
    plant, deployed, tmp_path
):
    steady, failing = deployed["steady"], deployed["failing"]
    # What a killed process of a test before had at work would hold the place.
    for left in runs_of(plant, steady):
        if left["state_type"] not in TERMINAL:
            plant.set_state(left["id"], "CRASHED", "Crashed")
    later = {
        "state": {"type": "SCHEDULED", "state_details": {"scheduled_time": "2100-01-01T00:00:00Z"}}
    }
    # Under the tag of the turns, as a turn that a person retries in Prefect's page.
    asked = {**later, "name": "of a person", "tags": [TAG]}
    run, waiting = (
        plant.ask("POST", f"/deployments/{steady}/create_flow_run", asked)["id"] for _ in range(2)
    )
    plant.set_state(run, "PENDING", "Pending")
    plant.ask("PATCH", f"/flow_runs/{run}", {"infrastructure_pid": "of the worker"})
    plant.ask("PATCH", f"/deployments/{failing}", {"paused": True})
    before = {deployment: len(runs_of(plant, deployment)) for deployment in (steady, failing)}
    with selection_process(plant, tmp_path):
        turns = ended(plant, steady, before[steady])[-2:]
    assert {(turn["name"], turn["state_type"]) for turn in turns} == {("look around", "CANCELLED")}
    assert not (tmp_path / "pids").exists()
    assert plant.run(run)["state_type"] == "PENDING"
    assert plant.run(waiting)["state_type"] == "SCHEDULED"
    assert len(runs_of(plant, failing)) == before[failing]
    plant.ask("PATCH", f"/deployments/{failing}", {"paused": False})
    for one in (run, waiting):
        plant.ask("DELETE", f"/flow_runs/{one}")


def test_the_flow_that_has_waited_longest_goes_next_and_nothing_missed_is_made_up_for(monkeypatch):
    now, taken = [0.0], []
    costs = {"quick": 1.0, "slow": 25.0}

    def take(turn):
        taken.append((now[0], turn.deployment))
        now[0] += costs[turn.deployment]

    monkeypatch.setattr("flows.selection.take", take)
    turns = [Turn("quick", watchtower, 10.0), Turn("slow", watchtower, 30.0)]

    def sleep(seconds):
        now[0] += seconds

    take_turns(turns, 7, lambda: now[0], sleep)
    assert taken == [
        *((0.0, "quick"), (1.0, "slow"), (26.0, "quick"), (31.0, "slow")),
        *((56.0, "quick"), (61.0, "slow"), (86.0, "quick")),
    ]


def test_while_prefect_is_away_turns_come_round_and_what_is_not_run_is_reported(
    monkeypatch, caplog
):
    now, taken = [0.0], []
    away = httpx.ConnectError("connection refused")

    def take(turn):
        taken.append(now[0])
        if len(taken) < 3:
            raise away

    monkeypatch.setattr("flows.selection.take", take)

    def sleep(seconds):
        now[0] += seconds

    take_turns([Turn("watchtower/watchtower", watchtower, 30.0)], 4, lambda: now[0], sleep)
    assert taken == [0.0, 30.0, 60.0, 90.0]
    refused = (
        "watchtower/watchtower: not run: ConnectError: connection refused; tried again in 30 s"
    )
    assert [record.getMessage() for record in caplog.records] == [refused] * 2


@pytest.mark.parametrize(
    ("speed", "expected"), [(1.0, (900.0, 900.0)), (20.0, (60.0, 45.0)), (600.0, (60.0, 30.0))]
)
def test_turns_follow_the_market_and_never_faster_than_the_machine_can(speed, expected):
    turns = turns_of(Settings(market={"speed": speed}))
    assert [turn.deployment for turn in turns] == [
        "singularity/singularity",
        "watchtower/watchtower",
    ]
    assert tuple(turn.every_s for turn in turns) == expected
