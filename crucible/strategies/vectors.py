"""Vector instructions for compiled kernels: 64 rows of numbers, or one word of conditions, at a time.

Written in LLVM's own terms, so that they are vector code in every build: numba's compiler would
otherwise check every loop for overlapping arrays and leave minima and comparisons scalar.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils

# Rows of one word of conditions, and of one trip through a kernel's loop.
LANES = 64
# Rows whose exponential mean is computed together.
GROUP = 8

Built: TypeAlias = Any
"""A value, a type or a builder of LLVM's or numba's."""

intrinsic: Built = extending.intrinsic
tools: Built = cgutils


def _vector(kind: Built, lanes: int) -> Built:
    return ir.VectorType(ir.DoubleType() if kind == types.float64 else ir.FloatType(), lanes)


def _pointer(
    context: Built, builder: Built, kind: Built, array: Built, row: Built, lanes: int
) -> Built:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [row]), _vector(kind.dtype, lanes).as_pointer())


def _load(
    context: Built, builder: Built, kind: Built, value: Built, row: Built, lanes: int = LANES
) -> Built:
    """Lanes of an array from a row on, or one number in all lanes."""
    if isinstance(kind, types.Array):
        place = _pointer(context, builder, kind, value, row, lanes)
        return builder.load(place, align=kind.dtype.bitwidth // 8)
    one = builder.insert_element(
        ir.Constant(_vector(kind, lanes), ir.Undefined), value, ir.Constant(ir.IntType(32), 0)
    )
    return _spread(builder, one, 0)


def _spread(builder: Built, vector: Built, lane: int) -> Built:
    """One lane in all lanes."""
    lanes = vector.type.count
    mask = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [lane] * lanes)
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)


def _store(
    context: Built, builder: Built, kind: Built, array: Built, row: Built, vector: Built
) -> None:
    place = _pointer(context, builder, kind, array, row, vector.type.count)
    builder.store(vector, place, align=kind.dtype.bitwidth // 8)


def _call(builder: Built, name: str, vector: Built) -> Built:
    """One of LLVM's own functions of one vector."""
    kind = vector.type
    suffix = f"v{kind.count}{kind.element.intrinsic_name}"
    function = tools.get_or_insert_function(
        builder.module, ir.FunctionType(kind, (kind,)), f"llvm.{name}.{suffix}"
    )
    return builder.call(function, [vector])


def _ones(vector: Built) -> Built:
    return ir.Constant(vector.type, [1.0] * vector.type.count)


def _pairwise(build: Callable[[Built, Built, Built], Built]) -> Built:
    """``f(d, x, y, i)``: 64 rows of `d` from row `i` on; `x` or `y` may be one number."""

    @intrinsic
    def lanes(typing_context, d, x, y, i):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            kinds, row = signature.args, arguments[3]
            first = _load(context, builder, kinds[1], arguments[1], row)
            second = _load(context, builder, kinds[2], arguments[2], row)
            made = build(builder, first, second)
            _store(context, builder, kinds[0], arguments[0], row, made)
            return context.get_dummy_value()

        return types.void(d, x, y, types.intp), generate

    return lanes


def _comparison(sign: str) -> Built:
    """``f(x, y, i)``: 64 rows of an ordered comparison as one word."""

    @intrinsic
    def lanes(typing_context, x, y, i):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            first, second = (
                _load(context, builder, signature.args[k], arguments[k], arguments[2])
                for k in (0, 1)
            )
            return builder.bitcast(builder.fcmp_ordered(sign, first, second), ir.IntType(LANES))

        return types.uint64(x, y, types.intp), generate

    return lanes


def _smaller(sign: str) -> Callable[[Built, Built, Built], Built]:
    """Whichever argument compares so with the other; NaN where either is, in either order."""

    def build(builder: Built, x: Built, y: Built) -> Built:
        mine = builder.or_(builder.fcmp_ordered(sign, x, y), builder.fcmp_unordered("uno", x, x))
        return builder.select(mine, x, y)

    return build


add = _pairwise(lambda builder, x, y: builder.fadd(x, y))
subtract = _pairwise(lambda builder, x, y: builder.fsub(x, y))
multiply = _pairwise(lambda builder, x, y: builder.fmul(x, y))
divide = _pairwise(lambda builder, x, y: builder.fdiv(x, y))
# The analytic quotient (Ni, Drieberg, Rockett 2013): a division without a pole.
quotient = _pairwise(
    lambda builder, x, y: builder.fdiv(
        x, _call(builder, "sqrt", builder.fadd(_ones(y), builder.fmul(y, y)))
    )
)
least = _pairwise(_smaller("<"))
most = _pairwise(_smaller(">"))
# A constant is never NaN, so one comparison does.
least_c = _pairwise(lambda b, x, k: b.select(b.fcmp_ordered("<", k, x), k, x))
most_c = _pairwise(lambda b, x, k: b.select(b.fcmp_ordered(">", k, x), k, x))
squash = _pairwise(
    lambda builder, x, _: builder.fdiv(x, builder.fadd(_ones(x), _call(builder, "fabs", x)))
)
absolute = _pairwise(lambda builder, x, _: _call(builder, "fabs", x))
negative = _pairwise(lambda builder, x, _: builder.fneg(x))
above = _comparison(">")
not_above = _comparison("<=")
below = _comparison("<")
not_below = _comparison(">=")
same = _comparison("==")


@intrinsic
def choose(typing_context, d, true, false, x, y, i):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, ARG001
    """64 rows of `d`: `x` where the condition is true, `y` where false, NaN where unknown."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        kinds, row = signature.args, arguments[5]
        bits = ir.VectorType(ir.IntType(1), LANES)
        true, false = (builder.bitcast(arguments[k], bits) for k in (1, 2))
        first = _load(context, builder, kinds[3], arguments[3], row)
        second = _load(context, builder, kinds[4], arguments[4], row)
        unknown = ir.Constant(first.type, [float("nan")] * LANES)
        made = builder.select(true, first, builder.select(false, second, unknown))
        _store(context, builder, kinds[0], arguments[0], row, made)
        return context.get_dummy_value()

    return types.void(d, types.uint64, types.uint64, x, y, types.intp), generate


@intrinsic
def count_below(typing_context, d, h, i, past):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, ARG001
    """64 rows of `d`: how many of the `past` values before are below, plus how many not above."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        kind, row, past = signature.args[1], arguments[2], arguments[3]
        newest = _load(context, builder, kind, arguments[1], builder.add(row, past))
        counter = ir.VectorType(ir.IntType(32), LANES)
        one = ir.Constant(counter, [1] * LANES)
        place = tools.alloca_once_value(builder, ir.Constant(counter, [0] * LANES))
        with tools.for_range(builder, past) as loop:
            older = _load(context, builder, kind, arguments[1], builder.add(row, loop.index))
            count = builder.load(place)
            for sign in ("<", "<="):
                hit = builder.fcmp_ordered(sign, older, newest)
                count = builder.select(hit, builder.add(count, one), count)
            builder.store(count, place)
        made = builder.sitofp(builder.load(place), _vector(types.float32, LANES))
        _store(context, builder, signature.args[0], arguments[0], row, made)
        return context.get_dummy_value()

    return types.void(d, h, types.intp, types.intp), generate


@intrinsic
def all_finite(typing_context, x, i):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, ARG001
    """Whether the next 8 values are finite."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        values = _load(context, builder, signature.args[0], arguments[0], arguments[1], GROUP)
        nothing = builder.fsub(values, values)
        mask = builder.bitcast(builder.fcmp_ordered("ord", nothing, nothing), ir.IntType(GROUP))
        return builder.icmp_unsigned("==", mask, ir.Constant(mask.type, 2**GROUP - 1))

    return types.boolean(x, types.intp), generate


@intrinsic
def ema_group(typing_context, d, x, i, mean, weights):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, ARG001
    """8 rows of an exponential mean from the mean before them; returns the last."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        kinds, row = signature.args, arguments[2]

        def weight(line: int) -> Built:
            start = ir.Constant(row.type, line * GROUP)
            return _load(context, builder, kinds[4], arguments[4], start, GROUP)

        single = _load(context, builder, kinds[1], arguments[1], row, GROUP)
        values = builder.fpext(single, _vector(types.float64, GROUP))
        before = _load(context, builder, kinds[3], arguments[3], row, GROUP)
        means = builder.fmul(weight(GROUP), before)
        for q in range(GROUP):
            means = builder.fadd(means, builder.fmul(weight(q), _spread(builder, values, q)))
        _store(context, builder, kinds[0], arguments[0], row, builder.fptrunc(means, single.type))
        return builder.extract_element(means, ir.Constant(ir.IntType(32), GROUP - 1))

    return types.float64(d, x, types.intp, types.float64, weights), generate
