"""The few questions asked of Prefect and MLflow."""

import json
import uuid
from collections.abc import Iterator

import httpx
import pytest

from crucible.operations.errors import ServerError
from crucible.operations.supervision.servers import TERMINAL, PrefectServer


class Server:
    """Prefect as far as it is asked: flow runs, one deployment with schedules."""

    def __init__(self) -> None:
        self.runs: dict[str, dict] = {}
        self.schedules: list[dict] = []
        self.pools: list[str] = []
        self.broken = False
        self.busy = 0

    def add(self, state: str, run_count: int = 1) -> str:
        name = str(uuid.uuid4())
        self.runs[name] = {"id": name, "state_type": state, "run_count": run_count}
        return name

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.broken:
            return httpx.Response(500, text="database is locked")
        if self.busy:
            self.busy -= 1
            return httpx.Response(503, json={"exception_message": "Service Unavailable"})
        path = request.url.path.removeprefix("/api")
        body = json.loads(request.content) if request.content else None
        parts = path.strip("/").split("/")
        match request.method, parts:
            case "POST", ["work_pools", "filter"]:
                wanted = body["work_pools"]["name"]["any_"]
                return httpx.Response(200, json=[{"name": n} for n in self.pools if n in wanted])
            case "POST", ["work_pools"]:
                self.pools.append(body["name"])
                return httpx.Response(201, json=body)
            case "POST", ["flow_runs", "filter"]:
                left = [run for run in self.runs.values() if run["state_type"] not in TERMINAL]
                return httpx.Response(200, json=left[: body["limit"]])
            case "POST", ["flow_runs", run_id, "set_state"]:
                assert body["force"] is True
                self.runs[run_id]["state_type"] = body["state"]["type"]
                return httpx.Response(200, json={})
            case "DELETE", ["flow_runs", run_id]:
                del self.runs[run_id]
                return httpx.Response(204)
            case "GET", ["deployments", "name", *_]:
                return httpx.Response(200, json={"id": "d1", "schedules": self.schedules})
            case "POST", ["deployments", "d1", "schedules"]:
                self.schedules += [{"id": f"s{len(self.schedules)}", **item} for item in body]
                return httpx.Response(201, json=[])
            case "PATCH", ["deployments", "d1", "schedules", schedule]:
                next(item for item in self.schedules if item["id"] == schedule).update(body)
                return httpx.Response(204)
            case "DELETE", ["deployments", "d1", "schedules", schedule]:
                self.schedules = [item for item in self.schedules if item["id"] != schedule]
                return httpx.Response(204)
        return httpx.Response(404, text=f"no {path}")


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def prefect(server: Server) -> Iterator[PrefectServer]:
    client = PrefectServer("http://test/api", transport=httpx.MockTransport(server))
    yield client
    client.close()


def test_what_an_earlier_life_left_is_ended_and_never_started_late(
    server: Server, prefect: PrefectServer
):
    running = [server.add("RUNNING"), server.add("PENDING")]
    retrying = server.add("SCHEDULED", run_count=1)
    scheduled = [server.add("SCHEDULED", run_count=0) for _ in range(300)]
    done = server.add("COMPLETED")

    assert prefect.clear("left behind") == 3

    assert [server.runs[run]["state_type"] for run in (*running, retrying)] == ["CRASHED"] * 3
    assert server.runs[done]["state_type"] == "COMPLETED"
    assert not set(scheduled) & set(server.runs)
    assert prefect.clear("left behind") == 0


def test_every_schedule_of_a_deployment_is_switched_off(server: Server, prefect: PrefectServer):
    for name in ("quarter", "of a person"):
        server.schedules.append({"id": name, "schedule": {"interval": 900}, "active": True})
    prefect.rest("watchtower/watchtower")
    assert [item["active"] for item in server.schedules] == [False, False]


def test_a_pool_is_made_once(server: Server, prefect: PrefectServer):
    prefect.ensure_pool("crucible")
    prefect.ensure_pool("crucible")
    assert server.pools == ["crucible"]


def test_a_busy_server_is_asked_again(server: Server, prefect: PrefectServer, monkeypatch):
    monkeypatch.setattr("crucible.operations.supervision.servers.BUSY_PAUSES_S", (0.0, 0.0))
    server.busy = 2
    prefect.ensure_pool("crucible")
    assert server.pools == ["crucible"]
    server.busy = 3
    with pytest.raises(ServerError, match="Service Unavailable"):
        prefect.unfinished()


def test_a_refusal_carries_the_servers_words(server: Server, prefect: PrefectServer):
    server.broken = True
    with pytest.raises(ServerError, match="refused POST /flow_runs/filter: database is locked"):
        prefect.unfinished()


def test_a_server_that_is_gone_is_a_typed_error():
    with pytest.raises(ServerError, match="did not answer GET"):
        PrefectServer("http://127.0.0.1:9/api", timeout_s=1.0).run("x")


def test_prefect_is_asked_with_this_homes_password_and_another_homes_refusal_is_told():
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("authorization"))
        return httpx.Response(401, json={"exception_message": "Unauthorized"})

    client = PrefectServer("http://test/api", "a password", transport=httpx.MockTransport(answer))
    with pytest.raises(ServerError, match="does not know this workspace's password") as reported:
        client.run("x")
    assert asked == ["Basic YSBwYXNzd29yZA=="]
    assert "a password" not in str(reported.value)
