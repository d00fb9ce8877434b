"""What decides leaves a run behind in MLflow: how every agent fared, and every change of production.

The experiment ``evaluations`` has one run for each agent in each role, one step a judgement; the
experiment ``deployments`` one run for each change of what is production in a slot. Runs are found
again by a key, so what could not be written in time is written later, once. Nothing trades on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Self, cast

from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from crucible.errors import CrucibleError
from crucible.ledger.reader import PLACEBO, SHADOW_ROLES
from crucible.lifecycle.context import Context
from crucible.operations.alerts.changes import LATE, PARTS, ProductionChange, write_change
from crucible.registry.admission import REFUSED
from crucible.registry.errors import RegistryError
from crucible.registry.experiments import KEY, MetricRow
from crucible.registry.models import Registry, Version
from crucible.registry.version import PROVEN_BY
from crucible.settings import MINUTE_MS

EVALUATIONS = "evaluations"
DEPLOYMENTS = "deployments"

EVALUATIONS_NOTE = """One run for each agent in each role; a step is a judgement, counted in market minutes since it was
activated. Select some and press *Compare*: their lives are in one chart. `gain_evidence` promotes and `loss_evidence`
culls; the tag `outcome` says what became of the agent, `reason` why."""
DEPLOYMENTS_NOTE = """One run for each change of what is production in a slot: what was replaced by what, who decided it, on
which evidence, and why in a sentence."""

METRICS = (
    "equity",
    "pnl",
    "fees",
    "funding",
    "trades",
    "win_rate",
    "mean_return",
    "drawdown",
    "gain_evidence",
    "loss_evidence",
    "pair_evidence",
    "parity",
    "idle_minutes",
    "lived_evidence",
)
"""Figures of a judgement that are logged; money as floats, here only."""

SCORECARD = "scorecard.json"
"""File of the evidence behind a change."""

Action = Literal["promoted", "rolled back", "culled", "retired", "set by hand", "refused"]


@dataclass(frozen=True, slots=True)
class Deployment:
    """One change of what is production in a slot.

    Attributes
    ----------
    slot : str
    action : str
    version : str
        The version that the action is about.
    before, after : str or None
        Versions in production before and after; None for an empty seat.
    decided_by : str
        ``watchtower``, ``singularity``, ``forge`` or a person.
    reason : str
    key : str
        The same for the same change, however often it is written.
    evidence : mapping
        The scorecard, where the change came of a verdict.
    links : mapping of str to str
        Tags that lead to the flow run and elsewhere.
    decision : str
        Key of the decision that it comes of; empty for a change that was only noticed.
    proven_by : str
        The route by which the version is proven; empty where it is not, or was not looked at.
    """

    slot: str
    action: Action
    version: str
    before: str | None
    after: str | None
    decided_by: str
    reason: str
    key: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    decision: str = ""
    proven_by: str = ""

    @classmethod
    def of_run(cls, run: Run) -> Self:
        """Read a change from its run, without its evidence and links."""
        tags = run.data.tags
        return cls(
            slot=tags["slot"],
            action=cast("Action", tags["action"]),
            version=tags["version"],
            before=tags["from_version"] or None,
            after=tags["to_version"] or None,
            decided_by=tags["decided_by"],
            reason=tags["reason"],
            key=tags[KEY],
        )


@dataclass(frozen=True, slots=True)
class Begun:
    """A change that is on record and not yet made.

    Attributes
    ----------
    run_id : str
    before : str or None
        The version in production before the first attempt; None for an empty seat.
    """

    run_id: str
    before: str | None


class Records:
    """Writes the runs of evaluations and deployments.

    Parameters
    ----------
    registry : Registry
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._evaluations = registry.other_experiment(EVALUATIONS, EVALUATIONS_NOTE)
        self._deployments = registry.other_experiment(DEPLOYMENTS, DEPLOYMENTS_NOTE)

    # --- evaluations ---------------------------------------------------------------------------

    def evaluate(self, trading_run: str, verdicts: Sequence[Mapping[str, Any]]) -> int:
        """Write judgements as steps of their agents' runs; give how many were new.

        Parameters
        ----------
        trading_run : str
            Run of the stack in whose ledger they are.
        verdicts : sequence of mapping
            Rows of the ledger, oldest first: ``ts``, ``agent``, ``version``, ``verdict``, ``reason``
            and ``details``, which says ``role`` and ``since_ts`` besides the scorecard.
        """
        written = 0
        for (agent, role, since_ts), rows in _lives(verdicts).items():
            slot, version = agent.split("@")
            newest = rows[-1]
            how = "shadow" if role in SHADOW_ROLES else "production"
            run_id = self._evaluations.open_run(
                f"{trading_run}:{agent}:{role}:{since_ts}",
                f"evaluate {agent} {how}",
                {"slot": slot, "version": version, "agent": agent, "role": role}
                | {"trading_run": trading_run, "since_ts": str(since_ts)},
            )
            seen = self._evaluations.steps(run_id, "trades")
            new = [row for row in rows if _step(row, since_ts) not in seen]
            self._evaluations.log(
                run_id,
                metrics=[item for row in new for item in _figures(row, since_ts)],
                tags={
                    "outcome": str(newest["verdict"]),
                    "reason": str(newest["reason"]),
                    PROVEN_BY: str(newest["details"].get("proven_by") or "unproven"),
                },
                model_id=None
                if role == PLACEBO  # of which there is no model
                else self._registry.model_of(Version(slot, version, "", {})),
            )
            if newest["verdict"] != "keep":
                self._evaluations.close_run(run_id, "FINISHED")
            written += len(new)
        return written

    # --- deployments ---------------------------------------------------------------------------

    def deploy(
        self, change: Deployment, report: Callable[[Deployment], None] = lambda _: None
    ) -> str:
        """Write a change of production that was made, once; give its run.

        Others hear of it before the record is closed: whoever is killed in between leaves it open, and it is told later.
        """
        run_id = self.begin(change).run_id
        report(change)
        self.finish(run_id)
        return run_id

    def begin(self, change: Deployment) -> Begun:
        """Write a change that is about to be made; its run stays open until `finish`.

        Whoever is killed in between leaves on record what the change was to be, and from where: it is done to its end by the
        next attempt of the same key, or by `notice`.
        """
        held = self._deployments.find(change.key)
        if held is not None and held.info.status == "FINISHED":
            return Begun(str(held.info.run_id), held.data.tags["from_version"] or None)
        run_id = self._deployments.open_run(
            change.key,
            f"{change.slot}: version {change.version} {change.action}",
            {
                "slot": change.slot,
                "action": change.action,
                "version": change.version,
                "from_version": change.before or "",
                "to_version": change.after or "",
                "decided_by": change.decided_by,
                "decision": change.decision,
                "reason": change.reason,
                **({PROVEN_BY: change.proven_by} if change.proven_by else {}),
                **change.links,
            },
        )
        figures = {"ts": 0, "details": change.evidence}
        self._deployments.log(run_id, metrics=_figures(figures, 0))
        if change.evidence and not self._deployments.has_file(run_id, SCORECARD):
            table = {
                "figure": list(change.evidence),
                "value": list(map(str, change.evidence.values())),
            }
            self._deployments.log_table(run_id, table, SCORECARD)
        before = change.before if held is None else held.data.tags["from_version"] or None
        return Begun(run_id, before)

    def finish(self, run_id: str) -> None:
        """Say that a change was made."""
        self._deployments.close_run(run_id, "FINISHED")

    def version_of(self, slot: str, decision: str, action: Action) -> str | None:
        """Give the version that a decision was about where it was begun before; None where it was not."""
        found = self._deployments.newest(
            f"tags.slot = '{slot}' and tags.decision = '{decision}' and tags.action = '{action}'"
        )
        return None if found is None else str(found.data.tags["version"])

    def notice(
        self, slot: str, report: Callable[[Deployment], None] = lambda _: None
    ) -> Deployment | None:
        """Write a change of a slot's production that has no run yet; give it, None if there is none.

        That is an alias set by hand in MLflow's page, a change whose writer died before it wrote, or
        a version in production that the arena refuses. A change that was begun and left is done to its end.

        Parameters
        ----------
        slot : str
        report : callable
            Tells others of a change that was noticed or done to its end; one that it was given before, it knows by its key.
        """
        aliases = self._registry.aliases(slot)
        production = aliases.get("production")
        newest = self._deployments.newest(f"tags.slot = '{slot}'")
        if newest is not None and newest.info.status == "RUNNING":
            if not self._settle(slot, newest, aliases, report):
                return None
            newest = self._deployments.newest(f"tags.slot = '{slot}'")
        if newest is not None and newest.info.status == "KILLED":
            finished = "attributes.status = 'FINISHED'"
            newest = self._deployments.newest(f"tags.slot = '{slot}' and {finished}")
        before = "" if newest is None else newest.data.tags["to_version"]
        refused = newest is not None and newest.data.tags["action"] == "refused"
        after = f"{slot}:after:{'nothing' if newest is None else newest.info.run_id}"
        change: Deployment | None = None
        if (production or "") != before:
            change = self._unwritten(slot, before or None, production, after)
        elif production is not None and not refused:
            reason = self._registry.version(slot, production).tags.get(REFUSED)
            if reason is not None:
                change = Deployment(
                    slot, "refused", production, production, production, "arena", reason, after
                )
        if change is not None:
            self.deploy(change, report)
        return change

    def _settle(
        self,
        slot: str,
        begun: Run,
        aliases: Mapping[str, str],
        report: Callable[[Deployment], None],
    ) -> bool:
        """Do a change to its end that its process left; False while it may still be under way."""
        tags = begun.data.tags
        before, after, version = tags["from_version"], tags["to_version"], tags["version"]
        production = aliases.get("production", "")
        if production not in {before, after}:
            self._deployments.close_run(str(begun.info.run_id), "KILLED")
            return True
        # Of a challenger that is taken out production tells nothing: it stays what it was.
        seated = version in {production, aliases.get("challenger")}
        if production != after or (tags["action"] in {"culled", "retired"} and seated):
            # Not begun where it counts: its own process, or the next attempt, goes on with it.
            return False
        if tags["action"] in {"promoted", "rolled back"}:
            self._registry.promote(slot, version, tags["reason"], before or None)
        report(Deployment.of_run(begun))
        self.finish(str(begun.info.run_id))
        return True

    def _unwritten(
        self, slot: str, before: str | None, production: str | None, key: str
    ) -> Deployment:
        """Tell a change by hand from one that our own flows made and could not write."""
        version = production or before or ""
        tag = "retired" if production is None else "promoted"
        reason = self._registry.version(slot, version).tags.get(tag)
        written = self._deployments.newest(
            f"tags.slot = '{slot}' and tags.version = '{version}' and tags.action = '{tag}'"
        )
        if reason is None or (written is not None and written.data.tags["reason"] == reason):
            by_hand = "the alias was set by hand" if production else "the alias was taken by hand"
            return Deployment(
                slot, "set by hand", version, before, production, "a person", by_hand, key
            )
        action: Action = "retired" if production is None else "promoted"
        return Deployment(
            slot, action, version, before, production, LATE, f"{reason} (written late)", key
        )


def _lives(
    verdicts: Iterable[Mapping[str, Any]],
) -> dict[tuple[str, str, int], list[Mapping[str, Any]]]:
    """Group judgements by agent, role and the instant at which it was activated in that role."""
    lives: dict[tuple[str, str, int], list[Mapping[str, Any]]] = {}
    for row in verdicts:
        details = row["details"]
        if "role" in details and "since_ts" in details:
            key = (str(row["agent"]), str(details["role"]), int(details["since_ts"]))
            lives.setdefault(key, []).append(row)
    return lives


def _step(row: Mapping[str, Any], since_ts: int) -> int:
    return (int(row["ts"]) - since_ts) // MINUTE_MS


def _figures(row: Mapping[str, Any], since_ts: int) -> list[MetricRow]:
    details = row["details"]
    return [
        (name, float(details[name]), _step(row, since_ts))
        for name in METRICS
        if details.get(name) is not None
    ]


def notice_changes(context: Context) -> list[str]:
    """Record changes of production that nobody recorded, such as an alias set in MLflow's page.

    Returns
    -------
    list of str
        One sentence each.
    """
    records = Records(context.registry)
    done = []
    for slot in context.settings.slots:
        try:
            change = records.notice(slot.name, partial(alert_others, context))
        except (MlflowException, RegistryError) as error:
            context.log.warning("%s: production is looked at later: %s", slot.name, error)
            continue
        if change is not None:
            done.append(f"{slot.name}: version {change.version} {change.action}: {change.reason}")
    return done


def alert_others(context: Context, change: Deployment) -> None:
    """Leave word of a change for the alerts, once: of who is in production, or of whatever a person changed.

    A change is never kept back by that.
    """
    is_of_parts = change.decided_by in PARTS
    if change.action == "refused" or (is_of_parts and change.before == change.after):
        return
    action: Literal["promoted", "rolled back", "retired", "culled"] = "promoted"
    if change.action in {"rolled back", "culled"}:
        action = change.action
    elif change.action == "retired" or change.after is None:
        action = "retired"
    words = change.before, change.after, change.decided_by, change.reason, change.key
    try:
        write_change(context.run, ProductionChange(change.slot, change.version, action, *words))
    except (CrucibleError, OSError) as error:
        context.log.warning("%s: nobody is alerted of the change: %s", change.slot, error)
