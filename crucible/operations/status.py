"""What runs right now, for people and for programs: light enough to answer in a moment.

It believes files only where the processes they name are alive.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from crucible import sqlite
from crucible.ledger.reader import LedgerError, LedgerReader
from crucible.ledger.systemic import DAY_MS, WHAT_NEXT
from crucible.operations.supervision.ownership import living_services, living_supervisor
from crucible.operations.supervision.probe import answers
from crucible.operations.supervision.process import Identity, memory_mb
from crucible.operations.supervision.services import NAMES
from crucible.operations.trading_state import Trading, journal_trouble, read_trading
from crucible.operations.workspace import Run, Workspace, read_json

State = Literal["up", "starting", "down"]
WAIT_S = 1.0
"""How long a look waits for a program that writes the ledger."""
# Where a service answers 200, below its address.
_HEALTH = {
    "prefect": "/api/health",
    "mlflow": "/health",
    "paper_venue": "/v5/market/time",
    "dashboard": "/health",
}


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One service.

    Attributes
    ----------
    name : str
    state : {'up', 'starting', 'down'}
    address : str
        Empty where there is none.
    memory_mb : float
        Resident, with its children, MiB.
    event : str
        What happened to it last.
    """

    name: str
    state: State
    address: str
    memory_mb: float
    event: str

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return {
            "name": self.name,
            "state": self.state,
            "address": self.address,
            "memory_mb": self.memory_mb,
            "event": self.event,
        }


@dataclass(frozen=True, slots=True)
class Status:
    """The whole system.

    Attributes
    ----------
    run : str or None
        The newest run; None when nothing has run here yet.
    running : bool
        Whether a supervisor lives.
    trading : Trading
        What may be sent now, and the command that lets it go on.
    market_ts : int or None
        Market time of the newest candle that the arena decided upon, milliseconds.
    services : list of ServiceStatus
    agents : list of dict
        As the arena writes them.
    placebos : dict or None
        What placebos say of the Watchtower's error rates, as it writes it; None before the first judgement.
    systemic : dict or None
        The systemic fault of the last market day: ``alarm``, ``sentence``, ``next`` and its figures; None where there is
        none. Where that is not known ``alarm`` is None, and ``sentence`` says why.
    """

    run: str | None
    running: bool
    trading: Trading
    market_ts: int | None
    services: list[ServiceStatus]
    agents: list[dict[str, Any]]
    placebos: dict[str, Any] | None = None
    systemic: dict[str, Any] | None = None

    @property
    def memory_mb(self) -> float:
        """Memory of all services together, MiB."""
        return round(sum(service.memory_mb for service in self.services), 1)

    @property
    def down(self) -> list[str]:
        """Names of the services that are down."""
        return [service.name for service in self.services if service.state == "down"]

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return {
            "run": self.run,
            "running": self.running,
            "trading": self.trading.to_json(),
            "market_ts": self.market_ts,
            "services": [service.to_json() for service in self.services],
            "memory_mb": self.memory_mb,
            "agents": self.agents,
            "placebos": self.placebos,
            "systemic": self.systemic,
        }


def read_status(workspace: Workspace, *, ask: bool = True) -> Status:
    """Look at a workspace's processes and files.

    Parameters
    ----------
    workspace : Workspace
    ask : bool
        Also ask every address whether it answers; all at once, one second at most.

    Raises
    ------
    WorkspaceError
        If a file of the workspace is not JSON.
    """
    document = read_json(workspace.services_file) or {}
    known: dict[str, dict[str, Any]] = document.get("services", {})
    identities = living_services(document)
    silent = _silent(known, identities) if ask else set()
    services = [
        ServiceStatus(
            name=name,
            state=_state(known.get(name, {}), alive=name in identities, silent=name in silent),
            address=str(known.get(name, {}).get("address", "")) if name in identities else "",
            memory_mb=_memory(name, identities),
            event=str(known.get(name, {}).get("event", "never started")),
        )
        for name in NAMES
        if name in known or name in _expected(document)
    ]
    run = workspace.current()
    metrics = str(known.get("cerebellum", {}).get("address") or "")
    trouble = journal_trouble(metrics) if "cerebellum" in identities else None
    arena = (read_json(run.arena) if run else None) or {}
    return Status(
        run=run.run_id if run else None,
        running=living_supervisor(document) is not None,
        trading=read_trading(
            run.journal if run else None,
            cerebellum="cerebellum" in identities,
            arena="arena" in identities,
            trouble=trouble,
        ),
        market_ts=arena.get("market_ts"),
        services=services,
        agents=list(arena.get("agents", [])),
        placebos=read_json(run.placebos) if run else None,
        systemic=_systemic(run) if run else None,
    )


def _systemic(run: Run) -> dict[str, Any] | None:
    """Read the systemic fault that is still the present by the ledger's own market time."""
    if not run.ledger.exists():
        return None
    try:
        with LedgerReader(run.ledger, wait_s=WAIT_S) as ledger:
            now = ledger.market_ts()
            found = [] if now is None else ledger.systemic_faults(now - DAY_MS, now)
    except (LedgerError, sqlite.Error) as error:
        text = f"whether many agents were culled at once is not known: {error}"
        return {"alarm": None, "sentence": text, "next": "crucible doctor"}
    if not found:
        return None
    return {"alarm": True, **found[-1].to_json(), "next": WHAT_NEXT}


def market_time(ts: int | None) -> str:
    """Write a market instant for people.

    Examples
    --------
    >>> market_time(1_735_689_600_000)
    '2025-01-01 00:00 UTC'
    """
    if ts is None:
        return "no market time yet"
    return datetime.fromtimestamp(ts / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _expected(document: dict[str, Any]) -> tuple[str, ...]:
    return () if document.get("services") else NAMES


def _state(entry: dict[str, Any], *, alive: bool, silent: bool) -> State:
    if not alive:
        return "down"
    if entry.get("state") == "starting" or silent:
        return "starting"
    return "up"


def _silent(known: dict[str, dict[str, Any]], identities: dict[str, Identity]) -> set[str]:
    """Name the services that live and have an address that does not answer."""
    asked = {
        name: str(known[name].get("address") or "") + _HEALTH[name]
        for name in identities
        if name in _HEALTH and known[name].get("address") and known[name].get("state") == "up"
    }
    if not asked:
        return set()
    with ThreadPoolExecutor(len(asked)) as pool:
        answered = list(pool.map(answers, asked.values()))
    return {name for name, fine in zip(asked, answered, strict=True) if not fine}


def _memory(name: str, identities: dict[str, Identity]) -> float:
    apart = [identities["arena"]] if name == "worker" and "arena" in identities else []
    with suppress(OSError):
        return memory_mb(identities.get(name), apart)
    return 0.0
