"""`crucible download`: real ccxt from the real paper venue into files that everything reads, resumable."""

from __future__ import annotations

import json

import numpy as np
import pytest

from crucible.market.candles import Candles, read_candles, read_folder, write_candles
from crucible.market.download import CHUNK_MS, claim_folder, download, missing_spans, source_of
from crucible.market.exchange import ExchangeError
from crucible.market.funding import read_funding
from crucible.market.lake import merge
from crucible.market.other_exchange import OtherExchange
from crucible.settings import MINUTE_MS
from tests.support.commands import call
from tests.support.processes import DAY_MS, ORIGIN_MS, running, venue_command, write_keys

START_MS = ORIGIN_MS + 3 * DAY_MS
FROM = "2025-01-01"


@pytest.fixture(scope="module")
def venue(tmp_path_factory):
    folder = tmp_path_factory.mktemp("venue")
    keys = write_keys(folder)
    with running(venue_command(folder, keys, "BTCUSDT,ETHUSDT", 1), folder / "log") as (_, ready):
        yield ready["rest"]


class Counted(OtherExchange):
    """The exchange, with its requests counted, and one that a person interrupts."""

    requests = 0
    interrupt_at = 0

    def _ask(self, what, call):
        if what.startswith("candles"):
            self.requests += 1
            if self.requests == self.interrupt_at:
                raise KeyboardInterrupt
        return super()._ask(what, call)


@pytest.mark.process
def test_candles_and_funding_arrive_whole_and_every_command_reads_them(venue, tmp_path):
    ended = call(
        tmp_path / "workspace", "download", "bybit", "--symbols", "BTCUSDT,ETH/USDT:USDT",
        "--from", FROM, "--to", "2025-01-04", "--url", venue, "--json",
    )  # fmt: skip
    assert ended.code == 0, ended
    found = json.loads(ended.stdout)
    name = f"bybit-swap-{venue.partition('://')[2].replace(':', '-')}"
    assert found["folder"].endswith(f"downloads/{name}")
    for symbol in found["symbols"]:
        assert symbol["first_ts"] == ORIGIN_MS
        assert symbol["gaps"] == []
        assert symbol["added"] == symbol["candles"] in {3 * 1_440 - 1, 3 * 1_440}
        assert symbol["funding_settlements"] == 9
    folder = tmp_path / "workspace" / "downloads" / name
    candles = read_folder(folder)
    assert list(candles) == ["BTCUSDT", "ETHUSDT"]
    assert len(read_funding(folder, "ETHUSDT")) == 9
    assert call(tmp_path, "data", "check", "--candles", folder).code == 0
    # Again: nothing that is held is asked for.
    again = json.loads(
        call(tmp_path / "workspace", "download", "bybit", "--symbols", "BTCUSDT", "--from", FROM,
             "--to", "2025-01-03", "--url", venue, "--json").stdout
    )  # fmt: skip
    assert again["symbols"][0]["added"] == 0


@pytest.mark.process
def test_an_interrupted_download_goes_on_where_it_was(venue, tmp_path):
    exchange = Counted("bybit", base_url=venue)
    exchange.interrupt_at = 4
    with pytest.raises(KeyboardInterrupt):
        download(exchange, "BTCUSDT", tmp_path, ORIGIN_MS, START_MS)
    part = read_candles(tmp_path / "BTCUSDT-1m.parquet")
    assert len(part) == 3_000
    exchange.interrupt_at, exchange.requests = 0, 0
    done = download(exchange, "BTCUSDT", tmp_path, ORIGIN_MS, START_MS)
    assert done.added == 4_320 - 3_000
    assert exchange.requests == 2
    assert (done.total, done.gaps) == (4_320, ())
    whole = Counted("bybit", base_url=venue)
    download(whole, "BTCUSDT", tmp_path / "whole", ORIGIN_MS, START_MS)
    assert np.array_equal(
        read_candles(tmp_path / "whole" / "BTCUSDT-1m.parquet").close,
        read_candles(tmp_path / "BTCUSDT-1m.parquet").close,
    )


@pytest.mark.process
def test_gaps_are_asked_for_again_and_earlier_candles_are_added(venue, tmp_path):
    exchange = Counted("bybit", base_url=venue)
    download(exchange, "ETHUSDT", tmp_path, ORIGIN_MS + DAY_MS, START_MS)
    path = tmp_path / "ETHUSDT-1m.parquet"
    whole = read_candles(path)
    write_candles(
        merge([whole[slice(0, 500)], whole[slice(520, 900)], whole[slice(907, None)]]), path
    )
    exchange.requests = 0
    done = download(exchange, "ETHUSDT", tmp_path, ORIGIN_MS, START_MS)
    assert done.added == 20 + 7 + 1_440
    assert done.gaps == ()
    # Both gaps at once, then the day before in two pages.
    assert exchange.requests == 3


@pytest.mark.process
@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--symbols", "BTCUSD"), "the nearest is BTC/USDT:USDT"),
        (("--symbols", "BTCUSDT", "--market", "spot"), "no spot market 'BTCUSDT'"),
        (("--symbols", "BTCUSDT", "--to", "2025-13-01"), "--to '2025-13-01' is no date"),
    ],
)  # fmt: skip
def test_what_the_exchange_does_not_have_is_named(venue, tmp_path, words, named):
    ended = call(tmp_path, "download", "bybit", "--from", FROM, "--url", venue, *words)
    assert ended.code == 1
    assert named in ended.stderr
    assert not (tmp_path / "downloads").exists()


@pytest.mark.process
def test_a_folder_takes_no_candles_of_a_second_exchange(venue, tmp_path):
    claim_folder(tmp_path, {"exchange": "binance", "market": "spot"})
    words = ("--symbols", "BTCUSDT", "--from", FROM, "--url", venue, "--out", tmp_path, "--json")
    ended = call(tmp_path, "download", "bybit", *words)
    assert ended.code == 3
    assert json.loads(ended.stdout)["rule"] == "one-source-a-folder"
    assert "binance" in ended.stderr
    (tmp_path / "source.json").unlink()
    (tmp_path / "BTCUSDT-1m.csv").write_text("ts,open,high,low,close,volume\n")
    assert call(tmp_path, "download", "bybit", *words).code == 3


@pytest.mark.process
def test_a_folder_of_the_exchange_itself_takes_no_candles_of_a_venue_that_speaks_the_same(
    venue, tmp_path
):
    words = ("--symbols", "BTCUSDT", "--from", FROM, "--out", tmp_path / "candles", "--json")
    claim_folder(tmp_path / "candles", source_of("bybit", "swap", None))
    ended = call(tmp_path, "download", "bybit", *words, "--url", venue)
    assert ended.code == 3
    assert json.loads(ended.stdout)["rule"] == "one-source-a-folder"
    assert not list((tmp_path / "candles").glob("*.parquet"))


def test_an_address_is_kept_as_everyone_writes_it_and_without_a_password():
    written = ("http://127.0.0.1:9", "http://127.0.0.1:9/", "http://anna:secret@127.0.0.1:9")
    found = {OtherExchange("bybit", base_url=each).address for each in written}
    assert found == {"http://127.0.0.1:9"}
    assert OtherExchange("bybit").address is None


def test_an_exchange_that_ccxt_does_not_know_is_named_with_the_nearest():
    with pytest.raises(ExchangeError, match="the nearest is binance"):
        OtherExchange("binanse")


@pytest.mark.process
def test_an_exchange_that_does_not_answer_is_a_fault(tmp_path, monkeypatch):
    monkeypatch.setattr("crucible.market.exchange.PAUSES_S", ())
    ended = call(
        tmp_path, "download", "bybit", "--symbols", "BTCUSDT", "--from", FROM,
        "--url", "http://127.0.0.1:9",
    )  # fmt: skip
    assert ended.code == 1
    assert "bybit: load markets" in ended.stderr


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--symbols", ","), "--symbols names nothing"),
        (("--symbols", "BTCUSDT", "--to", "2024-01-01"), "is not after --from"),
        (("--symbols", "BTCUSDT", "--market", "option"), "neither swap nor spot"),
    ],
)
def test_a_wrong_call_ends_with_two(tmp_path, words, named):
    ended = call(tmp_path, "download", "bybit", "--from", FROM, *words)
    assert ended.code == 2
    assert named in " ".join(ended.stderr.replace("│", " ").split())


def test_spans_are_asked_for_so_that_no_gap_opens_for_long():
    def held(*minutes: int) -> Candles:
        ts = ORIGIN_MS + MINUTE_MS * np.array(minutes, dtype=np.int64)
        ones = np.ones(len(ts))
        return Candles("BTCUSDT", ts, ones, ones, ones, ones, ones)

    begin, end = ORIGIN_MS - 2 * CHUNK_MS, ORIGIN_MS + 30 * MINUTE_MS
    spans = missing_spans(held(0, 1, 5, 6, 9), begin, end)
    assert spans == [
        (ORIGIN_MS + 10 * MINUTE_MS, end),
        (ORIGIN_MS + 2 * MINUTE_MS, ORIGIN_MS + 9 * MINUTE_MS),
        (ORIGIN_MS - CHUNK_MS, ORIGIN_MS),
        (begin, ORIGIN_MS - CHUNK_MS),
    ]
    assert missing_spans(None, begin, ORIGIN_MS) == [
        (ORIGIN_MS - CHUNK_MS, ORIGIN_MS),
        (begin, ORIGIN_MS - CHUNK_MS),
    ]
    # A span beyond what is held is joined to it.
    assert missing_spans(held(0, 1), ORIGIN_MS + DAY_MS, ORIGIN_MS + 2 * DAY_MS)[0][0] == (
        ORIGIN_MS + 2 * MINUTE_MS
    )


def test_before_the_first_listing_the_search_ends(tmp_path):
    class Young:
        name = "young"
        asked = 0

        def pages(self, _symbol, start_ms, end_ms):
            self.asked += 1
            if start_ms >= ORIGIN_MS:
                ts = np.arange(start_ms, end_ms, MINUTE_MS)
                ones = np.ones(len(ts))
                yield Candles("BTCUSDT", ts, ones, ones, ones, ones, ones)

        def funding(self, symbol, _start, _end):
            return read_funding(tmp_path / "no", symbol)

        def file_symbol(self, symbol):
            return symbol

    exchange = Young()
    done = download(exchange, "BTCUSDT", tmp_path, ORIGIN_MS - 300 * DAY_MS, ORIGIN_MS + CHUNK_MS)
    assert done.first_ts == ORIGIN_MS
    assert exchange.asked == 3
