"""The radar by giotto-tda: its training set and its pictures.

The live path computes the same lifetimes in compiled code (`crucible.features.topology.rips`), since it stands
between a closed candle and every order; here the library itself does the topology, for whole spans
of history at once, and a test holds the two equal. giotto-tda takes seconds to import: only these
functions import it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crucible.errors import CrucibleError
from crucible.features.grid import Grid, Matrix
from crucible.features.technical import market_grid
from crucible.features.topology.radar import (
    EVALUATION,
    RADAR,
    TopologicalRadar,
    evaluate_window,
    point_clouds,
)
from crucible.files import make_folder, replacing, write_text
from crucible.market.candles import Candles, Integers, read_folder
from crucible.market.simulator import Change, ChangeKind, simulate
from crucible.outputs import ask_for_file
from crucible.settings import MINUTE_MS, FeatureSettings

if TYPE_CHECKING:
    import pandas as pd

SIMULATED_DAYS = 3
FIRST_CHANGE = 1_440 + 400
"""Minute of a simulated market's change: its trailing reference is full by then."""
CHANGE_MINUTES = 120
CHANGES: tuple[tuple[ChangeKind, float], ...] = (
    ("volatility", 2.0),
    ("volatility", 3.0),
    ("correlation", 0.0),
    ("correlation", 0.95),
    ("flash", 0.03),
)
"""Kind and size of the planted changes; each market has one, and one more has none."""
FLASH_MINUTES = 10


class RadarError(CrucibleError, ValueError):
    """A window or a span that the radar cannot work on; names what and the next step."""


def giotto_lifetimes(clouds: Sequence[Matrix]) -> list[tuple[Matrix, Matrix]]:
    """Lifetimes of the components and loops of point clouds, by giotto-tda.

    Parameters
    ----------
    clouds : sequence of ndarray of float64, shape (points, dimensions)

    Returns
    -------
    list of (connected, loops)
        As `crucible.features.topology.rips.persistence` gives them, in single precision.
    """
    found = []
    for diagram in _diagrams(clouds):
        births, deaths, dimensions = diagram.T
        lifetimes = deaths - births
        alive = lifetimes > 0  # diagrams of fewer points are filled up with points of no lifetime
        connected = np.sort(lifetimes[alive & (dimensions == 0)])
        loops = alive & (dimensions == 1)
        order = np.lexsort((deaths[loops], -births[loops]))
        found.append((connected, lifetimes[loops][order]))
    return found


def _diagrams(clouds: Sequence[Matrix]) -> Any:  # noqa: ANN401 - giotto-tda has no types
    from gtda.homology import VietorisRipsPersistence

    complexes = VietorisRipsPersistence(homology_dimensions=(0, 1), n_jobs=1)
    return complexes.fit_transform(list(clouds))


def giotto_evaluations(windows: Sequence[Matrix], *, embedded: bool = False) -> Matrix:
    """Measure windows as `radar.evaluate_window` does, with giotto-tda's topology.

    Parameters
    ----------
    windows : sequence of ndarray of float64, shape (minutes, dimensions)
        One-minute log returns.
    embedded : bool
        Whether the columns are delays of one asset.

    Returns
    -------
    ndarray of float64, shape (len(windows), len(EVALUATION))
    """
    pairs = [point_clouds(window) for window in windows]
    whole = [pair for pair in pairs if pair is not None]
    lifetimes = iter(giotto_lifetimes([cloud for pair in whole for cloud in pair]) if whole else ())
    out = np.full((len(windows), len(EVALUATION)), np.nan)
    for row, (window, pair) in enumerate(zip(windows, pairs, strict=True)):
        if pair is not None:
            known = (next(lifetimes), next(lifetimes))
            out[row] = evaluate_window(window, embedded=embedded, lifetimes=known)
    return out


def training_set(candles: Mapping[str, Candles], settings: FeatureSettings) -> pd.DataFrame:
    """Give what the radar measures at each of its evaluations over a span of candles.

    Parameters
    ----------
    candles : mapping of str to Candles
        The point clouds are made of the first `settings.radar_assets`.
    settings : FeatureSettings

    Returns
    -------
    DataFrame
        ``ts`` (exclusive close time, epoch milliseconds), the measures of `radar.EVALUATION` by
        giotto-tda, and what the radar showed there: its features of `radar.RADAR`.

    Raises
    ------
    RadarError
        If the span is shorter than a window.
    """
    import pandas as pd

    assets = min(settings.radar_assets, len(candles))
    radar = TopologicalRadar(settings, assets)
    grid = market_grid(candles, radar.carry)
    minutes = radar.evaluated(radar.fresh(), grid)
    if len(minutes) == 0:
        message = (
            f"{', '.join(candles)}: {len(grid.minutes)} minutes hold no window of "
            f"{settings.radar_window}; give a longer span"
        )
        raise RadarError(message)
    values = giotto_evaluations(_windows(radar, grid, minutes), embedded=assets == 1)
    shown = radar.run(radar.fresh(), grid)[np.searchsorted(grid.minutes, minutes)]
    table = pd.DataFrame(values, columns=list(EVALUATION))
    table.insert(0, "ts", minutes * MINUTE_MS)
    for column, name in enumerate(RADAR):
        table[name] = shown[:, column]
    return table


def simulated_training_set(markets: int, seed: int, settings: FeatureSettings) -> pd.DataFrame:
    """Give labelled evaluations of simulated markets, one planted change in each, or none.

    Parameters
    ----------
    markets : int
        Markets of each kind of change, and as many without one.
    seed : int
    settings : FeatureSettings

    Returns
    -------
    DataFrame
        As `training_set`, with ``market``, ``change`` (``none``, or kind and size) and ``label``: 1
        where the change had begun and its window had not passed it yet.
    """
    import pandas as pd

    symbols = [f"S{number}" for number in range(settings.radar_assets)]
    kinds: list[tuple[ChangeKind, float] | None] = [None, *CHANGES]
    tables = []
    for number, (_, kind) in enumerate(product(range(markets), kinds)):
        change = None if kind is None else _change(*kind)
        candles = simulate(
            symbols,
            SIMULATED_DAYS * 1_440,
            seed + number,
            null=True,
            changes=[] if change is None else [change],
        )
        table = training_set(candles, settings)
        opened = int(next(iter(candles.values())).ts[0]) // MINUTE_MS
        since = table["ts"] // MINUTE_MS - opened - (FIRST_CHANGE if change else 10**9)
        inside = (since > 0) & (since <= CHANGE_MINUTES)
        table.insert(0, "market", number)
        table.insert(1, "change", "none" if kind is None else f"{kind[0]} {kind[1]:g}")
        table["label"] = inside.astype(np.int8)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _change(kind: ChangeKind, size: float) -> Change:
    minutes = FLASH_MINUTES if kind == "flash" else CHANGE_MINUTES
    return Change(kind, FIRST_CHANGE, minutes, size)


def write_training_set(
    out: Path, candles_dir: Path | None, markets: int, seed: int, settings: FeatureSettings
) -> dict[str, Any]:
    """Do the work of ``crucible radar training-set``: one Parquet file, whole or not at all.

    Parameters
    ----------
    out : Path
    candles_dir : Path or None
        Folder of ``SYMBOL-1m.parquet``; simulated markets where it is None.
    markets, seed : int
        See `simulated_training_set`.
    settings : FeatureSettings

    Returns
    -------
    dict
        JSON-able: ``file``, ``evaluations``, ``labelled``.
    """
    ask_for_file("--out", out)
    table = (
        simulated_training_set(markets, seed, settings)
        if candles_dir is None
        else training_set(read_folder(candles_dir), settings)
    )
    make_folder(out.absolute().parent)
    with replacing(out) as part:
        table.to_parquet(part, compression="zstd", index=False)
    labelled = int(table["label"].sum()) if "label" in table else 0
    return {"file": str(out), "evaluations": len(table), "labelled": labelled}


def write_picture(
    out: Path, candles_dir: Path, at_ms: int | None, settings: FeatureSettings
) -> dict[str, Any]:
    """Do the work of ``crucible radar picture``: one HTML page that asks no other for anything.

    Parameters
    ----------
    out : Path
    candles_dir : Path
    at_ms : int or None
        Exclusive close time of the window's last minute; the newest evaluation otherwise.
    settings : FeatureSettings

    Returns
    -------
    dict
        JSON-able: ``file``, ``ts`` and the window's measures.

    Raises
    ------
    RadarError
        If there is no whole window at that time.
    """
    ask_for_file("--out", out)
    candles = read_folder(candles_dir)
    assets = min(settings.radar_assets, len(candles))
    radar = TopologicalRadar(settings, assets)
    grid = market_grid(candles, radar.carry)
    minutes = radar.evaluated(radar.fresh(), grid)
    wanted = minutes[-1:] if at_ms is None else minutes[minutes * MINUTE_MS == at_ms]
    window = radar.window_at(grid, int(wanted[0])) if len(wanted) else None
    clouds = None if window is None else point_clouds(window)
    if window is None or clouds is None:
        span = f"{minutes[0] * MINUTE_MS} to {minutes[-1] * MINUTE_MS}" if len(minutes) else "none"
        message = (
            f"{candles_dir}: no whole window of {settings.radar_window} minutes closes at "
            f"{'the end' if at_ms is None else at_ms}; there is one every {settings.radar_every} "
            f"minutes: {span}"
        )
        raise RadarError(message)
    ts = int(wanted[0]) * MINUTE_MS
    measures = dict(
        zip(EVALUATION, giotto_evaluations([window], embedded=assets == 1)[0].tolist(), strict=True)
    )
    names = list(candles)[:assets]
    make_folder(out.absolute().parent)
    write_text(out, draw(clouds[0], names, ts, measures))
    return {"file": str(out), "ts": ts, **{name: finite(value) for name, value in measures.items()}}


def draw(cloud: Matrix, symbols: Sequence[str], ts: int, measures: Mapping[str, float]) -> str:
    """Draw a window's cloud and its persistence diagram as an HTML page."""
    from gtda.plotting import plot_diagram, plot_point_cloud

    points = plot_point_cloud(cloud[:, : min(cloud.shape[1], 3)])
    points.update_layout(title=f"Standardised returns of {', '.join(symbols)}")
    diagram = plot_diagram(_diagrams([cloud])[0])
    diagram.update_layout(title="Persistence: components (0) and loops (1)")
    figures = [
        figure.to_html(full_html=False, include_plotlyjs=first)
        for figure, first in ((points, True), (diagram, False))
    ]
    reported = ", ".join(f"{name} {value:.4g}" for name, value in measures.items())
    return (
        "<!doctype html><meta charset='utf-8'><title>Radar</title>"
        f"<h1>The market's shape at {np.datetime64(ts, 'ms')} UTC</h1><p>{escape(reported)}</p>"
        + "".join(figures)
    )


def finite(value: float) -> float | None:
    """Give a number as JSON has it: None where it is not known."""
    return value if np.isfinite(value) else None


def _windows(radar: TopologicalRadar, grid: Grid, minutes: Integers) -> list[Matrix]:
    return [radar.window_at(grid, int(minute)) for minute in minutes]
