"""The registry on a real MLflow server: versions, aliases, lineage, and models without pickles."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from crucible.errors import StrategyError
from crucible.features.frame import FeatureFrame, FeatureSchema
from crucible.registry.errors import RegistryError
from crucible.registry.models import Registry, Version
from crucible.registry.proof import Gate, Proof, digest
from crucible.registry.tracking import TRIALS
from crucible.settings import Slot
from crucible.strategies.document import LARGEST_FILE
from crucible.strategies.load import load_strategy
from tests.support.strategies import strategy_file

SLOT = Slot.parse("BTCUSDT-gp-1")
STRATEGY = strategy_file(SLOT, schema_hash=FeatureSchema(("x", "y"), {}).hash)


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch):
    """MLflow's own address, one for the whole process, names another server than the registry's."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    yield
    assert mlflow.get_tracking_uri() == "http://127.0.0.1:9"
    mlflow.set_tracking_uri(None)


def forged(registry, key, tmp_path, trials=7.0):
    run = registry.open_run(key, f"forge {SLOT}", {"slot": SLOT.name, "kind": "gp"})
    (tmp_path / "strategy.json").write_text(json.dumps(STRATEGY))
    registry.log(
        run,
        parameters={"seed": 1},
        metrics=[(TRIALS, trials, 0), ("best", 0.1, 0), ("best", 0.2, 1), ("nan", np.nan, 0)],
    )
    registry.log_folder(run, tmp_path)
    registry.log_dataset(run, "candles", "abc", "lake")
    version = registry.register(run, SLOT, STRATEGY, {"proven": "false"})
    registry.close_run(run, "FINISHED")
    return version


def test_forge_runs_that_see_the_same_candles_at_the_same_time_all_say_so(registry):
    runs = [registry.open_run(f"beside-{n}", "forge", {"slot": SLOT.name}) for n in range(8)]
    for name in ("june", "july", "august"):
        with ThreadPoolExecutor(len(runs)) as at_once:
            list(at_once.map(lambda run: registry.log_dataset(run, name, "abc", "lake"), runs))  # noqa: B023
    for run in runs:
        made = registry._client.get_run(run).inputs.dataset_inputs
        assert sorted(item.dataset.name for item in made) == ["august", "july", "june"]
        registry.close_run(run, "KILLED")


def test_a_version_goes_from_challenger_to_production_to_retired_with_reasons(registry, tmp_path):
    first, second = forged(registry, "a1", tmp_path), forged(registry, "a2", tmp_path)
    registry.set_alias(SLOT.name, "challenger", first.version)
    assert [(a.alias, a.version.version) for a in registry.active([SLOT])] == [
        ("challenger", first.version)
    ]
    assert registry.promote(SLOT.name, first.version, "earned it") is None
    assert registry.aliases(SLOT.name) == {"production": first.version}
    assert registry.promote(SLOT.name, second.version, "better") == first.version
    assert registry.aliases(SLOT.name) == {"production": second.version, "retired": first.version}
    registry.retire(SLOT.name, second.version, "loses 1% a trade")
    assert registry.aliases(SLOT.name) == {"retired": second.version}
    assert registry.version(SLOT.name, second.version).tags["retired"] == "loses 1% a trade"
    assert registry.active([SLOT]) == []


def test_a_tag_is_taken_away_by_an_empty_text(registry, tmp_path):
    version = forged(registry, "tags", tmp_path)
    registry.tag(SLOT.name, version.version, {"arena_refused": "made with another schema"})
    for _ in range(2):
        registry.tag(SLOT.name, version.version, {"arena_refused": ""})
    assert "arena_refused" not in registry.version(SLOT.name, version.version).tags


def test_a_strategy_comes_back_as_it_was_stored(registry, tmp_path):
    version = forged(registry, "b", tmp_path)
    assert registry.strategy(version) == STRATEGY


def test_the_mlflow_model_scores_like_the_strategy_and_holds_no_pickle(registry, tmp_path):
    version = forged(registry, "c", tmp_path)
    mlflow.set_tracking_uri(registry.tracking_uri)
    model = mlflow.pyfunc.load_model(f"models:/{SLOT.name}/{version.version}")
    random = np.random.default_rng(1)
    table = pd.DataFrame(random.normal(size=(200, 2)), columns=["x", "y"])
    frame = FeatureFrame(
        "BTCUSDT",
        np.arange(1, 201, dtype=np.int64) * 60_000,
        table.to_numpy(),
        FeatureSchema(("x", "y"), {}),
    )
    expected = load_strategy(STRATEGY).signals(frame)
    assert model.predict(table).tolist() == expected.tolist()
    assert set(expected.tolist()) == {0, 1, 2}
    folder = mlflow.artifacts.download_artifacts(f"models:/{SLOT.name}/{version.version}")
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    suffixes = {path.suffix for path in Path(folder).rglob("*") if path.is_file()}
    assert not suffixes & {".pkl", ".pickle", ".joblib", ".dill"}


def test_a_retried_forging_continues_its_run(registry, tmp_path):
    run = registry.open_run("retry", "forge", {"slot": "OTHER-gp-1"})
    registry.close_run(run, "FAILED")
    assert registry.open_run("retry", "forge", {"slot": "OTHER-gp-1"}) == run


def test_every_candidate_of_every_forging_of_a_slot_is_counted(registry, tmp_path):
    for key, trials in (("t1", 100.0), ("t2", 20.0)):
        run = registry.open_run(key, "forge", {"slot": "ETHUSDT-gp-9"})
        registry.log(run, metrics=[(TRIALS, trials, 0)])
        registry.close_run(run, "FINISHED")
    assert registry.trials("ETHUSDT-gp-9") == 120
    assert registry.trials("ETHUSDT-gp-9", without=run) == 100
    assert len(registry.forge_seeds("ETHUSDT-gp-9")) == 2
    # One that measured it counts as so many independent ones, never as more than it has; another as all it has.
    assert registry.effective_trials("ETHUSDT-gp-9") == registry.trials("ETHUSDT-gp-9")
    first, second = registry._runs("ETHUSDT-gp-9")
    held = [int(run.data.metrics["candidates_evaluated"]) for run in (first, second)]
    registry.log(first.info.run_id, metrics=[("effective_trials_own", 7.5, 0)])
    assert registry.effective_trials("ETHUSDT-gp-9") == 7.5 + held[1]
    assert registry.effective_trials("ETHUSDT-gp-9", without=second.info.run_id) == 7.5
    registry.log(second.info.run_id, metrics=[("effective_trials_own", held[1] + 1e6, 0)])
    assert registry.effective_trials("ETHUSDT-gp-9") == 7.5 + held[1]
    assert registry.forge_seeds("ETHUSDT-gp-8") == []


def test_a_forging_is_finished_when_its_run_is(registry):
    run = registry.open_run("ends", "forge", {"slot": "ETHUSDT-gp-7"})
    assert not registry.finished("ends")
    registry.close_run(run, "FAILED")
    assert not registry.finished("ends")
    registry.close_run(run, "FINISHED")
    assert registry.finished("ends")
    assert not registry.finished("end")


def test_a_parameter_that_is_not_what_it_was_is_named_with_both(registry):
    run = registry.open_run("parameters", "forge", {"slot": "ETHUSDT-gp-7"})
    registry.log(run, parameters={"population": 200, "fee": 0.00055})
    now = {"population": 100, "fee": 0.00055, "islands": 2}
    assert registry.changed(run, now) == {"population": ("200", "100")}


def test_what_is_not_there_is_named(registry, tmp_path):
    with pytest.raises(RegistryError, match="BTCUSDT-gp-1 has no version 999; it has version"):
        registry.version(SLOT.name, "999")
    assert registry.aliases("NOSUCH-gp-1") == {}
    with pytest.raises(RegistryError, match="no version of it is registered yet"):
        registry.version("NOSUCH-gp-1", "1")
    run = registry.open_run("empty", "forge", {"slot": SLOT.name})
    version = registry.register(run, SLOT, STRATEGY, {})
    with pytest.raises(StrategyError, match=r"no usable strategy\.json"):
        registry.strategy(version)


def test_a_version_is_proven_by_its_sealed_evidence_and_by_no_tag(registry, tmp_path):
    version = forged(registry, "proof", tmp_path)
    registry.tag(SLOT.name, version.version, {"proven": "true"})
    tagged = registry.version(SLOT.name, version.version)
    assert not tagged.proven
    assert (
        tagged.unproven_because
        == "it has no proof; only a forge run of this workspace writes one; its life in shadow has not proven it"
    )

    names = (version.slot, version.version, version.run_id)
    gates = (Gate("deflated_sharpe", 0.99, 0.95, "higher"),)
    facts = ("strict", STRATEGY["schema_hash"], "data", "code", 7, gates)
    proven = registry.prove(version, Proof(*names, digest(STRATEGY), *facts))
    assert proven.proven
    assert (proven.proven_by, proven.tags["proven_by"]) == ("forged", "forged")
    assert proven.doubt_of(digest(registry.strategy(proven))) == ""
    assert registry.prove(version, proven.proof) == proven

    # Whoever reaches the server sets tags and uploads files; neither makes another version proven.
    other = forged(registry, "copied", tmp_path)
    registry.tag(SLOT.name, other.version, {"proven": "true", "proof": proven.tags["proof"]})
    assert "belongs to BTCUSDT-gp-1" in registry.version(SLOT.name, other.version).unproven_because
    swapped = {**STRATEGY, "exits": {"stop": 0.9, "target": 0.02, "timeout": 60}}
    (tmp_path / "strategy.json").write_text(json.dumps(swapped))
    registry.log_folder(proven.run_id, tmp_path)
    again = registry.version(SLOT.name, version.version)
    assert "not the one that was judged" in again.doubt_of(digest(registry.strategy(again)))

    assert not Registry(registry.tracking_uri).version(SLOT.name, version.version).proven
    stranger = Registry(registry.tracking_uri, "another key")
    assert "not sealed by this workspace" in stranger.version(SLOT.name, version.version).doubt
    with pytest.raises(RegistryError, match="no key to seal"):
        Registry(registry.tracking_uri).prove(version, proven.proof)


def test_a_file_beyond_every_bound_is_refused_before_it_is_fetched(registry, tmp_path, monkeypatch):
    fetched = []
    client = registry._client
    download = client.download_artifacts
    monkeypatch.setattr(
        client, "download_artifacts", lambda *words: fetched.append(words[1]) or download(*words)
    )
    run = registry.open_run("large", "forge", {"slot": SLOT.name})
    version = Version(SLOT.name, "1", run, {})
    with (tmp_path / "strategy.json").open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    registry.log_folder(run, tmp_path)
    with pytest.raises(StrategyError, match=f"{LARGEST_FILE + 1} bytes, more than {LARGEST_FILE}"):
        registry.strategy(version)
    assert fetched == []
    folder = registry.open_run("folder", "forge", {"slot": SLOT.name})
    (tmp_path / "strategy.json").unlink()
    (tmp_path / "strategy.json").mkdir()
    (tmp_path / "strategy.json" / "inside").write_text("{}")
    registry.log_folder(folder, tmp_path)
    with pytest.raises(StrategyError, match=r"no usable strategy\.json"):
        registry.strategy(Version(SLOT.name, "1", folder, {}))
    assert fetched == []


def test_a_bad_strategy_file_is_told_whatever_lies_beside_it(registry, tmp_path):
    run = registry.open_run("bad", "forge", {"slot": SLOT.name})
    (tmp_path / "strategy.json").write_text('{"kind": "gp", "kind": "boosted"}')
    (tmp_path / "model.pkl").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    registry.log_folder(run, tmp_path)
    with pytest.raises(StrategyError, match=r"strategy\.json: kind: given twice"):
        registry.strategy(Version(SLOT.name, "1", run, {}))


def test_a_version_that_cannot_be_looked_up_is_named_and_the_others_are_given(
    registry, tmp_path, monkeypatch
):
    from mlflow.exceptions import MlflowException

    first, second = forged(registry, "u1", tmp_path), forged(registry, "u2", tmp_path)
    registry.set_alias(SLOT.name, "production", first.version)
    registry.set_alias(SLOT.name, "challenger", second.version)
    look_up = registry._client.get_model_version

    def failing(slot, version):
        if version == first.version:
            message = "503"
            raise MlflowException(message)
        return look_up(slot, version)

    monkeypatch.setattr(registry._client, "get_model_version", failing)
    unread = {}
    found = registry.active([SLOT], unread)
    assert [one.version.version for one in found] == [second.version]
    assert list(unread) == [(SLOT.name, first.version)]
    with pytest.raises(RegistryError):
        registry.active([SLOT])
