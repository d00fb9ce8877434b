"""How far forge runs are is shown by small files; where they cannot be written or read, everything goes on."""

import subprocess
import sys
from dataclasses import asdict

import pytest

from crucible.forge.progress import (
    OUTCOMES,
    PROGRESS,
    SLOTS,
    Progress,
    Slots,
    note_outcome,
    read_outcomes,
    read_progress,
    read_slots,
    write_slots,
)
from tests.support.processes import REPOSITORY

RUN = Progress("BTCUSDT-gp-1", 7, "evolving", 3, 8, 0.25, 360, "run")


def test_what_is_written_is_read_with_the_time_of_writing(tmp_path):
    RUN.write(tmp_path / "key")
    [row] = read_progress(tmp_path)
    assert row.pop("written_s") > 0
    assert row.pop("alive") is True
    assert row == {
        "key": "key",
        **{
            name: value
            for name, value in asdict(RUN).items()
            if name not in {"written_s", "process"}
        },
    }


@pytest.mark.process
def test_a_forge_run_whose_process_has_ended_is_not_under_way(tmp_path):
    code = "from tests.forge.test_progress import RUN; from pathlib import Path; import sys; "
    command = [sys.executable, "-c", f"{code}RUN.write(Path(sys.argv[1]))", str(tmp_path / "key")]
    subprocess.run(command, check=True, cwd=REPOSITORY)
    [row] = read_progress(tmp_path)
    assert row["alive"] is False


def test_a_damaged_file_is_named_and_hides_no_other(tmp_path):
    RUN.write(tmp_path / "good")
    for name, text in (("cut", "{"), ("other", "[]"), ("strange", '{"slot": "x", "more": 1}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / PROGRESS).write_text(text)
    rows = read_progress(tmp_path)
    assert [row["slot"] for row in rows] == ["", "", "", "BTCUSDT-gp-1"]
    assert all(PROGRESS in row["fault"] for row in rows[:3])


@pytest.mark.parametrize(
    "text", ["", "[", "[]", "7", '{"rows": 3}', '{"rows": [3]}', '{"written_s": "now"}', "\udcff"]
)
def test_a_damaged_file_of_slots_is_named_and_a_missing_one_is_not(tmp_path, text):
    assert read_slots(tmp_path) == Slots()
    (tmp_path / SLOTS).write_text(text, errors="surrogateescape")
    found = read_slots(tmp_path)
    assert found.fault.startswith(f"{tmp_path / SLOTS} is damaged: ")
    assert (found.rows, found.written_s) == ([], None)
    write_slots(tmp_path, [{"slot": "BTCUSDT-gp-1"}], [], ["BTCUSDT-gp-1"])
    again = read_slots(tmp_path)
    assert (again.fault, again.under_way) == ("", ["BTCUSDT-gp-1"])
    assert again.rows == [{"slot": "BTCUSDT-gp-1"}]


def test_the_newest_outcomes_come_first_and_no_more_than_asked_for(tmp_path):
    assert read_outcomes(tmp_path, 5) == []
    for number in range(2_000):
        note_outcome(tmp_path, f"BTCUSDT-gp-{number}", number, "refused " + "x" * 100)
    with (tmp_path / OUTCOMES).open("a") as file:
        file.write("cut {\n")
    found = read_outcomes(tmp_path, 5)
    assert [row["seed"] for row in found] == [1999, 1998, 1997, 1996, 1995]


def test_a_place_that_cannot_be_written_ends_nothing(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    RUN.write(blocked / "key")
    note_outcome(blocked, "BTCUSDT-gp-1", 1, "refused")
    write_slots(blocked, [], [], [])
    Progress("BTCUSDT-gp-1", 1, "evolving", best_score=float("nan")).write(tmp_path / "nan")
    assert read_progress(tmp_path) == []
