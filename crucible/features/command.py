"""The work of ``crucible features``: candles of a folder in, one Parquet file of features out."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.progress import Progress

from crucible.features.frame import FeatureFrame, FeatureSchema
from crucible.features.influence.mapper import InfluenceArrays
from crucible.features.pipeline import FeaturePipeline
from crucible.files import make_folder, replacing
from crucible.market.candles import Candles, files_of, read_folder
from crucible.outputs import OutputError, ask_for_file
from crucible.settings import MINUTE_MS, FeatureSettings
from crucible.text import terminal

DAY_MS = 1_440 * MINUTE_MS


def write_features(
    candles_dir: Path,
    out: Path,
    symbols: Sequence[str] | None = None,
    settings: FeatureSettings | None = None,
    influence: Path | None = None,
    radar_cache: Path | None = None,
) -> FeatureSchema:
    """Compute the features of a folder of candles and write them to one Parquet file.

    The file has one row per symbol and closed candle: `symbol`, `ts` (exclusive close time,
    milliseconds), then the features as float64, NaN where they have no value. Its metadata holds
    `feature_schema` (the hash) and `feature_parameters` (JSON). It appears whole or not at all.

    Parameters
    ----------
    candles_dir : Path
        Folder of ``SYMBOL-1m.parquet`` files.
    out : Path
    symbols : sequence of str, optional
        Every symbol of the folder when not given; their order decides the radar's assets.
    settings : FeatureSettings, optional
    influence : Path, optional
        Trained influence arrays.
    radar_cache : Path, optional
        Folder for evaluations of whole days.

    Returns
    -------
    FeatureSchema

    Raises
    ------
    OutputError
        If nothing can be written to `out`.
    CandleError
        If the candles cannot be used.
    InfluenceError
        If the influence arrays cannot be read.
    """
    ask_for_file("--out", out)
    if out.exists() and any(map(out.samefile, files_of(candles_dir).values())):
        message = f"--out {out}: holds candles that are read; name another file"
        raise OutputError(message)
    arrays = None if influence is None else InfluenceArrays.load(influence)
    with Progress(console=terminal(stderr=True), disable=not sys.stderr.isatty()) as progress:
        reading = progress.add_task("Reading candles", total=None)
        candles = read_folder(candles_dir, symbols)
        progress.update(reading, total=1, completed=1)
        pipeline = FeaturePipeline(
            list(candles), settings or FeatureSettings(), arrays, radar_cache=radar_cache
        )
        work = progress.add_task("Computing features", total=sum(map(len, candles.values())))
        parts: dict[str, list[FeatureFrame]] = {symbol: [] for symbol in candles}
        for day in _days(candles):
            for symbol, frame in pipeline.warm(day).items():
                parts[symbol].append(frame)
                progress.update(work, advance=len(frame))
        _write(out, parts, pipeline.schema)
    return pipeline.schema


def _days(candles: Mapping[str, Candles]) -> Iterator[dict[str, Candles]]:
    """Split candles by UTC day, so that there is progress to show and whole days to cache."""
    start = min(int(own.ts[0]) for own in candles.values()) // DAY_MS * DAY_MS
    end = max(int(own.ts[-1]) for own in candles.values()) + 1
    for day in range(start, end, DAY_MS):
        yield {symbol: own.between(day, day + DAY_MS) for symbol, own in candles.items()}


def _write(out: Path, parts: Mapping[str, list[FeatureFrame]], schema: FeatureSchema) -> None:
    fields = [pa.field("symbol", pa.string()), pa.field("ts", pa.int64())]
    fields += [pa.field(name, pa.float64()) for name in schema.names]
    layout = pa.schema(
        fields,
        metadata={
            "feature_schema": schema.hash,
            "feature_parameters": json.dumps(schema.parameters, sort_keys=True),
        },
    )
    make_folder(out.parent)
    with replacing(out) as part, pq.ParquetWriter(part, layout, compression="zstd") as writer:
        for symbol, frames in parts.items():
            ts = np.concatenate([frame.ts for frame in frames])
            columns = [pa.array([symbol] * len(ts)), pa.array(ts)]
            columns += [
                pa.array(np.concatenate([frame.values[:, at] for frame in frames]))
                for at in range(len(schema.names))
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=layout))
