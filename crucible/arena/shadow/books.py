"""Simulated books in the ledger: how they are rebuilt after a restart, and closed."""

from __future__ import annotations

from decimal import Decimal

from crucible.arena.agent import Agent
from crucible.ledger.ledger import Ledger
from crucible.settings import Costs
from crucible.strategies.exit_reasons import ExitReason


def take_fills(agent: Agent, ledger: Ledger) -> None:
    """Give an agent what it holds and traded: the fills of its mode that are booked."""
    for fill in ledger.fills(agent.name):
        if fill.mode == agent.mode:
            agent.apply_fill(fill)
    agent.new_trades()


def close_position(
    agent: Agent, ledger: Ledger, price: Decimal | None, ts: int, reason: ExitReason, costs: Costs
) -> bool:
    """End a simulated position at a price and book it; False where none is held, or no price is known."""
    if agent.book.qty <= 0 or price is None:
        return False
    ledger.book_shadow_fill(agent.close_simulated(price, ts, reason, costs))
    return True
