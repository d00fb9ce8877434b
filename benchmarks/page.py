"""The live page before a large run: how soon its overview stands, and what live updates cost.

A ledger of 2,000 agents that all trade, 200,000 closed trades, 90 days of marks of equity (17 million rows) and "keep"
verdicts of its last week (1.3 million) is made in a temporary folder; the page is served from it as `crucible up` serves
it and opened in Chromium. For the stream, an arena is stood in for by a loop that writes a new status file each second in
which every agent has changed, and books fills, marks and verdicts. Nothing else should run beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from random import Random

import httpx
import psutil

from benchmarks._harness import Benchmark, BenchmarkError, Row
from crucible.files import show_text
from crucible.ledger.ledger import Ledger
from crucible.operations.supervision.ports import claim
from crucible.operations.supervision.process import ServiceProcess
from crucible.operations.supervision.services import BEHIND
from crucible.operations.workspace import Run, Workspace, write_json
from tests.support.browsers import find_chromium, launched
from tests.support.factories import agent_row, fill_event
from tests.support.polling import until
from tests.support.processes import REPOSITORY

DAY_MS, QUARTER_MS = 86_400_000, 900_000
JUDGED_MS = 7 * DAY_MS
KEPT = json.dumps({"role": "production", "gain_evidence": 1.4, "loss_evidence": 0.7, "trades": 9, "drawdown": 0.01})  # fmt: skip
BEGAN = 1_735_689_600_000
ROUNDS = 7
LISTENED_S = 30.0


def main() -> None:
    """Make the ledger, serve it, open it and listen to it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=2_000)
    parser.add_argument("--trades", type=int, default=200_000)
    parser.add_argument("--days", type=int, default=90)
    size = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bp-", dir=disk()))
    try:
        with Benchmark("page") as bench, ExitStack() as stack:
            workspace = Workspace.at(folder)
            workspace.create()
            run = made(workspace, size.agents, size.trades, size.days)
            what = f"{size.agents} agents, {size.trades} trades, {size.days} days of equity"
            page, cold = stack.enter_context(served(workspace))
            bench.add(
                Row("overview_cold_seconds", cold, "s", "lower", None, note=f"from the start of the server to the first answer of /api/overview: {what}")
            )  # fmt: skip
            opened = [open_overview(page) for _ in range(ROUNDS)]
            whole, chart = (statistics.median(part) for part in zip(*opened, strict=True))
            note = (
                f"Chromium, server warm, from the address to figures and the line of equity: {what}"
            )
            bench.add(Row("overview_seconds", whole, "s", "lower", 1.0, n=ROUNDS, note=note))
            note = f"the same, until plotly has drawn its chart in place of the bare line: {what}"
            bench.add(Row("overview_chart_seconds", chart, "s", "lower", None, n=ROUNDS, note=note))
            rate, cpu = listen(page, run, size.agents, size.days)
            note = f"one page listens for {LISTENED_S:.0f} s while every agent changes every second: {what}"
            bench.add(Row("stream_bytes_per_second", rate, "B/s", "lower", 50_000, note=note))
            bench.add(Row("stream_server_cpu", cpu, "cores", "lower", None, note=note))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def disk() -> Path:
    # On the disk of the checkout: a temporary folder may lie in memory.
    disk = REPOSITORY / "data" / "bench"
    disk.mkdir(parents=True, exist_ok=True)
    return disk


def names(count: int) -> list[str]:
    """Agents of two symbols."""
    return [f"{'BTCUSDT' if n % 2 else 'ETHUSDT'}-gp-{n // 2 + 1}@1" for n in range(count)]


def made(workspace: Workspace, agents: int, trades: int, days: int) -> Run:
    """Make a run whose ledger holds all of it."""
    run, random = workspace.new_run(), Random(1)
    write_json(run.facts, {"symbols": ["BTCUSDT", "ETHUSDT"], "market": "simulated", "speed": 60})
    end = BEGAN + days * DAY_MS
    with Ledger(run.ledger) as ledger:
        database = ledger._db  # noqa: SLF001 - millions of rows, faster than one by one
        database.execute("PRAGMA synchronous = OFF")
        each = max(1, trades // agents)
        step = (end - BEGAN) // (each + 1)
        with ledger.transaction():
            for name in names(agents):
                ledger.seat(agent_row(name, symbol=name.split("-")[0], since_ts=BEGAN))
            rows = []
            for number in range(each):
                for name in names(agents):
                    opened = BEGAN + number * step + random.randrange(step // 2)
                    price = f"{random.uniform(90, 110):.2f}"
                    for side, ts in (("buy", opened), ("sell", opened + step // 3)):
                        seq = len(rows) + 1
                        slot, symbol = name.split("@")[0], name.split("-")[0]
                        rows.append((f"e{seq}", seq, "live", name, "1", slot, symbol, side, "0.123", price, "0.00740025", ts, f"i{seq}", "signal"))  # fmt: skip
            marks = ",".join("?" * 14)
            database.executemany(f"INSERT INTO fills VALUES ({marks})", rows)  # noqa: S608 - ours
            for name in names(agents):
                database.execute(
                    "WITH RECURSIVE t(ts) AS (SELECT ?1 UNION ALL SELECT ts + ?2 FROM t WHERE ts < ?3) "
                    "INSERT INTO equity SELECT ?4, ts, 'live', "
                    "printf('%.8f', 10000 + abs(random() % 1000000000) / 1e7) FROM t",
                    (BEGAN, QUARTER_MS, end, name),
                )
                database.execute(
                    "WITH RECURSIVE t(ts) AS (SELECT ?1 UNION ALL SELECT ts + ?2 FROM t WHERE ts < ?3) "
                    "INSERT INTO verdicts SELECT ts, ?4, '1', 'keep', 'evidence is not decisive', ?5 FROM t",
                    (max(BEGAN, end - JUDGED_MS), QUARTER_MS, end, name, KEPT),
                )
            ledger.set_last_judged(end)
            ledger.set_market_ts(end)
            database.execute(
                "INSERT OR REPLACE INTO meta VALUES ('last_seq', ?)", (str(len(rows)),)
            )
    show(run, agents, end, 0)
    return run


def show(run: Run, agents: int, ts: int, step: int) -> None:
    """Write the arena's status file, every agent with another result than before."""
    rows = [
        {
            "agent": name, "slot": name.split("@")[0], "version": "1", "role": "production", "symbol": name.split("-")[0],
            "kind": "gp", "proven": False, "proven_by": "", "simulated": False, "position": "0.123",
            "trades": 100, "pnl": f"{step + place / 7:.8f}", "multipliers": {}, "last_signal": "HOLD",
            "last_event": "buy 0.123 at 100.12 (entry)",
        }
        for place, name in enumerate(names(agents))
    ]  # fmt: skip
    show_text(run.arena, json.dumps({"market_ts": ts, "agents": rows}))


@contextmanager
def served(workspace: Workspace) -> Iterator[tuple[tuple[str, int], float]]:
    """Serve the page; give its address and process, and the seconds until its overview was there."""
    port = claim(0, "dashboard")
    environment = {**os.environ, "CRUCIBLE_HOME": str(workspace.path)}
    command = (sys.executable, "-m", "crucible.dashboard", "--port", str(port))
    began = time.monotonic()
    process = ServiceProcess(
        "dashboard", command, environment, workspace.logs, REPOSITORY, nice=BEHIND
    )
    address = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return httpx.get(f"{address}/api/overview", timeout=120).is_success
        except httpx.ConnectError:
            return False

    try:
        until(answers, "the page", seconds=180, pause=0.05)
        yield (address, process.identity.pid), time.monotonic() - began
    finally:
        process.stop(5.0)


def open_overview(page: tuple[str, int]) -> tuple[float, float]:
    """Open the overview in a fresh Chromium page; give the seconds until figures and line stand, and until plotly's chart does."""
    found = find_chromium()
    if found is None:
        message = "no Chromium on the path: apt install chromium"
        raise BenchmarkError(message)
    with launched(found) as browser:
        tab = browser.new_page(viewport={"width": 1400, "height": 1000})
        tab.goto("about:blank")
        began = time.monotonic()
        tab.goto(page[0])
        tab.locator(".card [data-value]").first.wait_for()
        tab.locator(".chart svg").first.wait_for()
        whole = time.monotonic() - began
        tab.locator(".chart .main-svg").first.wait_for()
        chart = time.monotonic() - began
    return whole, chart


def listen(page: tuple[str, int], run: Run, agents: int, days: int) -> tuple[float, float]:
    """Listen while everything changes; give bytes a second, and the cores that the server used."""
    ended = threading.Event()

    def trade() -> None:
        with Ledger(run.ledger) as ledger:
            ts = BEGAN + days * DAY_MS
            step = 0
            while not ended.wait(1.0):
                step += 1
                ts += QUARTER_MS
                for name in names(20):
                    seq = ledger.last_seq() + 1
                    ledger.book_event(
                        fill_event(
                            seq, f"n{seq}", agent=name, symbol=name.split("-")[0], exec_ts=ts
                        )
                    )
                ledger.book_equity(
                    ts, [(name, "live", Decimal(10_000 + step)) for name in names(agents)]
                )
                with ledger.transaction():
                    ledger._db.executemany(  # noqa: SLF001 - thousands at once
                        "INSERT INTO verdicts VALUES (?, ?, '1', 'keep', 'evidence is not decisive', ?)",
                        [(ts, name, KEPT) for name in names(agents)],
                    )
                ledger.set_last_judged(ts)
                ledger.set_market_ts(ts)
                show(run, agents, ts, step)

    arena = threading.Thread(target=trade, daemon=True)
    process = psutil.Process(page[1])
    arena.start()
    size = 0
    try:
        with httpx.stream("GET", f"{page[0]}/api/stream", timeout=30) as answer:
            parts = answer.iter_raw()
            next(parts)  # everything is told once to a page that begins
            spent, began = sum(process.cpu_times()[:2]), time.monotonic()
            while time.monotonic() - began < LISTENED_S:
                size += len(next(parts))
            taken = time.monotonic() - began
            cpu = (sum(process.cpu_times()[:2]) - spent) / taken
    finally:
        ended.set()
        arena.join(timeout=30)
    return size / taken, cpu


if __name__ == "__main__":
    main()
