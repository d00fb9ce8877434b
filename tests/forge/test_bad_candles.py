"""Candles that cannot be forged on are named by file and row, through the real command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crucible.market.simulator import simulate
from crucible.settings import MINUTE_MS

pytestmark = pytest.mark.process

PROGRAM = Path(sys.executable).with_name("crucible")
FILE = "BTCUSDT-1m.parquet"
COLUMNS = ("ts", "open", "high", "low", "close", "volume")


def columns(minutes: int = 2_500) -> dict[str, np.ndarray]:
    candles = simulate(("BTCUSDT",), minutes, seed=3)["BTCUSDT"]
    return {name: getattr(candles, name).copy() for name in COLUMNS}


def forge(tmp_path: Path, table: dict | bytes, *more: str) -> subprocess.CompletedProcess[str]:
    folder = tmp_path / "candles"
    folder.mkdir()
    if isinstance(table, bytes):
        (folder / FILE).write_bytes(table)
    else:
        pq.write_table(pa.table(table), folder / FILE)
    out = tmp_path / "out"
    options = ["--slot", "BTCUSDT-gp-1", "--candles", folder, "--out", out]
    small = ["--generations", "1", "--population", "8"]
    return subprocess.run(
        [PROGRAM, "forge", *options, *small, *more],
        check=False,
        env={**os.environ, "CRUCIBLE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )


def at(name: str, row: int, value: float) -> dict[str, np.ndarray]:
    table = columns()
    table[name][row] = value
    return table


def words(name: str) -> dict[str, object]:
    return {**columns(), name: ["?"] * 2_500}


def no_time() -> dict[str, object]:
    table: dict[str, object] = columns()
    stamps = [int(ts) for ts in columns()["ts"]]
    return {**table, "ts": pa.array([*stamps[:9], None, *stamps[10:]], pa.int64())}


TWICE = int(columns()["ts"][6])
BAD = {
    "not a number": (at("close", 700, np.nan), "row 700", "close is not finite"),
    "infinite": (at("high", 3, np.inf), "row 3", "high is not finite"),
    "negative": (at("low", 12, -1), "row 12", "low is not positive"),
    "twice the same time": (at("ts", 7, TWICE), "row 7", "time is not after the row before"),
    "off the grid": (at("ts", 8, TWICE + MINUTE_MS + 1), "row 8", "not on the candle grid"),
    "no time": (no_time(), "row 9", "ts is missing"),
    "words for prices": (words("open"), "open", "not numbers"),
    "one candle": (columns(1), "BTCUSDT", "1 candles are too few"),
    "too few": (columns(1_500), "BTCUSDT", "1500 candles are too few"),
    "empty": ({n: v[:0] for n, v in columns(2).items()}, FILE, "no candles"),
    "a missing column": ({n: v for n, v in columns().items() if n != "volume"}, FILE, "volume"),
    "no Parquet": (b"ts,open\n1,2\n", FILE, "cannot be read as candles"),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_candles_are_named_and_nothing_is_written(fault, tmp_path):
    table, where, what = BAD[fault]
    done = forge(tmp_path, table)
    said = " ".join(done.stderr.split())
    assert done.returncode == 1, said
    assert said.startswith("crucible: ")
    assert "Traceback" not in said
    assert where in said
    assert what in said
    assert not (tmp_path / "out").exists()


def test_prices_that_never_move_are_refused_and_nothing_is_registered(tmp_path):
    table = columns()
    for name in COLUMNS[1:5]:
        table[name][:] = 100.0
    done = forge(tmp_path, table)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "champion.json").exists()
    assert done.returncode == 1 or (tmp_path / "out" / "refusal.json").exists()


def test_gaps_are_forged_over(tmp_path):
    table = {name: np.delete(values, slice(900, 960)) for name, values in columns(4_000).items()}
    done = forge(tmp_path, table)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "report.html").exists()


def test_a_corrupt_checkpoint_is_named_and_left_alone(tmp_path):
    path = tmp_path / "state.json"
    path.write_text('{"format": "crucible.forge-checkpoint/1", "sha')
    done = forge(tmp_path, columns(), "--checkpoint", str(path))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "state.json" in " ".join(done.stderr.split())
    assert path.read_text().endswith("sha")
    assert not (tmp_path / "out" / "champion.json").exists()
