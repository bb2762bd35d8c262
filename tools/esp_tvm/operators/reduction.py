"""Reductions over any axes, and the position of the largest value."""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

import numpy as np
import onnx

from ..kernel_limits import KERNEL_LIMITS
from . import base
from .base import COMPUTED, INT32_MAX, SEVERAL, Operand, Operator, Parsed, Refusal
from .pooling import CHOSEN, MEAN
from .rule import INPUT, OWN, Facts, Rule, constant_parameters
from .strides import steps_of
from .tvm_later import is_op, relay

MAX_AXES = KERNEL_LIMITS["MAX_RANK"]


def reduced_axes(attrs, rank: int) -> Tuple[int, ...]:
    """The axes that a Relay reduction reduces."""
    axes = range(rank) if attrs.axis is None else [int(axis) % rank for axis in attrs.axis]
    if attrs.exclude:
        axes = [axis for axis in range(rank) if axis not in axes]
    return tuple(sorted(axes))


def _merged(shape: Sequence[int], axes: Sequence[int]) -> List[Tuple[int, int]]:
    """(size, step) of `axes`, neighbours merged, those of size 1 left out."""
    steps, merged = steps_of(shape), []
    for axis in axes:
        if shape[axis] == 1:
            continue
        if merged and merged[-1][1] == steps[axis] * shape[axis]:
            merged[-1] = (merged[-1][0] * shape[axis], steps[axis])
        else:
            merged.append((shape[axis], steps[axis]))
    if len(merged) > MAX_AXES:
        raise Refusal(f"it has {len(merged)} groups of axes, the kernel takes {MAX_AXES}")
    return merged


def _int64(value: int) -> relay.Expr:
    # relay.const converts int64 to int32 unless it is told the type.
    return relay.const(np.array(value), dtype="int64")


def _check(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    if not facts.rank(node.input[0]) or 0 in facts.shapes[node.input[0]]:
        return "there is nothing to reduce"
    return constant_parameters(facts, node)


class _Reduce(Operator):
    """q(act(reduce(dq(x))))."""

    order = COMPUTED

    relay_op = ""
    keeps_exponent = False
    # The largest magnitude of one summand.
    LARGEST = 128

    def inner(self):
        """The pattern of what is reduced."""
        return base.dequantized()

    def body(self):
        return is_op(self.relay_op)(self.inner())

    def patterns(self):
        return [base.quantized(base.activated(self.body()))]

    def source(self, reduction: relay.Call) -> relay.Expr:
        """The dequantize below a matched reduction."""
        return reduction.args[0]

    def reduction(self, body: relay.Call) -> relay.Call:
        """The reduction in a matched body."""
        return body

    def parse(self, root):
        output = base.read_quantize(root)
        body, clamp = base.strip_activation(root.args[0], output.exponent)
        reduction = self.reduction(body)
        x = base.read_dequantize(self.source(reduction))
        axes = reduced_axes(reduction.attrs, len(x.shape))
        attributes = {"axes": axes, "keepdims": bool(reduction.attrs.keepdims), "clamp": clamp}
        _merged(x.shape, axes)
        _merged(x.shape, [axis for axis in range(len(x.shape)) if axis not in axes])
        if self.keeps_exponent:
            if output.exponent != x.exponent:
                raise Refusal(f"its exponents differ ({x.exponent} and {output.exponent}); it keeps them")
        else:
            attributes["shift"] = self.shift(x, output, axes)
        return Parsed([x], output, attributes)

    def shift(self, x, output, axes) -> int:
        shift = self.exponent_shift(x.exponent, output.exponent)
        count = int(np.prod([x.shape[axis] for axis in axes], dtype=np.int64))
        total = count * self.LARGEST << max(-shift, 0)
        if abs(shift) > 20 or 2 * total + (self.divisor(count) << max(shift, 0)) * 2 > INT32_MAX:
            raise Refusal(f"the sum of {count} values, scaled by 2^{-shift}, does not fit 32 bits")
        return shift

    def exponent_shift(self, e_x: int, e_y: int) -> int:
        return e_y - e_x

    def divisor(self, count: int) -> int:
        return 1

    def total(self, call, x: relay.Expr) -> relay.Expr:
        a = call.attributes
        return relay.sum(x, axis=list(a["axes"]), keepdims=a["keepdims"])

    def summand(self, x: relay.Expr) -> relay.Expr:
        return x

    def count(self, call) -> int:
        shape = call.inputs[0].shape
        return int(np.prod([shape[axis] for axis in call.attributes["axes"]], dtype=np.int64))

    def reference(self, call, x):
        a = call.attributes
        total = self.total(call, self.summand(base.widen(x)))
        numerator = relay.left_shift(total, relay.const(max(-a["shift"], 0) + 1))
        divisor = self.divisor(self.count(call)) << max(a["shift"], 0)
        y = relay.floor_divide(relay.add(numerator, relay.const(divisor)), relay.const(2 * divisor))
        y = relay.clip(y, *base.INT8)
        return relay.cast(relay.clip(y, *a["clamp"]), "int8")

    kernel = ""

    def emit(self, call, c, inputs, output):
        a, shape = call.attributes, call.inputs[0].shape
        kept = _merged(shape, [axis for axis in range(len(shape)) if axis not in a["axes"]])
        reduced = _merged(shape, a["axes"])
        fields = {}
        for name, axes in (("kept", kept), ("reduced", reduced)):
            fields[f"{name}_rank"] = len(axes)
            if axes:
                fields[f"{name}_shape"] = [size for size, _ in axes]
                fields[f"{name}_step"] = [step for _, step in axes]
        parameters = c.struct(
            "esp_dl_reduce_t",
            **fields,
            divisor=self.divisor(self.count(call)),
            shift=a.get("shift", 0),
            min=a["clamp"][0],
            max=a["clamp"][1],
        )
        c.call(f"esp_dl_{self.kernel or self.name}_s8", inputs[0], parameters, output)


_SUMS = "any constant axes whose sum fits 32 bits"


class ReduceSum(_Reduce):
    """floor(sum * 2^(e_x - e_y) + 1/2)"""

    name = "reduce_sum"
    # After the sums of squares and magnitudes, which contain it.
    order = COMPUTED + 1
    formula = MEAN
    rules = (
        Rule("real", OWN, _check, "ReduceSum", _SUMS),
        Rule("", onnx="ReduceLogSum ReduceLogSumExp", limits=_SUMS),
    )
    relay_op = "sum"


class ReduceMean(_Reduce):
    """floor(sum * 2^(e_x - e_y) / n + 1/2)"""

    name = "reduce_mean"
    formula = MEAN
    rules = (Rule("real", OWN, _check, "ReduceMean", _SUMS),)
    also = "GlobalAveragePool"
    relay_op = "mean"
    kernel = "reduce_sum"

    def divisor(self, count):
        return count


class ReduceL1(_Reduce):
    """The sum of magnitudes."""

    name = "reduce_l1"
    formula = "the sum of `abs(x)`, rounded like a sum"
    rules = (Rule("real", OWN, _check, "ReduceL1", _SUMS),)
    relay_op = "sum"

    def inner(self):
        return is_op("abs")(base.dequantized())

    def source(self, reduction):
        return reduction.args[0].args[0]

    def summand(self, x):
        return relay.abs(x)


class ReduceSumSquare(_Reduce):
    """The sum of squares."""

    name = "reduce_sum_square"
    # Before products, which its summands are.
    order = SEVERAL
    formula = "the sum of `x^2`, at `2 e_x`, rounded like a sum"
    rules = (Rule("real", OWN, _check, "ReduceSumSquare", _SUMS),)
    relay_op = "sum"
    LARGEST = 128 * 128

    def inner(self):
        return is_op("multiply")(base.dequantized(), base.dequantized())

    def source(self, reduction):
        a, b = reduction.args[0].args
        same = np.array_equal(a.args[1].data.numpy(), b.args[1].data.numpy())
        if not a.args[0].same_as(b.args[0]) or not same:
            raise Refusal("it sums products of two tensors")
        return a

    def exponent_shift(self, e_x, e_y):
        return e_y - 2 * e_x

    def summand(self, x):
        return relay.multiply(x, x)


class ReduceL2(ReduceSumSquare):
    """The square root of the sum of squares, rounded exactly."""

    name = "reduce_l2"
    # Before the sum of squares, which it contains.
    order = SEVERAL - 1
    formula = "the exact square root of the sum of `x^2`, rounded like a sum"
    rules = (Rule("real", OWN, _check, "ReduceL2", _SUMS),)

    def body(self):
        return is_op("sqrt")(is_op("sum")(self.inner()))

    def reduction(self, body):
        return body.args[0]

    def shift(self, x, output, axes):
        shift = output.exponent - x.exponent
        count = int(np.prod([x.shape[axis] for axis in axes], dtype=np.int64))
        if abs(shift) > 8 or count * self.LARGEST > INT32_MAX:
            raise Refusal(f"the sum of {count} squares, scaled by 2^{-shift}, does not fit")
        return shift

    def reference(self, call, x):
        a = call.attributes
        wide = relay.cast(x, "int64")
        total = relay.sum(relay.multiply(wide, wide), axis=list(a["axes"]), keepdims=True)
        right = relay.left_shift(total, _int64(2 + 2 * max(-a["shift"], 0)))
        # y counts the candidates m in 1 ... 127 whose (2 m - 1)^2 is not too large.
        candidates = (2 * np.arange(1, 128, dtype=np.int64) - 1) ** 2 << (2 * max(a["shift"], 0))
        fits = relay.less_equal(
            relay.const(candidates, dtype="int64"), relay.expand_dims(right, axis=len(call.inputs[0].shape))
        )
        y = relay.sum(relay.cast(fits, "int32"), axis=-1)
        y = relay.reshape(y, call.output.shape)
        return relay.cast(relay.clip(y, *a["clamp"]), "int8")


class ReduceMax(_Reduce):
    """The largest value."""

    name = "reduce_max"
    formula = CHOSEN
    rules = (Rule("real", INPUT, _check, "ReduceMax", "any constant axes"),)
    also = "GlobalMaxPool ReduceLogSumExp"
    relay_op = "max"
    keeps_exponent = True

    def reference(self, call, x):
        a = call.attributes
        reduce = getattr(relay, self.relay_op)
        y = reduce(base.widen(x), axis=list(a["axes"]), keepdims=a["keepdims"])
        return relay.cast(relay.clip(y, *a["clamp"]), "int8")


class ReduceMin(ReduceMax):
    """The smallest value."""

    name = "reduce_min"
    formula = CHOSEN
    rules = (Rule("real", INPUT, _check, "ReduceMin", "any constant axes"),)
    relay_op = "min"


class ArgMax(Operator):
    """ArgMax and ArgMin of dq(x) along one axis, as int64."""

    name = "argmax"
    order = COMPUTED
    formula = "the index of the first (`select_last_index`: last) of the largest (ArgMin: smallest) values"
    rules = (Rule("compare", OWN, None, "ArgMax ArgMin", "behind a softmax: in float", compares=True),)

    def patterns(self):
        return [is_op("cast")(is_op(name)(base.dequantized())) for name in ("argmax", "argmin")]

    def parse(self, root):
        output = Operand(root, root.checked_type.dtype)
        search = root.args[0]
        x = base.read_dequantize(search.args[0])
        axes = reduced_axes(search.attrs, len(x.shape))
        if len(axes) != 1 or output.dtype != "int64":
            raise Refusal("it searches along more than one axis, or its result is not int64")
        attributes = {
            "axis": axes[0],
            "keepdims": bool(search.attrs.keepdims),
            "last": bool(search.attrs.select_last_index),
            "smallest": search.op.name == "argmin",
        }
        return Parsed([x], output, attributes)

    def reference(self, call, x):
        a = call.attributes
        size = call.inputs[0].shape[a["axis"]]
        # One number encodes value and position: its maximum follows both rules.
        wide = base.widen(x)
        wide = relay.negative(wide) if a["smallest"] else wide
        shape = [size if axis == a["axis"] else 1 for axis in range(len(call.inputs[0].shape))]
        places = np.arange(size) if a["last"] else size - 1 - np.arange(size)
        both = relay.add(
            relay.multiply(relay.cast(wide, "int64"), _int64(size)),
            relay.const(places.reshape(shape), dtype="int64"),
        )
        best = relay.max(both, axis=[a["axis"]], keepdims=a["keepdims"])
        place = relay.floor_mod(best, _int64(size))
        return place if a["last"] else relay.subtract(_int64(size - 1), place)

    def fields(self, call, c):
        a, shape = call.attributes, call.inputs[0].shape
        return {
            "outer": int(np.prod(shape[: a["axis"]], dtype=np.int64)),
            "size": shape[a["axis"]],
            "inner": int(np.prod(shape[a["axis"] + 1 :], dtype=np.int64)),
            "last": a["last"],
            "smallest": a["smallest"],
        }
