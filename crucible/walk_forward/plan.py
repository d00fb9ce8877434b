"""What a walk-forward is asked for: which slots, when they are forged, and when they trade."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from crucible.errors import CrucibleError
from crucible.files import write_json
from crucible.market.candles import Candles, folder_hash
from crucible.settings import FEWEST_CANDLES, MINUTE_MS, Settings, Slot
from crucible.text import moment

HISTORY_MS = 35 * 24 * 60 * MINUTE_MS
"""Market time before the first forge run, where nothing else is asked for."""
FILE = "plan.json"
OF_BIRTHS = ("from_ts", "refit_ms", "seed", "candles", "code", "forge", "features")
"""What decides the forge runs; slots, the end and the rules of selection may change from one attempt to the next."""


class WalkForwardError(CrucibleError, ValueError):
    """What cannot be walked, and why."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that decides a walk-forward, JSON-able.

    Attributes
    ----------
    slots : tuple of str
    from_ts, to_ts : int
        Market instants of the first forge run and of the end, epoch milliseconds.
    refit_ms : int
        Market milliseconds between two forge runs of a slot.
    seed : int
    identity : dict
        Hashes and settings of everything else.
    """

    slots: tuple[str, ...]
    from_ts: int
    to_ts: int
    refit_ms: int
    seed: int
    identity: Mapping[str, Any]

    @property
    def instants(self) -> list[int]:
        """Market instants of the forge runs."""
        return list(range(self.from_ts, self.to_ts, self.refit_ms))

    def to_json(self) -> dict[str, Any]:
        """Give JSON values."""
        return {
            "slots": list(self.slots),
            "from_ts": self.from_ts,
            "to_ts": self.to_ts,
            "refit_ms": self.refit_ms,
            "seed": self.seed,
            **self.identity,
        }


def make_plan(
    candles: Mapping[str, Candles],
    settings: Settings,
    *,
    slots: Sequence[str],
    refit: str,
    start: str | None,
    end: str | None,
    seed: int,
    identity: Mapping[str, Any],
) -> Plan:
    """Read what was asked for.

    Parameters
    ----------
    candles : mapping of str to Candles
        All that there are.
    settings : Settings
    slots : sequence of str
        By default those of the deployment whose symbol has candles.
    refit : str
        For example ``7d`` or ``12h``.
    start, end : str or None
        Dates, UTC; by default 35 days after the first candle, and the last candle.
    seed : int
    identity : mapping
        What else decides.

    Raises
    ------
    WalkForwardError
        Naming what cannot be used and why.
    SettingsError
        If a slot has no slot's name.
    """
    wanted = [Slot.parse(name) for name in slots] or [
        slot for slot in settings.slots if slot.symbol in candles
    ]
    for slot in wanted:
        if slot.symbol not in candles:
            message = (
                f"--slots {slot.name}: no candles of {slot.symbol}; there are {', '.join(candles)}"
            )
            raise WalkForwardError(message)
    if not wanted:
        symbols = ", ".join(candles)
        message = f"no slot of the deployment trades {symbols}; name some: --slots {next(iter(candles))}-gp-1"
        raise WalkForwardError(message)
    own = [candles[slot.symbol] for slot in wanted]
    first = max(int(each.ts[0]) for each in own)
    from_ts = first + HISTORY_MS if start is None else instant_of("--from", start)
    to_ts = min(int(each.close_ts[-1]) for each in own)
    if end is not None:
        to_ts = min(to_ts, instant_of("--to", end))
    refit_ms = span_of("--refit", refit)
    if to_ts - from_ts < refit_ms:
        message = (
            f"{moment(from_ts)} to {moment(to_ts)} is less than one --refit {refit} of candles to trade; "
            "give more candles, an earlier --from or a shorter --refit"
        )
        raise WalkForwardError(message)
    for each in own:
        seen = int(np.searchsorted(each.close_ts, from_ts, side="right"))
        if seen < FEWEST_CANDLES:
            message = (
                f"--from {moment(from_ts)}: {seen:,} candles of {each.symbol} come before it, and a forge "
                f"run needs {FEWEST_CANDLES:,}; begin later"
            )
            raise WalkForwardError(message)
    names = tuple(slot.name for slot in wanted)
    return Plan(names, from_ts, to_ts, refit_ms, seed, identity)


def identity_of(candles: Mapping[str, Candles], settings: Settings, code: str) -> dict[str, Any]:
    """Tell by hashes and settings what a walk-forward is made of."""
    return {
        "candles": folder_hash(dict(candles)),
        "code": code,
        "forge": settings.forge.model_dump(mode="json", exclude={"dask"}),
        "features": settings.features.model_dump(mode="json"),
        "arena": settings.arena.model_dump(mode="json"),
        "watchtower": settings.watchtower.model_dump(mode="json"),
    }


def keep_plan(plan: Plan, held: Mapping[str, Any] | None, folder: Path) -> None:
    """Leave the plan in its folder, unless the forge runs that lie there are of another one.

    Raises
    ------
    WalkForwardError
        Naming what differs.
    """
    wanted = plan.to_json()
    differing = [name for name in OF_BIRTHS if held is not None and held.get(name) != wanted[name]]
    if differing:
        message = (
            f"{folder}: holds forge runs of another walk-forward, with another {', another '.join(differing)}; "
            "name another --out, or remove that folder"
        )
        raise WalkForwardError(message)
    write_json(folder / FILE, wanted)


def span_of(option: str, text: str) -> int:
    """Read a span of market time, in milliseconds.

    Raises
    ------
    WalkForwardError

    Examples
    --------
    >>> span_of("--refit", "7d"), span_of("--refit", "12h")
    (604800000, 43200000)
    """
    found = re.fullmatch(r"([0-9]{1,4})([dh])", text)
    hours = int(found[1]) * (24 if found[2] == "d" else 1) if found else 0
    if hours < 1:
        message = f"{option} {text!r} is no span of market time; write for example 7d or 12h"
        raise WalkForwardError(message)
    return hours * 60 * MINUTE_MS


def instant_of(option: str, text: str) -> int:
    """Read a date or an instant in UTC, epoch milliseconds.

    Raises
    ------
    WalkForwardError

    Examples
    --------
    >>> instant_of("--from", "1970-01-02")
    86400000
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        message = f"{option} {text!r} is no date; write for example 2024-03-01 or 2024-03-01T12:00"
        raise WalkForwardError(message) from error
    moment = moment.replace(tzinfo=moment.tzinfo or UTC)
    return int(moment.timestamp() * 1000) // MINUTE_MS * MINUTE_MS
