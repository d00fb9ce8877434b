"""The command line answers at once and fails in one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import call

PROGRAM = Path(sys.executable).with_name("crucible")


def crucible(workspace: Path, *words: str) -> subprocess.CompletedProcess[str]:
    # MLflow's client leaves its address in the environment of a process that used it.
    inherited = {name: os.environ[name] for name in os.environ if name != "MLFLOW_TRACKING_URI"}
    return subprocess.run(
        [PROGRAM, *words],
        check=False,
        env={**inherited, "CRUCIBLE_HOME": str(workspace)},
        capture_output=True,
        text=True,
    )


@pytest.mark.process
def test_help_names_every_command_and_loads_nothing_that_it_does_not_need(tmp_path: Path):
    done = crucible(tmp_path, "--help")
    assert done.returncode == 0
    for command in ("up", "status", "report", "features", "forge", "backtest", "explain", "kill"):
        assert f" {command} " in done.stdout
    # What takes seconds to import is what makes a help slow.
    reported = subprocess.run(
        [sys.executable, "-X", "importtime", PROGRAM, "--help"],
        check=True,
        env={**os.environ, "CRUCIBLE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    loaded = {line.split("|")[-1].strip() for line in reported.stderr.splitlines()}
    assert "crucible.cli" in loaded
    assert not loaded & {
        "pandas",
        "numba",
        "mlflow",
        "prefect",
        "lightgbm",
        "scipy",
        "torch",
        "deap",
    }


@pytest.mark.process
@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("report",), "start the stack: crucible up"),
        (("kill", "--yes"), "no running cerebellum"),
        (("up", "--candles", "/nonexistent"), "/nonexistent has no candles"),
        (("up", "--speed", "0"), "market.speed"),
        (("up", "--start", "60000"), "--start 60000"),
        (("explain", "no.json"), "no.json: cannot be read"),
        (("explain", "BTCUSDT-gp-1/1"), "no MLflow server is known"),
    ],
)
def test_a_fault_is_one_clear_line_without_a_traceback(tmp_path: Path, words, named: str):
    done = crucible(tmp_path, *words)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("crucible: ")
    assert named in done.stderr.replace("\n", " ")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("up", "--start", "1735689600000000"), "it looks like microseconds"),
        (("up", "--start", "1735689600"), "it looks like seconds"),
        (("up", "--speed", "inf"), "market.speed = inf"),
        (("up", "--speed", "nan"), "market.speed = nan"),
        (("up", "--seed", "-1"), "market.seed = -1"),
        (("up", "--symbols", "BTCUSDT,"), "--symbols 'BTCUSDT,': '' is no symbol"),
        (("up", "--symbols", "btcusdt"), "'btcusdt' is no symbol"),
        (("up", "--symbols", "BTCUSDT,BTCUSDT"), "BTCUSDT is there more than once"),
        (("up", "--run-for", "nan"), "--run-for nan"),
        (
            ("forge", "--slot", "BTCUSDT-gp-1", "--candles", ".", "--out", "o", "--budget", "5x"),
            "5x",
        ),
    ],
)
def test_a_senseless_argument_is_refused_by_name_before_anything_starts(tmp_path, words, named):
    ended = call(tmp_path / "home", *words)
    assert ended.code == 1
    assert len(ended.stderr.splitlines()) == 1
    assert named in ended.stderr
    assert list(tmp_path.glob("home/runs/*")) == []


@pytest.mark.parametrize(
    "words",
    [("report",), ("backtest", "no.json", "--candles", "."), ("explain", "no.json")],
)
def test_with_json_a_fault_is_one_json_object_too(tmp_path, words):
    ended = call(tmp_path / "home", *words, "--json")
    assert ended.code == 1
    assert ended.stderr == f"crucible: {json.loads(ended.stdout)['error']}\n"


@pytest.mark.process
def test_an_answer_that_finds_no_room_is_no_success(tmp_path):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [PROGRAM, "status", "--json"],
            check=False,
            env={**os.environ, "CRUCIBLE_HOME": str(tmp_path)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "crucible: what was printed is not whole: No space left on device" in done.stderr


@pytest.mark.process
def test_an_unknown_option_is_a_usage_error(tmp_path: Path):
    assert crucible(tmp_path, "up", "--colour").returncode == 2
