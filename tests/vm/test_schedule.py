from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from crucible.testing.programs import programs
from crucible.vm import kernels as k
from crucible.vm.graph import NOTHING, Graph
from crucible.vm.linear import emit
from crucible.vm.program import lookback, node_count, parse_program
from crucible.vm.schedule import NOBODY, schedule

NAMES = ("a", "b", "c")
SEVERAL = st.lists(programs(NAMES).map(parse_program), min_size=1, max_size=12)


def shares_of(graph, threads):
    return graph.split(range(len(graph.roots)), threads)


def part_of(plan, thread):
    return plan.order[plan.ends[thread - 1] if thread else 0 : plan.ends[thread]].tolist()


@settings(max_examples=100, deadline=None)
@given(SEVERAL, st.integers(1, 4))
def test_every_node_is_computed_once_and_after_what_it_reads(several, threads):
    graph = Graph(several)
    plan = schedule(graph, shares_of(graph, threads))
    needed = np.flatnonzero((plan.uses > 0) & ~graph.leaves)
    assert sorted(plan.order.tolist()) == needed.tolist()
    for thread in range(len(plan.ends)):
        done = set()
        for node in part_of(plan, thread):
            assert plan.threads[node] == thread
            for child in graph.nodes[node, 1:4]:
                if child != NOTHING and plan.threads[child] == thread:
                    assert child in done
                elif child != NOTHING and plan.threads[child] != NOBODY:
                    assert plan.marks[child] > 0
            done.add(node)


@settings(max_examples=100, deadline=None)
@given(SEVERAL, st.integers(2, 4))
def test_threads_that_wait_for_each_other_all_come_to_their_end(several, threads):
    graph = Graph(several)
    program = emit(graph, shares_of(graph, threads))
    begins, marks = [0, *program.ends[:-1]], [0] * len(program.ends)
    rows = list(begins)
    moved = True
    while moved:
        moved = False
        for thread, end in enumerate(program.ends):
            while rows[thread] < end:
                step, _, first, second = program.code[rows[thread], :4]
                if step == k.WAIT and marks[first] < second:
                    break
                if step == k.MARK:
                    marks[thread] = first
                rows[thread] += 1
                moved = True
    assert rows == list(program.ends)


@settings(max_examples=100, deadline=None)
@given(SEVERAL)
def test_a_graph_knows_sizes_and_lookbacks(several):
    graph = Graph(several)
    assert graph.sizes[graph.roots].tolist() == [node_count(program) for program in several]
    assert graph.lookbacks[graph.roots].tolist() == [lookback(program) for program in several]
