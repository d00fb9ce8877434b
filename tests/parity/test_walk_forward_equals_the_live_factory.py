"""A walk-forward makes the forge runs that the live factory makes of the same candles."""

import numpy as np
import pytest

from crucible.files import write_json
from crucible.forge.span import Span
from crucible.lifecycle.forge_runs import Job, prepare
from crucible.lifecycle.replacement import forge_seed
from crucible.market.candles import write_candles
from crucible.market.funding import Funding, write_funding
from crucible.market.lake import Lake
from crucible.market.simulator import simulate
from crucible.settings import ForgeSettings, Settings, Slot
from crucible.walk_forward.births import forge_run_of
from crucible.walk_forward.command import Asked, read_inputs
from tests.support.contexts import context_of

SYMBOLS = ("BTCUSDT", "ETHUSDT")


@pytest.mark.parametrize("slot", ["BTCUSDT-gp-1", "ETHUSDT-boosted-1"])
def test_the_first_forge_run_of_a_slot_is_the_live_one(registry, tmp_path, slot):
    candles = simulate(SYMBOLS, minutes=5_000, seed=9)
    instant = int(candles["BTCUSDT"].close_ts[3_999])
    settings = Settings(home=tmp_path / "home", forge=ForgeSettings(population=12, generations=1))
    seed = forge_seed(slot, 1)
    rates = Funding(
        "BTCUSDT", candles["BTCUSDT"].ts[::480], np.full(len(candles["BTCUSDT"].ts[::480]), 0.0001)
    )

    (tmp_path / "home").mkdir()
    live = context_of(tmp_path / "home", settings, registry=registry)
    write_json(live.workspace.configuration_file, {"symbols": list(SYMBOLS), "origin_ms": 0})
    lake = Lake(live.lake_folder)
    lake.candles_folder.mkdir(parents=True)
    folder = tmp_path / "candles"
    folder.mkdir()
    for symbol, own in candles.items():
        write_candles(own, folder / f"{symbol}-1m.parquet")
        # The lake ends at the instant; the folder goes on, as a walk-forward's does.
        write_candles(own.between(0, instant), lake.path(symbol))
    write_funding(rates, folder)
    write_funding(rates.between(0, instant), lake.funding_folder)
    run = registry.open_run(f"parity {slot}", f"forge {slot}", {"slot": slot})
    known = lake.read_all([Slot.parse(slot).symbol])[Slot.parse(slot).symbol]
    features = len(live.pipeline().schema.names)
    span = Span.of(known, features, settings.forge, Slot.parse(slot).kind)
    job = Job(slot, seed, instant, run, 0, span=span.to_json())
    recipe = prepare(live, job, tmp_path / "job")

    asked = Asked(folder, tmp_path / "out", (slot,), "12h", "2025-01-03")
    walked = forge_run_of(read_inputs(asked, settings).material(slot), 1, instant, None)
    assert walked.identity == recipe.forge_run().identity
