from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from crucible.features import command
from crucible.features.command import write_features
from crucible.features.pipeline import FeaturePipeline
from crucible.features.store import FeatureStore
from crucible.market.candles import CandleError, write_candles
from crucible.market.simulator import simulate
from crucible.settings import FeatureSettings

SETTINGS = FeatureSettings(radar_window=20, radar_every=60)


def test_the_file_holds_what_the_pipeline_says_with_its_schema(tmp_path: Path) -> None:
    candles = simulate(["ETHUSDT", "BTCUSDT"], 3_000, seed=1, gap_share=0.01)
    for own in candles.values():
        write_candles(own, tmp_path / "in" / f"{own.symbol}-1m.parquet")
    out = tmp_path / "out" / "features.parquet"
    store = FeatureStore(tmp_path / "cache" / "features", 10**9)
    schema = write_features(tmp_path / "in", out, settings=SETTINGS, store=store)
    table = pq.read_table(out)
    assert table.column_names == ["symbol", "ts", *schema.names]
    assert table.schema.metadata[b"feature_schema"].decode() == schema.hash
    assert json.loads(table.schema.metadata[b"feature_parameters"]) == schema.parameters
    assert [path.name for path in out.parent.iterdir()] == ["features.parquet"]
    pipeline = FeaturePipeline(["BTCUSDT", "ETHUSDT"], SETTINGS)
    assert pipeline.schema.hash == schema.hash
    for symbol, frame in pipeline.batch(candles).items():
        rows = table.filter(np.array(table["symbol"]) == symbol)
        assert np.array_equal(rows["ts"].to_numpy(), candles[symbol].close_ts)
        values = np.stack([rows[name].to_numpy() for name in schema.names], axis=1)
        assert np.array_equal(values, frame.values, equal_nan=True)
    before = out.read_bytes()
    write_features(tmp_path / "in", out, settings=SETTINGS, store=store)
    assert out.read_bytes() == before
    write_features(tmp_path / "in", out, settings=SETTINGS)
    assert out.read_bytes() == before
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["features", "radar"]


def test_a_long_history_is_written_in_parts(tmp_path: Path, monkeypatch) -> None:
    candles = simulate(["A", "B"], 250, seed=3)
    for own in candles.values():
        write_candles(own, tmp_path / f"{own.symbol}-1m.parquet")
    monkeypatch.setattr(command, "ROWS_AT_ONCE", 100)
    write_features(tmp_path, tmp_path / "f.parquet", settings=SETTINGS)
    table = pq.read_table(tmp_path / "f.parquet")
    assert table["symbol"].to_pylist() == ["A"] * 250 + ["B"] * 250
    assert np.array_equal(table["ts"].to_numpy()[:250], candles["A"].close_ts)


def test_the_symbols_asked_for_are_the_symbols_written(tmp_path: Path) -> None:
    for own in simulate(["A", "B", "C"], 50, seed=2).values():
        write_candles(own, tmp_path / f"{own.symbol}-1m.parquet")
    write_features(tmp_path, tmp_path / "f.parquet", symbols=["C", "A"], settings=SETTINGS)
    symbols = pq.read_table(tmp_path / "f.parquet")["symbol"].to_pylist()
    assert list(dict.fromkeys(symbols)) == ["C", "A"]


def test_a_folder_without_candles_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(CandleError, match=r"no SYMBOL-1m\.parquet"):
        write_features(tmp_path, tmp_path / "f.parquet")
    assert list(tmp_path.iterdir()) == []
