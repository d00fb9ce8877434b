"""Radar, micro-causality and influence may only take size off an entry, and say how much and why."""

import json
import math
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crucible.arena.agent import Agent
from crucible.arena.execution import Context, Seat
from crucible.arena.sizing.entry import entry_fraction, size_entry
from crucible.arena.sizing.multipliers import INFLUENCE, MICRO_CAUSALITY, RADAR, risk_multipliers
from crucible.features.frame import FeatureRow, FeatureSchema
from crucible.ledger.edge import Edge
from crucible.ledger.ledger import Ledger
from crucible.ledger.reader import LedgerReader
from crucible.market.candles import Candle
from crucible.settings import ArenaSettings, Costs, MultiplierSettings, load_settings
from crucible.strategies.contract import Exits
from crucible.vm.signals import Signal
from tests.support.factories import instrument

NAMES = ("regime_change_detected", "volatility_ratio", *RADAR, *INFLUENCE, *MICRO_CAUSALITY)
SETTINGS = MultiplierSettings()
CALM = {
    "regime_change_detected": 0.0,
    "volatility_ratio": 1.0,
    "radar_distance": 1.0,
    "radar_age": 2.0,
    "influence_in": 0.0,
    "influence_age": 10.0,
    "mce_skew": 0.0,
    "mce_pressure": 0.0,
    "mce_tier": 3.0,
}
AGAINST = ("radar_distance", "influence_in", "mce_skew", "mce_pressure")
any_number = st.floats(allow_nan=True, allow_infinity=True)


def row(*, books=True, influence="trained", without=(), **values) -> FeatureRow:
    names = tuple(name for name in NAMES if name not in without)
    schema = FeatureSchema(names, {"settings": {"books": books}, "influence": influence})
    found = np.array([{**CALM, **values}[name] for name in names])
    return FeatureRow("BTCUSDT", 60_000, found, schema)


def values(found) -> dict[str, float | None]:
    return {item.name: item.value for item in found.items}


@given(st.fixed_dictionaries(dict.fromkeys(CALM, any_number)), st.booleans())
def test_no_multiplier_ever_adds_exposure_or_falls_below_its_floor(features, books):
    for side in ("buy", "sell"):
        found = risk_multipliers(row(books=books, **features), side, SETTINGS)
        assert all(SETTINGS.floor <= item.value <= 1.0 for item in found.items)
        assert SETTINGS.floor**3 <= found.product <= 1.0


@given(
    st.sampled_from(AGAINST),
    st.floats(-10, 10),
    st.floats(-10, 10),
    st.sampled_from(["buy", "sell"]),
)
def test_what_speaks_more_against_an_entry_never_leaves_it_larger(feature, one, two, side):
    small, large = sorted((one, two))
    # A buy is spoken against by what is negative, a sell by what is positive; distance has no side.
    worse = large if feature == "radar_distance" or side == "sell" else small
    better = small if worse == large else large
    product = {
        value: risk_multipliers(row(**{feature: value}), side, SETTINGS).product
        for value in (worse, better)
    }
    assert product[worse] <= product[better]


@pytest.mark.parametrize(
    ("feature", "value", "name"),
    [
        ("radar_distance", 4.0, "radar"),
        ("influence_in", -0.25, "influence"),
        ("mce_pressure", -1.0, "micro_causality"),
        ("mce_skew", -1.0, "micro_causality"),
    ],
)
def test_each_block_takes_size_off_by_itself(feature, value, name):
    calm = values(risk_multipliers(row(), "buy", SETTINGS))
    assert calm == {"radar": 1.0, "micro_causality": 1.0, "influence": 1.0}
    assert values(risk_multipliers(row(**{feature: value}), "buy", SETTINGS)) == {
        **calm,
        name: SETTINGS.floor,
    }


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"radar_distance": math.nan}, "radar"),
        ({"influence_in": math.nan}, "influence"),
        ({"mce_pressure": math.nan}, "micro_causality"),
        ({"mce_skew": math.nan}, "micro_causality"),
        ({"mce_tier": 1.0}, "micro_causality"),  # books are served, this minute had none
    ],
)
def test_a_source_without_a_figure_gets_the_floor(changes, name):
    found = risk_multipliers(row(**changes), "buy", SETTINGS)
    [item] = [item for item in found.items if item.name == name]
    assert (item.state, item.value) == ("unknown", SETTINGS.floor)


def test_without_books_classified_volume_speaks_alone():
    features = {"mce_skew": math.nan, "mce_tier": 1.0, "mce_pressure": -0.5}
    found = risk_multipliers(row(books=False, **features), "buy", SETTINGS)
    assert values(found)["micro_causality"] == 0.75


def test_a_block_without_a_source_is_left_out_and_named():
    found = risk_multipliers(row(influence=None, without=RADAR), "buy", SETTINGS)
    assert {item.name: item.state for item in found.items} == {
        "radar": "absent",
        "micro_causality": "measured",
        "influence": "absent",
    }
    assert found.product == 1.0
    assert "radar absent" in str(found)


@pytest.mark.parametrize("name", ["radar", "micro_causality", "influence"])
def test_each_can_be_switched_off(name, monkeypatch):
    monkeypatch.setenv(f"CRUCIBLE_ARENA__MULTIPLIERS__{name.upper()}", "false")
    settings = load_settings().arena.multipliers
    worst = row(radar_distance=9.0, mce_pressure=-1.0, influence_in=-1.0)
    found = risk_multipliers(worst, "buy", settings)
    assert {item.name for item in found.items if item.state == "off"} == {name}
    assert found.product == SETTINGS.floor**2


EDGE = Edge(100, 0.6, 1.0)  # a quarter of Kelly is 5%
INSTRUMENT = instrument()


@given(st.fixed_dictionaries(dict.fromkeys(CALM, any_number)), st.booleans())
def test_a_size_is_kelly_times_the_multipliers_and_never_more(features, proven):
    found = risk_multipliers(row(**features), "buy", SETTINGS)
    arena = ArenaSettings()
    fraction, before, _ = entry_fraction(EDGE, arena, found, proven=proven)
    assert before == 0.05
    assert fraction == round(before * found.product, 9) <= before
    equity, price = Decimal(10_000), Decimal(50_000)
    size = size_entry(EDGE, equity, price, INSTRUMENT, arena, found, proven=proven)
    assert size.qty * price <= equity * Decimal(repr(fraction))


class Buys:
    exits, symbol, kind, schema_hash = Exits(0.01, 0.02, 60), "BTCUSDT", "gp", ""

    def decide(self, row):
        return Signal.BUY


@pytest.mark.parametrize("role", ["production", "challenger"])
def test_live_and_simulated_entries_are_sized_alike_and_their_record_says_how(role, tmp_path):
    agent = Agent(Seat("BTCUSDT-gp-1", "3", role, True, EDGE), Buys())
    context = Context(INSTRUMENT, Costs(), ArenaSettings(), Decimal(0), Decimal(10_000))
    candle = Candle(0, 50_000.0, 50_100.0, 49_900.0, 50_000.0, 1.0)
    decision = agent.decide_and_execute(row(radar_distance=4.0), candle, context)
    if role == "challenger":
        later = replace(candle, ts=60_000)
        filled = agent.decide_and_execute(row(radar_distance=4.0), later, context)
        qty = filled.shadow_fills[0].qty
    else:
        qty = decision.intent.qty
    assert qty == Decimal("0.005")  # half of 5% of 10,000, at 50,000
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.book_decision(
            decision.ts, agent.name, decision.action, decision.reason, decision.price, qty, None,
            decision.size.to_json(),
        )  # fmt: skip
        [kept] = ledger.decisions(agent.name)
    assert kept["sizing"]["fraction_before"] == 0.05
    assert kept["sizing"]["fraction"] == 0.025
    assert kept["sizing"]["multipliers"]["radar"] == {
        "state": "measured",
        "value": 0.5,
        "inputs": {"radar_distance": 4.0, "radar_age": 2.0},
    }
    assert "radar 0.50" in kept["reason"]
    json.dumps(agent.multipliers.to_json(), allow_nan=False)


def test_a_ledger_of_an_ended_run_stays_readable(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        ledger.book_decision(60_000, "a", "buy", "entry", Decimal(1), Decimal(1), "i")
        ledger._db.execute("ALTER TABLE decisions DROP COLUMN sizing")
        for column in ("strategy", "proven_by"):
            ledger._db.execute(f"ALTER TABLE agents DROP COLUMN {column}")
        for table in ("pair_marks", "attendance", "parity", "readings", "systemic_faults"):
            ledger._db.execute(f"DROP TABLE {table}")
        ledger._db.execute("PRAGMA user_version = 1")
    with LedgerReader(path) as old:
        assert old.pair_marks("a", "b", 10**15) == []
        assert old.attendance(0, 10**15) == {}
        assert old.parity("a", 0, 10**15) == []
        assert [row["sizing"] for row in old.decisions("a")] == [None]
    with Ledger(path) as migrated:
        assert migrated.decisions("a")[0]["intent_id"] == "i"
