"""What signals would have earned: the reference truth that the venue and the arena must agree with.

A signal is decided at a candle's close and filled at the next existing candle's open, plus
slippage; fees on both sides; funding where the market has it; long unless short is asked for. A
position closes at its stop or target inside a candle (the stop first when one candle touches both;
a gap through either fills at the open), or at the next open after a close at which the regime
changed, the strategy said exit, or the adaptive timeout ran out. A close with a regime change never
buys. What is open at the last close is sold there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crucible.errors import CrucibleError
from crucible.features.frame import FeatureFrame
from crucible.forge.backtest.kernel import CASH, EXPOSURE, PEAK, STATE, TRADES, Words, trade_block
from crucible.forge.backtest.statistics import max_drawdown, sharpe
from crucible.market.candles import Candles, Floats, Integers
from crucible.settings import Costs
from crucible.strategies.contract import Exits
from crucible.strategies.exit_reasons import ExitReason
from crucible.vm.interpreter import packed
from crucible.vm.signals import Signals

DAY_MS = 86_400_000
REGIME = "regime_change_detected"
VOLATILITY = "volatility_ratio"


class ForgeError(CrucibleError, ValueError):
    """A forge run or a backtest that cannot be done; the message names what and why."""


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
    funding : ndarray of float64, shape (n,), optional
        Rate paid at the candle's open, of a position's worth at that open, by whoever holds a long
        position over that instant (a short one receives it); 0 or NaN where none is paid.
    """

    candles: Candles
    regime: npt.NDArray[np.bool_]
    volatility: Floats
    day: Integers
    funding: Floats | None = None

    @classmethod
    def of(cls, candles: Candles, frame: FeatureFrame, funding: Floats | None = None) -> Market:
        """Join candles with their feature frame, and with funding rates if there are any.

        Raises
        ------
        ForgeError
            If rows do not match, or the frame lacks one of the two features.
        """
        if len(frame) != len(candles) or not np.array_equal(frame.ts, candles.close_ts):
            message = (
                f"{candles.symbol}: {len(frame)} feature rows do not belong to the "
                f"{len(candles)} candles; compute the features of these candles"
            )
            raise ForgeError(message)
        for name in (REGIME, VOLATILITY):
            if name not in frame.schema.names:
                message = f"feature {name!r} is missing from schema {frame.schema.hash}"
                raise ForgeError(message)
        if funding is not None and len(funding) != len(candles):
            message = f"{candles.symbol}: {len(funding)} funding rates for {len(candles)} candles"
            raise ForgeError(message)
        return cls(
            candles=candles,
            regime=frame.column(REGIME) == 1,
            volatility=np.ascontiguousarray(frame.column(VOLATILITY)),
            day=candles.ts // DAY_MS,
            funding=funding,
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
        Code of the `ExitReason`.
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
                "reason": str(ExitReason.of_code(int(self.reason[i]))),
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
    *,
    short: bool = False,
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
    short : bool
        Sell first and buy back: stop above, target below.

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
    book = Accounts.fresh([exits], market, start, stop, short=short)
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


@dataclass(frozen=True, slots=True)
class Accounts:
    """The running state of many strategies traded side by side over one span of rows.

    Attributes
    ----------
    exits : ndarray of float64, shape (strategies, 3)
        Stop, target, timeout.
    state : ndarray of float64, shape (strategies, 17)
        Columns: see `crucible.forge.backtest.kernel`.
    daily : ndarray of float64, shape (strategies, days)
        Equity at the last close so far of each day of the span.
    first_row, last_row : int
        The span, the end exclusive.
    short : bool
        Whether positions are sold first and bought back.
    stretches : ndarray of int64, shape (stretches, 2)
        Row after each stretch of one day without a funding payment inside, and its column of
        `daily`.
    columns : tuple of ndarray of float64
        Open, high, low, close, volatility of the market's rows, and funding (empty without).
    """

    exits: Floats
    state: Floats
    daily: Floats
    first_row: int
    last_row: int
    short: bool
    stretches: Integers
    columns: tuple[Floats, ...]

    @classmethod
    def fresh(
        cls,
        exits: list[Exits],
        market: Market,
        first_row: int,
        last_row: int,
        *,
        short: bool = False,
    ) -> Accounts:
        """Flat books with equity 1."""
        span = slice(first_row, last_row)
        day = market.day[span]
        table = np.array([(e.stop, e.target, e.timeout) for e in exits]).reshape(-1, 3)
        state = np.zeros((len(table), STATE))
        state[:, [CASH, PEAK]] = 1.0
        funding = np.empty(0) if market.funding is None else market.funding
        starts = np.ones(len(day), bool)
        starts[1:] = day[1:] != day[:-1]
        dates = day[starts]
        if len(funding):
            starts |= np.nan_to_num(funding[span]) != 0
        ends = np.append(np.flatnonzero(starts)[1:], len(day))[: len(day)]
        stretches = np.column_stack([ends + first_row, np.searchsorted(dates, day[ends - 1])])
        candles = market.candles
        values = (candles.open, candles.high, candles.low, candles.close, market.volatility)
        columns = tuple(np.ascontiguousarray(x, dtype=np.float64) for x in (*values, funding))
        daily = np.ones((len(table), len(dates)))
        return cls(table, state, daily, first_row, last_row, short, stretches, columns)

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
        count = signals.shape[1]
        roots = np.arange(len(signals))
        buys, leaves = packed(signals == 1), packed(signals == 2)
        self.trade_packed(market, buys, leaves, roots, row, count, costs, log, equity)

    def trade_packed(
        self,
        market: Market,
        buys: Words,
        leaves: Words,
        roots: Integers,
        row: int,
        count: int,
        costs: Costs,
        log: Floats | None = None,
        equity: Floats | None = None,
    ) -> None:
        """Trade the next rows on signals of 64 rows to a word.

        Parameters
        ----------
        market : Market
        buys, leaves : ndarray of uint64, shape (roots, words)
            See `crucible.vm.interpreter.packed`; never both of a row.
        roots : ndarray of int64, shape (strategies,)
            The signals that each strategy trades.
        row, count : int
            The market's row of the first signal, and how many there are.
        costs, log, equity
            As for `trade`.
        """
        if count == 0:
            return
        stop = row + count
        first, last = np.searchsorted(self.stretches[:, 0], (row, stop), side="right")
        inner = self.stretches[first:last]
        if not len(inner) or inner[-1, 0] < stop:
            inner = np.vstack([inner, [stop, self.stretches[last, 1]]])
        opens, highs, lows, closes, volatility, funding = self.columns
        trade_block(
            buys,
            leaves,
            packed(market.regime[row:stop]),
            roots,
            row,
            count,
            stop == self.last_row,
            opens,
            highs,
            lows,
            closes,
            volatility,
            funding,
            np.ascontiguousarray(inner[:, 0]),
            np.ascontiguousarray(inner[:, 1]),
            self.exits,
            np.array([costs.fee, costs.slippage, float(self.short)]),
            self.state,
            self.daily,
            np.zeros((0, 6)) if log is None else log,
            np.zeros((0, 0)) if equity is None else equity,
        )
