"""Placebos at the Watchtower: judged as challengers are, counted over all runs of a workspace, and reported.

Nobody is promoted, retired or forged for because of one. Entry points: `judge_placebos`, `report_placebos`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from crucible.errors import StrategyError
from crucible.files import WriteError, write_json
from crucible.ledger.reader import PLACEBO, LedgerError, LedgerReader, PlaceboLife
from crucible.lifecycle.context import Context
from crucible.lifecycle.judgement import Judged, judge_one
from crucible.market.funding import Funding
from crucible.strategies.placebo import Placebo
from crucible.watchtower.placebos import PlaceboCheck, check_placebos


def judge_placebos(
    context: Context, ledger: LedgerReader, ts: int, rates: Mapping[str, Funding]
) -> list[Judged]:
    """Score and judge every placebo that was under way at one market instant, as a challenger.

    Whoever was given a verdict other than "keep" is judged no more. One of whom something is no number, or
    whose state cannot be read, is named as an error; the others are judged.
    """
    judged = []
    for row in ledger.agents(active=True):
        if row.role != PLACEBO or row.since_ts >= ts:
            continue
        if ledger.ending_verdict(row.agent, row.since_ts):
            continue
        try:
            kept = ledger.kept_shadow(row.agent)
            placebo = Placebo.from_json({} if kept is None else kept["strategy"])
            rate = rates.get(row.symbol)
            judged.append(judge_one(context, ledger, row, placebo.exits, placebo.gap, ts, rate))
        except (LookupError, StrategyError, ValueError, ArithmeticError) as error:
            context.log.error("%s is not judged: %s: %s", row.agent, type(error).__name__, error)
    return judged


def report_placebos(context: Context, ledger: LedgerReader) -> str:
    """Write what all placebos say of the error rates into the run's folder; give it in a sentence.

    What cannot be read or written now is reported at the next judgement: the file stays as it was.
    """
    try:
        check = check_all(context, ledger)
        write_json(context.run.placebos, check.to_json())
    except (LedgerError, WriteError) as error:
        context.log.error("placebos are counted later: %s", error)
        return f"Placebos are counted later: {error}"
    if check.is_alarm:
        context.log.error("%s", check.sentence)
    return check.sentence


def check_all(context: Context, ledger: LedgerReader) -> PlaceboCheck:
    """Count every life of every run of the workspace against the stated rates.

    A life of a run that repeats market time through which an earlier run went (``--start``) is not counted:
    it would be that run's over again.

    Raises
    ------
    LedgerError
        If a ledger is there and cannot be read.
    """
    settings = context.settings.watchtower
    runs = [
        _ended_run(run.ledger)
        for run in context.workspace.every_run()
        if run.run_id != context.run.run_id and run.ledger.exists()
    ]
    runs.append(_run_of(ledger))
    lives: list[PlaceboLife] = []
    lived_until = 0
    for found, market_ts in runs:
        lives += [life for life in found if life.since_ts >= lived_until]
        lived_until = max(lived_until, market_ts)
    return check_placebos(
        lives,
        {slot.symbol for slot in context.settings.slots},
        1.0 - settings.promote_confidence,
        settings.lived_rate,
    )


@cache
def _ended_run(path: Path) -> tuple[tuple[PlaceboLife, ...], int]:
    """Read a run that has ended, once: nothing is written to it any more."""
    with LedgerReader(path) as ledger:
        return _run_of(ledger)


def _run_of(ledger: LedgerReader) -> tuple[tuple[PlaceboLife, ...], int]:
    return tuple(ledger.placebo_lives()), ledger.market_ts() or 0
