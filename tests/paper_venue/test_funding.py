"""Past funding as third-party clients read it: the settlements of the venue, at the rates it charged."""

import ccxt
import pybit.unified_trading
import pytest
from pybit.exceptions import InvalidRequestError

from tests.paper_venue.test_frames import book, trade, write
from tests.paper_venue.venue import KEYS, ccxt_options, wait_for

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


def told(session, **window):
    answer = session.get_funding_rate_history(**SYMBOL, **window)["result"]
    assert answer["category"] == "linear"
    assert {row["symbol"] for row in answer["list"]} <= {"BTCUSDT"}
    return [(row["fundingRateTimestamp"], row["fundingRate"]) for row in answer["list"]]


def test_pybit_reads_the_settlements_newest_first_at_the_rates_that_were_charged(paid):
    _, session, charged = paid
    assert told(session)[:3] == charged
    assert told(session, limit=2) == charged[:2]
    assert told(session, startTime=START, endTime=START + 24 * HOUR) == charged
    middle = int(charged[1][0])
    assert told(session, startTime=middle, endTime=middle) == charged[1:2]
    assert told(session, endTime=middle, limit=2) == charged[1:]


def test_a_window_without_its_end_and_a_limit_out_of_range_are_refused(paid):
    _, session, _ = paid
    for window in ({"startTime": START}, {"limit": 201}, {"limit": -1}, {"endTime": "soon"}):
        with pytest.raises(InvalidRequestError) as refused:
            told(session, **window)
        assert refused.value.status_code == 10001, window


def test_ccxt_reads_the_same_settlements_oldest_first(paid):
    venue, _, charged = paid
    client = ccxt.bybit(ccxt_options(venue))
    rates = client.fetch_funding_rate_history("BTC/USDT:USDT", since=START)
    read = [(str(rate["timestamp"]), rate["fundingRate"]) for rate in rates]
    assert read == [(ts, float(rate)) for ts, rate in reversed(charged)]


def test_a_recorded_market_tells_the_settlements_that_were_made_in_it(fresh, tmp_path):
    settled = START + HOUR
    begin = settled - 30_000
    levels = [["2.0000", "100.0"]], [["2.0001", "100.0"]]
    frames = [book(begin, "snapshot", *levels, 1)]
    for step in range(1, 80):
        ts = begin + step * 1_000
        frames.append(book(ts, "delta", [["2.0000", f"{100 + step}.0"]], [], 1 + step))
        frames.append(trade(ts + 10, "Buy", "2.0001", "1.0", step))
    place = write(tmp_path / "xrp.jsonl", frames)
    venue = fresh("--market", "replay", "--frames", str(place), "--speed", "20")
    wait_for(lambda: venue.get("/admin/status")["ended"], seconds=20, what="the end")
    answer = venue.get("/v5/market/funding/history?category=linear&symbol=XRPUSDT")
    assert [row["fundingRateTimestamp"] for row in answer["result"]["list"]] == [str(settled)]
