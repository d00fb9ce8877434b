"""The operator's hand on Cerebellum: stop and close everything or a part of it, or let it go on."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from decimal import Decimal

from crucible.execution.cerebellum_link import Addresses, CerebellumLink, LinkError
from crucible.execution.messages import (
    CancelAll,
    Flatten,
    Order,
    Position,
    SetState,
    SnapshotReply,
)

ANSWER_S = 5.0
"""How long one command waits for its answer."""


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
    acknowledged, unacknowledged : tuple of str
        What was ordered and taken, and what was ordered without an answer or refused, one sentence each.
    """

    open_positions: int
    open_orders: int
    fills: int
    cancels: str
    acknowledged: tuple[str, ...] = ()
    unacknowledged: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        """Whether all that was ordered was taken, and nothing is held and nothing rests."""
        return self.flat and not self.unacknowledged

    @property
    def flat(self) -> bool:
        """Whether nothing is held and nothing rests."""
        return self.open_positions == 0 and self.open_orders == 0


@dataclass(frozen=True, slots=True)
class Moved:
    """What an order that moves a state came to.

    Attributes
    ----------
    before, after : str
        The state it was in, and is in.
    still_held : tuple of str
        Everything else that is held back afterwards, one sentence each.
    """

    before: str
    after: str
    still_held: tuple[str, ...]

    def sentence(self, agent: str | None, symbol: str | None) -> str:
        """Say what is so now of what the order was about."""
        again = " again" if self.after == "ACTIVE" else ""
        return f"{scope_name(agent, symbol)} is {self.after}{again}; it was {self.before}"


def halt_and_flatten(
    addresses: Addresses,
    reason: str,
    timeout_s: float = 10.0,
    agent: str | None = None,
    symbol: str | None = None,
) -> Halted:
    """Move everything to HALTED, cancel, flatten, and wait until it is so.

    Each of the three is sent, whatever became of the one before it: a lost answer must not leave positions open.

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
        If Cerebellum does not answer at all, takes none of it, or does not say what is open afterwards;
        the message names what was taken and what was not.
    """
    with CerebellumLink(addresses) as link:
        now = link.snapshot().ts
        taken: list[str] = []
        missed: list[str] = []
        cancels = ""
        for what, command in (
            ("the halt", _halting(link, now, reason, agent, symbol)),
            ("cancelling", _cancelling(link, now, agent, symbol)),
            ("closing", _closing(link, now, reason, agent, symbol)),
        ):
            try:
                text = link.require(command, ANSWER_S)
            except LinkError as error:
                missed.append(f"{what}: {error}")
                continue
            taken.append(what)
            if isinstance(command, CancelAll):
                cancels = text
        if not taken:
            message = f"not acknowledged: {'; '.join(missed)}"
            raise LinkError(message)
        try:
            left = _wait_until_flat(link, timeout_s, cancels, agent, symbol)
        except LinkError as error:
            parts = [f"acknowledged: {', '.join(taken)}"]
            parts += [f"not acknowledged: {'; '.join(missed)}"] if missed else []
            message = "; ".join([*parts, f"what is open now is not known: {error}"])
            raise LinkError(message) from error
        return replace(left, acknowledged=tuple(taken), unacknowledged=tuple(missed))


def halt(
    addresses: Addresses, reason: str, agent: str | None = None, symbol: str | None = None
) -> Moved:
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
        link.require(_halting(link, before.ts, reason, agent, symbol), ANSWER_S)
        after = link.snapshot()
    return _moved(before, after, agent, symbol)


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
        link.require(_closing(link, link.snapshot().ts, reason, agent, symbol), ANSWER_S)
        return _wait_until_flat(link, timeout_s, "", agent, symbol)


def _halting(
    link: CerebellumLink, ts: int, reason: str, agent: str | None, symbol: str | None
) -> SetState:
    return SetState(
        ts=ts,
        request_id=link.request_id(),
        agent=agent,
        symbol=symbol,
        state="HALTED",
        # Cerebellum keeps the name as the reason of the state: pages show it.
        operator=reason,
    )


def _cancelling(link: CerebellumLink, ts: int, agent: str | None, symbol: str | None) -> CancelAll:
    return CancelAll(ts=ts, request_id=link.request_id(), agent=agent, symbol=symbol)


def _closing(
    link: CerebellumLink, ts: int, reason: str, agent: str | None, symbol: str | None
) -> Flatten:
    return Flatten(ts=ts, request_id=link.request_id(), agent=agent, symbol=symbol, reason=reason)


def _wait_until_flat(
    link: CerebellumLink, timeout_s: float, cancels: str, agent: str | None, symbol: str | None
) -> Halted:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            seen = link.snapshot()
        except LinkError:
            if time.monotonic() > deadline:
                raise
            continue
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
) -> Moved:
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
    return _moved(before, after, agent, symbol)


def held_names(addresses: Addresses) -> frozenset[str]:
    """Name the agents and symbols that are held back by a state of their own.

    Raises
    ------
    LinkError
        If Cerebellum does not answer.
    """
    with CerebellumLink(addresses) as link:
        scopes = link.snapshot().states
    held = [scope for scope in scopes if scope.state != "ACTIVE"]
    return frozenset(
        name for scope in held for name in (scope.agent, scope.symbol) if name is not None
    )


def scope_name(agent: str | None, symbol: str | None) -> str:
    """Name what an order is about, in words.

    Examples
    --------
    >>> scope_name(None, None), scope_name("BTCUSDT-gp-1@1", "BTCUSDT")
    ('everything', 'BTCUSDT-gp-1@1 in BTCUSDT')
    """
    return " in ".join(filter(None, (agent, symbol))) or "everything"


def _moved(
    before: SnapshotReply, after: SnapshotReply, agent: str | None, symbol: str | None
) -> Moved:
    states: list[tuple[str | None, str | None, str]] = [(None, None, after.state)]
    states += [(scope.agent, scope.symbol, scope.state) for scope in after.states]
    held = tuple(
        f"{scope_name(one, where)} is {state}"
        for one, where, state in states
        if state != "ACTIVE" and (one, where) != (agent, symbol)
    )
    return Moved(_state_of(before, agent, symbol), _state_of(after, agent, symbol), held)


def _state_of(seen: SnapshotReply, agent: str | None, symbol: str | None) -> str:
    if agent is None and symbol is None:
        return seen.state
    for scope in seen.states:
        if (scope.agent, scope.symbol) == (agent, symbol):
            return scope.state
    return "ACTIVE"
