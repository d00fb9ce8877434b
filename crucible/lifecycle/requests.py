"""What a person asks for from a terminal: changes of production and forge runs, each as a run of its flow.

The flow is the one door: what is asked here is a run in Prefect's page with its log, obeys the same rules and
leaves the same record as what the Watchtower and Singularity ask for. Entry points: `request_change`,
`request_forge_run`, `await_change`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from crucible.errors import RefusedError, Rule
from crucible.lifecycle.production import Change
from crucible.lifecycle.replacement import forge_order
from crucible.operations.errors import ServerError
from crucible.operations.supervision.ownership import address_of
from crucible.operations.supervision.servers import TERMINAL, PrefectServer
from crucible.operations.workspace import Workspace
from crucible.registry.models import Registry

FORGE = "forge/forge"
LOOK_EVERY_S = 0.5
# What Prefect says of a flow that raised; the text of a refusal ends with its rule.
_REFUSED = re.compile(r"PromotionError: (?P<text>.*?)(; rule (?P<rule>[a-z-]+))?$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class FlowRun:
    """A flow run that was asked for.

    Attributes
    ----------
    run_id : str
    page : str
        Its address in Prefect's page.
    """

    run_id: str
    page: str

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return {"flow_run": self.run_id, "page": self.page}


def request_change(
    workspace: Workspace, slot: str, version: str, change: Change, reason: str, operator: str
) -> FlowRun:
    """Ask for a change of production.

    Parameters
    ----------
    workspace : Workspace
        Its stack is up.
    slot : str
    version : str
        A number or an alias; of no meaning for a roll-back.
    change : {'promote', 'roll back', 'retire'}
    reason, operator : str
        Kept with the change.

    Raises
    ------
    WorkspaceError
        If no Prefect server of this workspace lives.
    ServerError
        If it does not take the request.
    """
    parameters = {
        "slot": slot,
        "version": version,
        "action": change,
        "reason": reason,
        "decided_by": operator,
    }
    with _prefect(workspace) as (prefect, address):
        run_id = prefect.start("promotion/promotion", f"{change} {slot}", parameters)
    return FlowRun(run_id, f"{address}/runs/flow-run/{run_id}")


def await_change(
    workspace: Workspace, run: FlowRun, limit_s: float, report_line: Callable[[str], None]
) -> None:
    """Wait until a change has been made.

    Parameters
    ----------
    workspace : Workspace
    run : FlowRun
    limit_s : float
    report_line : callable
        Told each state of the run.

    Raises
    ------
    RefusedError
        Naming the rule, if one refused it.
    ServerError
        If the run failed for another reason, or has not ended in time.
    """
    deadline = time.monotonic() + limit_s
    seen = ""
    with _prefect(workspace) as (prefect, _):
        while True:
            found = prefect.run(run.run_id)
            state = str(found["state_type"])
            if state != seen:
                seen = state
                report_line(f"flow run: {state.lower()}")
            if state in TERMINAL:
                break
            if time.monotonic() > deadline:
                message = (
                    f"the flow run has not ended after {limit_s:g} s, it is {state.lower()}; it goes on: "
                    f"{run.page}"
                )
                raise ServerError(message)
            time.sleep(LOOK_EVERY_S)
    if state == "COMPLETED":
        return
    text = str((found.get("state") or {}).get("message") or "")
    refused = _REFUSED.search(text)
    if refused is not None:
        rule = next((each for each in Rule if each == refused["rule"]), Rule.ADMISSION)
        raise RefusedError(refused["text"], rule)
    message = f"the flow run ended {state.lower()}: {text or 'without a message'}; see {run.page}"
    raise ServerError(message)


def request_forge_run(
    workspace: Workspace, registry: Registry, slot: str, reason: str
) -> tuple[FlowRun, int]:
    """Order a forge run of a slot with a seed that none of its runs had; give the run and the seed.

    Raises
    ------
    WorkspaceError
        If no Prefect server of this workspace lives.
    ServerError
        If it does not take the request.
    RegistryError
        If the registry does not answer.
    """
    with _prefect(workspace) as (prefect, address):
        asked = [run.get("parameters") or {} for run in prefect.every_unfinished_of(FORGE)]
        order = forge_order(registry, slot, reason, renewal=True, unfinished=asked)
        run_id = prefect.start(FORGE, f"forge {slot}", order)
    return FlowRun(run_id, f"{address}/runs/flow-run/{run_id}"), int(order["seed"])


@contextmanager
def _prefect(workspace: Workspace) -> Iterator[tuple[PrefectServer, str]]:
    address = address_of(workspace, "prefect")
    server = PrefectServer(f"{address}/api", workspace.password())
    try:
        yield server, address
    finally:
        server.close()
