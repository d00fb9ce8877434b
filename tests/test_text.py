"""Foreign text is shown to the letter and steers nothing."""

import io
import sys

import pytest
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from crucible.text import cell, let_every_text_through, terminal, visible, wrapped

HOSTILE = "x[/x][bold]:smile:\x1b]0;title\x07\x1b[2J\x9b31m\r\u202eevil\u2066\ud800\u2028end"


def test_everything_that_steers_a_terminal_is_spelt_out():
    shown = visible(HOSTILE)
    assert shown == (
        "x[/x][bold]:smile:\\x1b]0;title\\x07\\x1b[2J\\x9b31m\\r\\u202eevil\\u2066\\ud800\\u2028end"
    )
    assert shown.isprintable()
    assert visible("größer · 日本 👩‍💻") == "größer · 日本 👩‍💻"
    assert visible(None) == ""
    assert visible(1.5) == "1.5"


@pytest.mark.parametrize("interactive", [True, False])
def test_no_way_through_the_console_lets_a_control_or_markup_pass(interactive: bool):
    out = io.StringIO()
    console = terminal(out, force_terminal=interactive, width=200)
    table = Table(title=HOSTILE)
    table.add_column(HOSTILE)
    table.add_row(HOSTILE)
    table.add_row(cell(HOSTILE, "red"))
    console.print(HOSTILE, Text(HOSTILE), table, Panel(HOSTILE, title=Text(HOSTILE)), end="\n")

    written = out.getvalue()
    assert written.count("x[/x][bold]:smile:\\x1b]0;title") >= 5
    assert "\x1b]" not in written
    assert "\x1b[2J" not in written
    assert not set(written) & set("\x07\x9b\r\u202e\u2066\u2028\ud800")


def test_a_stream_that_cannot_show_a_character_spells_it_out(monkeypatch: pytest.MonkeyPatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    let_every_text_through()
    print("größer \ud800")
    sys.stdout.flush()
    assert raw.getvalue() == b"gr\\xf6\\xdfer \\ud800\n"


def test_a_line_in_columns_goes_on_below_its_last_readable_column_and_breaks_no_word():
    address = "http://127.0.0.1:5000/#/experiments/1/runs/" + "a" * 32
    text = "\n".join(
        [
            "  passed  deflated_sharpe   0.9997  at least 0.95  probability that it beats what trials explain",
            f"  forge run        {address}",
            "An order of an agent, told in a sentence that is longer than a terminal is wide, goes on at its edge.",
        ]
    )
    lines = wrapped(text, 80).split("\n")
    assert all(len(line) <= 80 for line in lines)
    assert " ".join(" ".join(lines).split()) == " ".join(text.split())
    column = lines[0].index("probability")
    assert len(lines[1]) - len(lines[1].lstrip()) == column
    assert f"  {address}" in lines
