"""ccxt's bybit class, sync and pro, unmodified."""

import asyncio
import itertools

import ccxt
import ccxt.pro
import pytest

from tests.support.paper_venue import ccxt_options

SYMBOL = "BTC/USDT:USDT"


@pytest.fixture(scope="module")
def client(venue):
    exchange = ccxt.bybit(ccxt_options(venue))
    exchange.has["fetchCurrencies"] = False
    exchange.load_markets()
    return exchange


def test_markets_have_the_exchanges_steps(client):
    market = client.market(SYMBOL)
    assert market["linear"]
    assert market["precision"] == {"amount": 0.001, "price": 0.1, "base": None, "quote": None} or (
        market["precision"]["amount"],
        market["precision"]["price"],
    ) == (0.001, 0.1)
    assert {"BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT"} <= set(client.symbols)


def test_candles_page_through_the_history_without_gap_or_overlap(client):
    since = client.milliseconds() - 2 * 86_400_000
    rows = []
    while len(rows) < 2_500:
        page = client.fetch_ohlcv(SYMBOL, "1m", since, 1_000)
        assert page
        rows += page
        since = page[-1][0] + 60_000
    stamps = [row[0] for row in rows]
    assert [b - a for a, b in itertools.pairwise(stamps)] == [60_000] * (len(stamps) - 1)
    assert all(low <= min(o, c) and high >= max(o, c) for _, o, high, low, c, _ in rows)


def test_longer_candles_are_made_of_the_shorter_ones(client):
    since = (client.milliseconds() // 3_600_000 - 3) * 3_600_000
    minutes = client.fetch_ohlcv(SYMBOL, "1m", since, 60)
    hour = client.fetch_ohlcv(SYMBOL, "1h", since, 1)[0]
    assert hour[1] == minutes[0][1]
    assert hour[2] == max(row[2] for row in minutes)
    assert hour[3] == min(row[3] for row in minutes)
    assert hour[4] == minutes[-1][4]
    assert hour[5] == pytest.approx(sum(row[5] for row in minutes))


def test_book_ticker_and_trades_are_there(client):
    book = client.fetch_order_book(SYMBOL, 50)
    assert len(book["bids"]) == len(book["asks"]) == 50
    assert book["bids"][0][0] < book["asks"][0][0]
    ticker = client.fetch_ticker(SYMBOL)
    assert ticker["last"] > 0
    assert ticker["bid"] < ticker["ask"]
    assert client.fetch_trades(SYMBOL, limit=5)


def test_an_order_lives_its_whole_life(client):
    price = client.price_to_precision(SYMBOL, client.fetch_ticker(SYMBOL)["last"] * 0.9)
    made = client.create_order(
        SYMBOL, "limit", "buy", 0.01, float(price), {"clientOrderId": "ccxt-life"}
    )
    assert client.fetch_open_order(made["id"], SYMBOL)["status"] == "open"
    client.edit_order(made["id"], SYMBOL, "limit", "buy", 0.02, float(price))
    assert client.fetch_open_order(made["id"], SYMBOL)["amount"] == 0.02
    client.cancel_order(made["id"], SYMBOL)
    assert client.fetch_open_orders(SYMBOL) == []
    closed = {order["id"]: order for order in client.fetch_canceled_orders(SYMBOL)}
    assert closed[made["id"]]["clientOrderId"] == "ccxt-life"


def test_a_market_order_opens_a_position_and_costs_a_fee(client):
    before = client.fetch_balance()["USDT"]["total"]
    made = client.create_order(SYMBOL, "market", "buy", 0.05)
    fills = client.fetch_my_trades(SYMBOL, params={"orderId": made["id"]})
    assert sum(fill["amount"] for fill in fills) == pytest.approx(0.05)
    paid = sum(fill["fee"]["cost"] for fill in fills)
    assert client.fetch_balance()["USDT"]["total"] == pytest.approx(before - paid, abs=20)
    position = client.fetch_position(SYMBOL)
    assert position["contracts"] == pytest.approx(0.05)
    client.create_order(SYMBOL, "market", "sell", 0.05, None, {"reduceOnly": True})
    assert all(one["contracts"] == 0 for one in client.fetch_positions([SYMBOL]))


def test_cancel_all_cancels_all(client):
    last = client.fetch_ticker(SYMBOL)["last"]
    for index in range(3):
        client.create_order(
            SYMBOL,
            "limit",
            "buy",
            0.01,
            float(client.price_to_precision(SYMBOL, last * (0.9 - index / 100))),
        )
    client.cancel_all_orders(SYMBOL)
    assert client.fetch_open_orders(SYMBOL) == []


def test_refusals_are_ccxts_own_exceptions(client):
    with pytest.raises(ccxt.InsufficientFunds):
        client.create_order(SYMBOL, "market", "buy", 400)
    with pytest.raises(ccxt.OrderNotFound):
        client.cancel_order("nothing-like-that", SYMBOL)


def test_settings_and_fees(client):
    assert client.fetch_trading_fee(SYMBOL)["taker"] == pytest.approx(0.00055)
    client.set_leverage(7, SYMBOL)
    assert client.fetch_position(SYMBOL)["leverage"] == pytest.approx(7)


def test_two_keys_are_two_accounts(client, venue):
    other = ccxt.bybit(ccxt_options(venue, 1))
    other.has["fetchCurrencies"] = False
    assert other.fetch_balance()["USDT"]["total"] == 50_000
    made = client.create_order(SYMBOL, "limit", "buy", 0.01, 40_000)
    assert other.fetch_open_orders(SYMBOL) == []
    with pytest.raises(ccxt.OrderNotFound):
        other.cancel_order(made["id"], SYMBOL)
    client.cancel_order(made["id"], SYMBOL)


def test_pro_streams_books_candles_orders_and_positions(venue):
    async def run() -> None:
        exchange = ccxt.pro.bybit(ccxt_options(venue))
        exchange.has["fetchCurrencies"] = False
        try:
            await exchange.load_markets()
            for _ in range(20):
                book = await asyncio.wait_for(exchange.watch_order_book(SYMBOL), 10)
                assert book["bids"][0][0] < book["asks"][0][0]
            assert await asyncio.wait_for(exchange.watch_ticker(SYMBOL), 10)
            assert await asyncio.wait_for(exchange.watch_trades(SYMBOL), 10)
            assert await asyncio.wait_for(exchange.watch_ohlcv(SYMBOL, "1m"), 10)
            orders = asyncio.ensure_future(exchange.watch_orders(SYMBOL))
            trades = asyncio.ensure_future(exchange.watch_my_trades(SYMBOL))
            await asyncio.wait_for(exchange.watch_positions([SYMBOL]), 10)  # What was open before.
            positions = asyncio.ensure_future(exchange.watch_positions([SYMBOL]))
            await asyncio.sleep(1.0)
            made = await exchange.create_order_ws(SYMBOL, "market", "buy", 0.02)
            order = (await asyncio.wait_for(orders, 10))[-1]
            assert (order["id"], order["filled"]) == (made["id"], pytest.approx(0.02))
            assert (await asyncio.wait_for(trades, 10))[-1]["order"] == made["id"]
            assert (await asyncio.wait_for(positions, 10))[-1]["symbol"] == SYMBOL
            await exchange.create_order(SYMBOL, "market", "sell", 0.02, None, {"reduceOnly": True})
        finally:
            await exchange.close()

    asyncio.run(run())
