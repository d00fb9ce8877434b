"""Candles of a chart: what cannot be read is said, with its file, and never shown as nothing."""

import numpy as np
import pytest
from starlette.testclient import TestClient

from crucible.dashboard.app import make_app
from crucible.dashboard.facts import Source
from crucible.dashboard.views.market import market
from crucible.dashboard.views.overview import equity_curve
from crucible.features.order_books.store import BookStore
from crucible.market.candles import Candles, write_candles
from crucible.market.lake import Lake
from tests.support.pages import NOW, ask

SYMBOL = "BTCUSDT"


@pytest.fixture
def lake(workspace, client) -> Lake:
    """A lake with the minutes of the last day."""
    made = Lake(workspace.path / "lake")
    ts = np.arange(NOW - 86_400_000, NOW, 60_000)
    flat = np.full(len(ts), 100.0)
    for symbol in (SYMBOL, "ETHUSDT"):
        write_candles(Candles(symbol, ts, flat, flat + 1, flat - 1, flat, flat), made.path(symbol))
    return made


def shown(workspace, span="1d"):
    return ask(TestClient(make_app(workspace)), f"market?symbol={SYMBOL}&span={span}")


def test_what_the_lake_holds_is_shown_in_candles_that_fit(workspace, lake):
    found = shown(workspace)
    assert found["candles_trouble"] == ""
    assert found["step_minutes"] == 5
    assert len(found["candles"]["ts"]) == 288
    assert found["candles_until_ts"] == NOW
    assert found["missing_minutes"] == 0


@pytest.mark.parametrize("damage", [b"", b"no parquet", b"PAR1" + b"\0" * 200 + b"PAR1"])
def test_a_lake_that_cannot_be_read_is_said_with_its_file_and_what_is_heard_is_shown(
    workspace, lake, damage
):
    path = lake.path(SYMBOL)
    path.write_bytes(damage)
    with Source(workspace).facts() as facts:
        facts.tape._candles[SYMBOL] = [(NOW - 60_000, 1.0, 2.0, 0.5, 1.5, 3.0)]
        found = market(facts, SYMBOL, "3h")
        facts.tape._candles.clear()
        curve = equity_curve(facts)
    assert f"the candles cannot be read: {path}: " in found["candles_trouble"]
    assert found["candles"]["close"] == [1.5]
    assert set(curve["hold"]) == {None}
    assert curve["note"].startswith("holding is not known: the candles cannot be read: ")


def test_a_file_without_a_column_is_said(workspace, lake):
    lake.path(SYMBOL).write_bytes(_without_volume())
    found = shown(workspace)
    assert str(lake.path(SYMBOL)) in found["candles_trouble"]
    assert found["candles_until_ts"] is None


def _without_volume() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({name: [NOW] for name in ("ts", "open", "high", "low", "close")})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


def test_a_lake_without_a_file_is_no_trouble(workspace, client):
    found = shown(workspace)
    assert (found["candles_trouble"], found["book_trouble"]) == ("", "")
    assert (found["candles"]["ts"], found["book"]) == ([], None)


def test_minutes_of_the_book_that_cannot_be_read_are_said(workspace, lake):
    path = BookStore(workspace.path / "lake").path(SYMBOL)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"no parquet")
    found = shown(workspace)
    assert found["book"] is None
    assert f"the minutes of the order book cannot be read: {path}: " in found["book_trouble"]
    assert found["candles_trouble"] == ""
