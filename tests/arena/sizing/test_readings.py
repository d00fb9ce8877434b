"""What is recorded of a closed candle is what an entry's size would be made of, and nothing stands in for a figure."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crucible.arena.sizing.multipliers import risk_multipliers
from crucible.arena.sizing.readings import NAMES, missing_sources, reading_of, readings_of
from crucible.features.frame import FeatureFrame, FeatureRow, FeatureSchema
from crucible.features.pipeline import FeaturePipeline
from crucible.ledger.readings import FIGURES, KEPT_MINUTES, Reading
from crucible.settings import FeatureSettings, MultiplierSettings

USED = (*NAMES, "radar_age", "influence_age", "mce_tier")
# No number so large that a multiple of it is infinite.
figure = st.sampled_from([math.nan, math.inf, -math.inf]) | st.floats(-1e300, 1e300)


def row(values, *, books=False, influence="trained", names=USED) -> FeatureRow:
    schema = FeatureSchema(tuple(names), {"settings": {"books": books}, "influence": influence})
    found = np.array([values.get(name, math.nan) for name in names])
    return FeatureRow("BTCUSDT", 60_000, found, schema)


def test_figures_are_kept_to_the_last_digit_and_what_is_no_number_is_none():
    known = {"influence_in": 0.1, "mce_skew": -1 / 3, "radar_distance": 1e-17}
    reading = reading_of(row({**known, "mce_pressure": math.inf, "regime_change_detected": 1.0}))
    assert reading == Reading(
        "BTCUSDT",
        60_000,
        regime_change_detected=True,
        influence_in=0.1,
        mce_pressure=None,
        mce_skew=-1 / 3,
        radar_distance=1e-17,
    )
    assert reading_of(row({"regime_change_detected": 0.0})).regime_change_detected is False
    assert reading_of(row({})) == Reading("BTCUSDT", 60_000, None, None, None, None, None)


@given(st.fixed_dictionaries(dict.fromkeys(USED, figure)), st.sampled_from([0.0, 1.0, 3.0]), st.booleans())  # fmt: skip
def test_what_an_entry_takes_as_unknown_is_recorded_as_unknown(values, tier, books):
    given_row = row({**values, "mce_tier": tier}, books=books)
    reading = reading_of(given_row)
    states = {
        one.name: one.state
        for one in risk_multipliers(given_row, "buy", MultiplierSettings()).items
    }
    assert (reading.radar_distance is None) == (states["radar"] == "unknown")
    assert (reading.influence_in is None) == (states["influence"] == "unknown")
    pressed = reading.mce_pressure is not None and (not books or reading.mce_skew is not None)
    assert pressed == (states["micro_causality"] == "measured")


def test_a_candle_reads_the_same_live_and_in_history_of_which_the_kept_minutes_are_read():
    count = KEPT_MINUTES + 7
    random = np.random.default_rng(3)
    values = np.where(random.random((count, len(USED))) < 0.2, math.nan, random.random((count, len(USED))))  # fmt: skip
    schema = FeatureSchema(USED, {"settings": {"books": False}, "influence": "trained"})
    frame = FeatureFrame("BTCUSDT", (np.arange(count) + 1) * 60_000, values, schema)
    history = list(readings_of(frame))
    assert len(history) == KEPT_MINUTES
    assert history[-1].ts == count * 60_000
    for place in (-1, -2, -50, 0):
        live = frame.row(place if place < 0 else count - KEPT_MINUTES)
        assert history[place] == reading_of(live)


def test_a_block_that_the_features_lack_gives_no_figure_and_is_named_with_the_reason():
    without = ("regime_change_detected", "radar_distance")
    bare = row(dict.fromkeys(USED, 1.0), names=[name for name in USED if name not in without])
    assert reading_of(bare)[2:] == (None, 1.0, 1.0, 1.0, None)
    assert set(missing_sources(bare.schema)) == {*without, "mce_skew"}
    books = replace(bare.schema, parameters={"settings": {"books": True}, "influence": None})
    assert set(missing_sources(books)) == {*without, "influence_in"}
    assert "trained" in missing_sources(books)["influence_in"]


@pytest.mark.parametrize("books", [True, False])
def test_the_features_that_are_recorded_are_the_pipelines(books):
    schema = FeaturePipeline(["BTCUSDT"], FeatureSettings(books=books)).schema
    assert all(name in schema for name in (*NAMES, "mce_tier"))
    assert set(missing_sources(schema)) == {"influence_in"} | (set() if books else {"mce_skew"})
    assert set(FIGURES) == set(Reading._fields[3:])
