"""Judgement: who is due, how each agent is scored, and how a verdict is carried out, once and surely.

Entry points: `due`, `judge_all`, `book`, `carry_out`. A verdict is booked first and carried out then; what a crash
or a server that is away leaves undone stays in the ledger and is carried out by the next judgement.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal, Protocol

from mlflow.exceptions import MlflowException

from crucible.errors import StrategyError
from crucible.files import WriteError
from crucible.ledger import performance_log
from crucible.ledger.funding_charges import marks_after_settlements, with_settlements
from crucible.ledger.ledger import Ledger
from crucible.ledger.reader import PLACEBO, SHADOW_ROLES, AgentRow, LedgerReader
from crucible.ledger.trades import Mode, pair
from crucible.lifecycle.admission import serving
from crucible.lifecycle.context import Context
from crucible.lifecycle.lived import Proving
from crucible.lifecycle.production import PromotionError
from crucible.lifecycle.records import Records
from crucible.lifecycle.replacement import forge_order
from crucible.locks import HeldError
from crucible.market.exchange import ExchangeError
from crucible.market.funding import Funding, FundingError
from crucible.registry.errors import RegistryError
from crucible.registry.models import Registry, Version
from crucible.registry.proof import digest
from crucible.registry.version import gap_of
from crucible.settings import MINUTE_MS
from crucible.strategies.contract import Exits
from crucible.watchtower.pairs import difference_bound, pair_wealth
from crucible.watchtower.parity import with_parity
from crucible.watchtower.scorecard import Scorecard, score
from crucible.watchtower.verdicts import Verdict, gain_bound, judge, loss_bound

DRAINING = "draining"
"""Role of an agent that is on its way out: it is judged no more."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One agent, its scorecard and its verdict.

    `proven_by` is the route by which its version is proven; `strategy` the digest of the file that it trades, empty
    where it is not known or is not the file that it was judged by.
    """

    row: AgentRow
    card: Scorecard
    verdict: Verdict
    equity: Decimal | None = None
    proven_by: str = ""
    strategy: str = ""


def due(ledger: LedgerReader, every_minutes: int) -> list[int]:
    """Give the market instants that are to be judged and have not been, epoch milliseconds, in order."""
    now, step = ledger.market_ts(), every_minutes * MINUTE_MS
    agents = ledger.agents()
    if now is None or not agents:
        return []
    first = ledger.last_judged()
    if first is None:
        first = agents[0].since_ts // step * step
    return list(range(first + step, now + 1, step))


def settlements(context: Context, until_ts: int) -> dict[str, Funding]:
    """Give each symbol's funding up to a market instant; what the lake holds if the venue is away."""
    found = {}
    for symbol in context.symbols:
        rates = context.lake.read_funding(symbol)
        if len(rates) and until_ts >= int(rates.ts[-1]) + rates.interval_ms:
            try:
                start_ms = int(rates.ts[0])
                rates = context.lake.refresh_funding(
                    context.exchange, symbol, start_ms, until_ts + 1
                )
            except (ExchangeError, FundingError, HeldError) as error:
                context.log.warning("funding of challengers is charged as known: %s", error)
        found[symbol] = rates
    return found


def judge_all(
    context: Context, ledger: LedgerReader, ts: int, rates: Mapping[str, Funding]
) -> list[Judged]:
    """Score and judge every agent that was trading at one market instant.

    The venue charges funding to production agents; challengers are charged it here by its rates. An agent of
    whom something is no number (a price, a return, a mark of equity) is not judged, and named as an error: it
    is neither kept nor proven by a value with which every comparison is false. The others are judged.

    Raises
    ------
    RegistryError
        If the registry does not answer.
    """
    judged = []
    # Judged once more while its verdict waits, an agent would be culled as often as it was judged.
    waiting = {row["agent"] for row in ledger.waiting_verdicts()}
    for row in ledger.agents(active=True):
        if row.since_ts >= ts or row.role in {DRAINING, PLACEBO} or row.agent in waiting:
            continue
        version = context.registry.version(row.slot, row.version)
        if not is_active(context.registry, row.slot, row.version):
            continue
        try:
            document = context.registry.strategy(version)
            exits = exits_of(version, document)
        except StrategyError as error:
            # The others are judged all the same; whoever has no file that can be read is not.
            context.log.warning("%s is not judged: %s", row.agent, error)
            continue
        gap = gap_of(version)
        funding = rates.get(row.symbol)
        try:
            against = _pair(context, ledger, row, exits, ts, funding)
            one = judge_one(context, ledger, row, exits, gap, ts, funding, against)
        except (ValueError, ArithmeticError) as error:  # of our own, and what Decimal raises
            context.log.error("%s is not judged: %s: %s", row.agent, type(error).__name__, error)
            continue
        # The bounds of the bets come from the file: with another one they would be another strategy's.
        strategy = row.strategy if row.strategy == digest(document) else ""
        judged.append(replace(one, proven_by=version.proven_by, strategy=strategy))
    return judged


def judge_one(
    context: Context,
    ledger: LedgerReader,
    row: AgentRow,
    exits: Exits,
    gap: float | None,
    ts: int,
    rates: Funding | None,
    against: tuple[str, float] | None = None,
) -> Judged:
    """Score and judge one agent at one market instant; whoever trades in shadow is judged as a challenger.

    Raises
    ------
    ValueError, ArithmeticError
        If something of it is no number.
    """
    role: Literal["production", "challenger"] = (
        "challenger" if row.role in SHADOW_ROLES else "production"
    )
    mode: Mode = "shadow" if role == "challenger" else "live"
    trades = [trade for trade in ledger.trades(row.agent, ts) if trade.mode == mode]
    fills = [fill for fill in ledger.fills(row.agent, ts) if fill.mode == mode]
    marks = ledger.equity(row.agent, ts, mode)
    held = pair(fills)[1].get((row.agent, row.symbol, mode))
    if mode == "shadow" and rates is not None:
        marks = marks_after_settlements(marks, trades, held, rates)
        trades = with_settlements(trades, rates)
    costs = context.settings.forge.costs
    card = score(
        row.agent,
        ts,
        trades,
        marks,
        since_ts=row.since_ts,
        last_fill_ts=max((fill.exec_ts for fill in fills), default=None),
        largest_loss=loss_bound(exits, costs.fee, costs.slippage),
        largest_gain=gain_bound(exits),
        holds=held is not None and bool(held.qty),
    )
    if role == "production":
        card = with_parity(card, ledger.parity(row.agent, row.since_ts, ts))
    if against is not None:
        card = replace(card, incumbent=against[0], pair_evidence=against[1])
    verdict = judge(card, role, context.settings.watchtower, gap)
    return Judged(row, card, verdict, marks[-1][1] if marks else None)


def _pair(
    context: Context,
    ledger: LedgerReader,
    row: AgentRow,
    exits: Exits,
    ts: int,
    rates: Funding | None,
) -> tuple[str, float] | None:
    """Give the incumbent whose seat a challenger wants and the evidence that it earns more; None without incumbent."""
    if row.role != "challenger":
        return None
    # Who may not trade here has no shadow copy: a bet on it would never move.
    production = serving(context, row.slot).get("production")
    if production is None or production == row.version:
        return None
    version = context.registry.version(row.slot, production)
    try:
        theirs = exits_of(version, context.registry.strategy(version))
    except StrategyError as error:
        context.log.warning("%s is compared with nobody: %s", row.agent, error)
        return None
    costs = context.settings.forge.costs
    bound = difference_bound(exits, theirs, costs.fee, costs.slippage)
    incumbent = f"{row.slot}@{production}"
    marks = ledger.pair_marks(row.agent, incumbent, ts)
    return incumbent, pair_wealth(marks, rates, bound)


def is_active(registry: Registry, slot: str, version: str) -> bool:
    """Whether a version is in production or a challenger."""
    aliases = registry.aliases(slot)
    return version in {aliases.get("production"), aliases.get("challenger")}


def exits_of(version: Version, document: Mapping[str, Any]) -> Exits:
    """Read a version's exits from its strategy file.

    Raises
    ------
    StrategyError
        If no exits are in it, or they are not above zero and finite.
    """
    try:
        exits = document["exits"]
        found = Exits(float(exits["stop"]), float(exits["target"]), int(exits["timeout"]))
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        message = f"{version.slot} version {version.version}: no exits in its file: {error!r}"
        raise StrategyError(message) from error
    if not (0 < found.stop < math.inf and 0 < found.target < math.inf):
        message = f"{version.slot} version {version.version}: {found} are no exits of a trade"
        raise StrategyError(message)
    return found


def book(context: Context, ledger: Ledger, judged: Judged) -> None:
    """Book a verdict, once; one that is more than "keep" waits in the ledger to be carried out.

    On a placebo's nothing follows but the end of its life, which the arena sees in the ledger.
    """
    row, card, verdict = judged.row, judged.card, judged.verdict
    details = {
        **card.to_json(),
        "equity": None if judged.equity is None else str(judged.equity),
        "role": row.role,
        "since_ts": row.since_ts,
        "strategy": judged.strategy,
        "proven_by": judged.proven_by,
    }
    fresh = ledger.book_verdict(
        card.ts, row.agent, row.version, verdict.judgement, verdict.reason, details
    )
    if not fresh or verdict.judgement == "keep":
        return
    context.log.info("%s: %s: %s", row.agent, verdict.judgement, verdict.reason)
    if row.role == PLACEBO:
        return
    try:
        performance_log.log_verdict(
            context.run.performance_log, verdict.judgement, card.ts, row.agent, verdict.reason
        )
    except WriteError as error:  # the log only reports; the verdict is carried out all the same
        context.log.error("%s", error)


class Door(Protocol):
    """How production is changed: the promotion flow, or `change_production` itself."""

    def __call__(
        self,
        slot: str,
        version: str,
        action: Literal["promote", "retire"],
        *,
        reason: str,
        decided_by: str,
        evidence: dict[str, Any],
        key: str,
    ) -> object:
        """Promote or retire a version."""


def carry_out(
    context: Context,
    ledger: Ledger,
    door: Door,
    order_replacement: Callable[[str, dict[str, Any]], object],
    unfinished: Callable[[], Iterable[Mapping[str, Any]]] = tuple,
) -> None:
    """Act on every verdict that waits: retire and order a replacement, or promote.

    What fails for one agent stays for the next judgement; the others are acted upon. So where nobody says which
    forge runs have not ended, the culled version is retired and its replacement is ordered by a later judgement.

    Parameters
    ----------
    context : Context
    ledger : Ledger
    door : callable
    order_replacement : callable
        Takes the agent and the parameters of the forge run.
    unfinished : callable
        Gives the parameters of the forge runs that are ordered and have not ended, whose seeds are taken.
    """
    for row in ledger.waiting_verdicts():
        try:
            _carry_out_one(context, row, door, order_replacement, unfinished)
        except Exception as error:  # noqa: BLE001 - whatever fails for one, the others are judged
            context.log.error(
                "%s: not carried out yet: %s: %s", row["agent"], row["verdict"], error
            )
        else:
            ledger.set_carried_out(int(row["ts"]), str(row["agent"]))


def _carry_out_one(
    context: Context,
    row: Mapping[str, Any],
    door: Door,
    order_replacement: Callable[[str, dict[str, Any]], object],
    unfinished: Callable[[], Iterable[Mapping[str, Any]]],
) -> None:
    agent, version, reason = str(row["agent"]), str(row["version"]), str(row["reason"])
    slot = agent.rpartition("@")[0]
    evidence = {
        name: value
        for name, value in row["details"].items()
        if name not in {"equity", "role", "since_ts", "strategy", "proven_by"}
    }
    key = f"{context.run.run_id}:{row['ts']}"
    if row["verdict"] == "promote":
        if not is_active(context.registry, slot, version):
            return  # retired since: there is nobody to promote
        try:
            door(
                slot,
                version,
                "promote",
                reason=reason,
                decided_by="watchtower",
                evidence=evidence,
                key=key,
            )
        except PromotionError as error:
            context.log.warning("not promoted: %s", error)
        return
    if is_active(context.registry, slot, version):
        door(
            slot,
            version,
            "retire",
            reason=reason,
            decided_by="watchtower",
            evidence=evidence,
            key=key,
        )
    if slot not in {each.name for each in context.settings.slots}:
        context.log.info(
            "%s: not replaced: the deployment strategy has no such slot any more", agent
        )
        return
    why = f"version {version} was culled: {reason}"
    order_replacement(agent, forge_order(context.registry, slot, why, unfinished=unfinished()))


def record(context: Context, ledger: Ledger) -> None:
    """Write what was judged to MLflow; what cannot be written now is written at the next judgement."""
    waiting = ledger.unrecorded()
    if not waiting:
        return
    try:
        Records(context.registry).evaluate(context.run.run_id, waiting)
    except (MlflowException, RegistryError) as error:
        context.log.warning("%d judgements are recorded later: %s", len(waiting), error)
    else:
        ledger.set_recorded(int(waiting[-1]["ts"]))


def scorecard_rows(judged: list[Judged], proving: Proving) -> list[dict[str, Any]]:
    """Give scorecards as rows of a table for people, one an agent.

    Parameters
    ----------
    judged : list of Judged
    proving : Proving
        The evidence of whole lives in shadow, and whom it proved since the agents were judged.
    """
    lived = proving.evidence
    return [
        {
            "agent": item.row.agent,
            "role": item.row.role,
            "figures": "simulated" if item.row.role in SHADOW_ROLES else "at the venue",
            "verdict": item.verdict.judgement,
            "reason": item.verdict.reason,
            "trades": item.card.trades,
            "pnl": str(item.card.pnl),
            "drawdown": f"{item.card.drawdown:.2%}",
            "gain evidence": round(item.card.gain_evidence, 2),
            "loss evidence": round(item.card.loss_evidence, 2),
            "against": item.card.incumbent.rpartition("@")[2],
            "pair evidence": ""
            if item.card.pair_evidence is None
            else round(item.card.pair_evidence, 2),
            "parity": "" if item.card.parity is None else f"{item.card.parity:.2%}",
            "lived evidence": f"{lived[item.row.agent]:.4g}" if item.row.agent in lived else "",
            "proven by": proving.proven.get(item.row.agent, item.proven_by) or "unproven",
        }
        for item in judged
    ]
