"""giotto-tda makes the radar's training set and pictures; the live path's fast code equals it."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from crucible.cli import app
from crucible.features.topology.giotto import (
    giotto_evaluations,
    giotto_lifetimes,
    simulated_training_set,
    training_set,
)
from crucible.features.topology.radar import EVALUATION, evaluate_window
from crucible.features.topology.rips import persistence
from crucible.market.candles import write_candles
from crucible.market.simulator import simulate
from crucible.settings import FeatureSettings

SYMBOLS = ["A", "B", "C", "D"]
CLOSE = {"rtol": 2e-5, "atol": 2e-5}  # both work in single precision, in another order


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(5, 60), st.integers(1, 4))
def test_the_fast_lifetimes_are_those_of_giotto_tda(seed, points, dimensions):
    cloud = np.random.default_rng(seed).standard_normal((points, dimensions))
    [(connected, loops)] = giotto_lifetimes([cloud])
    fast_connected, fast_loops = persistence(cloud)
    np.testing.assert_allclose(fast_connected, connected, **CLOSE)
    np.testing.assert_allclose(np.sort(fast_loops), np.sort(loops), **CLOSE)


def test_a_training_set_measures_what_the_live_radar_measures():
    candles = simulate(SYMBOLS, 2 * 1_440, seed=11, gap_share=0.002)
    table = training_set(candles, FeatureSettings(radar_every=10))
    assert len(table) > 250
    known = table["radar_age"] == 0
    assert known.mean() > 0.95
    for name in ("h1_l1", "h1_l2", "entropy_h0", "entropy_h1", "persistence_2"):
        np.testing.assert_allclose(table[name][known], table[f"radar_{name}"][known], rtol=1e-3)


def test_windows_without_a_figure_stay_without_one():
    random = np.random.default_rng(3)
    whole = random.standard_normal((60, 4)) * 1e-3
    still, torn = whole.copy(), whole.copy()
    still[:, 1] = 0.0
    torn[:10, 2] = np.nan
    reported = giotto_evaluations([whole, still, torn, whole * 2])
    assert np.isnan(reported[1:3]).all()
    np.testing.assert_allclose(reported[0], evaluate_window(whole), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(reported[3], evaluate_window(whole * 2), rtol=1e-4, atol=1e-4)


def test_the_same_seed_gives_the_same_set():
    seldom = FeatureSettings(radar_every=120)
    one, again, other = (simulated_training_set(1, seed, seldom) for seed in (5, 5, 6))
    assert one.equals(again)
    assert not one.equals(other)


def test_simulated_changes_are_labelled():
    one = simulated_training_set(1, 5, FeatureSettings(radar_every=20))
    by_change = one.groupby("change")["label"].sum()
    assert by_change["none"] == 0
    assert (by_change.drop("none") == 6).all()  # two hours, one evaluation in twenty minutes
    inside, outside = one[one["label"] == 1], one[one["label"] == 0]
    louder = inside["change"] == "volatility 3"
    assert inside[louder]["log_volatility"].mean() > outside["log_volatility"].mean() + 0.5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("candles")
    for symbol, candles in simulate(["BTCUSDT", "ETHUSDT"], 400, seed=2).items():
        write_candles(candles, made / f"{symbol}-1m.parquet")
    return made


def test_the_command_writes_a_training_set_of_candles(folder, tmp_path):
    out = tmp_path / "new" / "radar.parquet"
    command = ["radar", "training-set", "--candles", str(folder), "--out", str(out), "--json"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    table = pd.read_parquet(out)
    assert json.loads(done.stdout)["evaluations"] == len(table) > 50
    assert set(EVALUATION) < set(table.columns)


def test_the_command_draws_a_window_and_names_what_is_not_there(folder, tmp_path):
    out = tmp_path / "radar.html"
    command = ["radar", "picture", "--candles", str(folder), "--out", str(out), "--json"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    page = out.read_text()
    assert "Persistence: components" in page
    assert "BTCUSDT, ETHUSDT" in page
    assert '<script src="http' not in page
    missing = CliRunner().invoke(app, [*command, "--at", "60000"])
    assert missing.exit_code == 1
    assert "no whole window of 60 minutes closes at 60000" in str(missing.exception)
