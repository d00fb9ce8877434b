"""Exchanges that give fewer rows than were asked for, the newest of them or the oldest: nothing is lost."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from crucible.market.candles import read_candles
from crucible.market.download import download
from crucible.market.other_exchange import OtherExchange
from crucible.settings import MINUTE_MS
from tests.support.processes import ORIGIN_MS

HOUR_MS = 60 * MINUTE_MS
GAP = range(1_310, 1_322)
MINUTES = 2_500


class Bounded:
    """What ccxt is to us, of an exchange with pages of its own size that takes the end of a span."""

    has: ClassVar = {"fetchFundingRateHistory": True}

    def __init__(self, limit: int, *, gives_newest: bool) -> None:
        self._limit = limit
        self._gives_newest = gives_newest
        self.asked = 0

    def _page(self, rows, limit):
        self.asked += 1
        count = min(self._limit, limit)
        return (rows[-count:] if self._gives_newest else rows[:count])[::-1]

    def fetch_ohlcv(self, _symbol, _timeframe, since, limit, params):
        """:param int [params.until]: the latest candle."""
        until = params["until"]
        return self._page([row for row in candles() if since <= row[0] <= until], limit)

    def fetch_funding_rate_history(self, _symbol, since, limit, params):
        """:param int [params.until]: the latest settlement."""
        until = params["until"]
        return self._page([r for r in settlements() if since <= r["timestamp"] <= until], limit)


class Unbounded(Bounded):
    """One that ends a page after as many candles as were asked for, and gives the newest of them."""

    def fetch_ohlcv(self, _symbol, _timeframe, since, limit, _params):
        """Take no end."""
        until = since + limit * MINUTE_MS
        return self._page([row for row in candles() if since <= row[0] < until], limit)


def candles():
    return [
        [ORIGIN_MS + minute * MINUTE_MS, 2.0, 3.0, 1.0, 2.0, float(minute)]
        for minute in range(MINUTES)
        if minute not in GAP
    ]


def settlements():
    return [
        {"timestamp": ORIGIN_MS + hour * HOUR_MS, "fundingRate": hour / 1e6} for hour in range(400)
    ]


def exchange_of(made) -> OtherExchange:
    exchange = OtherExchange("okx")
    exchange._ccxt = made
    market = {"symbol": "BTC/USDT:USDT", "base": "BTC", "quote": "USDT", "swap": True}
    exchange._markets["BTCUSDT"] = market
    return exchange


@pytest.mark.parametrize(
    "made",
    [
        Bounded(300, gives_newest=True),
        Bounded(300, gives_newest=False),
        Bounded(1_000, gives_newest=True),
        Unbounded(300, gives_newest=True),
    ],
    ids=["newest", "oldest", "whole", "without an end"],
)
def test_every_candle_arrives_whatever_part_of_a_page_an_exchange_gives(made, tmp_path):
    end = ORIGIN_MS + MINUTES * MINUTE_MS
    done = download(exchange_of(made), "BTCUSDT", tmp_path, ORIGIN_MS, end)
    assert done.gaps == ((ORIGIN_MS + GAP.start * MINUTE_MS, len(GAP)),)
    assert done.total == MINUTES - len(GAP)
    held = read_candles(done.path)
    assert np.array_equal(held.volume, [row[5] for row in candles()])


def test_a_page_that_begins_before_the_first_candle_costs_one_more_question():
    made = Bounded(1_000, gives_newest=True)
    start = ORIGIN_MS - 500 * MINUTE_MS
    pages = list(exchange_of(made).pages("BTCUSDT", start, ORIGIN_MS + 500 * MINUTE_MS))
    assert [len(page) for page in pages] == [500]
    assert made.asked == 2


@pytest.mark.parametrize("gives_newest", [True, False])
def test_every_settlement_arrives_whatever_part_of_a_page_an_exchange_gives(gives_newest):
    exchange = exchange_of(Bounded(60, gives_newest=gives_newest))
    found = exchange.funding("BTCUSDT", ORIGIN_MS, ORIGIN_MS + 400 * HOUR_MS)
    assert found.ts.tolist() == [row["timestamp"] for row in settlements()]
