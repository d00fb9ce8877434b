"""Features: what a live minute, its radar and a year of history cost; the radar's shapes against giotto-ph.

`make bench-features` runs it. No data and no peer needs to be installed: the markets are simulated
and giotto-ph, which works out larger clouds, comes with the product.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks._harness import Benchmark, BenchmarkError, Row, alternate, ratio_row
from crucible.features.history import features_of
from crucible.features.pipeline import FeaturePipeline
from crucible.features.store import GB, FeatureStore
from crucible.features.topology.rips import (
    Diagrams,
    Singles,
    distances_of,
    giotto_diagrams,
    small_diagrams,
)
from crucible.market.candles import Candle, read_folder, write_candles
from crucible.market.simulator import simulate
from crucible.settings import MINUTE_MS, FeatureSettings

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
WARM = 3 * 1_440
LIVE = 600
YEAR = 365 * 1_440
CLOUDS = 200


def main() -> None:
    """Measure and print all rows."""
    with Benchmark("features") as bench:
        shapes(bench)
        minutes(bench)
        year(bench)


def shapes(bench: Benchmark) -> None:
    """Clouds a second, ours and giotto-ph, on the same distances."""
    generator = np.random.default_rng(1)
    clouds = [distances_of(generator.standard_t(4, (60, len(SYMBOLS)))) for _ in range(CLOUDS)]
    for cloud in clouds:
        for ours, theirs in zip(
            lifetimes(small_diagrams(cloud)), lifetimes(giotto_diagrams(cloud)), strict=True
        ):
            if not np.array_equal(ours, theirs):
                message = "the two sides do not give the same components and loops"
                raise BenchmarkError(message)

    def rate(work: Callable[[Singles], Diagrams]) -> float:
        started = time.perf_counter()
        for cloud in clouds:
            work(cloud)
        return len(clouds) / (time.perf_counter() - started)

    pairs = alternate(lambda: rate(small_diagrams), lambda: rate(giotto_diagrams), rounds=7)
    note = (
        "persistence diagrams a second, dimensions 0 and 1, of 60 points in 4 dimensions, from the "
        "same float32 distances, one thread; the peer's time holds its Python side and its threads' "
        "start"
    )
    bench.add(
        ratio_row(
            "radar_diagrams_vs_giotto",
            pairs,
            better="higher",
            goal=None,
            peer=f"giotto-ph {version('giotto-ph')}",
            note=note,
        )
    )


def lifetimes(diagrams: Diagrams) -> tuple[Singles, Singles]:
    """Lifetimes above zero of components and of loops, in order: what both sides must agree on."""
    deaths, (birth, death) = diagrams
    life = death - birth
    return np.sort(deaths[deaths > 0]), np.sort(life[life > 0])


def minutes(bench: Benchmark) -> None:
    """Milliseconds of a live minute, with and without an evaluation of the radar."""
    candles = simulate(list(SYMBOLS), WARM + LIVE, seed=1)
    pipeline = FeaturePipeline(SYMBOLS, FeatureSettings())
    began = int(candles[SYMBOLS[0]].ts[0])
    split = began + WARM * MINUTE_MS
    started = time.perf_counter()
    pipeline.warm({symbol: own.between(0, split) for symbol, own in candles.items()})
    warmed = time.perf_counter() - started
    taken: dict[bool, list[float]] = {True: [], False: []}
    for place in range(WARM, WARM + LIVE):
        one = {
            symbol: Candle(
                int(own.ts[place]),
                float(own.open[place]),
                float(own.high[place]),
                float(own.low[place]),
                float(own.close[place]),
                float(own.volume[place]),
            )
            for symbol, own in candles.items()
        }
        close = int(candles[SYMBOLS[0]].ts[place]) + MINUTE_MS
        started = time.perf_counter()
        pipeline.update(close, one)
        evaluated = close // MINUTE_MS % FeatureSettings().radar_every == 0
        taken[evaluated].append(1_000 * (time.perf_counter() - started))
    note = f"FeaturePipeline.update, {len(SYMBOLS)} symbols, median"
    for name, kind in (("live_minute_ms", False), ("live_minute_with_radar_ms", True)):
        value = statistics.median(taken[kind])
        bench.add(Row(name, value, "ms", "lower", None, n=len(taken[kind]), note=note))
    rate = WARM * len(SYMBOLS) / warmed
    note = f"rows of {len(SYMBOLS)} symbols over {WARM} minutes in one call, compiling included"
    bench.add(Row("history_rows_per_second", rate, "1/s", "higher", None, note=note))


@dataclass(frozen=True, slots=True)
class Year:
    """What it took to have the features of a year."""

    seconds: float
    here_s: float
    others_s: float
    memory_mb: float
    digest: str


def year(bench: Benchmark) -> None:
    """Seconds and memory of a year of four symbols: computed in one thread, on all cores, and found."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        for symbol, own in simulate(list(SYMBOLS), YEAR, seed=1).items():
            write_candles(own, folder / f"{symbol}-1m.parquet")
        alone = in_a_process(folder, None, 1)
        first = in_a_process(folder, folder / "kept", None)
        second = in_a_process(folder, folder / "kept", None)
    if not alone.digest == first.digest == second.digest:
        message = "the features of the year are not the same each time"
        raise BenchmarkError(message)
    what = f"{YEAR} minutes of {len(SYMBOLS)} symbols, compiled before, in a process of its own; one run"
    cores = os.cpu_count() or 1
    one, kept = "the same in one thread", "the first call"
    for row in (
        Row(
            "history_year_s", first.seconds, "s", "lower", None, one, first.seconds, alone.seconds,
            note=f"{what}; threads and processes on {cores} cores, the outcome kept on the disk; processor "
            f"seconds {first.here_s:.0f} here and {first.others_s:.0f} in others, against {alone.here_s:.0f}",
        ),
        Row(
            "history_year_kept_s", second.seconds, "s", "lower", None, kept, second.seconds,
            first.seconds, note=f"{what}; found, every byte checked, mapped",
        ),
        Row(
            "history_year_memory_mb", first.memory_mb, "MB", "lower", None, one, first.memory_mb,
            alone.memory_mb, note=f"{what}; VmHWM with the mapped files, radar's processes left out",
        ),
        Row(
            "history_year_kept_memory_mb", second.memory_mb, "MB", "lower", None, kept,
            second.memory_mb, first.memory_mb, note=f"{what}; VmHWM with the mapped files",
        ),
    ):  # fmt: skip
        bench.add(row)


def in_a_process(folder: Path, kept: Path | None, count: int | None) -> Year:
    """Have the features of a folder of candles in a new process, whose memory nothing else has used."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(have, folder, kept, count).result()


def have(folder: Path, kept: Path | None, count: int | None) -> Year:
    """Take the time of `features_of`, everything compiled before."""
    candles = read_folder(folder)
    pipeline = FeaturePipeline(list(candles), FeatureSettings())
    pipeline.batch({symbol: own[:3_000] for symbol, own in candles.items()})
    store = None if kept is None else FeatureStore(kept, 100 * GB)
    started, before = time.perf_counter(), os.times()
    frames = features_of(pipeline, candles, store=store, count=count)
    seconds, after = time.perf_counter() - started, os.times()
    here = after.user + after.system - before.user - before.system
    others = after.children_user + after.children_system
    status = Path("/proc/self/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    digest = hashlib.sha256()
    for frame in frames.values():
        digest.update(frame.values)
    return Year(seconds, here, others, int(peak.split()[1]) / 1_024, digest.hexdigest())


if __name__ == "__main__":
    main()
