"""What a forge run's version says of itself, so that nobody takes a candidate for a champion."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crucible.lifecycle.publishing import MadeBy, final_metrics, proof_of, version_tags
from crucible.registry.version import Version, gap_of
from crucible.settings import Costs
from tests.support.markets import SMALL, forge_run_of, make_market

DEAR = SMALL.model_copy(update={"costs": Costs(fee=0.004, slippage=0.0005)})


@pytest.fixture(scope="module")
def candidate():
    return forge_run_of(settings=DEAR).run()


def test_a_candidate_that_validation_refutes_carries_its_loss_in_a_tag(candidate):
    tags = version_tags(candidate, MadeBy())
    loss = candidate.window("validation").summary["net_return"]
    assert float(tags["validation_loss"]) == pytest.approx(loss, abs=1e-6)
    assert loss < 0
    assert tags["proven"] == "false"
    assert tags["verdict"].startswith("candidate, unproven")
    assert "champion" not in " ".join(tags.values())


def test_its_proof_is_of_the_strategy_that_is_registered_and_names_the_failed_gate(candidate):
    proof = proof_of(candidate, Version("XUSDT-gp-1", "1", "run", {}, None))
    assert "validation_return" in proof.failed


def test_a_champion_has_no_such_tag():
    champion = forge_run_of(market=make_market(rows=20_000, seed=5, drift=0.001)).run()
    assert champion.champion is not None
    assert "validation_loss" not in version_tags(champion, MadeBy())


def test_metrics_tell_the_trials_both_ways_and_which_candles_were_used(candidate):
    metrics = {name: value for name, value, _ in final_metrics(candidate)}
    assert metrics["effective_trials"] == pytest.approx(candidate.effective_trials)
    assert metrics["effective_trials_own"] <= candidate.trials
    assert (metrics["candles_used"], metrics["candles_left_out"]) == (6_000, 0)
    assert version_tags(candidate, MadeBy())["candles"].startswith("all 6,000 candles, ")


def test_a_version_says_how_long_it_waits_between_trades(candidate):
    version = Version("XUSDT-gp-1", "1", "run", version_tags(candidate, MadeBy()), None)
    trades = sum(candidate.window(name).summary["trades"] for name in ("train", "validation"))
    minutes = sum(candidate.window(name).candles for name in ("train", "validation"))
    assert gap_of(version) == pytest.approx(minutes / trades, abs=0.06)


@pytest.mark.parametrize(
    "tags", [{}, *({"minutes_between_trades": x} for x in ("", "x", "nan", "-1", "inf", "0"))]
)
def test_a_tag_that_is_no_gap_is_no_gap(tags):
    assert gap_of(Version("XUSDT-gp-1", "1", "run", tags, None)) is None


def test_a_version_that_only_won_in_validation_has_an_edge_in_its_proof_and_its_tags(candidate):
    won = {"trades": 9, "win_rate": 1.0, "mean_trade": 0.01, "profit_factor": None}
    windows = tuple(
        replace(window, summary={**window.summary, **won})
        if window.name == "validation"
        else window
        for window in candidate.windows
    )
    lucky = replace(candidate, windows=windows, registrable=True)
    edge = proof_of(lucky, Version("XUSDT-gp-1", "1", "run", {}, None)).edge
    stop = lucky.offered.exits.stop
    assert (edge.trades, edge.win_rate, edge.payoff) == pytest.approx((9, 0.9, 0.01 / stop))
    assert version_tags(lucky, MadeBy())["edge_win_rate"] == "0.9"
