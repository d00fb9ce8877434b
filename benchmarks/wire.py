"""The wire: acks against a bare echo, books against a peer, a candle's way to an order.

Run it with `make bench-wire`; what each row means is told in its note.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from benchmarks import _wire_arena, _wire_books
from benchmarks._harness import Benchmark, BenchmarkError, Row, alternate, ratio_row
from benchmarks._machine import describe, slowest_hundredth, watched_machine
from benchmarks._peers import Peer
from benchmarks._wire_stack import (
    PATIENT_LIMITS,
    Answers,
    ask,
    cerebellum,
    echo,
    intents,
    timing_tool,
    trading,
    venue,
)
from tests.support.processes import REPOSITORY

ACKS = 1_000
SUSTAINED = 3_000
WINDOW = 64
ROUNDS = 7
REPEAT = 20
WATCH_STARTS_IN = 3.0
CANDLE_SECONDS = 90.0
OPEN = (10_000, 100)
AGENTS = 100
PARTS = ("acks", "load", "books", "candles")


def main() -> None:
    """Measure every row, or those asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=PARTS, action="append", help="measure these rows only")
    parts = parser.parse_args().only or PARTS
    # On the disk of the checkout: a temporary folder may lie in memory, where a sync is free.
    disk = REPOSITORY / "data" / "bench"
    disk.mkdir(parents=True, exist_ok=True)
    with Benchmark("wire") as bench, short_folder() as folder:
        if "acks" in parts:
            acks(bench, timing_tool(), folder, disk)
        if "load" in parts:
            load(bench, timing_tool(), folder)
        if "books" in parts:
            with Peer("wire") as peer:
                books(bench, peer, folder)
        if "candles" in parts:
            candles(bench, folder, disk)


@contextmanager
def short_folder() -> Iterator[Path]:
    """Give a folder whose path leaves room for a socket's name."""
    path = Path(tempfile.mkdtemp(prefix="bw-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def acks(bench: Benchmark, tool: str, folder: Path, disk: Path) -> None:
    """Time submit to ack, and how many intents a second are taken."""
    journal = disk / "journal.sqlite"
    for old in disk.glob("journal.sqlite*"):
        old.unlink()
    with ExitStack() as stack:
        market = stack.enter_context(venue(folder))
        _, memory = stack.enter_context(cerebellum(folder, market, "memory", ":memory:"))
        _, durable = stack.enter_context(cerebellum(folder, market, "durable", str(journal)))

        def of_cerebellum(ready: dict[str, str]) -> Answers:
            frames = intents(folder / "frames", ACKS, market["rest"])
            return ask(tool, ready["commands"], frames, accepted=True)

        size = of_cerebellum(memory).reply_bytes
        plain = stack.enter_context(echo(tool, folder, size, None))
        synced = stack.enter_context(echo(tool, folder, size, disk / "echo.log"))

        def of_echo(address: str) -> float:
            frames = intents(folder / "frames", ACKS, market["rest"])
            return ask(tool, address, frames, accepted=False).p50_us

        same = (
            f"microseconds at the median of {ACKS} submits a round, one after the other, each "
            f"followed by its untimed cancel; the same Rust client, the same request frames, answers "
            f"of {size} bytes on both sides"
        )
        bench.add(
            ratio_row(
                "ack_memory_vs_echo_p50",
                alternate(lambda: of_cerebellum(memory).p50_us, lambda: of_echo(plain), ROUNDS),
                better="lower", goal=1.3, peer="bare ZeroMQ ROUTER echo in Rust",
                note=f"{same}; the journal is SQLite in memory",
            )
        )  # fmt: skip
        bench.add(
            ratio_row(
                "ack_durable_vs_echo_plus_fsync_p50",
                alternate(lambda: of_cerebellum(durable).p50_us, lambda: of_echo(synced), ROUNDS),
                better="lower", goal=1.5,
                peer="ZeroMQ ROUTER echo in Rust with one fdatasync of the frame",
                note=f"{same}; the journal on disk (WAL, FULL), the echo writes into a preallocated "
                "file on the same file system and calls fdatasync once a frame",
            )
        )  # fmt: skip
        rates = []
        for _ in range(ROUNDS):
            frames = intents(folder / "frames", SUSTAINED, market["rest"])
            answers = ask(tool, durable["commands"], frames, window=WINDOW, accepted=True)
            rates.append(answers.per_second)
        bench.add(
            Row(
                "intents_per_second", statistics.median(rates), "1/s", "higher", None, n=ROUNDS,
                note=f"durable, one client, {WINDOW} commands under way, {SUSTAINED} intents a round; "
                "each is withdrawn by a cancel that is journaled too, so twice as many commands",
            )
        )  # fmt: skip


def load(bench: Benchmark, tool: str, folder: Path) -> None:
    """Time submit to ack where many orders are open, and where few are."""
    place = folder / "load"
    place.mkdir()
    with ExitStack() as stack:
        market = stack.enter_context(venue(place))
        addresses = []
        for count in OPEN:
            _, ready = stack.enter_context(
                cerebellum(place, market, str(count), ":memory:", PATIENT_LIMITS)
            )
            addresses.append(ready["commands"])
            frames = intents(place / "frames", count, market["rest"], AGENTS, keep=True)
            ask(tool, ready["commands"], frames, window=WINDOW, accepted=True)

        def p50(address: str) -> float:
            frames = intents(place / "frames", ACKS, market["rest"], AGENTS)
            return ask(tool, address, frames, accepted=True).p50_us

        many, few = addresses
        bench.add(
            ratio_row(
                f"submit_cost_at_{OPEN[0]}_open_vs_{OPEN[1]}",
                alternate(lambda: p50(many), lambda: p50(few), ROUNDS),
                better="lower", goal=2, peer=f"the same Cerebellum with {OPEN[1]} open orders",
                note=f"microseconds at the median of {ACKS} submits a round, one after the other, each "
                f"followed by its untimed cancel; {OPEN[0]} and {OPEN[1]} orders of {AGENTS} agents in one "
                "symbol are open and wait for their turn at the venue (one a second leaves); the "
                "journal is SQLite in memory",
            )
        )  # fmt: skip


def books(bench: Benchmark, peer: Peer, folder: Path) -> None:
    """Time parsing and applying order book frames."""
    given = _wire_books.frames(folder)
    arguments = {"frames": str(given.path), "places": given.places}

    def ours() -> float:
        reported = _wire_books.ours(given, REPEAT)
        return float(reported["levels"] / reported["seconds"])

    def theirs() -> float:
        reported = peer.call("deltas", repeat=REPEAT // 10, **arguments)
        return float(reported["levels"] / reported["seconds"])

    once = _wire_books.best(_wire_books.ours(given, 1))
    other = peer.call("deltas", repeat=1, **arguments)["best"]
    if once != other:
        message = f"the books differ at the end: ours {once}, the peer's {other}"
        raise BenchmarkError(message)
    pairs = alternate(ours, theirs, ROUNDS)
    frames = f"{given.count} frames with {given.levels} level changes, {given.source}"
    bench.add(
        Row(
            "book_deltas_per_second", statistics.median(pair[0] for pair in pairs), "1/s", "higher",
            800_000, n=ROUNDS,
            note=f"cerebellum replay-frames, one thread, from JSON text to the book; {frames}; "
            "a delta is one level change",
        )
    )  # fmt: skip
    bench.add(
        ratio_row(
            "book_deltas_vs_nautilus", pairs, better="higher", goal=1,
            peer=peer.label("nautilus_trader"),
            note=f"level changes a second; {frames}. Both begin with the frame's text. Ours: Rust, "
            "scaled integers. The peer: its own Bybit adapter (msgspec decoder and delta objects made "
            "in Python), then its Rust order book; most of its time is the adapter's Python",
        )
    )  # fmt: skip


def candles(bench: Benchmark, folder: Path, disk: Path) -> None:
    """Time the way from a closed candle to an order at the venue, and Cerebellum's memory after it."""
    place = folder / "candles"
    place.mkdir()
    with trading(place, disk / "candles.sqlite") as traded:
        with watched_machine() as steadiness:
            time.sleep(WATCH_STARTS_IN)
            began = time.time_ns()
            time.sleep(CANDLE_SECONDS)
        memory = psutil.Process(traded.cerebellum).memory_info().rss / 2**20
        found = sorted(traded.latencies_ms(began))
    if len(found) < 100:
        message = f"only {len(found)} orders of the arena were seen; too few for a percentile"
        raise BenchmarkError(message)
    cuts = statistics.quantiles(found, n=100, method="inclusive")
    note = (
        f"arrival of the closed candle on the venue's public stream to first arrival of the order on its "
        f"private stream, both as the kernel stamps a packet to one process beside; market at {_wire_arena.SPEED} times real "
        "time, 2 symbols, 4 agents with genetic programs, every feature, durable journal; from the "
        "arena's being ready on"
    )
    machine = (
        f"{describe(steadiness)}; right after, {cuts[49]:.1f} ms of nothing but computing, begun at "
        f"any moment, took {slowest_hundredth(cuts[49]):.1f} ms at its 99th percentile"
    )
    for name, value in (("p50", cuts[49]), ("p99", cuts[98])):
        bench.add(
            Row(
                f"candle_to_order_{name}_ms", value, "ms", "lower", 20, n=len(found),
                note=f"{note}; slowest {found[-1]:.1f} ms; {machine}",
            )
        )  # fmt: skip
    bench.add(
        Row(
            "cerebellum_memory_mb", memory, "MB", "lower", None,
            note=f"resident memory after {CANDLE_SECONDS:g} s of that trading",
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
