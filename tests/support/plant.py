"""A real Prefect server and worker, a real MLflow server and a real paper venue, and hands on them."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pyarrow.parquet as pq

from crucible.forge.evolution.islands import Islands
from crucible.forge.evolution.run import ForgeRun
from crucible.forge.reporting.folder import write_folder
from crucible.forge.reporting.importance import with_importance
from crucible.market.exchange import Exchange
from crucible.operations.market_configuration import MarketConfiguration
from crucible.operations.supervision import services
from crucible.operations.supervision.ports import claim
from crucible.operations.supervision.process import ServiceProcess, stop_trees
from crucible.operations.supervision.servers import authorization
from crucible.operations.supervision.services import Ports
from crucible.operations.workspace import Run, Workspace, write_json
from crucible.registry.models import Registry
from crucible.settings import Settings, Slot
from tests.support.polling import until
from tests.support.processes import DAY_MS, ORIGIN_MS, REPOSITORY

SYMBOLS = ("BTCUSDT", "ETHUSDT")
DAYS = 2
SIZE = {"population": 16, "generations": 4, "trades_per_day": 1.0}
TERMINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
PATIENCE_S = 180.0


@dataclass
class Plant:
    """The running services, and what a person does with them."""

    workspace: Workspace
    ports: Ports
    settings: Settings
    deployments: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        self.prefect = httpx.Client(
            base_url=self.ports.prefect_api,
            timeout=PATIENCE_S,
            headers=authorization(self.workspace.password()),
        )
        self.registry = Registry(self.ports.mlflow_url, self.workspace.proof_key())
        self.faults = self.workspace.path / "faults"

    # --- a person's hands ------------------------------------------------------------------------

    def start(self, slot, environment=None, **parameters):
        body = {
            "parameters": {"slot": slot, **parameters},
            "state": {"type": "SCHEDULED"},
            "job_variables": {"env": environment} if environment else {},
        }
        path = f"/deployments/{self.deployments['forge']}/create_flow_run"
        return self.ask("POST", path, body)["id"]

    def retry(self, run):
        """What the page's Retry button does."""
        self.set_state(run, "SCHEDULED", "AwaitingRetry")

    def cancel(self, run):
        """What the page's Cancel button does."""
        self.set_state(run, "CANCELLING", "Cancelling")

    def cancel_whatever_it_does(self, run):
        """Press Cancel: a run that has not begun is cancelled by the server itself."""
        body = {"state": {"type": "CANCELLING", "name": "Cancelling"}, "force": False}
        answer = self.ask("POST", f"/flow_runs/{run}/set_state", body)
        assert answer["status"] in {"ACCEPT", "REJECT"}, answer

    def set_state(self, run, kind, name):
        body = {"state": {"type": kind, "name": name}, "force": False}
        answer = self.ask("POST", f"/flow_runs/{run}/set_state", body)
        assert answer["status"] == "ACCEPT", answer

    def ask(self, method, path, body=None):
        for _ in range(20):
            answer = self.prefect.request(method, path, json=body)
            if answer.status_code != 503:
                break
            time.sleep(0.5)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    # --- a person's eyes -------------------------------------------------------------------------

    def run(self, run):
        return self.ask("GET", f"/flow_runs/{run}")

    def states(self, run):
        found = self.ask("GET", f"/flow_run_states/?flow_run_id={run}")
        return [state["name"] for state in sorted(found, key=lambda state: state["timestamp"])]

    def until(self, run, *types):
        """Wait until a run is in one of the states; any other end is a failure."""

        def there():
            found = self.run(run)
            if found["state_type"] in types:
                return found
            assert found["state_type"] not in TERMINAL, self.story(run)
            return None

        return self.wait(there, lambda: self.story(run))

    def until_settled(self, run):
        """Wait until the worker has told everything about a process that was killed."""
        self.until(run, "CRASHED")

        def reported():
            body = {
                "filter": {
                    "event": {"name": ["prefect.worker.executed-flow-run"]},
                    "any_resource": {"id": [f"prefect.flow-run.{run}"]},
                }
            }
            return self.ask("POST", "/events/filter", body)["events"]

        self.wait(reported, lambda: self.story(run))

    def wait(self, there, story):
        return until(there, story, seconds=PATIENCE_S, pause=0.3)

    def story(self, run):
        body = {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC", "limit": 200}
        logs = [line["message"] for line in self.ask("POST", "/logs/filter", body)]
        worker = (self.workspace.logs / "worker.log").read_text(errors="replace")[-3_000:]
        return "\n".join([str(self.states(run)), *logs, "--- worker", worker])

    def logs(self, run):
        body = {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC", "limit": 200}
        return [line["message"] for line in self.ask("POST", "/logs/filter", body)]

    # --- faults ----------------------------------------------------------------------------------

    def fault(self, kind, slot, number=None):
        name = f"{kind}-{slot}" if number is None else f"{kind}-{slot}-{number}"
        (self.faults / name).touch()

    def hanging(self, run, slot):
        """Wait until a forge run hangs in the middle of a generation; give its process."""
        path = self.faults / f"hanging-{slot}"
        self.wait(path.exists, lambda: self.story(run))
        pid = int(path.read_text())
        path.unlink()
        return pid

    def kill(self, run, slot):
        """Kill the process of a forge run that hangs, as the system does when memory ends."""
        os.kill(self.hanging(run, slot), signal.SIGKILL)

    def advanced(self, slot):
        """Numbers of the generations that were begun, in order, over all attempts."""
        return [int(line) for line in (self.faults / f"advanced-{slot}").read_text().split()]

    # --- what a forge run should give --------------------------------------------------------------

    def checkpoint(self, key):
        return self.workspace.path / "forge" / key / "checkpoint.json"

    def mlflow_run(self, key):
        client = self.registry._client
        found = client.search_runs([self.registry.experiment()], f"tags.`crucible.key` = '{key}'")
        assert len(found) == 1, f"{len(found)} MLflow runs of {key}"
        return found[0]

    def require_uninterrupted(self, key, slot, seed, folder, islands=1, meanwhile=0):
        """Compare everything a forge run left with one that is made here and never interrupted.

        `meanwhile` counts what was tried for the slot beside it.
        """
        run = self.mlflow_run(key)
        assert run.info.status == "FINISHED"
        client = self.registry._client
        made = Path(client.download_artifacts(run.info.run_id, "", str(folder)))
        expected = folder / "expected"
        forge_run = self.forge_run(slot, seed, int(run.data.params["until_ms"]), islands)
        assert len(run.data.params["identity"]) == len(forge_run.identity)
        forge_run.count_earlier(meanwhile)
        result = with_importance(Islands(forge_run).run(), forge_run)
        write_folder(result, expected)
        outcome = "champion.json" if result.champion is not None else "refusal.json"
        # As JSON first: it says what differs.
        made_of, expected_of = (json.loads((f / outcome).read_text()) for f in (made, expected))
        differing = {
            name: (made_of["lineage"].get(name), value)
            for name, value in expected_of["lineage"].items()
            if made_of["lineage"].get(name) != value
        }
        assert not differing, differing
        assert (made / outcome).read_bytes() == (expected / outcome).read_bytes()
        tables = [pq.read_table(path / "generations.parquet") for path in (made, expected)]
        assert tables[0].equals(tables[1])
        wanted = list(range(SIZE["generations"] + 1))
        for metric in ("candidates_evaluated", "generation/best_score"):
            history = client.get_metric_history(run.info.run_id, metric)
            column = "trials" if metric == "candidates_evaluated" else "best_score"
            assert [item.step for item in sorted(history, key=lambda item: item.step)] == wanted
            values = {item.step: item.value for item in history}
            rows = {row["generation"]: row[column] for row in result.generations}
            assert values == rows
        return result

    def forge_run(self, slot, seed, until_ms, islands):
        from crucible.features.pipeline import FeaturePipeline
        from crucible.market.lake import Lake

        place = Slot.parse(slot)
        forge = self.settings.forge.model_copy(update={"islands": islands})
        pipeline = FeaturePipeline(SYMBOLS, self.settings.features)
        seen, lake = (0, until_ms), Lake(self.workspace.path / "lake")
        candles = {symbol: held.between(*seen) for symbol, held in lake.read_all(SYMBOLS).items()}
        funding = lake.read_funding(place.symbol).between(*seen)
        assert len(funding) == 3 * DAYS
        frame = pipeline.batch(candles)[place.symbol]
        return ForgeRun(place, candles[place.symbol], frame, forge, seed, funding=funding)


@contextmanager
def running_plant(folder):
    """Start everything; the market stands almost still, so that every forge run sees the same candles.

    The minute that is in the making when the first forge run begins lasts 50 minutes.
    """
    workspace = Workspace.at(folder)
    workspace.create()
    (workspace.path / "faults").mkdir()
    run: Run = workspace.new_run()
    ports = Ports(*(claim(0, name) for name in ("prefect", "mlflow", "dashboard", "paper_venue")))
    configuration = MarketConfiguration(
        "simulated", SYMBOLS, 7, ORIGIN_MS, ORIGIN_MS + DAYS * DAY_MS, ORIGIN_MS + DAYS * DAY_MS
    )
    configuration.save(workspace, configuration.start_ms)
    settings = Settings(home=workspace.path, forge=SIZE, market={"speed": 0.02, "seed": 7})
    environment = services.environment(settings, workspace, run, ports, configuration, os.environ)
    environment |= {
        "PYTHONPATH": str(REPOSITORY),
        "CRUCIBLE_FORGE__POPULATION": str(SIZE["population"]),
        "CRUCIBLE_FORGE__GENERATIONS": str(SIZE["generations"]),
        "CRUCIBLE_FORGE__TRADES_PER_DAY": str(SIZE["trades_per_day"]),
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "NUMBA_CACHE_DIR": os.environ.get("NUMBA_CACHE_DIR", ""),
    }
    environment = {name: value for name, value in environment.items() if value}
    with ExitStack() as stack:

        def launch(spec):
            process = ServiceProcess(
                spec.name, spec.command, environment, workspace.logs, REPOSITORY
            )
            stack.callback(stop_trees, [process.identity], 10.0)
            return process

        started = [
            launch(spec)
            for spec in (
                services.prefect(ports),
                services.mlflow(workspace, ports),
                services.paper_venue(settings, workspace, ports, configuration),
            )
        ]
        # What the stack writes down, so that commands know whose servers these are.
        known = {
            process.name: {"address": page, **process.identity.to_json()}
            for process, page in zip(started, (ports.prefect_url, ports.mlflow_url), strict=False)
        }
        write_json(workspace.services_file, {"services": known})
        answer(f"{ports.prefect_api}/health", started[0])
        plant = Plant(workspace, ports, settings)
        plant.ask("POST", "/work_pools/", {"name": services.POOL, "type": "process"})
        started.append(launch(services.worker(run)))
        plant.deployments["forge"] = deploy(plant)
        answer(f"{ports.mlflow_url}/health", started[1])
        name = services.worker_name(run)

        def online():
            found = plant.ask("POST", f"/work_pools/{services.POOL}/workers/filter", {})
            return any(item["name"] == name and item["status"] == "ONLINE" for item in found)

        plant.wait(online, started[-1].last_words)
        venue = Exchange(services.exchange_url(settings, ports))

        def in_the_making():
            return all(venue.closed_until(symbol) == configuration.start_ms for symbol in SYMBOLS)

        plant.wait(in_the_making, lambda: "a symbol has not traded yet")
        yield plant


def deploy(plant, name="forge", **more):
    """Deploy the flow with its faults as prefect.yaml deploys it without."""
    flow = plant.ask("POST", "/flows/", {"name": "forge"})
    body = {
        "name": name,
        "flow_id": flow["id"],
        "entrypoint": "tests/flows/faulty_forge.py:forge",
        "work_pool_name": services.POOL,
        "pull_steps": [
            {"prefect.deployments.steps.set_working_directory": {"directory": str(REPOSITORY)}}
        ],
        **more,
    }
    return plant.ask("POST", "/deployments/", body)["id"]


def answer(url, process):
    """Wait until a service answers; its end is a failure."""

    def answers():
        assert process.poll() is None, process.log.read_text()[-3_000:]
        try:
            return httpx.get(url, timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def story():
        return f"{url}: {process.log.read_text()[-3_000:]}"

    until(answers, story, seconds=PATIENCE_S, pause=0.3)
