"""Checks of what is installed: Python, the locked packages, the Rust binaries."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from crucible.errors import CrucibleError
from crucible.operations.installation.check import Check
from crucible.operations.supervision.services import binary
from crucible.whereabouts import SOURCE

LOCK = SOURCE / "requirements.lock"
PROJECT = SOURCE / "pyproject.toml"
BINARIES = ("cerebellum", "paper_venue")
SET_UP = "set up again: make setup"
_PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)", re.MULTILINE)
# More are counted, not listed.
LISTED = 5
ANSWER_S = 10.0


def python() -> Check:
    """Whether this is the Python that the packages are locked for."""
    found = sys.version_info[:2]
    text = f"Python {sys.version.split()[0]} at {sys.executable}"
    if found != (3, 11):
        mend = "install Python 3.11, then: make clean, make setup"
        return Check("python", "fail", f"{text}; Crucible needs 3.11", mend)
    return Check("python", "ok", text)


def packages(lock: Path = LOCK) -> Check:
    """Whether every package that the lock names is here, in that version."""
    try:
        pinned = _PINNED.findall(lock.read_text(encoding="utf-8"))
    except OSError as error:
        found = f"{lock}: cannot be read: {error.strerror}"
        return Check(
            "packages", "warn", found, "get the whole repository: the lock lies beside the Makefile"
        )
    wrong = []
    for name, version in pinned:
        try:
            there = metadata.version(name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{name} {version} is missing")
            continue
        if there != version:
            wrong.append(f"{name} is {there}, locked is {version}")
    if wrong:
        more = f" and {len(wrong) - LISTED} more" if len(wrong) > LISTED else ""
        return Check("packages", "fail", "; ".join(wrong[:LISTED]) + more, SET_UP)
    return Check("packages", "ok", f"{len(pinned)} packages, each in its locked version")


def binaries() -> Iterator[Check]:
    """Whether each Rust program is built, runs, and is of this version."""
    wanted = _version()
    for program in BINARIES:
        name = f"binary {program}"
        try:
            path = binary(program)
            answer = subprocess.run(
                [path, "--version"], capture_output=True, text=True, check=True, timeout=ANSWER_S
            )
        except CrucibleError as error:
            yield Check(name, "fail", str(error), SET_UP)
            continue
        except (OSError, subprocess.SubprocessError) as error:
            yield Check(name, "fail", f"{program} does not run: {error}", SET_UP)
            continue
        found = answer.stdout.split()[-1] if answer.stdout.split() else "no version"
        if found != wanted:
            yield Check(name, "fail", f"{path} is {found}, this Crucible is {wanted}", SET_UP)
        else:
            yield Check(name, "ok", f"{path}, {found}")


def _version() -> str:
    import tomllib

    try:
        return str(tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["version"])
    except (OSError, ValueError, KeyError):
        # Installed without its repository.
        return metadata.version("crucible")
