"""CSV, Feather and freqtrade's files give the same candles as Parquet, and say what they lack."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.feather as pafeather
import pyarrow.parquet as pq
import pytest

from crucible.market.candles import CandleError, files_of, read_folder
from crucible.market.funding import FundingError, read_funding
from crucible.testing.columns import sound_candles, sound_funding

COLUMNS = sound_candles()
INSTANTS = pa.array(COLUMNS["ts"], pa.timestamp("ms", "UTC"))
PRICES = ("open", "high", "low", "close", "volume")


def dated(zone: bool = True) -> pa.Table:
    stamps = INSTANTS if zone else pa.array(COLUMNS["ts"], pa.timestamp("ms"))
    return pa.table({"date": stamps, **{name: COLUMNS[name] for name in PRICES}})


def rows() -> list[list[float]]:
    return [
        [int(ts), *map(float, values)]
        for ts, *values in zip(COLUMNS["ts"], *(COLUMNS[name] for name in PRICES), strict=True)
    ]


def write_csv(path, table) -> None:
    pacsv.write_csv(table, path)


WRITERS = {
    "BTCUSDT-1m.csv": lambda path: write_csv(path, pa.table(COLUMNS)),
    "BTC_USDT-1m.csv": lambda path: write_csv(path, dated()),
    "BTCUSDT-1m.csv.gz": lambda path: path.write_bytes(
        gzip.compress(
            ("Timestamp,Open,High,Low,Close,Volume,trades\n"
             + "".join(",".join(map(repr, [*row, 1])) + "\n" for row in rows())).encode()
        )
    ),
    "BTCUSDT-1m.feather": lambda path: pafeather.write_feather(pa.table(COLUMNS), path),
    "BTC_USDT-1m.feather": lambda path: pafeather.write_feather(dated(), path),
    "BTC_USDT_USDT-1m-futures.feather": lambda path: pafeather.write_feather(dated(), path),
    "BTC_USDT-1m.parquet": lambda path: pq.write_table(dated(), path),
    "BTC_USDT-1m.json": lambda path: path.write_text(json.dumps(rows())),
    "BTC_USDT-1m.json.gz": lambda path: path.write_bytes(gzip.compress(json.dumps(rows()).encode())),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_candles_to_the_last_digit(tmp_path, name):
    WRITERS[name](tmp_path / name)
    found = read_folder(tmp_path)
    assert list(found) == ["BTCUSDT"]
    for column, values in COLUMNS.items():
        assert np.array_equal(getattr(found["BTCUSDT"], column), values), column


def test_a_time_as_text_with_its_zone_is_taken(tmp_path):
    lines = ["date,open,high,low,close,volume"]
    lines += [f"2025-01-01 00:0{minute}:00+00:00,1,2,1,1.5,3" for minute in range(3)]
    (tmp_path / "BTCUSDT-1m.csv").write_text("\n".join(lines))
    assert read_folder(tmp_path)["BTCUSDT"].ts.tolist() == [
        1_735_689_600_000, 1_735_689_660_000, 1_735_689_720_000
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("ts,open,high,low,close\n1735689600000,1,2,1,1\n", "column 'volume' is missing"),
        ("open,high,low,close,volume\n1,2,1,1,1\n", "column 'ts' (or timestamp, time, date"),
        ("1735689600000,1,2,1,1,5\n1735689660000,1,2,1,1,5\n", "its first row holds numbers"),
        ("ts,date,open,high,low,close,volume\n1735689600000,1,1,2,1,1,5\n", "any of 'ts', 'date'"),
        ("date,open,high,low,close,volume\n2025-01-01 00:00:00,1,2,1,1,5\n", "without a time zone"),
        ("date,open,high,low,close,volume\nMonday,1,2,1,1,5\n", "holds string, not times"),
        ("ts,open,high,low,close,volume\n1735689600,1,2,1,1,5\n", "it looks like seconds"),
        ("ts,open,high,low,close,volume\n1735689600000,1,2,one,1,5\n", "holds string, not numbers"),
        ("ts,open,high,low,close,volume\n1735689600000,1,,1,1,5\n", "row 0: high is missing"),
        ("", "cannot be read"),
    ],
)  # fmt: skip
def test_a_file_that_lacks_something_says_what(tmp_path, text, named):
    path = tmp_path / "BTCUSDT-1m.csv"
    path.write_text(text)
    with pytest.raises(CandleError) as error:
        read_folder(tmp_path)
    assert named in str(error.value)
    assert str(path) in str(error.value)


def test_feather_of_times_without_a_zone_or_of_lost_digits_is_refused(tmp_path):
    path = tmp_path / "BTC_USDT-1m.feather"
    pafeather.write_feather(dated(zone=False), path)
    with pytest.raises(CandleError, match="without a time zone"):
        read_folder(tmp_path)
    small = dated().set_column(1, "open", dated().column("open").cast(pa.float32()))
    pafeather.write_feather(small, path)
    with pytest.raises(CandleError, match="has lost digits"):
        read_folder(tmp_path)
    path.write_bytes(b"no feather")
    with pytest.raises(CandleError, match="cannot be read as candles"):
        read_folder(tmp_path)


@pytest.mark.parametrize("text", ["{}", "[[1, 2]]", "[1]", "nothing"])
def test_json_that_is_not_freqtrades_is_refused(tmp_path, text):
    (tmp_path / "BTC_USDT-1m.json").write_text(text)
    with pytest.raises(CandleError, match=r"freqtrade writes|cannot be read"):
        read_folder(tmp_path)


def test_two_files_of_one_symbol_are_refused_rather_than_chosen_from(tmp_path):
    for name in ("BTCUSDT-1m.csv", "BTC_USDT-1m.feather"):
        WRITERS[name](tmp_path / name)
    with pytest.raises(CandleError, match=r"BTCUSDT-1m\.csv has candles of BTCUSDT too"):
        files_of(tmp_path)


def test_rates_are_read_from_csv_and_from_freqtrades_files(tmp_path):
    rates = sound_funding()
    write_csv(tmp_path / "BTCUSDT-funding.csv", pa.table(rates))
    pafeather.write_feather(
        pa.table({"date": pa.array(rates["ts"], pa.timestamp("ms", "UTC")),
                  "open": rates["funding_rate"], "close": np.zeros(12)}),
        tmp_path / "ETH_USDT_USDT-8h-funding_rate.feather",
    )  # fmt: skip
    for symbol in ("BTCUSDT", "ETHUSDT"):
        found = read_funding(tmp_path, symbol)
        assert found.ts.tolist() == rates["ts"].tolist()
        assert np.array_equal(found.rate, rates["funding_rate"])
    (tmp_path / "ETHUSDT-funding.csv").write_text("ts,funding_rate\n")
    with pytest.raises(FundingError, match="has rates of ETHUSDT too"):
        read_funding(tmp_path, "ETHUSDT")
