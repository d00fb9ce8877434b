"""A boosted classifier's trees as arrays, evaluated by our own compiled code.

LightGBM trains; it never reads what comes from a file or the registry. Probabilities are equal to
LightGBM's to the last bit: the same comparisons, the trees summed in the same order in double
precision, the same logistic function.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit

Doubles: TypeAlias = npt.NDArray[np.float64]
Places: TypeAlias = npt.NDArray[np.int32]

IS_ZERO = float(np.float32(1e-35))
"""LightGBM takes what is this near to zero for zero."""
# What a node takes for missing, as LightGBM numbers it.
MISSING_NONE, MISSING_ZERO, MISSING_NAN = 0, 1, 2


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees one after the other in flat arrays, m inner nodes and k leaves together.

    Whoever makes one vouches that every place is inside its array and that every path ends in a leaf;
    `crucible.strategies.forest_text` checks that of a text.

    Attributes
    ----------
    features : int
        Columns that rows have.
    sigmoid : float
        Scale of the logistic function.
    roots : ndarray of int32, shape (trees,)
        Node that each tree begins with; ``-1 - leaf`` for a tree that is one leaf.
    column : ndarray of int32, shape (m,)
        Feature that a node looks at.
    threshold : ndarray of float64, shape (m,)
        At or below it goes left.
    missing : ndarray of uint8, shape (m,)
        What counts as missing: nothing (NaN is then zero), zero, or NaN.
    missing_left : ndarray of bool, shape (m,)
        Where what is missing goes.
    left, right : ndarray of int32, shape (m,)
        Next node, or ``-1 - leaf``.
    leaf : ndarray of float64, shape (k,)
    gain : ndarray of float32, shape (m,)
        What each split brought in training.
    """

    features: int
    sigmoid: float
    roots: Places
    column: Places
    threshold: Doubles
    missing: npt.NDArray[np.uint8]
    missing_left: npt.NDArray[np.bool_]
    left: Places
    right: Places
    leaf: Doubles
    gain: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.roots)

    def probabilities(self, values: Doubles, trees: int | None = None) -> Doubles:
        """Return the probability of each row.

        Parameters
        ----------
        values : ndarray of float64, shape (n, features)
            Finite or NaN.
        trees : int, optional
            How many of the first trees are asked; all of them by default.

        Returns
        -------
        ndarray of float64, shape (n,)

        Raises
        ------
        ValueError
            If the rows have another number of columns.
        """
        if values.ndim != 2 or values.shape[1] != self.features:
            message = f"rows of shape {values.shape} for trees that read {self.features} features"
            raise ValueError(message)
        found = np.empty(len(values))
        _probabilities(
            np.ascontiguousarray(values, np.float64),
            self.sigmoid,
            self.roots[:trees],
            self.column,
            self.threshold,
            self.missing,
            self.missing_left,
            self.left,
            self.right,
            self.leaf,
            found,
        )
        return found

    def gains(self) -> Doubles:
        """Sum the gain of the splits on each feature, shape (features,)."""
        found = np.zeros(self.features)
        counted = self.gain > 0
        np.add.at(found, self.column[counted], self.gain[counted].astype(np.float64))
        return found


# What is compiled fills arrays that it is given: an interrupt is lost while numba makes one.
@njit(cache=True, nogil=True)
def _probabilities(
    values: Doubles,
    sigmoid: float,
    roots: Places,
    column: Places,
    threshold: Doubles,
    missing: npt.NDArray[np.uint8],
    missing_left: npt.NDArray[np.bool_],
    left: Places,
    right: Places,
    leaf: Doubles,
    found: Doubles,
) -> None:
    for row in range(len(values)):
        total = 0.0
        for root in roots:
            node = root
            while node >= 0:
                value = values[row, column[node]]
                kind = missing[node]
                if math.isnan(value):
                    # Only where it is not missing is it zero.
                    absent = kind != MISSING_NONE
                    value = 0.0
                else:
                    # LightGBM drops such values from a row before any tree sees it.
                    if abs(value) <= IS_ZERO:
                        value = 0.0
                    absent = kind == MISSING_ZERO and value == 0.0
                goes_left = missing_left[node] if absent else value <= threshold[node]
                node = left[node] if goes_left else right[node]
            total += leaf[-1 - node]
        found[row] = 1.0 / (1.0 + math.exp(-sigmoid * total))
