"""Which code made a result."""

from __future__ import annotations

import hashlib
import subprocess
from functools import cache
from pathlib import Path

import crucible

# What a forging's outcome depends on; a change of the dashboard is not another revision.
DECIDING = ("market", "features", "strategies", "forge")


@cache
def code_revision() -> str:
    """Return the commit, and a hash of the deciding sources where they may differ from it.

    Returns
    -------
    str
        ``<commit>`` in a clean checkout, ``<commit>+<hash>`` where deciding files were changed,
        ``source-<hash>`` outside a checkout.
    """
    package = Path(crucible.__file__).resolve().parent
    folders = [f"crucible/{name}" for name in DECIDING]
    commit = _git(package.parent, "rev-parse", "--short=12", "HEAD")
    if commit is None:
        return f"source-{_source_hash(package)}"
    changed = _git(package.parent, "status", "--porcelain", "--", *folders)
    return commit if changed == "" else f"{commit}+{_source_hash(package)}"


def _source_hash(package: Path) -> str:
    digest = hashlib.sha256()
    for folder in DECIDING:
        for path in sorted((package / folder).glob("*.py")):
            digest.update(path.name.encode())
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
