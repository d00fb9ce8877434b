"""What every benchmark shares: rows, facts of the machine, alternating rounds, peers, results.

A benchmark is a module of this folder with a `main`:

    with Benchmark("forge") as bench, Peer("forge") as peer:
        bench.add(ratio_row("nodes_vs_deap_numpy", ours, lambda: peer.call("nodes"), ...))

`Benchmark` prints each row when it is measured, keeps it in ``benchmarks/results/NAME.json`` and
prints all rows as one JSON object on the last line of its output.
"""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / "results"
LEAST_ROUNDS = 5
Better = Literal["higher", "lower"]


class BenchmarkError(RuntimeError):
    """A figure cannot be measured: a peer is missing, an answer is not a number."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure.

    Parameters
    ----------
    name
        Stable, lower_snake_case.
    value
        The figure; for a ratio the median of the rounds' ratios.
    unit
        `ratio`, `1/s`, `ms`, `MB`, ...
    better
        Which way is better.
    goal
        The figure asked for, also where it is not reached; None where none was asked for.
    peer
        Name and version of what it is compared with; None for an absolute figure.
    ours, theirs
        The two absolute figures of a ratio (medians over the rounds); None for an absolute figure.
    n
        Rounds, or samples of an absolute figure.
    note
        What each side does, and anything that a reader could take wrongly.
    """

    name: str
    value: float
    unit: str
    better: Better
    goal: float | None
    peer: str | None = None
    ours: float | None = None
    theirs: float | None = None
    n: int = 1
    note: str = ""

    def __post_init__(self) -> None:
        for field in ("value", "ours", "theirs", "goal"):
            number = getattr(self, field)
            if number is not None and not math.isfinite(number):
                message = f"row {self.name}: {field} is {number}, not a number to show"
                raise BenchmarkError(message)
        if self.unit == "ratio" and (self.n < LEAST_ROUNDS or None in (self.ours, self.theirs)):
            message = f"row {self.name}: a ratio needs ours, theirs and {LEAST_ROUNDS} rounds"
            raise BenchmarkError(message)

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None without a goal."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.better == "higher" else self.value <= self.goal


def alternate(
    ours: Callable[[], float],
    theirs: Callable[[], float],
    rounds: int = LEAST_ROUNDS,
    warm_up: int = 1,
) -> list[tuple[float, float]]:
    """Measure both sides in turn, so that a slow moment of the machine meets both.

    Parameters
    ----------
    ours, theirs
        Each runs once and returns its figure (a rate or a time, the same for both).
    rounds
        Rounds that count, at least 5; who goes first changes each round.
    warm_up
        Rounds before, which are thrown away.

    Returns
    -------
    list of tuple
        (ours, theirs) of each round.
    """
    if rounds < LEAST_ROUNDS:
        message = f"{rounds} rounds are too few for a median; at least {LEAST_ROUNDS}"
        raise BenchmarkError(message)
    pairs = []
    for number in range(-warm_up, rounds):
        if number % 2:
            their = theirs()
            our = ours()
        else:
            our = ours()
            their = theirs()
        if number >= 0:
            pairs.append((our, their))
    return pairs


def ratio_row(
    name: str,
    pairs: Iterable[tuple[float, float]],
    *,
    better: Better,
    goal: float | None,
    peer: str,
    note: str,
    theirs_over_ours: bool = False,
) -> Row:
    """Make the row of a ratio from the pairs of `alternate`.

    The value is ours / theirs: with rates higher is better, with times lower. A speed-up from two
    times is `theirs_over_ours` and higher is better.
    """
    rounds = list(pairs)
    if not all(our > 0 and their > 0 for our, their in rounds):
        message = f"row {name}: every figure of a ratio must be above zero, got {rounds}"
        raise BenchmarkError(message)
    values = [their / our if theirs_over_ours else our / their for our, their in rounds]
    return Row(
        name,
        statistics.median(values),
        "ratio",
        better,
        goal,
        peer,
        statistics.median(our for our, _ in rounds),
        statistics.median(their for _, their in rounds),
        len(rounds),
        note,
    )


def machine() -> dict[str, Any]:
    """Facts that tell machines apart: the processor's model and the cores, no names or paths."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        if names:
            cpu = names[0].split(":", 1)[1].strip()
    return {"cpu": cpu, "cores": os.cpu_count() or 1}


def commit() -> str:
    """Name the revision that is measured; ``+changes`` marks tracked files that differ from it."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        changed = _git(
            "status", "--porcelain", "--untracked-files=no", "--", ":!/benchmarks/results"
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{head}+changes" if changed else head


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(FOLDER), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


class Benchmark:
    """The rows of one benchmark: printed as they come, kept at the end.

    Leaving the ``with`` block in order keeps the rows and prints the last line; a
    `BenchmarkError` inside it is printed as one line and ends the program with status 1.
    """

    def __init__(self, name: str, results: Path = RESULTS) -> None:
        self.name = name
        self.results = results
        self.rows: list[Row] = []

    def add(self, row: Row) -> Row:
        """Take a row and show it."""
        self.rows.append(row)
        goal = "" if row.goal is None else f"  goal {row.goal:g}"
        mark = {True: " reached", False: " missed", None: ""}[row.reached]
        sides = "" if row.ours is None else f"  ({row.ours:.4g} against {row.theirs:.4g})"
        print(f"{row.name:40} {row.value:12.4g} {row.unit}{goal}{mark}{sides}", flush=True)
        return row

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, BenchmarkError):
            print(f"bench {self.name}: {error}", file=sys.stderr, flush=True)
            raise SystemExit(1) from error
        if error is None:
            facts = {"bench": self.name, "commit": commit(), "machine": machine()}
            keep(self.results / f"{self.name}.json", facts, self.rows)
            print(json.dumps({**facts, "rows": [asdict(row) for row in self.rows]}), flush=True)


def keep(path: Path, facts: dict[str, Any], rows: Iterable[Row]) -> None:
    """Write rows into a results file: the newest of each name, and the best ever, per machine."""
    kept = {"bench": facts["bench"], "machines": []}
    if path.is_file():
        kept = json.loads(path.read_text())
    entry = next((one for one in kept["machines"] if one["machine"] == facts["machine"]), None)
    if entry is None:
        entry = {"machine": facts["machine"], "newest": {}, "best": {}}
        kept["machines"].append(entry)
    day = datetime.now(UTC).date().isoformat()
    for row in rows:
        reported = {**asdict(row), "commit": facts["commit"], "day": day}
        entry["newest"][row.name] = reported
        best = entry["best"].get(row.name)
        sign = 1 if row.better == "higher" else -1
        if best is None or sign * row.value > sign * best["value"]:
            entry["best"][row.name] = reported
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    partial.replace(path)
