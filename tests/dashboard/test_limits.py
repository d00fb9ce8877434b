"""A limit is shown with its value, as none, or as not known with the reason: never as none where it is not known."""

import json

import pytest

from crucible import sqlite
from crucible.dashboard.facts import Source
from crucible.dashboard.views.execution import execution
from crucible.settings import load_settings
from tests.support.pages import traded

NAMES = ("largest position", "all positions", "day's loss of one agent", "day's loss of all", "one order")  # fmt: skip
FILE = """
[position]
max_notional = "50000"
max_total_notional = 200000
[daily_loss]
agent = "500"
"""


@pytest.fixture
def shown(workspace, monkeypatch):
    """What the view says of the limits, with a file of limits and with limits in the journal."""
    run = traded(workspace)
    path = workspace.path / "limits.toml"
    monkeypatch.setenv("CRUCIBLE_EXECUTION__LIMITS_FILE", str(path))

    def made(file=None, by_command=None):
        if isinstance(file, bytes):
            path.write_bytes(file)
        if by_command is not None:
            with sqlite.connect(run.journal) as database:
                database.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT)")
                database.execute(
                    "CREATE TABLE orders (intent_id, agent, symbol, side, kind, intent_qty, status, filled_qty, "
                    "intent_limit_price, reduce_only, ts, sends, is_open, code, text)"
                )
                database.execute("INSERT INTO meta VALUES ('limits', ?)", (by_command,))
            database.close()
        with Source(workspace).facts() as facts:
            return {row["what"]: row for row in execution(facts, None)["limits"]}

    assert load_settings(home=workspace.path).execution.limits_file == path
    return made


def test_a_limit_of_the_file_is_shown_and_one_that_is_left_out_is_none(shown):
    rows = shown(FILE.encode())
    assert [rows[name]["limit"] for name in NAMES] == ["50000", "200000", "500", None, None]
    assert {rows[name]["limit_why"] for name in NAMES} == {""}
    assert rows["all positions"]["source"] == "limits file"
    assert 0 < rows["all positions"]["share"] < 1


@pytest.mark.parametrize("file", [None, b"[position", b"\xff\xfe", b"a = 1\na = 2"])
def test_a_file_that_cannot_be_read_leaves_every_limit_not_known_with_its_path(shown, file):
    rows = shown(file)
    for name in NAMES:
        assert rows[name]["limit"] is None
        assert rows[name]["limit_why"].startswith("not known: the limits file cannot be read")
        assert "limits.toml" in rows[name]["limit_why"]
        assert rows[name]["share"] is None


@pytest.mark.parametrize("value", ['"much"', "nan", "true", "[]", '""'])
def test_a_value_that_is_no_amount_is_not_known_and_named(shown, value):
    rows = shown(f"[position]\nmax_notional = {value}\nmax_total_notional = 7".encode())
    assert rows["largest position"]["limit"] is None
    assert "position.max_notional is" in rows["largest position"]["limit_why"]
    assert rows["all positions"]["limit"] == "7"


def test_a_section_that_is_none_is_not_known(shown):
    rows = shown(b"position = 3\n")
    assert "position is no section" in rows["largest position"]["limit_why"]
    assert rows["one order"]["limit_why"] == ""


def test_a_command_replaces_sections_of_the_file_as_a_whole(shown):
    rows = shown(FILE.encode(), json.dumps({"position": {"max_notional": "9"}}))
    assert [rows[name]["limit"] for name in NAMES] == ["9", None, "500", None, None]
    assert rows["largest position"]["source"] == "set by command"


@pytest.mark.parametrize("damaged", ["{", "[]", "7"])
def test_damaged_limits_of_the_journal_leave_every_limit_not_known(shown, damaged):
    rows = shown(FILE.encode(), damaged)
    for name in NAMES:
        assert rows[name]["limit"] is None
        assert "its limits are damaged" in rows[name]["limit_why"]


def test_a_journal_that_cannot_be_read_leaves_every_limit_not_known(shown, workspace):
    workspace.current().journal.write_text("this is not a database, it is a long enough text")
    rows = shown(FILE.encode())
    for name in NAMES:
        assert rows[name]["limit_why"].startswith("not known: the journal cannot be read now")
