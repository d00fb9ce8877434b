"""TopologicalRadar: the shape of the market's last hour, as persistent homology sees it.

One point cloud per evaluation: each closed minute of the window is a point whose coordinates are
the returns of the tracked assets. Evaluations are stateless functions of their window, every few
market minutes on UTC-aligned closes; what is remembered between them lives in `regime`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from crucible.features.grid import Grid, Matrix, State, hold
from crucible.features.regime import RegimeWatch
from crucible.features.rings import NONE
from crucible.features.topology.rips import persistence
from crucible.files import make_folder, replacing
from crucible.market.candles import Integers
from crucible.market.timeframes import COVERAGE
from crucible.settings import FeatureSettings

RADAR = (
    "radar_h1_l1",
    "radar_h1_l2",
    "radar_entropy_h0",
    "radar_entropy_h1",
    "radar_persistence_2",
    "radar_distance",
    "regime_change_detected",
    "radar_age",
)

EVALUATION = (
    "h1_l1",
    "h1_l2",
    "entropy_h0",
    "entropy_h1",
    "persistence_2",
    "log_raw_l1",
    "log_volatility",
    "correlation",
)
"""What one evaluation measures: five shapes of the standardised cloud, the logarithm of the raw
cloud's H1 landscape norm (basis points squared), and two plain baselines."""

Lifetimes = tuple[tuple[Matrix, Matrix], tuple[Matrix, Matrix]]

TTL = 30
"""Minutes after which a held evaluation is no longer shown."""

EMBEDDING = 4
"""Dimensions of the delay embedding that stands in for a cloud when one asset is tracked."""

SHORT = 15
"""Minutes of the volatility baseline; shorter than the cloud, so that it reacts first."""

_DAY = 1_440


class TopologicalRadar:
    """The radar block of a pipeline.

    Parameters
    ----------
    settings : FeatureSettings
        `radar_window` minutes per cloud, one evaluation per `radar_every` minutes.
    assets : int
        Leading columns of the grid that make the cloud.
    cache : Path, optional
        Folder for evaluations of whole UTC days, keyed by the content of their windows.
    """

    def __init__(self, settings: FeatureSettings, assets: int, cache: Path | None = None) -> None:
        self.settings = settings
        self.assets = assets
        self.cache = cache
        self.window = settings.radar_window
        self.every = settings.radar_every
        self.carry = settings.radar_window + EMBEDDING
        self._watch = RegimeWatch(settings.radar_every, len(EVALUATION))

    def fresh(self) -> State:
        """State before any minute was seen."""
        return {"radar_began": np.full(1, NONE)} | self._watch.fresh()

    def run(
        self, state: State, grid: Grid, parts: Iterable[tuple[Integers, Matrix]] | None = None
    ) -> Matrix:
        """Evaluate the run's aligned minutes and hold the results as of every minute.

        Parameters
        ----------
        state
            Changed in place.
        grid : Grid
        parts : iterable of (minutes, evaluations), optional
            The run's evaluated minutes and what `evaluate` gives for them, in order and in any number of
            parts, where somebody else evaluates them.

        Returns
        -------
        ndarray of float64, shape (len(grid.minutes), len(RADAR))
        """
        if parts is None:
            minutes = self.evaluated(state, grid)
            parts = [(minutes, self.evaluate(grid, minutes))]
        watched = []
        for minutes, values in parts:
            whole = np.isfinite(values).any(axis=1)
            watched.append(self._watch.run(state, minutes[whole], values[whole]))
        # Each part begins with the last evaluation of the one before: the same one twice is held once.
        shown_at, shown = map(np.concatenate, zip(*watched, strict=True))
        return hold(shown_at, shown, grid.minutes, TTL)

    def evaluated(self, state: State, grid: Grid) -> Integers:
        """Give the run's minutes at which a window is evaluated.

        Parameters
        ----------
        state
            Changed in place: it remembers the first minute with a return of every asset.
        grid : Grid

        Returns
        -------
        ndarray of int64
            Exclusive close times in minutes since the epoch, on the radar's UTC grid.
        """
        minutes = grid.aligned(self.every)
        evaluated: Integers = minutes[minutes - self._began(state, grid) >= self.carry]
        return evaluated

    def _began(self, state: State, grid: Grid) -> int:
        """First minute with a return of every asset; a window must lie after it.

        Otherwise a cold start would speak of windows that a longer run knows in full.
        """
        if state["radar_began"][0] == NONE:
            whole = np.flatnonzero(np.isfinite(grid.returns[:, : self.assets]).all(axis=1))
            if len(whole) == 0:
                return int(grid.minutes[-1])
            state["radar_began"][0] = grid.start + int(whole[0])
        return int(state["radar_began"][0])

    def evaluate(self, grid: Grid, minutes: Integers) -> Matrix:
        """Evaluate the windows that end at given minutes.

        Returns
        -------
        ndarray of float64, shape (len(minutes), len(EVALUATION))
            A row is NaN where too few of the window's minutes have a return of every asset.
        """
        out = np.full((len(minutes), len(EVALUATION)), np.nan)
        for rows in _days(minutes):
            windows = np.stack([self.window_at(grid, int(minute)) for minute in minutes[rows]])
            out[rows] = self._day(windows)
        return out

    def kept(self, grid: Grid, minutes: Integers) -> Matrix | None:
        """Give what `evaluate` gives where the cache holds all of it; None otherwise."""
        found = []
        for rows in _days(minutes):
            if self.cache is None or len(minutes[rows]) * self.every < _DAY:
                return None
            windows = np.stack([self.window_at(grid, int(minute)) for minute in minutes[rows]])
            stored = self._stored(self._file(self.cache, windows), len(windows))
            if stored is None:
                return None
            found.append(stored)
        return np.concatenate(found) if found else None

    def window_at(self, grid: Grid, minute: int) -> Matrix:
        """Give the returns whose cloud is evaluated at a minute, shape (window, dimensions)."""
        end = grid.row(minute) + 1
        if self.assets > 1:
            return grid.returns[end - self.window : end, : self.assets]
        lags = [grid.returns[end - self.window - lag : end - lag, 0] for lag in range(EMBEDDING)]
        return np.stack(lags, axis=1)

    def _day(self, windows: Matrix) -> Matrix:
        """Evaluate windows of one UTC day, from the cache when the same were evaluated before."""
        if self.cache is None or len(windows) * self.every < _DAY:
            return np.stack([evaluate_window(w, embedded=self.assets == 1) for w in windows])
        file = self._file(self.cache, windows)
        stored = self._stored(file, len(windows))
        if stored is not None:
            return stored
        values = np.stack([evaluate_window(w, embedded=self.assets == 1) for w in windows])
        with suppress(OSError):  # what was evaluated is right, kept or not
            make_folder(self.cache)
            with replacing(file) as part, part.open("wb") as out:
                np.save(out, values)
        return values

    @staticmethod
    def _file(cache: Path, windows: Matrix) -> Path:
        digest = hashlib.sha256(repr((EVALUATION, windows.shape, SHORT, _VERSION)).encode())
        digest.update(np.ascontiguousarray(windows).tobytes())
        return cache / f"radar-{digest.hexdigest()[:32]}.npy"

    @staticmethod
    def _stored(file: Path, count: int) -> Matrix | None:
        """Read an evaluation that is there and whole; None otherwise: it can be had again."""
        try:
            stored = np.load(file, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        shape = (count, len(EVALUATION))
        whole = isinstance(stored, np.ndarray) and stored.dtype == np.float64
        return stored if whole and stored.shape == shape else None


_VERSION = 2


def _days(minutes: Integers) -> list[slice]:
    """Slices of equal UTC day."""
    if len(minutes) == 0:
        return []
    cuts = np.flatnonzero(np.diff((minutes - 1) // _DAY)) + 1
    edges = [0, *cuts.tolist(), len(minutes)]
    return [slice(a, b) for a, b in pairwise(edges)]


def point_clouds(window: Matrix) -> tuple[Matrix, Matrix] | None:
    """Make the two clouds of a window: standardised asset by asset, and in basis points.

    Parameters
    ----------
    window : ndarray of float64, shape (minutes, dimensions)
        One-minute log returns; a row with a NaN is left out.

    Returns
    -------
    tuple of ndarray of float64, shape (points, dimensions), or None
        None where fewer than 90 % of the rows are whole, or an asset did not move.
    """
    cloud = window[np.isfinite(window).all(axis=1)]
    if len(cloud) < COVERAGE * len(window):
        return None
    spread = cloud.std(axis=0)
    if not np.all(spread > 0):
        return None
    return (cloud - cloud.mean(axis=0)) / spread, cloud * 1e4


def evaluate_window(
    window: Matrix, *, embedded: bool = False, lifetimes: Lifetimes | None = None
) -> Matrix:
    """Measure one window.

    Parameters
    ----------
    window : ndarray of float64, shape (minutes, dimensions)
        One-minute log returns; a row with a NaN is left out.
    embedded : bool
        Whether the columns are delays of one asset, between which a correlation says nothing new.
    lifetimes : pair of (connected, loops), optional
        Of the two clouds of `point_clouds`, where they have been computed already.

    Returns
    -------
    ndarray of float64, shape (len(EVALUATION),)
        All NaN where fewer than 90 % of the rows are whole, or an asset did not move.
    """
    out = np.full(len(EVALUATION), np.nan)
    clouds = point_clouds(window)
    if clouds is None:
        return out
    normal, raw_cloud = clouds
    if lifetimes is None:
        lifetimes = persistence(normal), persistence(raw_cloud)
    (connected, loops), (_, raw_loops) = lifetimes
    out[0], out[1] = landscape_norms(loops)
    out[2], out[3] = persistence_entropy(connected), persistence_entropy(loops)
    out[4] = np.sort(loops)[-2] if len(loops) > 1 else 0.0
    raw = landscape_norms(raw_loops)[0]
    out[5] = np.log(raw) if raw > 0 else np.nan
    recent = window[np.isfinite(window).all(axis=1)][-SHORT:]
    out[6] = np.mean(np.log(np.sqrt(np.mean(recent**2, axis=0)) + 1e-12))
    if not embedded:
        pairs = np.atleast_2d(np.corrcoef(normal, rowvar=False))
        out[7] = pairs[_above_diagonal(len(pairs))].mean()
    return out


@lru_cache
def _above_diagonal(assets: int) -> tuple[Integers, ...]:
    return np.triu_indices(assets, 1)


def landscape_norms(lifetimes: Matrix) -> tuple[float, float]:
    """L1 and L2 norms of a persistence landscape over all its layers.

    Every feature of lifetime p is a tent of height p/2 and base p, and the layers only sort the
    tents' values at each point: the norms are ``sum(p^2) / 4`` and ``sqrt(sum(p^3) / 12)`` exactly
    (landscapes: Bubenik 2015).
    """
    return float((lifetimes**2).sum() / 4), float(np.sqrt((lifetimes**3).sum() / 12))


def persistence_entropy(lifetimes: Matrix) -> float:
    """Shannon entropy of the lifetimes' shares, bits; NaN when there are none."""
    if len(lifetimes) == 0:
        return float("nan")
    share = lifetimes / lifetimes.sum()
    return float(-(share * np.log2(share)).sum())
