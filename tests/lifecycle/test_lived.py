"""A version that lived well is proven by its life: from our own ledgers, among all ever born, under our seal."""

import itertools
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from prefect.logging import disable_run_logger

import flows.watchtower
from crucible.arena.registry_watcher import RegistryWatcher, Requirements
from crucible.features.frame import FeatureSchema
from crucible.forge.reporting.explain import explain_version
from crucible.ledger.ledger import Ledger
from crucible.lifecycle.judgement import book, judge_all, scorecard_rows
from crucible.lifecycle.lived import lives, prove_by_living
from crucible.operations.workspace import Workspace
from crucible.registry.admission import Rules, refusal
from crucible.registry.errors import RegistryError
from crucible.registry.models import with_proofs
from crucible.registry.proof import LIVED_TAG, LivedProof, digest, seal
from crucible.registry.version import PROVEN_BY, Version
from crucible.settings import Settings, Slot
from tests.support.contexts import context_of
from tests.support.factories import agent_row, fill
from tests.support.tracking import KEY

SLOT = "BTCUSDT-gp-1"
NAME = f"{SLOT}@1"
SCHEMA = FeatureSchema(("x", "y"), {})
FILE = {
    "format": "crucible.strategy/1",
    "kind": "gp",
    "slot": SLOT,
    "symbol": "BTCUSDT",
    "schema_hash": SCHEMA.hash,
    "features": ["x"],
    "exits": {"stop": 0.01, "target": 0.02, "timeout": 60},
    "program": ["trade", ["gt", "x", 1.0], ["lt", "x", 0.0]],
}
QUARTER = 900_000
numbers = itertools.count(1)
slot_numbers = itertools.count(700)


class Registry:
    """Versions in memory with tags that anybody may write; it can be away."""

    def __init__(self, newest=1, file=FILE):
        self.newest, self.file = {SLOT: newest}, file
        self.tags: dict[str, dict[str, str]] = {}
        self.away: set[str] = set()
        self.sealed = 0

    def _asked(self, what):
        if what in self.away:
            message = f"{what}: away"
            raise RegistryError(message)

    def newest_numbers(self):
        self._asked("count")
        return dict(self.newest)

    def find_version(self, slot, number):
        self._asked("find")
        if int(number) > self.newest[slot]:
            return None
        found = Version(slot, number, "run", dict(self.tags.get(number, {})))
        return with_proofs(found, KEY)

    def strategy(self, version):
        return self.file

    def tag(self, slot, number, tags):
        self._asked("tag")
        self.tags.setdefault(number, {}).update(tags)

    def prove_by_life(self, version, proof):
        self.tag(version.slot, version.version, {LIVED_TAG: seal(proof, KEY)})
        found = self.find_version(version.slot, version.version)
        self.tag(version.slot, version.version, {PROVEN_BY: found.proven_by})
        self.sealed += 1
        return self.find_version(version.slot, version.version)


class System:
    """A workspace whose runs can be written; `context` is that of the newest."""

    def __init__(self, folder, registry):
        self.workspace = Workspace.at(folder)
        self.settings = Settings(home=folder, forge={"policy": "strict"})
        self.registry = registry
        self.context = None

    def begin(self):
        run = self.workspace.new_run()
        self.context = context_of(
            self.workspace.path, self.settings, registry=self.registry, run=run
        )

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        with Ledger(self.context.run.ledger) as ledger:
            yield ledger

    def live(self, evidence, ts=QUARTER, agent=NAME, began_ts=None, **details):
        """Book what a judgement of a challenger leaves, and that it traded before."""
        with self.ledger() as ledger:
            ledger.seat(agent_row(agent, role="challenger", strategy=digest(FILE)))
            at = {"agent": agent, "mode": "shadow", "exec_ts": began_ts or ts - 1}
            ledger.book_shadow_fill(fill(next(numbers), "buy", 1, 100, **at))
            usual = {
                "gain_evidence": evidence,
                "trades": 40,
                "role": "challenger",
                "since_ts": 0,
                "strategy": digest(FILE),
            }
            ledger.book_verdict(
                ts, agent, agent.rpartition("@")[2], "keep", "", {**usual, **details}
            )
            ledger.set_market_ts(ts)

    def lives(self, until_ts=10**15):
        with self.ledger() as ledger:
            return lives(self.context, ledger, until_ts)

    def prove(self):
        with self.ledger() as ledger:
            return prove_by_living(self.context, ledger)


@pytest.fixture
def system(tmp_path):
    made = System(tmp_path, Registry())
    made.begin()
    return made


def admitted(system, number="1", rules=Rules("paper", "strict")):  # noqa: B008 - frozen
    version = system.registry.find_version(SLOT, number)
    return refusal(version, rules, digest(system.registry.file)) == ""


@pytest.mark.parametrize("rules", [Rules("paper", "strict"), Rules("testnet", "strict")])
def test_a_version_that_lived_well_is_admitted_where_only_proven_ones_trade(system, rules):
    assert not admitted(system, rules=rules)
    system.live(25.0)
    proving = system.prove()
    assert proving.evidence == {NAME: pytest.approx(25.0)}
    assert proving.proven == {NAME: "lived"}
    assert admitted(system, rules=rules)
    version = system.registry.find_version(SLOT, "1")
    assert (version.proven_by, version.tags[PROVEN_BY]) == ("lived", "lived")
    assert version.lived == LivedProof(
        SLOT, "1", "run", digest(FILE), SCHEMA.hash, version.lived.evidence, 40, 1, 1, 0.05, QUARTER, "0001"
    )  # fmt: skip


def test_a_lucky_one_among_many_is_not_even_if_all_others_were_deleted_or_never_traded(system):
    system.registry.newest = {SLOT: 30, "ETHUSDT-gp-9": 20}
    system.live(999.0)  # 50 births at 5%: 1,000 are needed
    assert system.prove().proven == {}
    assert not admitted(system)
    system.live(1000.5, 2 * QUARTER)
    assert system.prove().proven == {NAME: "lived"}
    assert system.registry.find_version(SLOT, "1").lived.ever == 50


def test_versions_that_traded_here_count_as_born_whatever_the_registry_has_forgotten(system):
    system.live(25.0)
    system.live(0.5, agent=f"{SLOT}@40")
    assert system.registry.newest == {SLOT: 1}
    assert system.prove().proven == {}


def test_no_tag_that_somebody_writes_is_evidence_or_proof(system):
    system.registry.tags["1"] = {
        "proven": "true",
        PROVEN_BY: "lived",
        LIVED_TAG: "true",
        "gain_evidence": "1e300",
        "lived_evidence": "1e300",
    }
    system.live(1.0)
    assert system.prove().proven == {}
    assert not admitted(system)
    assert system.registry.find_version(SLOT, "1").proven_by == ""


def test_the_segments_of_a_life_multiply_over_runs_and_count_once_in_each(system):
    system.live(4.0)
    system.live(6.0, 2 * QUARTER)  # the newest holds the whole run
    system.begin()
    system.live(5.0, 4 * QUARTER, began_ts=3 * QUARTER)
    assert system.lives().evidence == {NAME: pytest.approx(30.0)}
    assert system.lives().lives[NAME].trades == 80
    assert system.lives(until_ts=3 * QUARTER).evidence == {NAME: pytest.approx(6.0)}
    system.begin()  # a run in which it does not trade takes nothing away
    with system.ledger() as ledger:
        ledger.set_market_ts(9 * QUARTER)
    assert system.lives().evidence == {NAME: pytest.approx(30.0)}


@settings(deadline=None, max_examples=12)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=4))
def test_the_evidence_of_a_life_is_the_product_of_its_runs(tmp_path_factory, wealth):
    system = System(tmp_path_factory.mktemp("runs"), Registry())
    for number, value in enumerate(wealth, 1):
        system.begin()
        system.live(value, number * QUARTER)
    assert system.lives().evidence[NAME] == pytest.approx(math.prod(wealth), rel=1e-9, abs=1e-300)


def test_production_proves_nothing_and_takes_nothing_from_the_life_in_shadow(system):
    system.live(25.0)
    system.live(1e9, 2 * QUARTER, role="production")
    assert system.lives().evidence == {NAME: pytest.approx(25.0)}
    system.live(1e9, agent=f"{SLOT}@2", role="production")
    assert f"{SLOT}@2" not in system.lives().evidence


@pytest.mark.parametrize("replayed", [1e9, 1e-9])
def test_market_time_that_was_lived_before_is_no_new_evidence_be_it_good_or_bad(system, replayed):
    system.live(3.0, 8 * QUARTER)
    system.begin()  # crucible up --start
    system.live(replayed, 9 * QUARTER, began_ts=2 * QUARTER)
    assert system.lives().evidence == {NAME: pytest.approx(3.0)}


def test_a_life_with_more_than_one_strategy_file_is_no_evidence(system, caplog):
    system.live(1e9, strategy="another digest")
    system.live(1e9, 2 * QUARTER)
    assert "was exchanged" in system.lives().unusable[NAME]
    assert system.prove().proven == {}
    assert "is not the one that lived" in caplog.text
    assert "was exchanged during its life" in caplog.text
    system.begin()
    system.live(1e9, 3 * QUARTER)
    assert system.lives().evidence == {}


def test_a_run_that_has_ended_is_read_once(system):
    system.live(4.0)
    ended = system.context.run.ledger
    system.begin()
    system.live(5.0, 4 * QUARTER, began_ts=3 * QUARTER)
    assert system.lives().evidence == {NAME: pytest.approx(20.0)}
    ended.unlink()
    ended.touch()
    assert system.lives().evidence == {NAME: pytest.approx(20.0)}


def test_a_life_of_before_the_ledger_knew_the_strategy_file_is_not_counted(system):
    system.live(1e9, strategy="")
    assert (system.lives().evidence, system.lives().unusable) == ({}, {})
    system.begin()
    system.live(2.0, 2 * QUARTER)
    assert system.lives().evidence == {NAME: pytest.approx(2.0)}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -1.0, None, "many"])
def test_evidence_that_is_no_number_proves_nobody_is_named_and_hinders_no_other(
    system, bad, caplog
):
    system.registry.newest = {SLOT: 2}
    system.live(bad)
    system.live(100.0, agent=f"{SLOT}@2")
    assert system.prove().proven == {f"{SLOT}@2": "lived"}
    assert not admitted(system, "1")
    (error,) = [one.getMessage() for one in caplog.records if one.levelname == "ERROR"]
    assert f"{NAME}: the judgement at {QUARTER} has evidence {bad!r}" in error


@pytest.mark.parametrize("away", ["count", "find", "tag"])
def test_while_mlflow_is_away_nothing_is_lost_and_the_next_judgement_seals_it_once(system, away):
    system.live(25.0)
    system.registry.away = {away}
    assert system.prove().proven == {}
    # By the next judgement its evidence has fallen: what it had reached counts.
    system.live(2.0, 2 * QUARTER)
    assert system.prove().proven == {}
    assert not system.registry.sealed
    system.registry.away = set()
    system.prove()
    assert admitted(system)
    assert system.registry.find_version(SLOT, "1").lived.ts == QUARTER
    system.prove()
    system.live(400.0, 3 * QUARTER)
    assert system.prove().proven == {NAME: "lived"}
    assert system.registry.sealed == 1


def test_whoever_is_proven_stays_so_when_its_evidence_falls_or_others_are_born(system):
    system.live(25.0)
    system.prove()
    system.registry.newest = {SLOT: 5_000}
    system.live(0.01, 2 * QUARTER)
    assert system.prove().proven == {}
    assert admitted(system)


def test_a_file_that_was_exchanged_before_the_seal_is_not_proven_by_the_life_of_the_other(
    system, caplog
):
    system.registry.file = {**FILE, "exits": {"stop": 0.9, "target": 0.9, "timeout": 9}}
    system.live(1e9)
    assert system.prove().proven == {}
    assert not admitted(system)
    assert "is not the one that lived" in caplog.text


def test_a_deleted_version_that_lived_well_is_passed_over(system):
    system.live(1e9, agent=f"{SLOT}@7")
    assert system.prove().proven == {}


def test_a_crash_between_the_seal_and_its_word_for_people_is_made_good(system):
    system.live(25.0)
    system.prove()
    system.registry.tags["1"].pop(PROVEN_BY)
    system.live(25.0, 2 * QUARTER)
    system.prove()
    assert system.registry.tags["1"][PROVEN_BY] == "lived"
    assert system.registry.sealed == 1


def test_a_ledger_that_cannot_be_read_proves_nobody_and_is_named(system, caplog):
    lost = system.context.run.ledger
    lost.write_bytes(b"no database" * 100)
    system.begin()
    system.live(1e9)
    assert system.prove().proven == {}
    assert str(lost) in caplog.text
    lost.unlink()
    assert system.prove().proven == {NAME: "lived"}


def test_the_scorecards_page_names_the_route_and_the_evidence_of_the_whole_life(system):
    with system.ledger() as ledger:
        ledger.seat(agent_row(NAME, role="challenger", strategy=digest(FILE)))
    system.live(25.0)

    class Judged(Registry):
        version = Registry.find_version

        def aliases(self, slot):
            return {"challenger": "1"}

    system.registry = system.context.__dict__["registry"] = Judged()
    with system.ledger() as ledger:
        judged = judge_all(system.context, ledger, 2 * QUARTER, {})
    (row,) = scorecard_rows(judged, system.prove())
    assert (row["proven by"], row["lived evidence"]) == ("lived", "25")
    (row,) = scorecard_rows([replace(judged[0], proven_by="")], type(system.prove())())
    assert (row["proven by"], row["lived evidence"]) == ("unproven", "")


def test_one_turn_of_the_watchtower_proves_a_challenger_before_it_is_promoted_under_strict(
    system, monkeypatch
):
    class Seated(Registry):
        version = Registry.find_version

        def aliases(self, slot):
            return {"challenger": "1"}

    registry = system.context.__dict__["registry"] = Seated()
    system.context.__dict__["_configuration"] = {"symbols": ["BTCUSDT"], "origin_ms": 0}
    with system.ledger() as ledger:
        ledger.seat(agent_row(NAME, role="challenger", strategy=digest(FILE)))
        for trade, (side, price) in itertools.product(range(60), (("buy", 100), ("sell", 101))):
            at = {
                "agent": NAME,
                "mode": "shadow",
                "exec_ts": 1_000 * (2 * trade + (side == "sell")),
            }
            ledger.book_shadow_fill(fill(next(numbers), side, 1, price, **at))
        ledger.set_market_ts(QUARTER)
    assert system.context.refusal(registry.find_version(SLOT, "1"))
    passed, shown = [], []

    def door(slot, number, action, **_):
        passed.append((action, system.context.refusal(registry.find_version(slot, number))))

    monkeypatch.setattr(flows.watchtower, "load_context", lambda _log: system.context)
    monkeypatch.setattr(flows.watchtower, "judge_all", judge_all)
    monkeypatch.setattr(flows.watchtower, "promotion", door)
    monkeypatch.setattr(flows.watchtower.judgement, "settlements", lambda *_: {})
    monkeypatch.setattr(flows.watchtower.judgement, "record", lambda *_: None)
    monkeypatch.setattr(
        flows.watchtower, "create_table_artifact", lambda **given: shown.extend(given["table"])
    )
    with disable_run_logger():
        assert flows.watchtower.watchtower.fn() == {"keep": 0, "cull": 0, "promote": 1}
    assert passed == [("promote", "")]
    assert [row["proven by"] for row in shown] == ["lived"]


# --- with a real MLflow server -----------------------------------------------------------------------


def test_from_fills_to_a_seat_a_life_in_shadow_admits_and_a_life_without_gain_does_not(
    registry, tmp_path
):
    slots = [Slot(symbol="BTCUSDT", kind="gp", number=next(slot_numbers)) for _ in range(2)]
    versions = []
    for slot in slots:
        file = {**FILE, "slot": slot.name}
        (tmp_path / "strategy.json").write_text(json.dumps(file))
        run = registry.open_run(f"lived {slot}", "forge", {"slot": slot.name})
        registry.log_folder(run, tmp_path)
        version = registry.register(run, slot, file, {"proven": "true", PROVEN_BY: "lived"})
        registry.set_alias(slot.name, "challenger", version.version)
        versions.append(version)
    system = System(tmp_path / "workspace", registry)
    system.begin()
    with system.ledger() as ledger:
        for version, last in zip(versions, ("101", "99.9"), strict=True):
            name = f"{version.slot}@{version.version}"
            file = digest(registry.strategy(version))
            ledger.seat(agent_row(name, role="challenger", strategy=file))
            for trade in range(150):
                for side, price, ts in (("buy", "100", 0), ("sell", last, 1)):
                    at = {"agent": name, "mode": "shadow", "exec_ts": 60_000 * (2 * trade + ts + 1)}
                    ledger.book_shadow_fill(fill(next(numbers), side, 1, Decimal(price), **at))
        ts = 60_000 * 310
        for judged in judge_all(system.context, ledger, ts, {}):
            book(system.context, ledger, judged)
        assert prove_by_living(system.context, ledger).proven == {
            f"{slots[0].name}@{versions[0].version}": "lived"
        }
    good, bad = (registry.version(version.slot, version.version) for version in versions)
    assert (good.proven_by, bad.proven_by) == ("lived", "")
    assert good.lived.trades == 150
    assert system.context.refusal(good) == ""
    refused = system.context.refusal(bad)
    assert "it has no proof" in refused
    assert "its life in shadow has not proven it" in refused
    watcher = RegistryWatcher(
        registry, slots, Requirements(SCHEMA, ("BTCUSDT",), Rules("testnet", "strict")), 1
    )
    (seated,) = watcher.refresh()
    assert (seated.seat.slot, seated.seat.proven_by) == (slots[0].name, "lived")
    text = explain_version(registry, f"{good.slot}/{good.version}").to_text()
    assert "It is proven: lived." in text
    assert "over 150 trades, 1 named of" in text
    assert "proven by living" not in explain_version(registry, f"{bad.slot}/1").to_text()
    # The tag that names a route makes nobody proven.
    assert bad.tags[PROVEN_BY] == "lived"

    # What another key, another version or another file says admits nothing.
    registry.tag(bad.slot, bad.version, {LIVED_TAG: good.tags[LIVED_TAG]})
    assert "belongs to" in registry.version(bad.slot, bad.version).unproven_because
    stranger = type(registry)(registry.tracking_uri, "another workspace's key")
    altered = good.tags[LIVED_TAG].replace('"trades":150', '"trades":151')
    assert "was not sealed" in stranger.version(good.slot, good.version).unproven_because
    registry.tag(bad.slot, bad.version, {LIVED_TAG: altered})
    assert "was not sealed" in registry.version(bad.slot, bad.version).unproven_because
    (tmp_path / "strategy.json").write_text(json.dumps({**FILE, "features": ["y"]}))
    registry.log_folder(good.run_id, tmp_path)
    exchanged = registry.version(good.slot, good.version)
    assert "is not the one that lived" in system.context.refusal(exchanged)


def test_every_version_ever_registered_counts_the_deleted_ones_as_well(registry, tmp_path):
    slot = Slot(symbol="BTCUSDT", kind="gp", number=next(slot_numbers))
    made = []
    for _ in range(3):
        run = registry.open_run(f"born {slot} {next(numbers)}", "forge", {"slot": slot.name})
        made.append(registry.register(run, slot, FILE, {}))
    assert registry.newest_numbers()[slot.name] == 3
    for version in made[:2]:
        registry._client.delete_model_version(slot.name, version.version)
    assert registry.newest_numbers()[slot.name] == 3
    registry._client.delete_model_version(slot.name, made[2].version)
    run = registry.open_run(f"born {slot} {next(numbers)}", "forge", {"slot": slot.name})
    assert registry.register(run, slot, FILE, {}).version == "4"
    assert registry.newest_numbers()[slot.name] == 4
    assert registry.find_version(slot.name, "1") is None


def test_a_server_that_does_not_answer_is_a_fault_of_the_registry(registry, monkeypatch):
    def away(*_, **__):
        message = "away"
        raise MlflowException(message)

    monkeypatch.setattr(registry._client, "search_registered_models", away)
    monkeypatch.setattr(registry._client, "get_model_version", away)
    with pytest.raises(RegistryError, match="does not answer"):
        registry.newest_numbers()
    with pytest.raises(RegistryError, match="does not answer"):
        registry.find_version(SLOT, "1")
