"""The whole tree of settings, its slots, and how it is read."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings.exceptions import SettingsError as SourceError

from crucible.setting_names import (
    SECRET_SETTINGS,
    SettingsError,
    Symbol,
    faults_of_environment,
    is_secret,
    read_toml,
    unknown_name,
    variable_of,
)
from crucible.settings.sections import (
    AlertSettings,
    ArenaSettings,
    CacheSettings,
    ExecutionSettings,
    FeatureSettings,
    ForgeSettings,
    Kind,
    Location,
    MarketSettings,
    PortSettings,
    Section,
    SingularitySettings,
    WatchtowerSettings,
)
from crucible.whereabouts import DEFAULT_HOME, place, settings_file

S = TypeVar("S", bound=Section)


class Settings(BaseSettings):
    """The whole tree.

    Examples
    --------
    >>> Settings(home="/tmp/x").forge.population
    120
    """

    model_config = SettingsConfigDict(
        env_prefix="CRUCIBLE_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
    )

    home: Location = place(DEFAULT_HOME)
    deployment: dict[Symbol, dict[Kind, Annotated[int, Field(ge=0, le=1_000)]]] = {
        "BTCUSDT": {"gp": 2, "boosted": 1},
        "ETHUSDT": {"gp": 1, "boosted": 1},
    }
    market: MarketSettings = MarketSettings()
    features: FeatureSettings = FeatureSettings()
    cache: CacheSettings = CacheSettings()
    forge: ForgeSettings = ForgeSettings()
    arena: ArenaSettings = ArenaSettings()
    watchtower: WatchtowerSettings = WatchtowerSettings()
    singularity: SingularitySettings = SingularitySettings()
    execution: ExecutionSettings = ExecutionSettings()
    ports: PortSettings = PortSettings()
    alerts: AlertSettings = AlertSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: arguments, environment, ``crucible.toml``."""
        held = read_toml(settings_file())
        refuse_secrets(held)
        return init_settings, env_settings, InitSettingsSource(settings_cls, held)

    @model_validator(mode="after")
    def _somebody_trades(self) -> Settings:
        """Refuse a deployment strategy that would leave every agent out."""
        if not any(count for kinds in self.deployment.values() for count in kinds.values()):
            message = "deployment has no slot; write for example BTCUSDT = { gp = 1 }"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _real_venues_are_strict(self) -> Settings:
        """Refuse to offer what was never proven to a venue that is not our own."""
        if self.execution.venue != "paper" and self.forge.policy != "strict":
            message = (
                f"execution.venue = {self.execution.venue} needs forge.policy = strict, "
                f"it is {self.forge.policy}"
            )
            raise ValueError(message)
        return self

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """Every slot of the deployment strategy, in a stable order."""
        return tuple(
            Slot(symbol=symbol, kind=kind, number=number)
            for symbol, kinds in self.deployment.items()
            for kind, count in kinds.items()
            for number in range(1, count + 1)
        )


_SLOT = re.compile(r"([A-Z0-9]{1,24})-(gp|boosted)-([1-9][0-9]{0,2}|1000)", re.ASCII)


class Slot(Section):
    """One seat of the deployment strategy, and the name of its registered model.

    Examples
    --------
    >>> Slot.parse("BTCUSDT-gp-1").kind
    'gp'
    """

    symbol: Symbol
    kind: Kind
    number: int = Field(ge=1, le=1_000)

    @classmethod
    def parse(cls, name: str) -> Slot:
        """Read ``SYMBOL-KIND-NUMBER``.

        Raises
        ------
        SettingsError
            If the name does not have that form.
        """
        found = _SLOT.fullmatch(name)
        if found is None:
            message = (
                f"slot {name!r} is not SYMBOL-KIND-NUMBER, a symbol in capitals and digits, a kind of "
                "gp or boosted and a number from 1 on; write for example BTCUSDT-gp-1"
            )
            raise SettingsError(message)
        symbol, kind, number = found.groups()
        return cls.model_validate({"symbol": symbol, "kind": kind, "number": int(number)})

    @property
    def name(self) -> str:
        """The slot's name, which is the name of its registered model."""
        return f"{self.symbol}-{self.kind}-{self.number}"

    def __str__(self) -> str:
        return self.name


def changed(section: S, name: str, **changes: object) -> S:
    """Give a section with other values, held to the same bounds.

    Parameters
    ----------
    section : Section
    name : str
        Its name in the tree, for the message.
    **changes
        None leaves a value as it is.

    Raises
    ------
    SettingsError
        Naming what is out of range.
    """
    asked = {key: value for key, value in changes.items() if value is not None}
    try:
        return type(section).model_validate({**section.model_dump(), **asked})
    except ValidationError as error:
        faults = "; ".join(
            f"{name}.{'.'.join(map(str, item['loc']))} = {item['input']!r}: {item['msg']}"
            for item in error.errors()
        )
        raise SettingsError(faults) from error


def load_settings(**overrides: object) -> Settings:
    """Read the settings tree, turning every fault into a clear message.

    Parameters
    ----------
    **overrides
        Values that win over the environment and ``crucible.toml``.

    Raises
    ------
    SettingsError
        Naming each setting, its value and what is wrong with it, or the nearest name of a misspelt one.
    """
    faults = faults_of_environment(os.environ, Settings)
    if not faults:
        try:
            return Settings.model_validate(overrides) if overrides else Settings()
        except ValidationError as error:
            faults = [_reported(dict(item), overrides) for item in error.errors()]
        except SourceError as error:
            faults = [str(error)]
    message = f"settings cannot be used; correct {settings_file()} or the environment: "
    raise SettingsError(message + "\n  ".join(["", *faults] if len(faults) > 1 else faults))


def refuse_secrets(held: Mapping[str, Any]) -> None:
    """Refuse a settings file that holds what must not lie in it: people show it, copy it and commit it.

    Raises
    ------
    SettingsError
        Naming the setting and where it belongs; never its value.
    """
    for name in SECRET_SETTINGS:
        group, _, key = name.partition(".")
        section = held.get(group)
        if isinstance(section, Mapping) and key in section:
            message = (
                f"{name} is secret and may not stand in {settings_file()}: put it into the environment "
                f"({variable_of(name)}) or, one a line, into a file that only you can open (0600) and name that "
                f"file in {name}_file"
            )
            raise SettingsError(message)


def _reported(fault: Mapping[str, Any], overrides: Mapping[str, object]) -> str:
    """Tell one fault of validation, with the variable where it came from there."""
    where = [str(part) for part in fault["loc"]]
    name = ".".join(where)
    if fault["type"] == "extra_forbidden":
        return unknown_name(name, Settings)
    variables = [variable_of(".".join(where[:count])) for count in range(len(where), 0, -1)]
    source = next((each for each in variables if each in os.environ), None)
    if where and where[0] in overrides:
        source = None
    label = f"{name} ({source})" if source else name or "together"
    hidden = isinstance(fault["input"], Mapping | BaseModel) or is_secret(name)
    value = "" if hidden else f" = {fault['input']!r}"
    return f"{label}{value}: {fault['msg'].removeprefix('Value error, ')}"
