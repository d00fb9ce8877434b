"""Vietoris-Rips persistence of a point cloud: how long its components and its loops live.

Small clouds, such as one hour of minutes, are worked out here in compiled code, because the radar
stands between a closed candle and every order. Larger ones are given to giotto-ph. Both work on the
same distances in single precision and give the same lifetimes to the last bit.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from numba import njit

from crucible.features.grid import Matrix
from crucible.market.candles import Integers

Singles = npt.NDArray[np.float32]
Diagrams = tuple[Singles, tuple[Singles, Singles]]

SMALL = 64
"""Points up to which a set of them fits into one machine word."""


def persistence(cloud: Matrix) -> tuple[Matrix, Matrix]:
    """Lifetimes of the connected components and of the loops of a point cloud.

    Parameters
    ----------
    cloud : ndarray of float64, shape (points, dimensions)

    Returns
    -------
    connected, loops : ndarray of float64
        Vietoris-Rips persistences in dimension 0 (without the component that never dies),
        increasing, and in dimension 1, by falling birth, then by rising death.
    """
    distances = distances_of(np.ascontiguousarray(cloud))
    small = len(cloud) <= SMALL
    deaths, (birth, death) = small_diagrams(distances) if small else giotto_diagrams(distances)
    connected = np.sort(deaths[deaths > 0]).astype(np.float64)
    order = np.lexsort((death, -birth))
    loops = death[order].astype(np.float64) - birth[order]
    return connected, loops[loops > 0]


def giotto_diagrams(distances: Singles) -> Diagrams:
    """Finite deaths of components, and finite births and deaths of loops, by giotto-ph.

    Parameters
    ----------
    distances : ndarray of float32, shape (points, points)
    """
    # Imported here: it costs seconds, which a run without large clouds need not pay.
    from gph import ripser_parallel

    options = {"maxdim": 1, "metric": "precomputed", "n_threads": 1}
    components, loops = ripser_parallel(distances, **options)["dgms"]
    deaths, (birth, death) = components[:, 1], loops.T
    finite = np.isfinite(death)
    return deaths[np.isfinite(deaths)], (birth[finite], death[finite])


def small_diagrams(distances: Singles) -> Diagrams:
    """Give what `giotto_diagrams` gives, of at most `SMALL` points.

    Cohomology is reduced with the known shortcuts: edges of the spanning tree are cleared, apparent
    pairs are never built, and nothing is looked at beyond the enclosing radius, where the complex
    is a cone (Bauer 2021, doi:10.1007/s41468-021-00071-5).

    Parameters
    ----------
    distances : ndarray of float32, shape (points, points)
        Symmetric, with zeros on the diagonal.
    """
    if len(distances) < 2:
        none = np.empty(0, np.float32)
        return none, (none, none)
    rows, columns = _below_diagonal(len(distances))
    lengths = distances[rows, columns]
    # Non-negative floats are ordered as their bits are; the place in front makes the order total.
    keys = lengths.view(np.uint32).astype(np.uint64) << np.uint64(32)
    order = np.sort(keys | np.arange(len(keys), dtype=np.uint64)).astype(np.uint32).astype(np.int64)
    radius = distances.max(axis=1).min()
    ends = np.stack((rows[order], columns[order]), axis=1)
    lengths = lengths[order]
    last = int(np.searchsorted(lengths, radius, side="right")) - 1
    tree, loops = _reduce(ends, len(distances), last)
    return lengths[tree], (lengths[loops[:, 0]], lengths[loops[:, 1]])


@lru_cache(SMALL)
def _below_diagonal(points: int) -> tuple[Integers, ...]:
    return np.tril_indices(points, -1)


@njit(cache=True, error_model="numpy", nogil=True)
def distances_of(cloud: Matrix) -> Singles:
    """Euclidean distances, added up coordinate by coordinate in double precision."""
    points, dimensions = cloud.shape
    out = np.zeros((points, points), np.float32)
    for i in range(points):
        for j in range(i):
            total = 0.0
            for k in range(dimensions):
                total += (cloud[i, k] - cloud[j, k]) ** 2
            out[i, j] = out[j, i] = np.sqrt(total)
    return out


@njit(cache=True, error_model="numpy", nogil=True)
def _reduce(ends: Integers, points: int, last: int) -> tuple[Integers, Integers]:
    """Pair edges with what they end or begin; an edge is named by its rank among all edges.

    A triangle is named by the rank of its longest edge and the vertex opposite to it, and comes
    before another when that pair is smaller.

    Parameters
    ----------
    ends : ndarray of int64, shape (edges, 2)
        Vertices of the edges, shortest edge first.
    points : int
    last : int
        Last rank within the enclosing radius.

    Returns
    -------
    tree : ndarray of int64, shape (points - 1,)
        Edges that join two components.
    loops : ndarray of int64, shape (k, 2)
        For each loop, the edge that closes it and the longest edge of the triangle that fills it.
    """
    ranks, tree, in_tree, apparent = _grow(ends, points)
    # The column in work: of each longest edge, the set of opposite vertices as bits.
    work = np.zeros(len(ends), np.uint64)
    # Reduced columns: the edges whose coboundaries add up to them, and the triangle they own.
    edges = np.empty(1024, np.int64)
    begins = np.zeros(len(ends) + 1, np.int64)
    owned = np.empty(len(ends), np.uint64)
    before = np.empty(len(ends), np.int64)  # the column that owned a triangle of that edge earlier
    newest = np.full(len(ends), -1, np.int64)
    loops = np.empty((len(ends), 2), np.int64)
    columns = used = 0
    for edge in range(last, -1, -1):
        if in_tree[edge] or apparent[edge] != 0:
            continue
        edges, used = _add(work, edges, used, edge, ends, ranks, last)
        longest = edge
        while True:
            while longest <= last and work[longest] == 0:
                longest += 1
            if longest > last:
                used = begins[columns]
                break
            vertex = work[longest] & (~work[longest] + np.uint64(1))  # the lowest bit
            if apparent[longest] == vertex:
                edges, used = _add(work, edges, used, longest, ends, ranks, last)
                continue
            owner = newest[longest]
            while owner >= 0 and owned[owner] != vertex:
                owner = before[owner]
            if owner >= 0:
                for place in range(begins[owner], begins[owner + 1]):
                    edges, used = _add(work, edges, used, edges[place], ends, ranks, last)
                continue
            owned[columns], before[columns] = vertex, newest[longest]
            newest[longest] = columns
            loops[columns, 0], loops[columns, 1] = edge, longest
            columns += 1
            begins[columns] = used
            work[longest : last + 1] = 0
            break
    return tree, loops[:columns]


@njit(cache=True, error_model="numpy", nogil=True)
def _grow(
    ends: Integers, points: int
) -> tuple[Integers, Integers, npt.NDArray[np.bool_], npt.NDArray[np.uint64]]:
    """Take edge after edge: ranks by vertices, the spanning tree, and the apparent pairs.

    The last are, for each edge, the first vertex (as a bit) that makes a triangle in which the edge
    is the longest, or 0. Such an edge and triangle end each other at once, and no other column can
    own the triangle.
    """
    one = np.uint64(1)
    ranks = np.zeros((points, points), np.int64)
    tree = np.empty(points - 1, np.int64)
    in_tree = np.zeros(len(ends), np.bool_)
    apparent = np.empty(len(ends), np.uint64)
    near = np.zeros(points, np.uint64)  # of each point, those that it has an edge with so far
    group = np.arange(points)
    joined = 0
    for edge in range(len(ends)):
        a, b = ends[edge]
        ranks[a, b] = ranks[b, a] = edge
        common = near[a] & near[b]
        apparent[edge] = common & (~common + one)
        near[a] |= one << np.uint64(b)
        near[b] |= one << np.uint64(a)
        if group[a] != group[b]:
            tree[joined] = edge
            in_tree[edge] = True
            joined += 1
            kept, gone = group[a], group[b]
            for point in range(points):
                if group[point] == gone:
                    group[point] = kept
    return ranks, tree, in_tree, apparent


@njit(cache=True, error_model="numpy", nogil=True)
def _add(
    work: npt.NDArray[np.uint64],
    edges: Integers,
    used: int,
    edge: int,
    ends: Integers,
    ranks: Integers,
    last: int,
) -> tuple[Integers, int]:
    """Add the coboundary of an edge to the column in work, and remember the edge."""
    one = np.uint64(1)
    a, b = ends[edge]
    for vertex in range(len(ranks)):
        if vertex in (a, b):
            continue
        longest, opposite = edge, vertex
        if ranks[a, vertex] > longest:
            longest, opposite = ranks[a, vertex], b
        if ranks[b, vertex] > longest:
            longest, opposite = ranks[b, vertex], a
        if longest <= last:
            work[longest] ^= one << np.uint64(opposite)
    if used == len(edges):
        grown = np.empty(2 * len(edges), np.int64)
        grown[:used] = edges
        edges = grown
    edges[used] = edge
    return edges, used + 1
