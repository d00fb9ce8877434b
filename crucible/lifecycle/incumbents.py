"""The incumbents on a symbol, and what they would have earned: what a forge run seeks to be unlike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from crucible.errors import StrategyError
from crucible.features.frame import FeatureFrame
from crucible.forge.validation.novelty import Incumbents, earned
from crucible.market.candles import Candles
from crucible.market.funding import Funding
from crucible.registry.models import Active, Registry, Version
from crucible.settings import ForgeSettings, Slot
from crucible.strategies.contract import Strategy
from crucible.strategies.document import shown
from crucible.strategies.load import load_strategy


class ActiveRegistry(Protocol):
    """What is asked of the registry; see `Registry`."""

    def active(self, slots: Sequence[Slot]) -> list[Active]:
        """Every version under ``production`` or ``challenger``, for the given slots."""


def incumbent_names(registry: ActiveRegistry, slots: Sequence[Slot], symbol: str) -> list[str]:
    """Name the versions in production or challenging on a symbol, for example ``BTCUSDT-gp-1/3``.

    Raises
    ------
    RegistryError
        If the tracking server does not answer.
    """
    own = [slot for slot in slots if slot.symbol == symbol]
    found = {(each.version.slot, int(each.version.version)) for each in registry.active(own)}
    return [f"{slot}/{version}" for slot, version in sorted(found)]


def incumbents_of(
    registry: Registry,
    names: Sequence[str],
    candles: Candles,
    frame: FeatureFrame,
    settings: ForgeSettings,
    funding: Funding | None = None,
) -> tuple[Incumbents, dict[str, str]]:
    """Backtest the registered strategies of versions on the candles that a forge run looks at.

    Parameters
    ----------
    registry : Registry
    names : sequence of str
        As `living_names` gives them.
    candles : Candles
    frame : FeatureFrame
        Features of the candles.
    settings : ForgeSettings
    funding : Funding, optional
        Charged where it is known.

    Returns
    -------
    incumbents : Incumbents
    left_out : dict of str to str
        Versions that cannot be traded on these features, and why.

    Raises
    ------
    RegistryError
        If the tracking server does not answer, or a version is gone.
    """
    strategies: dict[str, Strategy] = {}
    left_out: dict[str, str] = {}
    for name in names:
        slot, _, number = name.rpartition("/")
        version: Version = registry.version(slot, number)
        try:
            strategy = load_strategy(registry.strategy(version))
        except StrategyError as error:
            left_out[name] = str(error)
            continue
        unknown = [feature for feature in strategy.features if feature not in frame.schema]
        if strategy.schema_hash != frame.schema.hash:
            left_out[name] = (
                f"made with feature schema {strategy.schema_hash}, this is {frame.schema.hash}"
            )
        elif unknown:
            left_out[name] = f"reads features that no schema has: {shown(', '.join(unknown))}"
        else:
            strategies[name] = strategy
    return earned(strategies, candles, frame, settings, funding), left_out
