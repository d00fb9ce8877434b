"""Parity: whether an agent does at the venue what the backtest of its strategy does on the same candles.

Compared is minute by minute, given the position that the agent really had: whoever missed one fill does not differ for
ever after. What is compared:

- Decisions of its own, at every close at which it decided: where it bought or left, or the backtest would have. Minutes
  in which both do nothing count for nothing: there are too many of them.
- Stops, targets and deadlines, position by position: one that closed it must have been reached, and one that was passed
  must have closed it within a minute.
- Prices of executed orders: no worse than the backtest's with its modelled slippage, and an allowance (`allowance`).

An entry that was skipped or came to nothing, an exit that had to wait, an order that was executed later than in the next
candle, and what somebody else closed is no departure of the strategy, and no agreement either: it is counted as excused.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from crucible.ledger.parity import ParityDay
from crucible.ledger.trades import Fill
from crucible.market.candles import Candle
from crucible.settings import MINUTE_MS
from crucible.strategies.exit_reasons import WITHIN_A_CANDLE, ExitReason
from crucible.text import moment
from crucible.watchtower.conduct import Conduct, Expected, Position, Tally, price_of
from crucible.watchtower.scorecard import Scorecard
from crucible.watchtower.verdicts import MINIMUM_DECISIONS

DAY_MS = 86_400_000
LONGEST_DAYS = 30
"""Days back from the newest that a score may be made of."""
NEAR = 3e-4
"""A level that a candle misses or passes by less than this may be touched by quotes alone, which stand beside the trades
that candles are made of."""
SPREAD_TICKS = 2
"""How far the best price stands beside the last trade at most."""
FIRST_TRADE_MS = 1_000
"""A candle's open is the first trade of its minute: an order that comes before it is filled at the price before."""
OWN_REASONS = frozenset({ExitReason.SIGNAL, ExitReason.REGIME_CHANGE})
"""Exits that are decisions of the agent; those of `ExitReason.DEADLINE` and `WITHIN_A_CANDLE` are carried out for it."""


def allowance(candle: Candle, elapsed_ms: int, tick: float) -> float:
    """Say by which fraction a price may be worse than the modelled one, for reasons that the model leaves out.

    The model fills at the open, at the price of the last trade. An order arrives `elapsed_ms` later: a market that walks
    at random has moved by the root of that share of a minute; twice that share of the candle's whole range is hardly
    ever exceeded. And it is filled at the best price of the other side.

    Examples
    --------
    >>> candle = Candle(0, 100.0, 100.1, 99.9, 100.0, 1.0)
    >>> f"{allowance(candle, 0, 0.01):.4%}", f"{allowance(candle, 600, 0.0):.4%}"
    ('0.0200%', '0.0400%')
    """
    share = min(1.0, 2.0 * math.sqrt(max(0, elapsed_ms) / MINUTE_MS))
    return (SPREAD_TICKS * tick + share * (candle.high - candle.low)) / candle.open


def compare(
    agent: str, conduct: Conduct, expected: Expected, from_ts: int, until_ts: int
) -> ParityDay:
    """Compare what an agent did in ``[from_ts, until_ts)`` with what the backtest does there.

    Parameters
    ----------
    agent : str
    conduct : Conduct
    expected : Expected
        Of the same symbol; its candles reach to `until_ts`.
    from_ts, until_ts : int
        Epoch milliseconds.
    """
    return _Comparison(conduct, expected, from_ts, until_ts).made().day(agent, until_ts)


class _Comparison:
    """One agent and one span of time."""

    def __init__(self, conduct: Conduct, expected: Expected, from_ts: int, until_ts: int) -> None:
        self._conduct, self._expected = conduct, expected
        self._from_ts, self._until_ts = from_ts, until_ts
        self._attended = conduct.attended(from_ts, until_ts + MINUTE_MS)
        self._fills = conduct.by_intent()
        self._tick = expected.tick()
        self._tally = Tally()

    def made(self) -> Tally:
        acts = {
            int(row["ts"]): row
            for row in self._conduct.decisions
            if row["action"] in {"buy", "exit", "skip", "wait"} and self._is_inside(int(row["ts"]))
        }
        for ts, holds in self._attended.items():
            if self._is_inside(ts):
                self._decision(ts, holds, acts.get(ts))
        for position in self._conduct.positions():
            self._closed(position)
            self._held_on(position)
        return self._tally

    def _is_inside(self, ts: int) -> bool:
        return self._from_ts <= ts < self._until_ts

    # --- decisions -----------------------------------------------------------------------------

    def _decision(self, ts: int, holds: bool, act: Mapping[str, Any] | None) -> None:  # noqa: FBT001
        row = self._expected.closed_at(ts)
        if row is None:
            if act is not None:
                self._tally.excuse("no candle of that minute is known")
            return
        wanted = self._expected.wants(row, holds=holds)
        if act is not None and (why := self._excuse(act)):
            self._tally.excuse(why)
            return
        did = "" if act is None else "buy" if act["action"] == "buy" else str(act["reason"])
        if did or wanted:
            departure = f"{_past(did, holds)}, {_would(wanted, holds)}"
            self._tally.decision(ts, "" if did == wanted else departure)
        if act is not None and (fills := self._fills.get(str(act["intent_id"]))):
            self._executed(int(act["ts"]), float(act["price"]), fills)

    def _excuse(self, act: Mapping[str, Any]) -> str:
        """Say why a decision is no departure of the strategy, whatever it was; empty where it may be one."""
        reason = str(act["reason"])
        if act["action"] in {"skip", "wait"}:
            return "waiting for its own order" if reason.startswith("waiting") else reason
        if act["action"] == "exit":
            return "" if reason in OWN_REASONS else f"closed: {reason}"
        if act["intent_id"] is None:
            return "its order did not leave"
        if str(act["intent_id"]) in self._fills:
            return ""
        outcome = str(act["outcome"] or "no outcome is known")
        # What follows the code are figures of the one case.
        return f"not filled: {': '.join(outcome.split(': ')[:2])}"

    # --- stops, targets and deadlines ----------------------------------------------------------

    def _closed(self, position: Position) -> None:
        """Compare how a position ended with what its levels and its deadline say."""
        if not position.sold or not self._is_inside(position.sold[0].exec_ts):
            return
        reason, ts = position.sold[-1].reason, position.sold[0].exec_ts
        if reason in OWN_REASONS:
            return
        if reason == ExitReason.DEADLINE:
            self._deadline(position, ts)
        elif reason in WITHIN_A_CANDLE:
            self._level(position, reason, ts)
        else:
            self._tally.excuse(f"closed: {reason}")

    def _deadline(self, position: Position, ts: int) -> None:
        deadline = position.deadline(self._expected)
        if deadline is None:
            self._tally.excuse("the deadline of a position is not known")
            return
        early = f"left (deadline), the backtest would have held on until {moment(deadline)}"
        self._tally.decision(ts, "" if ts >= deadline else early)
        if ts >= deadline:
            self._executed(deadline, None, position.sold)

    def _level(self, position: Position, reason: str, ts: int) -> None:
        row = self._expected.within(ts)
        if row is None:
            self._tally.excuse("no candle of that minute is known")
            return
        entry = self._expected.within(position.bought[0].exec_ts)
        first = max(row - 1, 0 if entry is None else entry)
        candles = [self._expected.candles.candle(each) for each in range(first, row + 1)]
        stop, target = position.levels(self._expected.exits)
        if reason == ExitReason.STOP:
            touched = [each for each in candles if each.low <= stop[1] * (1.0 + NEAR)]
            level = stop[0]
        else:
            touched = [each for each in candles if each.high >= target[0] * (1.0 - NEAR)]
            level = target[0]
        away = f"left ({reason}), the backtest would have held on: no candle came to {level:.8g}"
        self._tally.decision(ts, "" if touched else away)
        if touched:
            # A gap through a stop is filled at the open; one through a target pays more than it.
            gap = reason == ExitReason.STOP
            worst = min(
                (min(each.open, level) if gap else level)
                * (1.0 - self._expected.slippage - allowance(each, FIRST_TRADE_MS, self._tick))
                for each in touched
            )
            self._sold_above(ts, price_of(position.sold), worst)

    def _held_on(self, position: Position) -> None:
        """Find the first candle in which the backtest would have closed what the agent held for longer."""
        candles = self._expected.candles
        first = self._expected.within(position.bought[-1].exec_ts)
        if first is None:
            return
        last = len(candles)
        if position.sold:
            # It may take until the next candle to close what this one's last trades reached.
            left = np.searchsorted(candles.ts, position.sold[0].exec_ts, side="right") - 1
            last = max(first, int(left) - 1)
        rows = slice(first + 1, last)
        (stop, _), (_, target) = position.levels(self._expected.exits)
        deadline = position.deadline(self._expected)
        passed = {
            ExitReason.STOP: candles.low[rows] < stop * (1.0 - NEAR),
            ExitReason.TAKE_PROFIT: candles.high[rows] > target * (1.0 + NEAR),
        }
        if deadline is not None:
            passed[ExitReason.DEADLINE] = candles.ts[rows] >= deadline
        found = {
            reason: int(candles.close_ts[rows][np.argmax(hit)])
            for reason, hit in passed.items()
            if hit.any()
        }
        if not found:
            return
        reason, ts = min(found.items(), key=lambda item: item[1])
        # Somebody must have been there to see it, and a minute later still have held it.
        later = ts + MINUTE_MS
        if self._is_inside(ts) and self._attended.get(ts) and self._attended.get(later):
            self._tally.decision(ts, f"held on, the backtest would have left ({reason})")

    # --- prices --------------------------------------------------------------------------------

    def _executed(self, ts: int, asked: float | None, fills: Sequence[Fill]) -> None:
        """Compare the price of an order that was due at an instant with the open of the candle that begins there."""
        row, last_ts = self._expected.within(ts), max(fill.exec_ts for fill in fills)
        if row is None or last_ts < ts or self._expected.within(last_ts) != row:
            self._tally.excuse("executed outside of the next candle")
            return
        candle = self._expected.candles.candle(row)
        early = asked is not None and last_ts - ts <= FIRST_TRADE_MS
        references = [candle.open, asked] if early and asked is not None else [candle.open]
        may = self._expected.slippage + allowance(candle, last_ts - ts, self._tick)
        price = price_of(fills)
        if fills[0].side == "sell":
            self._sold_above(ts, price, min(references) * (1.0 - may))
            return
        most = max(references) * (1.0 + may)
        dear = f"bought at {price:.8g}, the backtest at {most:.8g} at most"
        self._tally.fill(ts, "" if price <= most else dear)

    def _sold_above(self, ts: int, price: float, least: float) -> None:
        cheap = f"sold at {price:.8g}, the backtest at {least:.8g} at least"
        self._tally.fill(ts, "" if price >= least else cheap)


def _past(act: str, holds: bool) -> str:  # noqa: FBT001
    if not act:
        return "held on" if holds else "stayed out"
    return "bought" if act == "buy" else f"left ({act})"


def _would(act: str, holds: bool) -> str:  # noqa: FBT001
    return f"the backtest would have {_past(act, holds)}"


@dataclass(frozen=True, slots=True)
class Standing:
    """How an agent compares with its backtest as of now.

    Attributes
    ----------
    score : float or None
        Share that agrees; None where nothing was compared.
    decisions : int
        Decisions behind it.
    departure : str
        The first disagreement of the newest day that has one; empty where there is none.
    """

    score: float | None
    decisions: int
    departure: str


def standing(days: Iterable[ParityDay]) -> Standing:
    """Sum up the newest days: as few as hold `MINIMUM_DECISIONS`, `LONGEST_DAYS` back at most.

    Whoever trades a few times a day would never be judged by one day alone; and what lies longer back than that is not
    what an agent does now.

    Parameters
    ----------
    days : iterable of ParityDay
        Of one agent.
    """
    together, departure = ParityDay("", 0), ""
    newest_first = sorted(days, key=lambda day: -day.ts)
    for day in newest_first:
        old = day.ts <= newest_first[0].ts - LONGEST_DAYS * DAY_MS
        if old or together.compared >= MINIMUM_DECISIONS:
            break
        together = replace(
            together,
            compared=together.compared + day.compared,
            equal=together.equal + day.equal,
            fills=together.fills + day.fills,
            fills_within=together.fills_within + day.fills_within,
        )
        departure = departure or next(iter(day.disagreements), "")
    return Standing(together.score, together.compared, departure)


def with_parity(card: Scorecard, days: Iterable[ParityDay]) -> Scorecard:
    """Enter into a scorecard how the agent compares with its backtest."""
    found = standing(days)
    return replace(
        card,
        parity=found.score,
        parity_decisions=found.decisions,
        parity_departure=found.departure,
    )
