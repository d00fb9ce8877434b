"""The roster: which versions the registry wants traded, checked and loaded, by a thread of its own.

The engine's loop never waits for MLflow. The thread asks every few seconds; when the registry does
not answer, the last roster stays in force.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from crucible.arena.agent import Seat
from crucible.arena.sizing import Edge
from crucible.settings import Slot
from crucible.strategies.contract import Strategy, StrategyError
from crucible.strategies.load import load_strategy
from crucible.strategies.proof import digest as strategy_digest
from crucible.strategies.registry import Active, Version

logger = logging.getLogger(__name__)


class RegistryReader(Protocol):
    """The part of the registry that the roster needs."""

    def active(self, slots: Iterable[Slot]) -> list[Active]:
        """Every version to be traded, under its alias."""

    def strategy(self, version: Version) -> dict[str, Any]:
        """Fetch a version's strategy file."""

    def tag(self, slot: str, version: str, tags: Mapping[str, str]) -> None:
        """Tag a version."""


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a version must satisfy to be seated.

    Attributes
    ----------
    schema_hash : str
        The feature schema that is served.
    symbols : tuple of str
    real_money : bool
        On a real venue only proven versions are seated.
    """

    schema_hash: str
    symbols: tuple[str, ...]
    real_money: bool


@dataclass(frozen=True, slots=True)
class Seated:
    """A version that passed the load-time checks."""

    seat: Seat
    strategy: Strategy


def refusal(
    strategy: Strategy, version: Version, digest: str, requirements: Requirements
) -> str | None:
    """Say why a version cannot be seated; None if it can.

    Parameters
    ----------
    strategy, version
    digest : str
        Of the strategy file that was fetched.
    requirements
    """
    if strategy.schema_hash != requirements.schema_hash:
        return (
            f"born with feature schema {strategy.schema_hash}, "
            f"the arena serves {requirements.schema_hash}"
        )
    if strategy.symbol not in requirements.symbols:
        return f"trades {strategy.symbol}, which is not tracked"
    if requirements.real_money and (doubt := version.doubt_of(digest)):
        return f"is not proven ({doubt}), and this venue is not paper"
    return None


def edge_of(version: Version) -> Edge | None:
    """Read the out-of-sample edge that the Forge measured; None where it measured none.

    The sealed one, where there is a proof. Tags are believed on paper only: what is not proven does
    not trade elsewhere.
    """
    tags = version.tags
    if version.proof is not None:
        told = version.proof.edge
        return None if told is None else Edge(told.trades, told.win_rate, told.payoff)
    try:
        edge = Edge(
            trades=int(tags["edge_trades"]),
            win_rate=float(tags["edge_win_rate"]),
            payoff=float(tags["edge_payoff"]),
        )
    except (KeyError, ValueError):
        return None
    sound = edge.trades > 0 and 0 <= edge.win_rate <= 1 and 0 < edge.payoff < float("inf")
    return edge if sound else None


class Roster:
    """Watches the registry.

    Parameters
    ----------
    registry : RegistryReader
    slots : sequence of Slot
    requirements : Requirements
    poll_seconds : float
    """

    def __init__(
        self,
        registry: RegistryReader,
        slots: Iterable[Slot],
        requirements: Requirements,
        poll_seconds: float,
    ) -> None:
        self._registry = registry
        self._slots = tuple(slots)
        self._requirements = requirements
        self._poll_seconds = poll_seconds
        self._loaded: dict[tuple[str, str], tuple[Strategy, str] | str] = {}
        self._latest: list[Seated] | None = None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="roster", daemon=True)
        self.refused: dict[str, str] = {}
        self.reachable = False

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; the last roster stays readable."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def latest(self) -> list[Seated] | None:
        """Give the newest roster once; None while it has not changed since the last call."""
        with self._lock:
            latest, self._latest = self._latest, None
            return latest

    def _watch(self) -> None:
        before: list[tuple[Seat, int]] | None = None
        while not self._stop.is_set():
            try:
                roster = self.refresh()
            except Exception as error:  # noqa: BLE001 - without this thread no cull is obeyed
                if self.reachable:
                    logger.warning("roster kept as it is: %s: %s", type(error).__name__, error)
                self.reachable = False
            else:
                self.reachable = True
                now = [(item.seat, id(item.strategy)) for item in roster]
                if now != before:
                    before = now
                    with self._lock:
                        self._latest = roster
            self._stop.wait(self._poll_seconds)

    def refresh(self) -> list[Seated]:
        """Ask the registry once, and load and check what is new."""
        seated: list[Seated] = []
        for active in self._registry.active(self._slots):
            loaded = self._strategy(active.version)
            name = f"{active.version.slot}@{active.version.version}"
            if isinstance(loaded, str):
                self.refused[name] = loaded
                continue
            strategy, digest = loaded
            # Tags change under a version that is seated; what its proof says is asked every time.
            reason = refusal(strategy, active.version, digest, self._requirements)
            if reason is not None:
                self.refused[name] = reason
                continue
            self.refused.pop(name, None)
            seat = Seat(
                slot=active.version.slot,
                version=active.version.version,
                role=active.alias,
                proven=not active.version.doubt_of(digest),
                edge=edge_of(active.version),
            )
            seated.append(Seated(seat, strategy))
        return seated

    def _strategy(self, version: Version) -> tuple[Strategy, str] | str:
        """Load a version once; a refused one is tagged with the reason, so a person sees why."""
        key = (version.slot, version.version)
        if key not in self._loaded:
            try:
                document = self._registry.strategy(version)
                strategy = load_strategy(document)
            except StrategyError as error:
                self._loaded[key] = self._refuse(version, str(error))
                return self._loaded[key]
            digest = strategy_digest(document)
            reason = refusal(strategy, version, digest, self._requirements)
            self._loaded[key] = self._refuse(version, reason) if reason else (strategy, digest)
            if version.tags.get("proven") == "true" and (doubt := version.doubt_of(digest)):
                # The tag is a word; whoever reads it in MLflow is told what it is worth.
                logger.warning("%s version %s: %s", version.slot, version.version, doubt)
                self._registry.tag(version.slot, version.version, {"not_proven": doubt})
        return self._loaded[key]

    def _refuse(self, version: Version, reason: str) -> str:
        logger.warning("%s version %s refused: %s", version.slot, version.version, reason)
        self._registry.tag(version.slot, version.version, {"arena_refused": reason})
        return reason


RosterFactory = Callable[[Requirements], Roster]
