"""Every agent of one market minute decides, each on its own account."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from crucible.arena.agent import Agent, Decision
from crucible.arena.alignment import Minute
from crucible.arena.execution import Context
from crucible.arena.orders_in_flight import OrdersInFlight
from crucible.features.frame import FeatureRow
from crucible.ledger.ledger import Ledger
from crucible.ledger.trades import Mode
from crucible.market.instruments import Instrument
from crucible.settings import Settings

ACTS = frozenset({"buy", "exit"})
LEFT_OUT = frozenset({"skip", "wait"})
"""What an agent wanted and did not do, for a reason that is not its strategy's."""


@dataclass(frozen=True, slots=True)
class Deciders:
    """The agents that may decide, and what they share.

    Attributes
    ----------
    agents : mapping of str to Agent
    orders_in_flight : OrdersInFlight
        An entry counts against the portfolio as soon as it is decided.
    instruments : mapping of str to Instrument
    settings : Settings
    failed : callable
        Told of an agent that raised, and what.
    """

    agents: Mapping[str, Agent]
    orders_in_flight: OrdersInFlight
    instruments: Mapping[str, Instrument]
    settings: Settings
    failed: Callable[[Agent, Exception], None]

    def decisions(
        self,
        mode: Mode,
        rows: Mapping[str, FeatureRow],
        minute: Minute,
        *,
        act: bool,
        no_entries: str = "",
    ) -> list[tuple[Agent, Decision]]:
        """Let the agents of a mode decide whose symbol has a row; the others go on if one cannot.

        Parameters
        ----------
        mode : str
        rows : mapping of str to FeatureRow
            Features at the minute's close.
        minute : Minute
        act : bool
            False while history is caught up on.
        no_entries : str
            Why nothing is opened now; empty where it may be.
        """
        production = [agent for agent in self.agents.values() if agent.mode == "live"]
        held = sum((abs(agent.book.cost) for agent in production), Decimal(0))
        capital = self.settings.arena.capital_per_agent * max(1, len(production))
        decisions = []
        for agent in self.agents.values():
            row = rows.get(agent.strategy.symbol)
            if agent.mode != mode or row is None or agent.quarantined:
                continue
            context = Context(
                instrument=self.instruments[row.symbol],
                costs=self.settings.forge.costs,
                settings=self.settings.arena,
                gross=held + self.orders_in_flight.reserved(),
                capital=capital,
                act=act,
                no_entries=no_entries,
            )
            try:
                decision = agent.decide_and_execute(row, minute.candles[row.symbol], context)
                if decision.intent is not None:
                    self.orders_in_flight.reserve(agent, decision.intent)
            except Exception as error:  # noqa: BLE001 - whatever one raises, the others decide
                self.failed(agent, error)
                continue
            decisions.append((agent, decision))
        return decisions


def book(ledger: Ledger, agent: Agent, decision: Decision, *, attended: bool = True) -> None:
    """Record what an agent decided at a close, before anything else changes its position.

    Of a production agent that it decided at all is recorded as well, and what it wanted and left out: whoever
    compares it with its backtest has to tell a reason from a departure.

    Parameters
    ----------
    ledger : Ledger
    agent : Agent
    decision : Decision
    attended : bool
        Whether it saw what its backtest sees, and could act: not while history is caught up on, nor while its
        features remember a hole.
    """
    kept = ACTS
    if agent.seat.role == "production":
        if attended:
            holds = agent.execution.is_holding(agent.book.qty)
            ledger.book_attendance(decision.ts, agent.name, holds=holds)
        kept = ACTS | LEFT_OUT
    if decision.action not in kept:
        return
    acts = decision.action in ACTS
    ledger.book_decision(
        decision.ts,
        agent.name,
        decision.action,
        decision.reason,
        decision.price,
        None if decision.intent is None else decision.intent.qty,
        # What is in flight when something is left out is the intent of an earlier decision.
        agent.execution.in_flight if acts else None,
        None if decision.size is None else decision.size.to_json(),
    )
