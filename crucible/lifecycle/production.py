"""Changes of production: promote, roll back, retire, each through admission and left as a run in MLflow.

Entry points: `change_production` (what a person, the Watchtower and Singularity ask for), `promote` (for a version
that was just published). This is the one door to production.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from mlflow.exceptions import MlflowException

from crucible.errors import RefusedError, Rule
from crucible.lifecycle.context import Context
from crucible.lifecycle.records import Action, Begun, Deployment, Records, alert_others
from crucible.registry.errors import RegistryError
from crucible.registry.models import Version

Change = Literal["promote", "roll back", "retire"]


class PromotionError(RefusedError):
    """A version that may not go to production, and why; its text ends with the rule, for whoever has only that.

    Parameters
    ----------
    message : str
    rule : Rule, optional
    """

    def __init__(self, message: str, rule: Rule | None = None) -> None:
        super().__init__(f"{message}; rule {rule}" if rule else message, rule or Rule.ADMISSION)


@dataclass(frozen=True, slots=True)
class Decision:
    """Who decided a change, and why.

    Attributes
    ----------
    decided_by : str
        ``watchtower``, ``singularity``, ``forge`` or a person.
    reason : str
        Kept as a tag on the version.
    key : str
        The same when the decision is carried out again.
    evidence : mapping
        The scorecard behind it, where there is one.
    links : mapping of str to str
        Tags that lead to where it was made.
    """

    decided_by: str
    reason: str
    key: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)


def change_production(
    context: Context, slot: str, version: str, change: Change, decision: Decision
) -> str:
    """Promote a version, roll back to the version that production replaced, or retire one.

    Parameters
    ----------
    context : Context
    slot : str
    version : str
        A version's number, or an alias such as ``challenger``. Ignored when rolling back.
    change : {'promote', 'roll back', 'retire'}
    decision : Decision

    Returns
    -------
    str
        The version's number.

    Raises
    ------
    PromotionError
        If there is no such version, or it may not trade here; the refusal is recorded.
    """
    number = _number(context, slot, version, change, decision)
    candidate = context.registry.version(slot, number)
    if change == "retire":
        retire(context, candidate, decision)
        context.log.info("%s: version %s is retired: %s", slot, number, decision.reason)
        return number
    refusal = context.refusal(candidate)
    if refusal:
        message = f"{slot} version {number} {refusal}"
        _refuse(context, candidate, replace(decision, reason=message))
        raise PromotionError(message, refusal.rule)
    replaced = promote(context, candidate, decision, back=change == "roll back")
    context.log.info(
        "%s: version %s is production, in place of %s", slot, number, replaced or "none"
    )
    return number


def promote(
    context: Context, version: Version, decision: Decision, *, back: bool = False
) -> str | None:
    """Make an admitted version production; give the version that it replaces."""
    before = context.registry.aliases(version.slot).get("production")
    action: Action = "rolled back" if back else "promoted"
    change = _deployment(version, action, before, version.version, decision)
    with _recorded(context, change) as known:
        return context.registry.promote(version.slot, version.version, decision.reason, known)


def retire(context: Context, version: Version, decision: Decision) -> None:
    """Take a version out of trading."""
    before = context.registry.aliases(version.slot).get("production")
    after = None if before == version.version else before
    action: Action = "culled" if decision.decided_by == "watchtower" else "retired"
    with _recorded(context, _deployment(version, action, before, after, decision)):
        context.registry.retire(version.slot, version.version, decision.reason)


def _number(context: Context, slot: str, version: str, change: Change, decision: Decision) -> str:
    aliases = context.registry.aliases(slot)
    number: str | None
    if change == "roll back":
        # Once begun, production may be the version that was rolled back to: it must not go back twice.
        begun = Records(context.registry).version_of(slot, decision.key, "rolled back")
        if begun is not None:
            return begun
    if change in {"promote", "retire"}:
        number = aliases.get(version, version)
    elif "production" in aliases:
        number = context.registry.version(slot, aliases["production"]).tags.get("replaced")
    else:
        number = aliases.get("retired")
    if number is not None and number.isdigit() and context.registry.find_version(slot, number):
        return number
    what = f"no version {version!r} to {change}"
    if change == "roll back":
        what = "nothing to roll back to, production has replaced no version that is still there"
    message = f"{slot}: {what}; {context.registry.what_there_is(slot)}"
    raise PromotionError(message, Rule.NOTHING_TO_CHANGE)


def _refuse(context: Context, version: Version, decision: Decision) -> None:
    """Leave a record of a version that was not let through."""
    before = context.registry.aliases(version.slot).get("production")
    _record(context, _deployment(version, "refused", before, before, decision))


def _deployment(
    version: Version, action: Action, before: str | None, after: str | None, decision: Decision
) -> Deployment:
    evidence = dict(decision.evidence)
    if version.lived is not None:
        evidence["lived_evidence"] = version.lived.evidence
    return Deployment(
        slot=version.slot,
        action=action,
        version=version.version,
        before=before,
        after=after,
        decided_by=decision.decided_by,
        reason=decision.reason,
        key=f"{version.slot}@{version.version}:{action}:{decision.key}",
        evidence=evidence,
        links=decision.links,
        decision=decision.key,
        proven_by=version.proven_by,
    )


@contextmanager
def _recorded(context: Context, change: Deployment) -> Iterator[str | None]:
    """Put a change on record, have it made, and close the record; give which version production was before.

    What cannot be written now keeps nothing from being changed: Singularity notices it. Others hear of the change before
    its record is closed, so that one that is killed in between is told by whoever closes it. What was left open in the slot
    is closed first: from a later state nobody could tell any more whether it was made.
    """
    begun: Begun | None = None
    _close_what_was_left(context, change.slot)
    try:
        begun = Records(context.registry).begin(change)
    except (MlflowException, RegistryError, OSError) as error:  # the last: files to MLflow
        _late(context, change, error)
    before = change.before if begun is None else begun.before
    yield before
    alert_others(context, replace(change, before=before))
    if begun is not None:
        try:
            Records(context.registry).finish(begun.run_id)
        except (MlflowException, RegistryError, OSError) as error:
            _late(context, change, error)


def _close_what_was_left(context: Context, slot: str) -> None:
    try:
        Records(context.registry).notice(slot, partial(alert_others, context))
    # The last: a record whose tags somebody took away.
    except (MlflowException, RegistryError, OSError, LookupError) as error:
        context.log.warning("%s: what was changed before is looked at later: %s", slot, error)


def _record(context: Context, change: Deployment) -> None:
    """Write a change that was made, or refused; one that cannot be written now is noticed by Singularity."""
    with _recorded(context, change):
        pass


def _late(context: Context, change: Deployment, error: Exception) -> None:
    context.log.warning(
        "%s: version %s %s; its record is written later: %s",
        change.slot,
        change.version,
        change.action,
        error,
    )
