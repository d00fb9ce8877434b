"""Every judgement and every change of production is a run in MLflow, written once."""

import itertools
import json
from decimal import Decimal
from pathlib import Path

import pytest

from crucible.ledger.ledger import Ledger
from crucible.lifecycle.records import DEPLOYMENTS, EVALUATIONS, Deployment, Records
from crucible.settings import Slot

numbers = itertools.count(1)
STRATEGY = {"format": "crucible.strategy/1"}
CARD = {
    "trades": 12,
    "pnl": "-3.25",
    "fees": "1.1",
    "funding": "0.2",
    "mean_return": -0.001,
    "win_rate": None,
    "drawdown": 0.02,
    "gain_evidence": 0.4,
    "loss_evidence": 21.5,
    "idle_minutes": 7,
    "equity": "9996.75",
    "role": "challenger",
    "since_ts": 600_000,
}
QUARTER_MS = 900_000


@pytest.fixture
def slot():
    """A slot that no other test uses."""
    return Slot(symbol="BTCUSDT", kind="gp", number=500 + next(numbers))


def registered(registry, slot):
    run = registry.open_run(f"forge run {slot} {next(numbers)}", "forge", {"slot": slot.name})
    return registry.register(run, slot, STRATEGY, {})


def runs(registry, experiment, slot):
    found = registry.other_experiment(experiment, "").all(f"tags.slot = '{slot.name}'")
    return sorted(found, key=lambda run: run.info.start_time)


def judge(ledger, version, ts, verdict="keep", **changes):
    details = {**CARD, **changes}
    agent = f"{version.slot}@{version.version}"
    ledger.book_verdict(ts, agent, version.version, verdict, f"{verdict} at {ts}", details)


def test_an_agents_life_is_one_run_with_a_step_for_each_judgement(registry, slot, tmp_path):
    version, records = registered(registry, slot), Records(registry)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        judge(ledger, version, 600_000 + QUARTER_MS)
        judge(ledger, version, 600_000 + 2 * QUARTER_MS, trades=13, equity="9990")
        assert records.evaluate("run-1", ledger.unrecorded()) == 2
        ledger.set_recorded(600_000 + 2 * QUARTER_MS)
        assert ledger.unrecorded() == []
        judge(ledger, version, 600_000 + 3 * QUARTER_MS, "cull")
        assert records.evaluate("run-1", ledger.unrecorded()) == 1
    [life] = runs(registry, EVALUATIONS, slot)
    assert life.info.run_name == f"evaluate {slot}@{version.version} shadow"
    assert life.info.status == "FINISHED"
    assert life.data.tags["outcome"] == "cull"
    assert life.data.tags["reason"] == f"cull at {600_000 + 3 * QUARTER_MS}"
    assert life.data.metrics["loss_evidence"] == 21.5
    assert "win_rate" not in life.data.metrics  # not known is not zero
    experiment = registry.other_experiment(EVALUATIONS, "")
    assert experiment.steps(life.info.run_id, "equity") == {15, 30, 45}


def test_judgements_written_twice_leave_one_step_each(registry, slot, tmp_path):
    version, records = registered(registry, slot), Records(registry)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        judge(ledger, version, 600_000 + QUARTER_MS)
        # The process died after the run was written and before the ledger knew.
        assert records.evaluate("run-1", ledger.unrecorded()) == 1
        judge(ledger, version, 600_000 + 2 * QUARTER_MS)
        assert records.evaluate("run-1", ledger.unrecorded()) == 1
    [life] = runs(registry, EVALUATIONS, slot)
    history = registry._client.get_metric_history(life.info.run_id, "equity")
    assert [item.step for item in history] == [15, 30]


def test_each_role_of_an_agent_is_a_life_of_its_own(registry, slot, tmp_path):
    version, records = registered(registry, slot), Records(registry)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        judge(ledger, version, 600_000 + QUARTER_MS, "promote")
        at = 600_000 + 2 * QUARTER_MS
        judge(ledger, version, at, role="production", since_ts=600_000 + QUARTER_MS)
        records.evaluate("run-1", ledger.unrecorded())
    names = {run.info.run_name.split()[-1] for run in runs(registry, EVALUATIONS, slot)}
    assert names == {"shadow", "production"}


def test_a_versions_page_shows_how_it_fared(registry, slot, tmp_path):
    version, records = registered(registry, slot), Records(registry)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        judge(ledger, version, 600_000 + QUARTER_MS)
        records.evaluate("run-1", ledger.unrecorded())
    model = registry._client.get_logged_model(registry.model_of(version))
    assert {metric.key: metric.value for metric in model.metrics}["loss_evidence"] == 21.5


def change(slot, version, before, after, **changes):
    reported = {
        "slot": slot.name,
        "action": "promoted",
        "version": version.version,
        "before": before,
        "after": after,
        "decided_by": "watchtower",
        "reason": "gains 1% a trade",
        "key": f"{slot}:{next(numbers)}",
        "evidence": {"trades": 9, "pnl": str(Decimal("1.5")), "gain_evidence": 7.5},
    }
    return Deployment(**{**reported, **changes})


def test_a_change_of_production_is_one_run_with_its_evidence(registry, slot):
    version, records = registered(registry, slot), Records(registry)
    promoted = change(slot, version, None, version.version)
    assert records.deploy(promoted) == records.deploy(promoted)
    [run] = runs(registry, DEPLOYMENTS, slot)
    tags = run.data.tags
    assert (tags["from_version"], tags["to_version"]) == ("", version.version)
    assert (tags["decided_by"], tags["reason"]) == ("watchtower", "gains 1% a trade")
    assert run.data.metrics["gain_evidence"] == 7.5
    file = registry._client.download_artifacts(run.info.run_id, "scorecard.json")
    table = json.loads(Path(file).read_text())
    assert table["data"][0] == ["trades", "9"]


def test_a_change_of_production_names_the_route_by_which_its_version_was_proven(registry, slot):
    version, records = registered(registry, slot), Records(registry)
    evidence = {"trades": 90, "lived_evidence": 4_000.5}
    records.deploy(change(slot, version, None, "1", proven_by="lived", evidence=evidence))
    records.deploy(change(slot, version, "1", None, action="retired"))
    proven, unknown = runs(registry, DEPLOYMENTS, slot)
    assert proven.data.tags["proven_by"] == "lived"
    assert proven.data.metrics["lived_evidence"] == 4_000.5
    assert "proven_by" not in unknown.data.tags


def test_an_evaluation_names_the_route_by_which_its_version_is_proven(registry, slot, tmp_path):
    version, records = registered(registry, slot), Records(registry)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        for number, route in enumerate(("", "lived"), 1):
            judge(ledger, version, 600_000 + number * QUARTER_MS, proven_by=route)
            records.evaluate("run-1", ledger.unrecorded())
            [run] = runs(registry, EVALUATIONS, slot)
            assert run.data.tags["proven_by"] == (route or "unproven")


def test_an_alias_set_by_hand_is_recorded_once_as_such(registry, slot):
    one, two, records = registered(registry, slot), registered(registry, slot), Records(registry)
    registry.promote(slot.name, one.version, "earned it")
    records.deploy(change(slot, one, None, one.version, reason="earned it"))
    assert records.notice(slot.name) is None
    registry.set_alias(slot.name, "production", two.version)
    noticed = records.notice(slot.name)
    assert (noticed.action, noticed.decided_by) == ("set by hand", "a person")
    assert (noticed.before, noticed.after) == (one.version, two.version)
    assert records.notice(slot.name) is None
    assert [run.data.tags["action"] for run in runs(registry, DEPLOYMENTS, slot)] == [
        "promoted",
        "set by hand",
    ]


def test_a_change_whose_record_was_missed_is_written_afterwards_and_is_not_called_a_persons(
    registry, slot
):
    version, records = registered(registry, slot), Records(registry)
    registry.promote(slot.name, version.version, "earned it")
    noticed = records.notice(slot.name)
    assert (noticed.action, noticed.decided_by) == ("promoted", "crucible")
    assert noticed.reason.startswith("earned it")
    assert records.notice(slot.name) is None


def test_a_challengers_retirement_that_was_only_begun_is_not_recorded_as_made(registry, slot):
    one, two, records = registered(registry, slot), registered(registry, slot), Records(registry)
    registry.set_alias(slot.name, "production", one.version)
    registry.set_alias(slot.name, "challenger", two.version)
    records.notice(slot.name)
    kept = one.version, one.version
    begun = records.begin(change(slot, two, *kept, action="retired", reason="idle"))
    assert records.notice(slot.name) is None
    assert registry._client.get_run(begun.run_id).info.status == "RUNNING"
    registry.retire(slot.name, two.version, "idle")
    assert records.notice(slot.name) is None
    assert registry._client.get_run(begun.run_id).info.status == "FINISHED"


def test_a_version_in_production_that_the_arena_refuses_is_recorded_as_refused(registry, slot):
    version, records = registered(registry, slot), Records(registry)
    registry.set_alias(slot.name, "production", version.version)
    assert records.notice(slot.name).action == "set by hand"
    registry.tag(slot.name, version.version, {"arena_refused": "made with another schema"})
    noticed = records.notice(slot.name)
    assert (noticed.action, noticed.reason) == ("refused", "made with another schema")
    assert records.notice(slot.name) is None


def test_a_version_that_a_person_deleted_keeps_no_other_from_being_recorded(
    registry, slot, tmp_path
):
    gone, kept, records = registered(registry, slot), registered(registry, slot), Records(registry)
    registry._client.delete_model_version(slot.name, gone.version)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        judge(ledger, gone, 600_000 + QUARTER_MS)
        judge(ledger, kept, 600_000 + QUARTER_MS)
        assert records.evaluate("run-1", ledger.unrecorded()) == 2
    assert len(runs(registry, EVALUATIONS, slot)) == 2
