"""One format, one verdict: the table of files that the paper venue's tests read as well."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from crucible.market.candles import COLUMNS, CandleError, read_candles, read_folder
from crucible.market.funding import FundingError, read_funding
from crucible.testing import candle_files

CASES = Path(__file__).resolve().parents[1] / "cases"
TABLE = json.loads((CASES / candle_files.TABLE).read_text())["cases"]
MADE = {case.name: case for case in candle_files.cases()}


def named(verdict):
    return [pytest.param(row, id=row["name"]) for row in TABLE if row["verdict"] == verdict]


def read(row):
    path = CASES / row["file"]
    if row["kind"] == "funding":
        funding = read_funding(path.parent, row["symbol"])
        return {"ts": funding.ts, "funding_rate": funding.rate}
    candles = read_candles(path, row["symbol"])
    return {name: getattr(candles, name) for name in COLUMNS}


@pytest.mark.parametrize("row", named("accepted"))
def test_a_sound_file_is_read_to_the_last_digit(row):
    columns = read(row)
    assert len(columns["ts"]) == row["rows"]
    for end, at in (("first", 0), ("last", -1)):
        if end in row:
            assert {name: values[at] for name, values in columns.items()} == row[end]


@pytest.mark.parametrize("row", named("refused"))
def test_a_bad_file_is_refused_naming_file_row_value_and_unit(row):
    with pytest.raises((CandleError, FundingError)) as caught:
        read(row)
    said = str(caught.value)
    assert said.startswith(str(CASES / row["file"]))
    assert "\n" not in said
    assert [word for word in row["words"] if word.lower() not in said.lower()] == []


def test_the_files_are_what_the_table_says(tmp_path):
    assert [case.told() for case in MADE.values()] == TABLE
    held = {str(path.relative_to(CASES)) for path in CASES.glob("candle_files/*/*")}
    assert held == {row["file"] for row in TABLE}
    for row in TABLE[::9]:
        MADE[row["name"]].write(tmp_path)
        made, kept = tmp_path / row["file"], CASES / row["file"]
        try:
            tables = [pq.ParquetFile(path).read() for path in (made, kept)]
        except (OSError, ValueError):
            assert made.read_bytes() == kept.read_bytes()
        else:
            assert tables[0].to_pydict() == tables[1].to_pydict() or "not-a-number" in row["name"]


def test_recorded_minutes_of_real_markets_are_plausible(shared_data):
    folders = [
        folder
        for folder in sorted((shared_data / "candles").iterdir())
        if any(folder.glob("*-1m.parquet"))
    ]
    assert len(folders) >= 5
    for folder in folders:
        assert read_folder(folder)
