"""What the arena shows to the outside: a status file and the performance log, both plain JSON."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from crucible.arena.agent import Agent
from crucible.arena.market_input import BookRecorder
from crucible.errors import CrucibleError
from crucible.files import show_text
from crucible.ledger.performance_log import log_trade
from crucible.ledger.trades import Trade

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ArenaFiles:
    """Where the arena keeps its state."""

    ledger: Path
    performance_log: Path
    status: Path
    lake: Path


class SideFiles:
    """The files that only tell: where one cannot be written it is logged once, and trading goes on.

    Parameters
    ----------
    files : ArenaFiles
    """

    def __init__(self, files: ArenaFiles) -> None:
        self._files = files
        self._failing: dict[str, str] = {}

    def show(
        self,
        market_ts: int,
        agents: list[Agent],
        prices: dict[str, Decimal],
        capital: Decimal,
        extra: dict[str, Any],
        kept_out: Iterable[tuple[str, str, str, Decimal, int]] = (),
    ) -> None:
        """Write the status file."""
        reported = market_ts, agents, prices, capital, extra, kept_out
        self._try("status", partial(write_status, self._files.status, *reported))

    def log(self, trade: Trade) -> None:
        """Add a closed trade to the performance log."""
        self._try("log", partial(log_trade, self._files.performance_log, trade))

    def store_books(self, books: BookRecorder) -> None:
        """Write recorded book minutes; what cannot be written is kept for the next time."""
        self._try("books", books.store)

    def _try(self, what: str, work: Callable[[], None]) -> None:
        try:
            work()
        except (CrucibleError, OSError) as error:
            if self._failing.get(what) != str(error):
                self._failing[what] = str(error)
                logger.error("%s", error)
        else:
            if self._failing.pop(what, None):
                logger.warning("%s: written again", what)


def write_status(
    path: Path,
    market_ts: int,
    agents: list[Agent],
    prices: dict[str, Decimal],
    capital: Decimal,
    extra: dict[str, Any],
    kept_out: Iterable[tuple[str, str, str, Decimal, int]] = (),
) -> None:
    """Write the status file atomically: market time, every agent, and the engine's own figures.

    Who is kept out comes last: see `kept_out_row`.
    """
    rows = []
    for agent in agents:
        equity = agent.equity(capital, prices.get(agent.strategy.symbol))
        rows.append(
            {
                "agent": agent.name,
                "slot": agent.seat.slot,
                "version": agent.seat.version,
                "role": agent.seat.role,
                "symbol": agent.strategy.symbol,
                "kind": agent.strategy.kind,
                "proven": agent.seat.proven,
                "proven_by": agent.seat.proven_by,
                # Of the figures below: whether they are the arena's own, or the venue's.
                "simulated": agent.mode == "shadow",
                "position": str(agent.book.qty),
                "trades": len(agent.trades),
                "pnl": None if equity is None else str(equity - capital),
                "multipliers": agent.multipliers.to_json(),
                "last_signal": agent.last_signal,
                "last_event": agent.last_event,
            }
        )
    rows += [kept_out_row(*one) for one in kept_out]
    show_text(path, json.dumps({"market_ts": market_ts, "agents": rows, **extra}))


def kept_out_row(
    agent: str, role: str, reason: str, position: Decimal, trades: int
) -> dict[str, Any]:
    """Give a version that is wanted and does not trade as an agent of the status file.

    Parameters
    ----------
    agent : str
        ``SLOT@VERSION``.
    role : str
        ``refused`` or ``quarantined``.
    reason : str
        What it did.
    position : Decimal
        What it still holds at the venue.
    trades : int
        Closed ones, from before.
    """
    slot, _, version = agent.rpartition("@")
    symbol, kind, _ = slot.split("-")
    return {
        "agent": agent,
        "slot": slot,
        "version": version,
        "role": role,
        "symbol": symbol,
        "kind": kind,
        "proven": False,
        "proven_by": "",
        "simulated": False,
        "position": str(position),
        "trades": trades,
        "pnl": None,
        "multipliers": {},
        "last_signal": None,
        "last_event": f"{role}: {reason}",
    }


def timing(minutes: int, decide_ms: Collection[float]) -> dict[str, Any]:
    """Give how many minutes were traded, and how long a minute takes from candle to orders sent."""
    ordered = sorted(decide_ms)
    return {
        "minutes": minutes,
        "decide_ms_p50": ordered[len(ordered) // 2],
        "decide_ms_p99": ordered[int(len(ordered) * 0.99)],
    }
