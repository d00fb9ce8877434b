from __future__ import annotations

import json
import random
from dataclasses import dataclass, field

import numpy as np
import pytest
from deap import base
from hypothesis import given, settings
from hypothesis import strategies as st

from crucible.forge.backtest.engine import ForgeError
from crucible.forge.candidates import Score
from crucible.forge.evolution.checkpoint import CheckpointError, ForgeState
from crucible.forge.evolution.distributed import Recipe, on_worker
from crucible.forge.evolution.generator import drawing_from
from crucible.forge.evolution.islands import Islands, IslandsState
from crucible.forge.evolution.selection import SIZE_STEP, Selection
from crucible.forge.validation.novelty import FEWEST_COMMON_DAYS, Incumbents, Novelty, earned
from crucible.settings import ForgeSettings, Slot
from crucible.strategies.contract import Exits
from crucible.strategies.gp import GpStrategy
from tests.support.markets import SMALL, forge_run_of, make_market
from tests.support.processes import printed

KINDS = ["gp", "boosted"]
DAYS = np.arange(30, dtype=np.int64)
LEXICASE = SMALL.model_copy(update={"selection": "lexicase"})
LONG = ForgeSettings(population=60, generations=8, trades_per_day=2)


@pytest.fixture(scope="module")
def market():
    """A strong edge at high and low `edge`, over enough days for a correlation."""
    return make_market(rows=30_000, seed=5, drift=0.001)


@pytest.fixture(scope="module")
def incumbents(market):
    """One agent that lives on the planted edge."""
    candles, frame = market
    buy = ("gt", "edge", 2.2)
    program = ("trade", buy, ("lt", "edge", -2.2))
    agent = GpStrategy("XUSDT-gp-2", "XUSDT", frame.schema.hash, program, Exits(0.03, 0.04, 30))
    return earned({"XUSDT-gp-2/1": agent}, candles, frame, LONG)


# --- lexicase --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_forging_by_lexicase_ends_with_the_same_bytes(kind, tmp_path):
    whole = forge_run_of(kind, settings=LEXICASE)
    state = whole.advance(whole.advance(whole.start()))
    first = forge_run_of(kind, settings=LEXICASE)
    first.advance(first.start()).save(tmp_path / "half.json")
    again = forge_run_of(kind, settings=LEXICASE)
    resumed = again.advance(ForgeState.load(tmp_path / "half.json"))
    state.save(tmp_path / "whole.json")
    resumed.save(tmp_path / "resumed.json")
    assert (tmp_path / "whole.json").read_bytes() == (tmp_path / "resumed.json").read_bytes()
    assert whole.finish(state).lineage() == again.finish(resumed).lineage()


@pytest.mark.process
@pytest.mark.parametrize("selection", ["nsga2", "lexicase"])
def test_another_process_selects_the_same_bytes(selection):
    settings = SMALL.model_copy(update={"selection": selection})
    forge_run = forge_run_of(settings=settings)
    state = forge_run.advance(forge_run.start())
    code = (
        "import json; from tests.support.markets import SMALL, forge_run_of;"
        f"settings = SMALL.model_copy(update={{'selection': {selection!r}}});"
        "run = forge_run_of(settings=settings); state = run.advance(run.start());"
        "print(json.dumps([state.population, state.seen, state.python_random]))"
    )
    expected = json.dumps([state.population, state.seen, state.python_random])
    assert printed(code).strip() == expected


def test_lexicase_draws_from_the_forgings_generator_alone():
    forge_run = forge_run_of(settings=LEXICASE)
    random.seed(5)
    expected = random.Random(5).random()
    one = forge_run.advance(forge_run.start())
    assert random.random() == expected
    random.seed(6)
    other = forge_run_of(settings=LEXICASE)
    assert other.advance(other.start()) == one
    plain = forge_run_of()
    assert plain.start().population != forge_run.start().population


def test_islands_by_lexicase_that_were_interrupted_end_the_same(tmp_path):
    changes = {"islands": 3, "migrate_every": 1, "migrants": 2, "generations": 3}
    settings = LEXICASE.model_copy(update=changes)
    expected = Islands(forge_run_of(settings=settings)).run()
    first = Islands(forge_run_of(settings=settings))
    first.advance(first.start()).save(tmp_path / "state.json")
    again = Islands(forge_run_of(settings=settings))
    state = IslandsState.resume(tmp_path / "state.json", again.forge_run.identity)
    while state.generation < settings.generations:
        state = again.advance(state)
    result = again.finish(state)
    assert result.generations == expected.generations
    assert result.lineage() == expected.lineage()


@dataclass(eq=False)
class Plain:
    name: str
    fitness: base.Fitness = field(default=None)  # type: ignore[assignment]


class Shelf:
    """A breeder whose candidates are names."""

    finalists = 4

    def key(self, candidate):
        return candidate.name

    write = niche = key

    def read(self, document):
        return Plain(document)


def kept_of(scores, selection="lexicase", population=4, novel=False):
    settings = ForgeSettings(population=population, selection=selection)
    state = ForgeState("", 0, [], {k: s.to_json() for k, s in scores.items()}, [], 0)
    with drawing_from(random.Random(3)):
        Selection(Shelf(), settings, with_novelty=novel).keep([Plain(k) for k in scores], state)
    return state


def score(value, size, *cases, drawdown=0.1, novelty=float("nan")):
    return Score(value, drawdown, size, 50, value / 100, value, novelty, cases)


def test_lexicase_keeps_the_best_of_one_slice_that_fronts_let_go():
    average = {
        f"average {n}": score(1 + n / 100, 12 - n, 0.01, 0.01, 0.01 + n / 1e4, drawdown=0.05)
        for n in range(6)
    }
    scores = {**average, "specialist": score(0.2, 60, 0.0, 0.09, 0.0, drawdown=0.3)}
    assert "specialist" in kept_of(scores).population
    assert "specialist" not in kept_of(scores, "nsga2").population


def test_lexicase_takes_whom_it_could_not_judge_only_at_need():
    unjudged = {f"idle {n}": score(-10 + n / 10, 5, 0.0, 0.0) for n in range(3)}
    judged = {f"judged {n}": score(n / 10, 5 + n, n / 10, -n / 10) for n in range(3)}
    assert set(kept_of({**unjudged, **judged}, population=4).population) == {*judged, "idle 2"}


@given(st.integers(0, 10_000), st.integers(2, 40), st.booleans())
@settings(max_examples=60, deadline=None)
def test_finalists_begin_with_whom_nobody_dominates(seed, count, novel):
    generator = np.random.default_rng(seed)
    # Few distinct values, so that many are equal in some objective or in all.
    drawn = generator.integers(0, 5, (count, 4)) / 4
    scores = {
        f"{number}": score(
            row[0], int(12 * row[1]), drawdown=row[2], novelty=row[3] if novel else np.nan
        )
        for number, row in enumerate(drawn)
    }
    better = [
        [row[0], -(int(12 * row[1]) // SIZE_STEP), -row[2], *([row[3]] if novel else [])]
        for row in drawn
    ]
    front = [
        number
        for number, own in enumerate(better)
        if not any(
            other != own and all(a >= b for a, b in zip(other, own, strict=True))
            for other in better
        )
    ]
    state = ForgeState("", 0, list(scores), {k: s.to_json() for k, s in scores.items()}, [], 0)
    selection = Selection(Shelf(), ForgeSettings(population=count + 4), with_novelty=novel)
    Shelf.finalists, kept = count, Shelf.finalists
    try:
        found = selection.finalists(selection.population(state), state)
    finally:
        Shelf.finalists = kept
    assert {int(each.name) for each in found[: len(front)]} == set(front)
    values = [scores[each.name].value for each in found[: len(front)]]
    assert values == sorted(values, reverse=True)


def test_each_candidate_is_picked_once():
    scores = {f"{n}": score(n / 7, n, *np.random.default_rng(n).normal(size=5)) for n in range(40)}
    kept = kept_of(scores, population=30).population
    assert len(kept) == len(set(kept)) == 30


# --- novelty ---------------------------------------------------------------------------------------


def test_seeking_novelty_lowers_the_correlation_with_the_living(market, incumbents):
    ruler = forge_run_of(market=market, settings=LONG, incumbents=incumbents).novelty
    assert ruler.agents == ("XUSDT-gp-2/1",)
    correlations = {"alone": [], "beside": []}
    for seed in range(1, 7):
        for name, peers in {"alone": None, "beside": incumbents}.items():
            forge_run = forge_run_of(market=market, settings=LONG, seed=seed, incumbents=peers)
            state = forge_run.start()
            for _ in range(LONG.generations):
                state = forge_run.advance(state)
            population = forge_run._selection.population(state)
            judged = [c for c in population if forge_run._selection.score(c, state).judged]
            daily = forge_run._breeder.outcomes(judged, forge_run.windows.train).daily
            correlations[name].append(np.nanmedian([1 - ruler.of(own) for own in daily]))
            result = forge_run.finish(state)
            assert (result.novelty is None) == (name == "alone")
            assert ("median_novelty" in result.generations[-1]) == (name == "beside")
    assert np.mean(correlations["beside"]) < np.mean(correlations["alone"]) - 0.1


@pytest.mark.parametrize("selection", ["nsga2", "lexicase"])
def test_a_forging_beside_the_living_resumes_to_the_same_bytes(
    market, incumbents, selection, tmp_path
):
    settings = LONG.model_copy(update={"selection": selection, "population": 24})
    whole = forge_run_of(market=market, settings=settings, incumbents=incumbents)
    state = whole.start()
    state.save(tmp_path / "start.json")
    again = forge_run_of(market=market, settings=settings, incumbents=incumbents)
    resumed = again.advance(ForgeState.load(tmp_path / "start.json"))
    whole.advance(state).save(tmp_path / "whole.json")
    resumed.save(tmp_path / "resumed.json")
    assert (tmp_path / "whole.json").read_bytes() == (tmp_path / "resumed.json").read_bytes()


def test_other_living_agents_are_another_forging(market, incumbents):
    state = forge_run_of(market=market, settings=SMALL, incumbents=incumbents).start()
    moved = Incumbents(incumbents.names, incumbents.days, incumbents.returns + 1e-9)
    for other in (None, moved, Incumbents(("another/1",), incumbents.days, incumbents.returns)):
        with pytest.raises(CheckpointError, match="belongs to another forge run"):
            forge_run_of(market=market, settings=SMALL, incumbents=other).advance(state)


def test_a_worker_makes_the_forging_beside_the_same_living(market, incumbents):
    candles, frame = market
    slot = Slot(symbol="XUSDT", kind="gp", number=1)
    recipe = Recipe(slot, candles, frame, SMALL, 1, 0, incumbents)
    assert on_worker(recipe, recipe.forge_run().identity, 0, None) == recipe.forge_run().start()


def test_where_nobody_can_be_compared_with_novelty_is_no_objective_and_says_so(market):
    few = Incumbents(("a/1",), DAYS[: FEWEST_COMMON_DAYS - 1], np.ones((FEWEST_COMMON_DAYS - 1, 1)))
    forge_run = forge_run_of(market=market, settings=SMALL, incumbents=few)
    assert forge_run.novelty.agents == ()
    assert "no objective" in forge_run.novelty.describe()
    assert "a/1: 9 common days" in forge_run.novelty.describe()
    plain = forge_run_of(market=market, settings=SMALL)
    assert plain.novelty.describe() == "novelty is no objective: no agent to compare with"
    one, other = forge_run.advance(forge_run.start()), plain.advance(plain.start())
    assert (one.population, one.seen, one.table) == (other.population, other.seen, other.table)
    assert forge_run.finish(one).novelty is None


def test_days_that_are_missing_are_left_out_and_no_number_stands_in_for_them():
    generator = np.random.default_rng(0)
    own = generator.normal(size=30)
    returns = np.column_stack([own, generator.normal(size=30), np.zeros(30)])
    returns[:5, 0] = np.nan
    returns[: 30 - FEWEST_COMMON_DAYS + 1, 1] = np.nan
    novelty = Novelty(Incumbents(("same/1", "young/1", "idle/1"), DAYS, returns), DAYS, 30)
    assert novelty.agents == ("same/1",)
    assert set(novelty.left_out) == {"young/1", "idle/1"}
    assert novelty.of(own) == pytest.approx(0, abs=1e-12)
    assert novelty.of(-own) == pytest.approx(0, abs=1e-12)
    assert np.isnan(novelty.of(np.zeros(30)))
    known = own.copy()
    known[:5] = 9.0
    assert novelty.of(known) == novelty.of(own)


def test_a_day_that_the_window_cuts_is_compared_with_nobodys(market, incumbents):
    forge_run = forge_run_of(market=market, settings=SMALL, incumbents=incumbents)
    days = np.unique(forge_run.market.day[forge_run.windows.train])
    assert forge_run.market.day[forge_run.windows.train.stop] == days[-1]
    cut_day = incumbents.returns.copy()
    cut_day[incumbents.days == days[-1]] = 7.0
    cut = forge_run_of(
        market=market,
        settings=SMALL,
        incumbents=Incumbents(incumbents.names, incumbents.days, cut_day),
    )
    own = np.random.default_rng(1).normal(size=len(days))
    assert cut.novelty.of(own) == forge_run.novelty.of(own)


def test_novelty_is_the_distance_from_the_nearest_agent():
    generator = np.random.default_rng(1)
    own, far = generator.normal(size=(2, 30))
    near = own + 0.2 * generator.normal(size=30)
    peers = Incumbents(("far/1", "near/1"), DAYS, np.column_stack([far, near]))
    expected = 1 - np.corrcoef(own, near)[0, 1]
    assert Novelty(peers, DAYS, 30).of(own) == pytest.approx(expected)


def test_whose_novelty_is_not_defined_stands_behind_whose_is():
    scores = {
        "unlike": score(1.0, 5, novelty=0.9),
        "unknown": score(1.0, 5.1),
        "alike": score(1.01, 5, novelty=0.01),
    }
    state = kept_of(scores, "nsga2", population=4, novel=True)
    assert state.table[-1]["front"] == 2
    assert state.population[-1] == "unknown"
    assert state.table[-1]["median_novelty"] == pytest.approx(0.455)


@pytest.mark.parametrize(
    ("days", "returns", "reported"),
    [
        (DAYS, np.zeros((30, 2)), "shape"),
        (DAYS[::-1], np.zeros((30, 1)), "day 28 comes after day 29"),
        (DAYS, np.full((30, 1), np.inf), "a/1 has an infinite return on day 0"),
    ],
)
def test_living_that_cannot_be_used_is_named(days, returns, reported):
    with pytest.raises(ForgeError, match=reported):
        Incumbents(("a/1",), days, returns)


def test_a_score_is_read_as_it_was_written():
    nan = float("nan")
    for one in (
        score(1.0, 5),
        score(1.0, 5, 0.1, -0.2, novelty=nan),
        score(1.0, 5, novelty=0.4),
        score(1.0, 5, 0.1, novelty=0.4),
    ):
        assert repr(Score.from_json(json.loads(json.dumps(one.to_json())))) == repr(one)
    assert len(score(1.0, 5).to_json()) == 6
