"""The orders in flight: which intents are out, for whom, and when they are done with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

from crucible.arena.agent import Agent
from crucible.arena.execution import IntentWanted
from crucible.execution.cerebellum_link import new_intent_id
from crucible.execution.messages import TERMINAL, Ack, ErrorReply, Order, Protect, Submit
from crucible.ledger.trades import ZERO, Fill


@dataclass(slots=True)
class _Ticket:
    """One intent that is out: what it reserves, and how much of it is known to be filled."""

    agent: str
    notional: Decimal
    command: Submit | None = None
    sent_at: float = 0.0
    answered: bool = False
    filled: Decimal = ZERO
    final_qty: Decimal | None = None


@dataclass(slots=True)
class OrdersInFlight:
    """Keeps at most one intent per agent in flight.

    An intent is done when its order has ended and every fill of it has been booked; until then its
    agent waits, so that nothing is ever sent twice.

    Parameters
    ----------
    ttl_ms : int
        Market time for which an intent may still be sent to the venue.
    random : Random
        Seeded source of the intent ids.
    """

    ttl_ms: int
    random: Random
    _tickets: dict[str, _Ticket] = field(default_factory=dict)
    _requests: dict[str, str] = field(default_factory=dict)
    _reserved: dict[str, Decimal] = field(default_factory=dict)

    def reserve(self, agent: Agent, intent: IntentWanted) -> None:
        """Count an entry against the portfolio before it is sent."""
        if not intent.reduce_only:
            self._reserved[agent.name] = intent.qty * intent.price

    def reserved(self) -> Decimal:
        """Notional of entries that are out and not yet in any book."""
        return sum(self._reserved.values(), ZERO)

    def submit(
        self, agent: Agent, intent: IntentWanted, ts: int, request_id: str, now: float
    ) -> Submit:
        """Make the command for an intent and put its agent on hold.

        Parameters
        ----------
        agent, intent
        ts : int
            Market time of the decision.
        request_id : str
        now : float
            Any steady clock's seconds, for `unanswered`.
        """
        intent_id = new_intent_id(ts, self.random.getrandbits(74))
        agent.execution.in_flight = intent_id
        agent.last_event = f"{intent.side} {intent.qty} wanted ({intent.reason})"
        self._tickets[intent_id] = _Ticket(agent.name, intent.qty * intent.price)
        self._requests[request_id] = intent_id
        protect = None
        if intent.stop is not None or intent.take_profit is not None or intent.deadline_ts:
            protect = Protect(
                stop=None if intent.stop is None else format(intent.stop, "f"),
                take_profit=None if intent.take_profit is None else format(intent.take_profit, "f"),
                deadline_ts=intent.deadline_ts,
            )
        command = Submit(
            ts=ts,
            request_id=request_id,
            intent_id=intent_id,
            agent=agent.name,
            version=agent.seat.version,
            symbol=agent.strategy.symbol,
            side=intent.side,
            kind="market",
            qty=format(intent.qty, "f"),
            limit_price=None,
            reduce_only=intent.reduce_only,
            ttl_ms=self.ttl_ms,
            protect=protect,
            reason=intent.reason,
        )
        ticket = self._tickets[intent_id]
        ticket.command, ticket.sent_at = command, now
        return command

    def unanswered(self, now: float, patience_s: float) -> list[Submit]:
        """Give the commands that nobody has answered, to be sent again unchanged.

        The same intent id and body: Cerebellum answers with what it recorded, or refuses it once its
        time to live is over. Nothing is doubled, and no agent waits for ever.
        """
        again = []
        for ticket in self._tickets.values():
            late = now - ticket.sent_at >= patience_s
            if ticket.command is not None and not ticket.answered and late:
                ticket.sent_at = now
                self._requests[ticket.command.request_id] = ticket.command.intent_id
                again.append(ticket.command)
        return again

    def withdraw(self, agent: Agent) -> None:
        """Forget an intent that never left."""
        if agent.execution.in_flight is not None:
            self._finish(agent.execution.in_flight, {agent.name: agent})

    def answered(
        self, reply: Ack | ErrorReply, agents: Mapping[str, Agent]
    ) -> tuple[str | None, str | None]:
        """Take a reply; give the intent it speaks of, and the problem if it was not accepted."""
        intent_id = self._requests.pop(reply.request_id or "", None)
        if intent_id is None:
            return None, None
        ticket = self._tickets.get(intent_id)
        if ticket is not None:
            ticket.answered = True
        if isinstance(reply, Ack) and reply.status != "rejected":
            return intent_id, None
        problem = f"rejected: {reply.code}: {reply.text}"
        if ticket is not None and ticket.agent in agents:
            agents[ticket.agent].last_event = problem
        self._finish(intent_id, agents)
        return intent_id, problem

    def order_changed(self, order: Order, agents: Mapping[str, Agent]) -> None:
        """Take news of an order."""
        ticket = self._tickets.get(order.intent_id)
        if order.status not in TERMINAL:
            return
        if ticket is None:
            self._finish(order.intent_id, agents)
            return
        ticket.final_qty = Decimal(order.filled_qty)
        if order.status != "filled" and ticket.agent in agents:
            agents[
                ticket.agent
            ].last_event = f"{order.status}: {order.code or ''} {order.text or ''}"
        self._settle(order.intent_id, ticket, agents)

    def filled(self, fill: Fill, agents: Mapping[str, Agent]) -> None:
        """Take a booked fill."""
        ticket = self._tickets.get(fill.intent_id)
        if ticket is not None:
            ticket.filled += fill.qty
            self._settle(fill.intent_id, ticket, agents)

    def _settle(self, intent_id: str, ticket: _Ticket, agents: Mapping[str, Agent]) -> None:
        if ticket.final_qty is not None and ticket.filled >= ticket.final_qty:
            self._finish(intent_id, agents)

    def _finish(self, intent_id: str, agents: Mapping[str, Agent]) -> None:
        ticket = self._tickets.pop(intent_id, None)
        if ticket is not None:
            self._reserved.pop(ticket.agent, None)
        for agent in agents.values():
            if agent.execution.in_flight == intent_id:
                agent.execution.in_flight = None
