"""The layout of ``CRUCIBLE_HOME``: every file and folder of one independent system.

Files that several processes read are replaced atomically: a reader sees the old one or the new one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from crucible.files import make_folder, remove_parts, write_json, write_text
from crucible.ledger import performance_log
from crucible.locks import HeldError, held
from crucible.operations.errors import AlreadyRunningError, WorkspaceError
from crucible.operations.state_files import read_json

PAPER_USDT = "100000"
# A Unix socket's path holds 107 bytes; the longest socket name needs about 20 of them.
_LONGEST_RUN_FOLDER = 80


@dataclass(frozen=True, slots=True)
class Workspace:
    """One system's folder.

    Parameters
    ----------
    path : Path
        Absolute; see `Workspace.at`.
    """

    path: Path

    @classmethod
    def at(cls, path: Path) -> Workspace:
        """Take any path; a relative one counts from the working directory."""
        return cls(path.expanduser().absolute())

    @property
    def prefect(self) -> Path:
        """Prefect's workspace: its database and results."""
        return self.path / "prefect"

    @property
    def mlflow(self) -> Path:
        """MLflow's database and artifacts."""
        return self.path / "mlflow"

    @property
    def logs(self) -> Path:
        """One ``NAME.log`` per service."""
        return self.path / "logs"

    @property
    def runs(self) -> Path:
        """One folder per run."""
        return self.path / "runs"

    @property
    def services_file(self) -> Path:
        """Who runs where: processes and addresses."""
        return self.path / "services.json"

    @property
    def keys_file(self) -> Path:
        """Keys of the paper account, readable by the owner only."""
        return self.path / "keys.json"

    @property
    def password_file(self) -> Path:
        """What Prefect asks for, readable by the owner only."""
        return self.path / "password"

    @property
    def configuration_file(self) -> Path:
        """Which market this workspace has lived in, and until when."""
        return self.path / "world.json"

    @property
    def socket_folder(self) -> Path:
        """Short folder for Unix sockets: a deep workspace would exceed the limit on their paths."""
        return self.socket_folders[0]

    @property
    def socket_folders(self) -> tuple[Path, ...]:
        """Every place where that folder may be: a shell without XDG_RUNTIME_DIR has another first."""
        digest = hashlib.sha256(str(self.path).encode()).hexdigest()[:8]
        name = f"crucible-{os.getuid()}-{digest}"
        usual = (os.environ.get("XDG_RUNTIME_DIR"), f"/run/user/{os.getuid()}")
        shared = Path("/tmp")  # noqa: S108
        given = Path(usual[0] or shared)
        if not given.is_dir() or len(str(given / name)) > _LONGEST_RUN_FOLDER:
            given = shared
        return tuple(dict.fromkeys(folder / name for folder in (given, shared, Path(usual[1]))))

    def run(self, run_id: str) -> Run:
        """One run's folder, whether it exists or not."""
        return Run(run_id, self.runs / run_id)

    def current(self) -> Run | None:
        """Give the newest run, or None when nothing has run here yet.

        Raises
        ------
        WorkspaceError
            If runs are here but ``current`` names none of them: another one must not be guessed, since
            outside the paper venue its journal is the only record of open positions.
        """
        path = self.path / "current"
        numbers = self._numbers()
        try:
            text = path.read_text(errors="replace").strip("\0 \n\t\r")
        except FileNotFoundError:
            text = ""
            if not numbers:
                return None
        except OSError as error:
            message = f"{path}: cannot be read: {error}; make it readable for you"
            raise WorkspaceError(message) from error
        run = self.run(text)
        if not _is_number(text) or not run.path.is_dir():
            newest = f"{max(numbers):04d}" if numbers else "none"
            message = (
                f"{path}: names no run of this workspace ({text!r}; the newest is {newest}); write the number "
                f"of the run to go on with into it, for example: echo {newest} > {path}"
            )
            raise WorkspaceError(message)
        return run

    def every_run(self) -> list[Run]:
        """Give every run, the ended ones as well, in the order in which they were made."""
        return [self.run(name) for name in sorted(self._names(), key=int)]

    def _names(self) -> list[str]:
        return [path.name for path in self.runs.glob("*") if _is_number(path.name)]

    def _numbers(self) -> list[int]:
        return list(map(int, self._names()))

    def new_run(self) -> Run:
        """Make the next run's folder and point ``current`` at it; numbers only ever grow."""
        run = self.run(f"{max(self._numbers(), default=0) + 1:04d}")
        make_folder(run.path)
        write_text(self.path / "current", run.run_id + "\n")
        return run

    def create(self) -> None:
        """Make the folders that every service expects.

        Raises
        ------
        WorkspaceError
            If they cannot be made, or the socket folder belongs to someone else.
        """
        try:
            make_folder(self.path)
            # What was traded, what was found and what was said is nobody else's to read.
            for folder in (self.prefect, self.mlflow, self.logs, self.runs):
                make_folder(folder, mode=0o700)
                folder.chmod(0o700)
            sockets = self.socket_folder
            sockets.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            message = f"{self.path} cannot be used as CRUCIBLE_HOME: {error}; name another folder"
            raise WorkspaceError(message) from error
        owner = sockets.lstat()
        if sockets.is_symlink() or owner.st_uid != os.getuid() or owner.st_mode & 0o077:
            message = (
                f"{sockets} is not a folder that only you can open; remove it, or set "
                "XDG_RUNTIME_DIR to a private folder"
            )
            raise WorkspaceError(message)

    def ensure_keys(self) -> Path:
        """Make the paper account's keys once, 0600; they open nothing outside this machine."""
        if not self.keys_file.exists():
            account = {
                "key": secrets.token_hex(9),
                "secret": secrets.token_hex(18),
                "usdt": PAPER_USDT,
            }
            write_json(self.keys_file, [account], mode=0o600)
        return self.keys_file

    def proof_key(self) -> str:
        """Give the key that seals proofs; made once, 0600. Without it no old version is proven.

        Raises
        ------
        WorkspaceError
            If the file is not a secret of yours.
        """
        return secret(self.path / "proof.key")

    def password(self) -> str:
        """Give what opens Prefect's API and page; made once, 0600.

        Raises
        ------
        WorkspaceError
            If the file is not a secret of yours.
        """
        return secret(self.password_file)

    def chosen_run(self, run_id: str | None) -> Run:
        """Give a run by its number, the newest where none is named.

        Raises
        ------
        WorkspaceError
            If there is no such run; the message names those that there are.
        """
        run = self.current() if run_id is None else self.run(run_id)
        if run is not None and run.path.is_dir():
            return run
        known = ", ".join(each.run_id for each in self.every_run())
        if not known:
            message = f"{self.path}: nothing has run here yet; start the stack: crucible up"
        elif run_id is None:
            message = f"{self.path}: its newest run is gone; name one of {known}: --run NUMBER"
        else:
            message = f"{self.path} has no run {run_id!r}; it has {known}"
        raise WorkspaceError(message)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Own this workspace until the block ends or the process dies.

        Raises
        ------
        AlreadyRunningError
            If another process owns it; the message gives its pid.
        """
        path = self.path / "up.lock"
        with ExitStack() as stack:
            try:
                # The folder as well: its lock cannot be removed by hand.
                stack.enter_context(held(self.path))
                descriptor = stack.enter_context(held(path))
            except HeldError as error:
                holder = path.read_text().strip() if path.exists() else ""
                message = (
                    f"crucible is already up on {self.path} (pid {holder or 'not known'}); stop it "
                    "with Ctrl-C there or by crucible down, or set CRUCIBLE_HOME to another folder"
                )
                raise AlreadyRunningError(message) from error
            except OSError as error:
                message = f"{path}: cannot be locked: {error}; make {self.path} writable for you"
                raise WorkspaceError(message) from error
            # Who holds it is a word for the next one; the lock holds without it, on a full disk too.
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, str(os.getpid()).encode(), 0)
                remove_parts(self.path)
            yield


@dataclass(frozen=True, slots=True)
class Run:
    """One run's folder: a fresh paper account, journal and ledger each time."""

    run_id: str
    path: Path

    @property
    def journal(self) -> Path:
        """Cerebellum's record (SQLite)."""
        return self.path / "journal.sqlite"

    @property
    def ledger(self) -> Path:
        """The arena's record (SQLite)."""
        return self.path / "ledger.sqlite"

    @property
    def performance_log(self) -> Path:
        """Closed trades and verdicts, one JSON line each."""
        return self.path / performance_log.FILE

    @contextlib.contextmanager
    def only_arena(self) -> Iterator[None]:
        """Trade this run alone until the block ends or the process dies.

        The run's folder and its ledger are held themselves: a second arena meets the lock by any path,
        through any link, and whatever the clock or Prefect say of the first.

        Raises
        ------
        AlreadyRunningError
            If another process trades this run.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(held(self.path))
                # Opened before SQLite opens it and closed after: closing it would drop SQLite's locks.
                stack.enter_context(held(self.ledger))
            except HeldError as error:
                message = f"{self.path}: another arena trades this run; end that one first"
                raise AlreadyRunningError(message) from error
            except OSError as error:
                message = f"{self.path}: cannot be locked: {error}; make it writable for you"
                raise WorkspaceError(message) from error
            yield

    @property
    def statement(self) -> Path:
        """The venue's last word on the account, saved when the run stopped in order."""
        return self.path / "statement.json"

    @property
    def arena(self) -> Path:
        """What every agent holds, written by the arena each market minute."""
        return self.path / "arena.json"

    @property
    def placebos(self) -> Path:
        """What placebos say of the Watchtower's error rates, written by it at each judgement."""
        return self.path / "placebos.json"

    @property
    def facts(self) -> Path:
        """How the run was started: market, seed, speed, addresses."""
        return self.path / "run.json"


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()


def secret(path: Path) -> str:
    """Read a secret of one line; the first time make it, at random and 0600.

    Raises
    ------
    WorkspaceError
        If the file belongs to somebody else, others may read it, or nothing is in it.
    """
    if not path.parent.is_dir():
        message = f"{path}: there is no such folder yet; the first start makes it: crucible up"
        raise WorkspaceError(message)
    try:
        if not path.exists():
            write_text(path, secrets.token_urlsafe(24) + "\n", mode=0o600)
        held = path.lstat()
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path} cannot be used: {error}; make its folder yours, or remove the file"
        raise WorkspaceError(message) from error
    if not stat.S_ISREG(held.st_mode) or held.st_uid != os.getuid() or held.st_mode & 0o077:
        message = (
            f"{path} is a secret, but it is not a file that only you can open; somebody may know it: "
            "stop everything, remove it (a new one is made) and start again"
        )
        raise WorkspaceError(message)
    if not text:
        message = f"{path} is empty; remove it, a new one is made at the next start"
        raise WorkspaceError(message)
    return text


__all__ = ["Run", "Workspace", "read_json", "secret", "write_json", "write_text"]
