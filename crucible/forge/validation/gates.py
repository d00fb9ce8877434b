"""The gates: what a candidate must show on data before the hold-out window."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crucible.features.frame import FeatureFrame
from crucible.forge.backtest.engine import Backtest, Market, backtest
from crucible.forge.backtest.statistics import (
    deflated_sharpe,
    overfitting_probability,
    superior_probability,
)
from crucible.forge.candidates import Variant
from crucible.forge.result import Gate
from crucible.forge.validation.cross_validation import CrossValidation
from crucible.forge.validation.policy import Policy
from crucible.forge.validation.windows import Windows, fewest_in_validation
from crucible.market.candles import Floats
from crucible.settings import Costs
from crucible.strategies.contract import Exits, Strategy
from crucible.vm.signals import Signals

CUTS = 3
PROBED_ROWS = 2_000
LIVE_ROWS = 300


@dataclass(frozen=True, slots=True)
class Material:
    """What a strategy is traded on to be judged.

    Attributes
    ----------
    market : Market
    windows : Windows
    costs : Costs
    wanted : float
        Trades in training below which a candidate is not judged.
    """

    market: Market
    windows: Windows
    costs: Costs
    wanted: float

    def run(self, rows: slice, signals: Signals, exits: Exits, scale: float = 1.0) -> Backtest:
        """Trade signals over a span of rows, at so many times the costs."""
        costs = Costs(fee=self.costs.fee * scale, slippage=self.costs.slippage * scale)
        return backtest(signals, self.market, exits, costs, rows)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the gates are measured on.

    Attributes
    ----------
    strategy : Strategy
    signals : ndarray of int8, shape (n,)
        Its signals; in training from models that did not see the row.
    variants : list of Variant
        Versions with slightly moved parameters.
    frame : FeatureFrame
        n rows.
    material : Material
        n rows.
    trials : int
        Every candidate ever evaluated for the slot, and every comparison that led to one.
    effective : float
        How many independent trials show by chance what these do.
    by_day : bool
        Whether Sharpe ratios are of daily returns, or of trades because days are few.
    field : ndarray of float64, shape (candidates, days)
        Daily returns of the final candidates, training and validation.
    unseen : ndarray of float64, shape (finalists, parts)
        Returns of those among whom validation chose, over parts of the validation window.
    cross : CrossValidation
        Of the choice among the finalists, training and validation.
    seed : int
    """

    strategy: Strategy
    signals: Signals
    variants: list[Variant]
    frame: FeatureFrame
    material: Material
    trials: int
    effective: float
    by_day: bool
    field: Floats
    unseen: Floats
    cross: CrossValidation
    seed: int


def measured_early(
    policy: Policy, signals: Signals, exits: Exits, material: Material
) -> tuple[Gate, ...]:
    """Measure the gates that a candidate fails first: whether it trades, and whether it earns in validation."""
    windows = material.windows
    train = material.run(windows.train, signals, exits)
    validation = material.run(windows.validation, signals, exits)
    return _trading(policy, material, train, validation)


def _trading(
    policy: Policy, material: Material, train: Backtest, validation: Backtest
) -> tuple[Gate, ...]:
    rows = material.windows.validation
    days = len(train.daily) + len(validation.daily)
    charge = 2 * (material.costs.fee + material.costs.slippage)
    return (
        _at_least(
            policy.gate("trades_train", len(train.trades), "trades in the training window"),
            material.wanted,
        ),
        _at_least(
            policy.gate(
                "trades_validation", len(validation.trades), "trades in the validation window"
            ),
            fewest_in_validation(rows.stop - rows.start),
        ),
        policy.gate(
            "costs_per_day",
            charge * (len(train.trades) + len(validation.trades)) / days,
            "fees and slippage a day, as a fraction of the capital traded",
        ),
        policy.gate(
            "validation_return",
            float(validation.equity[-1] - 1),
            "net return in the validation window",
        ),
    )


def _at_least(gate: Gate, wanted: float) -> Gate:
    """Raise a gate's threshold to what the length of its window asks for."""
    return replace(gate, threshold=max(gate.threshold, wanted))


def judge(evidence: Evidence, policy: Policy) -> tuple[Gate, ...]:
    """Measure every gate; nothing here opens the hold-out window."""
    strategy, material = evidence.strategy, evidence.material
    windows, signals = material.windows, evidence.signals
    known = slice(windows.train.start, windows.validation.stop)
    train = material.run(windows.train, signals, strategy.exits)
    validation = material.run(windows.validation, signals, strategy.exits)

    def earned(wanted: Signals, exits: Exits = strategy.exits, scale: float = 1.0) -> float:
        return float(material.run(known, wanted, exits, scale).equity[-1] - 1)

    if evidence.by_day:
        returns = np.concatenate([train.daily_returns, validation.daily_returns])
    else:
        returns = np.concatenate([train.trades.net_return, validation.trades.net_return])
    later = np.concatenate([[np.int8(0)], signals[:-1]])
    unit = "days" if evidence.by_day else "trades"
    kept = [earned(variant.signals, variant.exits) > 0 for variant in evidence.variants]
    broken = [int((~np.isfinite(test.equity)).sum()) for test in (train, validation)]
    return (
        policy.gate(
            "lookahead",
            changed_by_the_future(strategy, evidence.frame, evidence.seed),
            "signals that moved when only later rows were changed",
        ),
        policy.gate(
            "live_difference",
            differs_live(strategy, evidence.frame),
            "signals that differ between history and one row at a time",
        ),
        policy.gate("not_finite", sum(broken), "closes at which equity is not a number"),
        *_trading(policy, material, train, validation),
        policy.gate(
            "deflated_sharpe",
            deflated_sharpe(returns, evidence.effective),
            f"probability that its Sharpe ratio over {len(returns)} {unit} beats what "
            f"{evidence.effective:,.0f} independent trials explain ({evidence.trials:,} counted one by one)",
        ),
        policy.gate(
            "superior",
            superior_probability(evidence.unseen, evidence.seed),
            f"p-value that the best of {len(evidence.unseen)} finalists earns no more than cash in "
            f"the validation window (SPA, {evidence.unseen.shape[1]} parts)",
        ),
        policy.gate(
            "cross_validation",
            evidence.cross.worst,
            f"lowest annual Sharpe ratio of {len(evidence.cross.paths)} paths of "
            f"{len(evidence.cross.folds)} purged folds",
        ),
        policy.gate(
            "double_costs",
            earned(signals, scale=2.0),
            "net return at twice the fees and slippage, training and validation",
        ),
        policy.gate(
            "one_candle_later",
            earned(later),
            "net return with every signal one candle later, training and validation",
        ),
        policy.gate(
            "jitter",
            float(np.mean(kept)),
            f"share of {len(kept)} versions with slightly moved parameters that still earn",
        ),
        policy.gate(
            "overfitting",
            overfitting_probability(evidence.field),
            f"probability of backtest overfitting among {len(evidence.field)} candidates (CSCV)",
        ),
    )


def changed_by_the_future(strategy: Strategy, frame: FeatureFrame, seed: int) -> int:
    """Count signals before a cut that move when the rows after it are replaced by noise."""
    part = last_rows(frame, strategy.warmup + PROBED_ROWS)
    before = strategy.signals(part)
    generator = np.random.default_rng([seed, 1])
    moved = 0
    for cut in np.linspace(len(part) * 0.5, len(part) - 1, CUTS).astype(int):
        values = part.values.copy()
        values[cut:] = generator.normal(0, 1e3, values[cut:].shape)
        after = strategy.signals(replace(part, values=values))
        moved += int((after[:cut] != before[:cut]).sum())
    return moved


def differs_live(strategy: Strategy, frame: FeatureFrame) -> int:
    """Count signals that differ when the same rows are given one at a time."""
    part = last_rows(frame, strategy.warmup + LIVE_ROWS)
    history = strategy.signals(part)
    strategy.reset()
    live = np.array([strategy.decide(part.row(i)) for i in range(len(part))], dtype=np.int8)
    strategy.reset()
    return int((live != history).sum())


def last_rows(frame: FeatureFrame, rows: int) -> FeatureFrame:
    """Return the newest rows of a frame."""
    return replace(frame, ts=frame.ts[-rows:], values=frame.values[-rows:])
