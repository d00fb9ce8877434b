"""A boosted classifier's probabilities: our compiled trees beside LightGBM's own `predict`."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np

from benchmarks._harness import Benchmark, BenchmarkError, alternate, ratio_row
from crucible.strategies.forest_text import parse_forest

TRAINED = 20_000
FEATURES, TREES, LEAVES = 6, 80, 10
"""The largest classifier that a forge run makes, but for its four features more."""
BATCH, SINGLE = 100_000, 2_000


def boosted_rows(bench: Benchmark) -> None:
    """Rows a second over history, and microseconds of one live row; the same bits on both sides."""
    booster, values = trained()
    forest = parse_forest(booster.model_to_string(), booster.feature_name())

    def theirs(rows: Any) -> Any:
        return booster.predict(rows, num_threads=1)

    if not np.array_equal(forest.probabilities(values), theirs(values)):
        message = "the two sides do not give the same probabilities"
        raise BenchmarkError(message)
    note = f"{TREES} trees of {LEAVES} leaves, {FEATURES} features, one in ten missing, one thread"
    peer = f"lightgbm {version('lightgbm')}"

    def rate(work: Callable[[Any], Any]) -> float:
        started = time.perf_counter()
        work(values)
        return len(values) / (time.perf_counter() - started)

    def one_by_one(work: Callable[[Any], Any]) -> float:
        rows = [values[number : number + 1] for number in range(SINGLE)]
        started = time.perf_counter()
        for row in rows:
            work(row)
        return 1e6 * (time.perf_counter() - started) / SINGLE

    pairs = alternate(lambda: rate(forest.probabilities), lambda: rate(theirs), rounds=9)
    bench.add(
        ratio_row(
            "boosted_batch_vs_lightgbm",
            pairs,
            better="higher",
            goal=1,
            peer=peer,
            note=f"rows a second of {BATCH:,} rows; {note}",
        )
    )
    pairs = alternate(
        lambda: one_by_one(forest.probabilities), lambda: one_by_one(theirs), rounds=9
    )
    bench.add(
        ratio_row(
            "boosted_row_vs_lightgbm",
            pairs,
            better="lower",
            goal=1,
            peer=peer,
            note=f"microseconds of one row, through each side's Python function; {note}",
        )
    )


def trained() -> tuple[Any, Any]:
    """Train a booster of a forge run's kind on a simulated rule."""
    import lightgbm

    generator = np.random.default_rng(5)
    values = generator.normal(size=(BATCH, FEATURES))
    values[generator.random(values.shape) < 0.1] = np.nan
    seen = np.nan_to_num(values[:TRAINED])
    pays = seen[:, 0] * seen[:, 1] + seen[:, 2] + generator.normal(size=TRAINED) > 0.5
    options = {
        "objective": "binary",
        "num_leaves": LEAVES,
        "learning_rate": 0.1,
        "deterministic": True,
        "num_threads": 1,
        "max_bin": 127,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(values[:TRAINED], pays.astype(int), params={"max_bin": 127})
    return lightgbm.train(options, data, TREES), values
