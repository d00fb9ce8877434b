"""Simulated fills for challengers: the backtest's semantics, one closed candle at a time.

A decision at a close fills at the next candle's open with slippage; a stop comes before a target
when one candle touches both; a gap through a stop or a target fills at the open; a position that has been
held for its timeout is due to leave at the next open. Agreement with `crucible.forge.backtest.engine` is tested in ``tests/parity``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from crucible.market.candles import Candle
from crucible.settings import Costs
from crucible.strategies.contract import Exits
from crucible.strategies.exit_reasons import ExitReason


@dataclass(frozen=True, slots=True)
class SimulatedFill:
    """A simulated execution: `price` includes slippage."""

    side: Literal["buy", "sell"]
    price: float
    ts: int
    reason: str


@dataclass(slots=True)
class SimulatedPosition:
    """The state of one challenger's simulated position.

    Attributes
    ----------
    pending : {'', 'buy', 'exit'}
        Decision taken at the last close, to be filled at the next open.
    pending_reason : str
    pending_timeout : int
        Candles the coming position may be held.
    entry : float
        Entry price with slippage; 0 while flat.
    held : int
        Closed candles since the entry, the entry's own included.
    timeout : int
    """

    pending: Literal["", "buy", "exit"] = ""
    pending_reason: str = ""
    pending_timeout: int = 0
    entry: float = 0.0
    held: int = 0
    timeout: int = 0

    @property
    def is_open(self) -> bool:
        """Whether a position is held."""
        return self.entry > 0

    @property
    def is_due(self) -> bool:
        """Whether the position has been held for its timeout."""
        return self.is_open and self.held >= self.timeout

    def step(self, candle: Candle, exits: Exits, costs: Costs) -> list[SimulatedFill]:
        """Carry the position over one closed candle and return what was filled in it."""
        fills: list[SimulatedFill] = []
        sell = 1.0 - costs.slippage
        close_ts = candle.ts + 60_000
        if self.pending == "buy" and not self.is_open:
            self.entry = candle.open * (1.0 + costs.slippage)
            self.held, self.timeout = 0, self.pending_timeout
            fills.append(SimulatedFill("buy", self.entry, candle.ts, self.pending_reason))
        elif self.pending == "exit" and self.is_open:
            fills.append(SimulatedFill("sell", candle.open * sell, candle.ts, self.pending_reason))
            self._close()
        self.pending = ""
        if not self.is_open:
            return fills
        self.held += 1
        stop, target = self.entry * (1.0 - exits.stop), self.entry * (1.0 + exits.target)
        if candle.low <= stop:
            fills.append(
                SimulatedFill("sell", min(candle.open, stop) * sell, close_ts, ExitReason.STOP)
            )
            self._close()
        elif candle.high >= target:
            price = max(candle.open, target) * sell
            fills.append(SimulatedFill("sell", price, close_ts, ExitReason.TAKE_PROFIT))
            self._close()
        return fills

    def _close(self) -> None:
        self.entry, self.held, self.timeout = 0.0, 0, 0

    def to_json(self) -> dict[str, Any]:
        """Give the state as JSON values, for the ledger."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> SimulatedPosition:
        """Restore a state that `to_json` gave."""
        return cls(**values)
