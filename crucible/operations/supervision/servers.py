"""Prefect and MLflow over their REST interfaces: the few questions an operator's program asks.

Importing their clients would cost seconds and a hundred megabytes for a handful of requests.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping
from typing import Any, cast

import httpx

from crucible.operations.errors import ServerError
from crucible.registry.pages import EXPERIMENT, experiment_tags
from crucible.retries import attempts

TERMINAL = ("COMPLETED", "FAILED", "CANCELLED", "CRASHED")
NOT_FOUND = 404
PAGE = 200
# Each round ends a page of runs; more than this many pages is somebody making them anew.
CLEAR_ROUNDS = 20
# The server says "unavailable" while its database is busy with somebody else.
BUSY_PAUSES_S = (0.2, 0.5, 1.0, 2.0)


class PrefectServer:
    """One Prefect server.

    Parameters
    ----------
    api_url : str
        For example ``http://127.0.0.1:4200/api``.
    password : str, optional
        The workspace's; see `Workspace.password`. A server of another workspace refuses it.
    timeout_s : float
    transport : httpx.BaseTransport, optional
        Carries the requests; tests pass their own.
    """

    def __init__(
        self,
        api_url: str,
        password: str = "",
        timeout_s: float = 10.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._client = httpx.Client(
            base_url=api_url,
            timeout=timeout_s,
            transport=transport,
            headers=authorization(password) if password else None,
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401
        for is_last in attempts(BUSY_PAUSES_S):
            try:
                response = self._client.request(method, path, json=body)
                if response.status_code == httpx.codes.SERVICE_UNAVAILABLE and not is_last:
                    continue
                response.raise_for_status()
            except httpx.HTTPStatusError as error:
                if error.response.status_code == httpx.codes.UNAUTHORIZED:
                    message = (
                        f"Prefect at {self._client.base_url} does not know this workspace's password: it "
                        "belongs to another workspace, or was started without one; stop it, or set "
                        "CRUCIBLE_PORTS__PREFECT to another port"
                    )
                    raise ServerError(message) from error
                message = f"Prefect refused {method} {path}: {error.response.text[:300]}"
                raise ServerError(message) from error
            except httpx.HTTPError as error:
                message = f"Prefect did not answer {method} {path}: {error}"
                raise ServerError(message) from error
            try:
                return response.json() if response.content else None
            except ValueError as error:
                message = (
                    f"Prefect answered {method} {path} with something that is not JSON: "
                    f"{response.text[:200]}; does another program listen at {self._client.base_url}?"
                )
                raise ServerError(message) from error
        raise AssertionError

    def ensure_pool(self, name: str) -> None:
        """Make a process work pool unless it is there; the first worker fills in its template."""
        found = self._ask("POST", "/work_pools/filter", {"work_pools": {"name": {"any_": [name]}}})
        if not found:
            self._ask("POST", "/work_pools/", {"name": name, "type": "process"})

    def ensure_queue(self, pool: str, name: str, limit: int) -> None:
        """Make a queue of a pool from which at most `limit` runs are worked on at a time."""
        path = f"/work_pools/{pool}/queues"
        found = self._ask("POST", f"{path}/filter", {"limit": PAGE})
        if not any(item["name"] == name for item in found):
            self._ask("POST", path, {"name": name, "concurrency_limit": limit})
            return
        self._ask("PATCH", f"{path}/{name}", {"concurrency_limit": limit})

    def online_worker(self, pool: str, worker: str) -> bool:
        """Whether that worker has reported to its pool."""
        found = self._ask("POST", f"/work_pools/{pool}/workers/filter", {"limit": PAGE})
        return any(item["name"] == worker and item["status"] == "ONLINE" for item in found)

    def deployment(self, name: str) -> dict[str, Any]:
        """One deployment, by ``FLOW/DEPLOYMENT``."""
        return cast("dict[str, Any]", self._ask("GET", f"/deployments/name/{name}"))

    def start(
        self, deployment: str, run_name: str, parameters: Mapping[str, Any] | None = None
    ) -> str:
        """Create a run of a deployment; give the run's id."""
        deployment_id = self.deployment(deployment)["id"]
        # With a key, asking again after a busy answer cannot make two runs.
        body = {
            "name": run_name,
            "idempotency_key": str(uuid.uuid4()),
            "parameters": dict(parameters or {}),
        }
        run = self._ask("POST", f"/deployments/{deployment_id}/create_flow_run", body)
        return str(run["id"])

    def unfinished_of(self, deployment: str) -> str | None:
        """Give a run of a deployment that has not ended; None if there is none."""
        found = self.every_unfinished_of(deployment, 1)
        return str(found[0]["id"]) if found else None

    def every_unfinished_of(self, deployment: str, limit: int = PAGE) -> list[dict[str, Any]]:
        """Give the runs of a deployment that have not ended, scheduled ones included, with their parameters."""
        body = {
            "flow_runs": {"state": {"type": {"not_any_": list(TERMINAL)}}},
            "deployments": {"id": {"any_": [self.deployment(deployment)["id"]]}},
            "limit": limit,
        }
        return cast("list[dict[str, Any]]", self._ask("POST", "/flow_runs/filter", body))

    def run(self, run_id: str) -> dict[str, Any]:
        """One flow run."""
        return cast("dict[str, Any]", self._ask("GET", f"/flow_runs/{run_id}"))

    def unfinished(self) -> list[dict[str, Any]]:
        """Every flow run that has not ended, scheduled ones included."""
        body = {
            "flow_runs": {"state": {"type": {"not_any_": list(TERMINAL)}}},
            "limit": PAGE,
            "sort": "ID_DESC",
        }
        return cast("list[dict[str, Any]]", self._ask("POST", "/flow_runs/filter", body))

    def force(self, run_id: str, state: str, reason: str) -> None:
        """Set a run's state past the server's rules, releasing what it holds."""
        body = {
            "state": {"type": state, "name": state.capitalize(), "message": reason},
            "force": True,
        }
        self._ask("POST", f"/flow_runs/{run_id}/set_state", body)

    def clear(self, reason: str, state: str = "CRASHED") -> int:
        """End every unfinished run; give how many had really begun.

        A scheduled run that nobody started is removed: it would only start late.
        """
        begun = 0
        for _ in range(CLEAR_ROUNDS):
            unfinished = self.unfinished()
            if not unfinished:
                break
            for run in unfinished:
                if run["state_type"] == "SCHEDULED" and run["run_count"] == 0:
                    self._ask("DELETE", f"/flow_runs/{run['id']}")
                else:
                    self.force(run["id"], state, reason)
                    begun += 1
        return begun

    def rest(self, deployment: str) -> None:
        """Switch a deployment's schedules off."""
        found = self.deployment(deployment)
        for schedule in found["schedules"]:
            self._ask(
                "PATCH", f"/deployments/{found['id']}/schedules/{schedule['id']}", {"active": False}
            )


def authorization(password: str) -> dict[str, str]:
    """Give the header that Prefect asks for."""
    return {"Authorization": f"Basic {base64.b64encode(password.encode()).decode()}"}


def market_clock(venue_url: str, timeout_s: float = 1.0) -> tuple[int | None, bool]:
    """Ask the paper venue how far its market is, in milliseconds, and whether it has ended.

    The time is None while the venue does not answer: not known is not zero.
    """
    try:
        answer = httpx.get(f"{venue_url}/admin/status", timeout=timeout_s).json()
        return int(answer["market_ts"]), bool(answer["ended"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None, False


def forge_runs_experiment(mlflow_url: str, timeout_s: float = 5.0) -> str | None:
    """Give the id of the experiment of forge runs; None before there is one.

    Raises
    ------
    ServerError
        If MLflow does not answer.
    """
    found = _experiment(mlflow_url, timeout_s)
    return None if found is None else str(found["experiment_id"])


def prepare_forge_runs(mlflow_url: str, timeout_s: float = 10.0) -> None:
    """Make the experiment of forge runs, and give an older one the view that its links name.

    Raises
    ------
    ServerError
        If MLflow does not answer.
    """
    wanted = experiment_tags()
    found = _experiment(mlflow_url, timeout_s)
    if found is None:
        tags = [{"key": key, "value": value} for key, value in wanted.items()]
        _post_to_mlflow(mlflow_url, "create", {"name": EXPERIMENT, "tags": tags}, timeout_s)
        return
    held = {tag["key"]: tag["value"] for tag in found.get("tags", [])}
    for key, value in wanted.items():
        # What a person wrote stays; the view is ours, and follows the code.
        if key not in held or (key.startswith("mlflow.sharedViewState.") and held[key] != value):
            body = {"experiment_id": found["experiment_id"], "key": key, "value": value}
            _post_to_mlflow(mlflow_url, "set-experiment-tag", body, timeout_s)


def _experiment(mlflow_url: str, timeout_s: float) -> dict[str, Any] | None:
    address = f"{mlflow_url}/api/2.0/mlflow/experiments/get-by-name"
    try:
        response = httpx.get(address, params={"experiment_name": EXPERIMENT}, timeout=timeout_s)
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        response.raise_for_status()
        return cast("dict[str, Any]", response.json()["experiment"])
    except (httpx.HTTPError, ValueError, KeyError) as error:
        message = f"MLflow at {mlflow_url} did not describe the experiment {EXPERIMENT}: {error}"
        raise ServerError(message) from error


def _post_to_mlflow(mlflow_url: str, what: str, body: Mapping[str, Any], timeout_s: float) -> None:
    try:
        response = httpx.post(
            f"{mlflow_url}/api/2.0/mlflow/experiments/{what}", json=body, timeout=timeout_s
        )
        response.raise_for_status()
    except httpx.HTTPError as error:
        message = f"MLflow at {mlflow_url} refused experiments/{what}: {error}"
        raise ServerError(message) from error


def registered_versions(mlflow_url: str, timeout_s: float = 2.0) -> int:
    """Count every version in MLflow's model registry.

    Raises
    ------
    ServerError
        If MLflow does not answer.
    """
    count, token = 0, ""
    while True:
        query = {"max_results": "1000"} | ({"page_token": token} if token else {})
        try:
            response = httpx.get(
                f"{mlflow_url}/api/2.0/mlflow/model-versions/search",
                params=query,
                timeout=timeout_s,
            )
            response.raise_for_status()
            page = response.json()
        except (httpx.HTTPError, ValueError) as error:
            message = f"MLflow at {mlflow_url} did not list versions: {error}"
            raise ServerError(message) from error
        count += len(page.get("model_versions", []))
        token = page.get("next_page_token") or ""
        if not token:
            return count
