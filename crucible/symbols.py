"""Symbols, as settings and command lines name them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from crucible.setting_names import SettingsError


def is_symbol(name: str) -> bool:
    """Whether a name is a symbol as venues spell it: ASCII capitals and digits, 24 at most."""
    return _SYMBOL.fullmatch(name) is not None


def read_symbols(option: str, text: str | None) -> tuple[str, ...] | None:
    """Read the symbols of a command line; None where none are given.

    Raises
    ------
    SettingsError
        Naming the option, if one is no symbol or there twice.

    Examples
    --------
    >>> read_symbols("--symbols", "BTCUSDT, ETHUSDT")
    ('BTCUSDT', 'ETHUSDT')
    """
    if text is None:
        return None
    names = tuple(name.strip() for name in text.split(","))
    try:
        return each_once(tuple(map(_symbol, names)))
    except ValueError as error:
        message = f"{option} {text!r}: {error}"
        raise SettingsError(message) from error


def _symbol(name: str) -> str:
    if not is_symbol(name):
        message = f"{name!r} is no symbol; write it in capitals and digits, for example BTCUSDT"
        raise ValueError(message)
    return name


def each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    """Give names that are there once each, one at least.

    Raises
    ------
    ValueError
        Naming the one that is there twice.
    """
    if not names:
        message = "no symbol at all; name at least one"
        raise ValueError(message)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        message = f"{twice[0]} is there more than once; name each symbol once"
        raise ValueError(message)
    return names


_SYMBOL = re.compile(r"[A-Z0-9]{1,24}", re.ASCII)
Symbol = Annotated[str, AfterValidator(_symbol)]
"""A symbol as venues spell it: ASCII capitals and digits."""
