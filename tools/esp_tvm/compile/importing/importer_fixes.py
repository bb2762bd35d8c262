"""Corrects errors and gaps of TVM's ONNX importer."""

from __future__ import annotations

import functools
from typing import List

import numpy as np
from tvm import relay
from tvm.relay.frontend import onnx as frontend

from ...operators import OPERATORS


def _constant_axes(inputs, attr) -> List[int]:
    """The axes of a reduction (ReduceSum since opset 13: its second input), all of them if none are given."""
    if attr.get("axes"):
        return [int(axis) for axis in attr["axes"]]
    if len(inputs) > 1 and inputs[1] is not None:
        if not isinstance(inputs[1], relay.Constant):
            raise ValueError("its axes are not constant")
        axes = [int(axis) for axis in inputs[1].data.numpy().reshape(-1)]
        if axes:
            return axes
        if attr.get("noop_with_empty_axes", 0):
            return []
    elif attr.get("noop_with_empty_axes", 0):
        return []
    return list(range(len(frontend.infer_shape(inputs[0]))))


def _reduce(cls, inputs, attr, params):
    """TVM reads only the first of several axes."""
    axes = _constant_axes(inputs, attr)
    if not axes:
        return inputs[0]
    x = inputs[0]
    if not frontend.infer_shape(x):
        x = relay.expand_dims(x, axis=0)
    return cls.run_calculation([x], axes, attr.get("keepdims", True))


def _clip(cls, inputs, attr, params):
    """TVM ignores a constant bound if the other one is missing."""
    x = inputs[0]
    dtype = frontend.infer_type(x).checked_type.dtype
    bounds = [inputs[i] if len(inputs) > i else None for i in (1, 2)]
    constant = [isinstance(bound, relay.Constant) for bound in bounds]
    if dtype.startswith("float") and all(c or b is None for c, b in zip(constant, bounds)):
        low, high = (None if b is None else float(b.data.numpy().reshape(-1)[0]) for b in bounds)
        if low is None and high is None:
            return x
        limit = float(np.finfo(dtype).max)
        return relay.clip(x, -limit if low is None else low, limit if high is None else high)
    for bound, apply in zip(bounds, (relay.maximum, relay.minimum)):
        x = x if bound is None else apply(x, bound)
    return x


def _indices_from_the_end(original):
    """For Gather and GatherElements: TVM looks up the size of an axis by its number, and gets the wrong axis if that is
    negative."""

    def normalized(data, indices, axis):
        return original(data, indices, axis % max(len(frontend.infer_shape(data)), 1))

    return normalized


class _LpNormalization(frontend.OnnxOpConverter):
    """x divided by its norm along one axis."""

    @classmethod
    def _impl_v1(cls, inputs, attr, params):
        x, axis = inputs[0], int(attr.get("axis", -1))
        if int(attr.get("p", 2)) == 1:
            norm = relay.sum(relay.abs(x), axis=axis, keepdims=True)
        else:
            norm = relay.sqrt(relay.sum(relay.multiply(x, x), axis=axis, keepdims=True))
        return relay.divide(x, norm)


def _one_hot(indices: relay.Expr, depth: int, axis: int, on: relay.Expr, off: relay.Expr) -> relay.Expr:
    """Comparisons with 0, 1, 2, ...: TVM's own one_hot fails where its indices are what a kernel computes."""
    kind = frontend.infer_type(indices).checked_type
    rank = len(kind.shape) + 1
    axis %= rank
    places = np.arange(depth, dtype=kind.dtype).reshape([-1 if i == axis else 1 for i in range(rank)])
    hit = relay.equal(relay.expand_dims(indices, axis=axis), relay.const(places, kind.dtype))
    return relay.where(hit, on, off)


class _GatherElements(frontend.GatherElements):
    """As TVM's, which takes only as many indices as data along the other axes: of more data the first are read."""

    @classmethod
    def _impl_v1(cls, inputs, attr, params):
        data, indices = inputs
        sizes, counts = frontend.infer_shape(data), frontend.infer_shape(indices)
        own = attr.get("axis", 0) % len(sizes)
        axes = [axis for axis, size in enumerate(sizes) if axis != own and counts[axis] < size]
        if axes:
            ends = [counts[axis] for axis in axes]
            data = relay.strided_slice(data, [0] * len(axes), ends, [1] * len(axes), axes)
        return super()._impl_v1([data, indices], attr, params)


class _OneHot(frontend.OnnxOpConverter):
    """OneHot of a constant depth; negative indices count from the end."""

    @classmethod
    def _impl_v11(cls, inputs, attr, params):
        indices, depth, values = inputs
        if not isinstance(depth, relay.Constant):
            raise ValueError("its depth is not constant")
        depth = int(depth.data.numpy().reshape(-1)[0])
        zero, size = (relay.const(value, frontend.infer_type(indices).checked_type.dtype) for value in (0, depth))
        indices = relay.where(relay.less(indices, zero), relay.add(indices, size), indices)
        off, on = (relay.take(values, relay.const(place)) for place in (0, 1))
        return _one_hot(indices, depth, int(attr.get("axis", -1)), on, off)


def _of_magnitudes(original):
    """TVM's LpPool takes the absolute value after the sum, so that an odd p loses it."""

    def convert(cls, inputs, attr, params):
        return original([relay.abs(inputs[0]), *inputs[1:]], attr, params)

    return convert


def _without_reduction(original):
    """TVM's ScatterND and ScatterElements do not know "none", the default, where it is written down."""

    def convert(cls, inputs, attr, params):
        given = attr.get("reduction", b"none")
        return original(inputs, {**attr, "reduction": None if given == b"none" else given}, params)

    return classmethod(convert)


def _zero_point(zero: relay.Expr) -> relay.Expr:
    """As int32. TVM writes a cast, and folds it by compiling a program for each node."""
    if isinstance(zero, relay.Constant):
        return relay.const(zero.data.numpy().astype(np.int32), "int32")
    return relay.cast(zero, "int32")


def _channels(data: relay.Expr, attr) -> int:
    return 0 if len(frontend.infer_shape(data)) < 2 else int(attr.get("axis", 1))


class _QuantizeLinear(frontend.OnnxOpConverter):
    """As TVM's."""

    @classmethod
    def _impl_v13(cls, inputs, attr, params):
        data, scale, zero = inputs
        dtype = frontend.infer_type(zero).checked_type.dtype
        return relay.qnn.op.quantize(data, scale, _zero_point(zero), _channels(data, attr), dtype)


class _DequantizeLinear(frontend.OnnxOpConverter):
    """As TVM's."""

    @classmethod
    def _impl_v13(cls, inputs, attr, params):
        data, scale, zero = inputs
        return relay.qnn.op.dequantize(data, scale, _zero_point(zero), _channels(data, attr))


class _Slice(frontend.Slice):
    """As TVM's. Of constant bounds TVM makes the axes count from the first one by compiling three programs a node."""

    @classmethod
    def _impl_v10(cls, inputs, attr, params):
        data, starts, ends, axes, steps = (inputs[place] for place in range(5))
        given = [one for one in (starts, ends, axes, steps) if one is not None]
        if axes is None or not all(isinstance(one, relay.Constant) for one in given):
            return super()._impl_v10(inputs, attr, params)
        rank = len(frontend.infer_shape(data))
        begin, end, axis = (one.data.numpy().astype(np.int64) for one in (starts, ends, axes))
        step = np.ones_like(begin) if steps is None else steps.data.numpy().astype(np.int64)
        axis = np.where(axis < 0, axis + rank, axis)
        return relay.strided_slice(data, *map(list, (begin, end, step)), axes=list(axis))


_ADDED = {"LpNormalization": _LpNormalization}
_REPLACED = {
    "GatherElements": _GatherElements,
    "OneHot": _OneHot,
    "Slice": _Slice,
    "QuantizeLinear": _QuantizeLinear,
    "DequantizeLinear": _DequantizeLinear,
}


@functools.lru_cache(maxsize=None)
def fix_importer() -> None:
    """Apply the corrections; done once."""
    frontend.Reduce._impl_v13 = classmethod(_reduce)
    frontend.Clip._impl_v11 = classmethod(_clip)
    frontend.normalize_gather_indices = _indices_from_the_end(frontend.normalize_gather_indices)
    frontend.LpPool._impl_v1 = classmethod(_of_magnitudes(frontend.LpPool._impl_v1))
    for scatter in (frontend.ScatterND, frontend.ScatterElements):
        scatter._impl_v16 = _without_reduction(scatter._impl_v16)
    original = frontend._get_convert_map

    @functools.lru_cache(maxsize=None)
    def all_converters(opset):
        added = {name: c.get_converter(opset) for name, c in _ADDED.items()}
        replaced = {name: c.get_converter(opset) for name, c in _REPLACED.items()}
        for operator in OPERATORS.values():
            replaced.update(operator.converters)
        return {**added, **original(opset), **replaced}

    # A copy: TVM asks for them once a node, and others change what they get.
    frontend._get_convert_map = lambda opset: dict(all_converters(opset))
