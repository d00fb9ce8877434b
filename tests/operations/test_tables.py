"""No figure is ever cut, however narrow the terminal, and nothing simulated looks like money."""

import fcntl
import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from crucible.ledger.ledger import Ledger
from crucible.ledger.reader import AgentRow
from crucible.ledger.trades import Fill, Mode
from crucible.operations.reconciliation.report import agent_sums
from crucible.operations.sheet import Column, Sheet
from crucible.operations.tables import agents_tables, figures_table
from crucible.operations.workspace import Workspace, write_json

PROMOTED, RIVAL = "SOLUSDT-boosted-12@345", "SOLUSDT-boosted-12@346"
# Figures of real length; each must be found whole.
FEE, PROFIT = Decimal("1234567.12345678"), Decimal("9876543.21")


def fill(number: int, agent: str, mode: Mode, side: str, price: str) -> Fill:
    return Fill(
        exec_id=f"{mode}-{number}",
        agent=agent,
        version=agent.split("@")[1],
        symbol="SOLUSDT",
        side=side,
        qty=Decimal("1234.567891"),
        price=Decimal(price),
        fee=FEE,
        exec_ts=number,
        reason="signal",
        intent_id="",
        mode=mode,
        seq=number if mode == "live" else None,
    )


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A challenger that lost much in simulation, was promoted, and won a little; and its rival."""
    made = Workspace.at(tmp_path_factory.mktemp("home"))
    made.create()
    made.ensure_keys()
    run = made.new_run()
    with Ledger(run.ledger) as book:
        for agent, role in ((PROMOTED, "production"), (RIVAL, "challenger")):
            slot, version = agent.split("@")
            book.seat(AgentRow(agent, slot, version, role, "SOLUSDT", "boosted", False, 0, None))
        for number, (agent, mode, side, price) in enumerate(
            (
                (PROMOTED, "shadow", "buy", "900"),
                (PROMOTED, "shadow", "sell", "100"),
                (PROMOTED, "live", "buy", "100"),
                (PROMOTED, "live", "sell", "9100"),
                (RIVAL, "shadow", "buy", "50"),
            ),
            1,
        ):
            book.book_shadow_fill(fill(number, agent, mode, side, price))  # type: ignore[arg-type]
    agents = [
        {"agent": PROMOTED, "role": "production", "position": "0", "trades": 1, "pnl": "-0.04"},
        {
            "agent": RIVAL,
            "role": "challenger",
            "position": "1234.567891",
            "trades": 12345,
            "pnl": str(PROFIT),
            "last_event": "buy 1234.567891 at 50 (signal), because of a very long sentence",
            "last_signal": "HOLD",
        },
    ]
    write_json(run.arena, {"market_ts": 1_735_689_600_000, "agents": agents})
    return made


def typed(workspace: Workspace, width: int | None, *words: str, errors: bool = False) -> str:
    """Run a command in a terminal of that width; None: into a pipe."""
    command = [sys.executable, "-m", "crucible.cli", *words]
    environment = {**os.environ, "CRUCIBLE_HOME": str(workspace.path), "TERM": "xterm-256color"}
    environment.pop("COLUMNS", None)
    if width is None:
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        ).stdout
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    with subprocess.Popen(
        command,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs if errors else subprocess.DEVNULL,
    ) as process:
        os.close(theirs)
        chunks = []
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:
                break
            if not chunk:
                break
            chunks.append(chunk)
        process.wait(timeout=30)
    os.close(ours)
    text = b"".join(chunks).decode()
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).replace("\r", "")


@pytest.mark.process
@pytest.mark.parametrize("width", [60, 80, 200, None])
def test_report_and_status_show_every_figure_whole(workspace: Workspace, width: int | None):
    live, rival = agent_sums(workspace.current())  # type: ignore[arg-type]
    reported = typed(workspace, width, "report")
    for figures in (live, live["simulated"], rival["simulated"]):
        for name in ("fees", "pnl"):
            assert f"{Decimal(figures[name]):,.2f}" in reported, (name, reported)
    assert "1234.567891" in reported
    seen = typed(workspace, width, "status")
    for figure in ("9,876,543.21", "1234.567891", "12345", "-0.04", RIVAL, PROMOTED):
        assert figure in seen, (figure, seen)
    for text in (reported, seen):
        assert "…" not in text
        assert "..." not in text
        if width is not None:
            assert max(map(len, text.splitlines())) <= width
    if width is None:
        (line,) = (line for line in seen.splitlines() if RIVAL in line)
        assert "because of a very long sentence" in line


def test_a_promoted_agents_profit_begins_at_its_promotion_and_sums_to_the_venues(
    workspace: Workspace,
):
    live, rival = agent_sums(workspace.current())  # type: ignore[arg-type]
    assert live["trades"] == 1
    assert Decimal(live["pnl"]) == Decimal("1234.567891") * 9000 - 2 * FEE
    assert Decimal(live["fees"]) == 2 * FEE
    assert live["position"] == "0"
    assert Decimal(live["simulated"]["pnl"]) == Decimal("1234.567891") * -800 - 2 * FEE
    assert (rival["trades"], rival["pnl"], rival["position"]) == (0, "0", "0")
    assert rival["simulated"]["position"] == "1234.567891"
    # The venue knows two executions; what agents did at it sums to them to the last digit.
    assert sum(Decimal(agent["fees"]) for agent in (live, rival)) == 2 * FEE
    assert sum(agent["fills"]["live"] for agent in (live, rival)) == 2


@pytest.mark.process
def test_what_is_simulated_stands_apart_and_says_so(workspace: Workspace):
    reported = typed(workspace, None, "report")
    real, simulated = reported.split("Challengers: SIMULATED, no part of any sum above")
    assert RIVAL not in real
    assert RIVAL in simulated
    assert "simulated PnL" in simulated
    assert "a challenger before" in simulated
    seen = typed(workspace, None, "status")
    assert RIVAL in seen.split("SIMULATED, none of this is at the venue")[1]
    assert PROMOTED in seen.split("SIMULATED")[0]
    narrow = typed(workspace, 60, "status")
    assert re.search(rf"{RIVAL}[^@]*simulated position 1234\.567891", narrow, re.DOTALL)


def test_what_is_not_known_is_no_zero():
    (sheet,) = agents_tables([{"agent": "a@1", "role": "production", "pnl": None}], "now")
    assert "not known" in drawn(sheet, 120)


def drawn(sheet: object, width: int) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(sheet)
    return out.getvalue()


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_backtests_figures_are_whole(width: int):
    summary = {"net_return": -0.01234, "final_equity": 1234567.891, "trades": 1_000_000_000}
    reported = drawn(figures_table("BTCUSDT gp: 12 fills", {**summary, "sharpe": None}), width)
    for figure in ("-1.23%", "1,234,567.89", "1000000000", "not defined"):
        assert figure in reported


@given(
    st.lists(
        st.tuples(
            st.decimals(allow_nan=False, allow_infinity=False, places=8),
            st.text(alphabet="abc de", max_size=60),
        ),
        min_size=1,
        max_size=5,
    ),
    st.integers(40, 200),
)
@settings(max_examples=60, deadline=None)
def test_at_any_width_figures_are_whole_and_no_line_is_too_long(rows, width):
    sheet = Sheet("t", Column("n", "name"), Column("x", "figure"), Column("y", "figure"),
                  Column("why", "text"))  # fmt: skip
    for number, (value, why) in enumerate(rows):
        sheet.add(f"row-{number}", f"{value:f}", "17", why)
    reported = drawn(sheet, width)
    for number, (value, _) in enumerate(rows):
        assert f"row-{number}" in reported
        assert re.search(rf"(?<![\d.]){re.escape(f'{value:f}')}(?![\d.])", reported)
    assert max(map(len, reported.splitlines())) <= width


def test_the_arena_says_of_every_agent_whether_its_figures_are_simulated(tmp_path: Path):
    from types import SimpleNamespace

    from crucible.arena.agent import Agent
    from crucible.arena.execution import Seat
    from crucible.arena.status_file import write_status

    strategy = SimpleNamespace(symbol="BTCUSDT", kind="gp")
    agents = [
        Agent(Seat("BTCUSDT-gp-1", str(number), role, proven=False, edge=None), strategy)  # type: ignore[arg-type]
        for number, role in enumerate(("production", "challenger", "draining"))
    ]
    write_status(tmp_path / "arena.json", 0, agents, {}, Decimal(1000), {})
    rows = json.loads((tmp_path / "arena.json").read_text())["agents"]
    assert {row["role"]: row["simulated"] for row in rows} == {
        "production": False,
        "challenger": True,
        "draining": False,
    }


@pytest.mark.parametrize(
    ("agent", "route"),
    [
        ({"proven": True, "proven_by": "lived"}, "lived"),
        ({"proven": True, "proven_by": "forged and lived"}, "forged and lived"),
        ({"proven": True}, "forged"),  # of before there were two
        ({"proven": False, "proven_by": ""}, ""),
        ({}, ""),
    ],
)
def test_status_names_the_route_of_every_proof(agent, route):
    row = {"agent": "BTCUSDT-gp-1@1", "role": "production", "pnl": "1", **agent}
    (sheet,) = agents_tables([row], "now")
    out = io.StringIO()
    Console(file=out, width=200).print(sheet)
    assert "proven by" in out.getvalue()
    line = next(text for text in out.getvalue().splitlines() if "BTCUSDT-gp-1@1" in text)
    assert ("BTCUSDT-gp-1@1 *" in line) is not bool(route)
    assert route in line


@pytest.mark.process
def test_money_in_status_and_report_has_its_currency(workspace: Workspace):
    assert "PnL in USDT" in typed(workspace, 80, "status")
    assert "money in USDT" in typed(workspace, 80, "report")


@pytest.mark.process
def test_a_fault_in_a_narrow_terminal_breaks_no_word(workspace: Workspace):
    said = typed(workspace, 40, "why", "c-123", errors=True)
    assert "looking the order up" in said, "nothing is shown while a person waits"
    said = said[said.index("crucible: ") :]
    assert said.startswith("crucible: no order or fill is called")
    words = [word for word in said.split() if "/" not in word]
    assert {"called", "intent", "execution's", "explain"} <= set(words)
    assert all(len(line) <= 40 for line in said.splitlines() if "/" not in line), said
