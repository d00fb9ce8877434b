"""Forge runs wait in one line: in order, in silence, and cancelled at once; what a person asks for is made."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from crucible.operations.supervision import services
from crucible.operations.supervision.servers import PrefectServer
from tests.support.plant import deploy
from tests.support.processes import REPOSITORY

pytestmark = pytest.mark.timeout(600)

FIRST, SECOND, THIRD = "BTCUSDT-gp-5", "ETHUSDT-gp-5", "BTCUSDT-gp-6"
CANCEL_LIMIT_S = 30.0


@pytest.fixture(scope="module")
def line(plant):
    """The forge deployment on its queue, as prefect.yaml and `crucible up` set it up."""
    document = yaml.safe_load(Path(REPOSITORY / "prefect.yaml").read_text())
    (forge,) = (item for item in document["deployments"] if item["name"] == "forge")
    assert forge["work_pool"] == {"name": services.POOL, "work_queue_name": services.FORGE_QUEUE}
    assert "concurrency_limit" not in forge
    server = PrefectServer(plant.ports.prefect_api, plant.workspace.password())
    for limit in (7, 1):
        server.ensure_queue(services.POOL, services.FORGE_QUEUE, limit=limit)
    server.close()
    deployment = deploy(plant, "forge in line", work_queue_name=services.FORGE_QUEUE)

    def start(slot, **parameters):
        path = f"/deployments/{deployment}/create_flow_run"
        asked = {"parameters": {"slot": slot, **parameters}, "state": {"type": "SCHEDULED"}}
        return plant.ask("POST", path, asked)["id"]

    return start


def cancelled_within(plant, run):
    began = time.monotonic()
    plant.cancel_whatever_it_does(run)
    plant.until(run, "CANCELLED")
    return time.monotonic() - began


def test_forgings_wait_in_silence_go_in_order_and_end_soon_when_cancelled(plant, line):
    plant.fault("hang", FIRST, 2)
    first = line(FIRST, seed=31)
    plant.until(first, "PENDING", "RUNNING")
    second = line(SECOND, seed=32)
    third = line(THIRD, seed=33)
    fourth = line(FIRST, seed=34)
    asked = time.monotonic()
    plant.hanging(first, FIRST)
    # Long enough for a worker that tries again every second to have filled the logs.
    time.sleep(max(0.0, asked + 8 - time.monotonic()))
    for waiting in (second, third, fourth):
        assert plant.run(waiting)["state_type"] == "SCHEDULED"
        assert plant.logs(waiting) == []
    # One that waits, and one that is in the middle of a generation.
    assert cancelled_within(plant, third) < CANCEL_LIMIT_S
    assert cancelled_within(plant, first) < CANCEL_LIMIT_S
    # The next in line begins now, before the one that was asked for after it; it is cancelled while
    # its process is still starting.
    plant.until(second, "PENDING", "RUNNING")
    assert plant.run(fourth)["state_type"] == "SCHEDULED"
    took = cancelled_within(plant, second)
    assert took < CANCEL_LIMIT_S, plant.story(second)
    plant.until(fourth, "COMPLETED")
    scores = [line for line in plant.logs(fourth) if line.startswith("generation ")]
    assert [line.split(":")[0] for line in scores] == [f"generation {n} of 4" for n in range(5)]
    own = [line for line in plant.logs(fourth) if "orker" in line]
    assert len(own) <= 3, own


def test_what_a_person_asks_for_is_made_and_what_is_not_needed_ends_as_refused(plant, line):
    slot = "ETHUSDT-gp-7"
    run = plant.registry.open_run("there", "forge", {"slot": slot})
    client = plant.registry._client
    client.create_registered_model(slot)
    for _ in range(2):
        client.create_model_version(slot, f"runs:/{run}", run)
    plant.registry.set_alias(slot, "production", "1")
    plant.registry.set_alias(slot, "challenger", "2")
    plant.registry.close_run(run, "FINISHED")

    # In no line: what is refused at once keeps nobody waiting.
    untracked = plant.start("XRPUSDT-gp-1", seed=37)
    ordered = line(slot, seed=35, only_without_challenger=True)
    asked = line(slot, seed=36)
    ended = plant.until(ordered, "CANCELLED")
    assert ended["state"]["name"] == "Refused"
    assert "version 2 became its challenger meanwhile" in ended["state"]["message"]
    plant.until(asked, "COMPLETED")
    assert plant.mlflow_run(asked).info.status == "FINISHED"
    assert plant.registry.aliases(slot) == {"production": "1", "challenger": "2"}
    refused = plant.until(untracked, "FAILED")
    assert "XRPUSDT is not tracked; there are BTCUSDT, ETHUSDT" in refused["state"]["message"]
