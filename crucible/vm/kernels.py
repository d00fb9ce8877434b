"""The compiled steps of a linear program.

A number is a float32, a missing one is NaN. A condition is two bits a row, "true" and "false" in
two words of 64 rows; neither is set where it is unknown. Whatever lies beyond the rows asked for,
up to the next multiple of 64, is garbage that nobody reads.

Features are read where they lie, in the lines of a table, as places before or behind the registers.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from numba import njit

from crucible.vm import vectors
from crucible.vm.compiled import sources
from crucible.vm.vectors import GROUP, LANES

# Float64 cells that an ema carries: mean at the segment's start, newest mean, values present,
# length of the segment, and the segment's values.
EMA_CELLS = 4 + GROUP

# A C is a constant argument, at the side of the name on which it stands.
ADD, ADD_C, SUB, SUB_C, C_SUB, MUL, MUL_C, DIV, DIV_C, C_DIV = range(10)
MIN, MIN_C, MAX, MAX_C, ABS, NEG, SQUASH, CHOOSE, FILL, VALUE = range(10, 20)
LAG, DIFF, MEAN, STD, LOWEST, HIGHEST, RANK, ZSCORE, EMA = range(20, 29)
GREATER, GREATER_C, LESS_C, CROSS, CROSS_C, C_CROSS, AND, OR, NOT, TRADE = range(30, 40)
# Between threads that share the steps of a block: say what is done, wait for what another does.
MARK, WAIT = 40, 41
# The marks of one block, and the cells of a thread's progress: a cache line of its own.
MARKS = 1 << 32
SPACING = 8

Singles = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Words = npt.NDArray[np.uint64]
Table = npt.NDArray[np.int32]
Integers = npt.NDArray[np.int64]

_compiled = njit(nogil=True, error_model="numpy")

# --- windows -------------------------------------------------------------------------------------


@_compiled
def _recall(h: Singles, tails: Singles, start: int, past: int, r: Singles, x: int, n: int) -> None:
    """Lay the past before the rows at `x`, and keep the newest `past` values for the next block."""
    for i in range(past):
        h[i] = tails[start + i]
    vectors.copy(h, past, r, x, 0.0, 0, n)
    for i in range(past):
        tails[start + i] = h[n + i]


@_compiled
def _extreme(
    op: int, r: Singles, d: int, h: Singles, w: int, n: int, a: Singles, b: Singles
) -> None:
    """Lowest or highest of windows: windows of 1, 2, 4, ... rows, then two that overlap."""
    step = 1
    here = h
    other = a
    third = b
    while 2 * step <= w:
        if op == LOWEST:
            vectors.least(other, 0, here, 0, here, step, n + w - 2 * step)
        else:
            vectors.most(other, 0, here, 0, here, step, n + w - 2 * step)
        here, other, third = other, third, other
        step *= 2
    if op == LOWEST:
        vectors.least(r, d, here, 0, here, w - step, n)
    else:
        vectors.most(r, d, here, 0, here, w - step, n)


@_compiled
def _mean(r: Singles, d: int, h: Singles, w: int, n: int, scratch: Doubles) -> None:
    """Sum 1, 2, 4, ... rows, and from those `w` rows, in an order that depends on `w` alone."""
    here, other, total = scratch[0], scratch[1], scratch[2]
    for i in range((n + w + LANES) // LANES * LANES):
        here[i] = h[i]
    step = 1
    length = 0
    while True:
        if w & step:
            if length == 0:
                vectors.copy(total, 0, here, 0, 1.0, 0, n)
            else:
                vectors.add(total, 0, total, 0, here, length, n)
            length += step
            if length == w:
                break
        vectors.add(other, 0, here, 0, here, step, n + w - 2 * step)
        here, other = other, here
        step *= 2
    for i in range((n + LANES - 1) // LANES * LANES):
        r[d + i] = total[i] / w


@_compiled
def _spread_of(op: int, r: Singles, d: int, h: Singles, w: int, n: int, scratch: Doubles) -> None:
    """Deviation or z-score, joining the sums and squares of neighbours.

    Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample
    variances", 1979. Nothing cancels: a window of equal values has a deviation of exactly zero.
    """
    s, s_next, q, q_next = scratch[0], scratch[1], scratch[2], scratch[3]
    total, squares = scratch[4], scratch[5]
    for i in range((n + w + LANES) // LANES * LANES):
        s[i] = h[i]
        q[i] = 0.0
    rows = (n + LANES - 1) // LANES * LANES
    step = 1
    length = 0
    while True:
        if w & step:
            if length == 0:
                for i in range(rows):
                    total[i] = s[i]
                    squares[i] = q[i]
            else:
                scale = 1.0 / (float(length) * float(step) * float(length + step))
                mine = float(length)
                theirs = float(step)
                s_there = s[length:]
                q_there = q[length:]
                for i in range(rows):
                    away = s_there[i] * mine - total[i] * theirs
                    total[i] += s_there[i]
                    squares[i] += q_there[i] + away * away * scale
            length += step
            if length == w:
                break
        half = 1.0 / (2.0 * step)
        s_there = s[step:]
        q_there = q[step:]
        for i in range((n + w - 2 * step + LANES - 1) // LANES * LANES):
            away = s_there[i] - s[i]
            s_next[i] = s[i] + s_there[i]
            q_next[i] = q[i] + q_there[i] + away * away * half
        s, s_next = s_next, s
        q, q_next = q_next, q
        step *= 2
    if op == STD:
        for i in range(rows):
            r[d + i] = math.sqrt(squares[i] / w)
    else:
        # A constant window has no z-score: 0/0 is NaN.
        newest = h[w - 1 :]
        for i in range(rows):
            r[d + i] = (newest[i] - total[i] / w) / math.sqrt(squares[i] / w)


@_compiled
def _rank(r: Singles, d: int, h: Singles, w: int, n: int) -> None:
    """Share of the window's other values below the newest; a tie counts half."""
    scale = np.float32(w - 1)
    half = np.float32(0.5)
    missing = False
    for i in range(0, n, LANES):
        vectors.count_below(r, d, h, i, w - 1)
    vectors.multiply(r, d, r, d, half, 0, n)
    vectors.divide(r, d, r, d, scale, 0, n)
    for i in range(n + w - 1):
        missing |= h[i] != h[i]
    if missing:
        last = -1
        for i in range(n + w - 1):
            if h[i] != h[i]:
                last = i
            if i >= w - 1 and last >= i - w + 1:
                r[d + i - w + 1] = np.nan


@_compiled
def _ema(
    r: Singles,
    d: int,
    x: int,
    w: int,
    n: int,
    cells: Doubles,
    c: int,
    seen: int,
    weights: Doubles,
) -> None:
    """Exponential mean; a missing input leaves it as it was.

    Rows are taken in groups of eight, counted from the first row ever seen, and each row's mean
    is summed from the mean before its segment: the group, or what is left of it after a missing
    value. The sums are the same whether the group's rows come together or one at a time.
    """
    alpha = 2.0 / (w + 1.0)
    power = 1.0
    for q in range(GROUP):
        for p in range(GROUP):
            weights[q * GROUP + p] = 0.0
    for k in range(GROUP):
        for q in range(GROUP - k):
            weights[q * GROUP + q + k] = alpha * power
        power *= 1.0 - alpha
        weights[GROUP * GROUP + k] = power
    base, newest, count, length = cells[c], cells[c + 1], cells[c + 2], int(cells[c + 3])
    i = 0
    while i < n:
        if (seen + i) % GROUP == 0:
            base = newest
            length = 0
            if count >= w and i + GROUP <= n and vectors.all_finite(r, x + i):
                newest = vectors.ema_group(r, d + i, x + i, base, weights)
                count += GROUP
                i += GROUP
                continue
        value = float(vectors.number(r, x + i))
        if not math.isfinite(value):
            r[d + i] = np.nan
            base = newest
            length = 0
            i += 1
            continue
        if count == 0.0:
            newest = value
            base = value
        else:
            cells[c + 4 + length] = value
            newest = weights[GROUP * GROUP + length] * base
            for q in range(length + 1):
                newest += weights[q * GROUP + length] * cells[c + 4 + q]
            length += 1
        count += 1.0
        r[d + i] = newest if count >= w else np.nan
        i += 1
    cells[c], cells[c + 1], cells[c + 2], cells[c + 3] = base, newest, count, length


# --- one block -----------------------------------------------------------------------------------


@_compiled
def _arithmetic(op: int, r: Singles, d: int, x: int, y: int, k: np.float32, n: int) -> None:
    """One elementwise step."""
    root = np.float32(math.sqrt(np.float32(1) + k * k))
    if op == ADD:
        vectors.add(r, d, r, x, r, y, n)
    elif op == ADD_C:
        vectors.add(r, d, r, x, k, 0, n)
    elif op == SUB:
        vectors.subtract(r, d, r, x, r, y, n)
    elif op == SUB_C:
        vectors.subtract(r, d, r, x, k, 0, n)
    elif op == C_SUB:
        vectors.subtract(r, d, k, 0, r, x, n)
    elif op == MUL:
        vectors.multiply(r, d, r, x, r, y, n)
    elif op == MUL_C:
        vectors.multiply(r, d, r, x, k, 0, n)
    elif op == DIV:
        vectors.quotient(r, d, r, x, r, y, n)
    elif op == DIV_C:
        vectors.divide(r, d, r, x, root, 0, n)
    elif op == C_DIV:
        vectors.quotient(r, d, k, 0, r, x, n)
    elif op == MIN:
        vectors.least(r, d, r, x, r, y, n)
    elif op == MIN_C:
        vectors.least_c(r, d, r, x, k, 0, n)
    elif op == MAX:
        vectors.most(r, d, r, x, r, y, n)
    elif op == MAX_C:
        vectors.most_c(r, d, r, x, k, 0, n)
    elif op == ABS:
        vectors.absolute(r, d, r, x, k, 0, n)
    elif op == NEG:
        vectors.negative(r, d, r, x, k, 0, n)
    elif op == SQUASH:
        vectors.squash(r, d, r, x, k, 0, n)


@_compiled
def _compare(
    op: int,
    conditions: Words,
    true: int,
    false: int,
    r: Singles,
    x: int,
    y: int,
    k: np.float32,
    n: int,
) -> None:
    """One comparison; both words of a row it cannot tell stay empty."""
    if op in (GREATER, CROSS):
        vectors.above(conditions, true, false, r, x, r, y, n)
    elif op in (GREATER_C, CROSS_C):
        vectors.above(conditions, true, false, r, x, k, 0, n)
    else:
        vectors.below(conditions, true, false, r, x, k, 0, n)


@_compiled
def _crossed(conditions: Words, true: int, false: int, n: int, cells: Doubles, c: int) -> None:
    """Turn "is on this side" into "is on this side and was not one row before"."""
    one = np.uint64(1)
    top = np.uint64(LANES - 1)
    before_true = np.uint64(cells[c])
    before_false = np.uint64(cells[c + 1])
    last = np.uint64((n - 1) % LANES)
    for k in range((n + LANES - 1) // LANES):
        yes, no = conditions[true + k], conditions[false + k]
        was = (yes << one) | before_true
        was_not = (no << one) | before_false
        if k == (n - 1) // LANES:
            cells[c] = float((yes >> last) & one)
            cells[c + 1] = float((no >> last) & one)
        before_true, before_false = yes >> top, no >> top
        conditions[true + k] = yes & was_not
        conditions[false + k] = (no & (was | was_not)) | (yes & was)


@_compiled
def _silenced(word: np.uint64, k: int, quiet: int) -> np.uint64:
    """Clear the rows of word `k` that come before row `quiet`."""
    rows = quiet - k * LANES
    if rows <= 0:
        return word
    if rows >= LANES:
        return np.uint64(0)
    return (word >> np.uint64(rows)) << np.uint64(rows)


def _block_runner(made_from: str) -> Callable[..., None]:
    """Give the one kernel that Python calls.

    Its compiled code is kept on disk; numba notices a change of this file, and through `sources`
    of whatever else it is made of.
    """

    @njit(nogil=True, error_model="numpy", cache=True)
    def run_block(
        code: Table,
        constants: Singles,
        warmups: Integers,
        columns: Integers,
        lines: Singles,
        wide: int,
        first: int,
        n: int,
        seen: int,
        registers: Singles,
        stride: int,
        c: Words,
        full: int,
        windows: Singles,
        scratch: Doubles,
        tails: Singles,
        cells: Doubles,
        weights: Doubles,
        buys: Words,
        leaves: Words,
        progress: Integers,
        me: int,
        before: int,
    ) -> None:
        """Run every step over `n` rows of the table from row `first` on; see `Runner`.

        Registers lie `stride` apart, the table's lines `wide`, the words of conditions, true before
        false, `full`. Marks of this block follow `before`.
        """
        _ = made_from
        words = (n + LANES - 1) // LANES
        # Places in flat arrays rather than slices of them: a slice counts its readers.
        r = registers
        away = vectors.distance(r, lines) + first
        h = windows[0]
        for j in range(code.shape[0]):
            op, w, s, k = code[j, 0], code[j, 5], code[j, 6], constants[j]
            target, a, b = code[j, 1], code[j, 2], code[j, 3]
            d = target * stride
            x = a * stride if a >= 0 else away + columns[-1 - a] * wide
            y = b * stride if b >= 0 else away + columns[-1 - b] * wide
            if op >= GREATER:
                true, false = 2 * target * full, (2 * target + 1) * full
                t0, f0 = 2 * a * full, (2 * a + 1) * full
                t1, f1 = 2 * b * full, (2 * b + 1) * full
                if op < AND:
                    _compare(op, c, true, false, r, x, y, k, n)
                    if op >= CROSS:
                        _crossed(c, true, false, n, cells, s)
                elif op == MARK:
                    vectors.publish(progress, me * SPACING, before + a)
                elif op == WAIT:
                    vectors.await_value(progress, a * SPACING, before + b)
                elif op == TRADE:
                    quiet = warmups[target] - 1 - seen
                    for m in range(words):
                        leave = _silenced(c[t1 + m], m, quiet)
                        buys[target, m] = _silenced(c[t0 + m], m, quiet) & ~leave
                        leaves[target, m] = leave
                elif op == AND:
                    for m in range(words):
                        c[true + m] = c[t0 + m] & c[t1 + m]
                        c[false + m] = c[f0 + m] | c[f1 + m]
                elif op == OR:
                    for m in range(words):
                        c[true + m] = c[t0 + m] | c[t1 + m]
                        c[false + m] = c[f0 + m] & c[f1 + m]
                else:
                    for m in range(words):
                        c[true + m] = c[f0 + m]
                        c[false + m] = c[t0 + m]
            elif op < CHOOSE:
                _arithmetic(op, r, d, x, y, k, n)
            elif op == VALUE:
                vectors.copy(r, d, r, x, k, 0, n)
            elif op == CHOOSE:
                t0, f0 = 2 * a * full, (2 * a + 1) * full
                b = code[j, 4]
                z = b * stride if b >= 0 else away + columns[-1 - b] * wide
                vectors.choose(r, d, c, t0, f0, y, z, n)
            elif op == FILL:
                for i in range(words * LANES):
                    r[d + i] = k
            elif op == EMA:
                _ema(r, d, x, w, n, cells, s, seen, weights)
            elif op in (LAG, DIFF):
                _recall(h, tails, s, w, r, x, n)
                if op == LAG:
                    vectors.copy(r, d, h, 0, k, 0, n)
                else:
                    vectors.subtract(r, d, r, x, h, 0, n)
            else:
                _recall(h, tails, s, w - 1, r, x, n)
                if op == MEAN:
                    _mean(r, d, h, w, n, scratch)
                elif op == RANK:
                    _rank(r, d, h, w, n)
                elif op in (LOWEST, HIGHEST):
                    _extreme(op, r, d, h, w, n, windows[1], windows[2])
                else:
                    _spread_of(op, r, d, h, w, n, scratch)

    runner: Callable[..., None] = run_block
    return runner


run_block = _block_runner(sources(__file__, vectors.__file__))
