"""The groups of settings: what each may be, and its default.

Entry point of all of them is `crucible.settings.Settings`.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)

from crucible.setting_names import Symbol, each_once
from crucible.whereabouts import place

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


def _written_out(urls: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    if not all("://" in url.get_secret_value() for url in urls):
        message = "an address has the form SCHEMA://..., as Apprise spells it"
        raise ValueError(message)
    return urls


def _each_event_once(events: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(events)) < len(events):
        message = "name each event once"
        raise ValueError(message)
    return events


class Section(BaseModel):
    """A group of settings; unknown names and numbers without a size are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


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


Event = Literal[
    "cull",
    "promotion",
    "limit",
    "halt",
    "reconciliation",
    "part",
    "placebo",
    "parity",
    "systemic",
]
"""What people can be alerted to."""
EVENTS: tuple[Event, ...] = get_args(Event)


class AlertSettings(Section):
    """Who is told of what happens while nobody looks; nobody is, until an address is set."""

    urls: Annotated[tuple[SecretStr, ...], AfterValidator(_written_out)] = Field(
        (),
        max_length=20,
        description="addresses as Apprise spells them; secret: by the environment or by urls_file, never here",
    )
    urls_file: Location | None = Field(
        None,
        description="file of addresses, one a line, readable by you only (0600)",
    )
    events: Annotated[tuple[Event, ...], AfterValidator(_each_event_once)] = Field(
        EVENTS, description="what an alert is sent of"
    )
    per_hour: int = Field(
        20,
        ge=1,
        le=1_000,
        description="most alerts in an hour; those beyond are counted in one message",
    )
