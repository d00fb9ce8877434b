"""Set-up says in one line what is missing, before it changes anything."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ("bash", "cat", "cksum", "dirname", "mkdir")


@pytest.mark.process
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


def clone_with(tmp_path: Path, *stand_ins: str) -> tuple[Path, Path]:
    """Copy what set-up reads, with a path that holds the tools and stand-ins that do nothing."""
    clone = tmp_path / "clone"
    (clone / "tools").mkdir(parents=True)
    for file in ("tools/setup.sh", "tools/uv.lock", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / file, clone / file)
    path = tmp_path / "bin"
    path.mkdir()
    for tool in (*TOOLS, "cp", "rm", "touch"):
        found = shutil.which(tool)
        assert found is not None
        (path / tool).symlink_to(found)
    for tool in ("cargo", "cc", "c++", "cmake", *stand_ins):
        (path / tool).write_text("#!/bin/sh\nexit 0\n")
        (path / tool).chmod(0o755)
    return clone, path


@pytest.mark.process
def test_only_locked_files_are_installed_and_by_the_locked_uv(tmp_path: Path):
    clone, path = clone_with(tmp_path)
    log = tmp_path / "calls"
    pinned = (ROOT / "tools/uv.lock").read_text().split()[0].removeprefix("uv==")
    stand_ins = {
        "bin/uv": "echo uv 0.0.1",  # not the locked one
        "made/uv": (
            f'echo uv {pinned}; echo "uv $*" >> {log}; mkdir -p .venv/bin; cp {tmp_path}/made/own .venv/bin/python'
        ),
        "made/own": f'echo "own $*" >> {log}',
        "made/python": f'echo "pip $*" >> {log}; cp {tmp_path}/made/uv "${{0%/*}}/uv"',
        "bin/python3.11": (
            f'[ "$1" = -m ] || exit 0; mkdir -p "$3/bin"; cp {tmp_path}/made/python "$3/bin"'
        ),
    }
    (tmp_path / "made").mkdir()
    for name, body in stand_ins.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)

    done = subprocess.run(
        [clone / "tools/setup.sh"],
        check=False,
        env={"PATH": str(path), "HOME": os.environ["HOME"]},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert f"installing uv {pinned}" in done.stdout
    calls = log.read_text().splitlines()
    installs = [call for call in calls if " install " in call or " sync " in call]
    assert len(installs) == 3, calls
    assert "--require-hashes" in installs[0]
    assert installs[0].endswith("-r tools/uv.lock")
    assert "--require-hashes" in installs[1]
    assert installs[1].endswith("requirements.lock")
    assert "--no-deps --no-build-isolation" in installs[2]
    (packages, own) = [call for call in calls if call.startswith("own -m compileall")]
    assert packages.endswith(".venv/lib")
    assert "crucible" in own


@pytest.mark.parametrize(
    "lock",
    [
        "requirements.lock",
        "tools/uv.lock",
        "benchmarks/peers/forge.lock",
        "benchmarks/peers/wire.lock",
    ],
)
def test_every_locked_package_has_its_hashes_and_no_host(lock: str):
    text = (ROOT / lock).read_text()
    assert "://" not in text
    entries = [entry for entry in text.replace("\\\n", " ").splitlines() if entry.strip()]
    assert entries
    for entry in entries:
        name, *hashes = entry.split()
        assert "==" in name, entry
        assert hashes, f"{name} has no hash"
        assert all(one.startswith("--hash=sha256:") or one == ";" for one in hashes), entry[:200]
