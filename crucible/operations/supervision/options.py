"""What `crucible up` is asked for: options of the command line on top of settings, and the market that follows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from crucible.market.timeframes import days_until_known, history_days
from crucible.operations.errors import ServiceError
from crucible.operations.market_configuration import (
    MarketConfiguration,
    open_configuration,
    open_outside,
)
from crucible.operations.workspace import Workspace
from crucible.setting_names import SettingsError
from crucible.settings import Settings, load_settings


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What the command line can say.

    Attributes
    ----------
    candles : Path or None
        Replay this folder instead of simulating.
    start_ms : int or None
        Market time to start at.
    symbols : tuple of str or None
    funding : Path or None
        Folder of the rates of funding of a replay; None is that of the candles.
    run_for_s : float or None
        Seconds to run once everything is up; None until stopped.
    browser : bool
        Open Crucible's page when it is there and this is a terminal.
    ready_line : bool
        Print one JSON line on stdout once everything is up, for a program that waits for it.
    """

    candles: Path | None = None
    start_ms: int | None = None
    symbols: tuple[str, ...] | None = None
    funding: Path | None = None
    run_for_s: float | None = None
    browser: bool = True
    ready_line: bool = False


def options_settings(speed: float | None, seed: int | None) -> Settings:
    """Read the settings with the command line's speed and seed on top.

    Raises
    ------
    SettingsError
        If one is out of range.
    """
    settings = load_settings()
    asked: dict[str, float | None] = {"speed": speed, "seed": seed}
    changes = {name: value for name, value in asked.items() if value is not None}
    if settings.execution.venue != "paper":
        # An exchange outside runs in real time.
        changes["speed"] = 1.0
    if not changes:
        return settings
    given = settings.market.model_dump(exclude_unset=True)
    return load_settings(market={**given, **changes})


def configuration_of(
    settings: Settings, options: UpOptions, workspace: Workspace
) -> MarketConfiguration:
    """Give the market that the settings and the command line ask for.

    Raises
    ------
    WorkspaceError
        If the workspace lives in another one, or there is no such market.
    SettingsError
        If the history that is asked for is too short for the features of the settings.
    """
    market = settings.market
    if options.candles is None:
        refuse_short_history(settings)
    if settings.execution.venue != "paper":
        return open_outside(
            workspace,
            symbols=options.symbols or market.symbols,
            seed=market.seed,
            history_days=history_days(settings),
            now_ms=time.time_ns() // 1_000_000,
        )
    # Symbols that the settings name are asked for; those that they have by default are not.
    named = market.symbols if "symbols" in market.model_fields_set else None
    return open_configuration(
        workspace,
        symbols=options.symbols or named,
        default_symbols=market.symbols,
        seed=market.seed,
        history_days=history_days(settings),
        candles=options.candles,
        funding=options.funding,
        start_ms=options.start_ms,
        rules=market.rules,
    )


def refuse_short_history(settings: Settings) -> None:
    """Refuse a history that ends before the features of the longest timeframe have a value.

    As many days as their windows take, in whole ones, and two more: what a forge run takes at least.

    Raises
    ------
    SettingsError
    """
    timeframes, days = settings.features.timeframes, history_days(settings)
    windows = days_until_known(settings)
    if days < windows + 2:
        message = (
            f"market.history_days = {days} is too short: features of {timeframes[-1]}-minute candles have "
            f"no value for {windows} days; set it to {windows + 2} at least, or leave {timeframes[-1]} out "
            "of features.timeframes"
        )
        raise SettingsError(message)


def refuse_foreign_slots(settings: Settings, configuration: MarketConfiguration) -> None:
    """Refuse a deployment strategy that trades a symbol outside the market.

    Raises
    ------
    ServiceError
        Naming the symbol and those that there are.
    """
    foreign = [symbol for symbol in settings.deployment if symbol not in configuration.symbols]
    if foreign:
        message = (
            f"the deployment strategy trades {foreign[0]}, which is not among the market's "
            f"symbols {', '.join(configuration.symbols)}; add it with --symbols, or change `deployment`"
        )
        raise ServiceError(message)
