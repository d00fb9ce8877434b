"""Run a linear program over rows, in blocks, carrying its state from one block to the next.

History and the live row go through the same kernels. Every result depends only on the rows inside
its lookback (an ema excepted) and on exact IEEE operations in a fixed order, so it is the same bit
for bit for any block size, for one row at a time, and whatever other programs run beside it.

A missing value is NaN and stays NaN: a comparison with it is unknown, ``not unknown`` is unknown,
``false and unknown`` is false, ``true or unknown`` is true, and an unknown never trades.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crucible.errors import StrategyError
from crucible.features.frame import FeatureFrame, FeatureSchema
from crucible.vm.kernels import SPACING, Singles, Words, run_block
from crucible.vm.linear import LinearProgram
from crucible.vm.program import LONGEST_LOOKBACK
from crucible.vm.signals import Signals
from crucible.vm.vectors import LANES

# Rows that are computed together: few enough that 60 features, the registers and the numbers of 200
# trees stay in a core's second cache, enough that copying a lookback's tail is cheap beside them.
BLOCK = 896
LINE = 16  # float32 values of a cache line
_FIRST_ROW = np.uint64(1)


@dataclass(frozen=True, slots=True)
class Lines:
    """Features as the kernels read them: a line each, with room behind for a whole trip.

    Attributes
    ----------
    cells : ndarray of float32
        The lines one after the other.
    wide : int
        Cells from one line to the next.
    values : ndarray of float32, shape (features, n)
        The same without the room; what is missing is NaN.
    """

    cells: Singles
    wide: int
    values: Singles

    @classmethod
    def of(cls, values: npt.NDArray[np.float64] | Singles) -> Lines:
        """Copy features, shape (features, n), as 32-bit values; what is not finite becomes NaN."""
        count, rows = values.shape
        # A line more than a multiple of 64 keeps lines from falling on the same sets of a cache.
        wide = -(-rows // LANES) * LANES + LANES + LINE
        cells = _aligned(count * wide + LANES)
        made = cls(cells, wide, cells[: count * wide].reshape(count, wide)[:, :rows])
        made.fill(values)
        return made

    def fill(self, values: npt.NDArray[np.float64] | Singles) -> None:
        """Copy other features of the same shape in their place."""
        with np.errstate(over="ignore"):
            self.values[:] = values
        self.values[~np.isfinite(self.values)] = np.nan

    def __len__(self) -> int:
        return int(self.values.shape[1])


class Workspace:
    """What the threads of one linear program share while they run it, and the state it carries.

    Parameters
    ----------
    program : LinearProgram
    block : int
        Rows computed together; results do not depend on it.
    """

    def __init__(self, program: LinearProgram, block: int) -> None:
        self.words = -(-block // LANES)
        width = self.words * LANES
        # A line more than needed keeps registers from falling on the same sets of a cache.
        self.stride = width + LINE
        self.buys: Words = np.zeros((len(program.warmups), self.words), np.uint64)
        self.leaves: Words = np.zeros_like(self.buys)
        self.registers = _aligned((program.registers + program.values) * self.stride)
        self.values: Singles = self.registers.reshape(-1, self.stride)[program.registers :, :width]
        self.conditions = np.zeros(program.conditions * 2 * self.words, np.uint64)
        self.tails = np.empty(program.tails, np.float32)
        self.cells = np.empty(program.cells)
        self.progress = np.zeros(len(program.ends) * SPACING, np.int64)
        self.reset()

    def reset(self) -> None:
        """Forget every row seen."""
        self.tails.fill(np.nan)
        self.cells.fill(0.0)
        self.progress.fill(0)


class Scratch:
    """Where one thread computes windows; nothing of it is kept.

    Parameters
    ----------
    block : int
    """

    def __init__(self, block: int) -> None:
        length = -(-block // LANES) * LANES + LONGEST_LOOKBACK + 4 * LANES
        self.windows = _aligned(3 * length).reshape(3, length)
        self.sums = np.zeros((6, length))
        self.weights = np.zeros(LANES + LANES // 8)


class Runner:
    """One linear program with the state that its lookbacks carry.

    Parameters
    ----------
    program : LinearProgram
        For one thread.
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
        assert len(program.ends) == 1, "a program for several threads needs all of them"
        self.program = program
        self.block = block
        self._space = Workspace(program, block)
        self._scratch = Scratch(block)
        self.buys = self._space.buys
        self.leaves = self._space.leaves
        self.values = self._space.values
        self._columns = np.arange(len(program.features))
        self._rows_seen = 0

    def reset(self) -> None:
        """Forget every row seen."""
        self._space.reset()
        self._rows_seen = 0

    def step(self, lines: Lines, columns: npt.NDArray[np.int64], first: int, rows: int) -> None:
        """Compute `buys`, `leaves` and `values` of the next rows, at most a block of them.

        Parameters
        ----------
        lines : Lines
        columns : ndarray of int64, shape (features of the program,)
            Lines of the table, in the order of the program's features.
        first, rows : int
            The rows of the table.
        """
        program, space, scratch = self.program, self._space, self._scratch
        run_block(
            program.code,
            program.constants,
            program.warmups,
            columns,
            lines.cells,
            lines.wide,
            first,
            rows,
            self._rows_seen,
            space.registers,
            space.stride,
            space.conditions,
            space.words,
            scratch.windows,
            scratch.sums,
            space.tails,
            space.cells,
            scratch.weights,
            space.buys,
            space.leaves,
            space.progress,
            0,
            0,
        )
        self._rows_seen += rows

    def run(self, lines: Lines) -> Signals:
        """Signals of the next rows.

        Parameters
        ----------
        lines : Lines
            In the order of the program's features, n rows.

        Returns
        -------
        ndarray of int8, shape (programs, n)
            0 hold, 1 buy, 2 exit; hold until a program's warm-up has passed.
        """
        rows = len(lines)
        signals = np.zeros((len(self.program.warmups), rows), np.int8)
        for first in range(0, rows, self.block):
            count = min(self.block, rows - first)
            self.step(lines, self._columns, first, count)
            part = signals[:, first : first + count]
            part += unpacked(self.buys, count)
            part += 2 * unpacked(self.leaves, count)
        return signals[self.program.roots]

    def run_row(self, lines: Lines) -> int:
        """Signal of the first program at one row, as `run` gives it.

        Parameters
        ----------
        lines : Lines
            In the order of the program's features, one row.
        """
        self.step(lines, self._columns, 0, 1)
        root = self.program.roots[0]
        return int(self.buys[root, 0] & _FIRST_ROW) + 2 * int(self.leaves[root, 0] & _FIRST_ROW)

    def run_values(self, lines: Lines) -> Singles:
        """Values of numeric roots over the next rows, shape (programs, n).

        Parameters
        ----------
        lines : Lines
            In the order of the program's features, n rows.
        """
        rows = len(lines)
        roots = self.program.roots
        made = np.empty((len(roots), rows), np.float32)
        for first in range(0, rows, self.block):
            count = min(self.block, rows - first)
            self.step(lines, self._columns, first, count)
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
        message = f"{error.args[0]}; serve the schema that the strategy was made with"
        raise StrategyError(message) from error


def feature_lines(frame: FeatureFrame, features: tuple[str, ...]) -> Lines:
    """Return the named features for the interpreter; not finite is NaN."""
    return Lines.of(frame.values[:, columns_of(features, frame.schema)].T)


def _aligned(count: int) -> Singles:
    """Zeros whose first value begins a cache line."""
    cells = np.zeros(count + LINE, np.float32)
    start = (-cells.ctypes.data % (4 * LINE)) // 4
    made: Singles = cells[start : start + count]
    return made
