"""Peers of the benchmarks: installed into environments of their own, run as processes of their own.

``benchmarks/peers/NAME.txt`` pins the packages, ``NAME.lock`` all that they need with the hashes of
their files, ``benchmarks/peers/NAME.py`` is the process. It
answers JSON lines through `benchmarks.peers.serving`, so that rounds of both sides can alternate.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks._harness import FOLDER, BenchmarkError


def requirements(name: str) -> list[str]:
    """List the pinned packages of a peer file, without comments."""
    lines = (FOLDER / "peers" / f"{name}.txt").read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def environment(name: str, envs: Path = FOLDER / "envs") -> Path:
    """Make the environment of a peer file where it is not there yet.

    Returns
    -------
    Path
        Its Python.

    Raises
    ------
    BenchmarkError
        Naming the package that cannot be installed.
    """
    wanted = requirements(name)
    folder = envs / name
    python = folder / "bin" / "python"
    stamp = folder / "made-from"
    lock = FOLDER / "peers" / f"{name}.lock"
    fingerprint = hashlib.sha256(f"{sys.version}\n{lock.read_text()}".encode()).hexdigest()
    if python.exists() and stamp.is_file() and stamp.read_text() == fingerprint:
        return python
    print(f"installing the peers of {name}: {', '.join(wanted)}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    uv = _uv()
    if uv:
        _run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], "an environment")
        install = [uv, "pip", "install", "--quiet", "--python", str(python)]
    else:
        _run([sys.executable, "-m", "venv", str(folder)], "an environment")
        install = [str(python), "-m", "pip", "install", "--quiet"]
    _run([*install, "--require-hashes", "-r", str(lock)], f"the peers {', '.join(wanted)}")
    stamp.write_text(fingerprint)
    return python


def _uv() -> str | None:
    for candidate in ("uv", str(FOLDER.parent / ".make" / "uv" / "bin" / "uv")):
        found = shutil.which(candidate)
        if (
            found
            and subprocess.run([found, "--version"], capture_output=True, check=False).returncode
            == 0
        ):
            return found
    return None


def _run(command: list[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"{what} cannot be installed: {_tail(done)}"
        raise BenchmarkError(message)


def _tail(done: subprocess.CompletedProcess[str]) -> str:
    return (done.stderr or done.stdout).strip()[-600:]


class Peer:
    """A peer's process: one JSON line to it, one JSON line back.

    Parameters
    ----------
    name
        Of ``peers/NAME.txt`` and ``peers/NAME.py``.
    environ
        Variables added to its environment, such as thread counts.
    """

    def __init__(self, name: str, environ: dict[str, str] | None = None) -> None:
        self.name = name
        self.python = environment(name)
        self.process = subprocess.Popen(
            [str(self.python), str(FOLDER / "peers" / f"{name}.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": "", **(environ or {})},
        )
        self.versions: dict[str, str] = self.call("versions")

    def call(self, command: str, **arguments: Any) -> Any:
        """Run a command over there and return what it returns.

        Raises
        ------
        BenchmarkError
            If it fails or the process ends.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            message = f"peer {self.name} ended with {self.process.wait()} at {command}"
            raise BenchmarkError(message)
        answer = json.loads(line)
        if "error" in answer:
            message = f"peer {self.name}, {command}: {answer['error']}"
            raise BenchmarkError(message)
        return answer["result"]

    def label(self, package: str) -> str:
        """Name a package with the version that runs over there."""
        if package not in self.versions:
            message = f"peer {package} is not installed in benchmarks/envs/{self.name}"
            raise BenchmarkError(message)
        return f"{package} {self.versions[package]}"

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.close()
            self.process.wait(timeout=10)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
