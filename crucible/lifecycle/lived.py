"""Proof by living: which versions their life in shadow proves, from our own ledgers, under the workspace's seal.

Entry points: `lives` (the evidence of every version that ever traded in shadow), `prove_by_living` (names and
seals). Tags of the registry are never read as evidence; of the registry only the count of births is taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from mlflow.exceptions import MlflowException

from crucible.errors import StrategyError
from crucible.ledger.ledger import Ledger
from crucible.ledger.reader import PLACEBO, LedgerError, LedgerReader, ShadowLife
from crucible.lifecycle.context import Context
from crucible.registry.errors import RegistryError
from crucible.registry.models import Version
from crucible.registry.proof import LivedProof, digest
from crucible.registry.version import PROVEN_BY
from crucible.watchtower.discovery import proven_by_living
from crucible.watchtower.sequential import wealth_of_segments


@dataclass(frozen=True, slots=True)
class Life:
    """The life in shadow of one version since its birth.

    Attributes
    ----------
    slot, version : str
    strategy : str
        Digest of the strategy file that was traded.
    evidence : float
        Wealth against "no gain" over all its segments, at least 0.
    trades : int
        Closed ones.
    """

    slot: str
    version: str
    strategy: str
    evidence: float
    trades: int


@dataclass(frozen=True, slots=True)
class Lives:
    """Every life of a workspace up to one market instant.

    Attributes
    ----------
    lives : dict of str to Life
        By agent, ``SLOT@VERSION``.
    unusable : dict of str to str
        Agents whose evidence cannot be counted, and why.
    newest : dict of str to int
        Per slot the highest version number that ever traded here.
    """

    lives: dict[str, Life] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)

    @property
    def evidence(self) -> dict[str, float]:
        """Agent to the evidence of its life."""
        return {agent: life.evidence for agent, life in self.lives.items()}


@dataclass(frozen=True, slots=True)
class Proving:
    """What one turn of the Watchtower found.

    Attributes
    ----------
    evidence : dict of str to float
        Agent to the evidence of its life at the newest instant that was looked at.
    proven : dict of str to str
        Agents that were named at that instant, to the route by which they are proven now.
    """

    evidence: dict[str, float] = field(default_factory=dict)
    proven: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _RunOfLives:
    """What one run of the stack says: its lives, its agents, and its newest market time."""

    lives: tuple[ShadowLife, ...]
    agents: tuple[str, ...]
    market_ts: int | None


def lives(context: Context, ledger: LedgerReader, until_ts: int) -> Lives:
    """Collect the evidence of every version that ever traded in shadow in this workspace.

    In one run the evidence of an agent is one bet over all its simulated trades there, whatever seats it had;
    what counts is the newest judgement as a challenger. Runs are segments of a life: the evidence is the
    product of theirs (`wealth_of_segments`). A run that repeats market time through which an earlier run went
    (``--start``) is no new evidence: what began in it before the newest time of all earlier runs is not
    counted, be it good or bad. A version whose strategy file was exchanged during its life has no evidence
    at all; lives of before the ledger knew the file are not counted.

    Parameters
    ----------
    context : Context
    ledger : LedgerReader
        Of the run that is on.
    until_ts : int
        Market instant of the run that is on, epoch milliseconds; later judgements are not read.

    Raises
    ------
    LedgerError
        If a ledger is there and cannot be read: what it says may be bad, so nothing is proven without it.
    """
    current = context.run
    runs = [
        _ended_run(run.ledger)
        for run in context.workspace.every_run()
        if run.run_id != current.run_id and run.ledger.exists()
    ]
    runs.append(_run_of_lives(ledger, until_ts))
    found = Lives()
    segments: dict[str, list[ShadowLife]] = {}
    strategies: dict[str, set[str]] = {}
    lived_until: int | None = None
    for run in runs:
        for agent in {*run.agents, *(life.agent for life in run.lives)}:
            slot, _, number = agent.rpartition("@")
            if number.isdecimal():
                found.newest[slot] = max(found.newest.get(slot, 0), int(number))
        for life in run.lives:
            if life.strategies == ("",) or life.began_ts is None:
                continue
            strategies.setdefault(life.agent, set()).update(life.strategies)
            if lived_until is None or life.began_ts >= lived_until:
                segments.setdefault(life.agent, []).append(life)
        if run.market_ts is not None:
            lived_until = max(run.market_ts, lived_until or run.market_ts)
    for agent, parts in segments.items():
        try:
            found.lives[agent] = _life(agent, parts, strategies[agent])
        except ValueError as error:
            found.unusable[agent] = str(error)
    return found


def _life(agent: str, segments: list[ShadowLife], strategies: set[str]) -> Life:
    """Join segments; `ValueError` says why they are no evidence."""
    if len(strategies) != 1:
        message = f"{agent}: its strategy file was exchanged during its life"
        raise ValueError(message)
    wealth: list[float] = []
    trades = 0
    for part in segments:
        value, count = part.evidence, part.trades
        if (
            not isinstance(value, int | float)
            or not 0 <= value < math.inf
            or not isinstance(count, int)
        ):
            message = (
                f"{agent}: the judgement at {part.ts} has evidence {value!r} of {count!r} trades; both must "
                "be numbers"
            )
            raise ValueError(message)
        wealth.append(float(value))
        trades += count
    slot, _, version = agent.rpartition("@")
    return Life(slot, version, next(iter(strategies)), wealth_of_segments(wealth), trades)


@cache
def _ended_run(path: Path) -> _RunOfLives:
    """Read a run that has ended, once: nothing is written to it any more."""
    with LedgerReader(path) as ledger:
        return _run_of_lives(ledger, None)


def _run_of_lives(ledger: LedgerReader, until_ts: int | None) -> _RunOfLives:
    return _RunOfLives(
        lives=tuple(ledger.shadow_lives(until_ts)),
        agents=tuple(row.agent for row in ledger.agents() if row.role != PLACEBO),
        market_ts=ledger.market_ts(),
    )


def prove_by_living(context: Context, ledger: Ledger) -> Proving:
    """Name and seal what lives prove, at every judged instant at which that has not been done.

    At each instant the names are those of e-BH at the rate ``watchtower.lived_rate`` over all versions ever
    registered. That rate is a false discovery rate of the names at one instant. A version that was named is
    sealed and stays proven: its proof is its evidence at the instant at which it was stopped, whatever comes
    after. While MLflow is away nothing is sealed; the next judgement goes through the instants that were
    missed with the evidence of then. Done twice, it leaves what doing it once leaves.

    Parameters
    ----------
    context : Context
    ledger : Ledger
        Of the run that is on.
    """
    proving = Proving()
    reported: set[str] = set()
    for ts in ledger.instants_to_prove():
        try:
            found = lives(context, ledger, ts)
            for reason in set(found.unusable.values()) - reported:
                context.log.error("not proven by living: %s", reason)
                reported.add(reason)
            proven = _prove_at(context, found, ts)
        except (LedgerError, MlflowException, RegistryError) as error:
            context.log.warning("what lives prove is looked at again later: %s", error)
            return proving
        ledger.set_proven_until(ts)
        proving = Proving(found.evidence, proven)
    return proving


def _prove_at(context: Context, found: Lives, ts: int) -> dict[str, str]:
    """Name and seal at one instant; give the routes of the sealed."""
    rate = context.settings.watchtower.lived_rate
    # More births prove nobody: who is not named among those that traded here is not named among all.
    if not proven_by_living(found.evidence, rate, _ever(found.newest)):
        return {}
    ever = _ever(found.newest, context.registry.newest_numbers())
    named = proven_by_living(found.evidence, rate, ever)
    proven = {}
    for agent in sorted(named):
        life = found.lives[agent]
        version = context.registry.find_version(life.slot, life.version)
        if version is not None:
            sealed = _seal(context, version, life, ever=ever, named=len(named), ts=ts)
            if sealed.proven:
                proven[agent] = sealed.proven_by
    return proven


def _ever(*newest: dict[str, int]) -> int:
    """Count the versions that were ever born: numbers only grow, so the newest of a slot counts them."""
    slots = {slot for numbers in newest for slot in numbers}
    return sum(max(numbers.get(slot, 0) for numbers in newest) for slot in slots)


def _seal(
    context: Context, version: Version, life: Life, *, ever: int, named: int, ts: int
) -> Version:
    """Seal what a life proved, unless it is sealed already; give the version as it is then."""
    name = f"{version.slot}@{version.version}"
    if version.lived is not None and version.lived.passed:
        if version.tags.get(PROVEN_BY) != version.proven_by:  # a crash came between the two tags
            context.registry.tag(version.slot, version.version, {PROVEN_BY: version.proven_by})
        return version
    try:
        document = context.registry.strategy(version)
    except StrategyError as error:
        context.log.error("%s is not proven by living: %s", name, error)
        return version
    if digest(document) != life.strategy:
        context.log.error(
            "%s is not proven by living: its strategy file is not the one that lived", name
        )
        return version
    proof = LivedProof(
        slot=version.slot,
        version=version.version,
        run_id=version.run_id,
        strategy=life.strategy,
        feature_schema=str(document.get("schema_hash", "")),
        evidence=life.evidence,
        trades=life.trades,
        ever=ever,
        named=named,
        rate=context.settings.watchtower.lived_rate,
        ts=ts,
        trading_run=context.run.run_id,
    )
    sealed = context.registry.prove_by_life(version, proof)
    context.log.info(
        "%s is proven by living: evidence %.4g over %d trades, %d named of %d ever registered",
        *(name, life.evidence, life.trades, named, ever),
    )
    return sealed
