"""The market that a workspace lives in: a second start goes on where the first one stopped.

The simulated market is a pure function of (seed, origin, market time), so continuing needs only the
last instant seen. A workspace never changes markets: its lake holds that market's history.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from crucible.operations.errors import WorkspaceError
from crucible.operations.workspace import Workspace, read_json, write_json
from crucible.settings import MINUTE_MS, Rules

DAY_MS = 86_400_000
# 2025-01-01T00:00:00Z: a fixed origin makes a default run reproducible.
SIMULATED_ORIGIN_MS = 1_735_689_600_000
# The rest of a recording is left to trade in; what comes before is history to learn from.
HISTORY_FRACTION = 0.6
RULES_EDITION = 2
"""Which rules the simulated market holds: when they speak and how strongly. Another edition is another market."""


@dataclass(frozen=True, slots=True)
class MarketConfiguration:
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
    funding : str or None
        Folder of the recording's rates of funding, absolute; None is that of the candles.
    rules : {'learnable', 'none'}
        What the simulated market holds; every other market is as it is.
    rules_edition : int
        Edition of its rules; 0 where it holds none.
    """

    market: Literal["simulated", "replay", "venue"]
    symbols: tuple[str, ...]
    seed: int
    origin_ms: int
    start_ms: int
    last_market_ms: int
    candles: str | None = None
    end_ms: int | None = None
    funding: str | None = None
    rules: Rules = "none"
    rules_edition: int = 0

    @property
    def unknown_funding(self) -> tuple[str, ...]:
        """Symbols of a recording without rates: they are charged no funding."""
        from crucible.operations.recorded_candles import without_rates

        if self.candles is None:
            return ()
        return without_rates(Path(self.funding or self.candles), self.symbols)

    def describe(self) -> list[str]:
        """Tell a person what a recording replays, leaves out and does not know."""
        from crucible.operations.recorded_candles import open_recording

        if self.candles is None:
            return []
        recording = open_recording(Path(self.candles), self.symbols)
        lines = [f"replaying {', '.join(self.symbols)} of {self.candles}"]
        if recording.left_out:
            lines.append(
                f"left out of the replay: {', '.join(recording.left_out)}; name what to replay "
                "with --symbols"
            )
        if self.unknown_funding:
            lines.append(
                f"no rates of funding are known for {', '.join(self.unknown_funding)}: none is "
                "charged; put SYMBOL-funding.parquet beside the candles, or name a folder with "
                "--funding"
            )
        return lines

    def save(self, workspace: Workspace, last_market_ms: int) -> None:
        """Remember how far the market has come; an older instant changes nothing."""
        saved = read_json(workspace.configuration_file) or {}
        newest = max(last_market_ms, self.last_market_ms, int(saved.get("last_market_ms", 0)))
        write_json(workspace.configuration_file, asdict(replace(self, last_market_ms=newest)))


def open_configuration(
    workspace: Workspace,
    *,
    symbols: tuple[str, ...] | None,
    default_symbols: tuple[str, ...],
    seed: int,
    history_days: int,
    candles: Path | None = None,
    funding: Path | None = None,
    start_ms: int | None = None,
    rules: Rules = "none",
) -> MarketConfiguration:
    """Give the market for the next start of a workspace.

    Parameters
    ----------
    workspace : Workspace
    symbols : tuple of str or None
        Asked for by name; None takes `default_symbols`, of a recording those that the workspace has
        replayed before, or all that it holds.
    default_symbols : tuple of str
    seed : int
        Of the simulated market.
    history_days : int
        Days before the first start that candles can be asked for.
    candles : Path, optional
        Folder of ``SYMBOL-1m.parquet``: replay it instead of simulating.
    funding : Path, optional
        Folder of ``SYMBOL-funding.parquet`` for a replay; the default is `candles`. A symbol without
        such a file is charged no funding.
    start_ms : int, optional
        Market time to start at; the default goes on after the last one seen.
    rules : {'learnable', 'none'}
        Of the simulated market.

    Raises
    ------
    WorkspaceError
        If `start_ms` is no plausible time, the workspace lives in another market, the recording lacks a
        symbol or has ended, or `funding` has no rates of any symbol.
    CandleError
        If a file of the recording cannot be used.
    """
    from crucible.market.plausible import END_MS, FIRST_MS, likely_unit

    saved = read_json(workspace.configuration_file)
    if candles is None:
        if funding is not None:
            message = f"--funding {funding} belongs to a replay; give --candles, or leave it out"
            raise WorkspaceError(message)
        fresh = MarketConfiguration(
            market="simulated",
            symbols=symbols or default_symbols,
            seed=seed,
            origin_ms=SIMULATED_ORIGIN_MS,
            start_ms=SIMULATED_ORIGIN_MS + history_days * DAY_MS,
            last_market_ms=0,
            rules=rules,
            rules_edition=RULES_EDITION if rules == "learnable" else 0,
        )
    else:
        if symbols is None and saved is not None and saved.get("candles") == _named(candles):
            symbols = tuple(saved["symbols"])
        fresh = _recording(candles, symbols, funding, seed)
    if saved is not None:
        _refuse_other_configuration(workspace, saved, fresh)
        fresh = replace(fresh, last_market_ms=int(saved.get("last_market_ms", 0)))
    start = start_ms if start_ms is not None else max(fresh.start_ms, fresh.last_market_ms)
    start = -(-start // MINUTE_MS) * MINUTE_MS
    if not FIRST_MS <= start < END_MS:
        unit = likely_unit(start)
        hint = "" if unit is None else f"; it looks like {unit}"
        message = f"--start {start}: no milliseconds since 1970 of the years 2000 to 2099{hint}"
        raise WorkspaceError(message)
    if start <= fresh.origin_ms:
        message = f"--start {start} is not after the market's first instant {fresh.origin_ms}"
        raise WorkspaceError(message)
    if fresh.end_ms is not None and start >= fresh.end_ms:
        message = (
            f"the recording {fresh.candles} ends at {fresh.end_ms}, before the start {start}; "
            "give an earlier --start, or a new CRUCIBLE_HOME to begin again"
        )
        raise WorkspaceError(message)
    return replace(fresh, start_ms=start)


def open_outside(
    workspace: Workspace, *, symbols: tuple[str, ...], seed: int, history_days: int, now_ms: int
) -> MarketConfiguration:
    """Give the market of a venue outside: it starts now and has its own history.

    Raises
    ------
    WorkspaceError
        If the workspace has lived in another market.
    """
    now_ms = now_ms // MINUTE_MS * MINUTE_MS
    fresh = MarketConfiguration(
        market="venue",
        symbols=symbols,
        seed=seed,
        origin_ms=now_ms - history_days * DAY_MS,
        start_ms=now_ms,
        last_market_ms=now_ms,
    )
    saved = read_json(workspace.configuration_file)
    if saved is not None:
        _refuse_other_configuration(workspace, saved, fresh)
    return fresh


def _named(folder: Path) -> str:
    return str(folder.expanduser().absolute())


def _recording(
    folder: Path, symbols: tuple[str, ...] | None, funding: Path | None, seed: int
) -> MarketConfiguration:
    from crucible.operations.recorded_candles import check_funding, open_recording

    held = open_recording(folder, symbols)
    rates = None if funding is None else str(check_funding(funding, held.symbols))
    return MarketConfiguration(
        market="replay",
        symbols=held.symbols,
        seed=seed,
        origin_ms=held.first_ms,
        start_ms=held.first_ms + int((held.end_ms - held.first_ms) * HISTORY_FRACTION),
        last_market_ms=0,
        candles=_named(folder),
        end_ms=held.end_ms,
        funding=rates,
    )


def _refuse_other_configuration(
    workspace: Workspace, saved: dict[str, object], fresh: MarketConfiguration
) -> None:
    # A workspace of before there were rules has lived without any; of before there were editions, in the first.
    lived: dict[str, object] = {"rules": "none", **saved}
    lived.setdefault("rules_edition", 1 if lived["rules"] == "learnable" else 0)
    for name in ("market", "seed", "candles", "symbols", "funding", "rules", "rules_edition"):
        asked = getattr(fresh, name)
        before = lived.get(name)
        if (list(asked) if isinstance(asked, tuple) else asked) != before:
            message = (
                f"{workspace.path} has lived in another market: {name} was {before}, now {asked}; "
                "set CRUCIBLE_HOME to a new folder, or remove this one"
            )
            if name == "rules":
                message += f'; market.rules = "{before}" goes on with it'
            raise WorkspaceError(message)
