"""Verdicts follow from the scorecard alone."""

import math
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from crucible.ledger.trades import Trade
from crucible.settings import WatchtowerSettings
from crucible.strategies.contract import Exits
from crucible.watchtower.scorecard import drawdown, score
from crucible.watchtower.sequential import EvidenceError
from crucible.watchtower.verdicts import MINIMUM_DECISIONS, gain_bound, judge, loss_bound

SETTINGS = WatchtowerSettings()
HOUR = 3_600_000
EXITS = Exits(0.01, 0.02, 60)


def trades(returns: list[float]) -> list[Trade]:
    return [
        Trade(
            agent="a",
            version="1",
            symbol="BTCUSDT",
            entry_ts=number,
            exit_ts=number + 1,
            qty=Decimal(1),
            entry_price=Decimal(100),
            exit_price=Decimal(100),
            notional=Decimal(100),
            fees=Decimal(0),
            pnl=Decimal(repr(value)) * 100,
            reason="exit",
            mode="live",
        )
        for number, value in enumerate(returns)
    ]


def card(
    returns: list[float],
    equity: list[int] | None = None,
    idle_ms: int = 0,
    exits: Exits = EXITS,
):
    marks = [(n, Decimal(value)) for n, value in enumerate(equity or [100])]
    return score(
        "a",
        idle_ms + 1_000,
        trades(returns),
        marks,
        since_ts=0,
        last_fill_ts=1_000,
        largest_loss=loss_bound(exits, 0.00055, 0.0001),
        largest_gain=gain_bound(exits),
    )


def test_an_agent_that_keeps_losing_is_culled_with_its_figures_in_the_reason():
    verdict = judge(card([-0.004] * 40), "production", SETTINGS)
    assert verdict.judgement == "cull"
    assert "0.4000%" in verdict.reason
    assert "40 trades" in verdict.reason


def test_an_agent_that_loses_often_and_little_and_wins_seldom_and_much_is_not_culled():
    # Nine stops of 0.43% with costs, then one target of 4.87%: it earns 0.1% a trade.
    earning = [*[-0.0043] * 9, 0.0487] * 40
    follower = Exits(0.003, 0.05, 600)
    verdict = judge(card(earning, exits=follower), "production", SETTINGS)
    assert sum(earning) > 0
    assert verdict.judgement == "keep", verdict.reason


def test_a_few_losses_are_not_enough():
    assert judge(card([-0.004] * 7), "production", SETTINGS).judgement == "keep"


def test_a_challenger_whose_trades_speak_against_it_gives_up_its_seat_and_production_keeps_its():
    weak = card([0.004, -0.006] * 6)
    verdict = judge(weak, "challenger", SETTINGS)
    assert weak.gain_evidence < SETTINGS.futility
    assert verdict.judgement == "cull"
    assert f"evidence for it {weak.gain_evidence:.2f}, below 0.8" in verdict.reason
    assert judge(weak, "production", SETTINGS).judgement == "keep"
    never = SETTINGS.model_copy(update={"futility": 0.0})
    assert judge(weak, "challenger", never).judgement == "keep"
    assert judge(card([-0.006] * 7), "challenger", SETTINGS).judgement == "keep"  # too few trades


def against(evidence, card):
    return replace(card, incumbent="BTCUSDT-gp-1@7", pair_evidence=evidence)


def test_a_challenger_is_promoted_on_what_it_gains_and_on_what_it_earns_more_half_each():
    earning = card([0.004] * 10)
    assert earning.gain_evidence < 5
    assert judge(against(1.0, earning), "challenger", SETTINGS).judgement == "keep"
    verdict = judge(against(10.1 - earning.gain_evidence, earning), "challenger", SETTINGS)
    assert verdict.judgement == "promote"
    assert f"{earning.gain_evidence:.2f} that it gains" in verdict.reason
    assert "that it earns more than BTCUSDT-gp-1@7" in verdict.reason
    assert judge(against(1e6, earning), "production", SETTINGS).judgement == "keep"


def test_who_is_promoted_because_the_incumbent_loses_more_is_not_said_to_gain():
    losing = card([-0.0004] * 10)
    verdict = judge(against(20.0, losing), "challenger", SETTINGS)
    assert verdict.judgement == "promote"
    assert verdict.reason.startswith("loses 0.0400% a trade over 10 trades")


def test_nobody_takes_the_seat_of_an_incumbent_that_evidently_earns_more_and_keeps_its_own():
    earning = card([0.004] * 60)
    assert earning.gain_evidence > 100
    assert judge(against(0.21, earning), "challenger", SETTINGS).judgement == "promote"
    assert judge(against(0.19, earning), "challenger", SETTINGS).judgement == "keep"


def test_a_challenger_that_neither_gains_nor_earns_more_gives_up_its_seat():
    weak = card([0.004, -0.006] * 6)
    assert (
        judge(against(1.6 - weak.gain_evidence, weak), "challenger", SETTINGS).judgement == "keep"
    )
    verdict = judge(against(1.5 - weak.gain_evidence, weak), "challenger", SETTINGS)
    assert verdict.judgement == "cull"
    assert "speak against promotion" in verdict.reason


def test_evidence_of_a_pair_that_is_no_number_is_named():
    with pytest.raises(EvidenceError, match="pair_evidence is nan"):
        judge(against(float("nan"), card([0.004] * 10)), "challenger", SETTINGS)


def test_an_agent_that_fell_too_far_is_culled_even_without_closed_trades():
    verdict = judge(card([], equity=[100, 110, 100]), "production", SETTINGS)
    assert verdict.judgement == "cull"
    assert "drawdown" in verdict.reason


def test_whoever_trades_at_random_times_is_hardly_ever_called_idle_in_a_life():
    gap, lives, trades = 2 * 24 * 60, 400, 200
    longest = np.random.default_rng(1).exponential(gap, (lives, trades)).max(axis=1)
    culled = sum(
        judge(card([], idle_ms=int(wait) * 60_000), "production", SETTINGS, gap).judgement == "cull"
        for wait in longest
    )
    assert culled <= 0.01 * lives


def test_an_idle_agent_is_culled():
    idle = card([], idle_ms=25 * HOUR)
    assert judge(idle, "challenger", SETTINGS).judgement == "cull"
    assert judge(card([], idle_ms=HOUR), "challenger", SETTINGS).judgement == "keep"


def test_an_agent_that_seldom_trades_is_given_the_time_that_its_backtest_took():
    three_days = 3 * 1_440
    idle = card([], idle_ms=10 * 24 * HOUR)
    assert judge(idle, "challenger", SETTINGS, three_days).judgement == "keep"
    assert judge(idle, "challenger", SETTINGS, 60).judgement == "cull"
    late = card([], idle_ms=37 * 24 * HOUR)
    assert judge(late, "challenger", SETTINGS, three_days).judgement == "cull"


def test_an_agent_that_holds_a_position_is_not_idle_however_long():
    held = score(
        "a",
        20 * 24 * HOUR,
        [],
        [],
        since_ts=0,
        last_fill_ts=0,
        largest_loss=0.1,
        largest_gain=0.1,
        holds=True,
    )
    assert judge(held, "production", SETTINGS).judgement == "keep"


def test_only_a_challenger_that_earned_it_is_promoted():
    winner = card([0.004] * 30)
    assert judge(winner, "challenger", SETTINGS).judgement == "promote"
    assert judge(winner, "production", SETTINGS).judgement == "keep"


def test_a_production_agent_below_the_minimum_parity_is_culled_at_once_and_a_challenger_is_not():
    broken = replace(
        card([0.004] * 30),
        parity=0.9499,
        parity_decisions=MINIMUM_DECISIONS,
        parity_departure="2026-01-01 00:05: bought, the backtest would have stayed out",
    )
    verdict = judge(broken, "production", SETTINGS)
    assert verdict.judgement == "cull"
    assert verdict.reason == (
        "broken parity: 94.99% of what it did is what its backtest does, below 95.00% "
        "(over 20 decisions); 2026-01-01 00:05: bought, the backtest would have stayed out"
    )
    assert judge(broken, "challenger", SETTINGS).judgement == "promote"
    kept = [
        replace(broken, parity=0.95),
        replace(broken, parity=None),
        replace(broken, parity_decisions=MINIMUM_DECISIONS - 1),
    ]
    assert {judge(one, "production", SETTINGS).judgement for one in kept} == {"keep"}
    lenient = SETTINGS.model_copy(update={"minimum_parity": 0.5})
    assert judge(broken, "production", lenient).judgement == "keep"
    with pytest.raises(EvidenceError, match="a: parity is nan"):
        judge(replace(broken, parity=math.nan), "production", SETTINGS)


@pytest.mark.parametrize(("path", "expected"), [([], 0.0), ([5.0], 0.0), ([4.0, 2.0, 5.0], 0.5)])
def test_drawdown_is_the_largest_fall_from_a_peak(path, expected):
    assert drawdown(path) == expected


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("figure", ["drawdown", "gain_evidence", "loss_evidence", "mean_return"])
def test_a_figure_that_is_no_number_is_refused_by_name_never_kept_or_promoted(figure, value):
    sound = card([0.001] * 40)
    for role in ("production", "challenger"):
        with pytest.raises(EvidenceError, match=f"a: {figure} is {value}"):
            judge(replace(sound, **{figure: value}), role, SETTINGS)
    with pytest.raises(EvidenceError, match="minutes_between_trades is nan"):
        judge(sound, "production", SETTINGS, math.nan)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_a_return_or_a_mark_that_is_no_number_is_refused_with_agent_and_value(value):
    bad = [replace(trade, pnl=Decimal(value)) for trade in trades([0.01] * 3)]
    given = {"since_ts": 0, "last_fill_ts": None, "largest_loss": 0.02, "largest_gain": 0.02}
    with pytest.raises(EvidenceError, match=r"b@1: return of trade 1 is (nan|-?inf)"):
        score("b@1", 1_000, bad, [], **given)
    with pytest.raises(EvidenceError, match=r"b@1: mark of equity 2 is (nan|-?inf)"):
        score("b@1", 1_000, [], [(0, Decimal(100)), (1, Decimal(value))], **given)


def test_an_account_that_has_lost_everything_has_fallen_by_all_of_it():
    assert drawdown([0.0, 0.0]) == 1.0
    assert drawdown([-5.0]) == 1.0
    assert drawdown([100.0, -20.0]) == pytest.approx(1.2)
    assert judge(card([], equity=[0, 0]), "production", SETTINGS).judgement == "cull"
