"""A replay reads CSV, Feather and freqtrade's files too: they are converted once for the paper venue."""

from __future__ import annotations

import json
import time

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.feather as pafeather
import pyarrow.parquet as pq
import pytest

from crucible.market.candles import read_folder
from crucible.market.funding import read_funding
from crucible.operations.market_configuration import open_configuration
from crucible.operations.recorded_candles import for_venue, open_recording
from crucible.operations.supervision import services
from crucible.operations.supervision.services import Ports
from crucible.operations.workspace import Workspace
from crucible.settings import Settings
from crucible.testing.columns import MINUTE_MS, START_MS, sound_candles, sound_funding
from tests.support.processes import running

MINUTES = START_MS + MINUTE_MS * np.arange(3_000, dtype=np.int64)


@pytest.fixture
def folder(tmp_path):
    """Candles as CSV and as freqtrade's Feather, rates as CSV."""
    made = tmp_path / "own"
    made.mkdir()
    columns = sound_candles(MINUTES)
    pacsv.write_csv(pa.table(columns), made / "BTCUSDT-1m.csv")
    dated = {"date": pa.array(columns.pop("ts"), pa.timestamp("ms", "UTC")), **columns}
    pafeather.write_feather(pa.table(dated), made / "ETH_USDT_USDT-1m-futures.feather")
    pacsv.write_csv(pa.table(sound_funding()), made / "BTCUSDT-funding.csv")
    return made


def test_files_of_other_formats_are_converted_once_and_hold_the_same(folder, tmp_path):
    symbols = ("BTCUSDT", "ETHUSDT")
    assert open_recording(folder, None).symbols == symbols
    (folder / "instruments.json").write_text("{}")
    converted, funding = for_venue(folder, symbols, None, tmp_path / "cache")
    assert funding is None
    assert sorted(path.name for path in converted.iterdir()) == [
        "BTCUSDT-1m.parquet", "BTCUSDT-funding.parquet", "ETHUSDT-1m.parquet", "instruments.json"
    ]  # fmt: skip
    for name, candles in read_folder(folder).items():
        assert candles.data_hash() == read_folder(converted)[name].data_hash()
    assert len(read_funding(converted, "BTCUSDT")) == 12
    written = (converted / "BTCUSDT-1m.parquet").stat().st_mtime_ns
    assert for_venue(folder, symbols, None, tmp_path / "cache")[0] == converted
    assert (converted / "BTCUSDT-1m.parquet").stat().st_mtime_ns == written
    time.sleep(0.01)
    pacsv.write_csv(pa.table(sound_candles(MINUTES[:2_500])), folder / "BTCUSDT-1m.csv")
    assert for_venue(folder, symbols, None, tmp_path / "cache")[0] != converted


def test_changed_instruments_reach_the_venue_and_older_conversions_are_removed(folder, tmp_path):
    cache, symbols = tmp_path / "cache", ("BTCUSDT",)
    seen = []
    for text in (None, "{}", '{"BTCUSDT": {"tick": "0.1"}}'):
        if text is not None:
            (folder / "instruments.json").write_text(text)
        converted, _ = for_venue(folder, symbols, None, cache)
        held = converted / "instruments.json"
        assert (held.read_text() if held.exists() else None) == text
        assert list(cache.iterdir()) == [converted]
        assert list(read_folder(converted)) == ["BTCUSDT"]
        seen.append(converted)
    assert len(set(seen)) == 3


def test_parquet_is_replayed_from_where_it_lies(tmp_path):
    pq.write_table(pa.table(sound_candles(MINUTES)), tmp_path / "BTCUSDT-1m.parquet")
    found = for_venue(tmp_path, ("BTCUSDT",), None, tmp_path / "cache")
    assert found == (tmp_path, None)
    assert not (tmp_path / "cache").exists()


@pytest.mark.process
def test_the_paper_venue_replays_a_csv_file(folder, tmp_path):
    workspace = Workspace.at(tmp_path / "workspace")
    workspace.create()
    configuration = open_configuration(
        workspace, symbols=("BTCUSDT",), default_symbols=("BTCUSDT",), seed=1, history_days=2,
        candles=folder, funding=None, start_ms=None, rules="none",
    )  # fmt: skip
    spec = services.paper_venue(
        Settings(home=workspace.path), workspace, Ports(0, 0, 0, 0), configuration
    )
    with running(list(spec.command), tmp_path / "log") as (_, ready):
        query = {"category": "linear", "symbol": "BTCUSDT", "interval": "1", "limit": "3"}
        answer = httpx.get(f"{ready['rest']}/v5/market/kline", params=query).json()
    rows = {int(row[0]): float(row[4]) for row in answer["result"]["list"]}
    closes = dict(zip(MINUTES.tolist(), sound_candles(MINUTES)["close"].tolist(), strict=True))
    assert {ts: closes[ts] for ts in sorted(rows)[:2]} == {
        ts: rows[ts] for ts in sorted(rows)[:2]
    }, json.dumps(answer)
