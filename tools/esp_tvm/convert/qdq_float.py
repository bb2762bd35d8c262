"""The float model of a model that was quantized elsewhere, with the ranges that its tensors had."""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..errors import UserError
from ..naming import shown
from .qdq import Qdq, Scale, along, axis_of, moves_values

# What these make is never negative anyway.
_NOT_NEGATIVE = ("Relu", "Sigmoid", "Softmax", "HardSigmoid", "Abs", "Sqrt", "Exp")


def strip(qdq: Qdq) -> Tuple[onnx.ModelProto, Dict[str, Scale]]:
    """(the float model without quantizers, how the tensors in it were quantized).

    Other tools leave a Relu to the lower end of a tensor's range; here it is a Relu again, and Relu6 a Clip.
    """
    scales: Dict[str, Scale] = {}
    renamed: Dict[str, str] = {}
    nodes: List[onnx.NodeProto] = []
    constants = dict(qdq.constants)

    def source(name: str) -> str:
        while name in renamed:
            name = renamed[name]
        return name

    made: Dict[str, onnx.NodeProto] = {}
    for node in qdq.nodes:
        if node.op_type == "DequantizeLinear":
            values = qdq.constants.get(node.input[0])
            if values is not None:
                scale, zero = (along(p, values.ndim, axis_of(node)) for p in qdq.parameters(node))
                real = (values.astype(np.float64) - zero.astype(np.float64)) * scale.astype(np.float64)
                constants[node.output[0]] = real.astype(np.float32)
            elif node.input[0] in renamed:
                renamed[node.output[0]] = source(node.input[0])
            else:
                raise UserError(
                    f"{qdq.path}: '{shown(node.input[0])}' is an integer that no QuantizeLinear makes; export the "
                    "model with float inputs"
                )
            continue
        if node.op_type == "QuantizeLinear":
            name, scale = source(node.input[0]), qdq.scale_of(node)
            if scale is None:
                raise UserError(f"{qdq.path}: tensor '{shown(name)}' has one scale per channel; quantize it per tensor")
            bounded = _bounded(name, scale, made, scales, qdq)
            if bounded is not None:
                nodes.append(bounded)
                made[bounded.output[0]] = bounded
                constants.update({k: v for k, v in qdq.constants.items() if k not in constants})
                name = bounded.output[0]
            scales.setdefault(name, scale)
            renamed[node.output[0]] = name
            continue
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = [source(name) for name in node.input]
        nodes.append(copy)
        made.update((name, copy) for name in copy.output)
    # Outputs keep their names: what makes them takes these.
    for name in [v.name for v in qdq.graph.output if v.name in renamed]:
        inner = source(name)
        if inner in {v.name for v in qdq.graph.input} | qdq.outputs:
            nodes.append(helper.make_node("Identity", [inner], [name], qdq.fresh(f"{name}_Identity")))
            continue
        for node in nodes:
            node.input[:] = [name if one == inner else one for one in node.input]
            node.output[:] = [name if one == inner else one for one in node.output]
        if inner in scales:
            scales[name] = scales.pop(inner)
        renamed = {k: name if v == inner else v for k, v in renamed.items()}
    used = {name for node in nodes for name in node.input} | qdq.outputs
    for value in qdq.graph.output:
        if value.type.tensor_type.elem_type in (TensorProto.INT8, TensorProto.UINT8):
            raise UserError(f"{qdq.path}: output '{shown(value.name)}' is int8; export the model with float outputs")
    graph = helper.make_graph(
        nodes,
        qdq.graph.name,
        qdq.graph.input,
        qdq.graph.output,
        [numpy_helper.from_array(np.array(v, order="C"), k) for k, v in constants.items() if k in used],
    )
    model = onnx.ModelProto()
    model.CopyFrom(qdq.model)
    model.graph.CopyFrom(graph)
    onnx.checker.check_model(model)
    return model, scales


def _bounded(name: str, scale: Scale, made: Dict, scales: Dict[str, Scale], qdq: Qdq) -> Optional[onnx.NodeProto]:
    """The Relu or Clip that the range of a tensor stands for; None where it stands for none."""
    maker = made.get(name)
    if maker is None or scale.zero != scale.low or maker.op_type in _NOT_NEGATIVE or name in scales:
        return None
    if maker.op_type == "Clip" and np.all(qdq.constants.get(maker.input[1], np.float32(-1)) >= 0):
        return None
    if moves_values(qdq, maker) and maker.input[0] in scales and scales[maker.input[0]].zero == scale.low:
        return None
    label = qdq.fresh(f"{name}_relu")
    if abs(scale.range[1] - 6.0) < 0.006:
        bounds = [qdq.constant(f"{label}_{what}", np.float32(v)) for what, v in (("low", 0.0), ("high", 6.0))]
        return helper.make_node("Clip", [name, *bounds], [label], qdq.fresh(f"{label}_"))
    return helper.make_node("Relu", [name], [label], qdq.fresh(f"{label}_"))
