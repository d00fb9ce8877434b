"""What a person asks for is begun; what is no longer needed ends as refused, never green with nothing done."""

from types import SimpleNamespace

import pytest
from prefect.client.schemas.objects import StateType
from prefect.logging import disable_run_logger

import flows.forge
import flows.singularity
from crucible.arena.registry_watcher import QUARANTINED
from crucible.market.exchange import ExchangeError
from crucible.registry.version import Version
from crucible.settings import Slot
from flows.context import HouseError
from flows.forge import forge, open_job, score_line

SLOT = "ETHUSDT-gp-7"


class BegunError(Exception):
    """The forging was begun."""


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A slot that has a challenger."""
    registry = SimpleNamespace(finished=lambda key: False, aliases=lambda slot: {"challenger": "2"})
    made = SimpleNamespace(
        registry=registry, forge_folder=lambda key: tmp_path / key, symbols=("ETHUSDT",)
    )
    monkeypatch.setattr(flows.forge, "open_house", lambda: made)

    def begin(*_):
        raise BegunError

    monkeypatch.setattr(flows.forge, "open_job", begin)
    with disable_run_logger():
        yield made


def test_a_forging_that_is_needed_no_more_ends_as_refused_with_the_reason(house):
    state = forge.fn(SLOT, only_without_challenger=True)
    assert (state.type, state.name) == (StateType.CANCELLED, "Refused")
    assert "version 2 became its challenger meanwhile" in state.message


def test_what_a_person_asks_for_is_begun_though_the_slot_has_a_challenger(house):
    with pytest.raises(BegunError):
        forge.fn(SLOT)


def test_what_is_ordered_is_begun_where_the_slot_has_no_challenger(house):
    house.registry.aliases = lambda slot: {"production": "1"}
    with pytest.raises(BegunError):
        forge.fn(SLOT, only_without_challenger=True)


def test_a_symbol_that_is_not_tracked_is_refused_with_those_that_are():
    with pytest.raises(HouseError, match="XRPUSDT is not tracked; there are BTCUSDT, ETHUSDT"):
        open_job(
            SimpleNamespace(symbols=("BTCUSDT", "ETHUSDT")), Slot.parse("XRPUSDT-gp-1"), 1, "", ""
        )


def test_a_generation_is_told_in_one_line():
    row = {"generation": 3, "trials": 640, "population": 120, "judged": 80}
    told = score_line({**row, "best_score": 1.23456, "best_trades": 17}, 8)
    assert told == (
        "generation 3 of 8: best score 1.235 with 17 trades; 80 of 120 judged, 640 tried so far"
    )
    assert "nobody traded enough" in score_line({**row, "best_score": None}, 8)


def test_singularity_gives_turns_lets_the_refused_rest_and_retires_the_quarantined(
    monkeypatch,
):
    slots = (Slot.parse("BTCUSDT-gp-1"), Slot.parse("ETHUSDT-gp-1"))
    hour = 3_600_000
    ended = {"BTCUSDT-gp-1": [(False, 9 * hour)] * 9, "ETHUSDT-gp-1": [(True, hour)]}
    aliases = {"BTCUSDT-gp-1": {}, "ETHUSDT-gp-1": {"production": "1"}}
    tags, shown, asked = {}, [], []
    monkeypatch.setattr(flows.singularity, "unfinished_runs", lambda _: [])
    monkeypatch.setattr(
        flows.singularity, "create_table_artifact", lambda **given: shown.extend(given["table"])
    )

    def closed_until(symbol):
        message = "away"
        raise ExchangeError(message)

    house = SimpleNamespace(
        settings=SimpleNamespace(slots=slots),
        registry=SimpleNamespace(
            aliases=aliases.get,
            ended=ended.get,
            version=lambda slot, number: Version(slot, number, "run", tags),
        ),
        seats_unproven=True,
        symbols=("BTCUSDT",),
        exchange=SimpleNamespace(closed_until=lambda symbol: 10 * hour),
    )
    with disable_run_logger():
        assert [one.slot for one in flows.singularity.plan.fn(house)] == ["ETHUSDT-gp-1"]
        # Without market time a slot that rests goes on resting.
        house.exchange.closed_until = closed_until
        assert [one.slot for one in flows.singularity.plan.fn(house)] == ["ETHUSDT-gp-1"]
        # What the arena has quarantined is retired through the one door to production.
        tags[QUARANTINED] = "it raised"
        retire = flows.singularity.plan.fn(house)[0]
        monkeypatch.setattr(
            flows.singularity, "promotion", lambda *what, **why: asked.append((what, why))
        )
        told = flows.singularity.carry_out(house, retire)
    assert told == "ETHUSDT-gp-1: version 1 retired: quarantined: it raised"
    assert asked == [
        (
            ("ETHUSDT-gp-1", "1", "retire"),
            {"reason": "quarantined: it raised", "decided_by": "singularity"},
        )
    ]
    assert [row["rests"] for row in shown] == [True, False] * 3
    assert shown[0]["forgings without a version"] == 9
