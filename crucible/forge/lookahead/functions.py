"""A function of a person's own file, as something that can be computed again: ``FILE.py:FUNCTION``.

The file is executed in this very process, with everything that it may do: it is run only because a person names it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from crucible.errors import CrucibleError
from crucible.forge.lookahead.search import INPUTS, Columns, Evaluate, Market
from crucible.setting_names import nearest


class FunctionError(CrucibleError, ValueError):
    """A function that cannot be checked: the message names its file, its name and what is wrong."""


def is_function(target: str) -> bool:
    """Whether a target names a function of a file."""
    return ".py:" in target


def load_function(target: str) -> Callable[[pd.DataFrame], Any]:
    """Execute a file and give the function that is named.

    Parameters
    ----------
    target : str
        ``FILE.py:FUNCTION``.

    Raises
    ------
    FunctionError
        If the file cannot be read or raises, or has no such function.
    """
    name, _, function = target.rpartition(":")
    path = Path(name)
    if not path.is_file():
        message = f"{path}: no such file; write FILE.py:FUNCTION"
        raise FunctionError(message)
    module = _execute(path)
    found = getattr(module, function, None)
    if not callable(found):
        known = [each for each, value in vars(module).items() if callable(value)]
        meant = nearest(function, known)
        hint = f"; the nearest is {meant}" if meant else f"; it has {', '.join(known) or 'none'}"
        message = f"{path}: no function {function!r}{hint}"
        raise FunctionError(message)
    made: Callable[[pd.DataFrame], Any] = found
    return made


def evaluation(target: str, function: Callable[[pd.DataFrame], Any], symbol: str) -> Evaluate:
    """Make a function of candles into what `find_leaks` computes.

    Parameters
    ----------
    target : str
        For messages.
    function : callable
        Takes a frame with the index ``time`` (UTC, open times) and the columns open, high, low, close, volume;
        gives a Series, a DataFrame, or an array with a value for each row.
    symbol : str
    """

    def evaluate(market: Market) -> Columns:
        candles = market[symbol]
        time = pd.to_datetime(candles.ts, unit="ms", utc=True)
        frame = pd.DataFrame(
            {name: getattr(candles, name).copy() for name in INPUTS},
            index=pd.DatetimeIndex(time, name="time"),
        )
        try:
            # What it prints is no part of the answer.
            with contextlib.redirect_stdout(sys.stderr):
                given = function(frame)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            message = f"{target} raised {type(error).__name__} on the first {len(candles):,} candles: {error}"
            raise FunctionError(message) from error
        return _columns(target, given, candles.ts)

    return evaluate


def require_repeatable(target: str, evaluate: Evaluate, market: Market) -> None:
    """Refuse a function that gives something else for the same candles: nothing can be said of it.

    Raises
    ------
    FunctionError
    """
    first, again = evaluate(market), evaluate(market)
    for name, values in first.values.items():
        other = again.values.get(name)
        if other is None or not _equal(values, other):
            message = (
                f"{target}: column {name!r} differs between two computations on the same candles; seed its "
                "random numbers and keep nothing between calls"
            )
            raise FunctionError(message)


def _equal(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    if a.dtype.kind == "f" and b.dtype.kind == "f":
        return bool(np.array_equal(a, b, equal_nan=True))
    return bool(pd.Series(a).equals(pd.Series(b)))


def _execute(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"_checked_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # What lies beside it can be imported, as when it is run by itself.
    sys.path.insert(0, str(path.parent.absolute()))
    sys.modules[spec.name] = module
    try:
        with contextlib.redirect_stdout(sys.stderr):
            spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        message = f"{path} raised {type(error).__name__} when it was executed: {error}"
        raise FunctionError(message) from error
    return module


def _columns(target: str, given: Any, ts: np.ndarray[Any, Any]) -> Columns:  # noqa: ANN401
    """Lay what a function gave on the candles."""
    if isinstance(given, np.ndarray) and given.ndim in {1, 2}:
        width = 1 if given.ndim == 1 else given.shape[1]
        names = ["result"] if width == 1 else [f"result {at}" for at in range(width)]
        given = pd.DataFrame(given, columns=names)
    if isinstance(given, pd.Series):
        given = given.to_frame(str(given.name) if given.name is not None else "result")
    if not isinstance(given, pd.DataFrame):
        message = f"{target} gave {type(given).__name__}; give a Series, a DataFrame or an array"
        raise FunctionError(message)
    rows = _rows(target, given, ts)
    values = {}
    for place, name in enumerate(given.columns):
        column = given.iloc[:, place]
        is_number = pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)
        made = (
            column.to_numpy(np.float64, na_value=np.nan) if is_number else column.to_numpy(object)
        )
        label = str(name) if str(name) not in values else f"{name} ({place})"
        values[label] = made
    return Columns(rows, values)


def _rows(target: str, given: pd.DataFrame, ts: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    index = given.index
    if isinstance(index, pd.DatetimeIndex):
        zoned = index if index.tz is not None else index.tz_localize("UTC")
        found = zoned.as_unit("ms").asi8
        inside = np.isin(found, ts)
        if inside.all() and (np.diff(found) > 0).all():
            return np.asarray(found, np.int64)
    elif len(given) == len(ts):
        return ts
    message = (
        f"{target} gave {len(given):,} rows for {len(ts):,} candles, and they cannot be laid on them: keep the "
        "index of the frame, each time once"
    )
    raise FunctionError(message)
