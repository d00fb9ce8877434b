"""The seats: who trades, how an agent comes and leaves, and who is kept out because it failed.

An agent that raises, whatever it raises, is quarantined: it never decides again, Cerebellum cancels
its orders and closes its position, its version is tagged with the reason, and the others go on in
the same minute.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final

from crucible import sqlite
from crucible.arena.agent import Agent
from crucible.arena.registry_watcher import RegistryWatcher, Seated, reported
from crucible.arena.shadow.books import close_position, take_fills
from crucible.arena.status_file import SideFiles
from crucible.execution.cerebellum_link import CerebellumLink, LinkError
from crucible.execution.messages import Flatten
from crucible.features.frame import FeatureRow
from crucible.ledger.ledger import Ledger
from crucible.ledger.reader import PLACEBO, AgentRow, LedgerError
from crucible.settings import Costs
from crucible.strategies.exit_reasons import ExitReason

logger = logging.getLogger(__name__)

# Not an agent's doing: the disk, the ledger, the way to Cerebellum.
OF_THE_ENVIRONMENT: Final = (sqlite.Error, OSError, LedgerError, LinkError)


class Seats:
    """Seats agents as the roster says, and takes them out again.

    Parameters
    ----------
    link : CerebellumLink
    ledger : Ledger
    roster : RegistryWatcher
        Told who is quarantined.
    side : SideFiles
    costs : Costs
        Of a challenger's simulated exit.
    history : mapping of str to iterable of FeatureRow
        Newest rows of each symbol, to warm a strategy.
    prices : mapping of str to Decimal
        Newest close of each symbol.

    Attributes
    ----------
    agents : dict of str to Agent
    quarantined : dict of str to str
        Why, by agent. Whoever leaves the roster and comes back is tried again.
    """

    def __init__(
        self,
        link: CerebellumLink,
        ledger: Ledger,
        roster: RegistryWatcher,
        side: SideFiles,
        costs: Costs,
        history: Mapping[str, Iterable[FeatureRow]],
        prices: Mapping[str, Decimal],
    ) -> None:
        self._link = link
        self._ledger = ledger
        self._roster = roster
        self._side = side
        self._costs = costs
        self._history = history
        self._prices = prices
        self._wanted: dict[str, Seated] | None = None
        self._gone: set[str] = set()
        self.agents: dict[str, Agent] = {}
        self.quarantined: dict[str, str] = {}

    def take(self, roster: list[Seated], ts: int) -> None:
        """Make the agents those of the roster: new ones are warmed, missing ones leave."""
        wanted = self._wanted = {item.seat.agent: item for item in roster}
        self._gone |= self.quarantined.keys() - wanted.keys()
        for name, agent in list(self.agents.items()):
            item = wanted.get(name)
            if agent.quarantined:
                continue
            if item is None:
                self._leave(agent, ts)
            elif item.seat.role != agent.seat.role:
                self._change_role(agent, item, ts)
            elif item.seat.proven_by != agent.seat.proven_by:
                agent.seat = item.seat
                self._ledger.set_proof(name, item.seat.proven_by)
                logger.info("%s is now proven by: %s", name, item.seat.proven_by or "nothing")
        self._close_orphans(ts)
        for name, item in wanted.items():
            if name not in self.agents:
                self._seat(item, ts)

    def quarantine(self, agent: Agent, error: Exception, ts: int) -> None:
        """Take an agent out of trading for good: told once everywhere, its orders and position closed.

        It stays among the agents, deciding nothing, until `tidy` finds it flat.
        """
        if agent.quarantined:
            return
        reason = reported(error)
        self.quarantined[agent.name] = agent.quarantined = reason
        self._gone.discard(agent.name)
        agent.last_event = f"quarantined: {reason}"
        logger.error("%s is quarantined: %s", agent.name, reason, exc_info=error)
        if agent.mode == "live":
            seat = agent.seat
            agent.seat = replace(seat, role="draining")
            self._ledger.set_role(agent.name, "draining")
            self._flatten(agent.name, agent.strategy.symbol, ExitReason.QUARANTINED, ts)
        self._roster.quarantine(agent.seat.slot, agent.seat.version, reason)
        price = self._prices.get(agent.strategy.symbol)
        if price is not None:
            self._ledger.book_decision(ts, agent.name, "quarantine", reason, price, None, None)

    def tidy(self, ts: int) -> None:
        """Let those go who are flat, and see that the others of them become so."""
        for agent in list(self.agents.values()):
            if agent.quarantined and agent.mode == "shadow":
                self._close_failed_shadow(agent, ts)
                self._dismiss(agent, ts)
            elif agent.seat.role == "draining" and self._is_flat(agent):
                self._dismiss(agent, ts)
            elif agent.quarantined:
                # Cerebellum closes it once, however often it is asked.
                self._flatten(agent.name, agent.strategy.symbol, ExitReason.QUARANTINED, ts)
        self._close_orphans(ts)

    def kept_out(self) -> list[tuple[str, str, str, Decimal, int]]:
        """Give who is wanted and has no seat: name, role, reason, what it holds, its closed trades."""
        out = {name: ("quarantined", reason) for name, reason in self.quarantined.items()}
        for name, reason in self._roster.refused.items():
            out.setdefault(name, ("refused", reason))
        return [
            (
                name,
                role,
                reason,
                self._ledger.live_position(name, name.partition("-")[0]),
                len(self._ledger.trades(name)),
            )
            for name, (role, reason) in sorted(out.items())
            if name not in self.agents
        ]

    # --- in ------------------------------------------------------------------------------------

    def _seat(self, item: Seated, ts: int) -> None:
        """Seat an agent, unless it failed and has not left the roster since."""
        name = item.seat.agent
        if name in self.quarantined:
            if name not in self._gone:
                return
            self._gone.discard(name)
            del self.quarantined[name]
        agent = Agent(item.seat, item.strategy)
        try:
            self._restore(agent)
        except OF_THE_ENVIRONMENT:
            raise
        except Exception as error:  # noqa: BLE001 - one agent's books are no other's trouble
            # What it holds is not known here: it is closed as an orphan.
            self.quarantine(agent, error, ts)
            return
        self._ledger.seat(
            AgentRow(
                agent=name,
                slot=item.seat.slot,
                version=item.seat.version,
                role=item.seat.role,
                symbol=item.strategy.symbol,
                kind=item.strategy.kind,
                proven=item.seat.proven,
                since_ts=ts,
                until_ts=None,
                strategy=item.seat.strategy,
                proven_by=item.seat.proven_by,
            )
        )
        self.agents[name] = agent
        try:
            item.strategy.reset()
            for row in self._history[item.strategy.symbol]:
                item.strategy.decide(row)
        except Exception as error:  # noqa: BLE001 - whatever a strategy raises concerns itself
            self.quarantine(agent, error, ts)
            return
        logger.info("%s seated as %s", name, item.seat.role)

    def _restore(self, agent: Agent) -> None:
        """Rebuild an agent's books from the ledger: a restart forgets nothing."""
        take_fills(agent, self._ledger)
        if agent.mode == "shadow":
            if (kept := self._ledger.kept_shadow(agent.name)) is not None:
                agent.execution.restore(kept)
        else:
            for payment in self._ledger.payments(agent.name):
                agent.pay(payment)
            agent.execution.in_flight = self._ledger.open_intent(agent.name)

    def _change_role(self, agent: Agent, item: Seated, ts: int) -> None:
        """Give a promoted agent flat live books; its shadow trade is closed where it stands."""
        if agent.mode == "shadow":
            self._close_shadow(agent, ExitReason.PROMOTED, ts)
            self._seat(item, ts)
        elif item.seat.role == "challenger":
            self._leave(agent, ts)
        else:
            agent.seat = item.seat
            self._ledger.set_role(agent.name, item.seat.role)
            self._ledger.set_proof(agent.name, item.seat.proven_by)
        logger.info("%s is now %s", agent.name, item.seat.role)

    # --- out -----------------------------------------------------------------------------------

    def _leave(self, agent: Agent, ts: int) -> None:
        """Take an agent out: a challenger at once, a production agent when it is flat."""
        if agent.mode == "shadow":
            self._close_shadow(agent, ExitReason.RETIRED, ts)
            self._dismiss(agent, ts)
            return
        seat = agent.seat
        agent.seat = replace(seat, role="draining")
        agent.last_event = "draining"
        self._ledger.set_role(agent.name, "draining")

    def _close_shadow(self, agent: Agent, reason: ExitReason, ts: int) -> None:
        price = self._prices.get(agent.strategy.symbol)
        if close_position(agent, self._ledger, price, ts, reason, self._costs):
            if (state := agent.execution.state()) is not None:
                self._ledger.keep_shadow(agent.name, state)
            for trade in agent.new_trades():
                self._side.log(trade)

    def _close_failed_shadow(self, agent: Agent, ts: int) -> None:
        """Close what the ledger knows of: the candle that it failed at may have left more in its own books."""
        recorded = Agent(agent.seat, agent.strategy)
        try:
            self._restore(recorded)
            self._close_shadow(recorded, ExitReason.QUARANTINED, ts)
        except OF_THE_ENVIRONMENT:
            raise
        except Exception:
            logger.exception("%s: its simulated position stays open in the ledger", agent.name)

    def _close_orphans(self, ts: int) -> None:
        """Close what an agent holds that has no seat: it lost it while no arena was there, or failed.

        Until it is flat it counts as being there.
        """
        if self._wanted is None:
            return
        for row in self._ledger.agents(active=True):
            if row.role == PLACEBO:
                continue  # the roster knows none of them
            kept = row.agent in self._wanted and row.agent not in self.quarantined
            if kept or row.agent in self.agents:
                continue
            if self._ledger.live_position(row.agent, row.symbol) == 0:
                self._end(row.agent, row.role, ts)
            else:
                # Cerebellum closes it once, however often it is asked.
                self._flatten(row.agent, row.symbol, ExitReason.RETIRED, ts)

    def _flatten(self, agent: str, symbol: str, reason: ExitReason, ts: int) -> bool:
        """Have an agent's orders cancelled and its position closed; False if it has to be asked again."""
        request = self._link.request_id()
        command = Flatten(ts=ts, request_id=request, agent=agent, symbol=symbol, reason=reason)
        try:
            self._link.send(command)
        except LinkError as error:
            logger.error(
                "%s is to be closed (%s), tried again in a minute: %s", agent, reason, error
            )
            return False
        return True

    def _is_flat(self, agent: Agent) -> bool:
        """Whether nothing is held or on its way; of whoever failed by the ledger, not its own books."""
        if agent.execution.in_flight:
            return False
        if agent.quarantined:
            return self._ledger.live_position(agent.name, agent.strategy.symbol) == 0
        return agent.book.qty == 0

    def _dismiss(self, agent: Agent, ts: int) -> None:
        self._end(agent.name, agent.seat.role, ts)
        del self.agents[agent.name]
        logger.info("%s left", agent.name)
        # Its version may be wanted in another role: look at the roster once more.
        item = (self._wanted or {}).get(agent.name)
        if item is not None:
            self._seat(item, ts)

    def _end(self, name: str, role: str, ts: int) -> None:
        """Write down the end of an agent: of who is gone the ledger keeps what it traded as."""
        if role == "draining":
            self._ledger.set_role(name, "production")
        self._ledger.unseat(name, ts)
