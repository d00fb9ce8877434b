"""What looking costs: the arena's decision time while three live pages are open, beside its time with none.

The arena, Cerebellum and the paper venue run as in `make bench-wire`; the live page is served from the arena's own
workspace, as `crucible up` serves it, and Chromium opens the overview, the market and an agent on the same machine. The
browser draws without a graphics card: what it takes of the cores is in the figure. Nothing else should run beside it.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks._harness import Benchmark, BenchmarkError, alternate, ratio_row
from benchmarks._wire_arena import SPEED, SYMBOLS
from benchmarks._wire_stack import trading
from benchmarks.page import disk, served
from crucible.files import write_json
from crucible.operations.workspace import Workspace
from tests.support.browsers import find_chromium, launched
from tests.support.pages import announce

VIEWS = ("/", "/market", f"/agents/{SYMBOLS[0]}-gp-1@1")
SETTLES_S = 5.0
FEWEST = 30
"""Orders of a round; a median of fewer says little."""


def main() -> None:
    """Let the arena trade, and open and close the pages in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each half of a round")
    given = parser.parse_args()
    chromium = find_chromium()
    if chromium is None:
        message = "no Chromium on the path: apt install chromium"
        raise BenchmarkError(message)
    folder = Path(tempfile.mkdtemp(prefix="bo-", dir=disk()))
    try:
        workspace = Workspace.at(folder)
        workspace.create()
        run = workspace.new_run()
        write_json(run.facts, {"symbols": SYMBOLS, "market": "simulated", "speed": SPEED})
        with Benchmark("open_pages") as bench, ExitStack() as stack:
            traded = stack.enter_context(trading(run.path, run.journal))
            pids = {
                "arena": traded.arena, "cerebellum": traded.cerebellum, "paper_venue": traded.venue,
            }  # fmt: skip
            addresses = {"paper_venue": traded.rest, "cerebellum": traded.ready["metrics"]}
            announce(workspace, run, pids, addresses, traded.ready)
            (address, _), _ = stack.enter_context(served(workspace))
            browser = stack.enter_context(launched(chromium))
            counts = []

            def median_ms() -> float:
                began = time.time_ns()
                time.sleep(given.seconds)
                ended = time.time_ns()
                time.sleep(1.0)  # for orders of the last candles
                found = traded.latencies_ms(began, ended)
                if len(found) < FEWEST:
                    message = f"only {len(found)} orders were seen in {given.seconds:g} s"
                    raise BenchmarkError(message)
                counts.append(len(found))
                return statistics.median(found)

            def looked_at() -> float:
                tabs = [browser.new_page() for _ in VIEWS]
                for tab, view in zip(tabs, VIEWS, strict=True):
                    tab.goto(f"{address}{view}")
                    tab.get_by_text("waiting for the first answer").wait_for(state="detached")
                time.sleep(SETTLES_S)
                try:
                    return median_ms()
                finally:
                    for tab in tabs:
                        tab.close()

            def alone() -> float:
                time.sleep(SETTLES_S)
                return median_ms()

            pairs = alternate(looked_at, alone, given.rounds)
            note = (
                f"milliseconds from a closed candle to its order at the venue, at the median of a round of {given.seconds:g} s, with "
                f"{', '.join(VIEWS)} open in Chromium on the same machine; market at {SPEED} times real time, 2 symbols, 4 agents, "
                f"at least {min(counts)} orders a round"
            )
            bench.add(
                ratio_row(
                    "decision_time_with_three_pages", pairs, better="lower", goal=1.05,
                    peer="the same arena, no page open", note=note,
                )
            )  # fmt: skip
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
