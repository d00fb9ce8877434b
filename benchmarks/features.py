"""Features: what a live minute and its radar cost, and the radar's shapes against giotto-ph.

`make bench-features` runs it. No data and no peer needs to be installed: the markets are simulated
and giotto-ph, which works out larger clouds, comes with the product.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from importlib.metadata import version

import numpy as np

from benchmarks._harness import Benchmark, BenchmarkError, Row, alternate, ratio_row
from crucible.features.pipeline import FeaturePipeline
from crucible.features.topology.rips import (
    Diagrams,
    Singles,
    distances_of,
    giotto_diagrams,
    small_diagrams,
)
from crucible.market.candles import Candle
from crucible.market.simulator import simulate
from crucible.settings import MINUTE_MS, FeatureSettings

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
WARM = 3 * 1_440
LIVE = 600
CLOUDS = 200


def main() -> None:
    """Measure and print all rows."""
    with Benchmark("features") as bench:
        shapes(bench)
        minutes(bench)


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


if __name__ == "__main__":
    main()
