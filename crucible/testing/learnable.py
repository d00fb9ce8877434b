"""The rules of the paper venue's simulated market, read off candles by an implementation of their own.

The venue plants them (``cerebellum_core/paper_venue/src/market/rule_signals.rs``) and prints when each
holds (``paper_venue --print-rules``); ``docs/reference/paper-venue.md`` states both. What a rule says
follows from closed candles alone, so that anybody can check that the market holds what it states.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crucible.market.candles import Candles, Floats
from crucible.strategies.contract import Exits
from crucible.vm.signals import Signal, Signals

HOLD = 15
"""Minutes for which a rule that has spoken moves the price."""
RULES = ("flow", "leader", "reversion")
USUAL, HOUR, QUARTER = 240, 60, 15
FLOW_LEAN, LEADER_DEVIATIONS, REVERSION_DEVIATIONS = 0.6, 2.5, 2.0
ORACLE_EXITS = Exits(stop=0.05, target=0.06, timeout=HOLD)
"""How a trader who knows a rule leaves: after its minutes, or far away."""

Sides = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Spell:
    """A stretch of market time in which a rule moves the price in one way; as ``--print-rules`` has it.

    Attributes
    ----------
    symbol, rule : str
    on_ts, off_ts : int
        First millisecond, and the first after it.
    strength : float
        Return added over `HOLD` minutes each time the rule speaks; negative while it works the other
        way round.
    """

    symbol: str
    rule: str
    on_ts: int
    off_ts: int
    strength: float


def rule_signal(rule: str, candles: Candles, guide: Candles | None = None) -> Sides:
    """Give what a rule says at each close: 1 up, -1 down, 0 nothing.

    Parameters
    ----------
    rule : str
        One of `RULES`.
    candles : Candles
        Of the symbol that it moves, n of them without a gap, from the market's origin on.
    guide : Candles, optional
        Of the symbol whose moves the leader rule follows, over the same minutes.

    Raises
    ------
    ValueError
        If there is no such rule, or the leader rule has no guide.
    """
    if rule == "flow":
        volume = candles.volume
        leaning = _sum(np.sign(_changes(candles)) * volume, QUARTER)
        sides = -_beyond(leaning, FLOW_LEAN * _sum(volume, QUARTER))
    elif rule == "leader" and guide is not None:
        changes = _changes(guide)
        variance = _sum(changes**2, USUAL) / USUAL * QUARTER
        sides = _beyond(_sum(changes, QUARTER), LEADER_DEVIATIONS * np.sqrt(variance))
    elif rule == "reversion":
        level = np.cumsum(_changes(candles))
        windows = np.lib.stride_tricks.sliding_window_view(level, HOUR)
        away, spread = np.zeros((2, len(level)))
        away[HOUR - 1 :] = level[HOUR - 1 :] - windows.mean(axis=1)
        spread[HOUR - 1 :] = windows.std(axis=1)
        sides = -_beyond(away, REVERSION_DEVIATIONS * spread)
    else:
        message = f"rule {rule!r} is not one of {', '.join(RULES)}, or has no symbol to follow"
        raise ValueError(message)
    sides[: USUAL - 1] = 0
    return sides


def pushed(sides: Sides) -> Sides:
    """Direction in which a rule moves each minute while it holds, shape (n,): for `HOLD` minutes after it spoke."""
    minutes = np.arange(len(sides))
    spoken = np.maximum.accumulate(np.where(sides != 0, minutes, -1))
    # A minute is moved by what closed before it.
    before = np.concatenate([[-1], spoken[:-1]])
    moved = (before >= 0) & (minutes - before <= HOLD)
    return np.where(moved, sides[before], 0).astype(np.int8)


def held(spells: list[Spell], symbol: str, rule: str, candles: Candles) -> Floats:
    """Strength of a rule in each minute, shape (n,): 0 while it rests."""
    strength = np.zeros(len(candles))
    for spell in spells:
        if (spell.symbol, spell.rule) == (symbol, rule):
            inside = (candles.ts >= spell.on_ts) & (candles.ts < spell.off_ts)
            strength[inside] = spell.strength
    return strength


def oracle(sides: Sides) -> Signals:
    """Signals of a trader who knows the rule: buy when it says up, exit when it says down."""
    signals = np.where(sides > 0, Signal.BUY, Signal.HOLD)
    return np.where(sides < 0, Signal.EXIT, signals).astype(np.int8)


def _changes(candles: Candles) -> Floats:
    """Compute returns from close to close; the first from the open."""
    before = np.concatenate([candles.open[:1], candles.close[:-1]])
    changes: Floats = candles.close / before - 1
    return changes


def _sum(values: Floats, window: int) -> Floats:
    """Sum of the newest values, as many as there are at the beginning."""
    sums = np.concatenate([np.zeros(window), np.cumsum(values)])
    windows: Floats = sums[window:] - sums[:-window]
    return windows


def _beyond(values: Floats, bounds: Floats) -> Sides:
    return ((values > bounds).astype(np.int8) - (values < -bounds).astype(np.int8)).astype(np.int8)
