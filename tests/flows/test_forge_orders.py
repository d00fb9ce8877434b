"""What a person asks for is begun; what is no longer needed ends as refused, never green with nothing done."""

from types import SimpleNamespace

import pytest
from prefect.client.schemas.objects import StateType
from prefect.logging import disable_run_logger

import flows.forge
from crucible.lifecycle.context import ContextError
from crucible.lifecycle.forge_runs import require_tracked, score_line
from crucible.registry.version import Version
from crucible.settings import Slot
from flows.forge import forge
from tests.support.contexts import context_of

SLOT = "ETHUSDT-gp-7"


class BegunError(Exception):
    """The forge run was begun."""


@pytest.fixture
def context(tmp_path, monkeypatch):
    """A slot that has a challenger."""
    registry = SimpleNamespace(
        finished=lambda key: False,
        aliases=lambda slot: {"challenger": "2"},
        version=lambda slot, number: Version(slot, number, "run", {}),
    )
    made = context_of(tmp_path, registry=registry)
    monkeypatch.setattr(flows.forge, "load_context", lambda _log: made)

    def begin(*_):
        raise BegunError

    monkeypatch.setattr(flows.forge, "begin", begin)
    with disable_run_logger():
        yield made


def test_a_forging_that_is_needed_no_more_ends_as_refused_with_the_reason(context):
    state = forge.fn(SLOT, only_without_challenger=True)
    assert (state.type, state.name) == (StateType.CANCELLED, "Refused")
    assert "version 2 became its challenger meanwhile" in state.message


def test_what_a_person_asks_for_is_begun_though_the_slot_has_a_challenger(context):
    with pytest.raises(BegunError):
        forge.fn(SLOT)


def test_what_is_ordered_is_begun_where_the_slot_has_no_challenger(context):
    context.registry.aliases = lambda slot: {"production": "1"}
    with pytest.raises(BegunError):
        forge.fn(SLOT, only_without_challenger=True)


def test_a_symbol_that_is_not_tracked_is_refused_with_those_that_are(tmp_path):
    context = context_of(tmp_path, _configuration={"symbols": ["BTCUSDT", "ETHUSDT"]})
    with pytest.raises(ContextError, match="XRPUSDT is not tracked; there are BTCUSDT, ETHUSDT"):
        require_tracked(context, Slot.parse("XRPUSDT-gp-1"))


def test_a_generation_is_told_in_one_line():
    row = {"generation": 3, "trials": 640, "population": 120, "judged": 80}
    reported = score_line({**row, "best_score": 1.23456, "best_trades": 17}, 8)
    assert reported == (
        "generation 3 of 8: best score 1.235 with 17 trades; 80 of 120 judged, 640 tried so far"
    )
    assert "nobody traded enough" in score_line({**row, "best_score": None}, 8)
