"""The work of ``crucible forge`` and ``crucible backtest``: folders and files in, files out."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from crucible.features.frame import FeatureFrame
from crucible.features.history import features_of
from crucible.features.influence.mapper import InfluenceArrays
from crucible.features.pipeline import FeaturePipeline
from crucible.features.store import FeatureStore
from crucible.forge.backtest.engine import Backtest, ForgeError, Market, backtest
from crucible.forge.evolution.distributed import Recipe
from crucible.forge.reporting.folder import write_folder
from crucible.forge.result import ForgeResult
from crucible.forge.session import CHECKPOINT, open_session
from crucible.forge.span import Span
from crucible.interruption import interruptible
from crucible.market.candles import Candles, Integers, read_folder
from crucible.market.funding import (
    Funding,
    FundingError,
    charged,
    funding_file,
    funding_path,
    read_funding,
)
from crucible.outputs import ask_for_file, ask_for_folder
from crucible.settings import FEWEST_CANDLES, ForgeSettings, Kind, Settings, Slot, changed
from crucible.strategies.document import read_document
from crucible.strategies.load import read_strategy
from crucible.text import terminal


def forge_to_folder(
    slot: str,
    candles_dir: Path,
    seed: int,
    out: Path,
    settings: Settings,
    generations: int | None = None,
    population: int | None = None,
    prior_trials: int = 0,
    influence: Path | None = None,
    checkpoint: Path | None = None,
    budget_s: float | None = None,
    funding_dir: Path | None = None,
    *,
    resume: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> ForgeResult:
    """Forge a slot on a folder of candles and write the outcome to another folder.

    Needs no server. The same arguments, files and code give the same bytes in the JSON files; with a
    budget, those of as many generations as it lasted for.

    Parameters
    ----------
    slot : str
        For example ``BTCUSDT-gp-1``.
    candles_dir : Path
        Folder of ``SYMBOL-1m.parquet``; every symbol in it takes part in the features.
    seed : int
    out : Path
    settings : Settings
    generations, population : int, optional
        Instead of the settings' own; with a budget and no `generations` the budget alone decides.
    prior_trials : int
        Candidates evaluated for the slot before.
    influence : Path, optional
        Trained influence arrays.
    checkpoint : Path, optional
        Written after every generation; one that is there is resumed. By default ``checkpoint.json``
        in `out`, removed at the end unless there is a budget, which may be continued.
    budget_s : float, optional
        Seconds; the generation in which they end is the last, and there is at least one.
    funding_dir : Path, optional
        Folder of ``SYMBOL-funding.parquet``; by default `candles_dir`. Without a file no funding is
        charged, which the outcome says.
    resume : bool
        Go on from the checkpoint, which must be there.
    clock : callable
        Seconds, for the budget.

    Raises
    ------
    SettingsError, CandleError, FundingError, ForgeError
        Naming what cannot be used and why.
    """
    began = clock()
    seat = Slot.parse(slot)
    forge = changed(settings.forge, "forge", generations=generations, population=population)
    last = None if budget_s is not None and generations is None else forge.generations
    path = checkpoint or out / CHECKPOINT
    ask_for_folder("--out", out)
    ask_for_file("--out" if checkpoint is None else "--checkpoint", path)
    if resume and not path.exists():
        message = f"{path}: nothing to resume; leave --resume out to begin"
        raise ForgeError(message)
    with progress_bars() as progress, interruptible():
        task = progress.add_task("features", total=None if last is None else last + 3)
        candles, frame, span = _features(
            seat.symbol, candles_dir, settings, influence, forge, progress, seat.kind
        )
        if sys.stderr.isatty():
            progress.console.print(f"using {span.describe()}")
        funding = _funding(funding_dir, candles_dir, seat.symbol)
        recipe = Recipe(seat, candles, frame, forge, seed, prior_trials, funding=funding, span=span)
        with open_session(recipe, path) as session:
            progress.update(task, description="generation 0 (the first compiles)", advance=1)
            if path.exists() and (resume or checkpoint is not None):
                state = session.resume()
            else:
                state = session.start()
            while goes_on(state.generation, last, clock() - began, budget_s) and not session.ending:
                number = state.generation + 1
                progress.update(task, description=f"generation {number}", completed=number + 1)
                state = session.advance()
            progress.update(task, description="gates")
            result = session.finish()
        write_folder(result, out)
        if checkpoint is None and budget_s is None:
            path.unlink(missing_ok=True)
        progress.update(task, description="done", completed=last and last + 3)
    return result


def goes_on(generation: int, last: int | None, spent_s: float, budget_s: float | None) -> bool:
    """Whether another generation follows; the first always does."""
    if last is not None and generation >= last:
        return False
    return generation == 0 or budget_s is None or spent_s < budget_s


def seconds_of(text: str) -> float:
    """Read a span of time.

    Raises
    ------
    ForgeError
        If it is not one.

    Examples
    --------
    >>> seconds_of("1h30m"), seconds_of("90s")
    (5400.0, 90.0)
    """
    found = re.fullmatch(r"(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,6})s)?", text)
    seconds = 0.0
    if found:
        hours, minutes, rest = (int(part or 0) for part in found.groups())
        seconds = 3600.0 * hours + 60.0 * minutes + rest
    if seconds <= 0:
        message = f"{text!r} is no span of time; write for example 90s, 5m or 1h30m"
        raise ForgeError(message)
    return seconds


def seen_before(document: Mapping[str, Any], ts: Integers) -> list[dict[str, Any]]:
    """Say which share of candles lies in the windows of the forge run that a strategy comes from.

    Parameters
    ----------
    document : mapping
        A strategy file; one without a lineage has no windows.
    ts : ndarray of int64, shape (n,)
        Open times of the candles.
    """
    found = []
    for window in document.get("lineage", {}).get("windows", []):
        inside = (ts >= int(window["first_ts"])) & (ts < int(window["last_ts"]))
        found.append(
            {
                "name": str(window["name"]),
                "first_ts": int(window["first_ts"]),
                "last_ts": int(window["last_ts"]),
                "share": float(inside.mean()) if len(ts) else 0.0,
            }
        )
    return found


Sizes = Callable[[list[dict[str, float | int | str]], FeatureFrame, float], dict[str, Any]]


def backtest_command(
    strategy_file: Path,
    candles_dir: Path,
    settings: Settings,
    influence: Path | None = None,
    funding_dir: Path | None = None,
    sizes: Sizes | None = None,
) -> dict[str, Any]:
    """Trade one strategy over a folder of candles.

    Parameters
    ----------
    strategy_file : Path
        See docs/reference/strategy.md.
    candles_dir : Path
        The folder must give the feature schema that the strategy was born with.
    settings : Settings
        Costs and feature windows.
    influence : Path, optional
        Trained influence arrays.
    funding_dir : Path, optional
        Folder of ``SYMBOL-funding.parquet``; by default `candles_dir`.
    sizes : callable, optional
        Gives the sized figures of the trades, from them, the features and the stop.

    Returns
    -------
    dict
        JSON-able: ``strategy``, ``candles``, ``funding``, ``summary`` (all capital in each trade), ``hold_return`` of
        buying and holding before costs, ``seen`` (see `seen_before`), ``fills`` in time order, ``trades``, and ``sized``
        where `sizes` is given.

    Raises
    ------
    StrategyError, CandleError, FundingError, ForgeError
        Naming what cannot be used and why.
    """
    strategy = read_strategy(strategy_file)
    candles, frame, span = _features(strategy.symbol, candles_dir, settings, influence)
    funding = _funding(funding_dir, candles_dir, strategy.symbol)
    market = Market.of(candles, frame, charged(funding, candles.ts))
    test = backtest(strategy.signals(frame), market, strategy.exits, settings.forge.costs)
    return {
        "strategy": {
            "file": strategy_file.name,
            "kind": strategy.kind,
            "symbol": strategy.symbol,
            "schema_hash": strategy.schema_hash,
        },
        "candles": span.to_json(),
        "funding": funding.describe(candles.ts),
        "summary": test.summary(),
        "hold_return": float(candles.close[-1] / candles.open[0] - 1.0),
        "seen": seen_before(read_document(strategy_file), candles.ts),
        "fills": fills(test),
        "trades": test.trades.rows(),
        **(
            {}
            if sizes is None
            else {"sized": sizes(test.trades.rows(), frame, strategy.exits.stop)}
        ),
    }


def fills(test: Backtest) -> list[dict[str, float | int | str]]:
    """Every buy and sell in time order: candle's open time, side, price, and why."""
    listed: list[dict[str, float | int | str]] = []
    for trade in test.trades.rows():
        listed.append(
            {
                "ts": trade["entry_ts"],
                "side": "buy",
                "price": trade["entry_price"],
                "reason": "signal",
            }
        )
        listed.append(
            {
                "ts": trade["exit_ts"],
                "side": "sell",
                "price": trade["exit_price"],
                "reason": trade["reason"],
            }
        )
    return listed


def _features(
    symbol: str,
    candles_dir: Path,
    settings: Settings,
    influence: Path | None,
    forge: ForgeSettings | None = None,
    progress: Progress | None = None,
    kind: Kind = "gp",
) -> tuple[Candles, FeatureFrame, Span]:
    """Candles and features of one symbol, computed beside the folder's other symbols or found in the workspace.

    For a forge run only the newest candles of the symbol that its settings let in, and the other symbols' of the
    same time: what lies before decides nothing, so that a file without it gives the same. A bar of its own is shown in
    `progress`, or by itself.
    """
    candles = read_folder(candles_dir)
    if symbol not in candles:
        message = f"{candles_dir}: no candles of {symbol}; it holds {', '.join(candles)}"
        raise ForgeError(message)
    arrays = None if influence is None else InfluenceArrays.load(influence)
    store = FeatureStore.of(settings)
    radar_cache = None if store is None else store.beside("radar")
    pipeline = FeaturePipeline(list(candles), settings.features, arrays, radar_cache=radar_cache)
    span = Span.all_of(candles[symbol])
    if forge is not None:
        span = Span.of(candles[symbol], len(pipeline.schema.names), forge, kind)
    if span.left_out:
        candles = {
            name: held.between(span.first_ts, span.last_ts) for name, held in candles.items()
        }
    if forge is not None and span.used >= FEWEST_CANDLES:
        for fault in pipeline.unwarmed({symbol: candles[symbol]}):
            raise ForgeError(fault)
    with nullcontext(progress) if progress else progress_bars() as shown:
        bar = shown.add_task("features, percent", total=100)
        frames = features_of(
            pipeline,
            candles,
            symbols=[symbol],
            store=store,
            progress=lambda share: shown.update(bar, completed=int(100 * share)),
        )
        shown.remove_task(bar)
    return candles[symbol], frames[symbol], span


def _funding(asked: Path | None, candles_dir: Path, symbol: str) -> Funding:
    """Read the rates beside the candles, or those of the folder that was asked for, which must be there."""
    if asked is not None and funding_file(asked, symbol) is None:
        what = "has no file of that name" if asked.is_dir() else "no such folder"
        message = (
            f"--funding {funding_path(asked, symbol)}: {what}; leave --funding out to charge what lies "
            "beside the candles"
        )
        raise FundingError(message)
    return read_funding(asked or candles_dir, symbol)


def progress_bars() -> Progress:
    """Make the bars of long work, on stderr; nothing is drawn where that is no terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=terminal(stderr=True),
        disable=not sys.stderr.isatty(),
    )
