"""Why a position ended: one set of words, from the backtest to the wire, the ledger and the page."""

from __future__ import annotations

from enum import StrEnum


class ExitReason(StrEnum):
    """Why a position was closed.

    The first six have a code, with which the compiled backtest reports them.
    """

    STOP = "stop"
    TAKE_PROFIT = "take_profit"
    SIGNAL = "exit"
    """The strategy asked for it."""
    DEADLINE = "deadline"
    REGIME_CHANGE = "regime_change"
    END = "end"
    """The candles ended: a backtest values what is still held."""
    RETIRED = "retired"
    QUARANTINED = "quarantined"
    PROMOTED = "promoted"
    """A challenger's simulated position is closed where its live one begins."""

    @property
    def code(self) -> int:
        """Its number in the compiled backtest, from 1."""
        return _CODED.index(self) + 1

    @classmethod
    def of_code(cls, code: int) -> ExitReason:
        """Give the reason of a number of the compiled backtest."""
        return _CODED[code - 1]


_CODED = (
    ExitReason.STOP,
    ExitReason.TAKE_PROFIT,
    ExitReason.SIGNAL,
    ExitReason.DEADLINE,
    ExitReason.REGIME_CHANGE,
    ExitReason.END,
)
WITHIN_A_CANDLE = frozenset({ExitReason.STOP, ExitReason.TAKE_PROFIT})
"""Reasons that close a position between a candle's open and its close, not at the next open."""
