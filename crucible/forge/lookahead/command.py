"""`crucible lookahead`: a strategy's file or a function of a person's own, checked for knowledge of the future."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crucible.features.influence.mapper import InfluenceArrays
from crucible.features.pipeline import FeaturePipeline
from crucible.forge.lookahead import functions, strategies
from crucible.forge.lookahead.search import Evaluate, Finding, Market, find_leaks
from crucible.market.candles import CandleError, Candles, read_folder
from crucible.settings import MINUTE_MS, Settings
from crucible.strategies.contract import Strategy
from crucible.strategies.load import read_strategy

RULE = "no-lookahead"
FEWEST_ROWS = 200
"""On fewer candles hardly any window is whole before the first cut."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found.

    Attributes
    ----------
    target, symbol : str
    rows : int
        Candles that were used.
    first_ts, last_ts : int
        Open times of the first and the last one.
    cuts : int
    findings : list of Finding
    """

    target: str
    symbol: str
    rows: int
    first_ts: int
    last_ts: int
    cuts: int
    findings: list[Finding]

    @property
    def leaks(self) -> list[Finding]:
        """What knows the future."""
        return [finding for finding in self.findings if finding.state == "leak"]

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return {
            "target": self.target,
            "symbol": self.symbol,
            "candles": {"rows": self.rows, "first_ts": self.first_ts, "last_ts": self.last_ts},
            "cuts": self.cuts,
            "leaks": len(self.leaks),
            **({"rule": RULE} if self.leaks else {}),
            "columns": [finding.to_json() for finding in self.findings],
        }


def check_lookahead(
    target: str,
    candles_dir: Path,
    settings: Settings,
    *,
    symbol: str | None,
    rows: int,
    cuts: int,
    seed: int,
    influence: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Checked:
    """Check a strategy or a function.

    Parameters
    ----------
    target : str
        ``FILE.py:FUNCTION`` or the path of a strategy's file.
    candles_dir : Path
    settings : Settings
        Windows of the features that a strategy reads.
    symbol : str, optional
        Whose candles a function gets; a strategy has its own.
    rows : int
        Newest candles that are used.
    cuts, seed : int
        See `find_leaks`.
    influence : Path, optional
    progress : callable, optional

    Raises
    ------
    FunctionError, StrategyError, CandleError
        Naming what cannot be checked.
    """
    market = read_folder(candles_dir)
    if functions.is_function(target):
        chosen = symbol or next(iter(market))
        used = _newest(market, chosen, rows, candles_dir)
        evaluate = functions.evaluation(target, functions.load_function(target), chosen)
        functions.require_repeatable(target, evaluate, used)
    else:
        strategy = read_strategy(Path(target))
        chosen = strategy.symbol
        used = _newest(market, chosen, rows, candles_dir)
        evaluate = _of_strategy(strategy, used, settings, influence)
    findings = find_leaks(evaluate, used, chosen, cuts, seed, progress)
    candles = used[chosen]
    ends = int(candles.ts[0]), int(candles.ts[-1])
    return Checked(target, chosen, len(candles), *ends, cuts, findings)


def _of_strategy(
    strategy: Strategy,
    market: Market,
    settings: Settings,
    influence: Path | None,
) -> Evaluate:
    arrays = None if influence is None else InfluenceArrays.load(influence)
    pipeline = FeaturePipeline(list(market), settings.features, arrays)
    return strategies.evaluation(strategy, pipeline)


def _newest(market: Market, symbol: str, rows: int, folder: Path) -> dict[str, Candles]:
    """Give the newest candles of a symbol, and the other symbols' of the same time."""
    if symbol not in market:
        message = f"{folder}: no candles of {symbol}; it holds {', '.join(market)}"
        raise CandleError(message)
    own = market[symbol][slice(-rows, None)]
    if len(own) < FEWEST_ROWS:
        message = f"{folder}: {len(own)} candles of {symbol}; a check takes {FEWEST_ROWS} at least"
        raise CandleError(message)
    span = int(own.ts[0]), int(own.ts[-1]) + MINUTE_MS
    others = {name: candles.between(*span) for name, candles in market.items()}
    return {name: candles for name, candles in others.items() if len(candles)}
