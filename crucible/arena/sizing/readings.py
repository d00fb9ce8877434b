"""What is recorded of the features at each closed candle: as the sizes of entries take them, whether anybody enters.

A figure that an entry would take as unknown is None, and so is one of a block that has no source.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from crucible.arena.sizing.multipliers import BOOK_TIER, has_trained_influence, serves_books
from crucible.features.frame import FeatureFrame, FeatureRow, FeatureSchema
from crucible.ledger.readings import FIGURES, KEPT_MINUTES, Reading
from crucible.settings import MINUTE_MS

NAMES = ("regime_change_detected", *FIGURES)


def reading_of(row: FeatureRow) -> Reading:
    """Give the reading of one closed candle.

    Parameters
    ----------
    row : FeatureRow
    """
    values = row.values[np.newaxis]
    return next(readings_of(FeatureFrame(row.symbol, np.array([row.ts]), values, row.schema)))


def readings_of(frame: FeatureFrame) -> Iterator[Reading]:
    """Give the reading of each closed candle, oldest first, of as many of the newest as a ledger keeps.

    Parameters
    ----------
    frame : FeatureFrame
        Of at least one candle.
    """
    first = int(frame.ts.searchsorted(frame.ts[-1] - KEPT_MINUTES * MINUTE_MS, side="right"))
    columns = [_known(frame, name, first) for name in NAMES]
    for ts, changed, *figures in zip(frame.ts[first:].tolist(), *columns, strict=True):
        yield Reading(frame.symbol, ts, None if changed is None else changed == 1.0, *figures)


def missing_sources(schema: FeatureSchema) -> dict[str, str]:
    """Say of each feature that has no source, why.

    Parameters
    ----------
    schema : FeatureSchema
    """
    found = {name: "the features have none" for name in NAMES if name not in schema}
    if not has_trained_influence(schema):
        found["influence_in"] = "no influence model was trained when the arena started"
    if not serves_books(schema):
        found["mce_skew"] = "order books are not served (features.books)"
    return found


def _known(frame: FeatureFrame, name: str, first: int) -> list[float | None]:
    """Give a feature from a row on, None where it counts as unknown."""
    if name not in frame.schema:
        return [None] * (len(frame) - first)
    values = frame.column(name)[first:]
    known = np.isfinite(values)
    if name == "mce_pressure" and serves_books(frame.schema):
        # A source that fell back to candles is a stale one.
        known &= frame.column("mce_tier")[first:] == BOOK_TIER
    return [
        value if here else None for value, here in zip(values.tolist(), known.tolist(), strict=True)
    ]
