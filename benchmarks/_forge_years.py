"""A whole forge run on years of candles: its memory at the peak, its time, and the nodes a second in it.

The market and its features are made by one process and read by another, as the product does it: candles from their
file, features mapped from theirs. Only the second is measured.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._forge_material import market_of
from benchmarks._harness import BenchmarkError, Row
from crucible.features.frame import FeatureFrame, FeatureSchema
from crucible.forge.evolution.run import ForgeRun
from crucible.forge.genetic.breeder import ProgramBreeder
from crucible.forge.genetic.genome import Genome
from crucible.market.candles import read_candles, write_candles
from crucible.market.simulator import START_MS
from crucible.settings import ForgeSettings, Slot

PROGRAMS, CANDLES, FEATURES, GENERATIONS = 1_000, 1_000_000, 80, 20
MOST_MB = 3_000
MAKE, FORGE = "--make-years", "--forge-years"


def years_rows() -> list[Row]:
    """Forge on the market of years in a process of its own, and tell what it took."""
    with tempfile.TemporaryDirectory() as folder:
        _call(MAKE, folder)
        facts = json.loads(_call(FORGE, folder).splitlines()[-1])
    note = (
        f"a process of its own: a forge run from its first generation to its gates, {PROGRAMS:,} programs x "
        f"{CANDLES:,} candles x {FEATURES} features x {GENERATIONS} generations, {facts['trials']:,.0f} trials "
        f"(as {facts['effective']:,.0f} independent ones) in {facts['seconds']:,.0f} s, of which evaluation "
        f"{facts['evaluating']:,.0f} s; {facts['before_mb']:,.0f} MB before the forge run: libraries, candles, features "
        "mapped from a file"
    )
    return [
        Row("years_forge_peak_memory_mb", facts["peak_mb"], "MB", "lower", MOST_MB, note=note),
        Row("years_forge_seconds", facts["seconds"], "s", "lower", None, note=note),
        Row(
            "years_forge_nodes_per_second",
            facts["nodes"] / facts["evaluating"],
            "1/s",
            "higher",
            None,
            note="nodes of the programs as they were bred, at each training candle, over the time of evaluation "
            "with its backtests; shared subtrees are computed once and counted as often as they stand",
        ),
    ]


def make(folder: Path) -> None:
    """Write the candles and the features."""
    frame, market = market_of(CANDLES, FEATURES)
    # Files hold candles of this century.
    candles = replace(market.candles, ts=market.candles.ts + START_MS)
    write_candles(candles, folder / "XUSDT-1m.parquet")
    np.save(folder / "features.npy", frame.values)
    (folder / "names.json").write_text(json.dumps(frame.schema.names))


def forge(folder: Path) -> dict[str, float]:
    """Forge on what was written."""
    candles = read_candles(folder / "XUSDT-1m.parquet")
    values = np.load(folder / "features.npy", mmap_mode="r", allow_pickle=False)
    names = tuple(json.loads((folder / "names.json").read_text()))
    frame = FeatureFrame("XUSDT", candles.close_ts, values, FeatureSchema(names, {}))
    settings = ForgeSettings(population=PROGRAMS, generations=GENERATIONS)
    facts = {"before_mb": _peak_mb(), "nodes": 0.0, "evaluating": 0.0}
    evaluate = ProgramBreeder.evaluate

    def measured(self: ProgramBreeder, candidates: list[Genome]) -> Any:
        begun = time.perf_counter()
        scores = evaluate(self, candidates)
        facts["evaluating"] += time.perf_counter() - begun
        rows = self._train.stop - self._train.start
        facts["nodes"] += float(sum(map(len, candidates))) * rows
        return scores

    ProgramBreeder.evaluate = measured  # type: ignore[method-assign]
    begun = time.perf_counter()
    result = ForgeRun(Slot.parse("XUSDT-gp-1"), candles, frame, settings, seed=3).run()
    facts["seconds"] = time.perf_counter() - begun
    if result.span.left_out:
        message = f"not all candles were used: {result.span.describe()}"
        raise BenchmarkError(message)
    return {
        **facts,
        "peak_mb": _peak_mb(),
        "trials": float(result.trials),
        "effective": result.effective_trials,
    }


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _call(what: str, folder: str) -> str:
    command = [sys.executable, "-m", "benchmarks._forge_years", what, folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"{what} failed: {done.stderr.strip()[-500:]}"
        raise BenchmarkError(message)
    return done.stdout


if __name__ == "__main__":
    if sys.argv[1] == MAKE:
        make(Path(sys.argv[2]))
    else:
        print(json.dumps(forge(Path(sys.argv[2]))))
