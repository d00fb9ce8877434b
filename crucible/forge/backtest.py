"""What signals would have earned: the reference truth that the venue and the arena must agree with.

A signal is decided at a candle's close and filled at the next existing candle's open, plus
slippage; fees on both sides; long only. A position closes at its stop or target inside a candle
(the stop first when one candle touches both; a gap through either fills at the open), or at the
next open after a close at which the regime changed, the strategy said exit, or the adaptive timeout
ran out. A close with a regime change never buys. What is open at the last close is sold there.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt
from numba import njit

from crucible.features.frame import FeatureFrame
from crucible.forge.statistics import max_drawdown, sharpe
from crucible.market.candles import Candles, Floats, Integers
from crucible.settings import Costs
from crucible.strategies.contract import Exits, Signals

DAY_MS = 86_400_000
REGIME = "regime_change_detected"
VOLATILITY = "volatility_ratio"


class ForgeError(ValueError):
    """A forging or a backtest that cannot be done; the message names what and why."""


class Reason(IntEnum):
    """Why a position was closed."""

    STOP = 1
    TARGET = 2
    SIGNAL = 3
    TIMEOUT = 4
    REGIME = 5
    END = 6


@dataclass(frozen=True, slots=True)
class Market:
    """Candles and the two features that every backtest heeds, row by row.

    Attributes
    ----------
    candles : Candles
        n candles.
    regime : ndarray of bool, shape (n,)
        Whether a regime change was detected at the close.
    volatility : ndarray of float64, shape (n,)
        Short over long volatility at the close; NaN where unknown.
    day : ndarray of int64, shape (n,)
        UTC day of the candle's open, counted from 1970.
    """

    candles: Candles
    regime: npt.NDArray[np.bool_]
    volatility: Floats
    day: Integers

    @classmethod
    def of(cls, candles: Candles, frame: FeatureFrame) -> Market:
        """Join candles with their feature frame.

        Raises
        ------
        ForgeError
            If rows do not match, or the frame lacks one of the two features.
        """
        if len(frame) != len(candles) or not np.array_equal(frame.ts, candles.close_ts):
            message = (
                f"{candles.symbol}: {len(frame)} feature rows do not speak of the "
                f"{len(candles)} candles; compute the features of these candles"
            )
            raise ForgeError(message)
        for name in (REGIME, VOLATILITY):
            if name not in frame.schema.names:
                message = f"feature {name!r} is missing from schema {frame.schema.hash}"
                raise ForgeError(message)
        return cls(
            candles, frame.column(REGIME) == 1, frame.column(VOLATILITY), candles.ts // DAY_MS
        )

    def __len__(self) -> int:
        return len(self.candles)


@dataclass(frozen=True, slots=True)
class Trades:
    """Closed positions in time order, all arrays of shape (trades,).

    Attributes
    ----------
    entry_ts, exit_ts : ndarray of int64
        Open times of the candles that filled, epoch milliseconds.
    entry_price, exit_price : ndarray of float64
        Slippage included, fees not.
    reason : ndarray of int64
        `Reason` of the exit.
    net_return : ndarray of float64
        Of the capital in the position, both fees included.
    """

    entry_ts: Integers
    entry_price: Floats
    exit_ts: Integers
    exit_price: Floats
    reason: Integers
    net_return: Floats

    def __len__(self) -> int:
        return len(self.entry_ts)

    def rows(self) -> list[dict[str, float | int | str]]:
        """One JSON-able object for each."""
        return [
            {
                "entry_ts": int(self.entry_ts[i]),
                "entry_price": float(self.entry_price[i]),
                "exit_ts": int(self.exit_ts[i]),
                "exit_price": float(self.exit_price[i]),
                "reason": Reason(int(self.reason[i])).name.lower(),
                "net_return": float(self.net_return[i]),
            }
            for i in range(len(self))
        ]


@dataclass(frozen=True, slots=True)
class Backtest:
    """Trades and equity of one strategy over a span of candles.

    Attributes
    ----------
    trades : Trades
    ts : ndarray of int64, shape (n,)
        Close times.
    equity : ndarray of float64, shape (n,)
        At each close as if sold there, starting from 1, all capital in each trade.
    daily : ndarray of float64, shape (days,)
        Equity at the last close of each UTC day that has candles.
    exposure : float
        Share of closes at which a position was open.
    """

    trades: Trades
    ts: Integers
    equity: Floats
    daily: Floats
    exposure: float

    @property
    def daily_returns(self) -> Floats:
        """Return of each day, shape (days,)."""
        return daily_returns(self.daily)

    def summary(self) -> dict[str, float | int | None]:
        """JSON-able figures; None where one is not defined.

        ``sharpe_daily`` is mean over deviation of daily returns, not annualised;
        ``sharpe_annual`` is that times the root of 365.
        """
        trades = self.trades
        daily_sharpe = sharpe(self.daily_returns)
        gains = float(trades.net_return[trades.net_return > 0].sum())
        losses = -float(trades.net_return[trades.net_return < 0].sum())
        days = len(self.daily)
        figures = {
            "net_return": float(self.equity[-1] - 1) if len(self.equity) else 0.0,
            "max_drawdown": max_drawdown(self.equity),
            "sharpe_daily": daily_sharpe,
            "sharpe_annual": daily_sharpe * 365**0.5,
            "win_rate": float((trades.net_return > 0).mean()) if len(trades) else float("nan"),
            "mean_trade": float(trades.net_return.mean()) if len(trades) else float("nan"),
            "profit_factor": gains / losses if losses > 0 else float("nan"),
            "trades_per_day": len(trades) / days if days else float("nan"),
            "exposure": self.exposure,
        }
        return {
            "candles": len(self.equity),
            "days": days,
            "trades": len(trades),
            **{key: value if np.isfinite(value) else None for key, value in figures.items()},
        }


def backtest(
    signals: Signals,
    market: Market,
    exits: Exits,
    costs: Costs,
    rows: slice | None = None,
) -> Backtest:
    """Trade one strategy's signals over a span of rows.

    Parameters
    ----------
    signals : ndarray of int8, shape (n,)
        One for each candle of the market, from the whole history.
    market : Market
        n rows.
    exits : Exits
    costs : Costs
    rows : slice, optional
        The span to trade; flat at its start and at its end.

    Raises
    ------
    ForgeError
        If the signals do not match the market.
    """
    if len(signals) != len(market):
        message = f"{len(signals)} signals for {len(market)} candles"
        raise ForgeError(message)
    start, stop, _ = (rows or slice(None)).indices(len(market))
    count = max(0, stop - start)
    log = np.zeros((count + 1, 6))
    equity = np.ones((1, count))
    book = Books.fresh([exits], market, start, stop)
    book.trade(market, signals[None, start:stop], start, costs, log, equity)
    done = log[: int(book.state[0, TRADES])]
    ts = market.candles.ts
    trades = Trades(
        entry_ts=ts[done[:, 0].astype(np.int64)],
        entry_price=done[:, 1],
        exit_ts=ts[done[:, 2].astype(np.int64)],
        exit_price=done[:, 3],
        reason=done[:, 4].astype(np.int64),
        net_return=done[:, 5],
    )
    exposure = float(book.state[0, EXPOSURE]) / count if count else 0.0
    close_ts = market.candles.close_ts[start:stop]
    return Backtest(trades, close_ts, equity[0], book.daily[0], exposure)


def daily_returns(daily: Floats) -> Floats:
    """Turn equity marks into returns along the last axis, the first from 1."""
    before = np.concatenate([np.ones_like(daily[..., :1]), daily[..., :-1]], axis=-1)
    result: Floats = daily / before - 1
    return result


# Columns of the state that is carried from chunk to chunk, one row for each strategy.
(POSITION, PENDING, ENTRY, STOP, TARGET, HELD, TIMEOUT, CASH, PEAK, DRAWDOWN) = range(10)
(TRADES, WINS, SUM, SQUARES, EXPOSURE, ENTRY_ROW) = range(10, 16)
STATE = 16


@dataclass(frozen=True, slots=True)
class Books:
    """The running state of many strategies traded side by side over one span of rows.

    Attributes
    ----------
    exits : ndarray of float64, shape (strategies, 3)
        Stop, target, timeout.
    state : ndarray of float64, shape (strategies, 16)
    daily : ndarray of float64, shape (strategies, days)
        Equity at the last close so far of each day of the span.
    first_row, last_row : int
        The span, the end exclusive.
    day : ndarray of int64, shape (rows of the span,)
        Column of `daily` for each row.
    """

    exits: Floats
    state: Floats
    daily: Floats
    first_row: int
    last_row: int
    day: Integers

    @classmethod
    def fresh(cls, exits: list[Exits], market: Market, first_row: int, last_row: int) -> Books:
        """Flat books with equity 1."""
        _, day = np.unique(market.day[first_row:last_row], return_inverse=True)
        days = int(day[-1]) + 1 if len(day) else 0
        table = np.array([(e.stop, e.target, e.timeout) for e in exits]).reshape(-1, 3)
        state = np.zeros((len(table), STATE))
        state[:, [CASH, PEAK]] = 1.0
        return cls(table, state, np.ones((len(table), days)), first_row, last_row, day)

    def trade(
        self,
        market: Market,
        signals: Signals,
        row: int,
        costs: Costs,
        log: Floats | None = None,
        equity: Floats | None = None,
    ) -> None:
        """Trade the next rows; call in order until the span is done.

        Parameters
        ----------
        market : Market
        signals : ndarray of int8, shape (strategies, m)
        row : int
            The market's row of the first signal.
        costs : Costs
        log : ndarray of float64, shape (trades, 6), optional
            Filled with entry row and price, exit row and price, reason, return (one strategy).
        equity : ndarray of float64, shape (strategies, m), optional
            Filled with the equity at each close.
        """
        candles = market.candles
        _trade_rows(
            signals,
            row,
            row + signals.shape[1] == self.last_row,
            candles.open,
            candles.high,
            candles.low,
            candles.close,
            market.regime,
            market.volatility,
            self.day[row - self.first_row :],
            self.exits,
            costs.fee,
            costs.slippage,
            self.state,
            self.daily,
            np.zeros((0, 6)) if log is None else log,
            np.zeros((0, 0)) if equity is None else equity,
        )


@njit(nogil=True, error_model="numpy", cache=True)  # type: ignore[misc,unused-ignore]
def _trade_rows(
    signals: Signals,
    first: int,
    ends: bool,  # noqa: FBT001
    opens: Floats,
    highs: Floats,
    lows: Floats,
    closes: Floats,
    regime: npt.NDArray[np.bool_],
    volatility: Floats,
    day: Integers,
    exits: Floats,
    fee: float,
    slippage: float,
    state: Floats,
    daily: Floats,
    log: Floats,
    equity: Floats,
) -> None:
    buying = 1.0 + slippage
    selling = 1.0 - slippage
    net = (1.0 - fee) / (1.0 + fee)
    rows = signals.shape[1]
    for r in range(signals.shape[0]):
        s = state[r]
        position = s[POSITION] == 1.0
        # 0 nothing, 1 buy, else minus the reason of an exit at the next open.
        pending = int(s[PENDING])
        entry, stop, target = s[ENTRY], s[STOP], s[TARGET]
        held, timeout, entry_row = int(s[HELD]), int(s[TIMEOUT]), int(s[ENTRY_ROW])
        cash, peak, drawdown = s[CASH], s[PEAK], s[DRAWDOWN]
        for i in range(rows):
            t = first + i
            price = 0.0
            reason = 0
            if pending == 1:
                entry = opens[t] * buying
                stop = entry * (1.0 - exits[r, 0])
                target = entry * (1.0 + exits[r, 1])
                position = True
                held = 0
                entry_row = t
                pending = 0
            elif pending < 0:
                reason = -pending
                price = opens[t] * selling
                pending = 0
            if position and reason == 0:
                held += 1
                if lows[t] <= stop:
                    reason = 1
                    price = min(opens[t], stop) * selling
                elif highs[t] >= target:
                    reason = 2
                    price = max(opens[t], target) * selling
                elif ends and i == rows - 1:
                    reason = 6
                    price = closes[t] * selling
            if reason != 0:
                ratio = price / entry * net
                earned = ratio - 1.0
                cash *= ratio
                position = False
                k = int(s[TRADES])
                if k < log.shape[0]:
                    log[k, 0] = entry_row
                    log[k, 1] = entry
                    log[k, 2] = t
                    log[k, 3] = price
                    log[k, 4] = reason
                    log[k, 5] = earned
                s[TRADES] += 1.0
                s[SUM] += earned
                s[SQUARES] += earned * earned
                if earned > 0:
                    s[WINS] += 1.0
            wish = signals[r, i]
            mark = cash
            if position:
                mark = cash * (closes[t] * selling / entry * net)
                s[EXPOSURE] += 1.0
                if regime[t]:
                    pending = -5
                elif wish == 2:
                    pending = -3
                elif held >= timeout:
                    pending = -4
            elif wish == 1 and not regime[t]:
                pending = 1
                # Exits.timeout_at, in the kernel.
                timeout = int(exits[r, 2])
                pace = volatility[t]
                if pace > 0:
                    timeout = max(1, int(exits[r, 2] / min(2.0, max(0.5, pace))))
            peak = max(peak, mark)
            drawdown = max(drawdown, 1.0 - mark / peak)
            daily[r, day[i]] = mark
            if equity.shape[0] > 0:
                equity[r, i] = mark
        s[POSITION] = 1.0 if position else 0.0
        s[PENDING] = pending
        s[ENTRY], s[STOP], s[TARGET] = entry, stop, target
        s[HELD], s[TIMEOUT], s[ENTRY_ROW] = held, timeout, entry_row
        s[CASH], s[PEAK], s[DRAWDOWN] = cash, peak, drawdown
