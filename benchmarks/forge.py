"""How fast is the Forge's engine, beside those one would use instead?

Numeric trees, evolved programs, features and candles are made here from seeds and given to both
sides. One node is one node of the trees as they were grown, leaves included, at one candle, for
both sides alike; notes tell what is left of a ratio when shared subtrees are counted once.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np

from benchmarks._boosted import boosted_rows
from benchmarks._forge_material import (
    COSTS,
    EXITS,
    evolved,
    market_of,
    sparse_signals,
    trees,
)
from benchmarks._forge_years import years_rows
from benchmarks._harness import Benchmark, BenchmarkError, Row, alternate, ratio_row
from benchmarks._machine import gain_of_two_threads
from benchmarks._peers import Peer
from crucible.forge.backtest.engine import Accounts
from crucible.forge.backtest.population import FeatureTable, evaluate_programs
from crucible.forge.evolution.run import ForgeRun
from crucible.settings import ForgeSettings, Slot
from crucible.vm import kernels
from crucible.vm.interpreter import Lines, Runner
from crucible.vm.linear import LinearProgram, compile_programs
from crucible.vm.program import lookback

ROWS = 500_000
FEATURES = 60
TREES = 200
PROGRAMS = 1_000
PANDAS_SAMPLE = 6
NUMPY_SAMPLE = 60
STRATEGIES = 5
FORGED = 2
# One round differs from the next by a tenth on a virtual machine, and a slow minute outlasts five of nodes.
NODE_ROUNDS, THREAD_ROUNDS, GENERATION_ROUNDS = 15, 45, 15
PARTS = ("nodes", "generation", "backtest", "memory", "years", "boosted")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=PARTS, action="append", help="measure these rows only")
    parser.add_argument("--memory-of-a-forging", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of_a_forging:
        print(json.dumps(forge_once()))
        return
    parts = options.only or PARTS
    with Benchmark("forge") as bench, tempfile.TemporaryDirectory() as folder:
        if "memory" in parts:
            bench.add(memory_row())
        if "years" in parts:
            for row in years_rows():
                bench.add(row)
        if "boosted" in parts:
            boosted_rows(bench)
        if set(parts) - {"memory", "years", "boosted"}:
            with Material(Path(folder)) as material:
                if "nodes" in parts:
                    node_rows(bench, material)
                if "generation" in parts:
                    generation_rows(bench, material)
                if "backtest" in parts:
                    bench.add(backtest_row(material))


class Material:
    """What both sides work on, and the peer's process that has read it."""

    def __init__(self, folder: Path) -> None:
        self.frame, self.market = market_of(ROWS, FEATURES)
        self.table = FeatureTable(self.frame)
        self.trees = trees(TREES, FEATURES, seed=11)
        self.programs, self.exits = evolved(self.frame, self.market, PROGRAMS, seed=12)
        self.signals = sparse_signals(STRATEGIES, ROWS)
        candles = self.market.candles
        np.save(folder / "features.npy", np.ascontiguousarray(self.table.lines.values))
        (folder / "trees.json").write_text(json.dumps(self.trees))
        (folder / "programs.json").write_text(
            json.dumps(
                [
                    {
                        "program": renamed(program, self.frame.schema.names),
                        "exits": [exits.stop, exits.target, exits.timeout],
                        "warmup": lookback(program) - 1,
                    }
                    for program, exits in zip(self.programs, self.exits, strict=True)
                ]
            )
        )
        np.savez(
            folder / "market.npz",
            open=candles.open,
            high=candles.high,
            low=candles.low,
            close=candles.close,
            regime=self.market.regime,
            pace=self.market.volatility,
            buy=self.signals == 1,
            leave=self.signals == 2,
            stop=EXITS.stop,
            target=EXITS.target,
            fee=COSTS.fee,
            slippage=COSTS.slippage,
        )
        self.peer = Peer("forge", {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"})
        self.peer.call("load", folder=str(folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.peer.close()


def renamed(program: object, names: tuple[str, ...]) -> object:
    """A program over x0, x1, ... as nested lists."""
    if isinstance(program, tuple):
        return [program[0], *(renamed(part, names) for part in program[1:])]
    return f"x{names.index(program)}" if isinstance(program, str) else program


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


# --- numeric trees -------------------------------------------------------------------------------


def node_rows(bench: Benchmark, material: Material) -> None:
    """Rates of nodes against every peer, and against what the first cache allows."""
    expressions = [as_tuple(tree) for tree in material.trees]
    linear = compile_programs(expressions)
    lines = np.array([int(name[1:]) for name in linear.features])
    nodes = linear.nodes * ROWS
    if linear.values != TREES:
        message = f"{TREES - linear.values} of the {TREES} trees are equal to another"
        raise BenchmarkError(message)

    def ours(matrix: np.ndarray | None = None) -> float:
        """Compile the trees and compute every value, a block at a time, as a backtest gets them."""
        start = time.perf_counter()
        runner = Runner(compile_programs(expressions))
        for first in range(0, ROWS, runner.block):
            rows = min(runner.block, ROWS - first)
            runner.step(material.table.lines, lines, first, rows)
            if matrix is not None:
                matrix[:, first : first + rows] = runner.values[:, :rows]
        return nodes / (time.perf_counter() - start)

    out = np.empty((TREES, ROWS), np.float32)
    ours(out)
    kept = np.median([ours(out) / ours() for _ in range(5)])
    operators = sum(count_operators(tree) for tree in expressions)
    steps = np.isin(linear.code[:, 0], (kernels.VALUE, kernels.FILL), invert=True).sum()
    note = (
        f"same {TREES} random trees of {linear.nodes / TREES:.0f} nodes x {ROWS:,} candles x "
        f"{FEATURES} features, 32-bit, one thread; peers give one array a tree, ours gives every "
        "value of every tree a block at a time, as the backtest takes them: copied into one "
        f"matrix as well, ours is {kept:.2f} times as fast; {steps / operators:.0%} of the trees' "
        f"operators ({linear.shared / linear.nodes:.0%} of nodes, leaves included) are distinct, "
        "so computing every one of them anew would leave about that share of the ratio"
    )
    for command, engine, package, name, goal, more in (
        ("deap_numpy", "deap", "deap", "nodes_vs_deap_numpy", 7, "gp.compile, numpy functions"),
        (
            "gplearn_execute",
            "gplearn",
            "gplearn",
            "nodes_vs_gplearn",
            5,
            "its program's execute, column-major features, 32-bit constants",
        ),
        (
            "operon_evaluate",
            "operon",
            "pyoperon",
            "nodes_vs_pyoperon",
            6,
            "EvaluateTrees, one thread",
        ),
        ("torch_eager", "torch", "torch", "nodes_vs_torch", 3, "eager, one thread, no gradients"),
    ):
        check_values(out[:, -1], material.peer.call("last_values", engine=engine), package)
        theirs = lambda command=command: nodes / material.peer.call(command)  # noqa: E731
        pairs = alternate(ours, theirs, rounds=NODE_ROUNDS)
        bench.add(
            ratio_row(
                name,
                pairs,
                better="higher",
                goal=goal,
                peer=material.peer.label(package),
                note=f"{more}; {note}",
            )
        )
    bench.add(bound_row(material, linear, lines, nodes))


def check_values(mine: np.ndarray, theirs: list[float], package: str) -> None:
    """Refuse to compare engines that compute something else."""
    if not np.allclose(mine, theirs, rtol=1e-3, atol=1e-4, equal_nan=True):
        worst = int(np.nanargmax(np.abs(mine - np.array(theirs))))
        message = f"{package} gives {theirs[worst]} where ours gives {mine[worst]}, tree {worst}"
        raise BenchmarkError(message)


def as_tuple(tree: object) -> object:
    return tuple(as_tuple(part) for part in tree) if isinstance(tree, list) else tree


def count_operators(tree: object) -> int:
    return 1 + sum(map(count_operators, tree[1:])) if isinstance(tree, tuple) else 0


def bound_row(material: Material, linear: LinearProgram, lines: np.ndarray, nodes: int) -> Row:
    """How near the steps come to what each takes alone on data of the first cache."""

    def ours() -> float:
        runner = Runner(linear)
        start = time.perf_counter()
        for first in range(0, ROWS, runner.block):
            runner.step(material.table.lines, lines, first, min(runner.block, ROWS - first))
        return nodes / (time.perf_counter() - start)

    def bound() -> float:
        steps, counts = np.unique(linear.code[:, 0], return_counts=True)
        seconds = sum(
            count * seconds_a_row(int(step)) for step, count in zip(steps, counts, strict=True)
        )
        return linear.nodes / seconds

    return ratio_row(
        "nodes_vs_l1_bound",
        alternate(ours, bound, rounds=NODE_ROUNDS),
        better="higher",
        goal=0.6,
        peer="the same steps alone in the first cache",
        note="the bound is the time of each kind of step, repeated on three registers of 2,048 "
        "rows, weighted by how often the trees take it; ours stops at the block's values",
    )


def seconds_a_row(step: int) -> float:
    """Time of one step a row where operands never leave the first cache."""
    rows, repeats = 2_048, 400
    code = np.array([[step, i % 2, (i + 1) % 3, (i + 2) % 3, 0, 0, 0] for i in range(repeats)])
    code[:, 1] = np.where(step == kernels.VALUE, 0, 2 - code[:, 2] + 1) % 3
    alone = LinearProgram(
        features=(),
        code=code.astype(np.int32),
        constants=np.full(repeats, 0.5, np.float32),
        ends=(repeats,),
        roots=np.zeros(1, np.int64),
        warmups=np.zeros(0, np.int64),
        registers=3,
        conditions=1,
        values=1,
        tails=1,
        cells=1,
        shared=0,
        nodes=0,
    )
    runner = Runner(alone, rows)
    table, none = Lines.of(np.zeros((0, rows))), np.zeros(0, np.int64)
    runner.step(table, none, 0, rows)
    best = min(timed(lambda: runner.step(table, none, 0, rows)) for _ in range(15))
    return best / (repeats * rows)


# --- generations ---------------------------------------------------------------------------------


def generation_rows(bench: Benchmark, material: Material) -> None:
    """Whole generations: signals and trades of a thousand evolved programs."""
    graph = compile_programs(material.programs)

    def run(threads: int | None) -> float:
        return timed(
            lambda: evaluate_programs(
                material.programs,
                material.exits,
                material.table,
                material.market,
                COSTS,
                slice(0, ROWS),
                threads=threads,
            )
        )

    outcomes = evaluate_programs(
        material.programs,
        material.exits,
        material.table,
        material.market,
        COSTS,
        slice(0, ROWS),
    )
    what = (
        f"{PROGRAMS:,} evolved programs of {graph.nodes / PROGRAMS:.0f} nodes "
        f"({graph.nodes / graph.shared:.1f} times as many as distinct ones) x {ROWS:,} candles, "
        f"{np.median(outcomes.trades):,.0f} trades each at the median, backtest included"
    )
    gain_of_two_threads()
    gains = []

    def after_the_same(threads: int) -> float:
        # Whoever runs comes after the same load: a machine may slow down for what went before.
        gains.append(gain_of_two_threads())
        return run(threads)

    pairs = alternate(lambda: after_the_same(2), lambda: after_the_same(1), rounds=THREAD_ROUNDS)
    bench.add(
        ratio_row(
            "threads_2_vs_1",
            pairs,
            better="higher",
            goal=1.85,
            peer="one thread",
            note=f"time of one thread over time of two; {what}; on this machine, in the same rounds, "
            f"two threads gain {statistics.median(gains):.2f} with compiled work that shares nothing",
            theirs_over_ours=True,
        )
    )
    for engine, name, goal, sample, package, note in (
        (
            "pandas",
            "generation_vs_deap_pandas",
            300,
            PANDAS_SAMPLE,
            "deap",
            "DEAP's compile over pandas Series, then a loop over candles in plain Python",
        ),
        (
            "numpy",
            "generation_vs_numpy_compiled",
            5,
            NUMPY_SAMPLE,
            "numpy",
            "numpy and compiled loops on 32-bit arrays, then a compiled backtest, tree by tree",
        ),
    ):
        chosen = random.Random(5).sample(range(PROGRAMS), sample)
        # Once before the clock runs: it compiles, and it shows that both trade alike.
        check_trades(outcomes.trades[chosen], material, engine, chosen)

        def theirs(engine: str = engine, chosen: list[int] = chosen) -> float:
            answer = material.peer.call("generation", engine=engine, indexes=chosen)
            return answer["seconds"] * PROGRAMS / len(chosen)

        bench.add(
            ratio_row(
                name,
                alternate(lambda: run(None), theirs, rounds=GENERATION_ROUNDS),
                better="higher",
                goal=goal,
                peer=material.peer.label(package) + f", pandas {material.peer.versions['pandas']}",
                note=f"{note}; measured on {sample} of the programs, drawn once, and scaled to "
                f"{PROGRAMS:,}; one thread there, all cores here; {what}; ours also keeps daily "
                "equity and drawdown",
                theirs_over_ours=True,
            )
        )


def check_trades(mine: np.ndarray, material: Material, engine: str, chosen: list[int]) -> None:
    """Refuse to compare with a peer that trades otherwise; sums in other orders move a few."""
    answer = material.peer.call("generation", engine=engine, indexes=chosen)
    theirs = np.array([trades for trades, _ in answer["trades"]])
    off = np.abs(mine - theirs) > np.maximum(3, 0.02 * mine)
    if off.any():
        place = int(np.flatnonzero(off)[0])
        program = material.programs[chosen[place]]
        message = (
            f"{engine} trades {theirs[place]} times where ours trades {mine[place]}: {program}"
        )
        raise BenchmarkError(message)


# --- backtest ------------------------------------------------------------------------------------


def backtest_row(material: Material) -> Row:
    """Candles a second of the backtest alone, from arrays of signals."""
    held = {}

    def ours() -> float:
        start = time.perf_counter()
        books = Accounts.fresh([EXITS] * STRATEGIES, material.market, 0, ROWS)
        books.trade(material.market, material.signals, 0, COSTS)
        held["trades"] = books.state[:, 10].sum()
        return STRATEGIES * ROWS / (time.perf_counter() - start)

    def theirs() -> float:
        answer = material.peer.call("vectorbt_backtest")
        held["theirs"] = answer["trades"]
        return STRATEGIES * ROWS / answer["seconds"]

    pairs = alternate(ours, theirs)
    return ratio_row(
        "backtest_vs_vectorbt",
        pairs,
        better="higher",
        goal=25,
        peer=material.peer.label("vectorbt"),
        note=f"{STRATEGIES} strategies side by side, one thread, {held['trades'] / STRATEGIES:,.0f} "
        f"trades each here and {held['theirs'] / STRATEGIES:,.0f} there: same signals, next open, "
        "fees, slippage, stops and targets; ours adds timeouts, forced exits on regime changes, "
        "drawdown at every close and daily equity; vectorbt keeps a record of every order",
    )


# --- memory --------------------------------------------------------------------------------------


def memory_row() -> Row:
    """Peak memory of a process that does one whole forge run and nothing else."""
    command = [sys.executable, "-m", "benchmarks.forge", "--memory-of-a-forging"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"the forge run whose memory is measured failed: {done.stderr.strip()[-500:]}"
        raise BenchmarkError(message)
    facts = json.loads(done.stdout.splitlines()[-1])
    return Row(
        "forge_peak_memory_mb",
        facts["peak_mb"],
        "MB",
        "lower",
        2_000,
        note=f"a process of its own: a forge run from its first generation to its gates, population "
        f"{PROGRAMS:,} x {ROWS:,} candles x {FEATURES} features, {facts['trials']:,.0f} trials in "
        f"{FORGED} generations after the first; {facts['before_mb']:.0f} MB of it before the "
        "forge run: libraries, candles, features as 64-bit numbers",
    )


def forge_once() -> dict[str, float]:
    """Make a market and do a whole forge run on it."""
    frame, market = market_of(ROWS, FEATURES)
    settings = ForgeSettings(population=PROGRAMS, generations=FORGED, max_candles=ROWS)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    result = ForgeRun(Slot.parse("XUSDT-gp-1"), market.candles, frame, settings, seed=3).run()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"before_mb": before, "peak_mb": peak, "trials": float(result.trials)}


if __name__ == "__main__":
    main()
