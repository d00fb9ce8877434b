"""What the page says of where a version comes from: the words of `crucible explain`, and links that lead there."""

import json
from types import SimpleNamespace

import httpx
import pytest

from crucible.dashboard import versions
from crucible.dashboard.versions import version_of
from crucible.forge.reporting.explain import explain_version
from crucible.registry.version import Version
from crucible.settings import Slot
from crucible.strategies.document import parse_document
from tests.support.strategies import strategy_file

MLFLOW, SLOT, RUN = "http://127.0.0.1:5000", "BTCUSDT-gp-1", "0a1b"
FACTS = {"prefect_link": "http://127.0.0.1:4200/runs/flow-run/9", "reason": "the slot is empty", "seed": "7"}  # fmt: skip
JUDGED = {
    "seed": 7,
    "trials": 360,
    "data_hash": "d1",
    "span": {"description": "BTCUSDT, 90 days"},
    "funding": "charged at recorded rates",
    "feature_schema": "f1",
    "code_revision": "c1",
}


@pytest.fixture
def mlflow(monkeypatch):
    """An MLflow that knows one version, and what it says of it, which a test may change."""
    files = {"strategy.json": strategy_file(Slot.parse(SLOT)), "champion.json": {"lineage": JUDGED}}

    def answer(request):
        path = request.url.path
        if path.endswith("model-versions/get"):
            return httpx.Response(200, json={"model_version": {"run_id": RUN}})
        if path.endswith("runs/get"):
            tags = [{"key": key, "value": value} for key, value in FACTS.items()]
            run = {"info": {"experiment_id": "3"}, "data": {"tags": tags}}
            return httpx.Response(200, json={"run": run})
        assert request.url.params["run_uuid"] == RUN
        found = files.get(request.url.params["path"])
        return httpx.Response(404) if found is None else httpx.Response(200, json=found)

    usual = httpx.Client
    monkeypatch.setattr(versions, "_is_ours", lambda _: True)
    monkeypatch.setattr(
        versions.httpx,
        "Client",
        lambda **options: usual(transport=httpx.MockTransport(answer), **options),
    )
    return files


def registry(files):
    """The same, as `crucible explain` asks it."""
    return SimpleNamespace(
        version=lambda slot, number: Version(slot, number, RUN, {}),
        strategy=lambda _: parse_document(json.dumps(files["strategy.json"]).encode()),
        document=lambda _, name: files[name],
        run_facts=lambda _: FACTS,
        aliases=lambda _: {},
        page_of_run=lambda run: f"{MLFLOW}/#/experiments/3/runs/{run}",
    )


def test_the_page_and_explain_say_the_same_of_where_a_version_comes_from(mlflow):
    found = version_of(MLFLOW, SLOT, "2")
    explained = explain_version(registry(mlflow), f"{SLOT}/2")
    assert found["known"] is True
    assert {**found["lineage"], "forge run": ""} == {**explained.lineage, "forge run": ""}
    assert found["lineage"]["candles"] == "BTCUSDT, 90 days"
    assert found["lineage"]["flow run"] == FACTS["prefect_link"]
    assert found["lineage"]["seed"] == "7"


def test_links_lead_to_the_version_its_forge_run_and_its_flow_run(mlflow):
    assert version_of(MLFLOW, SLOT, "2")["links"] == {
        "model": f"{MLFLOW}/#/models/{SLOT}/versions/2",
        "forge run": f"{MLFLOW}/#/experiments/3/runs/{RUN}",
        "flow run": FACTS["prefect_link"],
    }


def test_a_record_that_is_none_leaves_what_it_would_say_not_known(mlflow):
    mlflow["champion.json"] = {"lineage": {"span": "none", "seed": 8}}
    lineage = version_of(MLFLOW, SLOT, "2")["lineage"]
    assert lineage["candles"] == lineage["data hash"] == "not known"
    assert lineage["seed"] == "8"
