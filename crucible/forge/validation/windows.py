"""Cut history into train, validation and a final hold-out window, with a purge between them."""

from __future__ import annotations

from dataclasses import dataclass

from crucible.forge.backtest.engine import ForgeError
from crucible.settings import FEWEST_CANDLES, ForgeSettings


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a candidate may look back and hold, so that the purge can separate the windows.

    Attributes
    ----------
    lookback : int
        Rows.
    timeout : int
        Candles, before volatility doubles it.
    """

    lookback: int
    timeout: int

    @property
    def purge(self) -> int:
        """Rows between windows: the longest lookback and the longest doubled timeout."""
        return self.lookback + 2 * self.timeout


@dataclass(frozen=True, slots=True)
class Windows:
    """Row spans in time order; the rows between them are used by none."""

    train: slice
    validation: slice
    sealed: slice
    purge: int

    def spans(self) -> dict[str, slice]:
        """Return the windows by name, in time order."""
        return {"train": self.train, "validation": self.validation, "sealed": self.sealed}


def limits_for(rows: int) -> Limits:
    """Limits that leave at least nine tenths of the rows to the windows."""
    return Limits(lookback=min(1_500, rows // 50), timeout=min(480, rows // 100))


def cut(rows: int, settings: ForgeSettings, symbol: str = "the symbol") -> Windows:
    """Cut rows by the settings' fractions; errors name the symbol.

    Raises
    ------
    ForgeError
        If there are too few rows, or a fraction leaves a window empty.
    """
    if rows < FEWEST_CANDLES:
        message = (
            f"{symbol}: {rows} candles are too few to forge on; give at least {FEWEST_CANDLES}"
        )
        raise ForgeError(message)
    purge = limits_for(rows).purge
    first = int(rows * settings.train_fraction)
    second = int(rows * (settings.train_fraction + settings.validation_fraction))
    windows = Windows(
        slice(0, first), slice(first + purge, second), slice(second + purge, rows), purge
    )
    for name, span in windows.spans().items():
        if span.stop - span.start < purge:
            message = (
                f"{symbol}: the {name} window has {max(0, span.stop - span.start)} of {rows} candles, fewer "
                f"than its purge of {purge}; raise its fraction or give more candles"
            )
            raise ForgeError(message)
    return windows
