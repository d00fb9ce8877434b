"""The backtest again, in plain Python from its description, to check the kernel against."""

from __future__ import annotations

from collections.abc import Sequence

from crucible.market.candles import Candles
from crucible.settings import Costs
from crucible.strategies.contract import Exits
from crucible.strategies.exit_reasons import ExitReason

Trade = tuple[int, float, int, float, str, float]


def reference_trades(
    signals: Sequence[int],
    candles: Candles,
    regime: Sequence[bool],
    volatility: Sequence[float],
    exits: Exits,
    costs: Costs,
    funding: Sequence[float] | None = None,
    *,
    short: bool = False,
) -> tuple[list[Trade], list[float]]:
    """Trades as (entry row, price, exit row, price, reason, net return), and equity at closes."""
    trades: list[Trade] = []
    equity: list[float] = []
    cash = 1.0
    net = (1 - costs.fee) / (1 + costs.fee)
    side = -1 if short else 1
    order: tuple[str, int | str] | None = None
    held: dict[str, float] | None = None

    def worth(price: float) -> float:
        """Tell what one unit of capital in the position becomes when closed at a price."""
        assert held is not None
        if short:
            return max(0.0, 1 + net - price / held["price"] + held["paid"])
        return price / held["price"] * net - held["paid"]

    for row in range(len(signals)):
        candle = candles.candle(row)
        sold: tuple[float, str] | None = None
        rate = 0.0 if funding is None else funding[row]
        if held is not None and rate == rate:
            held["paid"] += candle.open * rate / (held["price"] * (1 + costs.fee))
        if order is not None and order[0] == "buy":
            price = candle.open * (1 + side * costs.slippage)
            held = {
                "row": row,
                "price": price,
                "stop": price * (1 - side * exits.stop),
                "target": price * (1 + side * exits.target),
                "timeout": float(order[1]),
                "candles": 0,
                "paid": 0.0,
            }
        elif order is not None:
            sold = (candle.open, str(order[1]))
        order = None
        if held is not None and sold is None:
            held["candles"] += 1
            stop, target = held["stop"], held["target"]
            if candle.high >= stop if short else candle.low <= stop:
                sold = (
                    max(candle.open, stop) if short else min(candle.open, stop),
                    ExitReason.STOP,
                )
            elif candle.low <= target if short else candle.high >= target:
                sold = (
                    min(candle.open, target) if short else max(candle.open, target),
                    ExitReason.TAKE_PROFIT,
                )
            elif row == len(signals) - 1:
                sold = (candle.close, ExitReason.END)
        if sold is not None:
            assert held is not None
            price = sold[0] * (1 - side * costs.slippage)
            ratio = worth(price)
            trades.append((int(held["row"]), held["price"], row, price, sold[1], ratio - 1))
            cash *= ratio
            held = None
        if held is None:
            equity.append(cash)
            if signals[row] == 1 and not regime[row]:
                order = ("buy", exits.timeout_at(volatility[row]))
            continue
        equity.append(cash * worth(candle.close * (1 - side * costs.slippage)))
        if regime[row]:
            order = ("sell", ExitReason.REGIME_CHANGE)
        elif signals[row] == 2:
            order = ("sell", ExitReason.SIGNAL)
        elif held["candles"] >= held["timeout"]:
            order = ("sell", ExitReason.DEADLINE)
    return trades, equity
