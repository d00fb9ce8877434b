"""A simplified program says the same in fewer words."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crucible.testing.programs import programs
from crucible.vm.interpreter import Runner, feature_lines
from crucible.vm.linear import compile_programs
from crucible.vm.program import node_count, parse_program
from crucible.vm.simplify import ALWAYS, NEVER, simplify
from tests.vm.test_interpreter import NAMES, random_frame

NUMBERS = st.one_of(
    st.sampled_from(NAMES),
    st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]),
    st.sampled_from(
        [
            ("squash", "a"), ("abs", "b"), ("rank", "a", 5), ("std", "b", 4), ("add", 1.0, 0.25), ("lag", 0.5, 3),
            ("neg", ("neg", "a")), ("abs", ("neg", "b")), ("div", 1.0, 3.0), ("min", "a", "a"), ("highest", 2.0, 8),
            ("if", ("gt", 1.0, 0.0), "a", "b"), ("if", ("gt", "a", "a"), 1.0, -1.0), ("mul", 3.0e38, 3.0e38),
        ]
    ),
)  # fmt: skip
COMPARED = st.tuples(st.sampled_from(["gt", "lt", "cross_above", "cross_below"]), NUMBERS, NUMBERS)
CONDITIONS = st.recursive(
    COMPARED,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["and", "or"]), inner, inner), st.tuples(st.just("not"), inner)
    ),
    max_leaves=8,
)
MADE_TO_BE_SIMPLER = st.tuples(st.just("trade"), CONDITIONS, CONDITIONS)


def signals(program, frame):
    linear = compile_programs([program])
    return Runner(linear).run(feature_lines(frame, linear.features))[0], int(linear.warmups[0])


@settings(max_examples=400, deadline=None)
@given(st.one_of(programs(NAMES), MADE_TO_BE_SIMPLER), st.integers(0, 2**32))
def test_a_simplified_program_gives_the_same_signals_and_is_no_larger(program, seed):
    program = parse_program(program)
    simpler = simplify(program)
    frame = random_frame(seed)
    before, warm = signals(program, frame)
    after, needed = signals(parse_program(simpler), frame)
    assert np.array_equal(before[warm:], after[warm:]), simpler
    # A rule that never speaks is written as the shortest one that does not.
    assert needed <= warm
    assert node_count(simpler) <= max(node_count(program), 7)
    assert simplify(simpler) == simpler


@pytest.mark.parametrize(
    ("rule", "simpler"),
    [
        (("gt", 0.60379, 2.7077), NEVER),
        (("or", ("gt", "x", 1.0), ("lt", 2.0, 1.0)), ("gt", "x", 1.0)),
        (("and", ("gt", "x", 1.0), ("gt", 3.0, 1.0)), ("gt", "x", 1.0)),
        (("or", ("gt", "x", 1.0), ("gt", 3.0, 1.0)), ALWAYS),
        (("and", ("gt", "x", 1.0), ("lt", "x", 1.0)), NEVER),
        (("and", ("gt", "x", 1.0), ("lt", 2.0, "x")), ("lt", 2.0, "x")),
        (("or", ("lt", "x", 1.0), ("or", ("lt", "x", 2.0), ("lt", "x", 1.0))), ("lt", "x", 2.0)),
        (("gt", ("rank", "x", 20), 1.0), NEVER),
        (("lt", ("abs", "x"), 0.0), NEVER),
        (("lt", ("squash", "x"), -1.5), NEVER),
        (("gt", "x", "x"), NEVER),
        (("gt", "x", ("add", 1.0, 0.5)), ("gt", "x", 1.5)),
        (("not", ("not", ("gt", "x", 1.0))), ("gt", "x", 1.0)),
        (("gt", ("if", ("gt", 1.0, 0.0), "x", "y"), 1.0), ("gt", "x", 1.0)),
        # What is unknown is not false below a "not": these stay.
        (("not", ("gt", "x", "x")), ("not", ("gt", "x", "x"))),
        (("not", ("lt", ("abs", "x"), 0.0)), ("not", ("lt", ("abs", "x"), 0.0))),
    ],
)
def test_what_can_never_matter_is_left_out(rule, simpler):
    assert simplify(("trade", rule, ("gt", "y", 0.0))) == ("trade", simpler, ("gt", "y", 0.0))
