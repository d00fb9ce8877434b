"""What the paper venue pays for a strategy's orders is what the backtest said, on the same candles.

The venue replays the candles that the backtest traded. A trader without any state but its position
sends market orders at closes, with a stop and a target of the venue's own, over plain HTTP; the
fills and fees are those of the venue's ledger.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pybit.unified_trading
import pytest

from crucible.features.frame import FeatureFrame, FeatureSchema
from crucible.forge.backtest.engine import Market, backtest
from crucible.market.candles import Candles, write_candles
from crucible.market.exchange import Exchange
from crucible.market.funding import Funding, charged, write_funding
from crucible.settings import MINUTE_MS, Costs
from crucible.strategies.contract import Exits
from crucible.strategies.exit_reasons import ExitReason
from crucible.vm.signals import Signal
from tests.paper_venue.conftest import fresh as _fresh
from tests.support.paper_venue import KEYS

fresh = _fresh

SCHEMA = FeatureSchema(("regime_change_detected", "volatility_ratio"), {})
START_MS = 1_704_067_200_000
ROWS, HISTORY = 700, 60
COSTS = Costs()
EXITS = Exits(stop=0.006, target=0.009, timeout=100_000)
# A candle's open is the first trade of its minute, which comes somewhere in the first second: an order
# that comes before it is filled at the price before, one that comes just after it at the open.
ARRIVES_MS = 999
# The best prices stand at most two ticks of 0.1 beside the last trade.
SPREAD = 0.2001
# A level that a candle misses or passes by less than this may be touched on one side alone: the venue's
# stands off the price that was asked, the backtest's off the price that was paid.
NEAR = 3e-4
QTY = "0.010"


def market(seed):
    """Candles whose opens are not their predecessors' closes, on the venue's ticks."""
    random = np.random.default_rng(seed)
    close = 50_000 * np.exp(np.cumsum(random.normal(0, 0.0012, ROWS)))
    start = np.r_[50_000, close[:-1]] * np.exp(random.normal(0, 0.0004, ROWS))
    high = np.maximum(start, close) * (1 + np.abs(random.normal(0, 0.0005, ROWS)))
    low = np.minimum(start, close) * (1 - np.abs(random.normal(0, 0.0005, ROWS)))
    ts = START_MS + MINUTE_MS * np.arange(ROWS)
    columns = [np.round(column, 1) for column in (start, high, low, close)]
    candles = Candles("BTCUSDT", ts, *columns, np.full(ROWS, 80.0))
    signals = random.choice([0, 1, 2], ROWS, p=[0.82, 0.12, 0.06]).astype(np.int8)
    # What the venue takes for history, and the last candle, are not traded.
    signals[: HISTORY - 1] = 0
    signals[-2:] = 0
    return candles, signals


@dataclass
class Trade:
    """One trade as the venue's ledger tells it."""

    entry_ts: int
    entry: float
    exit_ts: int
    exit: float
    fees: float

    @property
    def net_return(self):
        size = float(QTY)
        return (size * (self.exit - self.entry) - self.fees) / (size * self.entry + self.fees)


class Trader:
    """Sends a market order at a close, if the signal asks for one."""

    def __init__(self, venue, keys):
        self.venue = venue
        self.session = pybit.unified_trading.HTTP(api_key=keys["key"], api_secret=keys["secret"])
        self.session.endpoint = venue.rest

    def position(self):
        rows = self.session.get_positions(category="linear", symbol="BTCUSDT")["result"]["list"]
        return sum(float(row["size"]) for row in rows)

    def buy(self):
        rows = self.session.get_tickers(category="linear", symbol="BTCUSDT")["result"]["list"]
        ask = float(rows[0]["ask1Price"])
        self.session.place_order(
            category="linear", symbol="BTCUSDT", side="Buy", orderType="Market", qty=QTY,
            stopLoss=f"{ask * (1 - EXITS.stop):.1f}", takeProfit=f"{ask * (1 + EXITS.target):.1f}",
        )  # fmt: skip

    def sell(self):
        self.session.place_order(
            category="linear", symbol="BTCUSDT", side="Sell", orderType="Market", qty=QTY,
            reduceOnly=True,
        )  # fmt: skip

    def fills(self):
        return [row for row in self.executions() if row["execType"] == "Trade"]

    def executions(self):
        found, cursor = [], ""
        while True:
            page = self.session.get_executions(category="linear", limit=100, cursor=cursor)[
                "result"
            ]
            found += page["list"]
            cursor = page["nextPageCursor"]
            if not cursor:
                return found[::-1]


def play(venue, candles, signals):
    """Let the venue's time pass candle by candle and act on each close; give the trades."""
    trader = Trader(venue, KEYS[0])
    for row in range(HISTORY - 1, ROWS - 1):
        due = int(candles.close_ts[row]) + ARRIVES_MS
        now = venue.get("/admin/status")["market_ts"]
        venue.post("/admin/advance", {"ms": due - now})
        if signals[row] == Signal.BUY or signals[row] == Signal.EXIT:
            held = trader.position() > 0
            if signals[row] == Signal.BUY and not held:
                trader.buy()
            elif signals[row] == Signal.EXIT and held:
                trader.sell()
    return list(paired(trader.fills()))


def paired(fills):
    """Join each entry's fills with those of the exit that follows."""
    entry, exits = [], []
    for row in fills:
        if row["side"] == "Buy":
            if exits:
                yield trade_of(entry, exits)
                entry, exits = [], []
            entry.append(row)
        else:
            exits.append(row)
    if exits:
        yield trade_of(entry, exits)


def trade_of(entry, exits):
    def price(rows):
        sizes = [float(row["execQty"]) for row in rows]
        assert sum(sizes) == pytest.approx(float(QTY))
        return np.average([float(row["execPrice"]) for row in rows], weights=sizes)

    def minute(row):
        return int(row["execTime"]) // MINUTE_MS * MINUTE_MS

    fees = sum(float(row["execFee"]) for row in [*entry, *exits])
    return Trade(minute(entry[0]), price(entry), minute(exits[0]), price(exits), fees)


def clear(candles, trade_number, trades):
    """Whether no candle of a trade comes so near to a level that it may be touched or not."""
    first, last = np.searchsorted(
        candles.ts, [trades.entry_ts[trade_number], trades.exit_ts[trade_number]]
    )
    entry = trades.entry_price[trade_number]
    lows = candles.low[first : last + 1] / (entry * (1 - EXITS.stop)) - 1
    highs = candles.high[first : last + 1] / (entry * (1 + EXITS.target)) - 1
    return np.abs(np.r_[lows, highs]).min() > NEAR


@pytest.mark.parametrize("seed", [3, 4])
def test_the_venue_fills_what_the_backtest_fills_and_never_for_less(fresh, tmp_path, seed):
    candles, signals = market(seed)
    write_candles(candles, tmp_path / "candles" / "BTCUSDT-1m.parquet")
    venue = fresh(
        "--market", "replay", "--candles", str(tmp_path / "candles"), "--stepped",
        "--start", str(START_MS + HISTORY * MINUTE_MS), "--address-limit", "0",
    )  # fmt: skip
    made = play(venue, candles, signals)
    rows = np.column_stack([np.zeros(ROWS), np.full(ROWS, np.nan)])
    known = Market.of(candles, FeatureFrame("BTCUSDT", candles.close_ts, rows, SCHEMA))
    expected = backtest(signals, known, EXITS, COSTS).trades
    bare = backtest(signals, known, EXITS, Costs(slippage=0)).trades
    # What is open at the last candle is sold there by the backtest alone.
    assert len(made) >= 30
    assert len(expected) - len(made) in (0, 1)
    assert [trade.entry_ts for trade in made] == expected.entry_ts[: len(made)].tolist()
    compared = [number for number in range(len(made)) if clear(candles, number, expected)]
    assert len(compared) > 0.8 * len(made)
    reasons = {ExitReason.of_code(expected.reason[number]) for number in compared}
    assert {ExitReason.SIGNAL, ExitReason.STOP} <= reasons
    for number in compared:
        trade = made[number]
        assert trade.exit_ts == expected.exit_ts[number]
        assert trade.entry == pytest.approx(bare.entry_price[number], abs=SPREAD)
        if expected.reason[number] == ExitReason.SIGNAL.code:
            assert trade.exit == pytest.approx(bare.exit_price[number], abs=SPREAD)
        # A stop is a market order once the price has passed it, a target is filled there or above.
        assert trade.exit >= bare.exit_price[number] * (1 - 2 * COSTS.slippage)
        assert expected.net_return[number] <= trade.net_return


def test_the_venue_charges_the_funding_that_the_backtest_charges(fresh, tmp_path):
    # A market that comes near neither stop nor target around the settlement.
    candles, signals = market(9)
    settlement = START_MS + 480 * MINUTE_MS
    signals[:] = 0
    signals[470], signals[490] = Signal.BUY, Signal.EXIT
    write_candles(candles, tmp_path / "candles" / "BTCUSDT-1m.parquet")
    recorded = Funding("BTCUSDT", np.array([settlement]), np.array([0.0001871]))
    write_funding(recorded, tmp_path / "candles")
    venue = fresh(
        "--market", "replay", "--candles", str(tmp_path / "candles"), "--stepped",
        "--start", str(START_MS + HISTORY * MINUTE_MS), "--address-limit", "0",
    )  # fmt: skip
    (trade,) = play(venue, candles, signals)
    rows = [row for row in Trader(venue, KEYS[0]).executions() if row["execType"] == "Funding"]
    (row,) = rows
    assert int(row["execTime"]) == settlement
    funding = Exchange(venue.rest).funding("BTCUSDT", START_MS, int(candles.close_ts[-1]))
    rates = charged(funding, candles.ts)
    assert np.flatnonzero(rates).tolist() == [480]
    columns = np.column_stack([np.zeros(ROWS), np.full(ROWS, np.nan)])
    frame = FeatureFrame("BTCUSDT", candles.close_ts, columns, SCHEMA)
    patient = Exits(0.5, 0.5, 100_000)
    free = backtest(signals, Market.of(candles, frame), patient, COSTS).trades
    paid = backtest(signals, Market.of(candles, frame, rates), patient, COSTS).trades
    share = float(row["execFee"]) / (float(QTY) * trade.entry + trade.fees / 2)
    assert share != 0
    # The venue's mark stands near the open, and its entry near the backtest's.
    assert free.net_return[0] - paid.net_return[0] == pytest.approx(share, rel=0.01)
