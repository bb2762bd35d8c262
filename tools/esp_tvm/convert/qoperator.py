"""Quantized operators (QLinearConv, QGemm, ...: ONNX Runtime's QOperator form) as float operators between
DequantizeLinear and QuantizeLinear, which is what every later step reads."""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

import numpy as np
import onnx
from onnx import helper

from ..errors import UserError
from ..naming import shown
from ..onnx_graph import Graph, attribute, drop_attributes, edited, keep_opsets, set_attributes

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
    """`UserError` for scales that are known only at run time."""
    for node in model.graph.node:
        if node.op_type in _DYNAMIC:
            raise UserError(
                f"{path}: node '{shown(node.name)}' ({node.op_type}) is quantized dynamically, its scales are known "
                "only while it runs; give the float model, or one quantized statically (quantize_static)"
            )


def _convertible(node: onnx.NodeProto, graph: Graph) -> bool:
    """A quantized operator whose scales and zero points are constants; others are not changed."""
    return node.op_type in _KNOWN and sum(name in graph.constants for name in node.input) >= 4


def to_qdq(model: onnx.ModelProto, path) -> None:
    """Rewrite quantized operators with constant scales, in place."""
    if not any(node.op_type in _KNOWN for node in model.graph.node):
        return
    with edited(model) as graph:
        found = [node for node in graph.nodes if _convertible(node, graph)]
        for node in found:
            _check_constants(graph, node, path)
            graph.replace(node, *_Rewriting(graph, node).nodes)
    if found:
        keep_opsets(model, {node.domain for node in model.graph.node})


def _check_constants(graph: Graph, node: onnx.NodeProto, path) -> None:
    """`UserError` for scales that are no float32, and inputs without a scale of their own."""
    label = f"{path}: node '{shown(node.name)}' ({node.op_type})"
    pairs = _scales_and_zeros(node)
    for value, scale, zero in pairs:
        steps, zeros = graph.constant(scale), graph.constant(zero)
        if not scale or (steps is not None and (steps.dtype != np.float32 or steps.ndim > 1)):
            raise UserError(f"{label}: the scale '{shown(scale)}' of '{shown(value)}' is no float32; export it again")
        if zeros is not None and zeros.dtype not in (np.int8, np.uint8):
            raise UserError(f"{label}: the zero point '{shown(zero)}' is {zeros.dtype}, not int8 or uint8")
    first = graph.constant(pairs[0][1])
    if first is not None and first.size != 1:
        raise UserError(f"{label}: its input has {first.size} scales; quantize activations per tensor")


def _scales_and_zeros(node: onnx.NodeProto) -> List[Tuple[str, str, str]]:
    """(value, its scale, its zero point) of each operand."""
    names = [*node.input, *[""] * 6]
    if node.op_type == "QLinearConcat":
        return [tuple(node.input[k : k + 3]) for k in range(2, len(node.input) - 2, 3)]
    two = node.op_type in ("QLinearConv", "QGemm", "QLinearAdd", "QLinearMul", "QLinearMatMul")
    return [tuple(names[k : k + 3]) for k in ((0, 3) if two else (0,))]


class _Rewriting:
    """The nodes that replace one quantized operator."""

    def __init__(self, graph: Graph, node: onnx.NodeProto):
        self.graph = graph
        self.nodes: List[onnx.NodeProto] = []
        self.operator(node)

    def real(self, value: str, scale: str, zero: str = "", axis: Optional[int] = None) -> str:
        """The float value of an int8 tensor."""
        output = self.graph.fresh(f"{value}_dequantized")
        given = {} if axis is None else {"axis": axis}
        inputs = [value, scale, zero] if zero else [value, scale]
        self.nodes.append(self.graph.make("DequantizeLinear", inputs, [output], f"{output}_", **given))
        return output

    def emit(self, node: onnx.NodeProto, op_type: str, inputs: Sequence[str], scale: str, zero: str, **more) -> None:
        """The float operator and the QuantizeLinear that computes the node's output."""
        raw = self.graph.fresh(f"{node.output[0]}_float")
        made = helper.make_node(op_type, list(inputs), [raw], node.name)
        made.attribute.extend(node.attribute)
        drop_attributes(made, "channels_last", "opset")
        set_attributes(made, **more)
        given = [raw, scale, zero] if zero else [raw, scale]
        self.nodes += [made, self.graph.make("QuantizeLinear", given, node.output, f"{raw}_")]

    def channels(self, scale: str, axis: int) -> Optional[int]:
        """The axis of scales that are one per channel."""
        return axis if self.graph.constants[scale].size > 1 else None

    def bias(self, name: str, x_scale: str, w_scale: str) -> str:
        """The float bias for an int32 one, whose scale is the product of the scales of input and weights."""
        constants = self.graph.constants
        step = self.graph.add_constant(f"{name}_scale", constants[x_scale].reshape(()) * constants[w_scale], np.float32)
        return self.real(name, step, axis=self.channels(step, 0))

    def operator(self, node: onnx.NodeProto) -> None:
        name, i = node.op_type, [*node.input, "", "", "", ""]
        if attribute(node, "channels_last"):
            raise UserError(f"node '{shown(node.name)}' ({name}) is channels_last; export the model as QDQ (NCHW)")
        if name == "QLinearConv":
            inputs = [self.real(*i[0:3]), self.real(*i[3:6], axis=self.channels(i[4], 0))]
            if i[8]:
                inputs.append(self.bias(i[8], i[1], i[4]))
            self.emit(node, "Conv", inputs, i[6], i[7])
        elif name == "QGemm":
            transposed = attribute(node, "transB")
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
