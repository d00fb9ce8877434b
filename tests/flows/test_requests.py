"""`crucible promote`, `rollback`, `retire`, `forge-now`: through the promotion flow of a real Prefect to a real MLflow."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from crucible.lifecycle.replacement import forge_seed
from crucible.registry.admission import QUARANTINED
from crucible.settings import Slot
from tests.support.commands import call
from tests.support.plant import deploy
from tests.support.strategies import strategy_file

pytestmark = pytest.mark.process

SLOT = Slot.parse("BTCUSDT-gp-611")
STRATEGY = strategy_file(SLOT)


@pytest.fixture(scope="module")
def door(plant):
    """The plant with the flow promotion deployed as prefect.yaml deploys it."""
    flow = plant.ask("POST", "/flows/", {"name": "promotion"})
    deploy(plant, "promotion", flow_id=flow["id"], entrypoint="flows/promotion.py:promotion")
    return plant


def registered(plant, tmp_path, key: str) -> str:
    run = plant.registry.open_run(key, f"forge {SLOT}", {"slot": SLOT.name, "kind": "gp"})
    (tmp_path / "strategy.json").write_text(json.dumps(STRATEGY))
    plant.registry.log_folder(run, tmp_path)
    version = plant.registry.register(run, SLOT, STRATEGY, {"proven": "false"})
    plant.registry.close_run(run, "FINISHED")
    return str(version.version)


def test_a_version_is_promoted_rolled_back_and_retired_with_name_and_reason(
    door, tmp_path, monkeypatch
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    registry, home_folder = door.registry, door.workspace.path
    first, second = (registered(door, tmp_path, f"requests-{number}") for number in (1, 2))

    def asked(*words: str):
        return call(home_folder, *words, "--operator", "anna", "--reason", "I looked", "--json")

    ended = asked("promote", SLOT.name, first)
    assert ended.code == 0, ended
    found = json.loads(ended.stdout)
    assert found["aliases"] == {"production": first}
    assert found["page"].endswith(found["flow_run"])
    assert "flow run: completed" in ended.stderr
    parameters = door.run(found["flow_run"])["parameters"]
    assert (parameters["decided_by"], parameters["reason"]) == ("anna", "I looked")

    assert asked("promote", SLOT.name, second).code == 0
    assert registry.aliases(SLOT.name)["production"] == second
    ended = asked("rollback", SLOT.name)
    assert ended.code == 0, ended
    assert registry.aliases(SLOT.name)["production"] == first
    ended = asked("retire", f"{SLOT.name}@{first}")
    assert ended.code == 0, ended
    assert "production" not in registry.aliases(SLOT.name)

    # What a rule refuses ends with 3 and the rule's name, and changes nothing.
    registry.tag(SLOT.name, second, {QUARANTINED: "it raised"})
    before = registry.aliases(SLOT.name)
    ended = asked("promote", SLOT.name, second)
    assert ended.code == 3, ended
    assert json.loads(ended.stdout)["rule"] == "quarantine"
    assert "is quarantined: it raised" in json.loads(ended.stdout)["error"]
    assert "refused by the rule quarantine" in ended.stderr
    assert registry.aliases(SLOT.name) == before

    for words in (("promote", SLOT.name, "99"), ("retire", f"{SLOT.name}@99")):
        ended = asked(*words)
        assert ended.code == 3, ended
        refused = json.loads(ended.stdout)
        assert refused["rule"] == "nothing-to-change"
        assert (
            f"no version '99' to {words[0]}; it has versions {first} to {second}"
            in refused["error"]
        )
        assert "PromotionError" not in refused["error"]


def test_a_roll_back_of_what_was_never_filled_is_refused_by_its_rule(door, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    ended = call(door.workspace.path, "rollback", "ETHUSDT-gp-611", "--json")
    assert ended.code == 3, ended
    assert json.loads(ended.stdout)["rule"] == "nothing-to-change"


@pytest.mark.parametrize("slot", ["NOPE-gp-1", "ETHUSDT-gp-612"])
def test_a_slot_that_nobody_trades_gets_no_forge_run(door, monkeypatch, slot):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    before = door.ask("POST", "/flow_runs/count", {})
    ended = call(door.workspace.path, "forge-now", slot, "--json")
    assert ended.code == 1, ended
    fault = json.loads(ended.stdout)["error"]
    assert f"{slot} is no slot of the deployment" in fault
    assert "there are BTCUSDT-gp-1, " in fault
    assert door.ask("POST", "/flow_runs/count", {}) == before


def test_a_forge_run_is_ordered_with_a_seed_of_its_own(door, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("CRUCIBLE_DEPLOYMENT", json.dumps({"ETHUSDT": {"gp": 612}}))
    ended = call(door.workspace.path, "forge-now", "ETHUSDT-gp-612", "--json")
    assert ended.code == 0, ended
    found = json.loads(ended.stdout)
    try:
        run = door.run(found["flow_run"])
        assert run["parameters"]["slot"] == "ETHUSDT-gp-612"
        assert run["parameters"]["seed"] == found["seed"]
        assert run["parameters"]["only_without_challenger"] is False
        assert run["deployment_id"] == door.deployments["forge"]
    finally:
        door.cancel_whatever_it_does(found["flow_run"])


@pytest.mark.parametrize("kind", [int, str])
def test_a_forge_run_that_is_ordered_while_another_waits_has_a_seed_of_its_own(
    door, monkeypatch, kind
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("CRUCIBLE_DEPLOYMENT", json.dumps({"ETHUSDT": {"gp": 614}}))
    slot = {int: "ETHUSDT-gp-613", str: "ETHUSDT-gp-614"}[kind]
    # One in the line of forge runs: it has no run in MLflow before it begins. An event carries its seed as text.
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    waits = {"type": "SCHEDULED", "state_details": {"scheduled_time": tomorrow}}
    asked = {"parameters": {"slot": slot, "seed": kind(forge_seed(slot, 1))}, "state": waits}
    path = f"/deployments/{door.deployments['forge']}/create_flow_run"
    waiting = door.ask("POST", path, asked)["id"]
    try:
        ended = call(door.workspace.path, "forge-now", slot, "--json")
        assert ended.code == 0, ended
        found = json.loads(ended.stdout)
        door.cancel_whatever_it_does(found["flow_run"])
        assert found["seed"] == forge_seed(slot, 2)
    finally:
        door.cancel_whatever_it_does(waiting)


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (("promote", "btc", "1"), 1, "slot 'btc' is not SYMBOL-KIND-NUMBER"),
        (("retire", "BTCUSDT-gp-1"), 2, "is no agent; write SLOT@VERSION"),
        (("forge-now", "BTCUSDT-gp-1"), 1, "no MLflow server is known; start the stack"),
        (("rollback", "BTCUSDT-gp-1"), 1, "no Prefect server is known; start the stack"),
        (("promote", "BTCUSDT-gp-1"), 2, "Missing argument"),
    ],
)
def test_what_cannot_be_asked_is_named(tmp_path, words, code, named):
    ended = call(tmp_path, *words)
    assert ended.code == code
    assert named in " ".join(ended.stderr.replace("│", " ").split())
