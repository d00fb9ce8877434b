from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from crucible.features.pipeline import FeaturePipeline
from crucible.forge.backtest.engine import ForgeError
from crucible.forge.command import backtest_command, forge_to_folder, goes_on, seconds_of
from crucible.forge.evolution.run import ForgeRun
from crucible.market.candles import read_folder, write_candles
from crucible.market.funding import Funding, write_funding
from crucible.market.simulator import simulate
from crucible.settings import MINUTE_MS, FeatureSettings, Settings


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("candles")
    for symbol, candles in simulate(("BTCUSDT", "ETHUSDT"), minutes=4_000, seed=3).items():
        write_candles(candles, folder / f"{symbol}-1m.parquet")
    return folder


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return Settings(home=tmp_path_factory.mktemp("home"))


def test_a_forging_in_two_parts_writes_what_one_writes(folder, settings, tmp_path):
    options = {"settings": settings, "population": 12}
    path = tmp_path / "state.json"
    forge_to_folder("BTCUSDT-gp-1", folder, 7, tmp_path / "a", generations=3, **options)
    forge_to_folder(
        "BTCUSDT-gp-1", folder, 7, tmp_path / "b", generations=3, checkpoint=path, **options
    )
    forge_to_folder(
        "BTCUSDT-gp-1", folder, 7, tmp_path / "c", generations=3, checkpoint=path, **options
    )
    names = [file.name for file in (tmp_path / "a").iterdir()]
    assert len({"champion.json", "refusal.json"} & set(names)) == 1
    for name in names:
        first = (tmp_path / "a" / name).read_bytes()
        assert (tmp_path / "b" / name).read_bytes() == first
        assert (tmp_path / "c" / name).read_bytes() == first


def test_a_strategy_file_is_backtested_with_its_fills(folder, settings, tmp_path):
    result = forge_to_folder(
        "ETHUSDT-gp-1", folder, 2, tmp_path, settings, generations=1, population=40
    )
    assert result.champion is not None
    reported = backtest_command(tmp_path / "champion.json", folder, settings)
    assert json.loads(json.dumps(reported)) == reported
    assert reported["summary"]["trades"] == len(reported["trades"]) > 0
    assert [fill["side"] for fill in reported["fills"][:2]] == ["buy", "sell"]
    assert [fill["ts"] for fill in reported["fills"]] == sorted(
        fill["ts"] for fill in reported["fills"]
    )


def test_a_slot_without_candles_is_named(folder, settings, tmp_path):
    with pytest.raises(ForgeError, match="no candles of XRPUSDT"):
        forge_to_folder("XRPUSDT-gp-1", folder, 1, tmp_path, settings)


def test_features_are_computed_once_for_a_workspace(folder, tmp_path, monkeypatch):
    computed = []
    true = FeaturePipeline.batch

    def batch(self, *given, **named):
        computed.append(1)
        return true(self, *given, **named)

    monkeypatch.setattr(FeaturePipeline, "batch", batch)
    (tmp_path / "home").mkdir()
    kept = Settings(home=tmp_path / "home")
    options = {"generations": 1, "population": 40}
    forge_to_folder("ETHUSDT-gp-1", folder, 2, tmp_path / "a", kept, **options)
    forge_to_folder("ETHUSDT-gp-1", folder, 2, tmp_path / "b", kept, **options)
    assert len(computed) == 1
    first = backtest_command(tmp_path / "a" / "champion.json", folder, kept)
    assert len(computed) == 1
    without = Settings(home=tmp_path / "nowhere")
    forge_to_folder("ETHUSDT-gp-1", folder, 2, tmp_path / "c", without, **options)
    assert backtest_command(tmp_path / "a" / "champion.json", folder, without) == first
    assert len(computed) == 3
    assert not without.home.exists()
    for path in (tmp_path / "a").iterdir():
        for other in ("b", "c"):
            assert (tmp_path / other / path.name).read_bytes() == path.read_bytes(), path.name


def test_candles_that_end_before_a_feature_has_a_value_are_refused(folder, settings, tmp_path):
    long = settings.model_copy(update={"features": FeatureSettings(timeframes=(15, 1_440))})
    with pytest.raises(ForgeError, match=r"BTCUSDT: .* 4000 minutes.* 31679; give more candles"):
        forge_to_folder("BTCUSDT-gp-1", folder, 1, tmp_path, long)


def test_a_budget_ends_after_its_generation_and_gives_the_bytes_of_that_many(
    folder, settings, tmp_path
):
    ticks = iter([0.0, 1.0, 2.0, 3.0, 99.0])
    result = forge_to_folder(
        "BTCUSDT-gp-1",
        folder,
        7,
        tmp_path / "budget",
        settings,
        population=12,
        budget_s=3.5,
        clock=lambda: next(ticks),
    )
    assert result.generations[-1]["generation"] == 3
    forge_to_folder(
        "BTCUSDT-gp-1", folder, 7, tmp_path / "three", settings, generations=3, population=12
    )
    for path in (tmp_path / "three").iterdir():
        assert (tmp_path / "budget" / path.name).read_bytes() == path.read_bytes(), path.name
    result = forge_to_folder(
        "BTCUSDT-gp-1",
        folder,
        7,
        tmp_path / "budget",
        settings,
        generations=4,
        population=12,
        resume=True,
    )
    assert result.generations[-1]["generation"] == 4
    assert not (tmp_path / "budget" / "checkpoint.json").exists()


def test_an_interrupted_forging_is_resumed_in_its_folder(folder, settings, tmp_path):
    options = {"settings": settings, "population": 12, "generations": 3}
    forge_to_folder("BTCUSDT-gp-1", folder, 7, tmp_path / "whole", **options)

    def interrupted():
        if (tmp_path / "part" / "checkpoint.json").exists():
            raise KeyboardInterrupt
        return 0.0

    with pytest.raises(KeyboardInterrupt):
        forge_to_folder(
            "BTCUSDT-gp-1", folder, 7, tmp_path / "part", budget_s=60, clock=interrupted, **options
        )
    forge_to_folder("BTCUSDT-gp-1", folder, 7, tmp_path / "part", resume=True, **options)
    for path in (tmp_path / "whole").iterdir():
        assert (tmp_path / "part" / path.name).read_bytes() == path.read_bytes(), path.name
    with pytest.raises(ForgeError, match=r"checkpoint\.json: nothing to resume"):
        forge_to_folder("BTCUSDT-gp-1", folder, 7, tmp_path / "part", resume=True, **options)


def test_the_first_generation_follows_even_when_the_budget_is_spent():
    assert goes_on(0, None, 10.0, 5.0)
    assert not goes_on(1, None, 5.0, 5.0)
    assert goes_on(1, 2, 4.9, 5.0)
    assert not goes_on(2, 2, 0.0, 5.0)
    assert not goes_on(2, 2, 0.0, None)


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "5 m", "0s", "1d"])
def test_a_budget_that_is_no_time_is_refused(text):
    with pytest.raises(ForgeError, match="no span of time"):
        seconds_of(text)


def test_a_budget_is_read_in_hours_minutes_and_seconds():
    assert [seconds_of(text) for text in ("90s", "5m", "1h30m", "2h")] == [90, 300, 5400, 7200]


@pytest.mark.process
def test_ctrl_c_leaves_a_folder_that_can_be_resumed(folder, settings, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "crucible.cli", "forge", "--slot", "BTCUSDT-gp-1"]
    command += ["--candles", str(folder), "--out", str(out), "--population", "12", "--seed", "7"]
    environment = {**os.environ, "CRUCIBLE_HOME": str(settings.home)}
    # A test runner started in the background ignores Ctrl-C, and would hand that down.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    begun = subprocess.Popen(
        [*command, "--budget", "1h"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    signal.signal(signal.SIGINT, before)
    try:
        while not (out / "checkpoint.json").exists():
            assert begun.poll() is None, begun.stderr.read()
            time.sleep(0.1)
        begun.send_signal(signal.SIGINT)
        assert begun.wait(timeout=120) == 130
        assert "the same with --resume goes on" in begun.stderr.read()
    finally:
        begun.kill()
    done = subprocess.run(
        [*command, "--budget", "1s", "--resume", "--json"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    count = json.loads(done.stdout)["generations"]
    assert count >= 1
    forge_to_folder(
        "BTCUSDT-gp-1",
        folder,
        7,
        tmp_path / "whole",
        settings,
        generations=count,
        population=12,
    )
    for path in (tmp_path / "whole").iterdir():
        assert (out / path.name).read_bytes() == path.read_bytes(), path.name


def test_funding_beside_the_candles_or_in_a_folder_of_its_own_is_charged_and_said(
    folder, settings, tmp_path
):
    kept = forge_to_folder(
        "ETHUSDT-gp-1", folder, 2, tmp_path / "free", settings, generations=1, population=40
    )
    assert kept.champion is not None
    champion = tmp_path / "free" / "champion.json"
    reported = json.loads(champion.read_text())
    assert reported["lineage"]["funding"] == "not charged, no rates are known"
    free = backtest_command(champion, folder, settings)
    assert free["funding"] == "not charged, no rates are known"
    # So dear that nobody who holds over a settlement comes out as before.
    held = free["trades"][0]
    opens = read_folder(folder)["ETHUSDT"].ts
    hour = 60 * MINUTE_MS
    first = held["exit_ts"] - ((held["exit_ts"] - int(opens[0])) // hour + 1) * hour
    ts = np.arange(first, opens[-1] + 1, hour)
    write_funding(Funding("ETHUSDT", ts, np.full(len(ts), 0.01)), tmp_path / "funding")
    paid = backtest_command(champion, folder, settings, funding_dir=tmp_path / "funding")
    assert paid["funding"].startswith("charged, rates are known for 100% of the candles")
    assert paid["trades"][0]["net_return"] < held["net_return"] - 0.009
    assert paid["summary"]["net_return"] < free["summary"]["net_return"]
    charged = forge_to_folder(
        "ETHUSDT-gp-1",
        folder,
        2,
        tmp_path / "paid",
        settings,
        generations=1,
        population=40,
        funding_dir=tmp_path / "funding",
    )
    assert charged.lineage()["funding"] == paid["funding"]
    best = [result.generations[0]["best_score"] for result in (kept, charged)]
    assert best[1] < best[0]


def test_a_search_that_ends_early_ends_the_command_at_that_generation(
    folder, settings, tmp_path, monkeypatch
):
    monkeypatch.setattr(ForgeRun, "ending", lambda self, table: "ended" if len(table) > 2 else "")
    result = forge_to_folder(
        "BTCUSDT-gp-1", folder, 7, tmp_path, settings, generations=9, population=12
    )
    assert result.generations[-1]["generation"] == 2
    assert result.ended == "ended"
