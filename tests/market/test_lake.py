"""The lake, filled by real ccxt from the real paper venue."""

import numpy as np
import pytest

from crucible.market.candles import CandleError, Candles, read_candles, write_candles
from crucible.market.exchange import Exchange, ExchangeError
from crucible.market.lake import Lake, merge
from tests.support.processes import DAY_MS, ORIGIN_MS, running, venue_command, write_keys

START_MS = ORIGIN_MS + 3 * DAY_MS


@pytest.fixture(scope="module")
def exchange(tmp_path_factory):
    folder = tmp_path_factory.mktemp("venue")
    keys = write_keys(folder)
    with running(venue_command(folder, keys, "BTCUSDT,ETHUSDT", 1), folder / "log") as (_, ready):
        yield Exchange(ready["rest"])


@pytest.mark.process
def test_history_arrives_whole_in_order_and_closed_only(exchange, tmp_path):
    lake = Lake(tmp_path)
    end = exchange.closed_until("BTCUSDT")
    assert START_MS - 60_000 <= end <= START_MS + 60_000  # never a candle in the making
    result = lake.refresh(exchange, "BTCUSDT", ORIGIN_MS, end)
    candles = lake.read("BTCUSDT")
    assert result.total == len(candles) == (end - ORIGIN_MS) // 60_000
    assert result.gaps == []
    assert (np.diff(candles.ts) == 60_000).all()
    assert int(candles.close_ts[-1]) <= end


@pytest.mark.process
def test_a_second_refresh_fetches_only_what_is_new_and_heals_a_gap(exchange, tmp_path):
    lake = Lake(tmp_path)
    lake.refresh(exchange, "ETHUSDT", ORIGIN_MS, START_MS)
    whole = lake.read("ETHUSDT")
    holed = merge([whole[slice(0, 1_000)], whole[slice(1_300, 4_000)]])
    write_candles(holed, lake.path("ETHUSDT"))
    asked = []
    result = lake.refresh(
        exchange, "ETHUSDT", ORIGIN_MS, START_MS, lambda done, expected: asked.append(expected)
    )
    assert asked[0] == 300 + (4_320 - 4_000)
    assert result.added == 620
    healed = lake.read("ETHUSDT")
    assert all(
        np.array_equal(getattr(healed, name), getattr(whole, name)) for name in ("ts", "close")
    )


@pytest.mark.process
def test_instruments_are_decimals_of_the_venues_grid(exchange):
    instrument = exchange.instrument("BTCUSDT")
    assert str(instrument.tick_size) == "0.1"
    assert str(instrument.round_qty(instrument.qty_step * 7 / 2)) == "0.003"


@pytest.mark.process
def test_an_unknown_symbol_is_named_with_what_there_is(exchange):
    with pytest.raises(ExchangeError, match=r"NOSUCH.*BTCUSDT"):
        exchange.instrument("NOSUCH")


def test_a_venue_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr("crucible.market.exchange.PAUSES_S", ())
    with pytest.raises(ExchangeError, match=r"127\.0\.0\.1:9.*is the venue running"):
        Exchange("http://127.0.0.1:9").closed_until("BTCUSDT")


MINUTES = ORIGIN_MS + np.arange(3, dtype=np.int64) * 60_000


def candles(**changes):
    columns = {
        "ts": MINUTES,
        "open": np.full(3, 10.0),
        "high": np.full(3, 11.0),
        "low": np.full(3, 9.0),
        "close": np.full(3, 10.5),
        "volume": np.ones(3),
    }
    return Candles("B", **{**columns, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ts": MINUTES[[0, 1, 1]]}, "row 2.*not after"),
        ({"ts": np.array([*MINUTES[:2], MINUTES[2] + 10_000])}, "row 2.*grid"),
        ({"close": np.array([10.0, np.nan, 10.0])}, "row 1.*close is not finite"),
        ({"low": np.array([9.0, 9.0, 10.8])}, "row 2.*low is above"),
        ({"open": np.array([0.0, 10.0, 10.0])}, "row 0.*open is not positive"),
        ({"volume": np.array([1.0, -1.0, 1.0])}, "row 1.*volume is negative"),
    ],
)
def test_a_bad_row_is_refused_with_file_row_and_reason(tmp_path, changes, message):
    path = tmp_path / "B-1m.parquet"
    write_candles(candles(**changes), path)
    with pytest.raises(CandleError, match=message) as caught:
        read_candles(path)
    assert str(path) in str(caught.value)


class Sends:
    """An exchange that sends one page whatever it is asked for."""

    def __init__(self, page):
        self.page = page

    def pages(self, symbol, start_ms, end_ms):
        yield self.page


@pytest.mark.parametrize(
    ("ts", "named"),
    [
        (ORIGIN_MS * 1_000 + MINUTES * 0, "looks like microseconds"),
        (MINUTES + 20 * DAY_MS, "a gap of more than 14 days"),
    ],
)
def test_what_could_not_be_read_again_never_enters_the_lake(tmp_path, ts, named):
    lake = Lake(tmp_path)
    write_candles(candles(), lake.path("B"))
    before = lake.path("B").read_bytes()
    with pytest.raises(CandleError, match=rf"B-1m\.parquet.*{named}"):
        lake.refresh(Sends(candles(ts=ts)), "B", ORIGIN_MS, ORIGIN_MS + 30 * DAY_MS)
    assert lake.path("B").read_bytes() == before


@pytest.mark.process
def test_a_newest_candle_of_another_century_is_no_time_to_fetch_until(monkeypatch):
    exchange = Exchange("http://127.0.0.1:9")
    monkeypatch.setattr(exchange, "_market", lambda symbol: symbol)
    monkeypatch.setattr(
        exchange._ccxt, "fetch_ohlcv", lambda *_: [[ORIGIN_MS * 1_000, 1, 1, 1, 1, 1]]
    )
    with pytest.raises(ExchangeError, match=r"BTCUSDT.*looks like microseconds"):
        exchange.closed_until("BTCUSDT")


def test_a_file_that_is_no_parquet_is_refused_by_name(tmp_path):
    path = tmp_path / "B-1m.parquet"
    path.write_text("not parquet")
    with pytest.raises(CandleError, match=r"B-1m\.parquet"):
        read_candles(path)
