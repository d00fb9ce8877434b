"""One typed tree of settings: defaults, then ``crucible.toml``, then the environment.

An environment variable overrides the file: ``CRUCIBLE_FORGE__POPULATION=200`` sets
``forge.population``. ``CRUCIBLE_HOME`` names the folder that holds every piece of state; the file
lies beside the Makefile, or where ``CRUCIBLE_SETTINGS_FILE`` says. Relative paths count from the
Makefile's folder, never from the current one. Entry points: `load_settings`, `Settings`, `Slot`.
"""

from crucible.setting_names import SettingsError
from crucible.settings.sections import (
    ENOUGH_CANDLES,
    EVENTS,
    FEWEST_CANDLES,
    MINUTE_MS,
    AlertSettings,
    ArenaSettings,
    CacheSettings,
    Costs,
    Event,
    ExecutionSettings,
    FeatureSettings,
    ForgeSettings,
    Kind,
    Location,
    MarketSettings,
    MultiplierSettings,
    PortSettings,
    Rules,
    Section,
    SingularitySettings,
    Timeframe,
    Trial,
    WatchtowerSettings,
)
from crucible.settings.tree import Settings, Slot, changed, load_settings

__all__ = [
    "ENOUGH_CANDLES",
    "EVENTS",
    "FEWEST_CANDLES",
    "MINUTE_MS",
    "AlertSettings",
    "ArenaSettings",
    "CacheSettings",
    "Costs",
    "Event",
    "ExecutionSettings",
    "FeatureSettings",
    "ForgeSettings",
    "Kind",
    "Location",
    "MarketSettings",
    "MultiplierSettings",
    "PortSettings",
    "Rules",
    "Section",
    "Settings",
    "SettingsError",
    "SingularitySettings",
    "Slot",
    "Timeframe",
    "Trial",
    "WatchtowerSettings",
    "changed",
    "load_settings",
]
