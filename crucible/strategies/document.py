"""Strict JSON of bounded size: what a strategy file may hold before anybody looks at what it means."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, NoReturn

from crucible.errors import StrategyError
from crucible.text import visible

LARGEST_FILE = 8 * 2**20
"""Bytes of a strategy file, or of another JSON file of a forge run."""
DEEPEST = 64
MOST_VALUES = 200_000
LONGEST_TEXT = 200
"""Of every text but a model and a lineage."""
LARGEST_INTEGER = 2**64

_FREE = ("model", "lineage")
_SURROGATE = re.compile("[\ud800-\udfff]")


def parse_document(data: bytes) -> dict[str, Any]:
    """Read a JSON object strictly.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    dict

    Raises
    ------
    StrategyError
        If it is too large, no UTF-8, no JSON object, too deep, names a field twice, or holds NaN, an
        infinity, a number beyond 64 bits or half of a character.
    """
    if len(data) > LARGEST_FILE:
        message = f"{len(data)} bytes, more than {LARGEST_FILE}; a strategy is smaller"
        raise StrategyError(message)
    try:
        document = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant
        )
    except StrategyError:
        raise
    except RecursionError as error:
        message = f"nested deeper than {DEEPEST}; a strategy is flatter"
        raise StrategyError(message) from error
    except ValueError as error:
        message = f"not JSON: {shown(error, 200)}"
        raise StrategyError(message) from error
    if not isinstance(document, dict):
        message = f"a strategy is a JSON object, not {type(document).__name__}"
        raise StrategyError(message)
    check_document(document)
    return document


def read_document(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file, never more of it than `LARGEST_FILE`.

    Raises
    ------
    StrategyError
        Naming the file, and what is wrong with it.
    """
    try:
        with path.open("rb") as file:
            return parse_document(file.read(LARGEST_FILE + 1))
    except OSError as error:
        message = f"{path}: cannot be read as a strategy: {error.strerror or error}"
        raise StrategyError(message) from error
    except StrategyError as error:
        message = f"{path}: cannot be read as a strategy: {error}"
        raise StrategyError(message) from error


def check_document(document: object) -> None:
    """Refuse JSON values beyond every bound; recursion is nowhere needed afterwards.

    Raises
    ------
    StrategyError
        Naming the path of the value.
    """
    values = 0
    waiting: list[tuple[object, tuple[str | int, ...]]] = [(document, ())]
    while waiting:
        value, path = waiting.pop()
        values += 1
        if values > MOST_VALUES:
            message = f"more than {MOST_VALUES} values; a strategy is smaller"
            raise StrategyError(message)
        if len(path) > DEEPEST:
            _refuse(path[:4], f"nested deeper than {DEEPEST}; a strategy is flatter")
        if isinstance(value, dict):
            for key, item in value.items():
                _check_text(key, path, free=bool(path) and path[0] in _FREE)
                waiting.append((item, (*path, key)))
        elif isinstance(value, list | tuple):
            waiting.extend((item, (*path, index)) for index, item in enumerate(value))
        elif isinstance(value, str):
            _check_text(value, path, free=bool(path) and path[0] in _FREE)
        elif isinstance(value, float):
            if not math.isfinite(value):
                _refuse(path, f"{value} is not a finite number")
        elif isinstance(value, int):
            if abs(value) > LARGEST_INTEGER:
                _refuse(path, f"a whole number of {value.bit_length()} bits, more than 64")
        elif value is not None:
            _refuse(path, f"{type(value).__name__} is no JSON value")


def shown(value: object, most: int = 80) -> str:
    """Show foreign text within bounds, and nothing of it that could steer a terminal."""
    text = visible(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _check_text(text: object, path: tuple[str | int, ...], *, free: bool) -> None:
    if not isinstance(text, str):
        _refuse(path, f"a field is named by {type(text).__name__}, not by text")
    if _SURROGATE.search(text):
        _refuse(path, f"{shown(text, 40)!r} holds half of a character")
    if free:
        return
    if len(text) > LONGEST_TEXT:
        _refuse(path, f"a text of {len(text)} characters, more than {LONGEST_TEXT}")
    if not text.isprintable():
        _refuse(path, f"{shown(text, 40)!r} holds a character that cannot be printed")


def _refuse(path: tuple[str | int, ...], reason: str) -> NoReturn:
    where = shown(".".join(map(str, path))) or "document"
    message = f"{where}: {reason}"
    raise StrategyError(message)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        message = f"{shown(twice)}: given twice"
        raise StrategyError(message)
    return found


def _no_constant(name: str) -> float:
    message = f"holds {name}, which is not a finite number"
    raise StrategyError(message)
