"""Triple-barrier labels: whether a long trade decided at each row would have paid its costs.

Lopez de Prado, "Advances in Financial Machine Learning", 2018, chapters 3 and 4, with the fills of
the backtest: next open, slippage, fees, funding where it is known, the stop first, the adaptive timeout at the
open after it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from crucible.forge.backtest.engine import Market
from crucible.forge.backtest.kernel import first_touch
from crucible.market.candles import Floats, Integers
from crucible.settings import Costs
from crucible.strategies.contract import Exits


@dataclass(frozen=True, slots=True)
class Labels:
    """One label a row of a span.

    Attributes
    ----------
    net_return : ndarray of float64, shape (n,)
        Of a trade decided at the row; NaN where it does not end inside the span.
    end : ndarray of int64, shape (n,)
        Row of the span in which it ends.
    longest : int
        Candles that a trade may live.
    """

    net_return: Floats
    end: Integers
    longest: int

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Which rows have a label, shape (n,)."""
        return ~np.isnan(self.net_return)

    @property
    def pays(self) -> npt.NDArray[np.int8]:
        """1 where the trade earned after costs, else 0, shape (n,)."""
        return (self.net_return > 0).astype(np.int8)


def label(market: Market, exits: Exits, costs: Costs, rows: slice) -> Labels:
    """Label every row of a span; nothing after the span is looked at.

    Parameters
    ----------
    market : Market
    exits : Exits
    costs : Costs
    rows : slice
    """
    candles = market.candles
    opens = candles.open[rows]
    # What a position of one coin has paid before each open; nothing where no rate is known.
    paid = np.zeros(len(opens) + 1)
    if market.funding is not None:
        np.cumsum(np.nan_to_num(opens * market.funding[rows]), out=paid[1:])
    net_return, end = _barriers(
        opens,
        candles.high[rows],
        candles.low[rows],
        market.volatility[rows],
        paid,
        exits.stop,
        exits.target,
        exits.timeout,
        costs.fee,
        costs.slippage,
    )
    return Labels(net_return, end, 2 * exits.timeout)


def uniqueness(end: Integers, drawn: Integers) -> Floats:
    """Average uniqueness of drawn labels: what share of its time each has for itself.

    It is the mean, over the rows a trade lives, of one over how many of the drawn trades live there.
    Labels that were not drawn do not count: a label is not less unique for what no fit sees.

    Parameters
    ----------
    end : ndarray of int64, shape (n,)
        Row in which each label ends; it lives from the row after its own.
    drawn : ndarray of int64, shape (m,)
        Rows with a label, each once.

    Returns
    -------
    ndarray of float64, shape (m,)
    """
    begin, last = drawn + 1, end[drawn] + 1
    rows = len(end)
    change = np.bincount(begin, minlength=rows + 1) - np.bincount(last, minlength=rows + 1)
    alive = np.cumsum(change)[:rows]
    share = np.divide(1.0, alive, out=np.zeros(rows), where=alive > 0)
    total = np.concatenate([[0.0], np.cumsum(share)])
    weight: Floats = (total[last] - total[begin]) / (last - begin)
    return weight


@njit(nogil=True, error_model="numpy", cache=True)  # type: ignore[misc,unused-ignore]
def _barriers(
    opens: Floats,
    highs: Floats,
    lows: Floats,
    volatility: Floats,
    paid: Floats,
    stop_share: float,
    target_share: float,
    timeout: int,
    fee: float,
    slippage: float,
) -> tuple[Floats, Integers]:
    rows = len(opens)
    earned = np.full(rows, np.nan)
    end = np.zeros(rows, np.int64)
    net = (1.0 - fee) / (1.0 + fee)
    for row in range(rows - 1):
        entry = opens[row + 1] * (1.0 + slippage)
        stop = entry * (1.0 - stop_share)
        target = entry * (1.0 + target_share)
        patience = timeout
        pace = volatility[row]
        if pace > 0:
            patience = max(1, int(timeout / min(2.0, max(0.5, pace))))
        t = first_touch(lows, highs, row + 1, min(rows, row + 1 + patience), stop, target)
        if t < rows:
            if t > row + patience:
                price = opens[t]
            elif lows[t] <= stop:
                price = min(opens[t], stop)
            else:
                price = max(opens[t], target)
            funding = (paid[t + 1] - paid[row + 2]) / (entry * (1.0 + fee))
            earned[row] = price * (1.0 - slippage) / entry * net - funding - 1.0
            end[row] = t
    return earned, end
