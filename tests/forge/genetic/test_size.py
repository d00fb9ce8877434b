"""How large a program counts."""

from __future__ import annotations

from crucible.forge.candidates import Score
from crucible.vm.program import node_count
from crucible.vm.simplify import simplify
from tests.support.markets import forge_run_of

RULE = ["gt", "edge", 0.25]
NEVER = ["gt", 0.5, 2.5]


def grown(run, buy):
    """A program that buys by a rule, as a checkpoint writes it."""
    exits = {"stop": 0.01, "target": 0.02, "timeout": 60}
    return run._breeder.read({"program": ["trade", buy, ["lt", "edge", 0.0]], "exits": exits})


def test_a_program_counts_no_larger_for_a_branch_that_can_never_matter():
    run = forge_run_of()
    plain, padded = (
        grown(run, RULE),
        grown(run, ["or", RULE, ["and", NEVER, ["gt", "noise_1", 1.5]]]),
    )
    assert len(padded) > len(plain)
    first, second = run._breeder.evaluate([plain, padded])
    assert first.size == second.size == 7


def test_every_score_of_a_forge_run_counts_the_simplified_program():
    run = forge_run_of()
    state = run.start()
    population = [run._breeder.read(document) for document in state.population]
    assert population
    for candidate in population:
        score = Score.from_json(state.seen[candidate.key])
        assert score.size == node_count(simplify(candidate.program))
