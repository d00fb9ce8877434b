"""What a forge run found: a champion or a refusal, and the evidence for either."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from crucible.forge.span import Span
from crucible.market.candles import Floats, Integers
from crucible.settings import Slot
from crucible.strategies.contract import Strategy


@dataclass(frozen=True, slots=True)
class Gate:
    """One test that a champion took.

    Attributes
    ----------
    name : str
    kind : {"sanity", "evidence"}
        Sanity gates bind always, evidence gates under the strict policy.
    value : float
        NaN where it could not be measured, which fails.
    threshold : float
    better : {"higher", "lower"}
        Which side of the threshold passes; the threshold itself passes.
    meaning : str
        What was measured, in one line with its unit.
    """

    name: str
    kind: Literal["sanity", "evidence"]
    value: float
    threshold: float
    better: Literal["higher", "lower"]
    meaning: str

    @property
    def passed(self) -> bool:
        """Whether the value is on the right side."""
        if self.better == "higher":
            return self.value >= self.threshold
        return self.value <= self.threshold

    def to_json(self) -> dict[str, Any]:
        """JSON-able; None for a value that could not be measured."""
        return {
            "name": self.name,
            "kind": self.kind,
            "value": finite(self.value),
            "threshold": self.threshold,
            "better": self.better,
            "passed": self.passed,
            "meaning": self.meaning,
        }


@dataclass(frozen=True, slots=True)
class Refusal:
    """The gate that kept a candidate from being a champion; the first in the order of the gates."""

    gate: str
    value: float
    threshold: float

    def to_json(self) -> dict[str, Any]:
        """JSON-able; None for a value that could not be measured."""
        return {"gate": self.gate, "value": finite(self.value), "threshold": self.threshold}


@dataclass(frozen=True, slots=True)
class WindowReport:
    """One window and what the champion did in it.

    Attributes
    ----------
    name : str
        train, validation or sealed.
    first_ts, last_ts : int
        Open time of the first and close time of the last candle, epoch milliseconds.
    candles : int
    opened : int
        How often this forge run evaluated a strategy in it and let the result decide anything; the
        hold-out window is opened once, to report.
    summary : dict
        `Backtest.summary`; empty without a champion.
    """

    name: str
    first_ts: int
    last_ts: int
    candles: int
    opened: int
    summary: dict[str, float | int | None]

    def to_json(self) -> dict[str, Any]:
        """JSON-able."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Curve:
    """The candidate's equity over the whole span beside buy-and-hold.

    Attributes
    ----------
    ts : ndarray of int64, shape (n,)
        Close times, epoch milliseconds.
    equity, hold : ndarray of float64, shape (n,)
        From 1; `hold` buys at the first open and pays no costs.
    """

    ts: Integers
    equity: Floats
    hold: Floats


@dataclass(frozen=True, slots=True)
class Importance:
    """What a feature matters to a strategy: its values shuffled over the validation window.

    Attributes
    ----------
    feature : str
    signals_changed : float
        Share of the window's signals that change.
    return_lost : float
        Net return of the window, less that with the feature shuffled.
    """

    feature: str
    signals_changed: float
    return_lost: float

    def to_json(self) -> dict[str, Any]:
        """JSON-able."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class ForgeResult:
    """The outcome of a forge run: exactly one of `champion` and `refusal`.

    Nobody is a champion who loses after costs in the validation window. Where the policy lets a candidate in all the
    same, so that the Arena has a population to judge, it stays a candidate: `registrable`, and refused as champion.

    Attributes
    ----------
    slot : Slot
    champion : Strategy or None
    refusal : Refusal or None
    candidate : Strategy or None
        Whom the gates judged, champion or not; None if nothing traded enough to be judged.
    gates : tuple of Gate
    proven : bool
        Whether every gate passed.
    generations : list of dict
        One row for each generation.
    windows : tuple of WindowReport
    curve : Curve or None
    trials : int
        Every candidate ever evaluated for the slot and every comparison that led to one, earlier forge runs
        included.
    effective_trials : float
        How many independent trials show by chance what these do: what the deflated Sharpe ratio takes.
    effective_own : float
        The part of them that is this forge run's.
    span : Span
        Which candles were used, of those that were given.
    policy, data_hash, feature_schema, code_revision : str
    funding : str
        Whether funding was charged, and for how much of the candles it is known.
    seed : int
    folds : tuple of dict
        Of the cross-validation; see `crossvalidation.CrossValidation`.
    paths : tuple of float
        Annual Sharpe ratio of each of its paths.
    importance : tuple of Importance
        Most listened-to feature first; empty where it was not measured.
    novelty : float or None
        How unlike the incumbents the candidate earned in training; None where it was not
        measured.
    registrable : bool
        Whether no gate failed that binds under the policy.
    ended : str
        Why the search ended before its last generation; empty where it did not.
    """

    slot: Slot
    champion: Strategy | None
    refusal: Refusal | None
    candidate: Strategy | None
    gates: tuple[Gate, ...]
    proven: bool
    generations: list[dict[str, Any]]
    windows: tuple[WindowReport, ...]
    curve: Curve | None
    trials: int
    effective_trials: float
    effective_own: float
    span: Span
    policy: str
    seed: int
    data_hash: str
    funding: str
    feature_schema: str
    code_revision: str
    folds: tuple[dict[str, Any], ...] = ()
    paths: tuple[float, ...] = ()
    importance: tuple[Importance, ...] = ()
    novelty: float | None = None
    registrable: bool = False
    ended: str = ""

    @property
    def offered(self) -> Strategy | None:
        """Whom the policy lets in: the champion, or a candidate that validation refutes; None for nobody."""
        return self.candidate if self.registrable else None

    @property
    def failed_gates(self) -> tuple[str, ...]:
        """Names of the gates that did not pass."""
        return tuple(gate.name for gate in self.gates if not gate.passed)

    def window(self, name: str) -> WindowReport:
        """Return a window by its name."""
        return next(window for window in self.windows if window.name == name)

    def lineage(self) -> dict[str, Any]:
        """JSON-able: where the candidate comes from and how it was judged."""
        return {
            "slot": self.slot.name,
            "seed": self.seed,
            "trials": self.trials,
            "effective_trials": round(self.effective_trials, 3),
            "span": self.span.to_json(),
            "ended_early": self.ended,
            "policy": self.policy,
            "proven": self.proven,
            "data_hash": self.data_hash,
            "funding": self.funding,
            "feature_schema": self.feature_schema,
            "code_revision": self.code_revision,
            "gates": [gate.to_json() for gate in self.gates],
            "windows": [window.to_json() for window in self.windows],
            "cross_validation": {
                "folds": list(self.folds),
                "paths": [finite(path) for path in self.paths],
            },
            "importance": [each.to_json() for each in self.importance],
        }


def verdict(result: ForgeResult) -> str:
    """Say in one line what came of a forge run.

    A champion earned in validation and passed what binds; a candidate that the policy lets in all the same lost there.
    """
    if result.refusal is None:
        if result.proven:
            return "champion, proven"
        return f"champion, unproven: failed {', '.join(result.failed_gates)}"
    if not result.registrable:
        return f"nothing found: refused by {result.refusal.gate}"
    lost = f"{result.refusal.value:+.2%} in validation"
    others = [name for name in result.failed_gates if name != result.refusal.gate]
    return f"candidate, unproven: {lost}" + (f"; failed {', '.join(others)}" if others else "")


def finite(value: float) -> float | None:
    """None for what JSON cannot say."""
    return value if value - value == 0 else None
