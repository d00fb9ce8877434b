"""Checks of a workspace: ports, disk, permissions, secrets, files of state, what a killed run left behind."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from crucible.errors import CrucibleError
from crucible.locks import HeldError, held
from crucible.operations.errors import PortError
from crucible.operations.installation.check import Check
from crucible.operations.reconciliation.own_accounts import journal_book, ledger_book
from crucible.operations.supervision.disk_space import LOW_BYTES, LOW_SHARE, MEGABYTE
from crucible.operations.supervision.ownership import living_services, supervisor_of
from crucible.operations.supervision.ports import claim
from crucible.operations.supervision.process import marked
from crucible.operations.workspace import Workspace, read_json
from crucible.settings import Settings

PRIVATE_FOLDERS = ("prefect", "mlflow", "logs", "runs")
STATE_FILES = ("services.json", "world.json", "keys.json")
EARLIEST_YEAR = 2025
CLOCK_SLACK_S = 60.0
VENUE_SLACK_MS = 5_000
"""A signed request that is further off is refused by the exchange."""


def ports(workspace: Workspace, settings: Settings | None) -> Iterator[Check]:
    """Whether each port that the settings name is free, or held by this workspace's own service."""
    if settings is None:
        yield Check("ports", "warn", "not looked at, since the settings cannot be read")
        return
    own = _alive_services(workspace)
    for service, port in settings.ports.model_dump().items():
        name = f"port {service}"
        if port == 0:
            yield Check(name, "ok", "any free one")
        elif service in own:
            yield Check(name, "ok", f"{port}, this workspace's {service} listens")
        else:
            try:
                claim(port, service)
            except PortError as error:
                what, _, step = str(error).partition("; ")
                yield Check(name, "fail", what, step)
            else:
                yield Check(name, "ok", f"{port} is free")


def disk(workspace: Workspace) -> Check:
    """Whether the disk has room for journals, ledgers and logs."""
    there = next(each for each in (workspace.path, *workspace.path.parents) if each.exists())
    usage = shutil.disk_usage(there)
    found = f"{usage.free / MEGABYTE:,.0f} MB are free on the disk of {workspace.path}"
    if usage.free < min(LOW_BYTES, LOW_SHARE * usage.total):
        mend = "free some: without room no new position is opened"
        return Check("disk", "fail", found, mend)
    return Check("disk", "ok", found)


def permissions(workspace: Workspace) -> Check:
    """Whether what was traded, found and said can be read by its owner only."""
    if not workspace.path.exists():
        mend = "crucible up makes it; or name another folder: CRUCIBLE_HOME=FOLDER"
        return Check("permissions", "warn", f"{workspace.path}: nothing is there yet", mend)
    if not os.access(workspace.path, os.W_OK | os.X_OK):
        mend = f"chown it to you, or chmod u+wx {workspace.path}"
        return Check("permissions", "fail", f"{workspace.path} is not writable for you", mend)
    mode = stat.S_IMODE(workspace.path.stat().st_mode)
    if mode & 0o022:
        found = f"{workspace.path} is {mode:04o}: others can put files there"
        return Check("permissions", "fail", found, f"chmod go-w {workspace.path}")
    open_ones = [
        f"{path} ({stat.S_IMODE(path.stat().st_mode):04o})"
        for name in PRIVATE_FOLDERS
        if (path := workspace.path / name).exists() and path.stat().st_mode & 0o077
    ]
    if open_ones:
        folders = " ".join(text.rpartition(" (")[0] for text in open_ones)
        found = f"others may look into {', '.join(open_ones)}"
        return Check("permissions", "fail", found, f"chmod 700 {folders}")
    return Check("permissions", "ok", f"{workspace.path}: private folders are 0700")


def secrets(workspace: Workspace, settings: Settings | None) -> Iterator[Check]:
    """Whether keys, the password and the key of proofs are files that only their owner can open."""
    yield _secret(
        "keys-file", workspace.keys_file, "the first start makes the paper account's keys"
    )
    yield _secret("password", workspace.password_file, "the first start makes it")
    proof = workspace.path / "proof.key"
    lost = not proof.exists() and (workspace.mlflow / "mlflow.db").exists()
    if lost:
        mend = "put a copy back: with a new key no older version is proven"
        yield Check("proof-key", "fail", f"{proof} is missing, but versions are registered", mend)
    else:
        yield _secret("proof-key", proof, "the first start makes it")
    outside = settings.execution.keys_file if settings is not None else None
    if outside is not None:
        yield _secret("venue-keys-file", outside, "")


def _secret(name: str, path: Path, made: str) -> Check:
    try:
        there = path.lstat()
    except FileNotFoundError:
        if made:
            return Check(name, "ok", f"{path}: not there yet; {made}")
        mend = "write it (docs/how-to/trade-on-bybit-testnet.md), or correct execution.keys_file"
        return Check(name, "fail", f"{path}: no such file", mend)
    if not stat.S_ISREG(there.st_mode):
        return Check(
            name, "fail", f"{path} is no ordinary file", "put the file itself there, no link"
        )
    if there.st_uid != os.getuid():
        return Check(name, "fail", f"{path} belongs to another user", f"chown it to you: {path}")
    mode = stat.S_IMODE(there.st_mode)
    if mode & 0o077:
        found = f"{path} is {mode:04o}: others can read it"
        return Check(
            name, "fail", found, f"chmod 600 {path}; if others use this machine, make new ones"
        )
    if not there.st_size:
        return Check(
            name, "fail", f"{path} is empty", "put a copy back, or remove it while stopped"
        )
    return Check(name, "ok", f"{path}, {mode:04o}")


def state_files(workspace: Workspace) -> Check:
    """Whether the files that services share hold what belongs there."""
    for name in STATE_FILES:
        try:
            read_json(workspace.path / name)
        except CrucibleError as error:
            what, _, step = str(error).rpartition("; ")
            return Check("state-files", "fail", what, step)
    try:
        run = workspace.current() if workspace.path.exists() else None
    except CrucibleError as error:
        what, _, step = str(error).rpartition("; ")
        return Check("state-files", "fail", what, step)
    newest = f"the newest run is {run.run_id}" if run else "nothing has run here yet"
    return Check("state-files", "ok", f"readable; {newest}")


def leftovers(workspace: Workspace) -> Check:
    """Whether processes of a killed supervisor still run."""
    if not workspace.path.exists():
        return Check("leftover-processes", "ok", "none")
    if supervisor_of(workspace) is not None:
        return Check("leftover-processes", "ok", "the stack is up")
    left = marked(workspace.path)
    if left:
        numbers = ", ".join(str(each.pid) for each in left[:8])
        found = f"{len(left)} processes run without a supervisor: {numbers}"
        return Check("leftover-processes", "fail", found, "crucible down ends them")
    return Check("leftover-processes", "ok", "none")


def locks(workspace: Workspace) -> Check:
    """Whether forge runs that nobody works on wait to be resumed."""
    name = "stale-forge-runs"
    stale = []
    for lock in sorted((workspace.path / "forge").glob("*.lock")):
        try:
            with held(lock):
                stale.append(lock.stem)
        except HeldError:
            continue
    if stale and supervisor_of(workspace) is None:
        found = f"{len(stale)} forge runs were left unfinished: {', '.join(stale[:4])}"
        mend = (
            "resume one with Retry in Prefect's page once the stack is up, or remove its folder and lock in "
            f"{workspace.path / 'forge'}"
        )
        return Check(name, "warn", found, mend)
    return Check(name, "ok", "none is left unfinished")


def records(workspace: Workspace) -> Iterator[Check]:
    """Whether the newest run's journal and ledger can be read."""
    try:
        run = workspace.current() if workspace.path.exists() else None
    except CrucibleError:
        # The check of state files tells.
        return
    if run is None:
        return
    for name, path, read in (
        ("journal", run.journal, journal_book),
        ("ledger", run.ledger, ledger_book),
    ):
        try:
            found = read(path)
        except (CrucibleError, ArithmeticError, ValueError) as error:
            yield Check(name, "fail", f"{path}: {error}", "put a copy back, or start a new run")
            continue
        said = f"{path}: not there yet" if found is None else f"{path}: {found.fills} fills"
        yield Check(name, "ok", said)


def clock(workspace: Workspace, settings: Settings | None) -> Check:
    """Whether the machine's clock is plausible, and near the exchange's where one outside is traded."""
    now = time.time()
    shown = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    mend = "set the clock, for example: timedatectl set-ntp true"
    if datetime.fromtimestamp(now, UTC).year < EARLIEST_YEAR:
        return Check("clock", "fail", f"it is {shown} by this machine", mend)
    newest = max(
        (path.stat().st_mtime for path in workspace.path.glob("*") if path.is_file()), default=0.0
    )
    if newest > now + CLOCK_SLACK_S:
        ahead = f"files of {workspace.path} are {newest - now:,.0f} s newer than now ({shown})"
        return Check("clock", "fail", f"{ahead}; the clock went back", mend)
    if settings is not None and settings.execution.venue != "paper":
        return _against_venue(settings, shown, mend)
    return Check("clock", "ok", shown)


def _against_venue(settings: Settings, shown: str, mend: str) -> Check:
    import httpx

    from crucible.operations.supervision.services import TESTNET_URL

    address = TESTNET_URL if settings.execution.venue == "testnet" else "https://api.bybit.com"
    try:
        before = time.time_ns() // 1_000_000
        answer = httpx.get(f"{address}/v5/market/time", timeout=5.0).json()
        after = time.time_ns() // 1_000_000
        off = int(answer["time"]) - (before + after) // 2
    except (httpx.HTTPError, ValueError, LookupError, TypeError, OverflowError) as error:
        found = f"{shown}; {address} did not tell its time: {error}"
        return Check("clock", "warn", found, "ask again once the network is there")
    if abs(off) > VENUE_SLACK_MS:
        return Check("clock", "fail", f"{abs(off):,} ms from the time of {address}", mend)
    return Check("clock", "ok", f"{shown}, {abs(off):,} ms from {address}")


def _alive_services(workspace: Workspace) -> set[str]:
    try:
        return set(living_services(read_json(workspace.services_file) or {}))
    except CrucibleError:
        return set()
