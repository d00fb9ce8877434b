"""Values that many tests begin with: fills, agents, an instrument, candles; each says what differs."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from crucible.execution.messages import FillEvent
from crucible.ledger.reader import AgentRow
from crucible.ledger.trades import Fill
from crucible.market.candles import Candles
from crucible.market.instruments import Instrument
from crucible.settings import MINUTE_MS

AGENT = "BTCUSDT-gp-1@1"


def fill(number: int, side: str, qty: Any, price: Any, fee: Any = "0", **changes: Any) -> Fill:
    """An execution of the ledger, the `number`-th of its agent."""
    usual = {
        "exec_id": f"e{number}",
        "agent": "a",
        "version": "1",
        "symbol": "BTCUSDT",
        "exec_ts": number,
        "reason": "signal",
        "intent_id": f"i{number}",
    }
    amounts = {"qty": Decimal(qty), "price": Decimal(price), "fee": Decimal(fee)}
    return Fill(side=side, **amounts, **{**usual, **changes})  # type: ignore[arg-type]


def fill_event(seq: int, exec_id: str, **changes: Any) -> FillEvent:
    """An execution as Cerebellum tells it: 0.3 bought at 100.5, unless it says otherwise."""
    usual = {
        "ts": seq,
        "seq": seq,
        "exec_id": exec_id,
        "intent_id": "i",
        "order_link_id": "l",
        "order_id": "o",
        "agent": AGENT,
        "version": "1",
        "symbol": "BTCUSDT",
        "side": "buy",
        "qty": "0.3",
        "price": "100.5",
        "fee": "0.01658250",
        "fee_currency": "USDT",
        "is_maker": False,
        "exec_ts": seq * 1_000,
        "reason": "entry",
    }
    return FillEvent(**{**usual, **changes})


def agent_row(agent: str = AGENT, role: str = "production", **changes: Any) -> AgentRow:
    """The ledger's row of an agent that has sat in its slot from the beginning."""
    slot, _, version = agent.partition("@")
    usual = {"symbol": "BTCUSDT", "kind": "gp", "proven": False, "since_ts": 0, "until_ts": None}
    return AgentRow(agent, slot, version, role, **{**usual, **changes})  # type: ignore[arg-type]


def instrument(step: str = "0.001", least: str = "5") -> Instrument:
    """BTCUSDT on ticks of 0.1, in sizes of `step`, from `least` USDT on."""
    return Instrument("BTCUSDT", Decimal("0.1"), Decimal(step), Decimal(step), Decimal(least))


def torn_walk(random: np.random.Generator, count: int, drift: float = 0.0) -> Candles:
    """A random walk of BTCUSDT whose opens are not the closes before, and which lacks some minutes."""
    close = 50_000 * np.exp(np.cumsum(random.normal(drift, 0.004, count)))
    start = close * np.exp(random.normal(0, 0.002, count))
    high = np.maximum(start, close) * (1 + np.abs(random.normal(0, 0.002, count)))
    low = np.minimum(start, close) * (1 - np.abs(random.normal(0, 0.002, count)))
    minutes = np.cumsum(random.choice([1, 1, 1, 1, 3], count))
    return Candles("BTCUSDT", minutes * MINUTE_MS, start, high, low, close, np.ones(count))
