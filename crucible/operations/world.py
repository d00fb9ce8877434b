"""The market that a home lives in: a second start goes on where the first one stopped.

The simulated market is a pure function of (seed, origin, market time), so continuing needs only the
last instant seen. A home never changes worlds: its lake holds that world's history.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from crucible.operations.errors import HomeError
from crucible.operations.home import Home, read_json, write_json
from crucible.settings import FEWEST_CANDLES, MINUTE_MS

DAY_MS = 86_400_000
# 2025-01-01T00:00:00Z: a fixed origin makes a default run reproducible.
SIMULATED_ORIGIN_MS = 1_735_689_600_000
# The rest of a recording is left to trade in; what comes before is history to learn from.
HISTORY_FRACTION = 0.6


@dataclass(frozen=True, slots=True)
class World:
    """One market.

    Attributes
    ----------
    market : {'simulated', 'replay', 'venue'}
        ``venue`` is an exchange outside, in its own time.
    symbols : tuple of str
    seed : int
    origin_ms : int
        First market instant that has history.
    start_ms : int
        Market time of this start; a multiple of one minute.
    last_market_ms : int
        Newest market time seen.
    candles : str or None
        Folder of the recording, absolute.
    end_ms : int or None
        Exclusive end of the recording.
    """

    market: Literal["simulated", "replay", "venue"]
    symbols: tuple[str, ...]
    seed: int
    origin_ms: int
    start_ms: int
    last_market_ms: int
    candles: str | None = None
    end_ms: int | None = None

    def save(self, home: Home, last_market_ms: int) -> None:
        """Remember how far the market has come; an older instant changes nothing."""
        saved = read_json(home.world_file) or {}
        newest = max(last_market_ms, self.last_market_ms, int(saved.get("last_market_ms", 0)))
        write_json(home.world_file, asdict(replace(self, last_market_ms=newest)))


def open_world(
    home: Home,
    *,
    symbols: tuple[str, ...] | None,
    default_symbols: tuple[str, ...],
    seed: int,
    history_days: int,
    candles: Path | None = None,
    start_ms: int | None = None,
) -> World:
    """Give the world for the next start of a home.

    Parameters
    ----------
    home : Home
    symbols : tuple of str or None
        Asked for by name; None takes `default_symbols` (of a recording: those that it holds).
    default_symbols : tuple of str
    seed : int
        Of the simulated market.
    history_days : int
        Days before the first start that candles can be asked for.
    candles : Path, optional
        Folder of ``SYMBOL-1m.parquet``: replay it instead of simulating.
    start_ms : int, optional
        Market time to start at; the default goes on after the last one seen.

    Raises
    ------
    HomeError
        If `start_ms` is no plausible time, the home lives in another world, the recording lacks a symbol or has ended.
    CandleError
        If a file of the recording cannot be used.
    """
    from crucible.market.plausible import END_MS, FIRST_MS, likely_unit

    if candles is None:
        fresh = World(
            market="simulated",
            symbols=symbols or default_symbols,
            seed=seed,
            origin_ms=SIMULATED_ORIGIN_MS,
            start_ms=SIMULATED_ORIGIN_MS + history_days * DAY_MS,
            last_market_ms=0,
        )
    else:
        fresh = _recording(candles, symbols, default_symbols, seed)
    saved = read_json(home.world_file)
    if saved is not None:
        _refuse_other_world(home, saved, fresh)
        fresh = replace(fresh, last_market_ms=int(saved.get("last_market_ms", 0)))
    start = start_ms if start_ms is not None else max(fresh.start_ms, fresh.last_market_ms)
    start = -(-start // MINUTE_MS) * MINUTE_MS
    if not FIRST_MS <= start < END_MS:
        unit = likely_unit(start)
        looks = "" if unit is None else f"; it looks like {unit}"
        message = f"--start {start}: no milliseconds since 1970 of the years 2000 to 2099{looks}"
        raise HomeError(message)
    if start <= fresh.origin_ms:
        message = f"--start {start} is not after the market's first instant {fresh.origin_ms}"
        raise HomeError(message)
    if fresh.end_ms is not None and start >= fresh.end_ms:
        message = (
            f"the recording {fresh.candles} ends at {fresh.end_ms}, before the start {start}; "
            "give an earlier --start, or a new CRUCIBLE_HOME to begin again"
        )
        raise HomeError(message)
    return replace(fresh, start_ms=start)


def open_outside(
    home: Home, *, symbols: tuple[str, ...], seed: int, history_days: int, now_ms: int
) -> World:
    """Give the world of a venue outside: it starts now and has its own history.

    Raises
    ------
    HomeError
        If the home has lived in another market.
    """
    now_ms = now_ms // MINUTE_MS * MINUTE_MS
    fresh = World(
        market="venue",
        symbols=symbols,
        seed=seed,
        origin_ms=now_ms - history_days * DAY_MS,
        start_ms=now_ms,
        last_market_ms=now_ms,
    )
    saved = read_json(home.world_file)
    if saved is not None:
        _refuse_other_world(home, saved, fresh)
    return fresh


def _recording(
    folder: Path, symbols: tuple[str, ...] | None, default_symbols: tuple[str, ...], seed: int
) -> World:
    from crucible.market.candles import files_of

    folder = folder.expanduser().absolute()
    files = files_of(folder)
    wanted = symbols or tuple(name for name in default_symbols if name in files)
    absent = [name for name in wanted if name not in files]
    if absent or not wanted:
        what = absent[0] if absent else " or ".join(default_symbols)
        holds = ", ".join(sorted(files)) or "no SYMBOL-1m.parquet at all"
        message = f"{folder} has no candles of {what}; it holds {holds}"
        raise HomeError(message)
    spans = [_span(files[name], name) for name in wanted]
    first = max(span[0] for span in spans)
    end = min(span[1] for span in spans) + MINUTE_MS
    if first >= end:
        message = (
            f"{folder}: no minute is in every file of {', '.join(wanted)}: one begins at {first}, "
            f"another ends at {end}; name symbols that were recorded at the same time"
        )
        raise HomeError(message)
    minutes = (end - first) // MINUTE_MS
    if minutes < FEWEST_CANDLES:
        message = (
            f"{folder}: {minutes} minutes are in every file of {', '.join(wanted)}; nothing can be forged "
            f"on fewer than {FEWEST_CANDLES}: give a longer recording"
        )
        raise HomeError(message)
    start = first + int((end - first) * HISTORY_FRACTION)
    return World(
        market="replay",
        symbols=wanted,
        seed=seed,
        origin_ms=first,
        start_ms=start,
        last_market_ms=0,
        candles=str(folder),
        end_ms=end,
    )


def _span(path: Path, symbol: str) -> tuple[int, int]:
    """First and last open time of a file in which every row is sound."""
    from crucible.market.candles import read_candles

    candles = read_candles(path, symbol)
    return int(candles.ts[0]), int(candles.ts[-1])


def _refuse_other_world(home: Home, saved: dict[str, object], fresh: World) -> None:
    for name in ("market", "seed", "candles", "symbols"):
        asked = getattr(fresh, name)
        before = saved.get(name)
        if (list(asked) if isinstance(asked, tuple) else asked) != before:
            message = (
                f"{home.path} has lived in another market: {name} was {before}, now {asked}; "
                "set CRUCIBLE_HOME to a new folder, or remove this one"
            )
            raise HomeError(message)
