"""RegimeWatch: the trailing reference of the radar and the decision `regime_change_detected`.

The decision is plain: how far volatility, correlation and the topological shape stand from their
own trailing day, each in robust deviations, fused into one score with a threshold set on seeded
null markets, hysteresis and a cooldown.
"""

from __future__ import annotations

import numpy as np

from crucible.features.grid import Matrix, State
from crucible.features.rings import NONE
from crucible.market.candles import Integers
from crucible.market.timeframes import COVERAGE

REFERENCE = 1_440
"""Minutes of the trailing reference."""

LAG = 60
"""Newest minutes left out of the reference, whose windows overlap the one that is judged."""

THRESHOLD = 4.2
"""Score at which a change is announced; set so that seeded null markets give about 0.2 a day."""

RELEASE = 0.6
"""Share of the threshold below which an alarm ends early."""

LONGEST = 30
"""Minutes after which an alarm ends in any case."""

COOLDOWN = 180
"""Minutes after an alarm's end in which no other begins."""

SHAPES = slice(0, 6)
VOLATILITY, CORRELATION = 6, 7

_MAD = 1.4826  # makes the median absolute deviation of a normal sample its standard deviation


class RegimeWatch:
    """Keep the trailing reference and the alarm's memory over evaluations.

    Parameters
    ----------
    every : int
        Minutes between evaluations.
    measures : int
        Values per evaluation.
    """

    def __init__(self, every: int, measures: int) -> None:
        self._every = every
        self._measures = measures
        self._slots = (REFERENCE + LAG) // every
        self._needed = int(np.ceil(COVERAGE * (REFERENCE // every)))

    def fresh(self) -> State:
        """State before any evaluation."""
        return {
            "radar_ring": np.full((self._slots, self._measures), np.nan),
            "radar_stamp": np.full(self._slots, NONE),
            "radar_first": np.full(1, NONE),
            # Start of the running alarm and end of the last one; NONE when there is none.
            "radar_alarm": np.full(2, NONE),
            "radar_shown_at": np.full(1, NONE),
            "radar_shown": np.full((1, 7), np.nan),
        }

    def run(
        self,
        state: State,
        minutes: Integers,
        evaluations: Matrix,
    ) -> tuple[Integers, Matrix]:
        """Step through evaluations.

        Parameters
        ----------
        state
            Changed in place.
        minutes : ndarray of int64, shape (e,)
        evaluations : ndarray of float64, shape (e, measures)

        Returns
        -------
        minutes : ndarray of int64
            With the last evaluation of an earlier run in front, so that it can be held.
        shown : ndarray of float64, shape (e or e + 1, 7)
            Five shapes, distance, decision.
        """
        shown = np.empty((len(minutes), 7))
        for row, minute in enumerate(minutes.tolist()):
            distance, score = self._judge(state, minute, evaluations[row])
            shown[row, :5] = evaluations[row, :5]
            shown[row, 5] = distance
            shown[row, 6] = self._decide(state["radar_alarm"], minute, score)
        before = state["radar_shown_at"], state["radar_shown"]
        had = bool(before[0][0] != NONE)
        if had and len(minutes) == 0:
            return before
        all_minutes = np.concatenate([before[0], minutes]) if had else minutes
        all_shown = np.concatenate([before[1], shown]) if had else shown
        if len(minutes):
            state["radar_shown_at"], state["radar_shown"] = minutes[-1:].copy(), shown[-1:].copy()
        return all_minutes, all_shown

    def _judge(self, state: State, minute: int, values: Matrix) -> tuple[float, float]:
        """Distance of the shape from its reference, and the fused score; then remember."""
        ring, stamp, first = state["radar_ring"], state["radar_stamp"], state["radar_first"]
        if first[0] == NONE:
            first[0] = minute
        distance = score = np.nan
        known = (stamp > minute - LAG - REFERENCE) & (stamp <= minute - LAG)
        if minute - first[0] >= REFERENCE + LAG and known.sum() >= self._needed:
            deviations = robust_deviations(ring[known], values)
            shapes = deviations[SHAPES][np.isfinite(deviations[SHAPES])]
            if len(shapes):
                distance = float(np.sqrt(np.mean(shapes**2)))
                score = fuse(deviations, distance)
        slot = minute // self._every % self._slots
        ring[slot], stamp[slot] = values, minute
        return distance, score

    def _decide(self, alarm: Integers, minute: int, score: float) -> float:
        """1 while an alarm runs, 0 while none does, NaN while the score is unknown."""
        if np.isnan(score):
            return float("nan")
        if alarm[0] != NONE:
            if minute - alarm[0] <= LONGEST and score >= RELEASE * THRESHOLD:
                return 1.0
            alarm[0], alarm[1] = NONE, minute
            return 0.0
        rested = alarm[1] == NONE or minute - alarm[1] >= COOLDOWN
        if rested and score >= THRESHOLD:
            alarm[0] = minute
            return 1.0
        return 0.0


def robust_deviations(reference: Matrix, values: Matrix) -> Matrix:
    """How far values stand from a reference's medians, in scaled median absolute deviations.

    Parameters
    ----------
    reference : ndarray of float64, shape (n, k)
        NaN entries are ignored, column by column.
    values : ndarray of float64, shape (k,)

    Returns
    -------
    ndarray of float64, shape (k,)
        NaN where a value is unknown or its reference never varied.
    """
    ordered, middle = _median(reference)
    spread = _MAD * _median(np.abs(ordered - middle))[1]
    out = np.full(len(values), np.nan)
    varied = spread > 0
    out[varied] = (values[varied] - middle[varied]) / spread[varied]
    return out


def _median(values: Matrix) -> tuple[Matrix, Matrix]:
    """Columns in order and their medians, NaN entries left out; much faster than nanmedian."""
    ordered = np.sort(values, axis=0)  # NaN goes last
    count = np.isfinite(values).sum(axis=0)
    columns = np.arange(values.shape[1])
    middle = (ordered[np.maximum(count - 1, 0) // 2, columns] + ordered[count // 2, columns]) / 2
    return ordered, np.where(count > 0, middle, np.nan)


def fuse(deviations: Matrix, distance: float) -> float:
    """One score from volatility (upwards), correlation (either way) and shape.

    Parameters
    ----------
    deviations : ndarray of float64, shape (len(EVALUATION),)
    distance : float

    Returns
    -------
    float
        Root of the summed squares, of those that are known; NaN when volatility is not.
    """
    up = max(float(deviations[VOLATILITY]), 0.0)
    if np.isnan(deviations[VOLATILITY]):
        return float("nan")
    across = float(np.nan_to_num(deviations[CORRELATION]))
    return float(np.sqrt(up**2 + across**2 + distance**2))
