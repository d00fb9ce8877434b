"""Set-up says in one line what is missing, before it changes anything."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ("bash", "cat", "cksum", "dirname", "mkdir")


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        ("python3.11", "Python 3.11 is missing"),
        ("cargo", "cargo is missing"),
        ("cc", "C/C++ compiler (cc) is missing"),
        ("cmake", "cmake is missing"),
    ],
)
def test_a_missing_tool_is_named_with_the_way_to_get_it(tmp_path: Path, missing: str, named: str):
    clone = tmp_path / "clone"
    (clone / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "tools/setup.sh", clone / "tools")
    path = tmp_path / "bin"
    path.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None
        (path / tool).symlink_to(found)
    for tool in {"python3.11", "cargo", "cc", "c++", "cmake"} - {missing}:
        stand_in = path / tool
        stand_in.write_text("#!/bin/sh\nexit 0\n")
        stand_in.chmod(0o755)

    done = subprocess.run(
        [clone / "tools/setup.sh"],
        check=False,
        env={"PATH": str(path), "HOME": os.environ["HOME"]},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("set-up: ")
    assert named in done.stderr
    assert "install" in done.stderr
    assert not (clone / ".venv").exists()
