"""Watchtower: judge every agent at each quarter of a market hour and carry the verdicts out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from mlflow.exceptions import MlflowException
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event

from crucible.errors import StrategyError
from crucible.files import WriteError, append_line
from crucible.ledger.funding_charges import marks_after_settlements, with_settlements
from crucible.ledger.ledger import Ledger
from crucible.ledger.reader import AgentRow, LedgerError
from crucible.ledger.trades import Mode, pair
from crucible.lifecycle.records import Records
from crucible.market.exchange import ExchangeError
from crucible.market.funding import Funding, FundingError
from crucible.registry.models import Registry, RegistryError, Version
from crucible.settings import MINUTE_MS
from crucible.strategies.contract import Exits
from crucible.watchtower.scorecard import Scorecard, score
from crucible.watchtower.verdicts import Verdict, judge, loss_bound
from flows.context import House, open_house
from flows.promotion import PromotionError, promotion
from flows.singularity import forging_seed


@dataclass(frozen=True)
class Judged:
    """One agent, its scorecard and its verdict."""

    row: AgentRow
    card: Scorecard
    verdict: Verdict
    equity: Decimal | None = None


@flow(name="watchtower", flow_run_name="judge the agents")
def watchtower() -> dict[str, int]:
    """Judge at every due market instant, in order, using only what was known by then.

    Returns
    -------
    dict of str to int
        How often each verdict was given.
    """
    house = open_house()
    logger = get_run_logger()
    counts = {"keep": 0, "cull": 0, "promote": 0}
    try:
        ledger = Ledger(house.run.ledger)
    except LedgerError as error:
        logger.info("nothing to judge: %s", error)
        return counts
    with ledger:
        instants = due(ledger, house.settings.watchtower.every_minutes)
        latest: list[Judged] = []
        rates = settlements(house, instants[-1]) if instants else {}
        for ts in instants:
            latest = judge_all(house, ledger, ts, rates)
            for judged in latest:
                counts[judged.verdict.judgement] += 1
                carry_out(house, ledger, judged)
            ledger.set_last_judged(ts)
        if latest:
            show(latest)
        record(house, ledger)
    logger.info("%d instants judged: %s", len(instants), counts)
    return counts


def due(ledger: Ledger, every_minutes: int) -> list[int]:
    """Give the market instants that are to be judged and have not been."""
    now, step = ledger.market_ts(), every_minutes * MINUTE_MS
    agents = ledger.agents()
    if now is None or not agents:
        return []
    first = ledger.last_judged()
    if first is None:
        first = agents[0].since_ts // step * step
    return list(range(first + step, now + 1, step))


def settlements(house: House, until_ts: int) -> dict[str, Funding]:
    """Give each symbol's funding up to a market instant; what the lake holds if the venue is away."""
    found = {}
    for symbol in house.symbols:
        rates = house.lake.read_funding(symbol)
        if len(rates) and until_ts >= int(rates.ts[-1]) + rates.interval_ms:
            try:
                start_ms = int(rates.ts[0])
                rates = house.lake.refresh_funding(house.exchange, symbol, start_ms, until_ts + 1)
            except (ExchangeError, FundingError) as error:
                get_run_logger().warning("funding of challengers is charged as known: %s", error)
        found[symbol] = rates
    return found


@task(cache_policy=NO_CACHE, task_run_name="judge at {ts}")
def judge_all(house: House, ledger: Ledger, ts: int, rates: dict[str, Funding]) -> list[Judged]:
    """Score and judge every agent that was trading at one market instant.

    The venue charges funding to production agents; challengers are charged it here by its rates.
    """
    judged = []
    for row in ledger.agents(active=True):
        if row.since_ts >= ts or row.role == "leaving":
            continue
        version = house.registry.version(row.slot, row.version)
        aliases = house.registry.aliases(row.slot)
        if row.version not in {aliases.get("production"), aliases.get("challenger")}:
            continue
        role: Literal["production", "challenger"] = (
            "challenger" if row.role == "challenger" else "production"
        )
        mode: Mode = "shadow" if role == "challenger" else "live"
        trades = [t for t in ledger.trades(row.agent, ts) if t.mode == mode]
        fills = [fill for fill in ledger.fills(row.agent, ts) if fill.mode == mode]
        marks = ledger.equity(row.agent, ts, mode)
        if mode == "shadow" and row.symbol in rates:
            held = pair(fills)[1].get((row.agent, row.symbol, mode))
            marks = marks_after_settlements(marks, trades, held, rates[row.symbol])
            trades = with_settlements(trades, rates[row.symbol])
        costs = house.settings.forge.costs
        try:
            exits = exits_of(house.registry, version)
        except StrategyError as error:
            # The others are judged all the same; whoever has no file that can be read is not.
            get_run_logger().warning("%s is not judged: %s", row.agent, error)
            continue
        card = score(
            row.agent,
            ts,
            trades,
            marks,
            since_ts=row.since_ts,
            last_fill_ts=max((fill.exec_ts for fill in fills), default=None),
            bound=loss_bound(exits, costs.fee, costs.slippage),
        )
        verdict = judge(card, role, house.settings.watchtower)
        judged.append(Judged(row, card, verdict, marks[-1][1] if marks else None))
    return judged


def exits_of(registry: Registry, version: Version) -> Exits:
    """Read a version's exits from its strategy file.

    Raises
    ------
    StrategyError
        If there is no such file, or no exits are in it.
    RegistryError
        If the registry does not answer.
    """
    document = registry.strategy(version)
    try:
        exits = document["exits"]
        return Exits(float(exits["stop"]), float(exits["target"]), int(exits["timeout"]))
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        message = f"{version.slot} version {version.version}: no exits in its file: {error!r}"
        raise StrategyError(message) from error


def carry_out(house: House, ledger: Ledger, judged: Judged) -> None:
    """Book a verdict once, and act on it: retire and order a replacement, or promote."""
    row, card, verdict = judged.row, judged.card, judged.verdict
    details = {
        **card.to_json(),
        "equity": None if judged.equity is None else str(judged.equity),
        "role": row.role,
        "since_ts": row.since_ts,
    }
    booked = ledger.book_verdict(
        card.ts, row.agent, row.version, verdict.judgement, verdict.reason, details
    )
    if not booked or verdict.judgement == "keep":
        return
    line = {"event": verdict.judgement, "ts": card.ts, "agent": row.agent, "reason": verdict.reason}
    try:
        append_line(house.run.path / "performance_log.jsonl", json.dumps(line, sort_keys=True))
    except WriteError as error:  # the log only tells; the verdict is booked and must be carried out
        get_run_logger().error("%s", error)
    get_run_logger().info("%s: %s: %s", row.agent, verdict.judgement, verdict.reason)
    told: dict[str, Any] = {
        "reason": verdict.reason,
        "decided_by": "watchtower",
        "evidence": card.to_json(),
        "key": f"{house.run.run_id}:{card.ts}",
    }
    if verdict.judgement == "promote":
        try:
            promotion(row.slot, row.version, "promote", **told)
        except PromotionError as error:
            get_run_logger().warning("not promoted: %s", error)
        return
    promotion(row.slot, row.version, "retire", **told)
    number = house.registry.forgings(row.slot) + 1
    emit_event(
        event="crucible.agent.culled",
        resource={
            "prefect.resource.id": f"crucible.agent.{row.slot}",
            "prefect.resource.name": row.agent,
        },
        payload={
            "slot": row.slot,
            "seed": forging_seed(row.slot, number),
            "reason": f"version {row.version} was culled: {verdict.reason}",
        },
    )


def record(house: House, ledger: Ledger) -> None:
    """Write what was judged to MLflow; what cannot be written now is written at the next judgement."""
    waiting = ledger.unrecorded()
    if not waiting:
        return
    try:
        Records(house.registry).evaluate(house.run.run_id, waiting)
    except (MlflowException, RegistryError) as error:
        get_run_logger().warning("%d judgements are recorded later: %s", len(waiting), error)
    else:
        ledger.set_recorded(int(waiting[-1]["ts"]))


def show(judged: list[Judged]) -> None:
    """Show the newest scorecards as a table on the run's page."""
    create_table_artifact(
        key="scorecards",
        table=[
            {
                "agent": item.row.agent,
                "role": item.row.role,
                "figures": "simulated" if item.row.role == "challenger" else "at the venue",
                "verdict": item.verdict.judgement,
                "reason": item.verdict.reason,
                "trades": item.card.trades,
                "pnl": str(item.card.pnl),
                "drawdown": f"{item.card.drawdown:.2%}",
                "gain evidence": round(item.card.gain_evidence, 2),
                "loss evidence": round(item.card.loss_evidence, 2),
            }
            for item in judged
        ],
        description=f"Scorecards at market time {judged[0].card.ts}.",
    )
