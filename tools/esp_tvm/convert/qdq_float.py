"""The float model of a model that was quantized elsewhere, with the ranges that its tensors had."""

from __future__ import annotations

from typing import Container, Dict, List, Tuple

import numpy as np
import onnx
from onnx import TensorProto, helper

from ..errors import UserError
from ..naming import shown
from .qdq import Qdq, Scale, along, axis_of

# Their results are never negative anyway.
_NOT_NEGATIVE = ("Relu", "Sigmoid", "Softmax", "HardSigmoid", "Abs", "Sqrt", "Exp")


def strip(qdq: Qdq, saturated: Container[str] = ()) -> Tuple[onnx.ModelProto, Dict[str, Scale]]:
    """(the float model without quantizers, how the tensors in it were quantized).

    Other tools express a Relu by the lower end of a tensor's range; it becomes a Relu again here, and Relu6 a Clip.
    saturated: tensors with values beyond their range, which is what another Clip became; they get one again
    """
    scales: Dict[str, Scale] = {}
    of_inputs: Dict[str, Scale] = {}
    # Integer tensor -> the float tensor it was quantized from.
    real: Dict[str, str] = {}
    for node in qdq.nodes:
        if node.op_type == "DequantizeLinear":
            _dequantized(qdq, node, real)
        elif node.op_type == "QuantizeLinear":
            name, scale = node.input[0], qdq.scale_of(node)
            if scale is None:
                raise UserError(f"{qdq.path}: tensor '{shown(name)}' has one scale per channel; quantize it per tensor")
            bounded = _bounded(name, scale, scales, qdq, saturated)
            qdq.replace(node, *bounded)
            if name in qdq.inputs:
                of_inputs.setdefault(name, scale)
            name = bounded[0].output[0] if bounded else name
            scales.setdefault(name, scale)
            real[node.output[0]] = name
    scales = {**of_inputs, **scales}
    # Outputs keep their names: the tensors that become outputs get these names.
    for name in [value.name for value in qdq.proto.output if value.name in real]:
        inner = real[name]
        if inner in qdq.inputs | qdq.outputs:
            qdq.append(helper.make_node("Identity", [inner], [name], qdq.fresh_node(f"{name}_Identity")))
            continue
        qdq.rename(inner, name)
        if inner in scales:
            scales[name] = scales.pop(inner)
        real = {k: name if v == inner else v for k, v in real.items()}
    for value in qdq.proto.output:
        if value.type.tensor_type.elem_type in (TensorProto.INT8, TensorProto.UINT8):
            raise UserError(f"{qdq.path}: output '{shown(value.name)}' is int8; export the model with float outputs")
    return qdq.finished(), scales


def _dequantized(qdq: Qdq, node: onnx.NodeProto, real: Dict[str, str]) -> None:
    """A DequantizeLinear's output as the float constant, or as the float tensor that was quantized."""
    values = qdq.constants.get(node.input[0])
    if values is not None:
        scale, zero = (along(p, values.ndim, axis_of(node)) for p in qdq.parameters(node))
        qdq.fold(node, ((values.astype(np.float64) - zero) * scale.astype(np.float64)).astype(np.float32))
    elif node.input[0] in real:
        real[node.output[0]] = real[node.input[0]]
        qdq.remove(node)
        qdq.redirect(node.output[0], real[node.input[0]])
    else:
        raise UserError(
            f"{qdq.path}: '{shown(node.input[0])}' is an integer that no QuantizeLinear makes; export the "
            "model with float inputs"
        )


def _bounded(
    name: str, scale: Scale, scales: Dict[str, Scale], qdq: Qdq, saturated: Container[str]
) -> List[onnx.NodeProto]:
    """The Relu or Clip that the range of a tensor implies; none if it implies none."""
    maker = qdq.producer(name)
    if name not in scales and name in saturated:
        return [_clip(name, scale.range, qdq)]
    if maker is None or scale.zero != scale.low or maker.op_type in _NOT_NEGATIVE or name in scales:
        return []
    if maker.op_type == "Clip" and np.all(qdq.constants.get(maker.input[1], np.float32(-1)) >= 0):
        return []
    moved = maker.input[: qdq.moved_inputs(maker)]
    if moved and all(source in scales and scales[source].zero == scale.low for source in moved):
        return []
    if abs(scale.range[1] - 6.0) < 0.006:
        return [_clip(name, (0.0, 6.0), qdq)]
    label = qdq.fresh(f"{name}_relu")
    return [helper.make_node("Relu", [name], [label], qdq.fresh_node(f"{label}_"))]


def _clip(name: str, bounds: Tuple[float, float], qdq: Qdq) -> onnx.NodeProto:
    label = qdq.fresh(f"{name}_clip")
    names = [qdq.add_constant(f"{label}_{what}", v, np.float32) for what, v in zip(("low", "high"), bounds)]
    return helper.make_node("Clip", [name, *names], [label], qdq.fresh_node(f"{label}_"))
