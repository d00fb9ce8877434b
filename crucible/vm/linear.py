"""From a graph of programs to a linear program: steps in order, registers by liveness.

A linear program is what the interpreter runs. Its results for one root do not depend on the other
roots, nor on how many threads share the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from crucible.vm import graph as graphs
from crucible.vm import kernels as k
from crucible.vm import schedule as schedules
from crucible.vm.compiled import sources
from crucible.vm.graph import CELLS, CONSTANT_FORMS, FEATURE, NOTHING, WINDOWED, Graph
from crucible.vm.kernels import Integers, Singles, Table
from crucible.vm.program import Expression
from crucible.vm.schedule import schedule

# Registers of roots that are numbers, until it is known how many others there are.
LATER = 1 << 24
# Rows of code that one node takes at most: waits, constants laid out, the step and its mark.
ROOM = 8
# Two kinds of registers, and the one that each step writes.
NUMBERS, CONDITIONS = 0, 1
_STEPS = range(FEATURE + 1)
BANKS = np.array([CONDITIONS if k.GREATER <= step < k.TRADE else NUMBERS for step in _STEPS])
# The step with a constant second argument, and with a constant first one.
FORMS = np.array([CONSTANT_FORMS.get(step, (NOTHING, NOTHING)) for step in _STEPS])
# Float64 cells that a step carries from block to block; others with a window carry past inputs.
CARRIED = np.array([CELLS.get(step, 0) for step in _STEPS])
RECALLS = np.array([step in WINDOWED for step in _STEPS])


@dataclass(frozen=True, slots=True)
class LinearProgram:
    """Steps that compute the signals, or the numbers, of one or many programs.

    Attributes
    ----------
    features : tuple of str
        The features that steps read where a source is negative: -1 is the first.
    code : ndarray of int32, shape (steps, 7)
        Step, target (of ``TRADE``: number of the root), three sources, window, offset into the
        state.
    constants : ndarray of float32, shape (steps,)
        The constant argument of a step that has one.
    ends : tuple of int
        Where the steps of each thread end. What several threads read is computed by one of them,
        which says so (``MARK``); the others wait (``WAIT``) before they read or trade it.
    roots : ndarray of int64, shape (programs,)
        Root of each program; equal programs have one.
    warmups : ndarray of int64, shape (roots that trade,)
        Rows each root must have seen before it signals.
    registers, conditions : int
        Registers needed for numbers and for conditions.
    values : int
        Roots that are numbers; they stay in registers of their own behind the others.
    tails, cells : int
        Length of the state that is carried from block to block: past inputs, and float64 cells.
    shared : int
        Distinct subtrees; the total before sharing is in `nodes`.
    nodes : int
    """

    features: tuple[str, ...]
    code: npt.NDArray[np.int32]
    constants: npt.NDArray[np.float32]
    ends: tuple[int, ...]
    roots: npt.NDArray[np.int64]
    warmups: npt.NDArray[np.int64]
    registers: int
    conditions: int
    values: int
    tails: int
    cells: int
    shared: int
    nodes: int


def compile_programs(programs: Sequence[Expression]) -> LinearProgram:
    """Compile programs into one linear program for one thread.

    Parameters
    ----------
    programs : sequence of tuple
        As `parse_program` returns them, or numeric expressions.
    """
    return emit(Graph(programs), [range(len(programs))])


def emit(graph: Graph, shares: Sequence[Sequence[int]]) -> LinearProgram:
    """Order the steps of some programs of a graph and give them registers.

    Parameters
    ----------
    graph : Graph
    shares : sequence of sequence of int
        Programs, by index, of each thread. Steps that several threads need are computed once, by
        one of them.
    """
    plan = schedule(graph, shares)
    steps, order = graph.nodes[:, 0], plan.order
    needed = plan.uses > 0
    features = sorted(
        (graph.features[graph.nodes[node, 4]], node)
        for node in np.flatnonzero(needed & (steps == FEATURE))
    )
    rooted = np.zeros(len(steps), bool)
    rooted[plan.roots] = True
    trades = order[steps[order] == k.TRADE]
    leaves = np.flatnonzero(graph.leaves & rooted)
    values = np.concatenate([leaves, order[rooted[order] & (steps[order] != k.TRADE)]])
    place = np.zeros(len(steps), np.int64)
    place[trades] = np.arange(len(trades))
    place[values] = np.arange(len(values))
    # A leaf is read elsewhere: a feature in its line, a constant laid out for each use.
    workspace = np.where(steps == k.TRADE, place, LATER + place)
    workspace[[node for _, node in features]] = -1 - np.arange(len(features))
    # What several threads read keeps its register for the whole block.
    common = order[(plan.marks[order] > 0) & ~rooted[order]]
    taken = np.zeros(2, np.int64)
    for bank in (NUMBERS, CONDITIONS):
        lasting = common[BANKS[steps[common]] == bank]
        workspace[lasting] = np.arange(len(lasting))
        taken[bank] = len(lasting)
    room = ROOM * len(steps) + len(plan.roots)
    code, constants = np.zeros((room, 7), np.int32), np.zeros(room, np.float32)
    ends, state = np.zeros(len(shares), np.int64), np.zeros(2, np.int64)
    _write_steps(
        graph.nodes,
        np.array(graph.constants, np.float32),
        *plan,
        leaves,
        (plan.marks > 0) | (rooted & ~graph.leaves),
        workspace,
        taken,
        code,
        constants,
        ends,
        state,
    )
    code, constants = code[: ends[-1]].copy(), constants[: ends[-1]].copy()
    registers = max(1, int(taken[NUMBERS]))
    places = code[:, 1:5]
    places[places >= LATER] += registers - LATER
    return LinearProgram(
        features=tuple(name for name, _ in features),
        code=code,
        constants=constants,
        ends=tuple(ends.tolist()),
        roots=place[plan.roots],
        warmups=graph.lookbacks[trades],
        registers=registers,
        conditions=max(1, int(taken[CONDITIONS])),
        values=len(values),
        tails=max(1, int(state[0])),
        cells=max(1, int(state[1])),
        shared=int(needed.sum()),
        nodes=int(graph.sizes[plan.roots].sum()),
    )


_compiled = njit(error_model="numpy")


@_compiled
def _take(bank: int, thread: int, taken: Integers, freed: Integers, before: Integers) -> int:
    """Give a register out, the one the thread freed last first: it is in its cache."""
    register: int = freed[bank, thread]
    if register == NOTHING:
        register = taken[bank]
        taken[bank] += 1
        return register
    freed[bank, thread] = before[bank, register]
    return register


@_compiled
def _free(bank: int, thread: int, register: int, freed: Integers, before: Integers) -> None:
    """Take a register back; it remembers the one that its thread freed before it."""
    before[bank, register] = freed[bank, thread]
    freed[bank, thread] = register


@_compiled
def _wait(
    code: Table,
    row: int,
    node: int,
    thread: int,
    threads: Integers,
    marks: Integers,
    seen: Integers,
) -> int:
    """Wait for the mark of a node, unless it has been waited for; gives the next row."""
    other, mark = threads[node], marks[node]
    if mark == 0 or other == thread or mark <= seen[other]:
        return row
    seen[other] = mark
    code[row, 0], code[row, 2], code[row, 3] = k.WAIT, other, mark
    return row + 1


@_compiled
def _constant_form(nodes: Integers, numbers: Singles, node: int) -> tuple[int, Any, int, int, int]:
    """Step, constant and what is read; where both arguments are constants, the first is read."""
    step, first, second, third = nodes[node, 0], nodes[node, 1], nodes[node, 2], nodes[node, 3]
    if FORMS[step, 0] != NOTHING:
        if nodes[second, 0] == k.FILL:
            return FORMS[step, 0], numbers[nodes[second, 4]], first, NOTHING, NOTHING
        if nodes[first, 0] == k.FILL:
            return FORMS[step, 1], numbers[nodes[first, 4]], second, NOTHING, NOTHING
    return step, np.float32(0), first, second, third


def _step_writer(made_from: str) -> Callable[..., None]:
    """Give the function that writes steps; its compiled code is kept until a source changes."""

    @njit(error_model="numpy", cache=True)
    def write_steps(
        nodes: Integers,
        numbers: Singles,
        order: Integers,
        parts: Integers,
        threads: Integers,
        marks: Integers,
        reads: Integers,
        roots: Integers,
        readers: Integers,
        leaves: Integers,
        kept: npt.NDArray[np.bool_],
        workspace: Integers,
        taken: Integers,
        code: Table,
        constants: Singles,
        ends: Integers,
        state: Integers,
    ) -> None:
        """Fill in every thread's steps with their constants, their ends, and the state's lengths.

        `home` holds the places of features and of nodes that are kept; `taken` counts registers.
        """
        _ = made_from
        team, room, uses = len(parts), len(code), reads.copy()
        freed, before = np.full((2, team), NOTHING), np.zeros((2, room), np.int64)
        read = np.zeros(3, np.int64)
        row = begin = tails = cells = 0
        for value, node in enumerate(leaves):
            code[row, 1] = LATER + value
            if nodes[node, 0] == FEATURE:
                code[row, 0], code[row, 2] = k.VALUE, workspace[node]
            else:
                code[row, 0], constants[row] = k.FILL, numbers[nodes[node, 4]]
            row += 1
        for thread in range(team):
            seen = np.zeros(team, np.int64)
            for node in order[begin : parts[thread]]:
                for child in nodes[node, 1:4]:
                    if child != NOTHING:
                        row = _wait(code, row, child, thread, threads, marks, seen)
                # Before its sources are freed: a step never writes what it reads.
                if not kept[node]:
                    workspace[node] = _take(BANKS[nodes[node, 0]], thread, taken, freed, before)
                step, constant, first, second, third = _constant_form(nodes, numbers, node)
                for index, child in enumerate((first, second, third)):
                    if child == NOTHING:
                        read[index] = 0
                    elif nodes[child, 0] == k.FILL:
                        # Afresh for each use.
                        read[index] = _take(NUMBERS, thread, taken, freed, before)
                        code[row, 0], code[row, 1] = k.FILL, read[index]
                        constants[row] = numbers[nodes[child, 4]]
                        row += 1
                    else:
                        read[index] = workspace[child]
                window = nodes[node, 4]
                code[row, 0], code[row, 1], code[row, 2:5] = step, workspace[node], read
                code[row, 5], constants[row] = window, constant
                if CARRIED[step] > 0:
                    code[row, 6] = cells
                    cells += CARRIED[step]
                elif RECALLS[step]:
                    code[row, 6] = tails
                    tails += window if step in (k.LAG, k.DIFF) else window - 1
                row += 1
                for index, child in enumerate((first, second, third)):
                    if child == NOTHING or kept[child] or nodes[child, 0] == FEATURE:
                        continue
                    uses[child] -= 1
                    if uses[child] == 0 or nodes[child, 0] == k.FILL:
                        _free(BANKS[nodes[child, 0]], thread, read[index], freed, before)
                if marks[node] > 0:
                    code[row, 0], code[row, 2] = k.MARK, marks[node]
                    row += 1
            # What it trades may be computed by others.
            for root in roots[readers == thread]:
                row = _wait(code, row, root, thread, threads, marks, seen)
            begin, ends[thread] = parts[thread], row
        state[0], state[1] = tails, cells

    writer: Callable[..., None] = write_steps
    return writer


_write_steps = _step_writer(sources(k.__file__, graphs.__file__, schedules.__file__, __file__))
