"""Every setting with its value and where the value came from: what `crucible config show` prints."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, SecretStr
from pydantic_settings import EnvSettingsSource

from crucible.setting_names import read_toml, variable_of
from crucible.settings import Settings, load_settings
from crucible.whereabouts import settings_file

Source = Literal["default", "crucible.toml", "environment"]
# An address of a scheduler may carry a name and a password.
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")


@dataclass(frozen=True, slots=True)
class SourcedSetting:
    """One setting.

    Attributes
    ----------
    name : str
        For example ``forge.costs.fee``.
    value : object
        JSON values; credentials in an address are masked.
    source : {'default', 'crucible.toml', 'environment'}
    where : str
        The file or the variable; empty for a default.
    """

    name: str
    value: Any
    source: Source
    where: str

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return {
            "name": self.name,
            "value": self.value,
            "source": self.source,
            "where": self.where,
        }


def read_settings() -> list[SourcedSetting]:
    """Give every setting in the order of the tree.

    Raises
    ------
    SettingsError
        As `load_settings`.
    """
    settings = load_settings()
    file = settings_file()
    held = read_toml(file)
    named = EnvSettingsSource(Settings)()
    return [
        SourcedSetting(name, plain(value), *_source(name, held, named, file))
        for name, value in leaves(settings)
    ]


def leaves(section: BaseModel, above: str = "") -> Iterator[tuple[str, Any]]:
    """Give every setting of a tree by its name; a table of several entries gives one for each."""
    for name in type(section).model_fields:
        yield from _leaves_of(getattr(section, name), above + name)


def _leaves_of(value: Any, name: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    if isinstance(value, BaseModel):
        yield from leaves(value, f"{name}.")
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves_of(inner, f"{name}.{key}")
    else:
        yield name, value


def plain(value: Any) -> Any:  # noqa: ANN401
    """Give a setting's value as JSON values; money as a decimal string."""
    if isinstance(value, Decimal | Path):
        return str(value)
    if isinstance(value, SecretStr):
        return "***"
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    if isinstance(value, str):
        return _CREDENTIALS.sub("***@", value)
    return value


def _source(
    name: str, held: Mapping[str, Any], named: Mapping[str, Any], file: Path
) -> tuple[Source, str]:
    if _holds(named, name):
        parts = name.split(".")
        variables = [variable_of(".".join(parts[:count])) for count in range(len(parts), 0, -1)]
        return "environment", next((each for each in variables if each in os.environ), "")
    if _holds(held, name):
        return "crucible.toml", str(file)
    return "default", ""


def _holds(tree: Mapping[str, Any], name: str) -> bool:
    found: Any = tree
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return False
        found = found[part]
    return True
