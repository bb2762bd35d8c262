"""A quantized model (QuantizeLinear and DequantizeLinear with free scales) as the float model that it came from.

The weights become the floats that their integers stand for; activations are no longer rounded. The model can then be
quantized again with the power-of-two scales of the kernels.
"""

from __future__ import annotations

from typing import Dict, Optional

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from ..errors import UserError
from ..naming import shown

_QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")


def is_quantized(model: onnx.ModelProto) -> bool:
    """True where activations or weights are quantized."""
    return any(node.op_type in _QUANTIZERS or node.op_type.startswith("QLinear") for node in model.graph.node)


def dequantize(model: onnx.ModelProto, path) -> None:
    """Remove all quantizers in place; inputs and outputs that were int8 become float32."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and len(node.attribute) == 1 and node.attribute[0].name == "value":
            constants[node.output[0]] = node.attribute[0].t
    renamed: Dict[str, str] = {}
    kept = []
    for node in graph.node:
        if node.op_type not in _QUANTIZERS:
            kept.append(node)
            continue
        tensor = constants.get(node.input[0])
        if node.op_type == "DequantizeLinear" and tensor is not None:
            graph.initializer.append(numpy_helper.from_array(_floats(node, constants, path), node.output[0]))
        else:
            renamed[node.output[0]] = node.input[0]

    def source(name: str) -> str:
        """The tensor before all quantizers."""
        while name in renamed:
            name = renamed[name]
        return name

    for node in kept:
        for i, name in enumerate(node.input):
            node.input[i] = source(name)
    for value in graph.output:
        if value.name in renamed:
            kept.append(onnx.helper.make_node("Identity", [source(value.name)], [value.name], f"{value.name}/float"))
    del graph.node[:]
    graph.node.extend(kept)
    del graph.value_info[:]
    for value in [*graph.input, *graph.output]:
        if value.type.tensor_type.elem_type in (TensorProto.INT8, TensorProto.UINT8):
            value.type.tensor_type.elem_type = TensorProto.FLOAT


def _floats(node: onnx.NodeProto, constants: Dict[str, TensorProto], path) -> np.ndarray:
    """(integer - zero point) * scale, along the node's axis."""
    values = [_value(constants, name) for name in node.input]
    if values[0] is None or values[1] is None or (len(node.input) > 2 and node.input[2] and values[2] is None):
        raise UserError(
            f"{path}: the scale of '{shown(node.input[0])}' is computed in the model; convert its float model"
        )
    data, scale = values[0].astype(np.float64), values[1].astype(np.float64)
    zero = values[2].astype(np.float64) if len(values) > 2 and values[2] is not None else np.zeros_like(scale)
    if scale.ndim == 1 and scale.size > 1:
        axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
        shape = [1] * data.ndim
        shape[axis] = scale.size
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    return ((data - zero) * scale).astype(np.float32)


def _value(constants: Dict[str, TensorProto], name: str) -> Optional[np.ndarray]:
    return numpy_helper.to_array(constants[name]) if name in constants else None
