"""Where an outcome cannot be written is told before the work, and a failed write leaves nothing behind."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from crucible.files import WriteError
from crucible.forge.reporting import folder as report
from crucible.forge.reporting.folder import write_folder
from crucible.market.candles import write_candles
from crucible.market.simulator import simulate
from crucible.outputs import OutputError, ask_for_file, ask_for_folder
from tests.support.commands import call
from tests.support.documented import answers, lacking

PROGRAM = Path(sys.executable).with_name("crucible")
PROMISED = answers("Command lines")
FORGE = ("forge", "--slot", "BTCUSDT-gp-1", "--generations", "1", "--population", "8")


@pytest.fixture(scope="module")
def candles(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("candles")
    for own in simulate(["BTCUSDT", "ETHUSDT"], 2_200, seed=3).values():
        write_candles(own, folder / f"{own.symbol}-1m.parquet")
    return folder


def crucible(workspace: Path, *words: object, before: tuple[str, ...] = ()) -> str:
    """Run a command that must end with 1 and one line on stderr; give the line."""
    if not before:
        ended = call(workspace, *words)
        assert (ended.code, ended.stdout) == (1, "")
        assert ended.stderr.startswith("crucible: ")
        assert len(ended.stderr.splitlines()) == 1
        return ended.stderr
    done = subprocess.run(
        [*before, PROGRAM, *map(str, words)],
        check=False,
        env={**os.environ, "CRUCIBLE_HOME": str(workspace)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("crucible: "), done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stdout == ""
    return done.stderr


def snapshot(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def small_disk(tmp_path: Path, options: str) -> tuple[Path, tuple[str, ...]]:
    """A disk of our own, as a place and what goes before a command that shall see it."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = f'mount -t tmpfs -o {options} none {place} && exec "$0" "$@"'
    before = ("unshare", "--mount", "--map-root-user", "sh", "-c", mount)
    if subprocess.run([*before, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a disk")
    return place, before


def place(case: str, tmp_path: Path, candles: Path) -> tuple[tuple[object, ...], tuple[str, ...]]:
    """The words of a call for a case of the reference, and what goes before it."""
    ask = ("features", "--candles", candles, "--out")
    file = tmp_path / "file"
    file.write_text("kept")
    match case:
        case "no-candles":
            return ("features", "--candles", tmp_path / "nowhere", "--out", tmp_path / "f"), ()
        case "bad-slot":
            words = ("forge", "--slot", "../x", "--candles", candles, "--out", tmp_path / "out")
            return words, ()
        case "no-funding":
            words = (*FORGE, "--candles", candles, "--out", tmp_path / "out")
            return (*words, "--funding", tmp_path / "nowhere"), ()
        case "out-is-a-file":
            return (*FORGE, "--candles", candles, "--out", file), ()
        case "out-is-candles":
            return (*ask, candles / "BTCUSDT-1m.parquet"), ()
        case "out-is-a-folder":
            return (*ask, tmp_path), ()
        case "out-read-only":
            disk, before = small_disk(tmp_path, "ro")
            return (*ask, disk / "features.parquet"), before
        case "out-full":
            disk, before = small_disk(tmp_path, "size=64k")
            return (*ask, disk / "features.parquet"), before
    raise AssertionError(case)


@pytest.mark.process
@pytest.mark.parametrize("case", sorted(PROMISED))
def test_a_bad_call_gets_what_the_reference_says_and_leaves_nothing(case, tmp_path, candles):
    words, before = place(case, tmp_path, candles)
    held = snapshot(tmp_path)
    said = crucible(tmp_path / "home", *words, before=before)
    assert lacking(PROMISED[case], said) == []
    assert snapshot(tmp_path) == held
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.process
def test_a_disk_that_fills_up_meanwhile_is_told_and_no_half_of_a_file_stays(tmp_path, candles):
    disk, before = small_disk(tmp_path, "size=1100k")
    listed = tmp_path / "listed"
    script = f'"$0" "$@"; code=$?; ls -A {disk} > {listed}; exit $code'
    out = disk / "features.parquet"
    said = crucible(
        tmp_path / "home", "features", "--candles", candles, "--out", out,
        before=(*before, "sh", "-c", script),
    )  # fmt: skip
    assert lacking(["features.parquet", "cannot be written", "free some space"], said) == []
    assert listed.read_text() == ""


def test_every_place_where_nothing_can_be_written_is_refused(tmp_path):
    file = tmp_path / "file"
    file.write_text("kept")
    (tmp_path / "loose").symlink_to(tmp_path / "nowhere" / "deep")
    for path in (file, file / "below", file / "below" / "further", Path("/dev/null"), tmp_path / ("x" * 300) / "y", tmp_path / "x\0"):  # fmt: skip
        with pytest.raises(OutputError, match="--out"):
            ask_for_folder("--out", path)
    for path in (tmp_path, file / "below", Path("/dev/full"), Path("/proc/x")):
        with pytest.raises(OutputError, match="--out"):
            ask_for_file("--out", path)
    ask_for_file("--out", file)
    ask_for_file("--out", tmp_path / "new" / "and" / "deep")
    ask_for_folder("--out", tmp_path)
    assert snapshot(tmp_path) == {"file", "loose"}


def test_an_outcome_is_written_whole_or_the_earlier_one_stays(tmp_path, monkeypatch):
    from tests.support.markets import forge_run_of

    result = forge_run_of().run()
    write_folder(result, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {"report.html", "generations.parquet"} < set(before)
    monkeypatch.setattr(report, "html_report", lambda _: "x" * 1_000_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(WriteError, match=r"report\.html"):
            write_folder(result, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
