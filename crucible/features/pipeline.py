"""FeaturePipeline: one path of computation for history and for the live row.

`batch`, `warm` and `update` all run `_run`, the first on a fresh state, the others on the live one.
Whatever is computed for a minute depends only on candles that closed at or before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, chain
from pathlib import Path

import numpy as np

from crucible.errors import CrucibleError
from crucible.features.frame import FeatureFrame, FeatureRow, FeatureSchema
from crucible.features.grid import Grid, Matrix, State, build_grid
from crucible.features.influence.mapper import INFLUENCE, InfluenceArrays, InfluenceMapper
from crucible.features.order_books.microstructure import (
    MICROSTRUCTURE,
    BookMinute,
    BookMinutes,
    Microstructure,
)
from crucible.features.rings import NONE
from crucible.features.technical import TechnicalState, technical_names, warmup
from crucible.features.topology.radar import RADAR, TopologicalRadar
from crucible.features.workers import ALONE, Workers
from crucible.market.candles import Candle, Candles, Integers
from crucible.market.plausible import DAY_MS, SPARSE_SPAN_MS, SPARSEST
from crucible.settings import MINUTE_MS, FeatureSettings

CODE_VERSION = 2
"""Raised whenever a kernel's arithmetic changes, so that a model never sees other features."""


class FeatureError(CrucibleError, ValueError):
    """Candles or a state that the pipeline cannot take; names the symbol, the value and why."""


class FeaturePipeline:
    """Compute the features of several symbols, minute by minute.

    Parameters
    ----------
    symbols : sequence of str
        Symbols served; the radar's point cloud is made of the first `settings.radar_assets`.
    settings : FeatureSettings
        Its timeframes decide which features of higher candles there are, and with them `warmup`: the
        candles until every technical feature is defined.
    influence : InfluenceArrays, optional
        A trained InfluenceMapper; without it the influence features are NaN and the schema says so.
    radar_cache : Path, optional
        Folder for radar evaluations of whole past days, keyed by the content of their windows.

    Raises
    ------
    FeatureError
        If no symbol is given, or one twice.

    Examples
    --------
    >>> from crucible.market.simulator import simulate
    >>> pipeline = FeaturePipeline(["BTCUSDT", "ETHUSDT"], FeatureSettings())
    >>> frames = pipeline.batch(simulate(pipeline.symbols, minutes=120, seed=1))
    >>> len(frames["BTCUSDT"])
    120
    """

    def __init__(
        self,
        symbols: Sequence[str],
        settings: FeatureSettings,
        influence: InfluenceArrays | None = None,
        *,
        radar_cache: Path | None = None,
    ) -> None:
        if not symbols or len(set(symbols)) != len(symbols):
            message = f"symbols {list(symbols)} must be at least one, each once"
            raise FeatureError(message)
        self.symbols = tuple(symbols)
        self.settings = settings
        self.warmup = warmup(settings.timeframes)
        self._radar = TopologicalRadar(
            settings, min(settings.radar_assets, len(symbols)), radar_cache
        )
        self._influence = InfluenceMapper(settings, len(symbols), influence)
        self._microstructure = Microstructure()
        self._carry = max(self._radar.carry, self._influence.carry)
        blocks = (technical_names(self.settings.timeframes), RADAR, INFLUENCE, MICROSTRUCTURE)
        ends = [0, *accumulate(map(len, blocks))]
        self._blocks = tuple(map(slice, ends, ends[1:]))
        self.schema = FeatureSchema(
            tuple(chain.from_iterable(blocks)),
            {
                "code_version": CODE_VERSION,
                # The names tell the timeframes.
                "settings": settings.model_dump(exclude={"timeframes"}),
                "radar_symbols": list(self.symbols[: self._radar.assets]),
                "influence": None
                if influence is None
                else {"hash": influence.hash, "symbols": list(self.symbols)},
            },
        )
        self._state = self._fresh()

    def unwarmed(self, candles: Mapping[str, Candles]) -> list[str]:
        """Say of which symbols the candles do not reach over the warm-up.

        Parameters
        ----------
        candles : mapping of str to Candles

        Returns
        -------
        list of str
            One sentence for each, with the next step; empty where every technical feature gets defined.
        """
        return [
            f"{symbol}: its candles reach over {minutes} minutes, and not every feature has a value "
            f"before minute {self.warmup}; give more candles, or take the longest out of "
            f"features.timeframes = {list(self.settings.timeframes)}"
            for symbol, own in candles.items()
            if len(own)
            and (minutes := int(own.close_ts[-1] - own.ts[0]) // MINUTE_MS) < self.warmup
        ]

    def batch(
        self,
        candles: Mapping[str, Candles],
        books: Mapping[str, BookMinutes] | None = None,
        *,
        workers: Workers = ALONE,
        into: Mapping[str, Matrix] | None = None,
    ) -> dict[str, FeatureFrame]:
        """Compute features over history; the live state is neither used nor changed.

        `crucible.features.history.features_of` does this in parallel and keeps the outcome.

        Parameters
        ----------
        candles : mapping of str to Candles
            One-minute candles of any of the pipeline's symbols; row i of a frame speaks of candle
            i. A symbol without candles gets no frame.
        books : mapping of str to BookMinutes, optional
            Book features of minutes, joined on the close time.
        workers : Workers
            Who computes; no value depends on it.
        into : mapping of str to ndarray of float64, shape (n, features), optional
            Where the values of each symbol go; only these symbols get a frame. By default all do.

        Raises
        ------
        FeatureError
            For a symbol that the pipeline does not serve, candles that are not one-minute candles
            or are out of order.
        """
        return self._run(self._fresh(), candles, books or {}, workers, into)

    def warm(
        self,
        candles: Mapping[str, Candles],
        books: Mapping[str, BookMinutes] | None = None,
    ) -> dict[str, FeatureFrame]:
        """Do what `update` would for each minute of history, at the speed of `batch`.

        Raises
        ------
        FeatureError
            As `batch`, and when a minute is not after the last one seen.
        """
        return self._run(self._state, candles, books or {})

    def update(
        self,
        close_ts: int,
        candles: Mapping[str, Candle],
        books: Mapping[str, BookMinute] | None = None,
    ) -> dict[str, FeatureRow]:
        """Take all closed candles of one minute and give the row of each symbol that has one.

        Parameters
        ----------
        close_ts : int
            Exclusive close time of the candles, epoch milliseconds.
        candles : mapping of str to Candle
        books : mapping of str to BookMinute, optional

        Raises
        ------
        FeatureError
            If a candle closes at another time, or the minute is not after the last one seen.
        """
        singles = {}
        for symbol, candle in candles.items():
            if candle.ts + MINUTE_MS != close_ts:
                message = (
                    f"{symbol}: candle opening at {candle.ts} does not close at {close_ts}; "
                    "update takes the candles of one minute"
                )
                raise FeatureError(message)
            singles[symbol] = _single(symbol, candle)
        minutes = {
            symbol: BookMinutes.of([book])
            for symbol, book in (books or {}).items()
            if symbol in singles
        }
        frames = self._run(self._state, singles, minutes)
        return {symbol: frame.row(0) for symbol, frame in frames.items()}

    def state(self) -> State:
        """Copy everything that `update` carries.

        Returns
        -------
        dict of str to ndarray
            Numeric and text arrays only: ``numpy.savez(file, **state)`` writes them, and
            ``dict(numpy.load(file, allow_pickle=False))`` reads them back for `restore`.
        """
        return {"schema": np.array(self.schema.hash)} | {
            name: array.copy() for name, array in self._state.items()
        }

    def restore(self, state: State) -> None:
        """Continue from a saved state.

        Raises
        ------
        FeatureError
            If the state was saved under another schema, or an array is missing or misshapen.
        """
        found = str(state["schema"]) if "schema" in state else "none"
        if found != self.schema.hash:
            message = (
                f"state of feature schema {found} cannot continue schema {self.schema.hash}; "
                "warm the pipeline from history instead"
            )
            raise FeatureError(message)
        for name, array in self._state.items():
            if name not in state or state[name].shape != array.shape:
                shape = state[name].shape if name in state else "missing"
                message = f"state array {name!r} is {shape}, expected shape {array.shape}"
                raise FeatureError(message)
        self._state = {name: state[name].astype(a.dtype) for name, a in self._state.items()}

    def _fresh(self) -> State:
        count = len(self.symbols)
        technical = TechnicalState.fresh(count, self.settings.timeframes)
        own: State = {
            "stamp": technical.stamp,
            "ring": technical.ring,
            "marks": technical.marks,
            "held": technical.held,
            "market_minute": np.full(1, NONE),
            "market_returns": np.full((self._carry, count), np.nan),
            "market_standard": np.full((self._carry, count), np.nan),
        }
        return (
            own | self._radar.fresh() | self._influence.fresh() | self._microstructure.fresh(count)
        )

    def _run(
        self,
        state: State,
        candles: Mapping[str, Candles],
        books: Mapping[str, BookMinutes],
        workers: Workers = ALONE,
        into: Mapping[str, Matrix] | None = None,
    ) -> dict[str, FeatureFrame]:
        self._check(state, candles)
        held = [candles.get(symbol) or Candles.none_of(symbol) for symbol in self.symbols]
        if not any(map(len, held)):
            return {}
        if into is None:
            width = len(self.schema.names)
            served = zip(self.symbols, held, strict=True)
            into = {symbol: np.empty((len(own), width)) for symbol, own in served if len(own)}
        technical = TechnicalState(
            self.settings.timeframes, *(state[name] for name in ("stamp", "ring", "marks", "held"))
        )

        def step(column: int) -> tuple[Integers, Matrix]:
            symbol, own = self.symbols[column], held[column]
            values = into.get(symbol)
            minutes, returns = technical.run(column, own, values, workers.done)
            if values is not None:
                values[:, self._blocks[-1]] = self._microstructure.run(
                    state, column, own, returns, books.get(symbol)
                )
            return minutes, returns

        rows, standard = map(list, zip(*workers.each(step, range(len(held))), strict=True))
        # As a rule every symbol has the same minutes; a live minute always is one.
        shared = all(own.tobytes() == rows[0].tobytes() for own in rows)
        minutes = rows[0] if shared else np.unique(np.concatenate(rows))
        carried = (
            int(state["market_minute"][0]),
            state["market_returns"],
            state["market_standard"],
        )
        grid = build_grid(minutes, rows, standard, carried)
        parts = workers.evaluate(self._radar, grid, self._radar.evaluated(state, grid))
        influence = self._influence.run(state, grid)
        radar = self._radar.run(state, grid, parts)
        _, radar_block, influence_block, _ = self._blocks
        frames = {}
        for column, symbol in enumerate(self.symbols):
            if symbol not in into:
                continue
            own = slice(None) if shared else minutes.searchsorted(rows[column])
            into[symbol][:, radar_block] = radar[own]
            into[symbol][:, influence_block] = influence[own, column]
            frames[symbol] = FeatureFrame(
                symbol, rows[column] * MINUTE_MS, into[symbol], self.schema
            )
        self._keep(state, grid)
        return frames

    def _keep(self, state: State, grid: Grid) -> None:
        state["market_minute"][0] = grid.minutes[-1]
        state["market_returns"][:] = grid.returns[-self._carry :]
        state["market_standard"][:] = grid.standard[-self._carry :]

    def _check(self, state: State, candles: Mapping[str, Candles]) -> None:
        last = int(state["market_minute"][0])
        self._check_span(candles)
        for symbol, own in candles.items():
            if symbol not in self.symbols:
                message = f"{symbol} is not served; this pipeline serves {', '.join(self.symbols)}"
                raise FeatureError(message)
            if own.timeframe_ms != MINUTE_MS:
                message = f"{symbol}: candles of {own.timeframe_ms} ms; features need one minute"
                raise FeatureError(message)
            if len(own) == 0:
                continue
            first = int(own.ts[0])
            # A live minute is one candle: it is in order with itself.
            if first % MINUTE_MS or (
                len(own) > 1 and (np.any(np.diff(own.ts) <= 0) or np.any(own.ts % MINUTE_MS))
            ):
                message = f"{symbol}: candle times must increase on the minute grid"
                raise FeatureError(message)
            if (first + MINUTE_MS) // MINUTE_MS <= last:
                message = (
                    f"{symbol}: candle closing at {first + MINUTE_MS} is not after the last "
                    f"minute seen, {last * MINUTE_MS}; each minute is taken once, in order"
                )
                raise FeatureError(message)

    def _check_span(self, candles: Mapping[str, Candles]) -> None:
        """Refuse candles so far apart that a table with a row for each minute would be mostly empty."""
        held = [own for own in candles.values() if len(own)]
        if not held:
            return
        start = min(int(own.ts.min()) for own in held)
        span = max(int(own.ts.max()) for own in held) - start
        if span > SPARSE_SPAN_MS and span // MINUTE_MS > SPARSEST * max(map(len, held)):
            ends = ", ".join(f"{own.symbol} {own.ts.min()} to {own.ts.max()}" for own in held)
            message = (
                f"the candles span {span // DAY_MS} days and fewer than one minute in {SPARSEST} has "
                f"one: {ends}; leave out what was recorded at another time"
            )
            raise FeatureError(message)


def _single(symbol: str, candle: Candle) -> Candles:
    values = np.array([candle.open, candle.high, candle.low, candle.close, candle.volume])
    return Candles(symbol, np.array([candle.ts], np.int64), *values.reshape(-1, 1))
