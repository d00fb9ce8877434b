"""`crucible lookahead` finds what knows the future, by column and input, and leaves alone what only acts later."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from crucible.features.pipeline import FeaturePipeline
from crucible.forge.lookahead.search import before, find_leaks, with_other_future
from crucible.forge.lookahead.strategies import evaluation, nodes_of
from crucible.market.candles import Candles, check, write_candles
from crucible.settings import Settings
from crucible.strategies.load import load_strategy
from crucible.testing.columns import sound_candles
from tests.support.commands import call

RULES = Path(__file__).with_name("rules.py")
ROWS = 2_000


def market(rows: int = ROWS, *symbols: str) -> dict[str, Candles]:
    made = {}
    for number, symbol in enumerate(symbols or ("BTCUSDT",)):
        columns = sound_candles(rows=rows)
        scale = 1.0 + number
        prices = [columns[name] * scale for name in ("open", "high", "low", "close")]
        made[symbol] = Candles(symbol, columns["ts"], *prices, columns["volume"] + 1.0)
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("candles")
    write_candles(market()["BTCUSDT"], made / "BTCUSDT-1m.parquet")
    return made


def checked(folder, function: str, *more: str):
    words = ("lookahead", f"{RULES}:{function}", "--candles", folder, "--json", *more)
    ended = call(folder / "workspace", *words)
    return ended, json.loads(ended.stdout)


@pytest.mark.parametrize(
    ("function", "ahead", "inputs"),
    [
        ("column_maximum", None, {"close"}),
        ("centred_window", 10, {"close"}),
        ("shifted_merge", None, {"close"}),
        ("next_close", 1, {"close"}),
        ("filled_backwards", None, {"volume"}),
        ("spread_of_all", None, {"close"}),
        ("label_of_tomorrow", 30, {"close"}),
        ("kept_only_where_it_rises", 1, {"close"}),
        ("out_at_the_end", 1, {"where the data ends"}),
    ],
)
def test_what_knows_the_future_is_refused_with_how_far_and_by_what(folder, function, ahead, inputs):
    ended, found = checked(folder, function)
    assert ended.code == 3
    assert found["rule"] == "no-lookahead"
    assert found["leaks"] == 1
    (column,) = found["columns"]
    assert column["state"] == "leak"
    assert column["rows"] > 0
    assert "refused by the rule no-lookahead" in ended.stderr
    if ahead is not None:
        assert column["candles_ahead"] == ahead
    if inputs is not None:
        assert set(column["inputs"]) == inputs


@pytest.mark.parametrize("seed", ["1", "2", "3", "4", "5"])
@pytest.mark.parametrize(
    ("function", "inputs"),
    [("bought_before_it_rises", {"close"}), ("sold_before_it_falls", {"close"})],
)
def test_a_rule_that_asks_the_next_candle_for_one_direction_is_refused_with_every_seed(
    folder, function, inputs, seed
):
    ended, found = checked(folder, function, "--seed", seed)
    assert ended.code == 3, found
    (column,) = found["columns"]
    assert column["state"] == "leak"
    assert column["candles_ahead"] == 1
    assert set(column["inputs"]) == inputs


def test_the_first_changed_candle_differs_from_cut_to_cut_and_rises_where_its_inverse_falls():
    held = market()["BTCUSDT"]
    factors = []
    for row in (500, 900, 1_300):
        pair = [
            with_other_future({"BTCUSDT": held}, int(held.ts[row]), 1, ["close"], is_inverse=each)
            for each in (False, True)
        ]
        one, other = (each["BTCUSDT"].close[row] / held.close[row] for each in pair)
        assert one * other == pytest.approx(1.0)
        factors.append(round(float(one), 9))
    assert len(set(factors)) == 3


def test_a_merge_of_hours_reaches_no_further_than_an_hour(folder):
    (column,) = checked(folder, "shifted_merge")[1]["columns"]
    assert 1 <= column["candles_ahead"] <= 60


def test_by_how_much_is_the_largest_difference_beside_the_columns_spread(folder):
    (column,) = checked(folder, "next_close")[1]["columns"]
    assert column["largest_difference"] > 0
    assert column["relative_difference"] > 0


def test_the_leaking_column_is_told_apart_from_the_others_and_its_input_named(folder):
    ended, found = checked(folder, "only_the_high")
    assert ended.code == 3
    states = {column["name"]: column["state"] for column in found["columns"]}
    assert states == {"fine": "ok", "peak": "leak"}
    assert next(c for c in found["columns"] if c["name"] == "peak")["inputs"] == ["high"]


@pytest.mark.parametrize(
    "function",
    [
        "limit_order_at_the_next_candle",
        "delayed_entry",
        "long_warm_up",
        "without_its_warm_up",
        "hours_that_are_over",
        "smooth",
        "words",
        "expanding_maximum",
    ],
)
def test_what_acts_later_or_waits_for_its_window_knows_nothing(folder, function):
    ended, found = checked(folder, function)
    assert ended.code == 0, found
    assert found["leaks"] == 0
    assert {column["state"] for column in found["columns"]} == {"ok"}


def test_what_a_function_prints_is_no_part_of_the_answer(folder):
    ended, _ = checked(folder, "smooth")
    assert "printed while it is computed" in ended.stderr
    assert "printed when it is executed" in ended.stderr


@pytest.mark.parametrize(
    ("target", "named"),
    [
        (f"{RULES}:drawn", "differs between two computations"),
        (f"{RULES}:raises", "raised SystemExit on the first 2,000 candles: nothing here"),
        (f"{RULES}:a_number", "gave int; give a Series"),
        (f"{RULES}:other_rows", "gave 1,000 rows for 2,000 candles"),
        (f"{RULES}:centered_window", "the nearest is centred_window"),
        ("nowhere.py:rule", "nowhere.py: no such file"),
        ("nowhere.json", "nowhere.json: cannot be read"),
    ],
)
def test_what_cannot_be_checked_is_a_fault_that_is_named(folder, target, named):
    ended = call(folder / "workspace", "lookahead", target, "--candles", folder, "--json")
    assert ended.code == 1
    assert named in json.loads(ended.stdout)["error"]


def test_a_file_that_raises_is_named(folder, tmp_path):
    (tmp_path / "broken.py").write_text("import no_such_module_here\n")
    ended = call(tmp_path, "lookahead", f"{tmp_path / 'broken.py'}:f", "--candles", folder)
    assert ended.code == 1
    assert "raised ModuleNotFoundError when it was executed" in ended.stderr


def test_help_says_that_the_file_is_executed(folder):
    assert "executed in this very process" in " ".join(
        call(folder, "lookahead", "--help").stdout.split()
    )


def test_another_future_is_still_made_of_candles_and_leaves_the_past_alone():
    held = market()
    cut = int(held["BTCUSDT"].ts[1_000])
    other = with_other_future(held, cut, 1, ("open", "high", "low", "close", "volume"))["BTCUSDT"]
    check(other, "another future")
    assert np.array_equal(other.close[:1_000], held["BTCUSDT"].close[:1_000])
    assert (other.close[1_000:] != held["BTCUSDT"].close[1_000:]).all()
    assert len(before(held, cut)["BTCUSDT"]) == 1_000


@pytest.fixture(scope="module")
def strategy_and_pipeline():
    settings = Settings(home="/nowhere")
    held = market(1_500, "BTCUSDT", "ETHUSDT")
    pipeline = FeaturePipeline(list(held), settings.features, None)
    names = [name for name in pipeline.schema.names if "rsi" in name or "return" in name][:2]
    first, second = names
    document = {
        "format": "crucible.strategy/1",
        "kind": "gp",
        "slot": "BTCUSDT-gp-1",
        "symbol": "BTCUSDT",
        "schema_hash": pipeline.schema.hash,
        "features": sorted(names),
        "exits": {"stop": 0.01, "target": 0.02, "timeout": 60},
        "program": [
            "trade",
            ["and", ["gt", ["mean", first, 20], 0.0], ["lt", second, 10.0]],
            ["lt", ["ema", first, 10], -5.0],
        ],
    }
    return load_strategy(document), pipeline, held, first, second


def test_a_strategy_of_the_forge_knows_nothing_node_by_node(strategy_and_pipeline):
    strategy, pipeline, held, first, second = strategy_and_pipeline
    found = find_leaks(evaluation(strategy, pipeline), held, "BTCUSDT", 2, 1)
    assert {finding.state for finding in found} == {"ok"}
    names = [finding.name for finding in found]
    assert f"feature {first}" in names
    assert f"feature {second}" in names
    assert any(name.startswith("node the mean of") for name in names)
    assert names[-1] == "signal"
    # Every operator but the root: and, gt, mean, lt, lt, ema.
    assert len(list(nodes_of(strategy.program))) == 6


def test_a_feature_that_knows_the_future_is_found_with_every_node_that_reads_it(
    strategy_and_pipeline, monkeypatch
):
    strategy, pipeline, held, first, second = strategy_and_pipeline
    honest = pipeline.batch

    def leaking(candles):
        frames = honest(candles)
        column = pipeline.schema.column(first)
        values = frames["BTCUSDT"].values
        values[:, column] = np.roll(values[:, column], -3)
        return frames

    monkeypatch.setattr(pipeline, "batch", leaking)
    found = {
        finding.name: finding
        for finding in find_leaks(evaluation(strategy, pipeline), held, "BTCUSDT", 2, 1)
    }
    leaks = {name for name, finding in found.items() if finding.state == "leak"}
    assert f"feature {first}" in leaks
    assert found[f"feature {first}"].ahead == 3
    assert f"feature {second}" not in leaks
    assert any(name.startswith("node the mean of") for name in leaks)
    assert found[f"node {second} is below 10"].state == "ok"
