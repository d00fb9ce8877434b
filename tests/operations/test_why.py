"""`crucible why`: an order's reason with every number, and its lineage from the order to the seed."""

from __future__ import annotations

import json
import os
from decimal import Decimal

import pytest

from crucible.execution.cerebellum_link import Addresses, CerebellumLink, new_intent_id
from crucible.execution.messages import Ack, Protect, Submit
from crucible.ledger.ledger import Ledger
from crucible.operations.provenance import find_order, intent_of
from crucible.operations.supervision.process import Identity
from crucible.operations.workspace import Workspace, write_json
from crucible.settings import Slot
from tests.support.commands import call
from tests.support.factories import agent_row, fill
from tests.support.polling import until
from tests.support.processes import cerebellum_command, running, venue_command, write_keys
from tests.support.strategies import strategy_file

pytestmark = pytest.mark.process

SLOT = Slot.parse("BTCUSDT-gp-1")
STRATEGY = strategy_file(SLOT)
SIZING = {
    "fraction_before": 0.025,
    "fraction": 0.0175,
    "multipliers": {
        "radar": {
            "state": "measured", "value": 0.7, "inputs": {"radar_distance": 2.9, "radar_age": None}
        },
        "influence": {"state": "absent", "value": None, "inputs": {}},
        "product": 0.7,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def sent(tmp_path_factory):
    """A run in which a real Cerebellum sent one order, which the ledger knows the decision of."""
    folder = tmp_path_factory.mktemp("why")
    workspace = Workspace.at(folder / "workspace")
    workspace.create()
    run, keys, log = workspace.new_run(), write_keys(folder), folder / "processes.log"
    venue_words = venue_command(folder, keys, "BTCUSDT", speed=10, days=1)
    with running(venue_words, log) as (_, venue):
        words = cerebellum_command(folder, keys, "BTCUSDT", venue)
        words[words.index("--journal") + 1] = str(run.journal)
        with running(words, log) as (_, ready):
            addresses = Addresses(ready["commands"], ready["events"], ready["market"])
            with CerebellumLink(addresses) as link:
                now = until(lambda: link.snapshot().ts, lambda: log.read_text()[-2000:], seconds=15)
                intent = new_intent_id(now, 7)

                def accepted() -> bool:
                    reply = link.ask(
                        Submit(
                            ts=now,
                            request_id=link.request_id(),
                            intent_id=intent,
                            agent=f"{SLOT}@1",
                            version="1",
                            symbol="BTCUSDT",
                            side="buy",
                            kind="market",
                            qty="0.02",
                            limit_price=None,
                            reduce_only=False,
                            ttl_ms=3_600_000,
                            protect=Protect(stop="1000", take_profit=None, deadline_ts=None),
                            reason="entry",
                        )
                    )
                    return isinstance(reply, Ack) and reply.status == "accepted"

                until(accepted, lambda: log.read_text()[-2000:], seconds=30)
                until(lambda: link.snapshot().totals.fills, link.snapshot, seconds=15)
    with Ledger(run.ledger) as ledger, ledger.transaction():
        ledger.seat(agent_row(f"{SLOT}@1"))
        ledger.book_decision(
            now - 60_000, f"{SLOT}@1", "buy", "0.25 of Kelly; radar 0.70", Decimal("93500.5"),
            Decimal("0.02"), intent, SIZING,
        )  # fmt: skip
        ledger.book_shadow_fill(
            fill(1, "sell", "0.5", "94000", "0.1", mode="shadow", reason="stop", intent_id="",
                 exec_id="simulated:1", exec_ts=now)
        )  # fmt: skip
    return workspace, intent


def test_it_is_told_with_every_number_by_intent_by_client_order_id_and_by_fill(sent):
    workspace, intent = sent
    story = find_order(workspace, intent)
    text = "\n".join(story.sentences())
    for words in (
        "BTCUSDT-gp-1@1",
        "buy 0.02 BTCUSDT",
        "at a price of 93500.5: 0.25 of Kelly; radar 0.70",
        "2.5000% of its equity before the multipliers, 1.7500% after them (together 0.7)",
        "radar: 0.7, measured; radar_age has no figure, radar_distance 2.9",
        "influence: left out, absent",
        "stop 1000",
        "It ended filled.",
        "Filled 0.02 at ",
    ):
        assert words in text, text
    link = str(story.order["order_link_id"])
    assert intent_of(link) == intent
    assert find_order(workspace, link) == story
    assert find_order(workspace, str(story.fills[0]["exec_id"])) == story


def test_without_a_registry_what_is_known_is_told_and_the_rest_is_named(sent):
    workspace, intent = sent
    ended = call(workspace.path, "why", intent, "--json")
    assert ended.code == 0
    found = json.loads(ended.stdout)
    assert found["decision"]["sizing"]["fraction"] == 0.0175
    assert found["order"]["qty"] == "0.02"
    assert found["lineage"] is None
    assert "MLflow" in found["lineage_not_known_because"]
    assert "BTCUSDT-gp-1@1" in found["sentence"]


def test_the_lineage_leads_from_the_order_to_the_seed(sent, registry, tmp_path):
    workspace, _ = sent
    slot = Slot.parse("BTCUSDT-gp-977")
    document = {**STRATEGY, "slot": slot.name}
    run = registry.open_run("why", f"forge {slot}", {"slot": slot.name, "kind": "gp"})
    lineage = {"slot": slot.name, "seed": 4711, "code_revision": "abc123"}
    (tmp_path / "strategy.json").write_text(json.dumps(document))
    (tmp_path / "champion.json").write_text(json.dumps({**document, "lineage": lineage}))
    registry.log_folder(run, tmp_path)
    version = registry.register(run, slot, document, {"proven": "false"})
    registry.close_run(run, "FINISHED")
    me = Identity.of(os.getpid()).to_json()
    address = registry.tracking_uri
    write_json(workspace.services_file, {"services": {"mlflow": {"address": address, **me}}})
    # The very order, of an agent of the version that was just registered.
    current = workspace.current()
    with Ledger(current.ledger) as ledger, ledger.transaction():
        ledger.book_shadow_fill(
            fill(2, "buy", "0.5", "94000", "0.1", mode="shadow", reason="entry", intent_id="",
                 exec_id="simulated:2", exec_ts=10, agent=f"{slot}@{version.version}",
                 version=version.version)
        )  # fmt: skip
    try:
        found = json.loads(call(workspace.path, "why", "simulated:2", "--json").stdout)
        text = call(workspace.path, "why", "simulated:2").stdout
    finally:
        workspace.services_file.unlink()
    assert found["lineage_not_known_because"] is None
    assert found["lineage"]["seed"] == "4711"
    assert found["lineage"]["code revision"] == "abc123"
    assert found["lineage"]["version"].startswith(f"{slot} version {version.version}")
    assert run in found["lineage"]["forge run"]
    assert "the mean of x over 3 candles is above 0.5" in " ".join(found["rules"]["buy"])
    assert "seed             4711" in text
    assert "buys when" in text


def test_a_stop_is_no_decision_of_the_agent_and_a_fill_of_a_simulation_is_found(sent):
    workspace, _ = sent
    text = "\n".join(find_order(workspace, "simulated:1").sentences())
    assert "asked in simulation to sell 0.5" in text
    assert "No decision of the agent: the position was closed because its stop was reached" in text


def test_an_order_that_nobody_knows_is_a_fault(sent, tmp_path):
    workspace, _ = sent
    ended = call(workspace.path, "why", "nothing", "--json")
    assert ended.code == 1
    assert "'nothing'" in json.loads(ended.stdout)["error"]
    assert "nothing has run in" in call(tmp_path, "why", "x").stderr
