"""The operator's hand on Cerebellum: stop everything and close it, or let trading go on."""

from __future__ import annotations

import time
from dataclasses import dataclass

from crucible.execution.cerebellum_link import Addresses, CerebellumLink
from crucible.execution.messages import Ack, CancelAll, Flatten, SetState, SnapshotReply


@dataclass(frozen=True, slots=True)
class Halted:
    """What was left when the waiting ended.

    Attributes
    ----------
    open_positions, open_orders : int
    fills : int
        In Cerebellum's journal.
    cancels : str
        What Cerebellum said it cancels, orders that others placed included. Those are not waited for:
        a risk event tells when none is left.
    """

    open_positions: int
    open_orders: int
    fills: int
    cancels: str

    @property
    def flat(self) -> bool:
        """Whether nothing is held and nothing rests."""
        return self.open_positions == 0 and self.open_orders == 0


@dataclass(frozen=True, slots=True)
class Resumed:
    """What an operator let go on.

    Attributes
    ----------
    before : str
        The state it was in.
    still_held : tuple of str
        Everything that is held back all the same, one sentence each.
    """

    before: str
    still_held: tuple[str, ...]


def halt_and_flatten(addresses: Addresses, reason: str, timeout_s: float = 10.0) -> Halted:
    """Move everything to HALTED, cancel, flatten, and wait until it is so.

    Raises
    ------
    LinkError
        If Cerebellum does not answer or refuses.
    """
    with CerebellumLink(addresses) as link:
        now = link.snapshot().ts
        link.ask(
            SetState(
                ts=now,
                request_id=link.request_id(),
                agent=None,
                symbol=None,
                state="HALTED",
                # Cerebellum keeps the name as the reason of the state: pages show it.
                operator=reason,
            )
        )
        reported = link.ask(
            CancelAll(ts=now, request_id=link.request_id(), agent=None, symbol=None)
        )
        cancels = reported.text if isinstance(reported, Ack) else ""
        link.ask(
            Flatten(ts=now, request_id=link.request_id(), agent=None, symbol=None, reason=reason)
        )
        deadline = time.monotonic() + timeout_s
        while True:
            seen = link.snapshot()
            held = sum(1 for position in seen.positions if float(position.qty) != 0)
            halted = Halted(held, len(seen.orders), seen.totals.fills, cancels)
            if halted.flat or time.monotonic() > deadline:
                return halted
            time.sleep(0.1)


def halt(
    addresses: Addresses, reason: str, agent: str | None = None, symbol: str | None = None
) -> str:
    """Move a state to HALTED: nothing more is sent; positions stay, with their stops.

    Parameters
    ----------
    addresses : Addresses
    reason : str
        Shown as the reason of the state.
    agent, symbol : str, optional
        Only this agent, this symbol, or this agent in this symbol.

    Returns
    -------
    str
        The state it was in.

    Raises
    ------
    LinkError
        If Cerebellum does not answer or refuses.
    """
    with CerebellumLink(addresses) as link:
        before = link.snapshot()
        link.ask(
            SetState(
                ts=before.ts,
                request_id=link.request_id(),
                agent=agent,
                symbol=symbol,
                state="HALTED",
                operator=reason,
            )
        )
    return _state_of(before, agent, symbol)


def resume(
    addresses: Addresses, operator: str, agent: str | None = None, symbol: str | None = None
) -> Resumed:
    """Move a state up to ACTIVE in an operator's name.

    Parameters
    ----------
    addresses : Addresses
    operator : str
    agent, symbol : str, optional
        Only this agent, this symbol, or this agent in this symbol: what holds everything back, and
        what holds others back, stays as it is.

    Raises
    ------
    LinkError
        If Cerebellum does not answer or refuses.
    """
    with CerebellumLink(addresses) as link:
        before = link.snapshot()
        link.set_active(operator, before.ts, agent=agent, symbol=symbol)
        after = link.snapshot()
    held = [("everything", after.state)] if after.state != "ACTIVE" else []
    held += [
        (" in ".join(filter(None, (scope.agent, scope.symbol))), scope.state)
        for scope in after.states
        if scope.state != "ACTIVE"
    ]
    return Resumed(
        _state_of(before, agent, symbol), tuple(f"{name} is {state}" for name, state in held)
    )


def _state_of(seen: SnapshotReply, agent: str | None, symbol: str | None) -> str:
    if agent is None and symbol is None:
        return seen.state
    for scope in seen.states:
        if (scope.agent, scope.symbol) == (agent, symbol):
            return scope.state
    return "ACTIVE"
