"""One typed tree of settings: defaults, then ``crucible.toml``, then the environment.

An environment variable overrides the file: ``CRUCIBLE_FORGE__POPULATION=200`` sets
``forge.population``. ``CRUCIBLE_HOME`` names the folder that holds every piece of state.
"""

from __future__ import annotations

from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from crucible.errors import CrucibleError

MINUTE_MS = 60_000

Kind = Literal["gp", "boosted"]


class SettingsError(CrucibleError, ValueError):
    """A setting is missing, misspelt or out of range."""


class Section(BaseModel):
    """A group of settings; unknown names are refused so that a misspelling is noticed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MarketSettings(Section):
    """The market that the default paper venue shows."""

    symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
    seed: int = 7
    speed: float = Field(60.0, gt=0, description="market seconds per wall second")
    history_days: int = Field(30, ge=2)


class FeatureSettings(Section):
    """Windows and periods of the feature blocks, in closed one-minute candles."""

    radar_window: int = Field(60, ge=20)
    radar_every: int = Field(5, ge=1)
    radar_assets: int = Field(4, ge=2)
    influence_window_days: int = Field(7, ge=1)
    influence_every: int = Field(60, ge=1)
    influence_edges: int = Field(8, ge=1)
    influence_lags: int = Field(6, ge=1)
    books: bool = Field(
        default=False, description="serve recorded and live books; needs recorded history"
    )


class Costs(Section):
    """What a trade costs, as fractions of its notional."""

    fee: float = Field(0.00055, ge=0)
    slippage: float = Field(0.0001, ge=0)


class ForgeSettings(Section):
    """Size and rigour of one forging."""

    population: int = Field(120, ge=4)
    generations: int = Field(8, ge=1)
    train_fraction: float = Field(0.6, gt=0, lt=1)
    validation_fraction: float = Field(0.2, gt=0, lt=1)
    max_candles: int = Field(40_000, ge=1_000)
    trades_per_day: float = Field(
        4.0, gt=0, description="a candidate that trades less often is not judged"
    )
    costs: Costs = Costs()
    policy: Literal["explore", "strict"] = "explore"
    islands: int = Field(1, ge=1, le=64, description="populations that evolve beside each other")
    selection: Literal["nsga2", "lexicase"] = Field(
        "nsga2",
        description="who lives on: Pareto fronts, or the best of randomly ordered slices of time",
    )
    migrate_every: int = Field(2, ge=1, description="generations between two migrations")
    migrants: int = Field(4, ge=1, description="best candidates that move to the next island")
    dask: str = Field(
        "",
        pattern=r"^(|local|tcp://.+)$",
        description="where islands are computed: here, on local processes, or on a Dask scheduler",
    )


class MultiplierSettings(Section):
    """What takes size off an entry; every multiplier lies between `floor` and 1."""

    radar: bool = True
    micro_causality: bool = True
    influence: bool = True
    floor: float = Field(0.5, gt=0, le=1, description="the smallest that any one of them becomes")
    radar_calm: float = Field(
        1.5, ge=0, lt=100, description="radar_distance up to which nothing is taken off"
    )
    radar_far: float = Field(
        4.0, gt=0, lt=100, description="radar_distance from which the floor applies"
    )
    influence_full: float = Field(
        0.25,
        gt=0,
        lt=100,
        description="predicted return against the entry, in deviations, that gives the floor",
    )

    @model_validator(mode="after")
    def _far_is_beyond_calm(self) -> MultiplierSettings:
        if self.radar_far <= self.radar_calm:
            message = (
                f"radar_far = {self.radar_far:g} must be above radar_calm = {self.radar_calm:g}"
            )
            raise ValueError(message)
        return self


class ArenaSettings(Section):
    """How agents are run and sized."""

    registry_poll_seconds: float = Field(3.0, gt=0, le=10)
    kelly_fraction: float = Field(0.25, gt=0, le=1)
    max_position_fraction: float = Field(0.1, gt=0, le=1)
    exploration_fraction: float = Field(0.02, gt=0, le=1)
    max_gross_fraction: float = Field(0.5, gt=0, le=5)
    capital_per_agent: Decimal = Decimal(10_000)
    multipliers: MultiplierSettings = MultiplierSettings()
    ttl_ms: int = Field(60_000, ge=1_000)


class WatchtowerSettings(Section):
    """When an agent is judged and on what evidence."""

    every_minutes: int = Field(15, ge=1, description="market minutes between judgements")
    minimum_trades: int = Field(8, ge=1)
    cull_confidence: float = Field(0.95, gt=0.5, lt=1)
    promote_confidence: float = Field(0.80, gt=0.5, lt=1)
    max_drawdown: float = Field(0.05, gt=0, lt=1)
    idle_minutes: int = Field(1_440, ge=15)


class PortSettings(Section):
    """Ports on the loopback interface; 0 asks for a free one."""

    prefect: int = Field(4200, ge=0, le=65_535)
    mlflow: int = Field(5000, ge=0, le=65_535)
    paper_venue: int = Field(0, ge=0, le=65_535)
    dashboard: int = Field(8400, ge=0, le=65_535)


class ExecutionSettings(Section):
    """Which venue Cerebellum talks to, and its guard rails."""

    venue: Literal["paper", "demo", "testnet", "live"] = "paper"
    deadman_ms: int = Field(15_000, ge=1_000)
    flatten_on_deadman: bool = False
    limits_file: Path | None = None
    keys_file: Path | None = None


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
        toml_file="crucible.toml",
        extra="ignore",
        frozen=True,
    )

    home: Path = Path("data")
    deployment: dict[str, dict[Kind, int]] = {
        "BTCUSDT": {"gp": 2, "boosted": 1},
        "ETHUSDT": {"gp": 1, "boosted": 1},
    }
    market: MarketSettings = MarketSettings()
    features: FeatureSettings = FeatureSettings()
    forge: ForgeSettings = ForgeSettings()
    arena: ArenaSettings = ArenaSettings()
    watchtower: WatchtowerSettings = WatchtowerSettings()
    execution: ExecutionSettings = ExecutionSettings()
    ports: PortSettings = PortSettings()

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
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

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


class Slot(Section):
    """One seat of the deployment strategy, and the name of its registered model.

    Examples
    --------
    >>> Slot.parse("BTCUSDT-gp-1").kind
    'gp'
    """

    symbol: str
    kind: Kind
    number: int = Field(ge=1)

    @classmethod
    def parse(cls, name: str) -> Slot:
        """Read ``SYMBOL-KIND-NUMBER``.

        Raises
        ------
        SettingsError
            If the name does not have that form.
        """
        parts = name.split("-")
        try:
            symbol, kind, number = parts
            return cls.model_validate({"symbol": symbol, "kind": kind, "number": int(number)})
        except (ValueError, ValidationError) as error:
            message = (
                f"slot {name!r} is not SYMBOL-KIND-NUMBER with a kind of gp or boosted; "
                "write for example BTCUSDT-gp-1"
            )
            raise SettingsError(message) from error

    @property
    def name(self) -> str:
        """The slot's name, which is the name of its registered model."""
        return f"{self.symbol}-{self.kind}-{self.number}"

    def __str__(self) -> str:
        return self.name


def load_settings(**overrides: object) -> Settings:
    """Read the settings tree, turning a validation error into one clear message.

    Parameters
    ----------
    **overrides
        Values that win over the environment and ``crucible.toml``.

    Raises
    ------
    SettingsError
        Naming each setting, its value and what is wrong with it.
    """
    try:
        return Settings.model_validate(overrides) if overrides else Settings()
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(part) for part in item['loc'])} = {item['input']!r}: {item['msg']}"
            for item in error.errors()
        ]
        message = "settings cannot be used; correct crucible.toml or the environment:\n  "
        raise SettingsError(message + "\n  ".join(lines)) from error
