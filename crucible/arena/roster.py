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


def refusal(strategy: Strategy, version: Version, requirements: Requirements) -> str | None:
    """Say why a version cannot be seated; None if it can."""
    if strategy.schema_hash != requirements.schema_hash:
        return (
            f"born with feature schema {strategy.schema_hash}, "
            f"the arena serves {requirements.schema_hash}"
        )
    if strategy.symbol not in requirements.symbols:
        return f"trades {strategy.symbol}, which is not tracked"
    if requirements.real_money and not version.proven:
        return "is not proven, and this venue is not paper"
    return None


def edge_of(tags: dict[str, str]) -> Edge | None:
    """Read the out-of-sample edge that the Forge tagged; None where it measured none."""
    try:
        return Edge(
            trades=int(tags["edge_trades"]),
            win_rate=float(tags["edge_win_rate"]),
            payoff=float(tags["edge_payoff"]),
        )
    except (KeyError, ValueError):
        return None


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
        self._loaded: dict[tuple[str, str], Strategy | str] = {}
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
            strategy = self._strategy(active.version)
            name = f"{active.version.slot}@{active.version.version}"
            if isinstance(strategy, str):
                self.refused[name] = strategy
                continue
            self.refused.pop(name, None)
            seat = Seat(
                slot=active.version.slot,
                version=active.version.version,
                role=active.alias,
                proven=active.version.proven,
                edge=edge_of(active.version.tags),
            )
            seated.append(Seated(seat, strategy))
        return seated

    def _strategy(self, version: Version) -> Strategy | str:
        """Load a version once; a refused one is tagged with the reason, so a person sees why."""
        key = (version.slot, version.version)
        if key not in self._loaded:
            try:
                strategy = load_strategy(self._registry.strategy(version))
                reason = refusal(strategy, version, self._requirements)
            except StrategyError as error:
                strategy, reason = None, str(error)
            if reason is not None:
                logger.warning("%s version %s refused: %s", version.slot, version.version, reason)
                self._registry.tag(version.slot, version.version, {"arena_refused": reason})
            self._loaded[key] = strategy if strategy is not None and reason is None else str(reason)
        return self._loaded[key]


RosterFactory = Callable[[Requirements], Roster]
