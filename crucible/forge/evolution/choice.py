"""Which of the finalists is judged: the one that stands best on both windows, of those that validation bears out."""

from __future__ import annotations

import math

import numpy as np

from crucible.forge.backtest.engine import Market, backtest, daily_returns
from crucible.forge.backtest.statistics import sharpe
from crucible.forge.candidates import Breeder, Candidate, Variant
from crucible.forge.validation.windows import Windows
from crucible.market.candles import Floats
from crucible.settings import ForgeSettings

# Slightly moved versions of each finalist, and as many that the jitter gate trades.
VARIANTS = 8
# The validation window is cut into as many parts as it has days, and into no fewer than these.
FEWEST_PARTS = 40


class Choice:
    """Chooses among finalists by the training and validation windows.

    Parameters
    ----------
    breeder : Breeder
    market : Market
    windows : Windows
    settings : ForgeSettings
    seed : int
    """

    def __init__(
        self, breeder: Breeder, market: Market, windows: Windows, settings: ForgeSettings, seed: int
    ) -> None:
        self._breeder = breeder
        self._market = market
        self._windows = windows
        self._settings = settings
        self._seed = seed

    def best(self, finalists: list[Candidate]) -> Candidate:
        """Whoever stands furthest above zero at twice the costs, in the worse window, slightly moved.

        Only those that earn in validation after costs can be chosen, as long as there is one. In standard errors of
        a trade, so that few great trades do not count for more than many good ones; of itself and its moved versions
        the weaker ones count, so that nobody is chosen for a constant that must be met exactly.
        """
        returns = self._breeder.outcomes(finalists, self._windows.validation).net_return
        earning = [each for each, earned in zip(finalists, returns, strict=True) if earned > 0]
        field = earning or finalists
        t_statistics = [self._steady_t_statistic(finalist) for finalist in field]
        if np.isfinite(t_statistics).any():
            return field[int(np.nanargmax(t_statistics))]
        # Nobody stands when moved: the best in training is judged, and the gates say so.
        return field[0]

    def unseen(self, finalists: list[Candidate]) -> Floats:
        """Return what finalists earn in equal parts of the validation window, which bred nobody.

        Returns
        -------
        ndarray of float64, shape (finalists, parts)
        """
        rows = self._windows.validation
        days = len(np.unique(self._market.day[rows]))
        ends = np.linspace(0, rows.stop - rows.start, max(days, FEWEST_PARTS) + 1).astype(int)[1:]
        equity = [
            backtest(
                self._breeder.signals(finalist),
                self._market,
                self._breeder.strategy(finalist).exits,
                self._settings.costs,
                rows,
            ).equity[ends - 1]
            for finalist in finalists
        ]
        return daily_returns(np.array(equity))

    def purge(self, finalists: list[Candidate]) -> int:
        """Rows between two groups over which no finalist looks back or holds."""
        strategies = [self._breeder.strategy(finalist) for finalist in finalists]
        return max(each.warmup + 2 * each.exits.timeout for each in strategies)

    def _steady_t_statistic(self, finalist: Candidate) -> float:
        """Lower quartile over a finalist and its moved versions; NaN where itself has none.

        A version that trades too little to tell is weaker than any that does.
        """
        own = Variant(self._breeder.signals(finalist), self._breeder.strategy(finalist).exits)
        if math.isnan(self._t_statistic(own)):
            return math.nan
        # Other draws than those of the jitter gate, which is to judge the choice.
        seed = int(np.random.SeedSequence([self._seed, 4]).generate_state(1)[0])
        moved = self._breeder.variants(finalist, seed, VARIANTS)
        t_statistics = np.array([self._t_statistic(version) for version in (own, *moved)])
        t_statistics[np.isnan(t_statistics)] = -np.inf
        return float(np.quantile(t_statistics, 0.25, method="lower"))

    def _t_statistic(self, version: Variant) -> float:
        """Mean return of a trade at twice the costs, in standard errors, in the worse window.

        NaN where a window has too few trades to tell.
        """
        costs = self._settings.costs
        charge = 2 * (costs.fee + costs.slippage)
        t_statistics = []
        for rows in (self._windows.train, self._windows.validation):
            test = backtest(version.signals, self._market, version.exits, costs, rows)
            returns = test.trades.net_return - charge
            t_statistics.append(sharpe(returns) * len(returns) ** 0.5)
        return float(np.min(t_statistics))
