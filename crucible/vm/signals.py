"""Signals: what a program says at a closed candle."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

Signals = npt.NDArray[np.int8]
"""One `Signal` a row."""


class Signal(IntEnum):
    """What a strategy wants at a close; carried out at the next open."""

    HOLD = 0
    BUY = 1
    EXIT = 2
