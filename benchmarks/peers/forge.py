"""The peers of benchmarks/forge.py: the same trees and candles through other people's engines.

`load` reads what both sides work on: numeric trees over float32 features, evolved programs,
candles, and boolean signals. Every command returns a time in seconds.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import numpy as np
import pyoperon
import torch
import vectorbt
from deap import gp
from gplearn._program import _Program
from gplearn.functions import _Function, _function_map
from pandas_programs import compiled_trades, numpy_signals, pandas_signals, plain_trades
from serving import serve

NAMES = ("add", "sub", "mul", "div", "min", "max", "abs")
ONE = np.float32(1)
HELD = {}


def load(folder):
    """Read the shared files and build every engine's own form of the trees."""
    files = Path(folder)
    torch.set_num_threads(1)
    HELD["features"] = np.load(files / "features.npy")
    HELD["trees"] = json.loads((files / "trees.json").read_text())
    HELD["programs"] = json.loads((files / "programs.json").read_text())
    HELD["market"] = dict(np.load(files / "market.npz"))
    features = HELD["features"]
    HELD["names"] = [f"x{i}" for i in range(len(features))]
    HELD["deap"] = deap_functions(
        np.add,
        np.subtract,
        np.multiply,
        lambda x, y: x / np.sqrt(ONE + y * y),
        np.minimum,
        np.maximum,
        np.abs,
    )
    HELD["torch"] = deap_functions(
        torch.add,
        torch.sub,
        torch.mul,
        lambda x, y: x / (torch.sqrt(1 + y * y) if torch.is_tensor(y) else math.sqrt(1 + y * y)),
        lambda x, y: clamped(torch.minimum, "max", x, y),
        lambda x, y: clamped(torch.maximum, "min", x, y),
        torch.abs,
    )
    HELD["tensors"] = [torch.from_numpy(column) for column in features]
    HELD["gplearn"] = [gplearn_program(tree) for tree in HELD["trees"]]
    # gplearn takes columns of a matrix of samples; each of them is contiguous here.
    HELD["columns"] = np.asfortranarray(features.T)
    HELD["dataset"] = pyoperon.Dataset(HELD["columns"])
    variables = sorted(HELD["dataset"].Variables, key=lambda variable: variable.Index)
    HELD["hashes"] = [variable.Hash for variable in variables]
    HELD["operon"] = [pyoperon.Tree(operon_nodes(tree)).UpdateNodes() for tree in HELD["trees"]]
    HELD["operon_out"] = np.zeros((len(HELD["trees"]), features.shape[1]), np.float32)
    return len(HELD["trees"])


# --- numeric trees -------------------------------------------------------------------------------


def deap_functions(*functions):
    """Give a primitive set, and every tree compiled by it as DEAP compiles before evaluating."""
    names = [f"x{i}" for i in range(len(HELD["features"]))]
    primitives = gp.PrimitiveSet("tree", len(names), prefix="x")
    primitives.renameArguments(**{f"x{i}": name for i, name in enumerate(names)})
    for name, function in zip(NAMES, functions, strict=True):
        primitives.addPrimitive(function, 1 if name == "abs" else 2, name=name)
    return [gp.compile(as_text(tree), primitives) for tree in HELD["trees"]]


def clamped(function, bound, x, y):
    """The smaller or larger of two of which one may be a constant."""
    if torch.is_tensor(x) and torch.is_tensor(y):
        return function(x, y)
    return torch.clamp(x, **{bound: y}) if torch.is_tensor(x) else torch.clamp(y, **{bound: x})


def as_text(tree):
    """A tree as a Python expression."""
    if isinstance(tree, list):
        return f"{tree[0]}({', '.join(as_text(part) for part in tree[1:])})"
    return tree if isinstance(tree, str) else repr(tree)


def gplearn_program(tree):
    """A gplearn program with the same nodes; constants stay 32-bit."""
    quotient = _Function(lambda x, y: x / np.sqrt(ONE + y * y), "quotient", 2)
    flat = []

    def visit(part):
        if isinstance(part, list):
            flat.append(quotient if part[0] == "div" else _function_map[part[0]])
            for child in part[1:]:
                visit(child)
        elif isinstance(part, str):
            flat.append(int(part[1:]))
        else:
            flat.append(np.float32(part))

    visit(tree)
    program = _Program.__new__(_Program)
    program.program = flat
    return program


def operon_nodes(tree):
    """Nodes in Operon's order: arguments before operators, the last argument first."""
    kinds = pyoperon.NodeType
    # pyoperon 0.6.2 computes the larger of two for Fmin and the smaller for Fmax.
    types = {"add": kinds.Add, "sub": kinds.Sub, "mul": kinds.Mul, "div": kinds.Aq}
    types |= {"min": kinds.Fmax, "max": kinds.Fmin, "abs": kinds.Abs}
    if isinstance(tree, list):
        nodes = [node for part in reversed(tree[1:]) for node in operon_nodes(part)]
        return [*nodes, pyoperon.Node(types[tree[0]])]
    if isinstance(tree, str):
        node = pyoperon.Node(kinds.Variable, HELD["hashes"][int(tree[1:])])
        node.Value = 1.0
        return [node]
    node = pyoperon.Node(kinds.Constant)
    node.Value = tree
    return [node]


def timed(work):
    """Seconds that a piece of work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def deap_numpy():
    """Evaluate all trees, one array a node."""
    columns = list(HELD["features"])
    return timed(lambda: [function(*columns)[-1] for function in HELD["deap"]])


def torch_eager():
    """Evaluate all trees on one thread, one tensor a node."""
    with torch.no_grad():
        return timed(lambda: [function(*HELD["tensors"])[-1] for function in HELD["torch"]])


def gplearn_execute():
    """Evaluate all trees with gplearn's own stack machine."""
    return timed(lambda: [program.execute(HELD["columns"])[-1] for program in HELD["gplearn"]])


def operon_evaluate():
    """Evaluate all trees in one call on one thread."""
    out = HELD["operon_out"]
    rows = pyoperon.Range(0, out.shape[1])
    return timed(lambda: pyoperon.EvaluateTrees(HELD["operon"], HELD["dataset"], rows, out, 1))


def last_values(engine):
    """Last value of each tree by an engine, so that the other side can check it means the same."""
    if engine == "deap":
        values = [function(*HELD["features"])[-1] for function in HELD["deap"]]
    elif engine == "torch":
        values = [function(*HELD["tensors"])[-1] for function in HELD["torch"]]
    elif engine == "gplearn":
        values = [program.execute(HELD["columns"])[-1] for program in HELD["gplearn"]]
    else:
        operon_evaluate()
        values = HELD["operon_out"][:, -1]
    return [float(value) for value in values]


# --- whole strategies ----------------------------------------------------------------------------


def generation(engine, indexes):
    """Seconds and trades of some of the evolved programs, each on its own."""
    signals_of = pandas_signals if engine == "pandas" else numpy_signals
    trade = plain_trades if engine == "pandas" else compiled_trades
    trades = []
    start = time.perf_counter()
    for index in indexes:
        item = HELD["programs"][index]
        buy, leave = signals_of(item["program"], HELD["features"], HELD["names"])
        trades.append(trade(buy, leave, HELD["market"], item["exits"], item["warmup"]))
    return {"seconds": time.perf_counter() - start, "trades": trades}


def vectorbt_backtest():
    """Trade boolean signals: next open, fees, slippage, stops and targets inside the candle."""
    market = HELD["market"]
    buy, leave = market["buy"].T, market["leave"].T
    # vectorbt fills at the price of the row it is given: signals come one row later.
    entries, exits = np.zeros_like(buy), np.zeros_like(leave)
    entries[1:], exits[1:] = buy[:-1], leave[:-1]
    held = {}

    def work():
        portfolio = vectorbt.Portfolio.from_signals(
            close=market["close"][:, None],
            open=market["open"][:, None],
            high=market["high"][:, None],
            low=market["low"][:, None],
            entries=entries,
            exits=exits,
            price=market["open"][:, None],
            sl_stop=float(market["stop"]),
            tp_stop=float(market["target"]),
            fees=float(market["fee"]),
            slippage=float(market["slippage"]),
            freq="1min",
        )
        held["trades"] = int(portfolio.trades.count().sum())

    seconds = timed(work)
    return {"seconds": seconds, "trades": held["trades"]}


if __name__ == "__main__":
    serve(
        {
            "load": load,
            "deap_numpy": deap_numpy,
            "torch_eager": torch_eager,
            "gplearn_execute": gplearn_execute,
            "operon_evaluate": operon_evaluate,
            "last_values": last_values,
            "generation": generation,
            "vectorbt_backtest": vectorbt_backtest,
        },
        ["deap", "gplearn", "numba", "numpy", "pandas", "pyoperon", "torch", "vectorbt"],
    )
