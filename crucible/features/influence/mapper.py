"""InfluenceMapper: which asset's last minutes predict another's next one, served without torch.

Edges are ridge vector autoregressions over a trailing window, rebuilt on UTC-aligned hours from
sums of whole hours. A trained message layer turns them into messages; messages add, so leaving a
node out removes exactly its own messages. What is measured is predictive influence: a hidden common
driver that reaches one asset first looks the same.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numba import njit

from crucible.errors import CrucibleError
from crucible.features.grid import Grid, Matrix, State, hold
from crucible.features.rings import NONE
from crucible.files import make_folder, replacing
from crucible.market.candles import Floats, Integers
from crucible.market.timeframes import COVERAGE
from crucible.settings import FeatureSettings

# An empty file ends early, a file of one array is no archive, and parts may be cut or oddly packed.
_UNREADABLE = (
    *(OSError, ValueError, KeyError, EOFError, TypeError, AttributeError),
    *(BadZipFile, zlib.error, NotImplementedError),
)
INFLUENCE = ("influence", "influence_in", "influence_age")

RIDGE = 0.5
"""Ridge penalty per row. Assets move together and a lead is faint: at this strength planted leaders
were found most often, and the surrogates undergo the same shrinking."""

CLIP = 6.0
"""Standardised returns are clipped here, so that one jump does not make an edge."""

RECENT = 240
"""Minutes over which the squared messages of `influence` are averaged."""

TTL_REBUILDS = 3
"""Missed rebuilds after which a graph is no longer served."""


class InfluenceError(CrucibleError, ValueError):
    """Influence arrays or training data that cannot be used; names what and the next step."""


@dataclass(frozen=True)
class InfluenceArrays:
    """A trained mapper as plain arrays, saved without pickle.

    Attributes
    ----------
    theta : ndarray of float64, shape (lags,)
        Weight of each lag's ``coefficient * return``.
    gate : ndarray of float64, shape (2,)
        Bias and slope of the gate over the edge's quality.
    hidden : ndarray of float64, shape (units, lags + 1)
        First layer over the lag products and the quality.
    hidden_bias, out : ndarray of float64, shape (units,)
    threshold : ndarray of float64, shape (1,)
        What the strongest edge of a graph must exceed for the graph to be significant, from
        circular-shift surrogates.
    trained_until : ndarray of int64, shape (1,)
        Last minute (epoch minutes) of the training data; nothing is served at or before it.
    """

    theta: Floats
    gate: Floats
    hidden: Floats
    hidden_bias: Floats
    out: Floats
    threshold: Floats
    trained_until: Integers

    @property
    def hash(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 over every array."""
        digest = hashlib.sha256()
        for field in fields(self):
            array = np.ascontiguousarray(getattr(self, field.name))
            digest.update(f"{field.name}:{array.dtype}:{array.shape}".encode())
            digest.update(array.tobytes())
        return digest.hexdigest()[:16]

    def save(self, path: Path) -> None:
        """Write an ``.npz`` file atomically."""
        make_folder(path.parent)
        with replacing(path) as part, part.open("wb") as file:
            np.savez(file, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: Path) -> InfluenceArrays:
        """Read what `save` wrote; no code in the file can run.

        Raises
        ------
        InfluenceError
            If the file cannot be read, lacks an array, or one is not of numbers that fit the others:
            compiled code reads them without looking.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                found = cls(**{field.name: stored[field.name] for field in fields(cls)})
        except _UNREADABLE as error:
            message = f"{path}: cannot be read as influence arrays: {error}; train them again"
            raise InfluenceError(message) from error
        units, lags = found.hidden_bias.size, found.theta.size
        shapes = {
            "theta": (lags,),
            "gate": (2,),
            "hidden": (units, lags + 1),
            "hidden_bias": (units,),
            "out": (units,),
            "threshold": (1,),
            "trained_until": (1,),
        }
        for name, shape in shapes.items():
            array = getattr(found, name)
            kind = np.int64 if name == "trained_until" else np.float64
            if array.shape != shape or array.dtype != kind or not np.isfinite(array).all():
                message = (
                    f"{path}: {name} is {array.dtype} {array.shape}, wanted are finite numbers, "
                    f"{np.dtype(kind)} {shape}; train them again"
                )
                raise InfluenceError(message)
        return found


@dataclass(frozen=True, slots=True)
class Edges:
    """Directed edges between assets.

    Attributes
    ----------
    source, target : ndarray of int64, shape (e,)
    coefficients : ndarray of float64, shape (e, lags)
    quality : ndarray of float64, shape (e,)
        Logarithm of the edge's statistic over its threshold.
    """

    source: Integers
    target: Integers
    coefficients: Floats
    quality: Floats


class InfluenceMapper:
    """The influence block of a pipeline.

    Parameters
    ----------
    settings : FeatureSettings
    symbols : int
    arrays : InfluenceArrays, optional
        Without it every feature is NaN.

    Raises
    ------
    InfluenceError
        If the arrays were trained with another number of lags.
    """

    def __init__(
        self, settings: FeatureSettings, symbols: int, arrays: InfluenceArrays | None
    ) -> None:
        self._lags = settings.influence_lags
        self._every = settings.influence_every
        self._keep = settings.influence_edges
        self._blocks = settings.influence_window_days * 1_440 // settings.influence_every
        self._symbols = symbols
        self._arrays = arrays
        self.carry = max(RECENT, self._every) + self._lags + 1
        if arrays is not None and len(arrays.theta) != self._lags:
            message = (
                f"influence arrays have {len(arrays.theta)} lags, settings say {self._lags}; "
                "train them again or change features.influence_lags"
            )
            raise InfluenceError(message)

    def fresh(self) -> State:
        """State before any minute; empty without a trained mapper."""
        if self._arrays is None:
            return {}
        wide, most = self._symbols * self._lags, self._symbols * self._keep
        return {
            "influence_moments": np.zeros(
                (self._blocks, wide + self._symbols, wide + self._symbols)
            ),
            "influence_rows": np.zeros(self._blocks, np.int64),
            "influence_stamp": np.full(self._blocks, NONE),
            "influence_first": np.full(1, NONE),
            "influence_built": np.full(1, NONE),
            "influence_value": np.full(self._symbols, np.nan),
            "influence_source": np.full(most, -1, np.int64),
            "influence_target": np.full(most, -1, np.int64),
            "influence_coefficients": np.zeros((most, self._lags)),
            "influence_quality": np.zeros(most),
        }

    def run(self, state: State, grid: Grid) -> Matrix:
        """Serve a run of minutes.

        Parameters
        ----------
        state
            Changed in place.
        grid : Grid

        Returns
        -------
        ndarray of float64, shape (len(grid.minutes), symbols, 3)
            Influence, predicted next standardised return from the in-edges, age in minutes.
        """
        out = np.full((len(grid.minutes), self._symbols, len(INFLUENCE)), np.nan)
        if self._arrays is None:
            return out
        ends = np.flatnonzero(grid.minutes % self._every == 0)
        edges = [0, *ends.tolist(), len(grid.minutes)]
        for first, last in pairwise(edges):
            # A segment begins with the minute at which its graph is built.
            if first < last and int(grid.minutes[first]) % self._every == 0:
                self._rebuild(state, grid, int(grid.minutes[first]))
            self._serve(state, grid, slice(first, last), out)
        return out

    def _rebuild(self, state: State, grid: Grid, minute: int) -> None:
        end = grid.row(minute) + 1
        slot = minute // self._every % self._blocks
        window = grid.standard[max(0, end - self._every - self._lags) : end]
        moments, rows = lagged_moments(window, self._lags)
        state["influence_moments"][slot] = moments
        state["influence_rows"][slot] = rows
        state["influence_stamp"][slot] = minute
        if state["influence_first"][0] == NONE and rows > 0:
            # The first hour with anything known is partial; a window begins after it.
            state["influence_first"][0] = minute
        oldest = minute - self._blocks * self._every
        known = state["influence_stamp"] > oldest
        if (
            minute - int(state["influence_first"][0]) < self._blocks * self._every
            or known.sum() < COVERAGE * self._blocks
            or state["influence_first"][0] == NONE
            or self._arrays is None
        ):
            return
        total = state["influence_moments"][known].sum(axis=0)
        count = int(state["influence_rows"][known].sum())
        edges = select_edges(total, count, self._lags, self._keep, float(self._arrays.threshold[0]))
        size = len(edges.source)
        state["influence_source"][:] = -1
        state["influence_source"][:size] = edges.source
        state["influence_target"][:size] = edges.target
        state["influence_coefficients"][:size] = edges.coefficients
        state["influence_quality"][:size] = edges.quality
        state["influence_built"][0] = minute
        recent = self._messages(edges, grid, np.arange(end - RECENT, end))
        state["influence_value"][:] = leave_out_influence(edges, recent, self._symbols)

    def _serve(self, state: State, grid: Grid, rows: slice, out: Matrix) -> None:
        minutes = grid.minutes[rows]
        built = int(state["influence_built"][0])
        if len(minutes) == 0 or built == NONE or self._arrays is None:
            return
        values = state["influence_value"][None, :]
        held = hold(np.array([built]), values, minutes, TTL_REBUILDS * self._every)
        size = int((state["influence_source"] >= 0).sum())
        edges = Edges(
            state["influence_source"][:size],
            state["influence_target"][:size],
            state["influence_coefficients"][:size],
            state["influence_quality"][:size],
        )
        predicted = np.zeros((len(minutes), self._symbols))
        messages = self._messages(edges, grid, minutes - grid.start)
        for edge, target in enumerate(edges.target.tolist()):
            predicted[:, target] += messages[:, edge]
        served = minutes > int(self._arrays.trained_until[0])
        fresh = served & np.isfinite(held[:, -1]) & (held[:, -1] <= TTL_REBUILDS * self._every)
        out[rows, :, 0] = np.where(served[:, None], held[:, :-1], np.nan)
        out[rows, :, 1] = np.where(fresh[:, None], predicted, np.nan)
        out[rows, :, 2] = np.where(served, held[:, -1], np.nan)[:, None]

    def _messages(self, edges: Edges, grid: Grid, rows: Integers) -> Matrix:
        lags = np.stack([grid.standard[rows - lag] for lag in range(self._lags)], axis=2)
        lags = np.clip(lags, -CLIP, CLIP)
        if self._arrays is None:
            return np.full((len(rows), len(edges.source)), np.nan)
        return messages(self._arrays, lags[:, edges.source, :], edges)


def messages(arrays: InfluenceArrays, sources: Matrix, edges: Edges) -> Matrix:
    """Messages of the trained layer, the arithmetic of its torch-geometric counterpart.

    ``gate(quality) * (theta . products + out . tanh(hidden [products, quality] + bias))`` with
    products = coefficients * source returns.

    Parameters
    ----------
    arrays : InfluenceArrays
    sources : ndarray of float64, shape (t, e, lags)
        Standardised returns of each edge's source, newest first.
    edges : Edges

    Returns
    -------
    ndarray of float64, shape (t, e)
    """
    products = sources * edges.coefficients
    gate = 1 / (1 + np.exp(-(arrays.gate[0] + arrays.gate[1] * edges.quality)))
    # Sums in a fixed order instead of a matrix product: the same bits for one row and for many.
    linear = _weighted(products, arrays.theta)
    bent = np.zeros_like(linear)
    for unit in range(len(arrays.out)):
        inner = _weighted(products, arrays.hidden[unit, :-1])
        inner += arrays.hidden[unit, -1] * edges.quality + arrays.hidden_bias[unit]
        bent += arrays.out[unit] * np.tanh(inner)
    result: Matrix = gate * (linear + bent)
    return result


def _weighted(products: Matrix, weights: Floats) -> Matrix:
    total = np.zeros(products.shape[:-1])
    for lag in range(products.shape[-1]):
        total += weights[lag] * products[..., lag]
    return total


def leave_out_influence(edges: Edges, messages: Matrix, symbols: int) -> Floats:
    """Mean squared change of all predictions when a node's messages are left out.

    Parameters
    ----------
    edges : Edges
    messages : ndarray of float64, shape (t, e)
    symbols : int

    Returns
    -------
    ndarray of float64, shape (symbols,)
        0 for a node without a significant out-edge; NaN when one of its edges had no message.
    """
    influence = np.zeros(symbols)
    for edge, source in enumerate(edges.source.tolist()):
        known = messages[np.isfinite(messages[:, edge]), edge]
        influence[source] += np.mean(known**2) if len(known) else np.nan
    return influence


def select_edges(
    moments: Matrix, rows: int, lags: int, keep: int, threshold: float, *, always: bool = False
) -> Edges:
    """Fit the ridge autoregression and keep each node's strongest in-edges.

    Whether anything is kept is decided for the graph as a whole: a lead that reaches several assets
    shows in several edges, few of which would stand alone.

    Parameters
    ----------
    moments : ndarray of float64, shape (n * lags + n, n * lags + n)
        As `lagged_moments` gives them.
    rows : int
    lags, keep : int
    threshold : float
        What the strongest edge must exceed.
    always : bool
        Keep edges of an insignificant graph too, as training needs them.
    """
    coefficients, statistic = autoregression(moments, rows, lags)
    symbols = len(statistic)
    source: list[int] = []
    target: list[int] = []
    if always or statistic.max() > threshold:
        for node in range(symbols):
            order = np.argsort(-statistic[:, node], kind="stable")
            chosen = [i for i in order.tolist() if i != node][:keep]
            source += chosen
            target += [node] * len(chosen)
    sources, targets = np.array(source, np.int64), np.array(target, np.int64)
    quality = np.log(np.maximum(statistic[sources, targets], 1e-12) / threshold)
    return Edges(sources, targets, coefficients[sources, targets], quality)


def autoregression(moments: Matrix, rows: int, lags: int) -> tuple[Matrix, Matrix]:
    """Ridge vector autoregression from its moments.

    Returns
    -------
    coefficients : ndarray of float64, shape (source, target, lags)
    statistic : ndarray of float64, shape (source, target)
        Greatest absolute t value (but for the ridge) of a source's coefficients over the lags; 0
        between an asset and itself and where it cannot be computed.
    """
    wide = moments.shape[0] * lags // (lags + 1)
    symbols = wide // lags
    design, cross = moments[:wide, :wide], moments[:wide, wide:]
    if rows <= 2 * wide:
        return np.zeros((symbols, symbols, lags)), np.zeros((symbols, symbols))
    inverse = np.linalg.inv(design + RIDGE * rows * np.eye(wide))
    beta = inverse @ cross
    squares = np.diag(moments)[wide:]
    explained = 2 * (beta * cross).sum(axis=0) - (beta * (design @ beta)).sum(axis=0)
    noise = np.maximum(squares - explained, 1e-12) / (rows - wide)
    coefficients = beta.reshape(symbols, lags, symbols).transpose(0, 2, 1)
    ratios = np.abs(beta) / np.sqrt(np.diag(inverse)[:, None] * noise)
    statistic = ratios.reshape(symbols, lags, symbols).max(axis=1)
    np.fill_diagonal(statistic, 0.0)
    return coefficients, statistic


@njit(cache=True, error_model="numpy", nogil=True)
def lagged_moments(standard: Floats, lags: int) -> tuple[Floats, int]:
    """Sum the products of lagged and current returns over a window.

    Parameters
    ----------
    standard : ndarray of float64, shape (lags + minutes, symbols)
        Standardised returns by minute; clipped here. A minute with any unknown value is left out.
    lags : int

    Returns
    -------
    moments : ndarray of float64, shape (symbols * lags + symbols,) * 2
        First the lagged values, source by source and newest lag first, then the current ones.
    rows : int
        Minutes used.
    """
    minutes, symbols = standard.shape
    size = symbols * (lags + 1)
    moments = np.zeros((size, size))
    vector = np.empty(size)
    rows = 0
    for minute in range(lags, minutes):
        known = True
        for symbol in range(symbols):
            for lag in range(lags + 1):
                value = min(max(standard[minute - lag, symbol], -CLIP), CLIP)
                if np.isnan(standard[minute - lag, symbol]):
                    known = False
                at = symbols * lags + symbol if lag == 0 else symbol * lags + lag - 1
                vector[at] = value
        if known:
            rows += 1
            for a in range(size):
                for b in range(a, size):
                    moments[a, b] += vector[a] * vector[b]
    for a in range(size):
        for b in range(a):
            moments[a, b] = moments[b, a]
    return moments, rows
