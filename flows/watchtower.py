"""Watchtower: judge every agent at each quarter of a market hour and carry the verdicts out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from prefect import flow, get_run_logger, runtime, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event

from crucible.ledger.ledger import Ledger
from crucible.ledger.reader import LedgerError
from crucible.lifecycle import judgement, lived
from crucible.lifecycle.checks import parity, placebos, systemic
from crucible.lifecycle.context import load_context
from crucible.lifecycle.judgement import Judged
from crucible.text import counted, moment
from flows.promotion import promotion
from flows.runs import unfinished_runs


def _name() -> str:
    """Name a judgement by its market time, as people read it."""
    return f"judge at {moment(runtime.task_run.parameters['ts'])} UTC"


judge_all = task(cache_policy=NO_CACHE, task_run_name=_name)(judgement.judge_all)


@flow(name="watchtower", flow_run_name="judge the agents")
def watchtower() -> dict[str, int]:
    """Judge at every due market instant, in order, using only what was known by then.

    Returns
    -------
    dict of str to int
        How often each verdict was given.
    """
    logger = get_run_logger()
    context = load_context(logger)
    counts = {"keep": 0, "cull": 0, "promote": 0}
    forge_runs = Replacements()
    try:
        ledger = Ledger(context.run.ledger)
    except LedgerError as error:
        logger.info("nothing to judge: %s", error)
        return counts
    with ledger:
        # First what an earlier judgement could not finish.
        proving = lived.prove_by_living(context, ledger)
        judgement.carry_out(context, ledger, promotion, forge_runs.order, forge_runs.unfinished)
        parity.compare_days(context, ledger)
        instants = judgement.due(ledger, context.settings.watchtower.every_minutes)
        latest: list[Judged] = []
        rates = judgement.settlements(context, instants[-1]) if instants else {}
        for ts in instants:
            latest = judge_all(context, ledger, ts, rates)
            for judged in latest:
                counts[judged.verdict.judgement] += 1
            latest += placebos.judge_placebos(context, ledger, ts, rates)
            for judged in latest:
                judgement.book(context, ledger, judged)
            systemic.book_fault(context, ledger, ts)
            # Before a promotion asks for proof.
            proving = lived.prove_by_living(context, ledger)
            judgement.carry_out(context, ledger, promotion, forge_runs.order, forge_runs.unfinished)
            ledger.set_last_judged(ts)
        check = placebos.report_placebos(context, ledger)
        if latest:
            create_table_artifact(
                key="scorecards",
                table=judgement.scorecard_rows(latest, proving),
                description=f"Scorecards at market time {moment(latest[0].card.ts)} UTC. {check}",
            )
        judgement.record(context, ledger)
    given = ", ".join(f"{number:,} {verdict}" for verdict, number in counts.items())
    logger.info("%s judged: %s", counted(len(instants), "instant"), given)
    return counts


@dataclass(slots=True)
class Replacements:
    """Forge runs that replace what one run of the Watchtower culls."""

    ordered: list[dict[str, Any]] = field(default_factory=list)

    def order(self, agent: str, order: dict[str, Any]) -> None:
        """Report a cull as the event that starts the forge run of the replacement."""
        emit_event(
            event="crucible.agent.culled",
            resource={
                "prefect.resource.id": f"crucible.agent.{order['slot']}",
                "prefect.resource.name": agent,
            },
            payload={name: order[name] for name in ("slot", "seed", "reason")},
        )
        self.ordered.append(order)

    def unfinished(self) -> list[dict[str, Any]]:
        """Give the parameters of the forge runs that have not ended.

        What was ordered here is among them at once: Prefect makes a flow run of an event only after a moment.
        """
        return [*(run.parameters for run in unfinished_runs("forge")), *self.ordered]
