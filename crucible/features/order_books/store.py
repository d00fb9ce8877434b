"""Recorded book minutes: what the live book said, kept so that a later forge run can learn from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from crucible.errors import CrucibleError
from crucible.features.order_books.microstructure import BookMinute, BookMinutes
from crucible.market.parquet import read_columns, write_columns
from crucible.market.plausible import implausible_year

COLUMNS = ("ts", "skew", "ofi", "depth", "seconds")


class BookError(CrucibleError, ValueError):
    """Recorded book minutes that cannot be used; the message names the file, the row and the value."""


class BookStore:
    """Book minutes under ``folder/books``, one Parquet file a symbol.

    Parameters
    ----------
    folder : Path
        The data lake.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "books"

    def path(self, symbol: str) -> Path:
        """Name the file of a symbol."""
        return self.folder / f"{symbol}-1m.parquet"

    def read(self, symbol: str) -> BookMinutes | None:
        """Read a symbol's minutes; None where none were recorded.

        Raises
        ------
        BookError
            If the file cannot be read or holds a bad row.
        """
        path = self.path(symbol)
        if not path.exists():
            return None
        read = read_columns(path, COLUMNS, "book minutes", BookError)
        year = implausible_year(read["ts"])
        if year is not None:
            message = f"{path}: row {year[0]}: {year[1]}"
            raise BookError(message)
        return BookMinutes(**(read | {"seconds": read["seconds"].astype(np.int64)}))

    def append(self, symbol: str, minutes: Sequence[BookMinute]) -> None:
        """Add minutes; one already recorded is kept as it was."""
        if not minutes:
            return
        parts = [BookMinutes.of(minutes)]
        held = self.read(symbol)
        if held is not None:
            parts.insert(0, held)
        columns = {name: np.concatenate([getattr(p, name) for p in parts]) for name in COLUMNS}
        _, first = np.unique(columns["ts"], return_index=True)
        write_columns(self.path(symbol), {name: own[first] for name, own in columns.items()})
