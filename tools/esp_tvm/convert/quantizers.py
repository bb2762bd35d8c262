"""Checks QuantizeLinear and DequantizeLinear against ONNX's definition and refuses invalid ones."""

from __future__ import annotations

from typing import Dict, Optional

import numpy as np
import onnx
from onnx import numpy_helper

from ..errors import UserError
from ..naming import shown
from ..onnx_graph import STANDARD_DOMAINS, attribute, constant_value, is_standard


def check_quantizers(model: onnx.ModelProto, path) -> None:
    """Check that scales are finite and positive, zero points of the right type, and both as many as the axis has
    positions.

    Raises a `UserError` that names the node.
    """
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    made = {node.output[0]: constant_value(node) for node in model.graph.node if node.op_type == "Constant"}
    constants.update({name: array for name, array in made.items() if array is not None})
    types = {name: array.dtype for name, array in constants.items()}
    element = onnx.mapping.TENSOR_TYPE_TO_NP_TYPE
    types.update({value.name: element.get(value.type.tensor_type.elem_type) for value in model.graph.input})
    for node in model.graph.node:
        if is_standard(node, "Cast"):
            types[node.output[0]] = element.get(attribute(node, "to"))
        if node.domain in STANDARD_DOMAINS and node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            why = _what_is_wrong(node, constants, types)
            if why:
                raise UserError(f"{path}: node '{shown(node.name or node.output[0])}' ({node.op_type}): {why}")


def _what_is_wrong(node: onnx.NodeProto, constants: Dict[str, np.ndarray], types: Dict) -> Optional[str]:
    scale = constants.get(node.input[1]) if len(node.input) > 1 else None
    zero = constants.get(node.input[2]) if len(node.input) > 2 else None
    quantizes = node.op_type == "QuantizeLinear"
    if quantizes:
        types[node.output[0]] = zero.dtype if zero is not None else np.dtype(np.uint8)
    if scale is not None and not (np.isfinite(scale) & (scale > 0)).all():
        return (
            f"its scale is {float(scale[~(np.isfinite(scale) & (scale > 0))].reshape(-1)[0]):.6g}, no positive number"
        )
    if zero is None:
        return _wrong_length(node, scale, constants)
    if zero.dtype.kind not in "iu" or (quantizes and zero.dtype.itemsize > 2):
        return f"its zero point is of type {zero.dtype}, which nothing is quantized to"
    given = types.get(node.input[0])
    if not quantizes and given is not None and given != zero.dtype:
        return f"its zero point is of type {zero.dtype}, what it dequantizes of type {given}"
    if not quantizes and zero.dtype == np.int32 and zero.any():
        return "its zero point is not 0, as it must be for int32"
    if scale is not None and scale.size != zero.size:
        return f"it has {scale.size} scales but {zero.size} zero points"
    return _wrong_length(node, scale, constants)


def _wrong_length(node: onnx.NodeProto, scale: Optional[np.ndarray], constants: Dict) -> Optional[str]:
    """The same for one scale per channel, if the tensor is a constant."""
    values = constants.get(node.input[0])
    if scale is None or values is None or scale.size == 1:
        return None
    axis = attribute(node, "axis", 1)
    if not -values.ndim <= axis < values.ndim:
        return f"axis {axis} of a tensor with {values.ndim} axes"
    if scale.size != values.shape[axis]:
        return f"it has {scale.size} scales for {values.shape[axis]} channels (axis {axis})"
    return None
