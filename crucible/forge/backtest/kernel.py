"""The compiled backtest: one block of packed signals traded by many strategies.

Between two events nothing happens to a strategy, so rows without one are passed over many at a
time: the next buy or exit is the next set bit of a word, the next touch of a stop or a target is
found 16 candles at a time. What is earned is the same as candle by candle.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import extending, njit, types

from crucible.market.candles import Floats, Integers
from crucible.strategies.exit_reasons import ExitReason

Words = npt.NDArray[np.uint64]

intrinsic: Any = extending.intrinsic

# Columns of the state that is carried from block to block, one row for each strategy.
BY_STOP, BY_TARGET = ExitReason.STOP.code, ExitReason.TAKE_PROFIT.code
BY_SIGNAL, BY_DEADLINE = ExitReason.SIGNAL.code, ExitReason.DEADLINE.code
BY_REGIME, BY_END = ExitReason.REGIME_CHANGE.code, ExitReason.END.code
(POSITION, PENDING, ENTRY, STOP, TARGET, HELD, TIMEOUT, CASH, PEAK, DRAWDOWN) = range(10)
(TRADES, WINS, SUM, SQUARES, EXPOSURE, ENTRY_ROW, PAID) = range(10, 17)
STATE = 17
# Columns of `costs`.
FEE, SLIPPAGE, SHORT = range(3)
# Candles that are looked at together.
STRIDE = 16

_compiled = njit(nogil=True, error_model="numpy")


@intrinsic
def _lowest_bit(typing_context, word):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    """Position of the lowest set bit; 64 where none is."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


@intrinsic
def _touches(typing_context, lows, highs, row, down, up):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    """Which of the next 16 candles reach down to one price or up to another, a bit for each."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        vector = ir.VectorType(ir.DoubleType(), STRIDE)
        first = ir.Constant(ir.IntType(32), 0)
        mask = ir.Constant(ir.VectorType(ir.IntType(32), STRIDE), [0] * STRIDE)
        undefined = ir.Constant(vector, ir.Undefined)

        def load(index: int) -> object:
            data = context.make_array(signature.args[index])(
                context, builder, arguments[index]
            ).data
            place = builder.bitcast(builder.gep(data, [arguments[2]]), vector.as_pointer())
            return builder.load(place, align=8)

        def everywhere(value: object) -> object:
            one = builder.insert_element(undefined, value, first)
            return builder.shuffle_vector(one, undefined, mask)

        hit = builder.or_(
            builder.fcmp_ordered("<=", load(0), everywhere(arguments[3])),
            builder.fcmp_ordered(">=", load(1), everywhere(arguments[4])),
        )
        bits = builder.bitcast(hit, ir.IntType(STRIDE))
        return builder.zext(bits, ir.IntType(64))

    return types.uint64(lows, highs, types.intp, types.float64, types.float64), generate


@_compiled
def _next(words: Words, blocked: Words, row: int, end: int) -> int:
    """First row from `row` on whose bit is set and not blocked; `end` where there is none."""
    k = row >> 6
    if row >= end:
        return end
    shift = np.uint64(row & 63)
    word = ((words[k] & ~blocked[k]) >> shift) << shift
    last = (end - 1) >> 6
    while word == np.uint64(0):
        k += 1
        if k > last:
            return end
        word = words[k] & ~blocked[k]
    found: int = min(end, (k << 6) + _lowest_bit(word))
    return found


@_compiled
def first_touch(lows: Floats, highs: Floats, row: int, end: int, down: float, up: float) -> int:
    """First candle from `row` on that reaches `down` or `up`; `end` where there is none."""
    safe = len(lows) - STRIDE
    while row < end:
        if row > safe:
            if lows[row] <= down or highs[row] >= up:
                return row
            row += 1
            continue
        hit = _touches(lows, highs, row, down, up)
        if hit != np.uint64(0):
            found: int = min(end, row + _lowest_bit(hit))
            return found
        row += STRIDE
    return end


@_compiled
def _worth(price: float, entry: float, net: float, paid: float, short: bool) -> float:  # noqa: FBT001
    """Tell what becomes of one unit of capital in a position that is closed at a price."""
    if short:
        # The size of a long of the same entry, sold first; what is lost is at most everything.
        return max(0.0, 1.0 + net - price / entry + paid)
    return price / entry * net - paid


@_compiled
def _mark_held(
    closes: Floats,
    first: int,
    last: int,
    cash: float,
    entry: float,
    leaving: float,
    net: float,
    paid: float,
    short: bool,  # noqa: FBT001
    s: Floats,
) -> float:
    """Heed the closes of rows at which a position is held; gives the mark at the last of them."""
    low = closes[first]
    high = low
    for t in range(first + 1, last):
        low = min(low, closes[t])
        high = max(high, closes[t])
    least = cash * _worth((high if short else low) * leaving, entry, net, paid, short)
    most = cash * _worth((low if short else high) * leaving, entry, net, paid, short)
    peak = s[PEAK]
    # No row is further below its peak than the lowest mark is below the highest peak there is.
    if 1.0 - least / max(peak, most) > s[DRAWDOWN]:
        drawdown = s[DRAWDOWN]
        for t in range(first, last):
            mark = cash * _worth(closes[t] * leaving, entry, net, paid, short)
            peak = max(peak, mark)
            drawdown = max(drawdown, 1.0 - mark / peak)
        s[DRAWDOWN] = drawdown
    s[PEAK] = max(peak, most)
    return cash * _worth(closes[last - 1] * leaving, entry, net, paid, short)


@njit(nogil=True, error_model="numpy", cache=True)
def trade_block(
    buys: Words,
    leaves: Words,
    regime: Words,
    roots: Integers,
    first: int,
    rows: int,
    ends: bool,  # noqa: FBT001
    opens: Floats,
    highs: Floats,
    lows: Floats,
    closes: Floats,
    volatility: Floats,
    funding: Floats,
    stops: Integers,
    days: Integers,
    exits: Floats,
    costs: Floats,
    state: Floats,
    daily: Floats,
    log: Floats,
    equity: Floats,
) -> None:
    """Trade `rows` rows from row `first` on.

    Parameters
    ----------
    buys, leaves : ndarray of uint64, shape (roots, words)
        A bit for each row of the block; never both.
    regime : ndarray of uint64, shape (words,)
        A bit for each row at whose close the regime changed.
    roots : ndarray of int64, shape (strategies,)
        The signals that each strategy trades.
    ends : bool
        Whether the block's last row is the span's last.
    opens, highs, lows, closes, volatility, funding : ndarray of float64, shape (n,)
        Of the whole market; no funding has length 0.
    stops : ndarray of int64
        Row after each stretch that is marked, the last one `first + rows`: a day's last row, the
        row before funding is paid.
    days : ndarray of int64
        Column of `daily` of each stretch.
    exits : ndarray of float64, shape (strategies, 3)
    costs : ndarray of float64, shape (3,)
        Fee, slippage, and 1 for short positions.
    state, daily, log, equity
        See `crucible.forge.backtest.engine.Books`.
    """
    short = costs[SHORT] == 1.0
    entering = 1.0 - costs[SLIPPAGE] if short else 1.0 + costs[SLIPPAGE]
    leaving = 1.0 + costs[SLIPPAGE] if short else 1.0 - costs[SLIPPAGE]
    net = (1.0 - costs[FEE]) / (1.0 + costs[FEE])
    nothing = np.zeros(len(regime), np.uint64)
    end = first + rows
    for r in range(len(roots)):
        s = state[r]
        buy, leave = buys[roots[r]], leaves[roots[r]]
        position = s[POSITION] == 1.0
        # 0 nothing, 1 buy, else minus the reason of an exit at the next open.
        pending = int(s[PENDING])
        entry, stop, target, paid = s[ENTRY], s[STOP], s[TARGET], s[PAID]
        held, timeout, entry_row = int(s[HELD]), int(s[TIMEOUT]), int(s[ENTRY_ROW])
        cash = s[CASH]
        t = first
        for stretch in range(len(stops)):
            until = stops[stretch]
            mark = cash
            if position and len(funding) > 0 and t < until and funding[t] == funding[t]:
                # Held over the instant of the open, whatever is filled at it.
                share = opens[t] * funding[t] / (entry * (1.0 + costs[FEE]))
                paid += share
            while t < until:
                if not position and pending == 0:
                    found = first + _next(buy, regime, t - first, until - first)
                    if equity.shape[0] > 0:
                        equity[r, t - first : min(found + 1, until) - first] = cash
                    if found == until:
                        t = until
                        break
                    # Exits.timeout_at, in the kernel.
                    timeout = int(exits[r, 2])
                    pace = volatility[found]
                    if pace > 0:
                        timeout = max(1, int(exits[r, 2] / min(2.0, max(0.5, pace))))
                    pending = 1
                    t = found + 1
                    continue
                price = 0.0
                reason = 0
                if pending == 1:
                    entry = opens[t] * entering
                    stop = entry * (1.0 + exits[r, 0] if short else 1.0 - exits[r, 0])
                    target = entry * (1.0 - exits[r, 1] if short else 1.0 + exits[r, 1])
                    position = True
                    held = 0
                    paid = 0.0
                    entry_row = t
                elif pending < 0:
                    reason = -pending
                    price = opens[t] * leaving
                pending = 0
                if reason == 0:
                    # The last row, exclusive, at whose close the position may still be held.
                    out = first + _next(leave, nothing, t - first, until - first)
                    out = min(out, first + _next(regime, nothing, t - first, out - first))
                    limit = min(out + 1, until, t + max(1, timeout - held))
                    down, up = (target, stop) if short else (stop, target)
                    found = first_touch(lows, highs, t, limit, down, up)
                    over = ends and found == end
                    still = found - 1 if over else found
                    if still > t:
                        mark = _mark_held(
                            closes, t, still, cash, entry, leaving, net, paid, short, s
                        )
                        s[EXPOSURE] += still - t
                        if equity.shape[0] > 0:
                            for i in range(t, still):
                                worth = _worth(closes[i] * leaving, entry, net, paid, short)
                                equity[r, i - first] = cash * worth
                    held += still - t
                    if found == limit and not over:
                        t = limit
                        if limit == out + 1:
                            changed = regime[(out - first) >> 6] >> np.uint64((out - first) & 63)
                            pending = -BY_REGIME if changed & np.uint64(1) else -BY_SIGNAL
                        elif held >= timeout:
                            pending = -BY_DEADLINE
                        continue
                    t = still
                    if over:
                        reason = BY_END
                        price = closes[t] * leaving
                    elif highs[t] >= stop if short else lows[t] <= stop:
                        reason = BY_STOP
                        price = max(opens[t], stop) if short else min(opens[t], stop)
                        price *= leaving
                    else:
                        reason = BY_TARGET
                        price = min(opens[t], target) if short else max(opens[t], target)
                        price *= leaving
                ratio = _worth(price, entry, net, paid, short)
                earned = ratio - 1.0
                cash *= ratio
                mark = cash
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
                s[WINS] += 1.0 if earned > 0 else 0.0
                s[PEAK] = max(s[PEAK], cash)
                s[DRAWDOWN] = max(s[DRAWDOWN], 1.0 - cash / s[PEAK])
            daily[r, days[stretch]] = mark
        s[POSITION] = 1.0 if position else 0.0
        s[PENDING] = pending
        s[ENTRY], s[STOP], s[TARGET], s[PAID] = entry, stop, target, paid
        s[HELD], s[TIMEOUT], s[ENTRY_ROW] = held, timeout, entry_row
        s[CASH] = cash
