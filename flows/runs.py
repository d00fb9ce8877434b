"""Questions to Prefect about flow runs."""

from __future__ import annotations

from prefect import get_client, runtime
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType

UNFINISHED = [
    StateType.SCHEDULED,
    StateType.PENDING,
    StateType.RUNNING,
    StateType.PAUSED,
    StateType.CANCELLING,
]


def unfinished_runs(deployment: str) -> list[FlowRun]:
    """Find runs of a deployment that are scheduled, pending or running."""
    with get_client(sync_client=True) as client:
        return client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=UNFINISHED))
            ),
            deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[deployment])),
        )


def page_of_flow_run() -> str:
    """Address of this flow run in Prefect's page; empty outside a flow run."""
    found = str(runtime.flow_run.ui_url or "")
    return found.replace("/flow-runs/flow-run/", "/runs/flow-run/")
