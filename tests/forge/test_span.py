"""Which candles a forge run uses, and what it says of it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from crucible.forge.command import forge_to_folder
from crucible.forge.span import Span, candles_within
from crucible.market.candles import write_candles
from crucible.market.simulator import simulate
from crucible.settings import ForgeSettings, Settings
from tests.support.markets import SMALL, forge_run_of, make_market


def test_all_candles_are_used_by_default():
    candles, _ = make_market(rows=50_000)
    span = Span.of(candles, 80, ForgeSettings(), "gp")
    assert (span.used, span.left_out, span.bound) == (50_000, 0, "")
    assert span.describe().startswith("all 50,000 candles, ")


@pytest.mark.parametrize("kind", ["gp", "boosted"])
def test_two_years_of_minutes_fit_the_default_memory(kind):
    assert candles_within(ForgeSettings().memory_gb, 80, kind) > 2 * 365 * 1_440


def test_memory_leaves_out_the_oldest_and_says_so():
    candles, _ = make_market(rows=50_000)
    tight = ForgeSettings(memory_gb=1)
    within = candles_within(1, 1_000, "gp")
    span = Span.of(candles, 1_000, tight, "gp")
    assert span.used == within < 50_000
    assert span.first_ts == candles.ts[-within]
    assert (
        f"{50_000 - within:,} older ones are left out: forge.memory_gb = 1 holds" in span.describe()
    )


def test_a_forging_of_the_newest_candles_equals_one_of_a_file_that_holds_only_these(tmp_path):
    whole = simulate(("BTCUSDT", "ETHUSDT"), minutes=7_000, seed=3)
    for name, kept in (("whole", whole), ("newest", {s: c[-4_000:] for s, c in whole.items()})):
        for symbol, candles in kept.items():
            (tmp_path / name).mkdir(exist_ok=True)
            write_candles(candles, tmp_path / name / f"{symbol}-1m.parquet")
    documents = []
    for name, most in (("whole", 4_000), ("newest", 5_000_000)):
        settings = Settings(home=tmp_path / "home")
        settings = settings.model_copy(
            update={"forge": SMALL.model_copy(update={"max_candles": most})}
        )
        result = forge_to_folder(
            "BTCUSDT-gp-1", tmp_path / name, 5, tmp_path / f"{name}-out", settings
        )
        assert result.span.used == 4_000
        assert result.span.left_out == (3_000 if name == "whole" else 0)
        (file,) = [tmp_path / f"{name}-out" / f"{kind}.json" for kind in ("champion", "refusal")
                   if (tmp_path / f"{name}-out" / f"{kind}.json").exists()]  # fmt: skip
        document = json.loads(file.read_text())
        described = document["lineage"].pop("span")
        assert described["used"] == 4_000
        documents.append(document)
    assert documents[0] == documents[1]


@pytest.mark.parametrize("kind", ["gp", "boosted"])
def test_what_lies_before_the_newest_candles_changes_nothing(kind):
    candles, frame = make_market(rows=6_000)
    settings = SMALL.model_copy(update={"max_candles": 4_000})
    spoilt = replace(frame, values=frame.values.copy())
    spoilt.values[:2_000] = np.random.default_rng(9).normal(size=spoilt.values[:2_000].shape)
    one = forge_run_of(kind, (candles, frame), settings).run()
    other = forge_run_of(kind, (candles, spoilt), settings).run()
    assert one.lineage() == other.lineage()
    assert one.generations == other.generations
