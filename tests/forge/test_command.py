from __future__ import annotations

import json

import pytest

from crucible.forge.backtest import ForgeError
from crucible.forge.command import backtest_command, forge_to_folder
from crucible.market.candles import write_candles
from crucible.market.simulator import simulate
from crucible.settings import Settings


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
    told = backtest_command(tmp_path / "champion.json", folder, settings)
    assert json.loads(json.dumps(told)) == told
    assert told["summary"]["trades"] == len(told["trades"]) > 0
    assert [fill["side"] for fill in told["fills"][:2]] == ["buy", "sell"]
    assert [fill["ts"] for fill in told["fills"]] == sorted(fill["ts"] for fill in told["fills"])


def test_a_slot_without_candles_is_named(folder, settings, tmp_path):
    with pytest.raises(ForgeError, match="no candles of XRPUSDT"):
        forge_to_folder("XRPUSDT-gp-1", folder, 1, tmp_path, settings)
