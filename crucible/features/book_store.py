"""Recorded book minutes: what the live book said, kept so that a later forging can learn from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from crucible.features.microstructure import BookMinute, BookMinutes

COLUMNS = ("ts", "skew", "ofi", "depth", "seconds")


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
        """Read a symbol's minutes; None where none were recorded."""
        path = self.path(symbol)
        if not path.exists():
            return None
        table = pq.read_table(path)
        return BookMinutes(*(table[name].to_numpy() for name in COLUMNS))

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
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.path(symbol).with_suffix(".part")
        table = pa.table({name: column[first] for name, column in columns.items()})
        pq.write_table(table, part, compression="zstd")
        part.replace(self.path(symbol))
