"""Vector instructions for compiled kernels: 64 rows of numbers, or one word of conditions, at a time.

Written in LLVM's own terms, so that they are vector code in every build: numba's compiler would
otherwise check every loop for overlapping arrays and leave minima and comparisons scalar.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import extending, njit, types
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


def _trips(builder: Built, rows: Built) -> Built:
    """Loop over rows, 64 at a time."""
    first, stride = (ir.Constant(rows.type, number) for number in (0, LANES))
    return tools.for_range_slice(builder, first, rows, stride)


def _pairwise(build: Callable[[Built, Built, Built], Built]) -> Built:
    """``f(d, p, x, q, y, r, n)``: `n` rows of `d` from `p` on, of `x` from `q`, of `y` from `r`.

    `x` or `y` may be one number. Places are given beside arrays because a slice of an array counts
    its readers, which takes longer than a short block.
    """

    @intrinsic
    def lanes(typing_context, d, p, x, q, y, r, n):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            kinds = signature.args
            with _trips(builder, arguments[6]) as (row, _):
                first, second = (
                    _load(
                        context,
                        builder,
                        kinds[index],
                        arguments[index],
                        builder.add(row, arguments[index + 1]),
                    )
                    for index in (2, 4)
                )
                made = build(builder, first, second)
                place = builder.add(row, arguments[1])
                _store(context, builder, kinds[0], arguments[0], place, made)
            return context.get_dummy_value()

        whole = types.intp
        return types.void(d, whole, x, whole, y, whole, whole), generate

    return lanes


def _comparison(sign: str, opposite: str) -> Built:
    """``f(words, p, q, x, r, y, s, n)``: compare `n` rows of `x` from `r` on with `y` from `s` on.

    Its words go to place `p`, those of the opposite to place `q`.
    """

    @intrinsic
    def lanes(typing_context, words, p, q, x, r, y, s, n):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            kinds = signature.args
            data = context.make_array(kinds[0])(context, builder, arguments[0]).data
            with _trips(builder, arguments[7]) as (row, trip):
                first, second = (
                    _load(
                        context,
                        builder,
                        kinds[index],
                        arguments[index],
                        builder.add(row, arguments[index + 1]),
                    )
                    for index in (3, 5)
                )
                for index, relation in ((1, sign), (2, opposite)):
                    mask = builder.fcmp_ordered(relation, first, second)
                    word = builder.bitcast(mask, ir.IntType(LANES))
                    place = builder.gep(data, [builder.add(trip, arguments[index])])
                    builder.store(word, place)
            return context.get_dummy_value()

        whole = types.intp
        return types.void(words, whole, whole, x, whole, y, whole, whole), generate

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
copy = _pairwise(lambda _, x, __: x)
above = _comparison(">", "<=")
below = _comparison("<", ">=")


@intrinsic
def choose(typing_context, d, p, words, q, r, yes, no, n):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, ARG001
    """Fill `n` rows of `d` from `p` on, from its own rows.

    From row `yes` on where the condition's words at `q` are set, from row `no` on where those at
    `r` are, else with NaN.
    """

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        kinds = signature.args
        bits = ir.VectorType(ir.IntType(1), LANES)
        data = context.make_array(kinds[2])(context, builder, arguments[2]).data
        with _trips(builder, arguments[7]) as (row, trip):
            true, false = (
                builder.bitcast(
                    builder.load(builder.gep(data, [builder.add(trip, arguments[index])])), bits
                )
                for index in (3, 4)
            )
            first, second = (
                _load(context, builder, kinds[0], arguments[0], builder.add(row, arguments[index]))
                for index in (5, 6)
            )
            unknown = ir.Constant(first.type, [float("nan")] * LANES)
            made = builder.select(true, first, builder.select(false, second, unknown))
            place = builder.add(row, arguments[1])
            _store(context, builder, kinds[0], arguments[0], place, made)
        return context.get_dummy_value()

    whole = types.intp
    return types.void(d, whole, words, whole, whole, whole, whole, whole), generate


@intrinsic
def count_below(typing_context, d, p, h, i, past):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, ARG001
    """64 rows of `d`: how many of `past` values before are below, plus how many not above."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        kind, row, past = signature.args[2], arguments[3], arguments[4]
        newest = _load(context, builder, kind, arguments[2], builder.add(row, past))
        counter = ir.VectorType(ir.IntType(32), LANES)
        one = ir.Constant(counter, [1] * LANES)
        place = tools.alloca_once_value(builder, ir.Constant(counter, [0] * LANES))
        with tools.for_range(builder, past) as loop:
            older = _load(context, builder, kind, arguments[2], builder.add(row, loop.index))
            count = builder.load(place)
            for sign in ("<", "<="):
                hit = builder.fcmp_ordered(sign, older, newest)
                count = builder.select(hit, builder.add(count, one), count)
            builder.store(count, place)
        made = builder.sitofp(builder.load(place), _vector(types.float32, LANES))
        place = builder.add(row, arguments[1])
        _store(context, builder, signature.args[0], arguments[0], place, made)
        return context.get_dummy_value()

    return types.void(d, types.intp, h, types.intp, types.intp), generate


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
def ema_group(typing_context, r, p, q, mean, weights):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, ARG001
    """8 rows of an exponential mean, of rows from `q` on into rows from `p` on; returns the last."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        kinds, row = signature.args, arguments[1]

        def weight(line: int) -> Built:
            start = ir.Constant(row.type, line * GROUP)
            return _load(context, builder, kinds[4], arguments[4], start, GROUP)

        single = _load(context, builder, kinds[0], arguments[0], arguments[2], GROUP)
        values = builder.fpext(single, _vector(types.float64, GROUP))
        before = _load(context, builder, kinds[3], arguments[3], row, GROUP)
        means = builder.fmul(weight(GROUP), before)
        for lane in range(GROUP):
            means = builder.fadd(means, builder.fmul(weight(lane), _spread(builder, values, lane)))
        _store(context, builder, kinds[0], arguments[0], row, builder.fptrunc(means, single.type))
        return builder.extract_element(means, ir.Constant(ir.IntType(32), GROUP - 1))

    return types.float64(r, types.intp, types.intp, types.float64, weights), generate


# --- memory --------------------------------------------------------------------------------------


@intrinsic
def distance(typing_context, here, there):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, ARG001
    """Place of the first value of one 32-bit array, counted from the first of another."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        whole = context.get_value_type(types.intp)
        first, second = (
            builder.ptrtoint(context.make_array(kind)(context, builder, array).data, whole)
            for kind, array in zip(signature.args, arguments, strict=True)
        )
        return builder.sdiv(builder.sub(second, first), ir.Constant(whole, 4))

    return types.intp(here, there), generate


@intrinsic
def number(typing_context, x, p):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, ARG001
    """One value of an array, also before its first: a negative place is not counted from its end."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.load(builder.gep(data, [arguments[1]]))

    return types.float32(x, types.intp), generate


# --- threads -------------------------------------------------------------------------------------

# Looks at a value before the processor is offered to others.
PATIENCE = 2_000


def _cell(context: Built, builder: Built, kind: Built, array: Built, place: Built) -> Built:
    return builder.gep(context.make_array(kind)(context, builder, array).data, [place])


@intrinsic
def publish(typing_context, cells, p, value):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, ARG001
    """Set a cell; whoever sees it also sees whatever was written before."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        place = _cell(context, builder, signature.args[0], arguments[0], arguments[1])
        builder.store_atomic(arguments[2], place, "release", 8)
        return context.get_dummy_value()

    return types.void(cells, types.intp, types.int64), generate


@intrinsic
def claim(typing_context, cells, p, amount):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, ARG001
    """Add to a cell; gives what it was before, to one thread only."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        place = _cell(context, builder, signature.args[0], arguments[0], arguments[1])
        return builder.atomic_rmw("add", place, arguments[2], "monotonic")

    return types.int64(cells, types.intp, types.int64), generate


@intrinsic
def _published(typing_context, cells, p):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    """Read what another thread has published."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        place = _cell(context, builder, signature.args[0], arguments[0], arguments[1])
        return builder.load_atomic(place, "acquire", 8)

    return types.int64(cells, types.intp), generate


@intrinsic
def _give_way(typing_context):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    """Offer the processor to whoever else wants it."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
        kind = ir.FunctionType(ir.IntType(32), ())
        builder.call(tools.get_or_insert_function(builder.module, kind, "sched_yield"), ())
        return context.get_dummy_value()

    return types.void(), generate


@njit(nogil=True)
def await_value(cells: npt.NDArray[np.int64], place: int, value: int) -> None:
    """Wait until a cell has reached a value."""
    polls = 0
    while _published(cells, place) < value:
        polls += 1
        if polls > PATIENCE:
            _give_way()
