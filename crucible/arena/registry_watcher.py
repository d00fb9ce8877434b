"""The roster: which versions the registry wants traded, checked and loaded, by a thread of its own.

The engine's loop never waits for MLflow. The thread asks every few seconds; when the registry does
not answer, the last roster stays in force.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from crucible.arena.execution import Seat
from crucible.errors import CrucibleError
from crucible.features.frame import FeatureSchema
from crucible.ledger.edge import Edge
from crucible.registry.admission import QUARANTINED, REFUSED, Rules, refusal
from crucible.registry.errors import RegistryError
from crucible.registry.models import Active, Version
from crucible.registry.proof import digest as strategy_digest
from crucible.registry.version import gap_of
from crucible.settings import Slot
from crucible.strategies.contract import Strategy
from crucible.strategies.document import shown
from crucible.strategies.load import load_strategy

logger = logging.getLogger(__name__)

LONGEST_REASON = 400


class RegistryReader(Protocol):
    """The part of the registry that the roster needs."""

    def active(
        self, slots: Iterable[Slot], unread: dict[tuple[str, str], str] | None = None
    ) -> list[Active]:
        """Every version to be traded, under its alias; into `unread` those that cannot be looked up."""

    def strategy(self, version: Version) -> dict[str, Any]:
        """Fetch a version's strategy file."""

    def tag(self, slot: str, version: str, tags: Mapping[str, str]) -> None:
        """Tag a version; an empty text takes the tag away."""


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a version must satisfy to be seated.

    Attributes
    ----------
    schema : FeatureSchema
        What is served.
    symbols : tuple of str
    rules : Rules
        Venue and policy.
    """

    schema: FeatureSchema
    symbols: tuple[str, ...]
    rules: Rules


@dataclass(frozen=True, slots=True)
class Seated:
    """A version that passed the load-time checks."""

    seat: Seat
    strategy: Strategy


def mismatch(strategy: Strategy, requirements: Requirements) -> str | None:
    """Say why the arena cannot serve a strategy; None if it can.

    Parameters
    ----------
    strategy
    requirements
    """
    served = requirements.schema
    if strategy.schema_hash != served.hash:
        return f"made with feature schema {strategy.schema_hash}, the arena serves {served.hash}"
    unknown = [name for name in strategy.features if name not in served]
    if unknown:
        return f"reads {reported(', '.join(unknown))}, which no feature of schema {served.hash} is"
    if strategy.symbol not in requirements.symbols:
        return f"trades {strategy.symbol}, which is not tracked"
    return None


def edge_of(version: Version, strategy: str | None = None) -> Edge | None:
    """Read the out-of-sample edge that the Forge measured; None where it measured none.

    The sealed one, where there is a proof of the forge run: a gate that failed does not unseal what was
    measured. Tags are believed of unproven versions only, which trade on paper alone.

    Parameters
    ----------
    version : Version
    strategy : str, optional
        Digest of its strategy file: the sealed edge of another file is not its own.
    """
    tags = version.tags
    if version.proof is not None and strategy in {None, version.proof.strategy}:
        reported = version.proof.edge
        return (
            None if reported is None else Edge(reported.trades, reported.win_rate, reported.payoff)
        )
    if version.lived is not None:
        return None
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


def reported(what: object) -> str:
    """Tell foreign text or an error in one line, within bounds and safe to show anywhere."""
    text = f"{type(what).__name__}: {what}" if isinstance(what, Exception) else what
    if isinstance(what, CrucibleError):
        text = what
    return shown(text, LONGEST_REASON)


class RegistryWatcher:
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
        self._seats: dict[Slot, list[Seated]] = {}
        self._to_publish: dict[tuple[str, str], dict[str, str]] = {}
        self._silent: dict[str, str] = {}
        self._latest: list[Seated] | None = None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="roster", daemon=True)
        self.refused: Mapping[str, str] = {}
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

    def quarantine(self, slot: str, version: str, reason: str) -> None:
        """Have a version tagged as one that failed while it traded; the thread does it when it can."""
        with self._lock:
            self._to_publish.setdefault((slot, version), {})[QUARANTINED] = reason

    def _watch(self) -> None:
        before: list[tuple[Seat, int]] | None = None
        while not self._stop.is_set():
            try:
                roster = self.refresh()
            except Exception as error:  # noqa: BLE001 - without this thread no cull is obeyed
                if self.reachable:
                    logger.warning("roster kept as it is: %s", reported(error))
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
        """Ask the registry once, and load and check what is new.

        What fails concerns the version that it fails for: one that cannot be looked up just now keeps
        the seat that it has, one that is bad is refused, and the others are seated.

        Raises
        ------
        RegistryError
            If nothing at all was answered.
        """
        self._publish_waiting()
        refused: dict[str, str] = {}
        seats: dict[Slot, list[Seated]] = {}
        failures: list[Exception] = []
        for slot in self._slots:
            try:
                seats[slot] = self._slot(slot, refused)
            except Exception as error:  # noqa: BLE001 - one slot's trouble is no other's
                failures.append(error)
                seats[slot] = self._seats.get(slot, [])
                self._report(slot.name, f"its seats stay as they are: {reported(error)}")
            else:
                self._silent.pop(slot.name, None)
        if failures and len(failures) == len(self._slots):
            raise failures[0]
        self._seats, self.refused = seats, refused
        return [item for slot in self._slots for item in seats[slot]]

    def _slot(self, slot: Slot, refused: dict[str, str]) -> list[Seated]:
        """Seats of one slot; who is refused, and why, is added."""
        unread: dict[tuple[str, str], str] = {}
        found = self._registry.active([slot], unread)
        seated: list[Seated] = []
        for active in found:
            version = active.version
            name = f"{version.slot}@{version.version}"
            try:
                answer = self._admit(active)
            except RegistryError as error:
                unread[version.slot, version.version] = str(error)
                continue
            except Exception as error:  # noqa: BLE001 - a bad version hurts nobody else
                answer = reported(error)
                self._report(name, answer)
            if isinstance(answer, str):
                refused[name] = answer
            else:
                seated.append(answer)
                self._silent.pop(name, None)
        for (owner, number), reason in unread.items():
            name = f"{owner}@{number}"
            refused[name] = f"cannot be looked up now: {reported(reason)}"
            self._report(name, refused[name])
            seated += [held for held in self._seats.get(slot, ()) if held.seat.agent == name]
        return seated

    def _admit(self, active: Active) -> Seated | str:
        """Give a version its seat, or say why it has none."""
        version = active.version
        known = (version.slot, version.version) in self._loaded
        loaded = self._strategy(version)
        if isinstance(loaded, str):
            # Whoever took the tag away sees it again: the version is refused as before.
            if known and version.tags.get(REFUSED) != loaded:
                self._to_be_published(version, REFUSED, loaded)
            return loaded
        strategy, digest = loaded
        # Tags change under a version that is seated: its proof and its quarantine are asked every time.
        if QUARANTINED in version.tags:
            return (
                f"quarantined: {reported(version.tags[QUARANTINED])}; "
                f"take the tag {QUARANTINED} away and promote it to let it trade again"
            )
        reason = refusal(version, self._requirements.rules, digest, asked_by_arena=True)
        if reason:
            if version.tags.get(REFUSED) != reason:
                self._report(f"{version.slot}@{version.version}", reason)
                self._to_be_published(version, REFUSED, reason)
            return reason
        if version.tags.get(REFUSED):  # by an arena with other features, or at another venue
            self._to_be_published(version, REFUSED, "")
        seat = Seat(
            slot=version.slot,
            version=version.version,
            role=active.alias,
            proven=bool(version.proven_with(digest)),
            edge=edge_of(version, digest),
            proven_by=version.proven_with(digest),
            strategy=digest,
            gap=gap_of(version),
        )
        return Seated(seat, strategy)

    def _strategy(self, version: Version) -> tuple[Strategy, str] | str:
        """Load a version once; a refused one is tagged with the reason, so a person sees why.

        Raises
        ------
        RegistryError
            If it cannot be fetched now.
        """
        key = (version.slot, version.version)
        if key not in self._loaded:
            try:
                document = self._registry.strategy(version)
                strategy = load_strategy(document)
                digest = strategy_digest(document)
                reason = mismatch(strategy, self._requirements)
            except RegistryError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a file does to its reader
                reason = reported(error)
            if reason is not None:
                logger.warning("%s version %s refused: %s", version.slot, version.version, reason)
                self._to_be_published(version, REFUSED, reason)
                self._loaded[key] = reason
                return reason
            self._loaded[key] = strategy, digest
            if version.tags.get("proven") == "true" and (doubt := version.doubt_of(digest)):
                # The tag is a word; whoever reads it in MLflow is told what it is worth.
                logger.warning("%s version %s: %s", version.slot, version.version, doubt)
                self._to_be_published(version, "not_proven", doubt)
        return self._loaded[key]

    def _to_be_published(self, version: Version, tag: str, text: str) -> None:
        with self._lock:
            self._to_publish.setdefault((version.slot, version.version), {})[tag] = text
        self._publish_waiting()

    def _publish_waiting(self) -> None:
        """Tag what is to be told, each once; what cannot be told now is told later."""
        with self._lock:
            waiting, self._to_publish = self._to_publish, {}
        for key, tags in waiting.items():
            try:
                self._registry.tag(*key, tags)
            except Exception as error:  # noqa: BLE001 - a tag that is late hurts nobody
                self._report("@".join(key), f"not tagged yet: {reported(error)}")
                with self._lock:
                    self._to_publish[key] = {**tags, **self._to_publish.get(key, {})}

    def _report(self, name: str, text: str) -> None:
        """Log what is new, not every few seconds the same again."""
        if self._silent.get(name) != text:
            self._silent[name] = text
            logger.warning("%s: %s", name, text)
