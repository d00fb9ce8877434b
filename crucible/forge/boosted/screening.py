"""Which features tell something in their tails, looked at inside the training folds only.

A rule that acts rarely shows in the few rows where one feature is extreme, or where one is extreme
and another on one side of its usual. Over all rows it drowns. So trades are begun in every tail of
every feature, one after the other and never two at once, and features are ordered by how far from the
usual those trades end. A screening sees only rows that a fit may see: it is part of the fit.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from crucible.forge.boosted.labels import Labels
from crucible.market.candles import Floats, Integers

TAILS = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002)
"""Quantiles of a feature, from below and from above; a row is as deep as it is beyond so many."""
FEWEST_TRADES = 30
BASES = 16
"""Tails in which companions are sought."""
GAIN = 1.5
"""Standard errors that a companion must add: less is what the best of many gives by chance."""
PARTS = 8
EVERY = 10
"""One row in so many is enough to know quantiles."""
MIDDLE = 0.1
"""Chance of a row in no tail to be drawn, where the outermost have `len(TAILS)`."""

Depths = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Terrain:
    """Where features are usual and where extreme, as far as the given rows know.

    Attributes
    ----------
    depths : ndarray of int8, shape (features, n)
        How many of the quantiles `TAILS` a value is beyond, negative below the middle; 0 where
        it is missing.
    edges : ndarray of float64, shape (features, PARTS - 1)
        Quantiles that cut a feature into equal parts.
    """

    depths: Depths
    edges: Floats

    @classmethod
    def of(cls, values: Floats, rows: npt.NDArray[np.bool_]) -> Terrain:
        """Measure the quantiles of the given rows, and place every row between them.

        Parameters
        ----------
        values : ndarray of float64, shape (n, features)
            NaN where missing.
        rows : ndarray of bool, shape (n,)
        """
        tails = [*reversed(TAILS), *(1 - tail for tail in TAILS)]
        wanted = [*tails, *(part / PARTS for part in range(1, PARTS))]
        with warnings.catch_warnings():
            # A feature without a single value has no quantiles, and then no tails.
            warnings.simplefilter("ignore", RuntimeWarning)
            found = np.nanquantile(values[np.flatnonzero(rows)[::EVERY]], wanted, axis=0).T
        count = len(TAILS)
        low = np.ascontiguousarray(found[:, :count][:, ::-1])
        high = np.ascontiguousarray(found[:, count : 2 * count])
        return cls(_depths(values, low, high), np.ascontiguousarray(found[:, 2 * count :]))


@dataclass(frozen=True, slots=True)
class Look:
    """Trades begun in one tail, perhaps on one side of another feature only.

    Attributes
    ----------
    strength : float
        Standard errors between their mean and the usual.
    columns : tuple of int
        The feature of the tail, and its companion if there is one.
    """

    t_statistic: float
    columns: tuple[int, ...]


def screen(
    values: Floats, terrain: Terrain, labels: Labels, rows: npt.NDArray[np.bool_]
) -> Integers:
    """Order features by the strongest look that names them, the most telling first.

    Parameters
    ----------
    values : ndarray of float64, shape (n, features)
    terrain : Terrain
    labels : Labels
        n of them.
    rows : ndarray of bool, shape (n,)
        Which may be looked at; all of them have a label.

    Returns
    -------
    ndarray of int64, shape (features,)
    """
    usual = float(labels.net_return[rows].mean())
    count, total, squares = _tail_trades(
        terrain.depths, labels.net_return - usual, labels.end, rows, len(TAILS)
    )
    t_statistic = np.abs(_errors(count, total, squares))
    ranked = [
        Look(float(best), (column,)) for column, best in enumerate(t_statistic.max(axis=(1, 2)))
    ]
    for place in np.argsort(-t_statistic.max(axis=2), axis=None, kind="stable")[:BASES]:
        column, side = divmod(int(place), 2)
        for level in {0, int(np.argmax(t_statistic[column, side]))}:
            alone = float(t_statistic[column, side, level])
            if alone > 0:
                begun = _begun(
                    terrain.depths[column], (-1, 1)[side] * (level + 1), labels.end, rows
                )
                earned = labels.net_return[begun] - usual
                together = _companions(values[begun], terrain.edges, earned)
                together[column] = 0.0
                ranked += [
                    Look(float(together[other]), (column, int(other)))
                    for other in np.flatnonzero(together >= alone + GAIN)
                ]
    ranked.sort(key=lambda look: (-look.t_statistic, look.columns))
    named = dict.fromkeys(column for look in ranked for column in look.columns)
    return np.fromiter(named, np.int64)


def chances(terrain: Terrain, columns: Integers) -> Floats:
    """How likely each row should be drawn: the deeper in a tail of these features, the likelier.

    A rule that acts in one row of two hundred leaves a fit on rows drawn alike with too few of
    them. What a model says of a row does not depend on how often such rows are drawn.
    """
    depth = np.abs(terrain.depths[columns]).max(axis=0, initial=0)
    weight: Floats = MIDDLE + depth.astype(np.float64)
    return weight


def _errors(count: Floats, total: Floats, squares: Floats) -> Floats:
    """Mean in standard errors; zero where trades are too few or all the same."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / count
        variance = squares / count - mean**2
        errors: Floats = mean / np.sqrt(variance / count)
    shown: Floats = np.where((count >= FEWEST_TRADES) & (variance > 1e-18), errors, 0.0)
    return shown


def _companions(values: Floats, edges: Floats, earned: Floats) -> Floats:
    """Strength of the best side of each feature among some trades, shape (features,)."""
    count, total, squares = _parts(values, edges, earned)
    best = np.zeros(len(edges))
    for turned in (slice(None), slice(None, None, -1)):
        errors = _errors(
            *(np.cumsum(each[:, turned], axis=1)[:, :-1] for each in (count, total, squares))
        )
        best = np.maximum(best, np.abs(errors).max(axis=1))
    return best


@njit(nogil=True, error_model="numpy", cache=True)  # type: ignore[misc,unused-ignore]
def _depths(values: Floats, low: Floats, high: Floats) -> Depths:
    rows, features = values.shape
    depths = np.zeros((features, rows), np.int8)
    for row in range(rows):
        for column in range(features):
            value = values[row, column]
            depth = 0
            if value < low[column, 0]:
                while depth < low.shape[1] and value < low[column, depth]:
                    depth += 1
                depths[column, row] = -depth
            elif value > high[column, 0]:
                while depth < high.shape[1] and value > high[column, depth]:
                    depth += 1
                depths[column, row] = depth
    return depths


@njit(nogil=True, error_model="numpy", cache=True)  # type: ignore[misc,unused-ignore]
def _tail_trades(
    depths: Depths,
    earned: Floats,
    end: Integers,
    allowed: npt.NDArray[np.bool_],
    levels: int,
) -> tuple[Floats, Floats, Floats]:
    features, rows = depths.shape
    count = np.zeros((features, 2, levels))
    total = np.zeros((features, 2, levels))
    squares = np.zeros((features, 2, levels))
    free = np.zeros((2, levels), np.int64)
    for column in range(features):
        free[:] = 0
        for row in range(rows):
            depth = depths[column, row]
            if depth == 0 or not allowed[row]:
                continue
            side = 1 if depth > 0 else 0
            for level in range(abs(depth)):
                if row >= free[side, level]:
                    count[column, side, level] += 1
                    total[column, side, level] += earned[row]
                    squares[column, side, level] += earned[row] ** 2
                    free[side, level] = end[row]
    return count, total, squares


@njit(nogil=True, error_model="numpy", cache=True)  # type: ignore[misc,unused-ignore]
def _begun(depth: Depths, least: int, end: Integers, allowed: npt.NDArray[np.bool_]) -> Integers:
    rows = np.empty(len(depth), np.int64)
    found = 0
    free = 0
    side = 1 if least > 0 else -1
    for row in range(len(depth)):
        if allowed[row] and row >= free and depth[row] * side >= least * side:
            rows[found] = row
            found += 1
            free = end[row]
    return rows[:found]


@njit(nogil=True, error_model="numpy", cache=True)  # type: ignore[misc,unused-ignore]
def _parts(values: Floats, edges: Floats, earned: Floats) -> tuple[Floats, Floats, Floats]:
    features, cuts = edges.shape
    count = np.zeros((features, cuts + 1))
    total = np.zeros((features, cuts + 1))
    squares = np.zeros((features, cuts + 1))
    for row in range(len(values)):
        for column in range(features):
            value = values[row, column]
            if np.isnan(value):
                continue
            part = 0
            while part < cuts and value > edges[column, part]:
                part += 1
            count[column, part] += 1
            total[column, part] += earned[row]
            squares[column, part] += earned[row] ** 2
    return count, total, squares
