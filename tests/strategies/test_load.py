from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from crucible.errors import StrategyError
from crucible.features.frame import FeatureFrame, FeatureSchema
from crucible.strategies.boosted import BoostedStrategy
from crucible.strategies.contract import Exits
from crucible.strategies.gp import GpStrategy
from crucible.strategies.load import SCHEMA_FILE, load_strategy, read_strategy
from crucible.testing.programs import programs
from crucible.vm.program import parse_program

SCHEMA = FeatureSchema(("a", "b", "c"), {"version": 1})
EXITS = Exits(0.01, 0.02, 60)
ROOT = Path(__file__).resolve().parents[2]


def frame_of(rows=400, seed=0):
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(rows, 3))
    values[generator.random(values.shape) < 0.05] = np.nan
    values[7] = np.nan
    return FeatureFrame("XUSDT", np.arange(1, rows + 1) * 60_000, values, SCHEMA)


def gp(program=("trade", ("gt", "a", 0.5), ("lt", "b", 0.0))):
    return GpStrategy("XUSDT-gp-1", "XUSDT", SCHEMA.hash, parse_program(program), EXITS)


@pytest.fixture(scope="session")
def boosted():
    import lightgbm

    frame = frame_of(2_000, 1)
    label = (np.nan_to_num(frame.values[:, 0]) > 0.3).astype(int)
    data = lightgbm.Dataset(frame.values, label, feature_name=list(SCHEMA.names))
    options = {"objective": "binary", "verbosity": -1, "deterministic": True, "num_threads": 1}
    text = lightgbm.train(options, data, 12).model_to_string()
    return BoostedStrategy(
        "XUSDT-boosted-2", "XUSDT", SCHEMA.hash, SCHEMA.names, text, 0.6, 0.4, EXITS
    )


def refused(document, match):
    with pytest.raises(StrategyError, match=match):
        load_strategy(document)


@settings(max_examples=50, deadline=None)
@given(programs(SCHEMA.names))
def test_a_program_survives_its_file(program):
    strategy = gp(program)
    loaded = load_strategy(json.loads(json.dumps(strategy.to_json())))
    assert loaded.to_json() == strategy.to_json()
    assert loaded.signals(frame_of()).tolist() == strategy.signals(frame_of()).tolist()


def test_a_boosted_model_survives_its_file(boosted):
    loaded = load_strategy(json.loads(json.dumps(boosted.to_json())))
    assert loaded.to_json() == boosted.to_json()
    assert loaded.signals(frame_of()).tolist() == boosted.signals(frame_of()).tolist()


def test_a_boosted_model_decides_live_as_over_history(boosted):
    frame = frame_of(300, 3)
    live = [boosted.decide(frame.row(i)) for i in range(len(frame))]
    assert boosted.signals(frame).tolist() == live
    assert {0, 1, 2} == set(live)
    one_by_one = [
        boosted.probabilities(
            FeatureFrame("XUSDT", frame.ts[i : i + 1], frame.values[i : i + 1], SCHEMA)
        )[0]
        for i in range(len(frame))
    ]
    np.testing.assert_array_equal(boosted.probabilities(frame), one_by_one)


def test_a_boosted_model_holds_where_every_feature_is_missing(boosted):
    assert boosted.signals(frame_of())[7] == 0


def test_another_feature_schema_is_refused(boosted):
    other = FeatureSchema(SCHEMA.names, {"version": 2})
    frame = FeatureFrame("XUSDT", frame_of().ts, frame_of().values, other)
    for strategy in (gp(), boosted):
        with pytest.raises(StrategyError, match=other.hash):
            strategy.signals(frame)
        with pytest.raises(StrategyError, match=other.hash):
            strategy.decide(frame.row(0))


def test_a_wrong_document_is_refused_by_the_field(boosted):
    good = gp().to_json()
    refused([], "not list")
    refused({**good, "format": "other/9"}, "format: 'other/9'")
    refused({**good, "extra": 1}, "extra")
    refused({key: good[key] for key in good if key != "exits"}, "exits")
    refused({**good, "exits": {**good["exits"], "stop": 0}}, "exits.stop: 0")
    refused({**good, "exits": {**good["exits"], "stop": float("nan")}}, "exits.stop")
    refused({**good, "symbol": "YUSDT"}, "does not agree with symbol YUSDT")
    refused({**good, "kind": "boosted"}, "boosted")
    refused({**good, "features": ["a"]}, "features")
    refused({**good, "program": ["trade", ["gt", "a"], ["lt", "b", 0]]}, "gt takes 2 arguments")
    refused({**good, "program": ["trade", ["explode", "a"], ["lt", "b", 0]]}, "explode")
    refused({**good, "program": ["trade", "a", ["lt", "b", 0]]}, "boolean is wanted")
    window = ["gt", ["mean", "a", 1], 0]
    refused({**good, "program": ["trade", window, ["lt", "b", 0]]}, "lookback 1")
    deep = ["gt", "a", 0]
    for _ in range(50):
        deep = ["not", deep]
    refused({**good, "program": ["trade", deep, ["lt", "b", 0]]}, "deeper than")
    model = boosted.to_json()
    refused({**model, "model": "tree\nnonsense"}, "model")
    refused({**model, "features": ["a", "b"]}, "reads 3 features, the file names 2")
    refused({**model, "exit_at": 0.9}, "exit_at")


def test_a_file_that_is_not_a_strategy_is_named(tmp_path):
    path = tmp_path / "broken.json"
    path.write_text("{")
    with pytest.raises(StrategyError, match=r"broken\.json"):
        read_strategy(path)
    with pytest.raises(StrategyError, match=r"absent\.json"):
        read_strategy(tmp_path / "absent.json")
    path.write_text(json.dumps(gp().to_json()))
    assert read_strategy(path).to_json() == gp().to_json()


def test_the_published_schema_is_the_one_that_is_checked():
    ours = (ROOT / "crucible" / "strategies" / SCHEMA_FILE).read_bytes()
    assert (ROOT / "docs" / "reference" / SCHEMA_FILE).read_bytes() == ours
