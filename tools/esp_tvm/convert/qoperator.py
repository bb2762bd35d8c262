"""Quantized operators (QLinearConv, QGemm, ...: ONNX Runtime's QOperator form) as float operators between
DequantizeLinear and QuantizeLinear, which is what every later step reads."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Set

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ..errors import UserError
from ..naming import shown

# Operator -> its float one; inputs are (value, scale, zero point) for each operand, then the result's scale and zero
# point in front of or behind the operands.
_PLAIN = {
    "QLinearAdd": "Add",
    "QLinearMul": "Mul",
    "QLinearSigmoid": "Sigmoid",
    "QLinearLeakyRelu": "LeakyRelu",
    "QLinearGlobalAveragePool": "GlobalAveragePool",
    "QLinearAveragePool": "AveragePool",
    "QLinearReduceMean": "ReduceMean",
    "QLinearMatMul": "MatMul",
}
_KNOWN = {*_PLAIN, "QLinearConv", "QLinearConcat", "QLinearSoftmax", "QGemm"}
_DYNAMIC = {"DynamicQuantizeLinear", "ConvInteger", "MatMulInteger", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"}


def refuse_dynamic(model: onnx.ModelProto, path) -> None:
    """`UserError` for scales that are only known while the model runs."""
    for node in model.graph.node:
        if node.op_type in _DYNAMIC:
            raise UserError(
                f"{path}: node '{shown(node.name)}' ({node.op_type}) is quantized dynamically, its scales are known "
                "only while it runs; give the float model, or one quantized statically (quantize_static)"
            )


def constants_of(graph: onnx.GraphProto) -> Dict[str, np.ndarray]:
    """The values of initializers and Constant nodes."""
    found = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    for node in graph.node:
        for a in node.attribute:
            if node.op_type == "Constant" and a.name == "value":
                found[node.output[0]] = numpy_helper.to_array(a.t)
    return found


def _convertible(node: onnx.NodeProto, constants: Set[str]) -> bool:
    """A quantized operator whose scales and zero points are constants; others stay as they are."""
    return node.op_type in _KNOWN and sum(name in constants for name in node.input) >= 4


def to_qdq(model: onnx.ModelProto, path) -> None:
    """Rewrite quantized operators with constant scales, in place."""
    constants = set(constants_of(model.graph))
    found = {i for i, node in enumerate(model.graph.node) if _convertible(node, constants)}
    if not found:
        return
    writer = _Writer(model.graph)
    for index, node in enumerate(model.graph.node):
        if index in found:
            writer.operator(node)
        else:
            writer.nodes.append(node)
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in writer.nodes]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    used = {node.domain for node in writer.nodes} | {""}
    kept = [entry for entry in model.opset_import if entry.domain in used or entry.domain == "ai.onnx"]
    del model.opset_import[:]
    model.opset_import.extend(kept)


class _Writer:
    def __init__(self, graph: onnx.GraphProto):
        self.nodes: List[onnx.NodeProto] = []
        self.names = {name for node in graph.node for name in [*node.output, node.name]}
        self.names |= {t.name for t in graph.initializer} | {v.name for v in graph.input}
        self.graph = graph
        self.constants = constants_of(graph)

    def fresh(self, base: str) -> str:
        name, number = base, 1
        while name in self.names:
            name, number = f"{base}_{number}", number + 1
        self.names.add(name)
        return name

    def real(self, value: str, scale: str, zero: str = "", axis: Optional[int] = None) -> str:
        """The float value of an int8 tensor."""
        output = self.fresh(f"{value}_dequantized")
        attributes = {} if axis is None else {"axis": axis}
        inputs = [value, scale, zero] if zero else [value, scale]
        self.nodes.append(
            helper.make_node("DequantizeLinear", inputs, [output], self.fresh(f"{output}_"), **attributes)
        )
        return output

    def emit(self, node: onnx.NodeProto, op_type: str, inputs: Sequence[str], scale: str, zero: str, **more) -> None:
        """The float operator and the QuantizeLinear that makes the node's output."""
        raw = self.fresh(f"{node.output[0]}_float")
        made = helper.make_node(op_type, list(inputs), [raw], node.name)
        dropped = {"channels_last", "opset"}
        made.attribute.extend(a for a in node.attribute if a.name not in dropped and a.name not in more)
        made.attribute.extend(helper.make_attribute(name, value) for name, value in more.items())
        given = [raw, scale, zero] if zero else [raw, scale]
        self.nodes += [made, helper.make_node("QuantizeLinear", given, list(node.output), self.fresh(f"{raw}_"))]

    def channels(self, scale: str, axis: int) -> Optional[int]:
        """The axis of scales that are one per channel."""
        return axis if self.constants[scale].size > 1 else None

    def bias(self, name: str, x_scale: str, w_scale: str) -> str:
        """A float bias of an int32 one: at the product of the scales of input and weights."""
        step = self.fresh(f"{name}_scale")
        self.constants[step] = (self.constants[x_scale].reshape(()) * self.constants[w_scale]).astype(np.float32)
        self.graph.initializer.append(numpy_helper.from_array(self.constants[step], step))
        return self.real(name, step, axis=self.channels(step, 0))

    def operator(self, node: onnx.NodeProto) -> None:
        name, i = node.op_type, [*node.input, "", "", "", ""]
        if any(a.name == "channels_last" and a.i for a in node.attribute):
            raise UserError(f"node '{shown(node.name)}' ({name}) is channels_last; export the model as QDQ (NCHW)")
        if name == "QLinearConv":
            inputs = [self.real(*i[0:3]), self.real(*i[3:6], axis=self.channels(i[4], 0))]
            if i[8]:
                inputs.append(self.bias(i[8], i[1], i[4]))
            self.emit(node, "Conv", inputs, i[6], i[7])
        elif name == "QGemm":
            transposed = any(a.name == "transB" and a.i for a in node.attribute)
            inputs = [self.real(*i[0:3]), self.real(*i[3:6], axis=self.channels(i[4], 0 if transposed else 1))]
            if i[6]:
                inputs.append(self.bias(i[6], i[1], i[4]))
            self.emit(node, "Gemm", inputs, i[7], i[8])
        elif name == "QLinearConcat":
            operands = [self.real(*node.input[k : k + 3]) for k in range(2, len(node.input), 3)]
            self.emit(node, "Concat", operands, i[0], i[1])
        elif name == "QLinearSoftmax":
            self.emit(node, "Softmax", [self.real(*i[0:3])], i[3], i[4])
        elif name in ("QLinearAdd", "QLinearMul", "QLinearMatMul"):
            second = self.real(*i[3:6], axis=self.channels(i[4], 1) if name == "QLinearMatMul" else None)
            self.emit(node, _PLAIN[name], [self.real(*i[0:3]), second], i[6], i[7])
        else:
            self.emit(node, _PLAIN[name], [self.real(*i[0:3])], i[3], i[4])


__all__ = ["refuse_dynamic", "to_qdq"]
