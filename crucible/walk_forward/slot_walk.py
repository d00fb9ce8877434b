"""One slot under one rule of selection, from the first instant to the last.

Who is seated, promoted, replaced and dismissed follows `crucible.lifecycle.seats`; what stands in a version's place in
between is a `Life`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass, field, replace
from decimal import Decimal
from typing import Any

import numpy as np

from crucible.arena.execution import Role
from crucible.ledger.trades import ZERO
from crucible.lifecycle.seats import fill_seats, seat_of_newcomer
from crucible.market.candles import Floats, Integers
from crucible.registry.admission import Rules, refusal
from crucible.settings import MINUTE_MS, Slot
from crucible.strategies.contract import Strategy
from crucible.strategies.exit_reasons import ExitReason
from crucible.strategies.load import load_strategy
from crucible.walk_forward.births import Birth
from crucible.walk_forward.life import Life, Stage
from crucible.walk_forward.rules import Rule
from crucible.watchtower.pairs import difference_bound
from crucible.watchtower.sequential import GainBet
from crucible.watchtower.verdicts import Verdict

MARK_MS = 15 * MINUTE_MS
"""How often equity is marked, as in the arena."""


@dataclass(frozen=True, slots=True)
class Walk:
    """When a slot is traded and judged.

    Attributes
    ----------
    from_ts, to_ts : int
        Market instants, epoch milliseconds.
    every_ms : int
        Between two judgements.
    rules : Rules
        Of admission.
    """

    from_ts: int
    to_ts: int
    every_ms: int
    rules: Rules

    def instants(self) -> Integers:
        """Give every instant at which equity is marked or agents are judged, in order."""
        spans = [
            np.arange(-(-self.from_ts // step) * step, self.to_ts + 1, step, dtype=np.int64)
            for step in (MARK_MS, self.every_ms)
        ]
        found: Integers = np.union1d(*spans)
        return found


@dataclass(slots=True)
class Outcome:
    """What became of a slot under a rule.

    Attributes
    ----------
    slot, rule : str
    ts : ndarray of int64, shape (n,)
        Instants of the marks.
    profit : ndarray of float64, shape (n,)
        Of production so far, quote asset, after fees and funding, open positions at the newest close.
    seated : ndarray of bool, shape (n,)
        Whether there was a production agent.
    lives, trades, verdicts : list of dict
        Rows for tables, in time order.
    """

    slot: str
    rule: str
    ts: Integers
    profit: Floats
    seated: Floats
    lives: list[dict[str, Any]] = field(default_factory=list)
    trades: list[dict[str, Any]] = field(default_factory=list)
    verdicts: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class Pair:
    """A challenger and the shadow copy of the incumbent whose seat it wants.

    Attributes
    ----------
    challenger : Life
    incumbent : Life
        In production.
    copy : Life
        The incumbent's version, flat when the pair begins.
    bet : GainBet
        On the challenger earning more.
    """

    challenger: Life
    incumbent: Life
    copy: Life
    bet: GainBet
    since_ts: InitVar[int]
    _before: float = field(init=False)

    def __post_init__(self, since_ts: int) -> None:
        self._before = self._difference(since_ts)

    def _difference(self, ts: int) -> float:
        return self.challenger.returned(ts) - self.copy.returned(ts)

    def add(self, ts: int) -> None:
        """Take the quarter of an hour that ends at `ts`."""
        now = self._difference(ts)
        if now != self._before:
            self.bet.add(now - self._before)
        self._before = now


class SlotWalk:
    """A slot that is traded, judged and filled; `run` walks all of it.

    Parameters
    ----------
    slot : Slot
    stage : Stage
    births : sequence of Birth
        In order; each can be seated from the first instant after the last candle that it knew.
    rule : Rule
    walk : Walk
    load : callable
        Makes a strategy of a strategy file.
    """

    def __init__(
        self,
        slot: Slot,
        stage: Stage,
        births: Sequence[Birth],
        rule: Rule,
        walk: Walk,
        load: Callable[[dict[str, Any]], Strategy] = load_strategy,
    ) -> None:
        self._slot, self._stage, self._rule, self._walk = slot, stage, rule, walk
        self._births = [born for born in births if born.strategy is not None]
        self._load = load
        self._seats: dict[str, Life] = {}
        self._draining: list[Life] = []
        self._pair: Pair | None = None
        self._done = ZERO
        self._offered: Birth | None = None
        self._row = 0
        instants = walk.instants()
        self._outcome = Outcome(
            slot.name, rule.name, instants, np.zeros(len(instants)), np.zeros(len(instants), bool)
        )

    def run(self) -> Outcome:
        """Walk from the first instant to the last."""
        outcome = self._outcome
        rows = np.searchsorted(self._stage.frame.ts, outcome.ts, side="right")
        for place, (ts, row) in enumerate(zip(outcome.ts.tolist(), rows.tolist(), strict=True)):
            self._trade(row, ts)
            if ts % self._walk.every_ms == 0:
                self._judge(ts)
            self._fill(ts)
            self._match(ts)
            outcome.profit[place] = float(self._profit())
            outcome.seated[place] = "production" in self._seats
        for life in [*self._seats.values(), *self._draining]:
            self._record(life, life.until_ts or int(outcome.ts[-1]), life.end or "still trading")
        outcome.lives.sort(key=lambda life: (life["since_ts"], life["agent"], life["role"]))
        outcome.trades.sort(key=lambda trade: (trade["entry_ts"], trade["agent"], trade["role"]))
        return outcome

    def _profit(self) -> Decimal:
        capital = self._stage.settings.capital_per_agent
        lives = [*self._draining]
        if "production" in self._seats:
            lives.append(self._seats["production"])
        return self._done + sum((life.equity - capital for life in lives), ZERO)

    def _trade(self, row: int, ts: int) -> None:
        self._row = row
        for life in (*self._seats.values(), *self._draining):
            life.advance(row)
            if ts % MARK_MS == 0:
                life.mark(ts)
        if self._pair is not None:
            self._pair.copy.advance(row)
            if ts % MARK_MS == 0:
                self._pair.add(ts)
        for life in [life for life in self._draining if life.is_flat]:
            life.mark(ts)
            self._draining.remove(life)
            self._record(life, life.until_ts or ts, life.end)

    def _match(self, ts: int) -> None:
        """Begin a pair where a challenger has an incumbent, and end it where one of them has left."""
        challenger, incumbent = self._seats.get("challenger"), self._seats.get("production")
        pair = self._pair
        if challenger is None or incumbent is None:
            self._pair = None
        elif pair is None or pair.challenger is not challenger or pair.incumbent is not incumbent:
            copy = self._life(incumbent.birth, "challenger", ts)
            costs = self._stage.costs
            bound = difference_bound(
                challenger.agent.strategy.exits,
                copy.agent.strategy.exits,
                costs.fee,
                costs.slippage,
            )
            self._pair = Pair(challenger, incumbent, copy, GainBet(bound), ts)

    def _judge(self, ts: int) -> None:
        for role, life in list(self._seats.items()):
            if life.since_ts >= ts or self._seats.get(role) is not life:
                continue
            card = life.card(ts)
            if role == "challenger" and self._pair is not None:
                card = replace(
                    card,
                    incumbent=self._pair.incumbent.agent.name,
                    pair_evidence=self._pair.bet.wealth,
                )
            verdict = self._rule.verdict(life, card)
            if verdict.judgement == "keep":
                continue
            self._outcome.verdicts.append(
                {
                    "slot": self._slot.name,
                    "rule": self._rule.name,
                    "ts": ts,
                    "agent": life.agent.name,
                    "role": role,
                    "verdict": verdict.judgement,
                    "reason": verdict.reason,
                    "trades": card.trades,
                    "drawdown": card.drawdown,
                    "gain_evidence": card.gain_evidence,
                    "loss_evidence": card.loss_evidence,
                }
            )
            self._carry_out(role, life, verdict, ts)

    def _carry_out(self, role: str, life: Life, verdict: Verdict, ts: int) -> None:
        if verdict.judgement == "cull":
            self._dismiss(role, f"culled: {verdict.reason}", ts, ExitReason.RETIRED)
        elif not self._refused(life.birth):
            self._promote(verdict.reason, ts)

    def _promote(self, reason: str, ts: int) -> None:
        """Give the challenger the production seat and flat books; who sat there before drains."""
        birth = self._seats["challenger"].birth
        self._dismiss("challenger", f"promoted: {reason}", ts, ExitReason.PROMOTED)
        if "production" in self._seats:
            why = f"replaced by version {birth.number}"
            self._dismiss("production", why, ts, ExitReason.RETIRED)
        self._seats["production"] = self._life(birth, "production", ts)

    def _dismiss(self, role: str, end: str, ts: int, reason: ExitReason) -> None:
        life = self._seats.pop(role)
        life.end, life.until_ts = end, ts
        if role == "challenger":
            life.close(reason, ts)
            self._record(life, ts, end)
        else:
            life.drain()
            self._draining.append(life)

    def _fill(self, ts: int) -> None:
        """Seat the challenger in an empty seat, and the newest birth that nobody took in the seat that it may take."""
        while self._births and self._births[0].known_until_ts < ts:
            self._offered = self._births.pop(0)
        if self._rule.keeps_first and "production" in self._seats:
            return
        if "production" not in self._seats and "challenger" in self._seats:
            self._seat_challenger(ts)
        if self._offered is not None:
            self._take(self._offered, ts)

    def _seat_challenger(self, ts: int) -> None:
        name = self._slot.name
        held = {role: life.birth.version.version for role, life in self._seats.items()}
        actions = fill_seats(
            [self._slot],
            {name: held},
            (),
            refused={},
            quarantined={},
            past={},
            now_ts=ts,
            unproven={(name, version) for version in self._unproven()},
            trial=self._rule.trial,
        )
        for action in actions:
            if action.action == "seat":
                self._promote(action.reason, ts)

    def _unproven(self) -> set[str]:
        """Give the versions that trade without proof, where the rule looks at proof."""
        lives = self._seats.values() if self._rule.by_proof else ()
        return {life.birth.version.version for life in lives if not life.birth.version.proven}

    def _take(self, birth: Birth, ts: int) -> None:
        """Give a birth its seat; where there is none for it, it waits for one until a newer one comes."""
        refused = self._refused(birth)
        held = {role: life.birth.version.version for role, life in self._seats.items()}
        seat = seat_of_newcomer(
            held,
            held,
            birth.version.version,
            refused=refused,
            proven=self._rule.by_proof and birth.version.proven,
            unproven=self._unproven(),
            trial=self._rule.trial,
        )
        if seat is None:
            return
        self._offered = None
        if refused:
            return
        if seat in self._seats:
            why = f"replaced by version {birth.number}, which is proven"
            self._dismiss(seat, why, ts, ExitReason.RETIRED)
        self._seats[seat] = self._life(birth, seat, ts)

    def _life(self, birth: Birth, role: Role, ts: int) -> Life:
        assert birth.strategy is not None
        return Life(self._stage, birth, self._load(birth.strategy), role, self._row, ts)

    def _refused(self, birth: Birth) -> bool:
        strategy = None if birth.proof is None else birth.proof.strategy
        return refusal(birth.version, self._walk.rules, strategy) != ""

    def _record(self, life: Life, ts: int, end: str) -> None:
        capital = self._stage.settings.capital_per_agent
        if life.role == "production" and life not in self._seats.values():
            self._done += life.equity - capital
        card = life.card(ts + 1)
        own = {"slot": self._slot.name, "rule": self._rule.name, "agent": life.agent.name}
        self._outcome.lives.append(
            {
                **own,
                "role": life.role,
                "proven_by": life.agent.seat.proven_by,
                "born_ts": life.birth.known_until_ts,
                "since_ts": life.since_ts,
                "until_ts": ts,
                "end": end,
                "trades": card.trades,
                "profit": str(life.equity - capital),
                "fees": str(card.fees),
                "funding": str(card.funding),
                "drawdown": card.drawdown,
                "gain_evidence": card.gain_evidence,
                "loss_evidence": card.loss_evidence,
            }
        )
        for trade in life.trades(self._walk.to_ts + MINUTE_MS):
            self._outcome.trades.append(
                {
                    **own,
                    "role": life.role,
                    "entry_ts": trade.entry_ts,
                    "exit_ts": trade.exit_ts,
                    "qty": str(trade.qty),
                    "entry_price": str(trade.entry_price),
                    "exit_price": str(trade.exit_price),
                    "fees": str(trade.fees),
                    "funding": str(trade.funding),
                    "profit": str(trade.net_pnl),
                    "net_return": trade.net_return,
                    "reason": str(trade.reason),
                }
            )
