"""The only part of the page that changes anything: kill, halt, resume, and closing one position.

An order is a POST with a JSON body and this server's token in a header. The token is made at random at each start and
handed into the page alone; the gate lets in only this user's own pages. Everything else is checked by Cerebellum.
"""

from __future__ import annotations

import getpass
import json
import re
import secrets
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from crucible.execution.cerebellum_link import Addresses
from crucible.operations.control import (
    close_position,
    halt,
    halt_and_flatten,
    resume,
    scope_name,
)
from crucible.operations.control_link import reach
from crucible.operations.errors import OperationsError
from crucible.operations.workspace import Workspace

Action = Literal["kill", "halt", "resume", "close"]
HEADER = "x-crucible-token"
LARGEST_BODY = 2_000
WAIT_S = 8.0
OLDEST_S = 10.0
"""An order that was given longer ago is refused: who gave it may have changed their mind, or the market may have."""
_NAME = re.compile(r"[A-Za-z0-9@_.-]{1,80}", re.ASCII)


class SteeringError(OperationsError):
    """An order that is not taken; the message says what is wrong with it."""


class LateError(SteeringError):
    """An order that was given too long ago."""


class ForbiddenError(SteeringError):
    """An order without this server's token, or not in the form in which only its own page sends one."""


@dataclass(frozen=True, slots=True)
class Command:
    """What an operator orders.

    Attributes
    ----------
    action : {'kill', 'halt', 'resume', 'close'}
    agent, symbol : str or None
        Only this agent, this symbol, or this agent in this symbol; both None are everything.
    given_ms : int
        When it was given, by this server's clock.
    """

    action: Action
    agent: str | None
    symbol: str | None
    given_ms: int

    @property
    def scope(self) -> str:
        """What it is about, in words."""
        return scope_name(self.agent, self.symbol)


@dataclass(frozen=True, slots=True)
class Effect:
    """What an order came to.

    Attributes
    ----------
    done : bool
        Whether all of it has happened.
    text : str
        What there is now, in words.
    """

    done: bool
    text: str

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return {"done": self.done, "text": self.text}


class Steering:
    """Takes orders for one workspace.

    Parameters
    ----------
    workspace : Workspace
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.token = secrets.token_urlsafe(32)

    def admit(self, content_type: str, token: str | None) -> None:
        """Refuse whoever was not handed the token.

        Raises
        ------
        ForbiddenError
            If the token is missing or wrong, or the body is of a kind that a page elsewhere may send unasked.
        """
        if content_type.split(";", maxsplit=1)[0].strip().lower() != "application/json":
            message = "orders are JSON (Content-Type: application/json)"
            raise ForbiddenError(message)
        if token is None or not secrets.compare_digest(token.encode(), self.token.encode()):
            message = "this order carries no token of this server; load the page anew and try again"
            raise ForbiddenError(message)

    def carry_out(self, command: Command) -> Effect:
        """Carry out an order, and say what there is now.

        Raises
        ------
        LateError
            If it was given too long ago; nothing is sent then.
        LinkError
            If Cerebellum does not answer or refuses.
        """
        # Here, where it is sent: it may have waited in the browser, for its body, or for a thread.
        require_fresh(command, time.time())
        addresses, _ = reach(self._workspace)
        return carry_out(addresses, command, f"{_user()}, on the page")


def require_fresh(command: Command, now_s: float) -> None:
    """Refuse an order that was given too long ago, or by a clock that goes wrong.

    Raises
    ------
    LateError
        Saying how old it is, and that nothing was done.
    """
    age = now_s - command.given_ms / 1_000
    if abs(age) <= OLDEST_S:
        return
    when = f"{age:.0f} s ago" if age > 0 else f"{-age:.0f} s in the future by this page's clock"
    message = (
        f"refused, nothing was done: this order was given {when}, and at most {OLDEST_S:g} s are allowed; "
        "load the page anew, look at the state, and give it again if it still stands"
    )
    raise LateError(message)


def names_something(body: bytes) -> bool:
    """Whether an order is about an agent or a symbol, so that their names are needed to check it."""
    with suppress(SteeringError):
        value = _value(body)
        return value.get("agent") is not None or value.get("symbol") is not None
    return False


def read_command(body: bytes, agents: Collection[str], symbols: Collection[str]) -> Command:
    """Read an order.

    Parameters
    ----------
    body : bytes
    agents, symbols : collection of str
        Those that there are.

    Raises
    ------
    SteeringError
        If it is not JSON of that form, or names what does not exist.
    """
    value = _value(body)
    action = value.get("action")
    if action not in get_args(Action):
        message = f"the action is one of {', '.join(get_args(Action))}"
        raise SteeringError(message)
    agent = _known("agent", value.get("agent"), agents)
    symbol = _known("symbol", value.get("symbol"), symbols)
    if action == "close" and (agent is None or symbol is None):
        message = "closing a position needs its agent and its symbol"
        raise SteeringError(message)
    given = value.get("given_ms")
    # True and False are integers as well.
    if not isinstance(given, int) or isinstance(given, bool) or not 0 < given < 2**53:
        message = "an order says when it was given (given_ms)"
        raise SteeringError(message)
    return Command(cast("Action", action), agent, symbol, given)


def _value(body: bytes) -> dict[str, Any]:
    if len(body) > LARGEST_BODY:
        message = f"an order is at most {LARGEST_BODY} bytes"
        raise SteeringError(message)
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        message = f"an order is JSON: {error}"
        raise SteeringError(message) from error
    if not isinstance(value, dict) or not value.keys() <= {"action", "agent", "symbol", "given_ms"}:
        message = (
            "an order has an action and given_ms, and may have an agent and a symbol; nothing else"
        )
        raise SteeringError(message)
    return value


def _known(what: str, name: object, names: Collection[str]) -> str | None:
    if name is None:
        return None
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name not in names:
        message = f"there is no {what} of that name here"
        raise SteeringError(message)
    return name


def carry_out(addresses: Addresses, command: Command, by: str) -> Effect:
    """Carry out an order in somebody's name.

    Raises
    ------
    LinkError
        If Cerebellum does not answer or refuses.
    """
    agent, symbol, scope = command.agent, command.symbol, command.scope
    if command.action == "resume":
        moved = resume(addresses, by, agent, symbol)
        held = [f"{one} all the same" for one in moved.still_held]
        return Effect(
            done=moved.after == "ACTIVE" and not held,
            text="; ".join([moved.sentence(agent, symbol), *held]),
        )
    if command.action == "halt":
        moved = halt(addresses, f"halted by {by}", agent, symbol)
        return Effect(
            done=moved.after == "HALTED",
            text=f"{moved.sentence(agent, symbol)}; positions stay, protected",
        )
    if command.action == "kill":
        left = halt_and_flatten(addresses, f"killed by {by}", WAIT_S, agent, symbol)
        halted = "is HALTED" if "the halt" in left.acknowledged else "may not be HALTED"
        missed = [f"not acknowledged: {one}" for one in left.unacknowledged]
        what = "; ".join([f"{scope} {halted}", *missed])
    else:
        assert agent is not None
        assert symbol is not None
        left = close_position(addresses, f"closed by {by}", agent, symbol, WAIT_S)
        what = f"{scope} was ordered to be closed"
    rest = f"open positions {left.open_positions}, open orders {left.open_orders}"
    again = "" if left.flat else "; not everything is closed yet: look again, or order it once more"
    return Effect(done=left.done, text=f"{what}; {rest}{again}")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no name for this user id
        return "the operator"
