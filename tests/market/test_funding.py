"""Funding rates: read, aligned with candles, and told honestly where they are not known."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crucible.market.exchange import Exchange
from crucible.market.funding import (
    Funding,
    FundingError,
    charged,
    funding_path,
    merge,
    read_funding,
    write_funding,
)
from crucible.market.lake import Lake
from tests.support.processes import DAY_MS, ORIGIN_MS, running, venue_command, write_keys

HOUR_MS = 3_600_000
MINUTE_MS = 60_000


def settled(hours, rates):
    return Funding("BTCUSDT", np.array(hours, dtype=np.int64) * HOUR_MS, np.array(rates))


def minutes(first_hour, hours):
    return np.arange(first_hour * 60, (first_hour + hours) * 60, dtype=np.int64) * MINUTE_MS


def test_what_is_written_is_read_and_no_file_is_no_settlement(tmp_path):
    funding = settled(np.array([8, 16, 24]) + ORIGIN_MS // HOUR_MS, [1e-4, -2e-5, 0.0])
    write_funding(funding, tmp_path)
    again = read_funding(tmp_path, "BTCUSDT")
    assert again.ts.tolist() == funding.ts.tolist()
    assert again.rate.tolist() == funding.rate.tolist()
    assert len(read_funding(tmp_path, "ETHUSDT")) == 0


def test_a_settlement_is_paid_at_the_open_it_happens_at_and_none_before_the_first_candle_ends():
    rates = settled([0, 8, 16], [0.01, 0.02, 0.03]).at(minutes(0, 10))
    assert np.flatnonzero(rates).tolist() == [8 * 60]
    assert rates[8 * 60] == 0.02


def test_settlements_in_missing_minutes_are_paid_together_at_the_next_candle():
    opens = np.r_[minutes(6, 1), minutes(17, 1)]
    rates = settled([8, 16], [0.02, 0.03]).at(opens)
    assert np.flatnonzero(rates).tolist() == [60]
    assert rates[60] == pytest.approx(0.05)


def test_a_stamp_some_milliseconds_late_belongs_to_its_own_minute():
    late = Funding("BTCUSDT", np.array([8 * HOUR_MS + 7]), np.array([0.02]))
    assert np.flatnonzero(late.at(minutes(0, 10))).tolist() == [8 * 60]


@given(
    st.sets(st.integers(0, 400), min_size=1, max_size=60),
    st.sets(st.integers(-50, 450), max_size=12),
)
def test_nothing_settled_while_candles_go_on_is_lost_or_paid_twice(opened, at):
    opens = np.array(sorted(opened), dtype=np.int64) * MINUTE_MS
    ts = np.array(sorted(at), dtype=np.int64) * MINUTE_MS
    rates = np.arange(1, len(ts) + 1) / 128
    inside = (ts > opens[0]) & (ts <= opens[-1])
    assert Funding("X", ts, rates).at(opens).sum() == rates[inside].sum()


def test_what_is_not_known_is_said():
    opens = minutes(0, 24)
    assert Funding.none_of("X").describe(opens) == "not charged, no rates are known"
    assert charged(Funding.none_of("X"), opens) is None
    assert settled([800, 808], [0.01, 0.01]).describe(opens) == "not charged, no rates are known"
    whole = settled([0, 8, 16, 24], [0.01] * 4)
    assert whole.covered(opens) == 1
    # From 8 to 16 and, eight hours after a settlement at 16, to the end.
    assert settled([8, 16], [0.01] * 2).describe(opens) == (
        "charged, rates are known for 66.67% of the candles"
    )
    assert settled([0, 16, 24, 32], [0.01] * 4).covered(opens) == pytest.approx(2 / 3)


def test_a_bad_row_or_column_is_named_with_its_file(tmp_path):
    def reported(**columns):
        pq.write_table(pa.table(columns), funding_path(tmp_path, "X"))
        with pytest.raises(FundingError) as error:
            read_funding(tmp_path, "X")
        return str(error.value)

    path = str(funding_path(tmp_path, "X"))
    good = [ORIGIN_MS + 8 * HOUR_MS, ORIGIN_MS + 16 * HOUR_MS]
    assert f"row 1 (ts {good[0]}): time is not after" in reported(
        ts=good[:1] * 2, funding_rate=[0.1] * 2
    )
    assert f"row 1 (ts {good[1]}): funding_rate is no share" in reported(
        ts=good, funding_rate=[0.1, np.nan]
    )
    assert "funding_rate is no share of a position's worth: 5.0" in reported(
        ts=good, funding_rate=[5.0, 0.1]
    )
    assert "row 1: funding_rate is missing" in reported(ts=good, funding_rate=[0.1, None])
    assert "column 'funding_rate' is missing" in reported(ts=good, rate=[0.1, 0.2])
    assert "holds string, not numbers; write float64" in reported(ts=good, funding_rate=["a", "b"])
    assert path in reported(ts=["a", "b"], funding_rate=[0.1, 0.2])
    funding_path(tmp_path, "X").write_bytes(b"no parquet")
    with pytest.raises(FundingError, match="cannot be read as funding rates"):
        read_funding(tmp_path, "X")


def test_a_settlement_that_the_venue_tells_without_a_rate_is_refused_by_its_time(monkeypatch):
    exchange = Exchange("http://127.0.0.1:9")
    rows = [{"timestamp": ORIGIN_MS, "fundingRate": None}]
    monkeypatch.setattr(exchange, "_market", lambda symbol: symbol)
    monkeypatch.setattr(exchange._ccxt, "fetch_funding_rate_history", lambda *_: rows)
    with pytest.raises(
        FundingError, match=rf"BTCUSDT: row 0 \(ts {ORIGIN_MS}\): funding_rate is no share.*nan"
    ):
        exchange.funding("BTCUSDT", ORIGIN_MS, ORIGIN_MS + 24 * HOUR_MS)


def test_an_earlier_part_wins_where_two_hold_the_same_instant():
    both = merge([settled([8, 16], [0.01, 0.02]), settled([16, 24], [0.5, 0.03])])
    assert both.rate.tolist() == [0.01, 0.02, 0.03]


def test_real_rates_are_read_as_they_are(shared_data):
    funding = read_funding(shared_data / "funding" / "bybit-linear", "BTCUSDT")
    assert len(funding) == 296
    assert funding.interval_ms == 8 * HOUR_MS
    opens = np.arange(funding.ts[0], funding.ts[-1], MINUTE_MS)
    assert funding.covered(opens) > 0.99
    assert funding.at(opens).sum() == pytest.approx(funding.rate[1:-1].sum())


@pytest.mark.process
def test_the_lake_learns_what_the_venue_settled_and_then_only_what_is_new(tmp_path):
    keys = write_keys(tmp_path)
    with running(venue_command(tmp_path, keys, "BTCUSDT,ETHUSDT", 1), tmp_path / "log") as (
        _,
        ready,
    ):
        exchange, lake = Exchange(ready["rest"]), Lake(tmp_path / "lake")
        first = lake.refresh_funding(exchange, "BTCUSDT", ORIGIN_MS, ORIGIN_MS + DAY_MS)
        again = lake.refresh_funding(exchange, "BTCUSDT", ORIGIN_MS, ORIGIN_MS + 2 * DAY_MS)
        anew = exchange.funding("BTCUSDT", ORIGIN_MS, ORIGIN_MS + 2 * DAY_MS)
    assert (np.diff(again.ts) == 8 * HOUR_MS).all()
    assert (len(first), len(again)) == (3, 6)
    assert again.ts.tolist() == anew.ts.tolist()
    assert again.rate.tolist() == anew.rate.tolist()
    assert lake.read_funding("BTCUSDT").rate.tolist() == again.rate.tolist()
    assert len(set(again.rate.tolist())) > 3
