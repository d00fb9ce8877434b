"""Money to the last unit, checked from outside with nothing but the public interface."""

import random
import time
from decimal import Decimal

import pybit.unified_trading

from tests.support.paper_venue import KEYS

MIDNIGHT = 1_704_067_200_000


def executions(session):
    rows, cursor = [], ""
    while True:
        page = session.get_executions(category="linear", limit=100, cursor=cursor)["result"]
        rows += page["list"]
        cursor = page["nextPageCursor"]
        if not cursor:
            return rows


def test_wallet_is_cash_flows_plus_carried_cost_minus_funding_to_the_last_unit(fresh):
    venue = fresh(
        "--start", str(MIDNIGHT + 8 * 3_600_000 - 600_000), "--speed", "120", "--history-days", "1"
    )
    session = pybit.unified_trading.HTTP(api_key=KEYS[0]["key"], api_secret=KEYS[0]["secret"])
    session.endpoint = venue.rest
    rng = random.Random(5)
    for _ in range(60):
        symbol, scale = rng.choice([("BTCUSDT", 3), ("ETHUSDT", 2), ("SOLUSDT", 1)])
        last = venue.last(symbol)
        qty = f"{rng.uniform(200, 3000) / last:.{scale}f}"
        order = {
            "category": "linear",
            "symbol": symbol,
            "side": rng.choice(["Buy", "Sell"]),
            "qty": qty,
        }
        if rng.random() < 0.5:
            order |= {"orderType": "Market"}
        else:
            places = 1 if symbol == "BTCUSDT" else 2
            order |= {
                "orderType": "Limit",
                "price": f"{last * rng.uniform(0.9995, 1.0005):.{places}f}",
            }
        session.place_order(**order)
        time.sleep(0.11)
    session.cancel_all_orders(category="linear", settleCoin="USDT")

    rows = executions(session)
    wallet = Decimal(
        session.get_wallet_balance(accountType="UNIFIED")["result"]["list"][0]["coin"][0][
            "walletBalance"
        ]
    )
    expected = Decimal(KEYS[0]["usdt"])
    sizes: dict[str, Decimal] = {}
    for row in rows:
        expected -= Decimal(row["execFee"])
        if row["execType"] == "Trade":
            sign = 1 if row["side"] == "Buy" else -1
            expected -= sign * Decimal(row["execPrice"]) * Decimal(row["execQty"])
            sizes[row["symbol"]] = sizes.get(row["symbol"], Decimal(0)) + sign * Decimal(
                row["execQty"]
            )
            rate = Decimal("0.0002") if row["isMaker"] else Decimal("0.00055")
            assert Decimal(row["execFee"]) == Decimal(row["execValue"]) * rate
    for row in session.get_positions(category="linear", settleCoin="USDT")["result"]["list"]:
        sign = 1 if row["side"] == "Buy" else -1
        expected += sign * Decimal(row["positionValue"])
        assert sizes.pop(row["symbol"]) == sign * Decimal(row["size"])
    assert not any(sizes.values())
    assert wallet == expected
    assert {row["execType"] for row in rows} == {"Trade", "Funding"}
    assert {row["isMaker"] for row in rows} == {True, False}
