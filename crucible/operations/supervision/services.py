"""What each service is: its command, its environment, and how it says that it is ready.

Everything listens on the loopback interface only.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from crucible.operations.errors import ServiceError
from crucible.operations.market_configuration import MarketConfiguration
from crucible.operations.supervision.ports import HOST
from crucible.operations.workspace import Run, Workspace
from crucible.setting_names import SECRET_SETTINGS, variable_of
from crucible.settings import Settings
from crucible.sqlite import LINKED, sqlalchemy_url
from crucible.whereabouts import SOURCE

# In the order in which a person thinks of them; the arena is a flow run inside the worker.
NAMES = (
    "prefect",
    "worker",
    "selection",
    "mlflow",
    "paper_venue",
    "cerebellum",
    "arena",
    "dashboard",
)
POOL = "crucible"
FORGE_QUEUE = "forge"
TESTNET_URL = "https://api-testnet.bybit.com"
REPOSITORY = SOURCE


BEHIND = 5
"""The nice value of everything that carries no order: where cores are few, what executes goes first."""


EXCHANGE_KEYS = ("BYBIT_",)
PREFECT_CLIENT = ("PREFECT_API_AUTH_",)
PREFECT_SERVER = ("PREFECT_SERVER_API_AUTH_", *PREFECT_CLIENT)
SECRETS = EXCHANGE_KEYS + PREFECT_SERVER
"""How the names of secret variables begin; only a service that needs one is given it (`without_secrets`)."""


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """One service.

    Attributes
    ----------
    name : str
    command : tuple of str
    ready_url : str or None
        Answers 200 when the service is ready; None: it prints a ready line, or its starter knows how
        to tell.
    prints_ready : bool
        It prints one JSON line ``{"event": "ready", ...}`` on stdout.
    page : str
        Address for people, empty until the ready line tells it.
    essential : bool
        Its end is the end of the run: its state cannot be had again.
    grace_s : float
        Seconds that it may take to end in order.
    nice : int
        Its priority and that of what it starts; 0 is the usual one, more is less.
    secrets : tuple of str
        How the names of the secret variables begin that it is given, of `SECRETS`.
    """

    name: str
    command: tuple[str, ...]
    ready_url: str | None = None
    prints_ready: bool = False
    page: str = ""
    essential: bool = False
    grace_s: float = 10.0
    nice: int = 0
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports claimed for this run."""

    prefect: int
    mlflow: int
    dashboard: int
    paper_venue: int

    @property
    def prefect_url(self) -> str:
        """Prefect's page."""
        return f"http://{HOST}:{self.prefect}"

    @property
    def prefect_api(self) -> str:
        """Prefect's REST address."""
        return f"{self.prefect_url}/api"

    @property
    def mlflow_url(self) -> str:
        """MLflow's page and REST address."""
        return f"http://{HOST}:{self.mlflow}"

    @property
    def dashboard_url(self) -> str:
        """Crucible's own page."""
        return f"http://{HOST}:{self.dashboard}"


def environment(
    settings: Settings,
    workspace: Workspace,
    run: Run,
    ports: Ports,
    configuration: MarketConfiguration,
    base: Mapping[str, str],
) -> dict[str, str]:
    """Give all that services and flows are told by the environment, of which each gets no secret that it does not need.

    Parameters
    ----------
    settings, workspace, run, ports, configuration
        What was decided at the start; the flows must see the same.
    base : mapping
        The environment to build upon, usually the caller's own.
    """
    # Addresses of alerts are secret: the supervisor alone sends, so nobody else gets them.
    secret = tuple(map(variable_of, SECRET_SETTINGS))
    foreign: tuple[str, ...] = ("PREFECT_", "MLFLOW_", "CRUCIBLE_EXCHANGE_URL", *secret)
    if settings.execution.venue == "paper":
        # Cerebellum prefers keys of the environment; a paper run must not see real ones.
        foreign += ("BYBIT_",)
    inherited = {name: value for name, value in base.items() if not name.startswith(foreign)}
    password = workspace.password()
    exchange = exchange_url(settings, ports)
    return {
        **inherited,
        **({} if exchange is None else {"CRUCIBLE_EXCHANGE_URL": exchange}),
        "CRUCIBLE_CODE": str(REPOSITORY),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), base.get("PATH", "")]),
        # Before everything else: whatever opens SQLite there links the one that is locked.
        "PYTHONPATH": os.pathsep.join(filter(None, [str(LINKED), base.get("PYTHONPATH", "")])),
        "PYTHONUNBUFFERED": "1",
        "CRUCIBLE_HOME": str(workspace.path),
        "CRUCIBLE_RUN": run.run_id,
        "CRUCIBLE_MARKET__SYMBOLS": json.dumps(configuration.symbols),
        "CRUCIBLE_MARKET__SEED": str(configuration.seed),
        "CRUCIBLE_MARKET__SPEED": str(settings.market.speed),
        "CRUCIBLE_EXECUTION__VENUE": settings.execution.venue,
        "CRUCIBLE_PORTS__PREFECT": str(ports.prefect),
        "CRUCIBLE_PORTS__MLFLOW": str(ports.mlflow),
        "CRUCIBLE_PORTS__DASHBOARD": str(ports.dashboard),
        "PREFECT_API_URL": ports.prefect_api,
        "PREFECT_HOME": str(workspace.prefect),
        "PREFECT_API_DATABASE_CONNECTION_URL": sqlalchemy_url(
            workspace.prefect / "prefect.db", "sqlite+aiosqlite"
        ),
        # Who may create a flow run may run any command. By the environment, never by a command
        # line: those are read by everybody.
        "PREFECT_SERVER_API_AUTH_STRING": password,
        "PREFECT_API_AUTH_STRING": password,
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(origins(ports.prefect)),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # Without leases on disk a restart of the server cancels runs that hold a slot.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
            "prefect.server.concurrency.lease_storage.filesystem"
        ),
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_WORKER_QUERY_SECONDS": "3",
        # Without it a run that is cancelled before its process has begun stays Cancelling for ever.
        "PREFECT_WORKER_ENABLE_CANCELLATION": "true",
        "PREFECT_WORKER_CANCELLATION_POLL_SECONDS": "5",
        # An ingestion that waits for the one before it looks again soon, not after half a minute.
        "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "5",
        "MLFLOW_TRACKING_URI": ports.mlflow_url,
        # One process instead of fifteen.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(hosts(ports.mlflow)),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(origins(ports.mlflow)),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_PYTHON_REFRESH": "quiet",
        # Many small processes on few cores: one thread each keeps memory and switching small.
        "OMP_NUM_THREADS": base.get("OMP_NUM_THREADS", "1"),
        "OPENBLAS_NUM_THREADS": base.get("OPENBLAS_NUM_THREADS", "1"),
        "MALLOC_ARENA_MAX": base.get("MALLOC_ARENA_MAX", "2"),
    }


def without_secrets(known: Mapping[str, str], needed: tuple[str, ...]) -> dict[str, str]:
    """Give an environment without the secrets that a process does not need.

    Parameters
    ----------
    known : mapping
    needed : tuple of str
        As `ServiceSpec.secrets`.

    Examples
    --------
    >>> without_secrets({"BYBIT_API_KEY": "k", "PATH": "/bin"}, PREFECT_CLIENT)
    {'PATH': '/bin'}
    """
    return {
        name: value
        for name, value in known.items()
        if name.startswith(needed) or not name.startswith(SECRETS)
    }


def hosts(port: int) -> tuple[str, str]:
    """Give the names under which a page of ours is asked for."""
    return f"{HOST}:{port}", f"localhost:{port}"


def origins(port: int) -> tuple[str, ...]:
    """Give the origins of a page of ours."""
    return tuple(f"http://{host}" for host in hosts(port))


def exchange_url(settings: Settings, ports: Ports) -> str | None:
    """Give the address of the venue's public data; None is the exchange's own."""
    if settings.execution.venue == "paper":
        return f"http://{HOST}:{ports.paper_venue}"
    return TESTNET_URL if settings.execution.venue == "testnet" else None


def prefect(ports: Ports) -> ServiceSpec:
    """Give the Prefect server: flow runs, schedules, events and its page."""
    return ServiceSpec(
        "prefect",
        (_script("prefect"), "server", "start", "--host", HOST, "--port", str(ports.prefect)),
        ready_url=f"{ports.prefect_api}/health",
        page=ports.prefect_url,
        nice=BEHIND,
        secrets=PREFECT_SERVER,
    )


def worker_name(run: Run) -> str:
    """Give the name under which a run's worker reports."""
    return f"worker-{run.run_id}"


def worker(run: Run) -> ServiceSpec:
    """Give the process worker: it starts every flow run as a process of its own."""
    return ServiceSpec(
        "worker",
        (
            *(_script("prefect"), "worker", "start", "--pool", POOL, "--type", "process"),
            *("--name", worker_name(run)),
        ),
        grace_s=8.0,
        nice=BEHIND,
        secrets=PREFECT_CLIENT,
    )


def selection() -> ServiceSpec:
    """Give the process that judges the agents and fills the slots, each turn a flow run of its own."""
    command = (sys.executable, "-m", "flows.selection")
    return ServiceSpec(
        "selection",
        command,
        prints_ready=True,
        grace_s=8.0,
        nice=BEHIND,
        secrets=PREFECT_CLIENT,
    )


def mlflow(workspace: Workspace, ports: Ports) -> ServiceSpec:
    """Give the MLflow server: runs, model versions, aliases and its page."""
    store = sqlalchemy_url(workspace.mlflow / "mlflow.db")
    return ServiceSpec(
        "mlflow",
        (
            *(sys.executable, "-m", "crucible.registry.server"),
            *("--host", HOST, "--port", str(ports.mlflow), "--backend-store-uri", store),
            *("--artifacts-destination", (workspace.mlflow / "artifacts").as_uri()),
        ),
        ready_url=f"{ports.mlflow_url}/health",
        page=ports.mlflow_url,
        nice=BEHIND,
    )


def paper_venue(
    settings: Settings, workspace: Workspace, ports: Ports, configuration: MarketConfiguration
) -> ServiceSpec:
    """Give the paper exchange with its market."""
    command: tuple[str, ...] = (str(binary("paper_venue")),)
    command += ("--rest", f"{HOST}:{ports.paper_venue}", "--market", configuration.market)
    command += ("--seed", str(configuration.seed), "--speed", _number(settings.market.speed))
    command += (
        "--keys",
        str(workspace.ensure_keys()),
        "--symbols",
        ",".join(configuration.symbols),
    )
    command += ("--origin", str(configuration.origin_ms), "--start", str(configuration.start_ms))
    if configuration.market == "simulated":
        command += ("--rules", configuration.rules)
    if configuration.candles is not None:
        # Only a replay needs numpy; who asks for the status does not.
        from crucible.operations.recorded_candles import for_venue

        candles, funding = for_venue(
            Path(configuration.candles),
            configuration.symbols,
            Path(configuration.funding) if configuration.funding is not None else None,
            workspace.path / "cache" / "recordings",
        )
        command += ("--candles", str(candles))
        command += ("--funding", str(funding)) if funding is not None else ()
    return ServiceSpec("paper_venue", command, prints_ready=True, essential=True, grace_s=5.0)


def cerebellum(
    settings: Settings,
    workspace: Workspace,
    run: Run,
    configuration: MarketConfiguration,
    venue: Mapping[str, str] | None,
) -> ServiceSpec:
    """Give the executor, the only hand that touches the venue.

    Parameters
    ----------
    settings, workspace, run, configuration
    venue : mapping or None
        The paper venue's ready line; None for a venue outside.

    Raises
    ------
    ServiceError
        If a venue outside has no keys file.
    """
    execution = settings.execution
    keys = workspace.keys_file if execution.venue == "paper" else execution.keys_file
    if keys is None:
        message = (
            f"execution.venue is {execution.venue} but execution.keys_file is not set; "
            "set CRUCIBLE_EXECUTION__KEYS_FILE to your keys (JSON, mode 0600)"
        )
        raise ServiceError(message)
    command: tuple[str, ...] = (str(binary("cerebellum")), "--venue", execution.venue)
    if venue is not None:
        command += ("--rest", venue["rest"], "--ws", venue["ws"])
    command += ("--keys", str(keys), "--journal", str(run.journal))
    command += ("--symbols", ",".join(configuration.symbols))
    command += ("--run-folder", str(workspace.socket_folder), "--metrics", f"{HOST}:0")
    command += ("--deadman-ms", str(execution.deadman_ms))
    if execution.flatten_on_deadman:
        command += ("--flatten-on-deadman",)
    if execution.limits_file is not None:
        command += ("--limits", str(execution.limits_file))
    elif execution.venue != "paper":
        message = (
            f"execution.venue is {execution.venue} but execution.limits_file is not set; write one "
            "(docs/reference/limits.md) and name it in CRUCIBLE_EXECUTION__LIMITS_FILE"
        )
        raise ServiceError(message)
    return ServiceSpec("cerebellum", command, prints_ready=True, grace_s=7.0, secrets=EXCHANGE_KEYS)


def dashboard(ports: Ports) -> ServiceSpec:
    """Give Crucible's own page."""
    return ServiceSpec(
        "dashboard",
        (sys.executable, "-m", "crucible.dashboard", "--port", str(ports.dashboard)),
        ready_url=f"{ports.dashboard_url}/health",
        page=ports.dashboard_url,
        grace_s=5.0,
        nice=BEHIND,
    )


def deploy_command() -> tuple[str, ...]:
    """Give the command that deploys every flow of ``prefect.yaml``; run it at the repository's root."""
    return (_script("prefect"), "--no-prompt", "deploy", "--all")


def binary(name: str) -> Path:
    """Find a Rust binary that `make` built; ``CARGO_TARGET_DIR`` is respected.

    Raises
    ------
    ServiceError
        If it is not built.
    """
    override = os.environ.get("CARGO_TARGET_DIR")
    target = REPOSITORY / (override or "cerebellum_core/target")
    path = target / "release" / name
    if not path.is_file():
        message = f"{path} is not built; run `make setup` (cargo build --release)"
        raise ServiceError(message)
    return path


def _script(name: str) -> str:
    """Give a program of this very environment, not one that the path happens to hold."""
    return str(Path(sys.executable).with_name(name))


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else str(value)
