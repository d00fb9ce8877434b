"""Placebos: in each symbol one agent that enters at random, in shadow, so that the Watchtower judges somebody without edge.

It has the exits and the pace of the newest production agent of its symbol. A verdict other than "keep", or a failure, ends
its life, and the next one begins at the next quarter of a market hour. Who counts them is `crucible.watchtower.placebos`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from crucible.arena.agent import Agent
from crucible.arena.alignment import Minute
from crucible.arena.execution import Context, Seat
from crucible.arena.seats import OF_THE_ENVIRONMENT
from crucible.arena.shadow.books import close_position, take_fills
from crucible.features.frame import FeatureRow
from crucible.ledger.ledger import Ledger
from crucible.ledger.reader import PLACEBO, AgentRow
from crucible.ledger.trades import ZERO, Mode
from crucible.market.candles import Candle
from crucible.market.instruments import Instrument
from crucible.settings import Settings
from crucible.strategies.exit_reasons import ExitReason
from crucible.strategies.placebo import Placebo

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Life:
    """A life that is under way.

    Attributes
    ----------
    agent : Agent
    strategy : Placebo
    since_ts : int
        When it began, market milliseconds.
    decided_ts : int
        Newest market time that it decided at: after a restart history may bring a candle once more.
    """

    agent: Agent
    strategy: Placebo
    since_ts: int
    decided_ts: int

    @classmethod
    def of(cls, strategy: Placebo, since_ts: int) -> Life:
        """Give the life that a placebo begins."""
        slot, number = f"{strategy.symbol}-placebo-1", str(strategy.life)
        seat = Seat(slot, number, PLACEBO, proven=False, edge=None, gap=strategy.gap)
        return cls(Agent(seat, strategy), strategy, since_ts, since_ts)


class Placebos:
    """All placebos of an arena; none where ``watchtower.placebos`` is off.

    Parameters
    ----------
    settings : Settings
    instruments : mapping of str to Instrument
    ledger : Ledger
        Keeps the lives over a restart, and knows their verdicts.
    prices : mapping of str to Decimal
        Newest close of each symbol.
    seed : int
        Of the entries.

    Attributes
    ----------
    lives : dict of str to Life
        Those under way, by symbol.
    """

    def __init__(
        self,
        settings: Settings,
        instruments: Mapping[str, Instrument],
        ledger: Ledger,
        prices: Mapping[str, Decimal],
        seed: int,
    ) -> None:
        self._settings, self._instruments = settings, instruments
        self._ledger, self._prices, self._seed = ledger, prices, seed
        self._numbers: dict[str, int] = {}
        self._is_restored = False
        self.lives: dict[str, Life] = {}

    def take(self, rows: Mapping[str, FeatureRow], minute: Minute) -> None:
        """Let every placebo decide at a closed candle, after all agents have."""
        ts = minute.close_ts
        if not self._is_restored:
            with self._contained("", ts):
                self._restore(ts)
        for symbol, life in list(self.lives.items()):
            row = rows.get(symbol)
            if row is not None and life.decided_ts < ts:
                with self._contained(symbol, ts):
                    self._decide(life, row, minute.candles[symbol])

    def turn(self, agents: Mapping[str, Agent], ts: int) -> None:
        """End the lives that were given a verdict, and begin one where none is under way.

        Parameters
        ----------
        agents : mapping of str to Agent
            Those that the registry wants.
        ts : int
            A quarter of a market hour, epoch milliseconds.
        """
        if not self._is_restored or not self._settings.watchtower.placebos:
            return
        for symbol, life in list(self.lives.items()):
            with self._contained(symbol, ts):
                verdict = self._ledger.ending_verdict(life.agent.name, life.since_ts)
                if verdict and life.decided_ts <= ts:
                    logger.info("%s ends: %s", life.agent.name, verdict)
                    self._end(life, ts, ExitReason.RETIRED)
        empty = self._instruments.keys() - self.lives.keys()
        models = self._newest(agents, empty, ts) if empty else {}
        for symbol, model in sorted(models.items()):
            with self._contained(symbol, ts):
                self._begin(symbol, model, ts)

    def marks(self, ts: int) -> list[tuple[str, Mode, Decimal]]:
        """Give name, mode and equity of every placebo whose equity at a market instant is known, quote asset."""
        capital = self._settings.arena.capital_per_agent
        found = []
        for symbol, life in self.lives.items():
            equity = life.agent.equity(capital, self._prices.get(symbol))
            if equity is not None and life.decided_ts <= ts:
                found.append((life.agent.name, life.agent.mode, equity))
        return found

    # --- one life ------------------------------------------------------------------------------

    def _newest(self, agents: Mapping[str, Agent], symbols: set[str], ts: int) -> dict[str, Agent]:
        """Give the production agent of each symbol that was seated last."""
        since: dict[str, int] = {}
        with self._contained("", ts):
            since = {row.agent: row.since_ts for row in self._ledger.agents(active=True)}
        newest: dict[str, Agent] = {}
        for name in sorted(since.keys() & agents.keys(), key=lambda name: (since[name], name)):
            agent = agents[name]
            if agent.seat.role == "production" and not agent.quarantined:
                newest[agent.strategy.symbol] = agent
        return {symbol: agent for symbol, agent in newest.items() if symbol in symbols}

    def _begin(self, symbol: str, model: Agent, ts: int) -> None:
        gap = model.seat.gap
        if gap is None:
            return  # at which pace it should trade is not known
        number = self._numbers.get(symbol, 0) + 1
        strategy = Placebo(symbol, model.strategy.exits, gap, self._seed, number)
        life = Life.of(strategy, ts)
        seat = life.agent.seat
        self._ledger.seat(
            AgentRow(
                agent=seat.agent,
                slot=seat.slot,
                version=seat.version,
                role=seat.role,
                symbol=symbol,
                kind=strategy.kind,
                proven=False,
                since_ts=ts,
                until_ts=None,
            )
        )
        self._keep(life)
        self._numbers[symbol], self.lives[symbol] = number, life
        logger.info("%s begins, with exits and pace of %s", seat.agent, model.name)

    def _decide(self, life: Life, row: FeatureRow, candle: Candle) -> None:
        settings = self._settings
        context = Context(
            self._instruments[row.symbol], settings.forge.costs, settings.arena, ZERO, ZERO
        )
        decision = life.agent.decide_and_execute(row, candle, context)
        life.decided_ts = row.ts
        for fill in decision.shadow_fills:
            self._ledger.book_shadow_fill(fill)
        self._keep(life)

    def _end(self, life: Life, ts: int, reason: ExitReason) -> None:
        price = self._prices.get(life.strategy.symbol)
        close_position(life.agent, self._ledger, price, ts, reason, self._settings.forge.costs)
        self._ledger.unseat(life.agent.name, ts)
        self.lives.pop(life.strategy.symbol, None)

    # --- over a restart ------------------------------------------------------------------------

    def _keep(self, life: Life) -> None:
        state = {
            "strategy": life.strategy.to_json(),
            "decided_ts": life.decided_ts,
            "execution": life.agent.execution.state(),
        }
        self._ledger.keep_shadow(life.agent.name, state)

    def _restore(self, ts: int) -> None:
        """Go on with the lives that the ledger knows as under way."""
        for row in self._ledger.agents():
            if row.role != PLACEBO:
                continue
            self._numbers[row.symbol] = max(self._numbers.get(row.symbol, 0), int(row.version))
            if row.until_ts is not None:
                continue
            try:
                life = self._recorded(row.agent, row.since_ts)
            except OF_THE_ENVIRONMENT:
                raise
            except Exception:
                logger.exception("%s cannot be gone on with: its life ends", row.agent)
                self._ledger.unseat(row.agent, ts)
                continue
            if self._settings.watchtower.placebos and row.symbol in self._instruments:
                self.lives[row.symbol] = life
            else:
                self._end(life, ts, ExitReason.RETIRED)
        self._is_restored = True

    def _recorded(self, name: str, since_ts: int) -> Life:
        """Give a life as the ledger knows it."""
        kept: dict[str, Any] | None = self._ledger.kept_shadow(name)
        if kept is None:
            message = f"{self._ledger.path}: keeps no state of {name}"
            raise LookupError(message)
        life = Life.of(Placebo.from_json(kept["strategy"]), since_ts)
        take_fills(life.agent, self._ledger)
        life.agent.execution.restore(kept["execution"])
        life.decided_ts = int(kept["decided_ts"])
        return life

    @contextmanager
    def _contained(self, symbol: str, ts: int) -> Iterator[None]:
        """Keep what fails within one placebo: its life ends, unless the disk or the ledger is at fault."""
        try:
            yield
        except OF_THE_ENVIRONMENT as error:
            logger.error("placebos %s: tried again later: %s", symbol, error)
        except Exception:
            logger.exception("the placebo of %s failed: its life ends", symbol)
            if (life := self.lives.pop(symbol, None)) is not None:
                self._end_failed(life, ts)

    def _end_failed(self, life: Life, ts: int) -> None:
        """End a life by what the ledger knows of it: the candle that it failed at may have left more in its books."""
        try:
            self._end(self._recorded(life.agent.name, life.since_ts), ts, ExitReason.QUARANTINED)
        except Exception:
            logger.exception("%s: its simulated position stays open", life.agent.name)
            self._ledger.unseat(life.agent.name, ts)
