"""A terminal gets a table, a file gets lines, and both get every event."""

import io
from pathlib import Path

from rich.console import Console

from crucible.operations.display import Display
from crucible.operations.status import read_status
from crucible.operations.workspace import Workspace


def test_a_file_gets_one_plain_line_per_event():
    out = io.StringIO()
    with Display(Console(file=out, width=20)) as display:
        display.report_line(
            "prefect: ready [at] http://127.0.0.1:4200, a long line that does not wrap"
        )
    (line,) = out.getvalue().splitlines()
    assert line.endswith("a long line that does not wrap")
    assert "[at]" in line
    assert not display.interactive


def test_a_terminal_sees_the_table_and_the_newest_events(tmp_path: Path):
    out = io.StringIO()
    with Display(Console(file=out, force_terminal=True, width=120, height=60)) as display:
        display.show(read_status(Workspace.at(tmp_path)), "starting")
        for number in range(20):
            display.report_line(f"event {number}")
    last = out.getvalue().rsplit("Services", 1)[1]
    assert "cerebellum" in last
    assert "starting" in last
    assert "event 19" in last
    assert "event 3" not in last
    assert display.interactive
