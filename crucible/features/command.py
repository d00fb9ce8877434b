"""The work of ``crucible features``: candles of a folder in, one Parquet file of features out."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from rich.progress import Progress

from crucible.features.frame import FeatureFrame, FeatureSchema
from crucible.features.history import features_of
from crucible.features.influence.mapper import InfluenceArrays
from crucible.features.pipeline import FeaturePipeline
from crucible.features.store import FeatureStore
from crucible.files import make_folder, replacing
from crucible.market.candles import files_of, read_folder
from crucible.outputs import OutputError, ask_for_file
from crucible.settings import FeatureSettings
from crucible.text import terminal

ROWS_AT_ONCE = 131_072


def write_features(
    candles_dir: Path,
    out: Path,
    symbols: Sequence[str] | None = None,
    settings: FeatureSettings | None = None,
    influence: Path | None = None,
    store: FeatureStore | None = None,
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
    store : FeatureStore, optional
        Where features are looked for and kept; evaluations of the radar are kept beside them.

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
        radar_cache = None if store is None else store.beside("radar")
        pipeline = FeaturePipeline(
            list(candles), settings or FeatureSettings(), arrays, radar_cache=radar_cache
        )
        work = progress.add_task("Computing features", total=1.0)
        frames = features_of(
            pipeline,
            candles,
            store=store,
            progress=lambda share: progress.update(work, completed=share),
        )
        writing = progress.add_task("Writing features", total=sum(map(len, frames.values())))
        for rows in _written(out, frames, pipeline.schema):
            progress.update(writing, advance=rows)
    return pipeline.schema


def _written(out: Path, frames: Mapping[str, FeatureFrame], schema: FeatureSchema) -> Iterator[int]:
    """Write frames symbol by symbol, some rows at a time, and tell how many."""
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
        for symbol, frame in frames.items():
            for first in range(0, len(frame), ROWS_AT_ONCE):
                ts = frame.ts[first : first + ROWS_AT_ONCE]
                values = frame.values[first : first + ROWS_AT_ONCE]
                columns = [pa.array([symbol] * len(ts)), pa.array(ts)]
                columns += [pa.array(values[:, at].copy()) for at in range(len(schema.names))]
                writer.write_table(pa.Table.from_arrays(columns, schema=layout))
                yield len(ts)
