"""The settings file with every default and its comment: what `crucible config init` writes.

Read back, it gives the defaults. What has no value of its own by default, or means something else once it is
named, stands in it as a comment.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from crucible.operations.installation.meanings import MEANINGS
from crucible.setting_names import SECRET_SETTINGS
from crucible.settings import Settings
from crucible.whereabouts import DEFAULT_HOME

# Naming the symbols also asks a replay for them, whatever its folder holds.
_ONLY_WHEN_MEANT = frozenset({"market.symbols", *SECRET_SETTINGS})
_HEAD = """\
# Settings of Crucible. Every value is the default; change what you like and remove the rest.
# An environment variable wins over this file: CRUCIBLE_FORGE__POPULATION=200 sets forge.population.
# Relative paths count from this installation's folder, whatever folder you are in.
"""


def template() -> str:
    """Give the text of a settings file that holds the defaults."""
    return "\n".join([_HEAD, *_lines(Settings, "")]).rstrip() + "\n"


def comment_of(name: str, field: FieldInfo) -> str:
    """Say what a setting is for, and what it may be."""
    meaning = field.description or MEANINGS[name]
    bounds = _bounds(field)
    return f"{meaning} ({bounds})" if bounds else meaning


def _lines(tree: type[BaseModel], above: str) -> Iterator[str]:
    """Give plain settings first, then each group: TOML reads what follows a group's name as the group's."""
    defaults = {name: field.get_default() for name, field in tree.model_fields.items()}
    groups = [name for name, value in defaults.items() if isinstance(value, BaseModel | Mapping)]
    for name, field in tree.model_fields.items():
        if name not in groups:
            yield f"# {comment_of(above + name, field)}"
            yield _assignment(name, above + name, defaults[name])
    for name in groups:
        value = defaults[name]
        yield ""
        yield f"# {MEANINGS[above + name]}"
        yield f"[{above}{name}]"
        if isinstance(value, BaseModel):
            yield from _lines(type(value), f"{above}{name}.")
        else:
            yield from (f"{key} = {_toml(inner)}" for key, inner in value.items())


def _assignment(key: str, name: str, value: object) -> str:
    if value is None:
        return f"# {key} ="
    line = f"{key} = {_toml(DEFAULT_HOME if name == 'home' else value)}"
    return f"# {line}" if name in _ONLY_WHEN_MEANT else line


def _toml(value: Any) -> str:  # noqa: ANN401
    """Write a value as TOML does."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:_}" if value >= 10_000 else str(value)
    # Strings, numbers and truth values are written as in JSON.
    return json.dumps(str(value) if isinstance(value, Path) else value)


def _bounds(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return " or ".join(map(str, get_args(field.annotation)))
    low = next((f"from {_figure(m.ge)}" for m in field.metadata if isinstance(m, Ge)), None)
    low = low or next((f"above {_figure(m.gt)}" for m in field.metadata if isinstance(m, Gt)), "")
    high = next((f"to {_figure(m.le)}" for m in field.metadata if isinstance(m, Le)), None)
    high = high or next((f"below {_figure(m.lt)}" for m in field.metadata if isinstance(m, Lt)), "")
    return " ".join(filter(None, (low, high)))


def _figure(value: Any) -> str:  # noqa: ANN401
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
