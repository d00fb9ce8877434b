"""One format, one verdict: the table of files that the paper venue's tests read as well."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from crucible.market.candles import COLUMNS, CandleError, read_candles, read_folder
from crucible.market.funding import FundingError, read_funding
from crucible.testing import candle_files
from tests.support.documented import answers, lacking

CASES = Path(__file__).resolve().parents[1] / "cases"
TABLE = json.loads((CASES / candle_files.TABLE).read_text())["cases"]
PROMISED = answers("Files of candles and funding")
GROUPS = {
    "another-unit": "microseconds nanoseconds seconds funding-in-microseconds funding-in-seconds",
    "unit-changes": "milliseconds-then-microseconds",
    "another-century": "a-row-of-1970 a-time-before-1970 a-row-of-2100 times-of-1970-with-a-zone "
    "funding-of-1970",
    "longer-candles": "five-minute-candles hourly-candles few-five-minute-candles "
    "five-minute-candles-in-between",
    "long-gap": "gap-of-fifteen-days",
    "hardly-any": "hardly-any-minute",
    "out-of-order": "a-time-twice a-time-back newest-first funding-twice",
    "off-grid": "off-the-grid",
    "no-zone": "times-without-a-zone funding-without-a-zone",
    "part-of-millisecond": "times-in-parts-of-milliseconds",
    "kind-of-time": "times-as-text times-as-floats times-as-int32 times-as-uint64 times-as-dates",
    "missing-value": "no-time no-price no-volume no-value-at-all funding-without-a-rate",
    "not-finite": "not-a-number infinite infinite-volume",
    "not-positive": "zero-price negative-price",
    "negative-volume": "negative-volume",
    "not-plausible": "price-of-nothing price-of-everything volume-of-everything",
    "outside-the-body": "high-below-the-body low-above-the-body",
    "lost-digits": "float32-prices float32-volume float16-volume funding-in-float32",
    "kind-of-number": "decimal-prices prices-as-text yes-or-no-volume column-of-lists",
    "beyond-exact": "volume-beyond-exact",
    "column-missing": "no-column column-inside-another funding-without-its-column",
    "column-twice": "column-twice",
    "empty": "no-rows",
    "other-compression": "brotli",
    "no-parquet": "no-parquet nothing-in-it cut-short",
    "rate-too-soon": "funding-every-minute",
    "rate-out-of-range": "funding-not-a-number funding-in-percent funding-of-minus-one",
}
STANDS_FOR = {name: case for case, names in GROUPS.items() for name in names.split()}
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
    assert lacking(PROMISED[STANDS_FOR[row["name"]]], said) == []


def test_every_refused_file_has_its_row_in_the_reference():
    assert set(STANDS_FOR) == {row["name"] for row in TABLE if row["verdict"] == "refused"}
    assert set(GROUPS) == set(PROMISED)


def test_the_files_are_what_the_table_says(tmp_path):
    assert [case.reported() for case in MADE.values()] == TABLE
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
