"""Cut history into train, validation and a final hold-out window, with a purge between them."""

from __future__ import annotations

from dataclasses import dataclass

from crucible.forge.backtest.engine import ForgeError
from crucible.settings import ENOUGH_CANDLES, FEWEST_CANDLES, ForgeSettings

LONGEST_LOOKBACK = 1_500
"""Rows that a program may look back at most."""
LONGEST_TIMEOUT = 14_400
"""Candles that a position may be held at most, before low volatility doubles it: ten days of minutes."""
MOST_WANTED = 30
"""Trades that are enough for a window's statistics, however long it is."""
ROWS_A_TRADE = ENOUGH_CANDLES // MOST_WANTED
"""Rows of a short window for each trade that is wanted of it."""
MOST_WANTED_LATER, ROWS_A_TRADE_LATER = 10, 4_000
"""The same in the validation window, which is shorter and chooses only among those that trade enough in training."""


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
    """Limits that leave at least nine tenths of the rows to the windows.

    A lookback takes a fiftieth of the rows at most, and a position may be held for ten days of minutes from
    some 14 months on; on fewer rows for as long as two purges, of a twentieth of the rows each, allow.
    """
    lookback = min(LONGEST_LOOKBACK, rows // 50)
    # A twentieth less a fiftieth, rounded once: two roundings would at times allow less with a row more.
    held = 3 * rows // 200 if lookback < LONGEST_LOOKBACK else (rows // 20 - lookback) // 2
    return Limits(lookback, timeout=min(LONGEST_TIMEOUT, held))


def fewest_in_validation(rows: int) -> int:
    """Trades in a validation window of so many rows below which it bears nobody out."""
    return max(1, min(MOST_WANTED_LATER, rows // ROWS_A_TRADE_LATER))


def fewest_trades(rows: int, fewest: int, most: int = MOST_WANTED) -> int:
    """Trades in a window of so many rows below which nothing can be said about a strategy.

    One trade for each thousand rows, but no fewer than `fewest` and no more than `most`: a mean of 30 trades is
    near enough to normal for its standard error to mean something, however long the window is.

    Parameters
    ----------
    rows : int
    fewest, most : int
    """
    return max(fewest, min(most, rows // ROWS_A_TRADE))


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
