"""Run a linear program over rows, in blocks, carrying its state from one block to the next.

History and the live row go through the same kernels. Every result depends only on the rows inside
its lookback (an ema excepted) and on exact IEEE operations in a fixed order, so it is the same bit
for bit for any block size, for one row at a time, and whatever other programs run beside it.

A missing value is NaN and stays NaN: a comparison with it is unknown, ``not unknown`` is unknown,
``false and unknown`` is false, ``true or unknown`` is true, and an unknown never trades.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from crucible.features.frame import FeatureFrame, FeatureSchema
from crucible.strategies.contract import Signals, StrategyError
from crucible.strategies.kernels import Singles, Words, run_block
from crucible.strategies.linear import LinearProgram
from crucible.strategies.program import LONGEST_LOOKBACK
from crucible.strategies.vectors import LANES

# Rows that are computed together: few enough that 60 features and the registers stay in a core's
# second cache, enough that copying a lookback's tail is cheap beside it.
BLOCK = 1_408
LINE = 16  # float32 values of a cache line


class Runner:
    """One linear program with the state that its lookbacks carry.

    Parameters
    ----------
    program : LinearProgram
    block : int
        Rows computed together; results do not depend on it.

    Attributes
    ----------
    buys, leaves : ndarray of uint64, shape (roots, words)
        Signals of the last block, 64 rows to a word, the first row in the lowest bit; bits beyond
        the block's rows mean nothing.
    values : ndarray of float32, shape (numeric roots, at least block)
        Of the last block.
    """

    def __init__(self, program: LinearProgram, block: int = BLOCK) -> None:
        self.program = program
        self.block = block
        words = -(-block // LANES)
        width = words * LANES
        self.buys: Words = np.zeros((len(program.warmups), words), np.uint64)
        self.leaves: Words = np.zeros_like(self.buys)
        self._values: Singles = np.zeros(program.values * width, np.float32)
        self.values: Singles = self._values.reshape(program.values, width)
        self._columns = np.arange(len(program.features))
        # A row more than needed keeps rows from falling on the same sets of a cache.
        self._stride = width + LINE
        self._registers = _aligned(program.registers * self._stride)
        self._conditions = np.zeros(program.conditions * 2 * words, np.uint64)
        length = width + LONGEST_LOOKBACK + 4 * LANES
        self._windows = _aligned(3 * length).reshape(3, length)
        self._scratch = np.zeros((6, length))
        self._weights = np.zeros(LANES + LANES // 8)
        self._tails = np.empty(program.tails, np.float32)
        self._cells = np.empty(program.cells)
        self._rows_seen = 0
        self.reset()

    def reset(self) -> None:
        """Forget every row seen."""
        self._tails.fill(np.nan)
        self._cells.fill(0.0)
        self._rows_seen = 0

    def step(self, table: Singles, columns: npt.NDArray[np.int64], first: int, rows: int) -> None:
        """Compute `buys`, `leaves` and `values` of the next rows, at most a block of them.

        Parameters
        ----------
        table : ndarray of float32, shape (features, n)
            C-contiguous; what is missing is NaN.
        columns : ndarray of int64, shape (features of the program,)
            Lines of the table, in the order of the program's features.
        first, rows : int
            The rows of the table.
        """
        run_block(
            self.program.code,
            self.program.constants,
            self.program.warmups,
            columns,
            table,
            first,
            rows,
            self._rows_seen,
            self._registers,
            self._stride,
            self._conditions,
            self.buys.shape[1],
            self._windows,
            self._scratch,
            self._tails,
            self._cells,
            self._weights,
            self.buys,
            self.leaves,
            self._values,
        )
        self._rows_seen += rows

    def run(self, features: Singles) -> Signals:
        """Signals of the next rows.

        Parameters
        ----------
        features : ndarray of float32, shape (features, n)
            In the order of the program's features, C-contiguous.

        Returns
        -------
        ndarray of int8, shape (programs, n)
            0 hold, 1 buy, 2 exit; hold until a program's warm-up has passed.
        """
        rows = features.shape[1]
        signals = np.zeros((len(self.program.warmups), rows), np.int8)
        for first in range(0, rows, self.block):
            count = min(self.block, rows - first)
            self.step(features, self._columns, first, count)
            part = signals[:, first : first + count]
            part += unpacked(self.buys, count)
            part += 2 * unpacked(self.leaves, count)
        return signals[self.program.roots]

    def run_values(self, features: Singles, out: Singles | None = None) -> Singles:
        """Values of numeric roots over the next rows.

        Parameters
        ----------
        features : ndarray of float32, shape (features, n)
        out : ndarray of float32, shape (programs, n), optional
            Filled and returned.
        """
        rows = features.shape[1]
        roots = self.program.roots
        made = np.empty((len(roots), rows), np.float32) if out is None else out
        for first in range(0, rows, self.block):
            count = min(self.block, rows - first)
            self.step(features, self._columns, first, count)
            made[:, first : first + count] = self.values[roots, :count]
        return made


def unpacked(words: Words, rows: int) -> Signals:
    """One 0 or 1 for each of the first rows, shape (roots, rows)."""
    bits: Signals = np.unpackbits(words.view(np.uint8), axis=1, count=rows, bitorder="little").view(
        np.int8
    )
    return bits


def packed(rows: npt.NDArray[np.bool_]) -> Words:
    """64 rows to a word along the last axis, the first row in the lowest bit."""
    words = -(-rows.shape[-1] // LANES)
    full = np.zeros((*rows.shape[:-1], words * LANES // 8), np.uint8)
    bits = np.packbits(rows, axis=-1, bitorder="little")
    full[..., : bits.shape[-1]] = bits
    packed_words: Words = full.view(np.uint64)
    return packed_words


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


def _aligned(count: int) -> Singles:
    """Zeros whose first value begins a cache line."""
    cells = np.zeros(count + LINE, np.float32)
    start = (-cells.ctypes.data % (4 * LINE)) // 4
    made: Singles = cells[start : start + count]
    return made
