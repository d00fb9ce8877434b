"""Run a linear program over rows, in blocks, carrying its state from one call to the next.

History and the live row go through the same kernel. Every result depends only on the rows inside
its lookback (an ema excepted) and on exact IEEE operations in a fixed order, so it is the same bit
for bit for any block size, for one row at a time, and whatever other programs run beside it.

A missing value is NaN and stays NaN: a comparison with it is unknown (NaN), ``not unknown`` is
unknown, ``false and unknown`` is false, ``true or unknown`` is true, and an unknown never trades.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numba import njit

from crucible.features.frame import FeatureFrame, FeatureSchema
from crucible.strategies.contract import Signals, StrategyError
from crucible.strategies.linear import LinearProgram
from crucible.strategies.program import LONGEST_LOOKBACK

BLOCK = 1024

Singles = npt.NDArray[np.float32]


class Runner:
    """One linear program with the state that its lookbacks carry.

    Parameters
    ----------
    program : LinearProgram
    block : int
        Rows computed together; results do not depend on it.
    """

    def __init__(self, program: LinearProgram, block: int = BLOCK) -> None:
        self.program = program
        self._registers = np.zeros((program.registers, block), np.float32)
        self._history = np.zeros(LONGEST_LOOKBACK + block, np.float32)
        self._sums = np.zeros((2, block), np.float64)
        self._state = np.full(program.state_size, np.nan)
        self._rows_seen = 0

    def reset(self) -> None:
        """Forget every row seen."""
        self._state.fill(np.nan)
        self._rows_seen = 0

    def run(self, features: Singles) -> Signals:
        """Signals of the next rows.

        Parameters
        ----------
        features : ndarray of float32, shape (features, n)
            In the order of the program's features, C-contiguous.

        Returns
        -------
        ndarray of int8, shape (roots, n)
            0 hold, 1 buy, 2 exit; hold until a root's warm-up has passed.
        """
        rows = features.shape[1]
        signals = np.zeros((len(self.program.warmups), rows), np.int8)
        run_rows(
            self.program.code,
            self.program.constants,
            self.program.warmups,
            self._registers,
            self._history,
            self._sums,
            self._state,
            features,
            self._rows_seen,
            signals,
        )
        self._rows_seen += rows
        return signals


def columns_of(features: tuple[str, ...], schema: FeatureSchema) -> npt.NDArray[np.int64]:
    """Positions of named features in a schema.

    Raises
    ------
    StrategyError
        If the schema lacks one.
    """
    try:
        return np.array([schema.column(name) for name in features], dtype=np.int64)
    except KeyError as error:
        message = f"{error.args[0]}; serve the schema that the strategy was born with"
        raise StrategyError(message) from error


def feature_matrix(frame: FeatureFrame, features: tuple[str, ...]) -> Singles:
    """Return the named features for the interpreter, shape (features, n); not finite is NaN."""
    return as_singles(frame.values[:, columns_of(features, frame.schema)].T)


def as_singles(values: npt.NDArray[np.float64]) -> Singles:
    """Contiguous 32-bit values; what is not finite becomes NaN."""
    with np.errstate(over="ignore"):
        singles = np.array(values, dtype=np.float32, order="C")
    singles[~np.isfinite(singles)] = np.nan
    return singles


@njit(nogil=True, error_model="numpy", cache=True)  # type: ignore[misc,unused-ignore]
def _elementwise(op: int, d: Singles, x: Singles, y: Singles, z: Singles, n: int) -> None:
    one = np.float32(1)
    zero = np.float32(0)
    nan = np.float32(np.nan)
    if op == 0:
        for i in range(n):
            d[i] = x[i] + y[i]
    elif op == 1:
        for i in range(n):
            d[i] = x[i] - y[i]
    elif op == 2:
        for i in range(n):
            d[i] = x[i] * y[i]
    elif op == 3:
        # The analytic quotient (Ni, Drieberg, Rockett 2013): a division without a pole.
        for i in range(n):
            d[i] = x[i] / np.float32(math.sqrt(one + y[i] * y[i]))
    elif op == 4:
        for i in range(n):
            d[i] = x[i] if ((x[i] < y[i]) | (x[i] != x[i])) else y[i]
    elif op == 5:
        for i in range(n):
            d[i] = x[i] if ((x[i] > y[i]) | (x[i] != x[i])) else y[i]
    elif op == 6:
        for i in range(n):
            known = (x[i] == x[i]) & (y[i] == y[i])
            d[i] = (one if x[i] > y[i] else zero) if known else nan
    elif op == 7:
        for i in range(n):
            known = (x[i] == x[i]) & (y[i] == y[i])
            d[i] = (one if x[i] < y[i] else zero) if known else nan
    elif op == 8:
        for i in range(n):
            d[i] = zero if ((x[i] == zero) | (y[i] == zero)) else x[i] * y[i]
    elif op == 9:
        for i in range(n):
            d[i] = one if ((x[i] == one) | (y[i] == one)) else x[i] + y[i]
    elif op == 20:
        for i in range(n):
            d[i] = abs(x[i])
    elif op == 21:
        for i in range(n):
            d[i] = -x[i]
    elif op == 22:
        for i in range(n):
            d[i] = x[i] / (one + abs(x[i]))
    elif op == 23:
        for i in range(n):
            d[i] = one - x[i]
    elif op == 30:
        for i in range(n):
            d[i] = y[i] if x[i] == one else (z[i] if x[i] == zero else nan)


@njit(nogil=True, error_model="numpy", cache=True)  # type: ignore[misc,unused-ignore]
def _recall(
    history: Singles, state: npt.NDArray[np.float64], start: int, past: int, x: Singles, n: int
) -> None:
    """Lay the past before the block, and keep the newest `past` values for the next block."""
    for i in range(past):
        history[i] = state[start + i]
    for i in range(n):
        history[past + i] = x[i]
    for i in range(past):
        state[start + i] = history[n + i]


@njit(nogil=True, error_model="numpy", cache=True)  # type: ignore[misc,unused-ignore]
def _windowed(
    op: int, d: Singles, h: Singles, w: int, n: int, sums: npt.NDArray[np.float64]
) -> None:
    """Compute a rolling operator; ``h[i : i + w]`` is the window that ends at row i.

    The loop over the window is outside, so rows are independent, the order of additions is fixed
    and the inner loop is a vector loop.
    """
    mean = sums[0]
    spread = sums[1]
    if op == 44 or op == 45:
        for i in range(n):
            d[i] = h[i]
        for k in range(1, w):
            if op == 44:
                for i in range(n):
                    v = h[i + k]
                    d[i] = v if ((v < d[i]) | (v != v)) else d[i]
            else:
                for i in range(n):
                    v = h[i + k]
                    d[i] = v if ((v > d[i]) | (v != v)) else d[i]
        return
    if op == 46:
        # Share of the window's other values below the newest; a tie counts half.
        half = np.float32(0.5)
        for i in range(n):
            d[i] = np.float32(0)
        for k in range(w - 1):
            for i in range(n):
                v = h[i + k]
                c = h[i + w - 1]
                below = np.float32(1) if v < c else (half if v == c else np.float32(0))
                d[i] += below if ((v == v) & (c == c)) else np.float32(np.nan)
        scale = np.float32(w - 1)
        for i in range(n):
            d[i] = d[i] / scale
        return
    for i in range(n):
        mean[i] = 0.0
        spread[i] = 0.0
    for k in range(w):
        for i in range(n):
            mean[i] += h[i + k]
    for i in range(n):
        mean[i] = mean[i] / w
    if op == 42:
        for i in range(n):
            d[i] = mean[i]
        return
    for k in range(w):
        for i in range(n):
            away = h[i + k] - mean[i]
            spread[i] += away * away
    if op == 43:
        for i in range(n):
            d[i] = math.sqrt(spread[i] / w)
    else:
        for i in range(n):
            # A constant window has no z-score: 0/0 is NaN.
            d[i] = (h[i + w - 1] - mean[i]) / math.sqrt(spread[i] / w)


@njit(nogil=True, error_model="numpy", cache=True)  # type: ignore[misc,unused-ignore]
def _recursive(
    op: int,
    d: Singles,
    x: Singles,
    y: Singles,
    w: int,
    n: int,
    state: npt.NDArray[np.float64],
    s: int,
) -> None:
    if op == 48:
        # A missing input leaves the mean as it was; the first `w` present ones are its warm-up.
        alpha = 2.0 / (w + 1.0)
        value = state[s]
        count = state[s + 1]
        if count != count:
            count = 0.0
        for i in range(n):
            v = float(x[i])
            if v == v:
                value = v if count == 0.0 else value + alpha * (v - value)
                count += 1.0
                d[i] = value if count >= w else np.nan
            else:
                d[i] = np.nan
        state[s] = value
        state[s + 1] = count
        return
    before_x = np.float32(state[s])
    before_y = np.float32(state[s + 1])
    for i in range(n):
        a = x[i]
        b = y[i]
        if a != a or b != b or before_x != before_x or before_y != before_y:
            d[i] = np.nan
        elif op == 10:
            d[i] = 1.0 if (a > b and before_x <= before_y) else 0.0
        else:
            d[i] = 1.0 if (a < b and before_x >= before_y) else 0.0
        before_x = a
        before_y = b
    state[s] = before_x
    state[s + 1] = before_y


@njit(nogil=True, error_model="numpy", cache=True)  # type: ignore[misc,unused-ignore]
def run_rows(
    code: npt.NDArray[np.int32],
    constants: Singles,
    warmups: npt.NDArray[np.int64],
    registers: Singles,
    history: Singles,
    sums: npt.NDArray[np.float64],
    state: npt.NDArray[np.float64],
    features: Singles,
    rows_seen: int,
    signals: npt.NDArray[np.int8],
) -> None:
    """Compute ``signals[root, row]`` for every root and row; see `Runner.run`."""
    rows = features.shape[1]
    block = registers.shape[1]
    start = 0
    while start < rows:
        n = min(block, rows - start)
        for f in range(features.shape[0]):
            for i in range(n):
                registers[f, i] = features[f, start + i]
        for j in range(code.shape[0]):
            op = code[j, 0]
            x = registers[code[j, 2]]
            y = registers[code[j, 3]]
            w = code[j, 5]
            s = code[j, 6]
            if op == 60:
                root = code[j, 1]
                quiet = warmups[root] - 1 - rows_seen - start
                for i in range(n):
                    wish = np.int8(2) if y[i] == 1 else (np.int8(1) if x[i] == 1 else np.int8(0))
                    signals[root, start + i] = wish if i >= quiet else np.int8(0)
                continue
            d = registers[code[j, 1]]
            if op == 70:
                for i in range(n):
                    d[i] = constants[j]
            elif op < 40 and op != 10 and op != 11:
                _elementwise(op, d, x, y, registers[code[j, 4]], n)
            elif op == 10 or op == 11 or op == 48:
                _recursive(op, d, x, y, w, n, state, s)
            elif op == 40:
                _recall(history, state, s, w, x, n)
                for i in range(n):
                    d[i] = history[i]
            elif op == 41:
                _recall(history, state, s, w, x, n)
                for i in range(n):
                    d[i] = history[i + w] - history[i]
            else:
                _recall(history, state, s, w - 1, x, n)
                _windowed(op, d, history, w, n, sums)
        start += n
