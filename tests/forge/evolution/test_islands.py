from __future__ import annotations

from dataclasses import replace

import pytest
from distributed import LocalCluster

from crucible.forge.backtest.engine import ForgeError
from crucible.forge.evolution.checkpoint import CheckpointError
from crucible.forge.evolution.distributed import Recipe, distribute, on_worker
from crucible.forge.evolution.islands import Islands, IslandsState
from crucible.settings import Slot
from tests.support.markets import SMALL, forge_run_of, make_market

THREE = SMALL.model_validate(
    {**SMALL.model_dump(), "islands": 3, "migrate_every": 1, "migrants": 2, "generations": 3}
)
KINDS = ["gp", "boosted"]


@pytest.mark.parametrize("kind", KINDS)
def test_one_island_is_the_forging_as_it_is(kind):
    plain, island = forge_run_of(kind).run(), Islands(forge_run_of(kind)).run()
    assert island.lineage() == plain.lineage()
    assert island.generations == plain.generations
    assert island.candidate.to_json() == plain.candidate.to_json()


@pytest.mark.parametrize("kind", KINDS)
def test_islands_that_were_interrupted_end_the_same(kind, tmp_path):
    whole = Islands(forge_run_of(kind, settings=THREE))
    expected = whole.run()
    first = Islands(forge_run_of(kind, settings=THREE))
    first.advance(first.start()).save(tmp_path / "state.json")
    again = Islands(forge_run_of(kind, settings=THREE))
    state = IslandsState.resume(tmp_path / "state.json", again.forge_run.identity)
    while state.generation < THREE.generations:
        state = again.advance(state)
    result = again.finish(state)
    assert result.lineage() == expected.lineage()
    assert result.generations == expected.generations
    assert result.candidate.to_json() == expected.candidate.to_json()


def test_islands_begin_apart_and_the_best_move_on_in_a_ring():
    settings = SMALL.model_validate({**THREE.model_dump(), "migrate_every": 2})
    islands = Islands(forge_run_of(settings=settings))
    state = islands.start()
    configurations = [set(island.seen) for island in state.islands]
    # All look at single features first; what they draw after that is their own.
    assert configurations[0] - configurations[1]
    assert configurations[1] - configurations[2]
    assert configurations[2] - configurations[0]
    state = islands.advance(state)
    before = [islands.forge_run.advance(island) for island in state.islands]
    state = islands.advance(state)
    for number, island in enumerate(state.islands):
        source = before[number - 1]
        arrived = set(island.seen) - set(before[number].seen)
        best = {key for key in source.seen if key in arrived}
        assert best == arrived
        assert 0 < len(arrived) <= settings.migrants
        assert island.trials == before[number].trials


def test_trials_are_counted_over_all_islands():
    islands = Islands(forge_run_of(settings=THREE))
    state = islands.start()
    while state.generation < THREE.generations:
        state = islands.advance(state)
    assert islands.finish(state).trials == sum(island.trials for island in state.islands)
    assert state.table[-1]["trials"] == state.trials
    assert len(state.table) == THREE.generations + 1


def test_islands_of_another_forging_or_a_damaged_file_are_refused_by_name(tmp_path):
    path = tmp_path / "state.json"
    Islands(forge_run_of(settings=THREE)).start().save(path)
    with pytest.raises(CheckpointError, match=r"state\.json: generation 0 of another forge run"):
        IslandsState.resume(path, forge_run_of(seed=2, settings=THREE).identity)
    path.write_text(path.read_text()[:-200])
    with pytest.raises(CheckpointError, match=r"state\.json: not a readable checkpoint"):
        IslandsState.load(path)


@pytest.mark.process
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers_give_the_champion_of_one_process(workers):
    candles, frame = make_market()
    slot = Slot.parse("XUSDT-gp-1")
    recipe = Recipe(slot, candles, frame, THREE, 1)
    expected = Islands(recipe.forge_run()).run()
    with LocalCluster(
        n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0"
    ) as cluster:
        settings = THREE.model_copy(update={"dask": cluster.scheduler_address})
        away = replace(recipe, settings=settings)
        with distribute(away, away.forge_run()) as islands:
            result = islands.run()
    assert result.lineage() == expected.lineage()
    assert result.generations == expected.generations
    assert result.candidate.to_json() == expected.candidate.to_json()


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    import distributed

    def refuse(*arguments, **options):
        raise OSError

    monkeypatch.setattr(distributed, "Client", refuse)
    candles, frame = make_market()
    settings = THREE.model_copy(update={"dask": "tcp://127.0.0.1:1"})
    recipe = Recipe(Slot.parse("XUSDT-gp-1"), candles, frame, settings, 1)
    with (
        pytest.raises(ForgeError, match=r"forge\.dask = tcp://127.0.0.1:1: no scheduler answers"),
        distribute(recipe, recipe.forge_run()),
    ):
        pass


def test_a_worker_with_other_code_refuses():
    candles, frame = make_market()
    recipe = Recipe(Slot.parse("XUSDT-gp-1"), candles, frame, THREE, 1)
    with pytest.raises(ForgeError, match="install the same Crucible there"):
        on_worker(recipe, "of other code", 0, None)
