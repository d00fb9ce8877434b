"""Funding: what holders of long positions in a perpetual pay to the short ones, every few hours.

The Parquet schema is ``ts`` (int64, instant of the settlement in epoch milliseconds), ``funding_rate``
(float64, share of a position's worth; a long position pays a positive rate).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from crucible.errors import CrucibleError
from crucible.market.candles import Floats, Integers
from crucible.market.formats import funding_name
from crucible.market.parquet import read_columns, write_columns
from crucible.market.plausible import implausible_year
from crucible.settings import MINUTE_MS

COLUMNS = ("ts", "funding_rate")
USUAL_INTERVAL_MS = 8 * 60 * MINUTE_MS
SHORTEST_INTERVAL_MS = 30 * MINUTE_MS
"""No venue settles more than once an hour; half of that leaves room for stamps that come late."""


class FundingError(CrucibleError, ValueError):
    """Rates that cannot be used; the message names the file or symbol, the row and the value."""


@dataclass(frozen=True, slots=True)
class Funding:
    """Settlements of one symbol, oldest first.

    Attributes
    ----------
    symbol : str
    ts : ndarray of int64, shape (n,)
        Instants of the settlements, strictly increasing.
    rate : ndarray of float64, shape (n,)
    """

    symbol: str
    ts: Integers
    rate: Floats

    def __len__(self) -> int:
        return len(self.ts)

    @classmethod
    def none_of(cls, symbol: str) -> Funding:
        """No settlements of a symbol."""
        return cls(symbol, np.empty(0, np.int64), np.empty(0))

    @property
    def interval_ms(self) -> int:
        """Usual time between two settlements; eight hours where fewer than two are known."""
        return int(np.median(np.diff(self.ts))) if len(self) > 1 else USUAL_INTERVAL_MS

    def between(self, start_ms: int, end_ms: int) -> Funding:
        """Settlements in ``[start_ms, end_ms)``."""
        first, last = np.searchsorted(self.ts, [start_ms, end_ms])
        return Funding(self.symbol, self.ts[first:last], self.rate[first:last])

    def at(self, opens: Integers) -> Floats:
        """Give the rate that is paid at each candle's open by whoever holds over it.

        A settlement in a minute without a candle is paid at the next candle; several add up.

        Parameters
        ----------
        opens : ndarray of int64, shape (n,)
            Open times of candles, increasing.

        Returns
        -------
        ndarray of float64, shape (n,)
            0 where nothing is settled.
        """
        rates = np.zeros(len(opens))
        # Some venues stamp a settlement some milliseconds late.
        rows = np.searchsorted(opens, self.ts // MINUTE_MS * MINUTE_MS)
        inside = (rows > 0) & (rows < len(opens))
        np.add.at(rates, rows[inside], self.rate[inside])
        return rates

    def covered(self, opens: Integers) -> float:
        """Share of candles that open within one interval after a known settlement; NaN of none."""
        if not len(opens):
            return float("nan")
        if not len(self):
            return 0.0
        row = np.searchsorted(self.ts // MINUTE_MS * MINUTE_MS, opens, side="right") - 1
        since = opens - self.ts[np.maximum(row, 0)]
        return float(np.mean((row >= 0) & (since < self.interval_ms)))

    def describe(self, opens: Integers) -> str:
        """Tell how much of the funding of some candles is known, for a person."""
        share = self.covered(opens)
        if not share > 0:
            return "not charged, no rates are known"
        return f"charged, rates are known for {100 * share:.4g}% of the candles"


def check(funding: Funding, source: str) -> Funding:
    """Return the settlements if every row is sound.

    Raises
    ------
    FundingError
        Naming `source`, the first bad row and its value: a time of another century (in another unit,
        most likely), not increasing or too soon after the one before, a rate that is not finite or not
        below 1 on either side.
    """

    def refuse(row: int, what: str) -> NoReturn:
        message = f"{source}: row {row} (ts {funding.ts[row]}): {what}"
        raise FundingError(message)

    year = implausible_year(funding.ts)
    if year is not None:
        refuse(*year)
    steps = np.diff(funding.ts)
    if (bad := steps <= 0).any():
        row = int(np.argmax(bad)) + 1
        refuse(row, f"time is not after the row before: {funding.ts[row]}")
    if (bad := steps < SHORTEST_INTERVAL_MS).any():
        row = int(np.argmax(bad)) + 1
        refuse(
            row,
            f"ts is {steps[row - 1] / MINUTE_MS:.4g} minutes after the row before, and every row is "
            "charged in full: give what was settled, not rates that were told in between",
        )
    if (bad := ~(np.abs(funding.rate) < 1)).any():
        row = int(np.argmax(bad))
        refuse(row, f"funding_rate is no share of a position's worth: {funding.rate[row]}")
    return funding


def funding_path(folder: Path, symbol: str) -> Path:
    """Name the file of a symbol."""
    return folder / f"{symbol}-funding.parquet"


def read_funding(folder: Path, symbol: str) -> Funding:
    """Read and check ``SYMBOL-funding.parquet``, or of another format; no settlements where there is no such file.

    Raises
    ------
    FundingError
        If the file cannot be read, lacks a column or holds a bad row.
    """
    path = funding_file(folder, symbol)
    if path is None:
        return Funding.none_of(symbol)
    read = read_columns(path, COLUMNS, "funding rates", FundingError, funding_name(path))
    ts, rate = read.values()
    return check(Funding(symbol, ts, rate), str(path))


def funding_file(folder: Path, symbol: str) -> Path | None:
    """Find a symbol's file of rates, of any format; None where there is none.

    Raises
    ------
    FundingError
        If it has two.
    """
    found = [
        path
        for path in sorted(folder.glob("*funding*"))
        if (named := funding_name(path)) is not None and named.symbol == symbol
    ]
    if len(found) > 1:
        message = f"{found[1]}: {found[0].name} has rates of {symbol} too; move one of both away"
        raise FundingError(message)
    return found[0] if found else None


def write_funding(funding: Funding, folder: Path) -> None:
    """Write one Parquet file atomically: a reader sees the old file or the new one, never half."""
    path = funding_path(folder, funding.symbol)
    write_columns(path, dict(zip(COLUMNS, (funding.ts, funding.rate), strict=True)))


def merge(parts: Sequence[Funding]) -> Funding:
    """Merge settlements of one symbol; an earlier part wins where two hold the same instant."""
    ts, first = np.unique(np.concatenate([part.ts for part in parts]), return_index=True)
    return Funding(parts[0].symbol, ts, np.concatenate([part.rate for part in parts])[first])


def charged(funding: Funding | None, opens: Integers) -> Floats | None:
    """Give the rates for a backtest over candles; None where none of them is known."""
    if funding is None or not len(opens):
        return None
    rates = funding.at(opens)
    return rates if rates.any() else None
