"""What TVM's ONNX importer reads wrongly or not at all, put right."""

from __future__ import annotations

import functools
from typing import List

from tvm import relay
from tvm.relay.frontend import onnx as frontend


def _constant_axes(inputs, attr) -> List[int]:
    """The axes of a reduction of opset 13 (second input), all of them where none are given."""
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


_ADDED = {"LpNormalization": _LpNormalization}


@functools.lru_cache(maxsize=None)
def fix_importer() -> None:
    """Put the importer right; done once."""
    frontend.Reduce._impl_v13 = classmethod(_reduce)
    original = frontend._get_convert_map

    def convert_map(opset):
        added = {name: c.get_converter(opset) for name, c in _ADDED.items()}
        return {**added, **original(opset)}

    frontend._get_convert_map = convert_map
