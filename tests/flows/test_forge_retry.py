"""A forge run that ended badly is retried, resumed or cancelled, and ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import numpy as np
import pytest

from crucible.forge.evolution.islands import IslandsState
from crucible.forge.progress import read_outcomes, read_progress
from crucible.lifecycle.context import Context, ContextError, only_one
from crucible.lifecycle.forge_runs import (
    Job,
    candles_of,
    kept_lake,
    require_resumable,
    require_same,
    require_unchanged,
)
from crucible.lifecycle.publishing import MadeBy
from crucible.lifecycle.publishing import offer as offer_by
from crucible.market.candles import folder_hash, write_candles
from crucible.market.funding import Funding, write_funding
from crucible.market.lake import Lake
from crucible.operations.market_configuration import MarketConfiguration
from crucible.operations.workspace import Workspace
from crucible.registry.models import Version
from crucible.registry.proof import digest
from crucible.registry.tracking import SEALED, TRIALS
from crucible.settings import MINUTE_MS, Settings, SingularitySettings, Slot
from tests.support.markets import make_market
from tests.support.plant import SYMBOLS
from tests.support.processes import ORIGIN_MS

pytestmark = pytest.mark.timeout(600)

FAILING, KILLED, CANCELLED, ISLANDS = (
    "BTCUSDT-gp-1",
    "BTCUSDT-gp-2",
    "ETHUSDT-gp-1",
    "ETHUSDT-gp-2",
)
TWO_ISLANDS = {"CRUCIBLE_FORGE__ISLANDS": "2", "CRUCIBLE_FORGE__DASK": "local"}


@pytest.fixture(scope="module")
def begun(plant):
    """Begin all forge runs at once, each with a fault of its own, and see to each as soon as it asks for it."""
    plant.fault("raise", FAILING, 3)
    plant.fault("raise", FAILING, "offer")
    plant.fault("hang", KILLED, 2)
    plant.fault("hang", KILLED, 3)
    plant.fault("hang", CANCELLED, 3)
    plant.fault("raise", ISLANDS, 3)
    runs = {
        FAILING: plant.start(FAILING, seed=11),
        KILLED: plant.start(KILLED, seed=12),
        CANCELLED: plant.start(CANCELLED, seed=13),
        ISLANDS: plant.start(ISLANDS, environment=TWO_ISLANDS, seed=15),
    }
    scenarios = {FAILING: fail_twice, KILLED: kill, CANCELLED: cancel, ISLANDS: fail_on_islands}
    with ThreadPoolExecutor(len(scenarios)) as at_once:
        yield {
            slot: (runs[slot], at_once.submit(scenario, plant, slot, runs[slot]))
            for slot, scenario in scenarios.items()
        }


def seen_to(begun, slot):
    """Wait for what was done with a slot's forge run; give the run, and what was found meanwhile."""
    run, done = begun[slot]
    return run, done.result()


def fail_twice(plant, slot, run):
    """Retry what failed in a generation, resume what failed between registering and seating; give another run."""
    plant.until(run, "FAILED")
    assert plant.mlflow_run(run).info.status == "FAILED"
    plant.retry(run)
    # By its message: a slow server can be told of the first failure twice.
    seating = "between registering and seating"
    plant.wait(
        lambda: (
            plant.run(run)["state_type"] == "FAILED"
            and seating in plant.run(run)["state"]["message"]
        ),
        lambda: plant.story(run),
    )
    assert plant.advanced(slot) == [1, 2, 3, 3, 4]
    other = plant.start(slot, resume=run)
    plant.until(other, "COMPLETED")
    # Forge another slot of the symbol: it is told of the version in production.
    beside = plant.start("BTCUSDT-boosted-1", seed=16)
    # Whoever runs it once more does not touch what is seated.
    require_seated(plant, run, slot)
    plant.retry(run)
    plant.wait(lambda: plant.states(run).count("Completed") == 1, lambda: plant.story(run))
    plant.wait(
        lambda: any("nothing to do" in line for line in plant.logs(run)), lambda: plant.story(run)
    )
    require_seated(plant, run, slot)
    plant.until(beside, "COMPLETED")
    return beside


def require_seated(plant, run, slot):
    """Look at whether the version of a run is the only one of its slot, and has its seat."""
    assert plant.advanced(slot) == [1, 2, 3, 3, 4]
    made = plant.mlflow_run(run).info
    assert made.status == "FINISHED"
    assert [version.run_id for version in plant.registry.versions(slot)] == [made.run_id]
    # Unproven on two days of candles: it waits in shadow.
    assert plant.registry.aliases(slot) == {"challenger": "1"}
    assert not plant.checkpoint(run).parent.exists()


def test_a_retry_or_a_run_that_resumes_goes_on_ends_the_same_and_registers_once(
    plant, begun, tmp_path
):
    slot = FAILING
    run, beside = seen_to(begun, slot)
    result = plant.require_uninterrupted(run, slot, 11, tmp_path)
    assert result.offered is not None
    require_evidence(plant, run, slot)
    require_explained(plant, slot)
    require_beside_the_living(plant, beside, slot)
    assert result.funding == "charged, rates are known for 100% of the candles"
    assert plant.mlflow_run(run).data.params["funding"] == result.funding


def require_beside_the_living(plant, run, slot):
    """Look at what a forge run of the same symbol says of the version that waits in shadow."""
    made = plant.mlflow_run(run).data
    assert f"{slot}/1" in made.params["living_agents"].split(", ")
    # Two days of candles are too few to compare with anybody, and no number stands in for that.
    assert made.tags["novelty"].startswith("novelty is no objective: nobody to compare with")
    assert f"{slot}/1: 1 common days" in made.tags["novelty"]
    assert "novelty" not in made.metrics


def require_evidence(plant, run, slot):
    """Look at what a person finds in MLflow."""
    import mlflow

    made = plant.mlflow_run(run)
    files = {item.path for item in plant.registry._client.list_artifacts(made.info.run_id)}
    assert len(files & {"champion.json", "candidate.json"}) == 1
    assert files >= {
        "strategy.json", "strategy.txt", "strategy.svg", "equity.png",
        "gates.csv", "windows.csv", "importance.csv", "importance.svg", "report.html",
    }  # fmt: skip
    tags = made.data.tags
    assert (tags["slot"], tags["symbol"], tags["kind"]) == (slot, "BTCUSDT", "gp")
    assert tags["prefect_flow_run"] == run
    assert tags["prefect_link"].endswith(f"/runs/flow-run/{run}")
    assert {"seed", "code_revision", "feature_schema", "data_hash", "verdict"} <= set(tags)
    assert tags["verdict"] in tags["mlflow.note.content"]
    headline = {name for name in made.data.metrics if "/" not in name}
    assert headline == {
        "candidates_evaluated", "effective_trials", "effective_trials_own", "candles_used",
        "candles_left_out", "gates_failed", "deflated_sharpe", "sealed_net_return",
        "sealed_max_drawdown", "sealed_trades", "sealed_hold_return", "sealed_openings",
    }  # fmt: skip
    (data,) = made.inputs.dataset_inputs
    assert data.dataset.digest == made.data.params["market_hash"][:36]
    mlflow.set_tracking_uri(plant.registry.tracking_uri)
    model = mlflow.pyfunc.load_model(f"models:/{slot}/1")
    mlflow.set_tracking_uri(None)
    example = model.input_example
    assert list(model.metadata.get_input_schema().input_names()) == list(example.columns)
    assert set(model.predict(example)) <= {0, 1, 2}
    # Registered by one attempt, sealed by the next: the evidence that the arena believes is there.
    (version,) = plant.registry.versions(slot)
    assert version.proof is not None, version.doubt
    assert version.proof.failed == tuple(filter(None, tags["failed_gates"].split(",")))
    assert "judged" not in version.doubt_of(digest(plant.registry.strategy(version)))
    picture = httpx.get(plant.registry.file_of_run(made.info.run_id, "equity.png"), timeout=30)
    assert picture.content.startswith(b"\x89PNG")


def require_explained(plant, slot):
    """Ask about the version by its alias, as a person does."""
    done = subprocess.run(
        [sys.executable, "-m", "crucible.cli", "explain", f"{slot}/challenger", "--json"],
        env={
            **os.environ,
            "CRUCIBLE_HOME": str(plant.workspace.path),
            "MLFLOW_TRACKING_URI": plant.ports.mlflow_url,
        },
        capture_output=True,
        text=True,
        check=False,
        cwd=plant.workspace.path,
    )
    assert done.returncode == 0, done.stderr
    reported = json.loads(done.stdout)
    assert reported["name"] == f"{slot}/1"
    assert reported["lineage"]["version"] == f"{slot} version 1, challenger"
    assert reported["lineage"]["seed"] == "11"
    assert reported["gates"]
    assert reported["rules"]["buy"]


def kill(plant, slot, run):
    """Kill the process of a run, retry it, and report its crash once more."""
    plant.kill(run, slot)
    plant.until_settled(run)
    # Another forge run of the slot tries much while this one lies still.
    beside = plant.registry.open_run("beside", "forge", {"slot": slot})
    plant.registry.log(beside, metrics=[(TRIALS, 500.0, 0), (SEALED, 4.0, 0)])
    another = plant.registry.open_run("another", "forge", {"slot": slot})
    plant.registry.log(another, metrics=[(SEALED, 0.0, 0)])
    plant.retry(run)
    plant.hanging(run, slot)
    # What a worker's second report of the first process does when it comes this late.
    plant.set_state(run, "CRASHED", "Crashed")
    plant.fault("release", slot)
    plant.wait(lambda: plant.run(run)["state_type"] == "RUNNING", lambda: plant.story(run))
    plant.until(run, "COMPLETED")


def test_a_killed_process_is_retried_and_outlives_a_late_report_of_its_crash(
    plant, begun, tmp_path
):
    slot = KILLED
    run, _ = seen_to(begun, slot)
    assert plant.states(run).count("Crashed") == 2
    assert plant.advanced(slot) == [1, 2, 2, 3, 4]
    forge = plant.workspace.path / "forge"
    ended = [row["outcome"] for row in read_outcomes(forge, 200) if row["slot"] == slot]
    assert len(ended) == 1
    assert ended[0].startswith(f"{slot}: ")
    assert slot not in {row["slot"] for row in read_progress(forge)}
    result = plant.require_uninterrupted(run, slot, 12, tmp_path, meanwhile=500)
    assert plant.mlflow_run(run).data.metrics["sealed_openings"] == 3
    assert result.trials > 500


def cancel(plant, slot, run):
    """Cancel a run, and retry it over a checkpoint that cannot be read; give how that ended."""
    plant.hanging(run, slot)
    plant.cancel(run)
    plant.until(run, "CANCELLED")
    assert plant.mlflow_run(run).info.status == "KILLED"
    path = plant.checkpoint(run)
    assert IslandsState.load(path).generation == 2
    [progress] = [row for row in read_progress(path.parents[1]) if row["slot"] == slot]
    assert (progress["stage"], progress["generation"], progress["alive"]) == ("evolving", 2, False)
    path.write_text(path.read_text()[:500])
    plant.retry(run)
    found = plant.wait(
        lambda: plant.states(run).count("Failed") == 1 and plant.run(run),
        lambda: plant.story(run),
    )
    assert plant.registry.versions(slot) == []
    path.unlink()
    plant.retry(run)
    plant.until(run, "COMPLETED")
    return found["state"]["message"]


def test_a_cancelled_forging_is_retried_and_starts_over_where_its_checkpoint_is_corrupt(
    plant, begun, tmp_path
):
    slot = CANCELLED
    run, reported = seen_to(begun, slot)
    assert f"{plant.checkpoint(run)}: not a readable checkpoint" in reported
    assert "delete it to start again" in reported
    assert plant.advanced(slot) == [1, 2, 3, 1, 2, 3, 4]
    plant.require_uninterrupted(run, slot, 13, tmp_path)


def fail_on_islands(plant, slot, run):
    """Resume a run of islands under another setting, and retry it; give how the first ended."""
    plant.until(run, "FAILED")
    larger = {**TWO_ISLANDS, "CRUCIBLE_FORGE__POPULATION": "18"}
    other = plant.start(slot, environment=larger, resume=run)
    refused = plant.until(other, "FAILED")["state"]["message"]
    plant.retry(run)
    plant.until(run, "COMPLETED")
    return refused


def test_islands_on_local_workers_are_retried_and_end_as_those_computed_in_one_process(
    plant, begun, tmp_path
):
    slot = ISLANDS
    run, refused = seen_to(begun, slot)
    assert "population was 16 and is 18" in refused
    assert plant.advanced(slot) == [1, 2, 3, 3, 4]
    plant.require_uninterrupted(run, slot, 15, tmp_path, islands=2)


def test_a_forging_that_is_resumed_late_takes_nobodys_seat(plant, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", plant.ports.mlflow_url)
    at_the_venue = plant.settings.model_copy(
        update={"singularity": SingularitySettings(trial="venue")}
    )
    context = Context(at_the_venue, plant.workspace)
    client, slot = plant.registry._client, "ETHUSDT-gp-9"
    run = plant.registry.open_run("late", "forge", {"slot": slot})
    client.create_registered_model(slot)
    first, second, third = (
        Version(slot, client.create_model_version(slot, f"runs:/{run}", run).version, run, {})
        for _ in range(3)
    )
    assert (
        offer_by(context, first, MadeBy()) == "in production, since the production seat was empty"
    )
    assert offer_by(context, second, MadeBy()) == "the challenger"
    assert offer_by(context, third, MadeBy()) == "registered; version 2 stays the challenger"
    assert offer_by(context, second, MadeBy()) == "the challenger"
    assert offer_by(context, first, MadeBy()) == "in production"
    assert plant.registry.aliases(slot) == {"production": "1", "challenger": "2"}
    in_shadow = Context(plant.settings, plant.workspace)
    plant.registry.drop_alias(slot, "production")
    plant.registry.drop_alias(slot, "challenger")
    assert offer_by(in_shadow, third, MadeBy()) == "the challenger"
    assert plant.registry.aliases(slot) == {"challenger": "3"}


def test_a_forging_does_not_go_on_under_other_code(plant, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", plant.ports.mlflow_url)
    context = Context(plant.settings, plant.workspace)
    slot = "ETHUSDT-gp-8"
    run = plant.registry.open_run("coded", "forge", {"slot": slot})
    job = Job(slot, 1, 0, run, 0)
    require_same(context, job, "what it was")
    require_same(context, job, "what it was")
    with pytest.raises(ContextError, match="ETHUSDT-gp-8: the code has changed since"):
        require_same(context, job, "another")


def test_a_key_that_cannot_be_resumed_is_refused_with_those_that_can(tmp_path):
    context = Context(Settings(home=tmp_path), Workspace.at(tmp_path))
    job = Job("ETHUSDT-gp-1", 1, 60_000, "run", 0)
    job.write(context.forge_folder("waiting"))
    with pytest.raises(
        ContextError, match=r"no unfinished forge run has the key 'gone'.*: waiting"
    ):
        require_resumable(context, None, Slot.parse("ETHUSDT-gp-1"), "gone")
    with pytest.raises(ContextError, match="a forge run of ETHUSDT-gp-1, not of BTCUSDT-gp-1"):
        require_resumable(context, job, Slot.parse("BTCUSDT-gp-1"), "waiting")


@pytest.fixture
def lone_context(tmp_path):
    workspace = Workspace.at(tmp_path / "home")
    workspace.create()
    MarketConfiguration("simulated", SYMBOLS, 7, 0, 0, 0).save(workspace, 0)
    return Context(Settings(home=workspace.path), workspace)


def kept(context, folder, start_ms, until_ms):
    return candles_of(kept_lake(context, folder, start_ms, until_ms), context.symbols)


def market_of(rows):
    candles, _ = make_market(rows)
    candles = replace(candles, ts=candles.ts + ORIGIN_MS)
    return {symbol: replace(candles, symbol=symbol) for symbol in SYMBOLS}


def test_a_retry_sees_the_candles_of_the_first_attempt_whatever_the_lake_learned_since(
    lone_context, tmp_path
):
    whole = market_of(100)
    late = {"BTCUSDT": whole["BTCUSDT"], "ETHUSDT": whole["ETHUSDT"][:-1]}
    for symbol, candles in late.items():
        write_candles(candles, lone_context.lake.path(symbol))
    until_ms = int(whole["BTCUSDT"].close_ts[-1])
    span = (until_ms - 50 * MINUTE_MS, until_ms)
    first = kept(lone_context, tmp_path / "forge-run", *span)
    write_candles(whole["ETHUSDT"], lone_context.lake.path("ETHUSDT"))
    again = kept(lone_context, tmp_path / "forge-run", *span)
    assert {symbol: len(candles) for symbol, candles in again.items()} == {
        "BTCUSDT": 50,
        "ETHUSDT": 49,
    }
    assert folder_hash(again) == folder_hash(first)


def test_a_retry_is_charged_the_funding_of_the_first_attempt(lone_context, tmp_path):
    whole = market_of(100)
    for symbol, candles in whole.items():
        write_candles(candles, lone_context.lake.path(symbol))
    first_ms, until_ms = int(whole["BTCUSDT"].ts[0]), int(whole["BTCUSDT"].close_ts[-1])
    hour_ms = 60 * MINUTE_MS
    settled = np.array([first_ms - hour_ms, first_ms, until_ms - hour_ms // 2, until_ms])
    rates = np.array([1e-4, 2e-4, 3e-4, 4e-4])
    folder = lone_context.lake.funding_folder
    write_funding(Funding("BTCUSDT", settled[:2], rates[:2]), folder)
    first = kept_lake(lone_context, tmp_path / "forge-run", first_ms, until_ms)
    write_funding(Funding("BTCUSDT", settled, rates), folder)
    again = kept_lake(lone_context, tmp_path / "forge-run", first_ms, until_ms)
    anew = kept_lake(lone_context, tmp_path / "another", first_ms, until_ms)
    reported = [lake.read_funding("BTCUSDT").rate.tolist() for lake in (first, again, anew)]
    assert reported == [[2e-4], [2e-4], [2e-4, 3e-4]]
    assert len(anew.read_funding("ETHUSDT")) == 0


def test_candles_that_were_half_kept_are_taken_anew(lone_context, tmp_path):
    whole, folder = market_of(100), tmp_path / "forge-run"
    write_candles(whole["BTCUSDT"][:7], Lake(folder / "part").path("BTCUSDT"))
    for symbol, candles in whole.items():
        write_candles(candles, lone_context.lake.path(symbol))
    found = kept(lone_context, folder, 0, int(whole["BTCUSDT"].close_ts[-1]))
    assert folder_hash(found) == folder_hash(whole)


def test_a_symbol_that_did_not_trade_in_a_forgings_time_stays_without_candles(
    lone_context, tmp_path
):
    whole, folder = market_of(100), tmp_path / "forge-run"
    write_candles(whole["BTCUSDT"], lone_context.lake.path("BTCUSDT"))
    write_candles(whole["ETHUSDT"][:7], lone_context.lake.path("ETHUSDT"))
    until_ms = int(whole["BTCUSDT"].close_ts[-1])
    for _ in range(2):
        found = kept(lone_context, folder, until_ms - 50 * MINUTE_MS, until_ms)
        assert (len(found["BTCUSDT"]), len(found["ETHUSDT"])) == (50, 0)


def test_a_forging_goes_on_under_its_own_settings_but_for_more_generations():
    require_unchanged("BTCUSDT-gp-1", {"generations": ("8", "12")})
    changed = {"generations": ("8", "12"), "population": ("200", "100"), "fee": ("0.1", "0.2")}
    with pytest.raises(ContextError) as reported:
        require_unchanged("BTCUSDT-gp-1", changed)
    assert "population was 200 and is 100, fee was 0.1 and is 0.2" in str(reported.value)
    assert "generations" not in str(reported.value)


def test_two_living_processes_never_work_on_one_forging(tmp_path):
    with (
        only_one(tmp_path / "key.lock", "held"),
        pytest.raises(ContextError, match="held"),
        only_one(tmp_path / "key.lock", "held", wait_s=0.1),
    ):
        pass
    with only_one(tmp_path / "key.lock", "held"):
        pass
