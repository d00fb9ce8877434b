"""The operator's hand on Cerebellum: stop and close everything or a part of it, or let it go on."""

from __future__ import annotations

import time
from dataclasses import dataclass
from decimal import Decimal

from crucible.execution.cerebellum_link import Addresses, CerebellumLink, LinkError
from crucible.execution.messages import (
    Ack,
    CancelAll,
    Flatten,
    Order,
    Position,
    SetState,
    SnapshotReply,
)


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


@dataclass(frozen=True, slots=True)
class Held:
    """What an operator holds back from now on.

    Attributes
    ----------
    before, after : str
        The state it was in, and is in.
    """

    before: str
    after: str


def halt_and_flatten(
    addresses: Addresses,
    reason: str,
    timeout_s: float = 10.0,
    agent: str | None = None,
    symbol: str | None = None,
) -> Halted:
    """Move everything to HALTED, cancel, flatten, and wait until it is so.

    Parameters
    ----------
    addresses : Addresses
    reason : str
        Cerebellum keeps it as the reason of the state.
    timeout_s : float
        How long to wait until it is flat.
    agent, symbol : str, optional
        Only this agent, this symbol, or this agent in this symbol; all others trade on.

    Raises
    ------
    LinkError
        If Cerebellum does not answer or refuses.
    """
    with CerebellumLink(addresses) as link:
        now = link.snapshot().ts
        _set_halted(link, now, reason, agent, symbol)
        reported = link.ask(
            CancelAll(ts=now, request_id=link.request_id(), agent=agent, symbol=symbol)
        )
        cancels = reported.text if isinstance(reported, Ack) else ""
        _flatten(link, now, reason, agent, symbol)
        return _wait_until_flat(link, timeout_s, cancels, agent, symbol)


def halt(
    addresses: Addresses, reason: str, agent: str | None = None, symbol: str | None = None
) -> Held:
    """Move a state to HALTED: no order of an agent leaves, positions and their protection stay.

    Parameters
    ----------
    addresses : Addresses
    reason : str
        Cerebellum keeps it as the reason of the state.
    agent, symbol : str, optional
        Only this agent, this symbol, or this agent in this symbol.

    Raises
    ------
    LinkError
        If Cerebellum does not answer or refuses.
    """
    with CerebellumLink(addresses) as link:
        before = link.snapshot()
        _set_halted(link, before.ts, reason, agent, symbol)
        after = link.snapshot()
    return Held(_state_of(before, agent, symbol), _state_of(after, agent, symbol))


def close_position(
    addresses: Addresses, reason: str, agent: str, symbol: str, timeout_s: float = 10.0
) -> Halted:
    """Close an agent's position in a symbol, and wait until it is; its state stays as it is.

    Raises
    ------
    LinkError
        If Cerebellum does not answer or refuses.
    """
    with CerebellumLink(addresses) as link:
        _flatten(link, link.snapshot().ts, reason, agent, symbol)
        return _wait_until_flat(link, timeout_s, "", agent, symbol)


def _set_halted(
    link: CerebellumLink, ts: int, reason: str, agent: str | None, symbol: str | None
) -> None:
    link.ask(
        SetState(
            ts=ts,
            request_id=link.request_id(),
            agent=agent,
            symbol=symbol,
            state="HALTED",
            # Cerebellum keeps the name as the reason of the state: pages show it.
            operator=reason,
        )
    )


def _flatten(
    link: CerebellumLink, ts: int, reason: str, agent: str | None, symbol: str | None
) -> None:
    reported = link.ask(
        Flatten(ts=ts, request_id=link.request_id(), agent=agent, symbol=symbol, reason=reason)
    )
    if isinstance(reported, Ack) and reported.status == "rejected":
        message = f"Cerebellum refused to close: {reported.code}: {reported.text}"
        raise LinkError(message)


def _wait_until_flat(
    link: CerebellumLink, timeout_s: float, cancels: str, agent: str | None, symbol: str | None
) -> Halted:
    deadline = time.monotonic() + timeout_s
    while True:
        seen = link.snapshot()
        held = [each for each in seen.positions if _covers(agent, symbol, each)]
        resting = [each for each in seen.orders if _covers(agent, symbol, each)]
        open_positions = sum(1 for each in held if Decimal(each.qty) != 0)
        halted = Halted(open_positions, len(resting), seen.totals.fills, cancels)
        if halted.flat or time.monotonic() > deadline:
            return halted
        time.sleep(0.1)


def _covers(agent: str | None, symbol: str | None, one: Position | Order) -> bool:
    return agent in {None, one.agent} and symbol in {None, one.symbol}


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
