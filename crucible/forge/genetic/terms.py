"""What of a feature a condition may compare: its value now, or its extremes of the last minutes.

Two things that happen a few minutes apart are one rule, of which a condition on the present sees only half.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crucible.market.candles import Floats, Integers

RECENT = 8
"""Candles whose extremes are looked at, the present one included."""
NOW, HIGHEST, LOWEST = "now", "highest", "lowest"
TERMS = (NOW, HIGHEST, LOWEST)
"""Terms of a feature; all but the first are operators of programs over `RECENT` candles."""


def terms_at(values: Floats, rows: Integers, columns: Sequence[int]) -> Floats:
    """Give every term of some features at some closes.

    Parameters
    ----------
    values : ndarray of float64, shape (n, features)
    rows : ndarray of int64, shape (m,)
    columns : sequence of int

    Returns
    -------
    ndarray of float64, shape (m, len(TERMS) * len(columns))
        Term after term, each of all features in their order. An extreme is NaN where any of its candles has no value,
        or lies before the first.
    """
    wanted = np.array(columns, np.int64)
    now = values[np.ix_(rows, wanted)]
    highest, lowest = now.copy(), now.copy()
    for back in range(1, RECENT):
        earlier = values[np.ix_(np.maximum(rows - back, 0), wanted)]
        # Both carry what has no value on.
        highest, lowest = np.maximum(highest, earlier), np.minimum(lowest, earlier)
    short = rows < RECENT - 1
    highest[short], lowest[short] = np.nan, np.nan
    return np.concatenate([now, highest, lowest], axis=1)


def term_of(column: int, count: int) -> tuple[int, str]:
    """Tell the place of the feature and the term that a column of `terms_at` is, of so many features."""
    return column % count, TERMS[column // count]
