"""One typed tree of settings: defaults, then ``crucible.toml``, then the environment.

An environment variable overrides the file: ``CRUCIBLE_FORGE__POPULATION=200`` sets
``forge.population``. ``CRUCIBLE_HOME`` names the folder that holds every piece of state; the file
lies beside the Makefile, or where ``CRUCIBLE_SETTINGS_FILE`` says. Relative paths count from the
Makefile's folder, never from the current one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings.exceptions import SettingsError as SourceError

from crucible.setting_names import (
    SettingsError,
    Symbol,
    each_once,
    faults_of_environment,
    read_toml,
    unknown_name,
    variable_of,
)
from crucible.whereabouts import DEFAULT_HOME, place, settings_file

MINUTE_MS = 60_000
ENOUGH_CANDLES = 30_000
"""Training candles from which on a forge run asks for all the trades that statistics need."""
FEWEST_CANDLES = 2_000
"""Fewer are not forged on: train, validation and hold-out window would hold too few trades."""

Kind = Literal["gp", "boosted"]
Trial = Literal["shadow", "venue"]
Timeframe = Literal[15, 60, 240, 1_440]
Rules = Literal["learnable", "none"]


def _ascending(timeframes: tuple[int, ...]) -> tuple[int, ...]:
    if not timeframes or list(timeframes) != sorted(set(timeframes)):
        message = "timeframes are given in minutes, ascending, each once, for example [15, 60, 240]"
        raise ValueError(message)
    return timeframes


def _said(path: object) -> object:
    if isinstance(path, str | Path) and (path == "" or "\0" in str(path)):
        message = "no path of a file or folder; leave the setting out for its default"
        raise ValueError(message)
    return path


Location = Annotated[Path, BeforeValidator(_said), AfterValidator(place)]


class Section(BaseModel):
    """A group of settings; unknown names and numbers without a size are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


S = TypeVar("S", bound=Section)


class MarketSettings(Section):
    """The market that the default paper venue shows."""

    symbols: Annotated[tuple[Symbol, ...], AfterValidator(each_once)] = Field(
        ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"), max_length=200
    )
    seed: int = Field(7, ge=0, lt=2**63)
    speed: float = Field(180.0, ge=0.001, le=100_000, description="market seconds per wall second")
    history_days: int | None = Field(
        None,
        ge=2,
        le=3_650,
        description="days of history at the start; by default as many as a forge run needs to judge anybody",
    )
    rules: Rules = Field(
        "learnable",
        description="what the simulated market holds: rules that a strategy can learn and that end, or nothing",
    )


class FeatureSettings(Section):
    """Windows and periods of the feature blocks, in closed one-minute candles."""

    timeframes: Annotated[tuple[Timeframe, ...], AfterValidator(_ascending)] = Field(
        (15, 60), description="minutes of the higher candles that features are computed of"
    )
    radar_window: int = Field(60, ge=20, le=1_440)
    radar_every: int = Field(5, ge=1, le=1_440)
    radar_assets: int = Field(4, ge=2, le=64)
    influence_window_days: int = Field(7, ge=1, le=90)
    influence_every: int = Field(60, ge=1, le=1_440)
    influence_edges: int = Field(8, ge=1, le=1_000)
    influence_lags: int = Field(6, ge=1, le=120)
    books: bool = Field(
        default=False, description="serve recorded and live books; needs recorded history"
    )


class CacheSettings(Section):
    """What is kept of what could be computed again, in the workspace's folder ``cache``."""

    features_gb: float = Field(
        8.0, ge=0, le=100_000, description="computed features, 10^9 bytes; 0 keeps none"
    )


class Costs(Section):
    """What a trade costs, as fractions of its notional."""

    fee: float = Field(0.00055, ge=0, le=0.05)
    slippage: float = Field(0.0001, ge=0, le=0.05)


class ForgeSettings(Section):
    """Size and rigour of one forge run."""

    population: int = Field(120, ge=4, le=100_000)
    generations: int = Field(8, ge=1, le=100_000)
    train_fraction: float = Field(0.6, gt=0, lt=1)
    validation_fraction: float = Field(0.2, gt=0, lt=1)
    max_candles: int = Field(
        5_000_000,
        ge=FEWEST_CANDLES,
        le=5_000_000,
        description="the newest candles that are used at most; memory_gb decides before it, as a rule",
    )
    memory_gb: float = Field(
        4.0,
        ge=1,
        le=10_000,
        description="memory of a forge run at its peak; as many of the newest candles are used as it holds",
    )
    trades_per_day: float = Field(
        0.0,
        ge=0,
        le=10_000,
        description="a candidate that trades less often is not judged; enough trades in all are asked for anyway",
    )
    patience: int = Field(
        0,
        ge=0,
        le=100_000,
        description="generations without a better validation, while training rises, that end the search; 0 never",
    )
    costs: Costs = Costs()
    policy: Literal["explore", "strict"] = "explore"
    islands: int = Field(1, ge=1, le=64, description="populations that evolve beside each other")
    selection: Literal["nsga2", "lexicase"] = Field(
        "nsga2",
        description="who lives on: Pareto fronts, or the best of randomly ordered slices of time",
    )
    migrate_every: int = Field(
        2, ge=1, le=100_000, description="generations between two migrations"
    )
    migrants: int = Field(
        4, ge=1, le=100_000, description="best candidates that move to the next island"
    )
    dask: str = Field(
        "",
        pattern=r"^(|local|tcp://.+)$",
        description="where islands, and slots of a walk-forward, are computed: here, on local processes, or on a Dask scheduler",
    )

    @model_validator(mode="after")
    def _something_stays_sealed(self) -> ForgeSettings:
        """Refuse windows that leave nothing for the last, sealed one."""
        used = self.train_fraction + self.validation_fraction
        if used > 0.95:
            message = (
                f"train_fraction {self.train_fraction:g} and validation_fraction "
                f"{self.validation_fraction:g} leave {1 - used:g} for the hold-out window, less than 0.05"
            )
            raise ValueError(message)
        return self


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

    registry_poll_seconds: float = Field(3.0, ge=0.01, le=10)
    kelly_fraction: float = Field(0.25, gt=0, le=1)
    max_position_fraction: float = Field(0.1, gt=0, le=1)
    exploration_fraction: float = Field(0.02, gt=0, le=1)
    max_gross_fraction: float = Field(0.5, gt=0, le=5)
    capital_per_agent: Decimal = Field(
        Decimal(10_000), gt=0, le=10**12, description="in the quote asset"
    )
    multipliers: MultiplierSettings = MultiplierSettings()
    ttl_ms: int = Field(60_000, ge=1_000, le=86_400_000)


class SingularitySettings(Section):
    """How the slots of the deployment strategy are kept filled."""

    trial: Trial = Field(
        "shadow", description="where unproven versions trade until evidence speaks for them"
    )
    renew_hours: int = Field(
        168,
        ge=0,
        le=8_784,
        description="market hours until an unproven slot is forged anew; 0: never",
    )


class WatchtowerSettings(Section):
    """When an agent is judged and on what evidence."""

    every_minutes: int = Field(15, ge=1, le=10_080, description="market minutes between judgements")
    minimum_trades: int = Field(8, ge=1, le=1_000_000)
    cull_confidence: float = Field(0.95, gt=0.5, lt=1)
    promote_confidence: float = Field(0.80, gt=0.5, lt=1)
    futility: float = Field(
        0.8, ge=0, lt=1, description="evidence below which a challenger gives up its seat; 0: never"
    )
    lived_rate: float = Field(
        0.05, gt=0, lt=0.5, description="false discovery rate at which lives prove versions"
    )
    max_drawdown: float = Field(0.05, gt=0, lt=1)
    minimum_parity: float = Field(
        0.95, ge=0, le=1, description="share of what an agent does that must be as in its backtest"
    )
    idle_minutes: int = Field(1_440, ge=15, le=525_600)
    placebos: bool = Field(
        default=True, description="run agents that enter at random in shadow, to check the rates"
    )


class PortSettings(Section):
    """Ports on the loopback interface; 0 asks for a free one."""

    prefect: int = Field(4200, ge=0, le=65_535)
    mlflow: int = Field(5000, ge=0, le=65_535)
    paper_venue: int = Field(0, ge=0, le=65_535)
    dashboard: int = Field(8400, ge=0, le=65_535)

    @model_validator(mode="after")
    def _each_its_own(self) -> PortSettings:
        taken: dict[int, str] = {}
        for service, port in self.model_dump().items():
            if port and port in taken:
                message = (
                    f"{service} and {taken[port]} both ask for port {port}; 0 asks for a free one"
                )
                raise ValueError(message)
            taken[port] = service
        return self


class ExecutionSettings(Section):
    """Which venue Cerebellum talks to, and its guard rails."""

    venue: Literal["paper", "demo", "testnet", "live"] = "paper"
    deadman_ms: int = Field(15_000, ge=1_000, le=3_600_000)
    flatten_on_deadman: bool = False
    limits_file: Location | None = None
    keys_file: Location | None = None


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
        return (
            init_settings,
            env_settings,
            InitSettingsSource(settings_cls, read_toml(settings_file())),
        )

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
    value = "" if isinstance(fault["input"], Mapping | BaseModel) else f" = {fault['input']!r}"
    return f"{label}{value}: {fault['msg'].removeprefix('Value error, ')}"
