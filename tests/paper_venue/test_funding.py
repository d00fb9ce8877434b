"""Past funding as third-party clients read it: the settlements of the venue, at the rates it charged."""

import ccxt
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pybit.unified_trading
import pytest
from pybit.exceptions import InvalidRequestError

from crucible.market.exchange import Exchange
from crucible.market.funding import Funding, write_funding
from tests.paper_venue.test_frames import book, trade, write
from tests.paper_venue.test_process import START as START_OF_CANDLES
from tests.paper_venue.test_process import refuse, write_candles
from tests.support.paper_venue import KEYS, ccxt_options, write_keys
from tests.support.polling import until

HOUR = 3_600_000
START = 1_704_067_200_000 + 7 * HOUR
SYMBOL = {"category": "linear", "symbol": "BTCUSDT"}


def pybit_session(venue):
    session = pybit.unified_trading.HTTP(api_key=KEYS[0]["key"], api_secret=KEYS[0]["secret"])
    session.endpoint = venue.rest
    return session


@pytest.fixture
def paid(fresh):
    """A venue that charged a position three times, the client that paid, and what it paid."""
    venue = fresh("--stepped", "--start", str(START), "--history-days", "1")
    session = pybit_session(venue)
    session.place_order(**SYMBOL, side="Buy", orderType="Market", qty="0.1")
    venue.post("/admin/advance", {"ms": 24 * HOUR})
    rows = session.get_executions(**SYMBOL, execType="Funding")["result"]["list"]
    charged = [(row["execTime"], row["feeRate"]) for row in rows]
    assert len(charged) == 3
    return venue, session, charged


def reported(session, **window):
    answer = session.get_funding_rate_history(**SYMBOL, **window)["result"]
    assert answer["category"] == "linear"
    assert {row["symbol"] for row in answer["list"]} <= {"BTCUSDT"}
    return [(row["fundingRateTimestamp"], row["fundingRate"]) for row in answer["list"]]


def test_pybit_reads_the_settlements_newest_first_at_the_rates_that_were_charged(paid):
    _, session, charged = paid
    assert reported(session)[:3] == charged
    assert reported(session, limit=2) == charged[:2]
    assert reported(session, startTime=START, endTime=START + 24 * HOUR) == charged
    middle = int(charged[1][0])
    assert reported(session, startTime=middle, endTime=middle) == charged[1:2]
    assert reported(session, endTime=middle, limit=2) == charged[1:]


def test_a_window_without_its_end_and_a_limit_out_of_range_are_refused(paid):
    _, session, _ = paid
    for window in ({"startTime": START}, {"limit": 201}, {"limit": -1}, {"endTime": "soon"}):
        with pytest.raises(InvalidRequestError) as refused:
            reported(session, **window)
        assert refused.value.status_code == 10001, window


def test_ccxt_reads_the_same_settlements_oldest_first(paid):
    venue, _, charged = paid
    client = ccxt.bybit(ccxt_options(venue))
    rates = client.fetch_funding_rate_history("BTC/USDT:USDT", since=START)
    read = [(str(rate["timestamp"]), rate["fundingRate"]) for rate in rates]
    assert read == [(ts, float(rate)) for ts, rate in reversed(charged)]


def recorded(folder, rate):
    """Write two minutes of frames around a settlement, with the rate that the exchange told of it."""
    settled = START + HOUR
    begin = settled - 30_000
    levels = [["2.0000", "100.0"]], [["2.0001", "100.0"]]
    frames = [book(begin, "snapshot", *levels, 1)]
    if rate is not None:
        data = {"symbol": "XRPUSDT", "fundingRate": rate, "nextFundingTime": str(settled)}
        topic = {"topic": "tickers.XRPUSDT", "type": "snapshot", "ts": begin, "cs": 1}
        frames.append({**topic, "data": data})
    for step in range(1, 80):
        ts = begin + step * 1_000
        frames.append(book(ts, "delta", [["2.0000", f"{100 + step}.0"]], [], 1 + step))
        frames.append(trade(ts + 10, "Buy", "2.0001", "1.0", step))
    return write(folder / "xrp.jsonl", frames), settled


@pytest.mark.parametrize("rate", ["-0.00031", None])
def test_recorded_frames_are_charged_the_rate_that_was_told_and_no_other(fresh, tmp_path, rate):
    place, settled = recorded(tmp_path, rate)
    venue = fresh("--market", "replay", "--frames", str(place), "--speed", "20")
    until(lambda: venue.get("/admin/status")["ended"], seconds=20, what="the end")
    answer = venue.get("/v5/market/funding/history?category=linear&symbol=XRPUSDT")
    reported = [
        (row["fundingRateTimestamp"], row["fundingRate"]) for row in answer["result"]["list"]
    ]
    assert reported == ([] if rate is None else [(str(settled), rate)])


def replayed(folder, rates):
    """Write ten hours of two symbols' candles, and rates beside them or elsewhere."""
    for symbol in ("BTCUSDT", "ETHUSDT"):
        write_candles(folder / "candles", symbol, 600)
    settled = START_OF_CANDLES + HOUR * np.array([0, 4, 8]) + np.array([0, 0, 7])
    funding = Funding("BTCUSDT", settled, np.array([0.0001, -0.00002137, 0.00375]))
    write_funding(funding, folder / rates)
    return folder / "candles", settled


@pytest.mark.parametrize("rates", ["candles", "rates"])
def test_a_replay_charges_the_rates_that_it_was_given_and_no_other(fresh, tmp_path, rates):
    candles, settled = replayed(tmp_path, rates)
    flags = () if rates == "candles" else ("--funding", str(tmp_path / rates))
    venue = fresh(
        *("--market", "replay", "--candles", str(candles), "--stepped"),
        *("--start", str(START_OF_CANDLES + HOUR), *flags),
    )
    session = pybit_session(venue)
    for symbol in ("BTCUSDT", "ETHUSDT"):
        order = {"side": "Buy", "orderType": "Market", "qty": "0.1"}
        session.place_order(**SYMBOL | {"symbol": symbol}, **order)
    ticker = venue.get("/v5/market/tickers?category=linear&symbol=BTCUSDT")["result"]["list"][0]
    assert ticker["fundingRate"] == "", "nobody recorded which rate was expected"
    assert ticker["nextFundingTime"] == str(settled[1])
    venue.post("/admin/advance", {"ms": 8 * HOUR})

    rows = session.get_executions(category="linear", execType="Funding")["result"]["list"]
    charged = [(row["symbol"], row["execTime"], row["feeRate"]) for row in rows]
    # A settlement that is stamped late is charged at its minute.
    assert charged == [
        ("BTCUSDT", str(settled[2] - 7), "0.00375"),
        ("BTCUSDT", str(settled[1]), "-0.00002137"),
    ]
    assert [row["fundingRate"] for row in session.get_funding_rate_history(**SYMBOL)["result"]["list"]] == [
        "0.00375", "-0.00002137", "0.0001",
    ]  # fmt: skip
    status = venue.get("/admin/status")
    assert status["funding"] == {"BTCUSDT": 3, "ETHUSDT": 0}
    assert "no rates of funding are known" in venue.errors.read_text()

    # What is read from the venue knows as much as the files did, and says so.
    exchange = Exchange(venue.rest)
    opens = START_OF_CANDLES + 60_000 * np.arange(540)
    known = exchange.funding("BTCUSDT", START_OF_CANDLES, START_OF_CANDLES + 9 * HOUR)
    assert known.rate.tolist() == [0.0001, -0.00002137, 0.00375]
    assert "100% of the candles" in known.describe(opens)
    unknown = exchange.funding("ETHUSDT", START_OF_CANDLES, START_OF_CANDLES + 9 * HOUR)
    assert unknown.describe(opens) == "not charged, no rates are known"


@pytest.mark.process
def test_rates_that_cannot_be_charged_are_refused_by_name(tmp_path):
    candles, _ = replayed(tmp_path, "rates")
    keys = str(write_keys(tmp_path))
    replay = ("--keys", keys, "--market", "replay", "--candles", str(candles))
    assert "has no SYMBOL-funding.parquet of BTCUSDT, ETHUSDT" in refuse(
        *replay, "--funding", str(tmp_path / "nowhere")
    )
    assert "belongs to a replay" in refuse("--keys", keys, "--funding", str(tmp_path / "rates"))
    table = pa.table({"ts": [START_OF_CANDLES], "funding_rate": [1.5]})
    pq.write_table(table, candles / "ETHUSDT-funding.parquet")
    line = refuse(*replay)
    assert "ETHUSDT-funding.parquet: row 0" in line
    assert "1.5" in line
