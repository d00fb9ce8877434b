"""Candidates are simplified before they are tried."""

from __future__ import annotations

from crucible.forge.candidates import Score
from crucible.forge.exits import random_exits
from crucible.vm.simplify import simplify
from tests.support.markets import forge_run_of

RULE = ["gt", "edge", 0.25]
NEVER = ["gt", 0.5, 2.5]


def made(run, buy):
    """A candidate as evolution makes it, whatever bred it."""
    genome = run._breeder._box.read(["trade", buy, ["lt", "edge", 0.0]], random_exits())
    genome.trial_count = 9
    return run._breeder._lawful(genome)


def test_a_branch_that_can_never_matter_makes_no_other_candidate_and_none_that_is_larger():
    run = forge_run_of()
    plain = made(run, RULE)
    padded = made(run, ["or", RULE, ["and", NEVER, ["gt", "noise_1", 1.5]]])
    assert padded.program == plain.program
    assert (len(padded), padded.trial_count) == (len(plain), 9) == (7, 9)


def test_what_needs_more_nodes_than_a_genome_may_have_is_none_only_if_it_does_so_simplified():
    run = forge_run_of()
    long = RULE
    for _ in range(30):
        long = ["or", long, RULE]
    assert len(made(run, long)) == 7
    for number in range(8):
        long = ["or", long, ["gt", "noise_1", ["lag", "edge", number + 2]]]
    assert made(run, long) is None


def test_many_conditions_are_joined_no_deeper_than_need_be():
    run = forge_run_of()
    flat = RULE
    for number in range(6):
        flat = ["or", ["lt", f"noise_{number % 3 + 1}", 0.125 * number], flat]
    assert flat != RULE
    assert made(run, flat).height <= 5


def test_every_candidate_of_a_forge_run_is_its_own_simplification():
    run = forge_run_of()
    state = run.start()
    for _ in range(2):
        state = run.advance(state)
    population = [run._breeder.read(document) for document in state.population]
    assert population
    for candidate in population:
        assert simplify(candidate.tree_expression) == candidate.tree_expression
        assert Score.from_json(state.seen[candidate.key]).size == len(candidate)
