"""Names as people write them in ``crucible.toml``, the environment and on command lines: settings, symbols.

A name of a setting that is not known is told with the nearest one that is. Values of unknown names are never shown: a
misspelt variable may hold a secret.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, get_origin

from pydantic import AfterValidator, BaseModel

from crucible.errors import CrucibleError

PREFIX = "CRUCIBLE_"
OTHER_VARIABLES = frozenset(
    {
        "CRUCIBLE_SETTINGS_FILE",  # which file the settings are read from
        "CRUCIBLE_RUN",  # which run a service of `crucible up` belongs to
        "CRUCIBLE_SERVICE",  # which service a process is
        "CRUCIBLE_CODE",  # where the flows' code lies
        "CRUCIBLE_EXCHANGE_URL",  # which venue the market's history is asked of
        "CRUCIBLE_SHARED",  # recorded market data for tests
        "CRUCIBLE_CHROMIUM",  # the browser for tests
        "CRUCIBLE_PICTURES",  # where tests of pages leave what they saw
    }
)
OTHER_PREFIXES = ("CRUCIBLE_E2E_", "CRUCIBLE_TEST_")
SECRET_SETTINGS = frozenset({"alerts.urls"})
"""Settings whose values are never shown, logged or read from the settings file."""
_COLLECTIONS = (tuple, list, dict)


class SettingsError(CrucibleError, ValueError):
    """A setting is missing, misspelt or out of range."""


def nearest(name: str, known: Collection[str]) -> str | None:
    """Give the known name that was probably meant.

    Examples
    --------
    >>> nearest("forge.populaton", ["forge.population", "home"])
    'forge.population'
    >>> nearest("fee", ["forge.costs.fee", "home"])
    'forge.costs.fee'
    """
    found = difflib.get_close_matches(name, known, 1, 0.7)
    if found:
        return found[0]
    last = {each.rpartition(".")[2]: each for each in sorted(known, reverse=True)}
    found = difflib.get_close_matches(name.rpartition(".")[2], last, 1, 0.7)
    return last[found[0]] if found else None


def setting_names(tree: type[BaseModel], above: str = "") -> Iterator[str]:
    """Name every setting and every group of them, as ``forge.costs.fee``."""
    for name, field in tree.model_fields.items():
        yield above + name
        section = _section(field.annotation)
        if section is not None:
            yield from setting_names(section, f"{above}{name}.")


def unknown_name(name: str, tree: type[BaseModel]) -> str:
    """Tell that there is no such setting, and which is nearest."""
    meant = nearest(name, list(setting_names(tree)))
    return f"{name}: no such setting" + ("" if meant is None else f"; the nearest is {meant}")


def variable_of(name: str) -> str:
    """Name the variable of a setting.

    Examples
    --------
    >>> variable_of("forge.costs.fee")
    'CRUCIBLE_FORGE__COSTS__FEE'
    """
    return PREFIX + name.upper().replace(".", "__")


def is_secret(name: str) -> bool:
    """Whether a setting, or the one that it is an entry of, must not be shown.

    Examples
    --------
    >>> is_secret("alerts.urls.0"), is_secret("alerts.urls_file")
    (True, False)
    """
    return any(name == secret or name.startswith(f"{secret}.") for secret in SECRET_SETTINGS)


def faults_of_environment(environment: Mapping[str, str], tree: type[BaseModel]) -> list[str]:
    """Tell what is wrong with the variables that begin as ours do, one line each.

    Parameters
    ----------
    environment : mapping of str to str
    tree : type of BaseModel
        The settings.
    """
    known = {variable_of(name): name for name in setting_names(tree)}
    faults = []
    for variable, value in sorted(environment.items()):
        if not variable.upper().startswith(PREFIX) or variable in OTHER_VARIABLES:
            continue
        if variable.startswith(OTHER_PREFIXES):
            continue
        name = known.get(variable)
        if name is None:
            meant = nearest(variable.upper(), [*known, *OTHER_VARIABLES])
            hint = "" if meant is None else f"; the nearest is {meant}"
            faults.append(f"{variable}: no such variable{hint}")
        elif _holds_many(name, tree) and not _is_json(value):
            shown = "" if is_secret(name) else f" = {value!r}"
            faults.append(f"{variable}{shown}: no JSON; write for example {_example(name)}")
    return faults


def read_toml(path: Path) -> dict[str, Any]:
    """Read a settings file; nothing where there is none.

    Raises
    ------
    SettingsError
        If it cannot be read or is no TOML, naming the file and the place.
    """
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        return {}
    except OSError as error:
        message = f"{path.absolute()}: cannot be read: {error.strerror}; mend it or move it away"
        raise SettingsError(message) from error
    except UnicodeDecodeError as error:
        message = f"{path.absolute()}: byte {error.start} is no UTF-8; write it anew as UTF-8"
        raise SettingsError(message) from error
    except (ValueError, RecursionError) as error:
        message = f"{path.absolute()}: no TOML: {error}; correct that place"
        raise SettingsError(message) from error


def _section(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401
    found = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return annotation if found else None


def _holds_many(name: str, tree: type[BaseModel]) -> bool:
    *groups, last = name.split(".")
    for group in groups:
        tree = _section(tree.model_fields[group].annotation) or tree
    annotation = tree.model_fields[last].annotation
    return _section(annotation) is not None or get_origin(annotation) in _COLLECTIONS


def _is_json(value: str) -> bool:
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        return False
    return True


def _example(name: str) -> str:
    if name.endswith("symbols"):
        return """'["BTCUSDT"]'"""
    return """'["SCHEMA://..."]'""" if is_secret(name) else """'{"NAME": VALUE}'"""


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
