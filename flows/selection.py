"""The long-lived process that judges the agents and fills the slots, each turn a flow run of its own.

A worker starts a process for every flow run, and importing costs it seconds of a core; a judgement takes
a fraction of one. Here what is imported stays. A turn belongs to its deployment, so that Prefect's page
shows it there and can retry it; the worker carries out what a person starts.

Run it as ``python -m flows.selection``; `crucible up` does.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from prefect import Flow, get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import Abort, Pause, PrefectException
from prefect.flow_engine import run_flow
from prefect.states import Crashed, Pending
from prefect.utilities.engine import propose_state_sync

from crucible.settings import Settings, load_settings
from flows.runs import UNFINISHED
from flows.singularity import singularity
from flows.watchtower import watchtower

TAG = "crucible-selection"
WATCHTOWER_SHORTEST_S = 30.0
SINGULARITY_SHORTEST_S = 60.0
SINGULARITY_EVERY_MINUTES = 15
LONGEST_S = 600.0
"""Seconds after which a turn has hung: a judgement of a backlog is shorter, and goes on where it was."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Turn:
    """A flow that comes round again and again.

    Attributes
    ----------
    deployment : str
        ``FLOW/DEPLOYMENT``, to which its runs belong.
    flow : Flow
    every_s : float
        Seconds from the beginning of one run to that of the next.
    longest_s : float
        Seconds after which a run ends this process.
    """

    deployment: str
    flow: Flow[..., Any]
    every_s: float
    longest_s: float = LONGEST_S


def turns_of(settings: Settings) -> tuple[Turn, ...]:
    """Give the periodic flows, with their market minutes in seconds of the wall clock."""
    speed = settings.market.speed
    judging = settings.watchtower.every_minutes * 60 / speed
    filling = SINGULARITY_EVERY_MINUTES * 60 / speed
    return (
        Turn("singularity/singularity", singularity, max(SINGULARITY_SHORTEST_S, filling)),
        Turn("watchtower/watchtower", watchtower, max(WATCHTOWER_SHORTEST_S, judging)),
    )


def take_turns(
    turns: Sequence[Turn],
    rounds: int | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Carry out every turn when it is due, the one that has waited longest first; all are due at once.

    Parameters
    ----------
    turns : sequence of Turn
    rounds : int or None
        Turns to take in all; None never ends.
    clock, sleep : callable
        Seconds.
    """
    due = [clock()] * len(turns)
    taken = 0
    while rounds is None or taken < rounds:
        number = min(range(len(turns)), key=due.__getitem__)
        sleep(max(0.0, due[number] - clock()))
        # What was missed meanwhile is not made up for: one judgement covers every due instant.
        due[number] = clock() + turns[number].every_s
        try:
            take(turns[number])
        except (PrefectException, Abort, Pause, httpx.HTTPError) as error:
            logger.warning(
                "%s: not run: %s: %s; tried again in %.0f s",
                *(turns[number].deployment, type(error).__name__, error, turns[number].every_s),
            )
        taken += 1


def take(turn: Turn) -> None:
    """Make a flow run of the deployment and carry it out in this process.

    A flow that fails ends as a failed run. A paused deployment has none. A turn that hangs ends the whole process, with where it
    hung on stderr: whoever started it starts it again, and every step of a turn stands being killed.

    Raises
    ------
    PrefectException, httpx.HTTPError
        If Prefect cannot be asked.
    """
    faulthandler.dump_traceback_later(turn.longest_s, exit=True)
    try:
        _carry_out(turn)
    finally:
        faulthandler.cancel_dump_traceback_later()


def _carry_out(turn: Turn) -> None:
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name(turn.deployment)
        if deployment.paused:
            return
        name = str(turn.flow.flow_run_name or turn.flow.name)
        run = client.create_flow_run_from_deployment(deployment.id, name=name, tags=[TAG])
        # Where another run of the deployment is at work, or a worker was faster, that one does it.
        if not propose_state_sync(client, Pending(), flow_run_id=run.id).is_pending():
            return
        run = client.read_flow_run(run.id)
    run_flow(turn.flow, flow_run=run, return_type="state")


def end_left_behind() -> int:
    """End the runs that a killed process of this kind left at work; give how many there were.

    They would hold their deployment's only place until its lease runs out. A run that waits for the worker,
    or is a process of it, was retried by a person: it goes on.
    """
    with get_client(sync_client=True) as client:
        left = [
            run
            for run in _unfinished(client, tags=FlowRunFilterTags(all_=[TAG]))
            if run.state_type != StateType.SCHEDULED and run.infrastructure_pid is None
        ]
        for run in left:
            parent = FlowRunFilterParentFlowRunId(any_=[run.id])
            for one in (*_unfinished(client, parent_flow_run_id=parent), run):
                state: State[None] = Crashed(message="the process that carried it out has ended")
                client.set_flow_run_state(one.id, state, force=True)
    return len(left)


def _unfinished(client: SyncPrefectClient, **which: Any) -> list[FlowRun]:  # noqa: ANN401 - filters
    state = FlowRunFilterState(type=FlowRunFilterStateType(any_=UNFINISHED))
    return client.read_flow_runs(flow_run_filter=FlowRunFilter(state=state, **which))


def main() -> None:
    """Take turns until the process is stopped."""
    left = end_left_behind()
    if left:
        logger.warning("%d runs of an earlier process marked crashed", left)
    print(json.dumps({"event": "ready"}), flush=True)  # noqa: T201 - whoever started it waits for this
    take_turns(turns_of(load_settings()))


if __name__ == "__main__":
    main()
