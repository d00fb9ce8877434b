"""Who computes what, and when: the nodes of a graph divided among threads.

A node that several threads read is computed by one of them, and the others wait until it is marked
as done. Work that needs nobody lies between a thread's common nodes and behind them, so that one
that is ahead of the others has something to do; what is above others' nodes comes last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from crucible.vm.graph import NOTHING, Graph
from crucible.vm.kernels import Doubles, Integers

NOBODY, SEVERAL = -1, -2
# A common node stays beside what it reads while that thread is ahead by so many of it.
NEARNESS = 4.0


class Schedule(NamedTuple):
    """The nodes that some programs need, in the order in which threads compute them.

    Attributes
    ----------
    order : ndarray of int64
        Nodes, the first thread's before the second's; leaves are not computed.
    ends : ndarray of int64, shape (threads,)
        Where the nodes of each thread end.
    threads : ndarray of int64, shape (nodes of the graph,)
        Who computes each node; `NOBODY` for leaves and for what is not needed.
    marks : ndarray of int64, shape (nodes of the graph,)
        Place of a node that several threads read among those of its thread, from 1; 0 for others.
    uses : ndarray of int64, shape (nodes of the graph,)
        How often a node is read, leaving the program included; 0 for what is not needed.
    roots, readers : ndarray of int64, shape (programs,)
        Root of each program, and the thread that wants it.
    """

    order: Integers
    ends: Integers
    threads: Integers
    marks: Integers
    uses: Integers
    roots: Integers
    readers: Integers


def schedule(graph: Graph, shares: Sequence[Sequence[int]]) -> Schedule:
    """Divide the nodes below some programs among threads.

    Parameters
    ----------
    graph : Graph
    shares : sequence of sequence of int
        Programs, by index, of each thread.
    """
    nodes, costs, team = graph.nodes, graph.costs, len(shares)
    roots = np.array([graph.roots[index] for share in shares for index in share], np.int64)
    readers = np.repeat(np.arange(team), [len(share) for share in shares])
    threads, uses = np.full(len(nodes), NOBODY), np.zeros(len(nodes), np.int64)
    _find_readers(nodes, roots, readers, threads, uses)
    threads[graph.leaves] = NOBODY
    common = threads == SEVERAL
    if common.any():
        own = threads >= 0
        load = np.bincount(threads[own], costs[own], team).astype(np.float64)
        _divide(nodes, costs, common, load, threads)
    levels = np.zeros(len(nodes), np.int64)
    _find_levels(nodes, threads, levels)
    turns = _turns(levels, common, threads, costs, team)
    order = np.flatnonzero(threads != NOBODY)
    order = order[np.lexsort((~common[order], turns[order], threads[order]))]
    ends = np.searchsorted(threads[order], np.arange(team), side="right")
    marks = np.zeros(len(nodes), np.int64)
    for thread in range(team):
        mine = order[common[order] & (threads[order] == thread)]
        marks[mine] = np.arange(1, len(mine) + 1)
    return Schedule(order, ends, threads, marks, uses, roots, readers)


def _turns(
    levels: Integers,
    common: npt.NDArray[np.bool_],
    threads: Integers,
    costs: Doubles,
    team: int,
) -> Integers:
    """Put a part of a thread's own work behind its common nodes of each level."""
    behind = levels.max(where=common, initial=0) + 1
    turns = np.where(common, levels, behind)
    for thread in range(team):
        free = np.flatnonzero((threads == thread) & ~common & (levels == 0))
        work = np.cumsum(costs[free])
        if len(free):
            turns[free] = (work - costs[free]) / work[-1] * behind
    return turns


@njit(cache=True)
def _find_readers(
    nodes: Integers, roots: Integers, readers: Integers, threads: Integers, uses: Integers
) -> None:
    """Find who reads each node, and how often it is read."""
    for root, reader in zip(roots, readers):  # noqa: B905 numba knows no strict
        threads[root] = reader if threads[root] in (NOBODY, reader) else SEVERAL
        # A root is read once more, where it leaves the program.
        uses[root] = 1
    for number in range(len(nodes) - 1, -1, -1):
        if threads[number] != NOBODY:
            for child in nodes[number, 1:4]:
                if child != NOTHING:
                    alone = threads[child] in (NOBODY, threads[number])
                    threads[child] = threads[number] if alone else SEVERAL
                    uses[child] += 1


@njit(cache=True)
def _divide(
    nodes: Integers,
    costs: Doubles,
    common: npt.NDArray[np.bool_],
    load: Doubles,
    threads: Integers,
) -> None:
    """Give each common node to the thread with the least to do, if it can beside its sources."""
    for number in np.flatnonzero(common):
        thread = int(np.argmin(load))
        beside, other = NOBODY, NOBODY
        for child in nodes[number, 1:4]:
            if child != NOTHING and threads[child] != NOBODY:
                if beside == NOBODY:
                    beside = threads[child]
                elif threads[child] != beside:
                    other = threads[child]
        # There nobody waits; a few dear nodes more make up for it.
        near = beside != NOBODY and other == NOBODY
        if near and load[beside] <= load[thread] + NEARNESS * costs[number]:
            thread = beside
        threads[number] = thread
        load[thread] += costs[number]


@njit(cache=True)
def _find_levels(nodes: Integers, threads: Integers, levels: Integers) -> None:
    """Count how many times what a node needs goes from one thread to another."""
    for number in range(len(nodes)):
        for child in nodes[number, 1:4]:
            if child != NOTHING and threads[number] != NOBODY and threads[child] != NOBODY:
                other = threads[child] != threads[number]
                levels[number] = max(levels[number], levels[child] + other)
