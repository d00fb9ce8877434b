"""Features of history, as everybody asks for them: in parallel, and only once for the same candles."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np

from crucible.features.frame import FeatureFrame, Matrix
from crucible.features.pipeline import FeaturePipeline
from crucible.features.store import FeatureStore, StoreError, key_of
from crucible.features.workers import WINDOW_ROWS, Workers
from crucible.locks import HeldError
from crucible.market.candles import Candles

logger = logging.getLogger(__name__)

Progress = Callable[[float], None]


def features_of(
    pipeline: FeaturePipeline,
    candles: Mapping[str, Candles],
    *,
    symbols: Collection[str] | None = None,
    store: FeatureStore | None = None,
    count: int | None = None,
    progress: Progress | None = None,
) -> dict[str, FeatureFrame]:
    """Give what `FeaturePipeline.batch` gives, bit for bit.

    Parameters
    ----------
    pipeline : FeaturePipeline
        Neither its live state is used nor changed.
    candles : mapping of str to Candles
        One-minute candles of any of the pipeline's symbols; all of them take part.
    symbols : collection of str, optional
        Whose frames are wanted; by default all that have candles.
    store : FeatureStore, optional
        Where features are looked for and kept. The values of frames that come from there are mapped from
        its files: read-only, and shared with every other process that uses them.
    count : int, optional
        Processes or threads at once; by default as many as there are processors.
    progress : callable, optional
        Takes the share of the work that is done, from 0 to 1; called from any thread, one call at a time.

    Raises
    ------
    FeatureError
        As `FeaturePipeline.batch`.
    """
    held = {name: candles.get(name) or Candles.none_of(name) for name in pipeline.symbols}
    rows = {name: len(own) for name, own in held.items() if len(own)}
    wanted = {name: own for name, own in rows.items() if symbols is None or name in symbols}
    width = len(pipeline.schema.names)
    work = _Work(pipeline, candles, count or os.cpu_count() or 1, progress)
    # What the pipeline does not serve, it refuses itself.
    if store is None or not rows or not held.keys() >= candles.keys():
        return work.into({name: np.empty((own, width)) for name, own in wanted.items()})
    with ExitStack() as stack:
        unfinished = None
        try:
            entry = stack.enter_context(store.entry(key_of(pipeline.schema, held)))
            kept = entry.read(wanted, width)
            if kept is not None:
                work.end()
                return {
                    name: FeatureFrame(name, held[name].close_ts, values, pipeline.schema)
                    for name, values in kept.items()
                }
            unfinished = stack.enter_context(entry.begin(rows, width))
        except (OSError, HeldError, StoreError) as error:
            logger.warning("%s: these features are not kept: %s", store.folder, error)
        if unfinished is None:
            return work.into({name: np.empty((own, width)) for name, own in wanted.items()})
        frames = work.into(unfinished.arrays)
        values = unfinished.finish()
        return {name: replace(frames[name], values=values[name]) for name in wanted}


@dataclass(frozen=True)
class _Work:
    """What is to be computed, by how many, and who is told."""

    pipeline: FeaturePipeline
    candles: Mapping[str, Candles]
    count: int
    progress: Progress | None

    def into(self, arrays: Mapping[str, Matrix]) -> dict[str, FeatureFrame]:
        """Compute the frames of some symbols, their values written into arrays that are there."""
        with Workers(self.count, self._report()) as workers:
            frames = self.pipeline.batch(self.candles, workers=workers, into=arrays)
        self.end()
        return frames

    def end(self) -> None:
        """Tell that all is done."""
        if self.progress is not None:
            self.progress(1.0)

    def _report(self) -> Callable[[int], None] | None:
        """Tell the share that is done of what there seems to be to do."""
        if self.progress is None:
            return None
        progress, done = self.progress, 0
        rows = [len(own) for own in self.candles.values()]
        windows = max(rows, default=0) // self.pipeline.settings.radar_every
        total = max(1, sum(rows) + windows * WINDOW_ROWS)

        def report(more: int) -> None:
            nonlocal done
            done += more
            progress(min(1.0, done / total))

        return report
