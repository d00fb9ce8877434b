"""What holds for every command: JSON, exit codes, its place in the reference, completion."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from crucible.cli import app
from crucible.errors import Rule
from crucible.operations.workspace import Workspace
from crucible.whereabouts import SOURCE
from tests.support.commands import call
from tools.reference_commands import PAGE, page

PROGRAM = Path(sys.executable).with_name("crucible")


def leaves(group, above=()):
    for name, command in group.commands.items():
        if getattr(command, "commands", None):
            yield from leaves(command, (*above, name))
        else:
            yield (*above, name), command


COMMANDS = dict(leaves(get_command(app)))


def test_the_reference_says_what_the_commands_take():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tools.reference_commands"


def test_every_rule_is_in_the_reference_and_something_refuses_by_it():
    text = PAGE.read_text(encoding="utf-8")
    files = [*(SOURCE / "crucible").rglob("*.py"), *(SOURCE / "flows").rglob("*.py")]
    code = "".join(file.read_text(encoding="utf-8") for file in files)
    for rule in Rule:
        assert f"| `{rule}` | {rule.meaning} |" in text
        assert re.search(rf"\bRule\.{rule.name}\b", code), rule


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_it_gives_json_and_says_what_it_does(words):
    command = COMMANDS[words]
    assert any("--json" in one.opts for one in command.params)
    assert command.help
    for one in command.params:
        if one.param_type_name == "option" and one.name != "help":
            undescribed = {"generations", "population", "candles", "out", "seed"}
            assert one.help or one.name in undescribed, one.name


def test_the_commands_that_people_were_promised_are_there():
    promised = (
        "up down status doctor report download features forge backtest walk-forward explain why lookahead "
        "promote rollback retire forge-now kill halt resume logs"
    )
    assert {(name,) for name in promised.split()} <= set(COMMANDS)
    assert {("config", "show"), ("config", "init"), ("data", "list"), ("data", "check")} <= set(
        COMMANDS
    )


@pytest.mark.parametrize("words", [("up", "--colour"), ("promote", "A"), ("nothing",), ("data",)])
def test_a_wrong_call_ends_with_two_and_is_one_json_object_too(tmp_path, words):
    ended = call(tmp_path, *words, "--json")
    assert ended.code == 2
    assert "error" in json.loads(ended.stdout)
    assert ended.stderr


def completed(workspace: Path, *words: str) -> list[str]:
    done = subprocess.run(
        [PROGRAM],
        env={
            **os.environ,
            "CRUCIBLE_HOME": str(workspace),
            "_CRUCIBLE_COMPLETE": "complete_bash",
            "COMP_WORDS": " ".join(("crucible", *words)),
            "COMP_CWORD": str(len(words)),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.split()


@pytest.mark.process
def test_the_shell_completes_commands_services_slots_and_agents(tmp_path):
    workspace = Workspace.at(tmp_path / "workspace")
    workspace.create()
    run = workspace.new_run()
    run.arena.write_text(json.dumps({"agents": [{"agent": "BTCUSDT-gp-1@12"}]}))
    run.facts.write_text(json.dumps({"symbols": ["BTCUSDT", "ETHUSDT"]}))
    assert completed(workspace.path, "prom") == ["promote"]
    assert completed(workspace.path, "logs", "pre") == ["prefect"]
    assert completed(workspace.path, "rollback", "ETH") == ["ETHUSDT-gp-1", "ETHUSDT-boosted-1"]
    assert completed(workspace.path, "retire", "") == ["BTCUSDT-gp-1@12"]
    assert completed(workspace.path, "halt", "--symbol", "E") == ["ETHUSDT"]


@pytest.mark.process
def test_where_files_are_damaged_nothing_is_completed_and_nothing_breaks(tmp_path):
    workspace = Workspace.at(tmp_path / "workspace")
    workspace.create()
    workspace.new_run().arena.write_text("{")
    assert completed(workspace.path, "retire", "") == []
