"""Which code made a result."""

from __future__ import annotations

import hashlib
import subprocess
from functools import cache
from pathlib import Path

import crucible

# What a forge run's outcome depends on; a change of the dashboard is not another revision.
SOURCES = ("market", "features", "vm", "strategies", "forge")


@cache
def code_revision() -> str:
    """Return the last commit that touched the deciding sources, and a hash where they differ.

    Returns
    -------
    str
        ``<commit>`` in a clean checkout, ``<commit>+<hash>`` where deciding files were changed,
        ``source-<hash>`` outside a checkout.
    """
    package = Path(crucible.__file__).resolve().parent
    folders = [f"crucible/{name}" for name in SOURCES]
    commit = _git(package.parent, "log", "-1", "--format=%h", "--abbrev=12", "--", *folders)
    if not commit:
        return f"source-{source_hash()}"
    changed = _git(package.parent, "status", "--porcelain", "--", *folders)
    return commit if changed == "" else f"{commit}+{source_hash()}"


@cache
def source_hash() -> str:
    """First 8 hexadecimal digits of the SHA-256 over the deciding sources."""
    package = Path(crucible.__file__).resolve().parent
    digest = hashlib.sha256()
    for folder in SOURCES:
        for path in sorted((package / folder).rglob("*.py")):
            digest.update(path.relative_to(package).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
