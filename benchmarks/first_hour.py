"""What a person sees in the first hour on the default market, and when: minutes from `crucible up` on a new workspace.

Each run starts the product as a person does, with every default, on a workspace of its own and free ports, looks at its
ledger, and stops it with Ctrl-C. Minutes are of the wall clock; features and compiled kernels are computed anew, since the
workspace is new. Nothing else should run beside it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks._harness import RESULTS, Benchmark, Row
from crucible.ledger.reader import LedgerError, LedgerReader
from crucible.operations.workspace import Workspace
from tests.support.product import started

GOALS = {"version_proven": 10.0, "first_fill": 5.0, "cull_replaced": 40.0}


def is_proven(ledger: LedgerReader) -> bool:
    """Whether a proven version trades at the venue."""
    return any(row.proven and row.role == "production" for row in ledger.agents())


def has_filled(ledger: LedgerReader) -> bool:
    """Whether the venue has filled an order."""
    return ledger.count_live_fills() > 0


def has_replaced(ledger: LedgerReader) -> bool:
    """Whether an agent was culled and another was seated in its slot and role since."""
    rows = ledger.agents()
    for verdict in ledger.verdicts():
        if verdict["verdict"] != "cull":
            continue
        slot, role = verdict["agent"].rpartition("@")[0], verdict["details"]["role"]
        later = [row for row in rows if (row.slot, row.role) == (slot, role)]
        if any(row.since_ts >= verdict["ts"] and row.agent != verdict["agent"] for row in later):
            return True
    return False


EVENTS: dict[str, Callable[[LedgerReader], bool]] = {
    "version_proven": is_proven,
    "first_fill": has_filled,
    "cull_replaced": has_replaced,
}


def watch(workspace: Path, minutes: float) -> dict[str, float]:
    """Give the minutes after which each event was seen; an event that was not is left out."""
    began = time.monotonic()
    seen: dict[str, float] = {}
    with started(workspace) as (process, _):
        while len(seen) < len(EVENTS) and time.monotonic() < began + 60 * minutes:
            time.sleep(1.0)
            if process.poll() is not None:
                text = (workspace / "up.log").read_text(errors="replace")[-2_000:]
                message = f"crucible up ended by itself: {text}"
                raise RuntimeError(message)
            run = Workspace.at(workspace).current()
            if run is None or not run.ledger.exists():
                continue
            try:
                with LedgerReader(run.ledger) as ledger:
                    new = [
                        name
                        for name, is_there in EVENTS.items()
                        if name not in seen and is_there(ledger)
                    ]
            except LedgerError:
                continue  # it is being made
            for name in new:
                seen[name] = (time.monotonic() - began) / 60
                print(f"{name}: {seen[name]:.1f} minutes", file=sys.stderr, flush=True)
    return seen


def main() -> None:
    """Watch first hours and print the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=45.0, help="of each run at most")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    found = []
    for _ in range(arguments.runs):
        with tempfile.TemporaryDirectory() as folder:
            found.append(watch(Path(folder) / "home", arguments.minutes))
    with Benchmark("first_hour", arguments.results) as bench:
        for name, goal in GOALS.items():
            times = [each[name] for each in found if name in each]
            note = f"seen in {len(times)} of {len(found)} runs of {arguments.minutes:g} minutes at most"
            bench.add(
                Row(
                    f"runs_with_{name}",
                    len(times),
                    "count",
                    "higher",
                    len(found),
                    n=len(found),
                    note=note,
                )
            )
            if times:
                note = f"median; {', '.join(f'{value:.1f}' for value in times)}; {note}"
                bench.add(
                    Row(
                        f"minutes_to_{name}",
                        statistics.median(times),
                        "min",
                        "lower",
                        goal,
                        n=len(times),
                        note=note,
                    )
                )


if __name__ == "__main__":
    main()
