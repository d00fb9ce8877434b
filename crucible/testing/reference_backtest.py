"""The backtest again, in plain Python from its description, to check the kernel against."""

from __future__ import annotations

from collections.abc import Sequence

from crucible.market.candles import Candles
from crucible.settings import Costs
from crucible.strategies.contract import Exits

Trade = tuple[int, float, int, float, str, float]


def reference_trades(
    signals: Sequence[int],
    candles: Candles,
    regime: Sequence[bool],
    volatility: Sequence[float],
    exits: Exits,
    costs: Costs,
) -> tuple[list[Trade], list[float]]:
    """Trades as (entry row, price, exit row, price, reason, net return), and equity at closes."""
    trades: list[Trade] = []
    equity: list[float] = []
    cash = 1.0
    net = (1 - costs.fee) / (1 + costs.fee)
    order: tuple[str, int | str] | None = None
    held: dict[str, float] | None = None
    for row in range(len(signals)):
        candle = candles.candle(row)
        sold: tuple[float, str] | None = None
        if order is not None and order[0] == "buy":
            price = candle.open * (1 + costs.slippage)
            held = {
                "row": row,
                "price": price,
                "stop": price * (1 - exits.stop),
                "target": price * (1 + exits.target),
                "timeout": float(order[1]),
                "candles": 0,
            }
        elif order is not None:
            sold = (candle.open, str(order[1]))
        order = None
        if held is not None and sold is None:
            held["candles"] += 1
            if candle.low <= held["stop"]:
                sold = (min(candle.open, held["stop"]), "stop")
            elif candle.high >= held["target"]:
                sold = (max(candle.open, held["target"]), "target")
            elif row == len(signals) - 1:
                sold = (candle.close, "end")
        if sold is not None:
            assert held is not None
            price = sold[0] * (1 - costs.slippage)
            ratio = price / held["price"] * net
            trades.append((int(held["row"]), held["price"], row, price, sold[1], ratio - 1))
            cash *= ratio
            held = None
        if held is None:
            equity.append(cash)
            if signals[row] == 1 and not regime[row]:
                order = ("buy", exits.timeout_at(volatility[row]))
            continue
        equity.append(cash * (candle.close * (1 - costs.slippage) / held["price"] * net))
        if regime[row]:
            order = ("sell", "regime")
        elif signals[row] == 2:
            order = ("sell", "signal")
        elif held["candles"] >= held["timeout"]:
            order = ("sell", "timeout")
    return trades, equity
