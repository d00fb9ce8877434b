"""`crucible data`: every fault of every file is named and counted, and gaps with them."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crucible.market.inspection import inspect_file
from crucible.testing.columns import MINUTE_MS, START_MS, sound_candles, sound_funding
from tests.support.commands import call


def written(folder, columns=None, name: str = "BTCUSDT-1m.parquet"):
    pq.write_table(pa.table(sound_candles() if columns is None else columns), folder / name)
    return folder / name


def changed(**changes):
    columns = {name: values.copy() for name, values in sound_candles().items()}
    for name, (rows, value) in changes.items():
        columns[name][rows] = value
    return columns


@pytest.mark.parametrize(
    ("columns", "kind", "rows", "words"),
    [
        (changed(ts=([7, 9], START_MS + 6 * MINUTE_MS)), "duplicates", 1, "row 7"),
        (changed(ts=([30], START_MS)), "order", 1, "row 30"),
        (changed(close=([3, 4, 5], float("nan"))), "values", 3, "close is no number: nan"),
        (changed(low=([8], -1.0)), "values", 1, "low is not positive: -1.0"),
        (changed(high=([8, 20], 1.0)), "values", 2, "high is below the body"),
        (changed(ts=([12], START_MS + 12 * MINUTE_MS + 500)), "times", 1, "on no full minute"),
        ({**sound_candles(), "ts": sound_candles()["ts"] // 1000}, "times", None, "seconds"),
        ({n: v for n, v in sound_candles().items() if n != "low"}, "schema", 0, "'low' is missing"),
    ],
)  # fmt: skip
def test_a_planted_fault_is_named_with_its_rows(tmp_path, columns, kind, rows, words):
    report = inspect_file(written(tmp_path, columns))
    found = {fault.kind: fault for fault in report.faults}
    assert kind in found
    assert words in found[kind].text
    if rows is not None:
        assert found[kind].rows == rows


def test_several_faults_of_a_file_are_all_told(tmp_path):
    columns = changed(ts=([7], START_MS + 6 * MINUTE_MS), volume=([20], -1.0), open=([30], 0.0))
    texts = [fault.text for fault in inspect_file(written(tmp_path, columns)).faults]
    assert len(texts) >= 3


def test_list_tells_spans_gaps_and_funding_and_check_is_content_with_gaps(tmp_path):
    columns = {
        name: values[[*range(50), *range(60, 150)]] for name, values in sound_candles().items()
    }
    written(tmp_path, columns)
    pq.write_table(pa.table(sound_funding()), tmp_path / "BTCUSDT-funding.parquet")
    ended = call(tmp_path / "w", "data", "list", "--candles", tmp_path, "--json")
    assert ended.code == 0
    (file,) = json.loads(ended.stdout)["files"]
    assert file["rows"] == 140
    assert file["gaps"] == [{"from_ts": START_MS + 50 * MINUTE_MS, "candles": 10}]
    assert file["first_ts"] == START_MS
    assert file["funding_settlements"] == 12
    checked = call(tmp_path / "w", "data", "check", "--candles", tmp_path)
    assert checked.code == 0
    assert "10 candles from 2025-01-01 00:50" in checked.stdout


def test_check_ends_with_one_and_names_the_files_that_cannot_be_used(tmp_path):
    written(tmp_path)
    written(tmp_path, changed(high=([8], 1.0)), "ETHUSDT-1m.parquet")
    ended = call(tmp_path / "w", "data", "check", "--candles", tmp_path, "--json")
    assert ended.code == 1
    assert json.loads(ended.stdout)["sound"] is False
    assert "1 of 2 files cannot be used: ETHUSDT-1m.parquet" in ended.stderr
    assert "row 8" in call(tmp_path / "w", "data", "check", "--candles", tmp_path).stdout


@pytest.mark.parametrize("command", ["list", "check"])
def test_a_folder_that_is_not_there_is_a_fault(tmp_path, command):
    ended = call(tmp_path / "w", "data", command, "--candles", tmp_path / "no")
    assert ended.code == 1
    assert "no such folder" in ended.stderr
