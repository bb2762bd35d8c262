"""Weights of four bits (opset 21: INT4, UINT4) as int8, which the pinned tools read; weights with a scale per block as
the floats that they stand for.
"""

from __future__ import annotations

from typing import Dict, Optional

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from ..errors import UserError
from ..naming import shown
from ..onnx_graph import attribute, edited, is_standard

# Element types since IR 10, which onnx 1.12 has no names for.
_UINT4, _INT4 = 21, 22


def widen_int4(model: onnx.ModelProto, path) -> None:
    """Turn constants of four bits into int8 and uint8 of the same values, in place; then blocks of weights into floats.

    `UserError` for a constant whose amount of data does not match its shape.
    """
    tensors = list(model.graph.initializer)
    tensors += [a.t for node in model.graph.node for a in node.attribute if a.type == onnx.AttributeProto.TENSOR]
    for tensor in tensors:
        if tensor.data_type in (_UINT4, _INT4):
            values = _unpacked(tensor)
            if values is None:
                raise UserError(
                    f"{path}: constant '{shown(tensor.name)}': its data are not the values of four bits that its shape "
                    f"{list(tensor.dims)} says; export the model again"
                )
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    if any(_is_blocked(node) for node in model.graph.node):
        with edited(model) as graph:
            for node in graph.nodes:
                if _is_blocked(node):
                    values = _dequantized(node, graph.constants)
                    if values is not None:
                        graph.fold(node, values)


def _unpacked(tensor: TensorProto) -> Optional[np.ndarray]:
    """Two values in a byte, the lower four bits first."""
    packed = np.frombuffer(tensor.raw_data, np.uint8) if tensor.raw_data else np.array(tensor.int32_data, np.uint8)
    count = int(np.prod(tensor.dims, dtype=np.int64))
    values = np.stack([packed & 15, packed >> 4], -1).ravel()
    if len(packed) != (count + 1) // 2:
        return None
    values = values[:count].reshape(tuple(tensor.dims))
    if tensor.data_type == _UINT4:
        return values
    return np.where(values > 7, values.astype(np.int16) - 16, values).astype(np.int8)


def _is_blocked(node: onnx.NodeProto) -> bool:
    return is_standard(node, "DequantizeLinear") and bool(attribute(node, "block_size", 0))


def _dequantized(node: onnx.NodeProto, constants) -> Optional[np.ndarray]:
    given: Dict[int, np.ndarray] = {i: constants[name] for i, name in enumerate(node.input) if name in constants}
    if len(given) != len([name for name in node.input if name]):
        return None
    block, values = attribute(node, "block_size"), given[0]
    axis = attribute(node, "axis", 1) % max(values.ndim, 1)

    def along(parameters: np.ndarray) -> np.ndarray:
        spread = np.repeat(parameters, block, axis)
        return np.take(spread, range(values.shape[axis]), axis)

    if given[1].ndim != values.ndim or given[1].shape[axis] * block < values.shape[axis]:
        return None
    zero = along(given[2]).astype(np.float64) if 2 in given else 0.0
    return ((values.astype(np.float64) - zero) * along(given[1]).astype(np.float64)).astype(np.float32)


__all__ = ["widen_int4"]
