from __future__ import annotations

import importlib
import json
import pkgutil
import random
import sys
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import crucible.forge
from crucible.forge.backtest.engine import ForgeError, backtest
from crucible.forge.candidates import Variant
from crucible.forge.evolution.checkpoint import CheckpointError, ForgeState
from crucible.forge.evolution.generator import drawing, drawing_from
from crucible.forge.result import verdict
from crucible.market.funding import Funding
from crucible.settings import MINUTE_MS
from crucible.strategies.contract import Exits
from crucible.strategies.load import load_strategy
from crucible.vm.program import lookback, parse_program
from tests.support.markets import SMALL, forge_run_of, make_market
from tests.support.processes import printed

KINDS = ["gp", "boosted"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_forging_ends_with_the_same_population(kind, tmp_path):
    whole = forge_run_of(kind)
    state = whole.advance(whole.advance(whole.start()))
    first = forge_run_of(kind)
    first.advance(first.start()).save(tmp_path / "state.json")
    again = forge_run_of(kind)
    resumed = again.advance(ForgeState.load(tmp_path / "state.json"))
    assert resumed == state
    one, other = whole.finish(state), again.finish(resumed)
    assert one.lineage() == other.lineage()
    assert one.candidate.to_json() == other.candidate.to_json()


@pytest.mark.process
def test_another_process_breeds_the_same_population():
    state = forge_run_of().advance(forge_run_of().start())
    code = (
        "import json; from tests.support.markets import forge_run_of;"
        "run = forge_run_of(); state = run.advance(run.start());"
        "print(json.dumps(state.population))"
    )
    assert json.loads(printed(code)) == state.population


def test_another_seed_breeds_another_population():
    assert forge_run_of(seed=1).start().population != forge_run_of(seed=2).start().population


def test_the_callers_generator_is_left_alone():
    random.seed(5)
    expected = random.Random(5).random()
    forge_run = forge_run_of()
    forge_run.advance(forge_run.start())
    assert random.random() == expected


def test_other_threads_that_draw_numbers_change_nothing():
    expected = forge_run_of().advance(forge_run_of().start())
    stop = threading.Event()

    def draw():
        while not stop.is_set():
            random.random()

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        found = forge_run_of().advance(forge_run_of().start())
    finally:
        stop.set()
        thread.join()
    assert found == expected


def test_every_module_that_draws_is_lent_the_forgings_generator():
    for info in pkgutil.walk_packages(crucible.forge.__path__, "crucible.forge."):
        importlib.import_module(info.name)
    names = {module.__name__ for module in drawing()}
    assert names >= {"deap.gp", "crucible.forge.genetic.breeder", "crucible.forge.exits"}
    own = random.Random(1)
    with drawing_from(own):
        assert drawing() == []
        assert all(sys.modules[name].random is own for name in names)
    assert all(sys.modules[name].random is random for name in names)


def test_advancing_leaves_the_given_state_as_it_was(tmp_path):
    forge_run = forge_run_of()
    state = forge_run.start()
    state.save(tmp_path / "before.json")
    forge_run.advance(state)
    assert ForgeState.load(tmp_path / "before.json") == state


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"format": 1}', "truncate", "edit"])
def test_a_corrupt_checkpoint_is_refused_by_name(damage, tmp_path):
    path = tmp_path / "state.json"
    forge_run_of().start().save(path)
    text = path.read_text()
    if damage == "truncate":
        damage = text[: len(text) // 2]
    elif damage == "edit":
        damage = text.replace('"generation":0', '"generation":9')
    path.write_text(damage)
    with pytest.raises(CheckpointError, match=r"state\.json"):
        ForgeState.load(path)


def test_a_state_of_other_data_or_seed_is_refused():
    state = forge_run_of().start()
    for other in (
        forge_run_of(seed=2),
        forge_run_of(market=make_market(seed=9)),
        forge_run_of("boosted"),
    ):
        with pytest.raises(CheckpointError, match="belongs to another forge run"):
            other.advance(state)


def test_every_program_keeps_its_types_and_limits():
    forge_run = forge_run_of(settings=replace_settings(population=150, trades_per_day=0.5))
    state = forge_run.start()
    for _ in range(3):
        state = forge_run.advance(state)
    for document in state.population:
        program = parse_program(document["program"])
        assert lookback(program) <= 6_000 // 50
        assert document["exits"]["timeout"] <= 6_000 // 100
    assert len({json.dumps(document) for document in state.population}) == 150


@pytest.mark.parametrize("kind", KINDS)
def test_a_candidates_score_is_what_its_strategy_earns(kind):
    forge_run = forge_run_of(kind)
    state = forge_run.start()
    breeder = forge_run._breeder
    for window in (forge_run.windows.train, forge_run.windows.validation):
        candidates = [breeder.read(document) for document in state.population[:10]]
        outcomes = breeder.outcomes(candidates, window)
        for index, candidate in enumerate(candidates):
            test = backtest(
                breeder.signals(candidate), forge_run.market, candidate.exits, SMALL.costs, window
            )
            assert outcomes.trades[index] == len(test.trades)
            assert outcomes.net_return[index] == test.equity[-1] - 1
            np.testing.assert_array_equal(outcomes.daily[index], test.daily_returns)


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_edge_is_found_and_holds_in_the_sealed_window(kind, planted):
    result = planted[kind].result
    assert result.champion is not None
    assert "edge" in json.dumps(result.champion.to_json())
    for name in ("validation", "sealed"):
        assert result.window(name).summary["net_return"] > 0, name
    assert result.window("sealed").opened == 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_champion_survives_its_file(kind, planted):
    forge_run, result = planted[kind].forge_run, planted[kind].result
    loaded = load_strategy(json.loads(json.dumps(result.champion.to_json())))
    assert (
        loaded.signals(forge_run.frame).tolist()
        == result.champion.signals(forge_run.frame).tolist()
    )


def test_a_random_walk_is_refused_by_the_strict_policy_and_marked_by_the_other():
    market = make_market(seed=3)
    strict = forge_run_of(market=market, settings=replace_settings(policy="strict")).run()
    assert strict.champion is None
    assert strict.refusal.gate in strict.failed_gates
    explore = forge_run_of(market=market, settings=replace_settings(policy="explore")).run()
    assert explore.champion is not None
    assert not explore.proven
    assert explore.failed_gates == strict.failed_gates


def test_candidates_that_do_not_trade_are_refused():
    result = forge_run_of(settings=replace_settings(trades_per_day=2_000)).run()
    assert result.champion is None
    assert result.refusal.gate == "trades_train"
    assert result.refusal.value < result.refusal.threshold
    assert result.window("sealed").opened == 0


def test_earlier_trials_of_the_slot_count():
    forge_run = forge_run_of(prior_trials=10_000)
    fresh = forge_run_of()
    assert forge_run.run().trials == fresh.run().trials + 10_000


def test_trials_made_meanwhile_count_in_the_gates_and_change_nothing_that_was_found():
    before, meanwhile = forge_run_of(prior_trials=10_000), forge_run_of()
    identity = meanwhile.identity
    state = meanwhile.start()
    meanwhile.count_earlier(10_000)
    meanwhile.count_earlier(500)
    result, expected = meanwhile.finish(state), before.finish(before.start())
    assert meanwhile.identity == identity
    assert result.trials == expected.trials == state.trials + 10_000
    # A gate that says nothing holds NaN, which equals nothing.
    assert repr(result.gates) == repr(expected.gates)
    assert result.candidate.to_json() == expected.candidate.to_json()


def test_data_that_cannot_be_forged_on_is_named():
    candles, frame = make_market(rows=500)
    with pytest.raises(ForgeError, match="500 candles are too few"):
        forge_run_of(market=(candles, frame))
    candles, frame = make_market()
    with pytest.raises(ForgeError, match="do not belong to"):
        forge_run_of(market=(candles, replace(frame, ts=frame.ts + 60_000)))
    constant = replace(frame, values=np.zeros_like(frame.values))
    with pytest.raises(ForgeError, match="no feature varies"):
        forge_run_of(market=(candles, constant))


def test_windows_are_in_order_with_the_purge_between():
    windows = forge_run_of().windows
    assert windows.train.stop + windows.purge == windows.validation.start
    assert windows.validation.stop + windows.purge == windows.sealed.start
    assert windows.sealed.stop == 6_000


def replace_settings(**changes):
    return SMALL.model_validate({**SMALL.model_dump(), **changes})


class FragileAndSteady:
    """Stands in for a breeder: one finalist knows the drift exactly, the other roughly but safely."""

    def __init__(self, forge_run):
        self.forge_run = forge_run
        edge = forge_run.frame.values[:, 0]
        self.fragile = np.where(edge > 2.2, 1, 0).astype(np.int8)
        self.steady = np.where(edge > 2.15, 1, 0).astype(np.int8)
        self.seeds = set()

    def signals(self, finalist):
        return getattr(self, finalist)

    def strategy(self, finalist):
        return SimpleNamespace(exits=Exits(0.05, 0.05, 30))

    def outcomes(self, finalists, rows):
        market, costs = self.forge_run.market, self.forge_run.settings.costs
        tests = [
            backtest(self.signals(name), market, Exits(0.05, 0.05, 30), costs, rows)
            for name in finalists
        ]
        return SimpleNamespace(net_return=np.array([test.equity[-1] - 1 for test in tests]))

    def variants(self, finalist, seed, count):
        self.seeds.add(seed)
        moved = self.steady if finalist == "steady" else np.zeros_like(self.fragile)
        return [Variant(moved, Exits(0.05, 0.05, 30))] * count


def test_validation_chooses_who_still_earns_when_slightly_moved():
    forge_run = forge_run_of(market=make_market(rows=20_000, drift=0.002))
    breeder = FragileAndSteady(forge_run)
    forge_run._choice._breeder = breeder
    t_statistics = [
        forge_run._choice._t_statistic(Variant(breeder.signals(name), Exits(0.05, 0.05, 30)))
        for name in ("fragile", "steady")
    ]
    assert t_statistics[0] > t_statistics[1] > 0
    assert forge_run._choice.best(["fragile", "steady"]) == "steady"
    assert forge_run.seed not in breeder.seeds, "the jitter gate's draws must not choose"


def test_a_losing_finalist_is_not_chosen_because_its_moved_versions_do_not_trade():
    forge_run = forge_run_of(market=make_market(rows=20_000, drift=0.0))
    breeder = FragileAndSteady(forge_run)
    forge_run._choice._breeder = breeder
    assert forge_run._choice._steady_t_statistic("fragile") == -np.inf
    assert -np.inf < forge_run._choice._steady_t_statistic("steady") < 0
    assert forge_run._choice.best(["fragile", "steady"]) == "steady"


def test_a_state_bred_under_other_funding_is_refused():
    candles, frame = make_market()
    rates = Funding("XUSDT", np.array([480 * MINUTE_MS]), np.array([1e-4]))
    state = forge_run_of(market=(candles, frame)).start()
    charged = forge_run_of(market=(candles, frame), funding=rates)
    assert charged.market.funding[480] == 1e-4
    with pytest.raises(CheckpointError, match="belongs to another forge run"):
        charged.advance(state)


DEAR = {"fee": 0.004, "slippage": 0.0005}


def test_whoever_loses_in_validation_is_a_candidate_and_no_champion():
    result = forge_run_of(settings=replace_settings(costs=DEAR)).run()
    loss = result.window("validation").summary["net_return"]
    assert loss < 0
    assert result.champion is None
    assert result.refusal.gate == "validation_return"
    assert result.offered is result.candidate is not None
    assert verdict(result).startswith(f"candidate, unproven: {loss:+.2%} in validation")
    assert not result.proven


def test_strict_ends_with_nothing_found_before_the_other_gates_are_measured():
    result = forge_run_of(settings=replace_settings(costs=DEAR, policy="strict")).run()
    assert verdict(result) == "nothing found: refused by validation_return"
    assert result.offered is None
    assert [gate.name for gate in result.gates] == [
        *("trades_train", "trades_validation", "costs_per_day", "validation_return")
    ]


def test_only_finalists_that_earn_in_validation_are_chosen_while_there_is_one():
    forge_run = forge_run_of(market=make_market(rows=20_000, seed=5, drift=0.001))
    state = forge_run.advance(forge_run.start())
    population = forge_run._selection.population(state)
    finalists = forge_run._selection.finalists(population, state)
    earned = forge_run._breeder.outcomes(finalists, forge_run.windows.validation).net_return
    assert (earned > 0).any()
    chosen = forge_run._choice.best(finalists)
    assert earned[[each is chosen for each in finalists].index(True)] > 0


def test_trials_are_worth_fewer_independent_ones_and_both_are_told():
    result = forge_run_of(market=make_market(rows=24_000), prior_trials=100).run()
    own = result.trials - 100
    assert 1 < result.effective_own < own / 2
    assert result.effective_trials == pytest.approx(100 + result.effective_own)
    lineage = result.lineage()
    assert (lineage["trials"], lineage["effective_trials"]) == (
        result.trials,
        pytest.approx(result.effective_trials, abs=1e-3),
    )
    gate = next(gate for gate in result.gates if gate.name == "deflated_sharpe")
    assert f"{result.trials:,} counted one by one" in gate.meaning


def test_islands_and_resumption_count_the_same_effective_trials(tmp_path):
    market = make_market(rows=24_000)
    whole = forge_run_of(market=market)
    state = whole.advance(whole.start())
    state.save(tmp_path / "state.json")
    again = forge_run_of(market=market)
    assert again.effective(ForgeState.load(tmp_path / "state.json")) == whole.effective(state)
    both = whole.merge(state, [whole.advance(whole.start(1))])
    assert whole.effective(both) >= whole.effective(state)
