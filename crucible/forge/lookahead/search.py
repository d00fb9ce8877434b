"""The search for leaks: cut the history, change what comes after the cut, and see which earlier rows move.

A row may use everything up to its own close. It leaks if it changes when later candles are taken away (a centred
window, a shifted merge) or when they are other ones (a maximum of the whole column). Values that are missing on
both sides are equal, so a warm-up is no leak, and neither is whatever acts later than it could.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from crucible.market.candles import COLUMNS, Candles

Values = npt.NDArray[Any]
Market = Mapping[str, Candles]
State = Literal["ok", "leak", "not checked"]

INPUTS = COLUMNS[1:]
ENDS = "where the data ends"
"""What is named where no later price changes a row, but the number of rows does."""
TOLERANCE = 1e-9
"""Differences that are smaller, beside the value or the column's spread, are rounding."""
FIRST_CUT, LAST_CUT = 0.35, 0.97
EARLY_ROWS = (8, 32, 128, 512)
"""Cuts within warm-ups, where a value may have been filled in from later ones. Only the future is changed there: on
so short a history many a sound function has nothing to compute."""
WILDNESS = 0.4
"""Spread of the logarithms of the factors that other futures are made with."""


@dataclass(frozen=True, slots=True)
class Columns:
    """What was computed of a history.

    Attributes
    ----------
    ts : ndarray of int64, shape (n,)
        Open times of the candles that rows speak of, increasing.
    values : mapping of str to ndarray, shape (n,)
        Numbers, NaN where there is none; anything else is compared as it is.
    """

    ts: npt.NDArray[np.int64]
    values: Mapping[str, Values]


Evaluate = Callable[[Market], Columns]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one column.

    Attributes
    ----------
    name : str
    state : {'ok', 'leak', 'not checked'}
        Not checked where it never had a value before a cut.
    rows : int
        Rows that moved, over all cuts.
    largest : float or None
        The largest difference; None for what is no number.
    relative : float or None
        The same as a share of the column's spread.
    ahead : int
        How many candles beyond its own a row reached at least; the most that was seen.
    from_ts : int or None
        The first row that moved.
    inputs : tuple of str
        What moved it.
    """

    name: str
    state: State
    rows: int = 0
    largest: float | None = None
    relative: float | None = None
    ahead: int = 0
    from_ts: int | None = None
    inputs: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return {
            "name": self.name,
            "state": self.state,
            "rows": self.rows,
            "largest_difference": self.largest,
            "relative_difference": self.relative,
            "candles_ahead": self.ahead,
            "from_ts": self.from_ts,
            "inputs": list(self.inputs),
        }


def find_leaks(
    evaluate: Evaluate,
    market: Market,
    symbol: str,
    cuts: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[Finding]:
    """Compare what is computed of the whole history with what is computed of others that share its past.

    Parameters
    ----------
    evaluate : callable
        Gives the same for the same candles; see `Columns`.
    market : mapping of str to Candles
    symbol : str
        Whose candles the rows speak of.
    cuts : int
        How many instants are cut at; at each the history ends there once, and goes on otherwise twice: where
        one of the two futures rises, the other falls, so that what asks for one direction only is seen too.
    seed : int
        Of the cuts and the other futures.
    progress : callable, optional
        Called with ``(computations done, computations)``.
    """
    generator = np.random.default_rng([seed, 2])
    ts = market[symbol].ts
    places = np.linspace(FIRST_CUT, LAST_CUT, cuts) * len(ts)
    # Off every regular step: a cut at a full hour would not see a merge of hours.
    rows = np.clip(places.astype(int) + generator.integers(-17, 18, cuts), 2, len(ts) - 1)
    whole = evaluate(market)
    early = [row for row in EARLY_ROWS if row < rows.min()]
    total, done = 3 * cuts + 2 * len(early) + 1, 1
    differences = {name: _Difference(values) for name, values in whole.values.items()}
    for row in (*early, *rows.tolist()):
        cut_ts = int(ts[row])
        others = [
            with_other_future(market, cut_ts, seed, INPUTS, is_inverse=is_inverse)
            for is_inverse in (False, True)
        ]
        if row not in early:
            others.append(before(market, cut_ts))
        for other in others:
            if progress is not None:
                progress(done, total)
            done += 1
            computed = evaluate(other)
            for name, difference in differences.items():
                difference.add(whole, computed, name, ts, row)

    @cache
    def with_one_changed(cut_ts: int, column: str) -> list[Columns]:
        return [
            evaluate(with_other_future(market, cut_ts, seed, [column], is_inverse=is_inverse))
            for is_inverse in (False, True)
        ]

    return [
        _finding(name, difference, with_one_changed, whole, ts)
        for name, difference in differences.items()
    ]


def before(market: Market, ts: int) -> dict[str, Candles]:
    """Give the candles that had opened before an instant."""
    return {
        name: candles[: int(np.searchsorted(candles.ts, ts))] for name, candles in market.items()
    }


def with_other_future(
    market: Market, ts: int, seed: int, columns: Sequence[str], *, is_inverse: bool = False
) -> dict[str, Candles]:
    """Give the same candles with other values in some columns from an instant on.

    Parameters
    ----------
    market : mapping of str to Candles
    ts : int
        Another instant has other factors; with the same ones, whatever the first of them does not move would
        pass at every cut.
    seed : int
    columns : sequence of str
        All of a candle's prices change by one factor, so that it stays a candle.
    is_inverse : bool
        Whether everything is divided by its factor instead of multiplied.
    """
    sign = -1.0 if is_inverse else 1.0
    changed = {}
    for number, (name, candles) in enumerate(market.items()):
        generator = np.random.default_rng([seed, 3, number, ts])
        first = int(np.searchsorted(candles.ts, ts))
        later = len(candles) - first
        prices, volumes = np.exp(sign * WILDNESS * generator.standard_normal((2, later)))
        values = {}
        for column in columns:
            made = getattr(candles, column).copy()
            made[first:] *= volumes if column == "volume" else prices
            values[column] = made
        changed[name] = replace(candles, **values)
    return changed


class _Difference:
    """How far one column moved, over all cuts."""

    def __init__(self, whole: Values) -> None:
        self.rows = 0
        self.largest: float | None = None
        self.ahead = 0
        self.from_ts: int | None = None
        self.had_values = False
        self.worst_row = 0
        self._most = 0
        finite = whole[np.isfinite(whole)] if whole.dtype.kind == "f" else np.empty(0)
        self.spread = float(finite.std()) if len(finite) else 0.0

    def add(
        self, whole: Columns, computed: Columns, name: str, ts: npt.NDArray[np.int64], row: int
    ) -> None:
        """Compare the rows of candles before a cut."""
        cut_ts = int(ts[row])
        old = _known(whole, name, ts[:row], cut_ts)
        new = _known(computed, name, ts[:row], cut_ts)
        self.had_values |= bool((~_missing(old)).any())
        moved = _moved(old, new, self.spread)
        count = int(moved.sum())
        if not count:
            return
        places = np.flatnonzero(moved)
        self.rows += count
        self.ahead = max(self.ahead, row - int(places[0]))
        first_ts = int(ts[places[0]])
        self.from_ts = first_ts if self.from_ts is None else min(self.from_ts, first_ts)
        if count > self._most:
            self._most, self.worst_row = count, row
        if old.dtype.kind == "f" and new.dtype.kind == "f":
            with np.errstate(invalid="ignore"):
                gaps = np.abs(new[moved] - old[moved])
            known = gaps[np.isfinite(gaps)]
            if len(known):
                self.largest = max(self.largest or 0.0, float(known.max()))


def _finding(
    name: str,
    difference: _Difference,
    with_one_changed: Callable[[int, str], list[Columns]],
    whole: Columns,
    ts: npt.NDArray[np.int64],
) -> Finding:
    if not difference.rows:
        return Finding(name, "ok" if difference.had_values else "not checked")
    cut_ts = int(ts[difference.worst_row])
    inputs = []
    for column in INPUTS:
        probe = _Difference(whole.values[name])
        for computed in with_one_changed(cut_ts, column):
            probe.add(whole, computed, name, ts, difference.worst_row)
        if probe.rows:
            inputs.append(column)
    largest, spread = difference.largest, difference.spread
    return Finding(
        name,
        "leak",
        difference.rows,
        largest,
        largest / spread if largest is not None and spread > 0 else None,
        difference.ahead,
        difference.from_ts,
        tuple(inputs) or (ENDS,),
    )


def _known(columns: Columns, name: str, ts: npt.NDArray[np.int64], cut_ts: int) -> Values:
    """Lay a column on the rows of the candles before a cut; missing where it has no row for one."""
    values = columns.values.get(name)
    numeric = values is None or values.dtype.kind == "f"
    made: Values = np.full(len(ts), np.nan) if numeric else np.full(len(ts), None, object)
    if values is None:
        return made
    inside = columns.ts < cut_ts
    rows = np.searchsorted(ts, columns.ts[inside])
    made[rows] = values[inside]
    return made


def _missing(values: Values) -> npt.NDArray[np.bool_]:
    if values.dtype.kind == "f":
        return np.isnan(values)
    return np.array([value is None or value != value for value in values], dtype=bool)


def _moved(old: Values, new: Values, spread: float) -> npt.NDArray[np.bool_]:
    if old.dtype.kind != "f" or new.dtype.kind != "f":
        apart = [a is not b and not _same(a, b) for a, b in zip(old, new, strict=True)]
        return np.array(apart, dtype=bool)
    missing = np.isnan(old) != np.isnan(new)
    with np.errstate(invalid="ignore"):
        room = TOLERANCE * np.maximum(np.maximum(np.abs(old), np.abs(new)), spread)
        # Infinite values are equal to themselves, and their difference is no number.
        apart = (np.abs(new - old) > room) | (np.isinf(old) != np.isinf(new))
    found: npt.NDArray[np.bool_] = missing | (apart & ~np.isnan(old) & ~np.isnan(new))
    return found


def _same(a: Any, b: Any) -> bool:  # noqa: ANN401 - whatever a function gave
    if (a is None or a != a) and (b is None or b != b):
        return True
    return bool(a == b)
