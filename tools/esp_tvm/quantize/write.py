"""The quantized model as standard ONNX: float operators between DequantizeLinear and QuantizeLinear."""

from __future__ import annotations

from typing import Dict, List

import numpy as np
import onnx
from onnx import helper

from ..convert.int16 import expand
from ..onnx_graph import Graph, copied, copied_node, drop_unused_constants, opset_of
from .calibrate import covering_exponent
from .graph import Layer, Network
from .rules import WITH_CONSTANTS, WITH_SINGLE_CONSTANTS
from .weighted import weighted_operands
from .weights import Weights


def write_qdq(network: Network, exponents: Dict[str, int], weights: Dict[str, Weights]) -> onnx.ModelProto:
    """`network` quantized: exponents by tensor, weights by the output tensor of their layer."""
    return _Writer(network, exponents, weights).write()


class _Writer:
    def __init__(self, network: Network, exponents: Dict[str, int], weights: Dict[str, Weights]):
        self.network, self.exponents, self.weights = network, exponents, weights
        # Only the names and the constants of the float model; nodes are added one by one.
        self.graph = Graph(copied(network.model))
        self.graph.remove(*self.graph.nodes)
        self.scales: Dict[int, str] = {}
        self.zero = ""
        # Tensor of the float model -> the tensor that integer layers read, and the one that float layers read.
        self.dequantized: Dict[str, str] = {}
        self.renamed: Dict[str, str] = {}
        self.produced_int = {layer.output for layer in network.layers if layer.rule is not None}
        self.integers = set(network.integers)

    def fresh(self, base: str) -> str:
        return self.graph.fresh(base)

    def node(self, op_type: str, inputs: List[str], output: str, base: str, **attributes) -> None:
        self.graph.append(self.graph.make(op_type, inputs, [output], base, **attributes))

    def constant(self, base: str, array: np.ndarray) -> str:
        return self.graph.add_constant(base, array)

    def scale(self, exponent: int) -> str:
        if exponent not in self.scales:
            self.scales[exponent] = self.constant(f"scale_2^{exponent}", np.float32(2.0**exponent).reshape(()))
        return self.scales[exponent]

    def zero_point(self) -> str:
        if not self.zero:
            self.zero = self.constant("zero_point", np.zeros((), np.int8))
        return self.zero

    def write(self) -> onnx.ModelProto:
        source = self.network.model
        graph = source.graph
        for name in self.network.inputs:
            if name in self.integers:
                self.quantize(name, self.entered(name))
        for layer in self.network.layers:
            self.layer(layer)
        self.graph.write()
        drop_unused_constants(self.graph.proto)
        made = self.graph.proto
        model = helper.make_model(
            helper.make_graph(made.node, graph.name, graph.input, graph.output, made.initializer),
            opset_imports=[helper.make_opsetid("", opset_of(source))],
            producer_name="esp_quantize_onnx",
        )
        model.ir_version = max(source.ir_version, 7)
        onnx.checker.check_model(model)
        return model

    def entered(self, name: str) -> str:
        """The value of an input that is quantized: what its constant leaves of it."""
        if name not in self.network.centres:
            return name
        centre = self.constant(f"{name}_centre", np.float32(self.network.centres[name]).reshape(()))
        raw = self.fresh(f"{name}_centred")
        self.node("Sub", [name, centre], raw, f"{name}_centering")
        return raw

    def quantize(self, name: str, raw: str) -> None:
        """QuantizeLinear and DequantizeLinear after the float value `raw` of tensor `name`."""
        ends = name in self.network.outputs and name in self.produced_int
        real = name if ends else self.fresh(f"{name}_dequantized")
        self.dequantized[name] = real
        if name in self.network.wide:
            expand(self.node, self.constant, self.fresh, raw, name, self.exponents[name], real)
            return
        scale, zero = self.scale(self.exponents[name]), self.zero_point()
        whole = self.fresh(f"{name}_quantized")
        self.node("QuantizeLinear", [raw, scale, zero], whole, f"{name}_QuantizeLinear")
        self.node("DequantizeLinear", [whole, scale, zero], real, f"{name}_DequantizeLinear")

    def layer(self, layer: Layer) -> None:
        copies = []
        for index in layer.nodes:
            copies.append(copied_node(self.network.model.graph.node[index]))
        integer = layer.rule is not None
        if layer.output in self.weights:
            self.constants_of(layer, copies)
        if layer.padding is not None:
            self.pad(layer, copies[0])
        if integer and not weighted_operands(self, layer, copies):
            for copy in copies:
                self.operands_of(copy)
        raw = layer.output
        if integer and layer.output in self.integers and layer.output in self.network.outputs:
            raw = self.fresh(f"{layer.output}_float")
        inner = {name for copy in copies for name in copy.output}
        if layer.padding is not None:
            inner.add(copies[0].input[0])
        for copy in copies:
            copy.input[:] = [name if name in inner else self.reads(name, integer) for name in copy.input]
            copy.output[:] = [raw if name == layer.output else name for name in copy.output]
        self.graph.append(*copies)
        if layer.output in self.integers:
            self.quantize(layer.output, raw)

    def pad(self, layer: Layer, conv: onnx.NodeProto) -> None:
        """The Pad before a Conv, of a value that its input holds."""
        exponent = self.exponents[layer.inputs[0]]
        value = self.network.filling(layer, exponent) * 2.0**exponent
        widths = [*(0, 0), *layer.padding.before, *(0, 0), *layer.padding.after]
        pads = self.constant(f"{conv.name}_pads", np.array(widths, np.int64))
        filling = self.constant(f"{conv.name}_filling", np.float32(value).reshape(()))
        conv.input[0] = self.fresh(f"{layer.inputs[0]}_padded")
        self.node("Pad", [self.reads(layer.inputs[0], True), pads, filling], conv.input[0], f"{conv.name}_Pad")

    def reads(self, name: str, integer: bool) -> str:
        """The tensor that a layer reads for `name`: float layers read the float value if there is one."""
        if name in self.dequantized and (integer or name in self.produced_int):
            return self.dequantized[name]
        return name

    def operands_of(self, node: onnx.NodeProto) -> None:
        """Constant operands of several values as int8 with the finest exponent that covers them."""
        for position, name in enumerate(node.input):
            values = self.network.constants.get(name)
            if node.op_type not in WITH_CONSTANTS or values is None or values.dtype != np.float32:
                continue
            if values.size == 1 and node.op_type not in WITH_SINGLE_CONSTANTS:
                continue
            scale = np.float32(2.0 ** covering_exponent(float(values.min()), float(values.max())))
            whole = np.clip(np.floor(values / scale + np.float32(0.5)), -128, 127).astype(np.int8)
            node.input[position] = self.dequantized_constant(name, whole, scale, 0)

    def constants_of(self, layer: Layer, copies: List[onnx.NodeProto]) -> None:
        weights, main = self.weights[layer.output], copies[0]
        transposed = main.op_type == "MatMul"
        values = weights.values.T if transposed else weights.values
        one = bool(np.all(weights.exponents == weights.exponents[0]))
        scale = np.exp2(weights.exponents.astype(np.float64)).astype(np.float32)
        axis = values.ndim - 1 if transposed else 0
        base = main.input[1]
        main.input[1] = self.dequantized_constant(base, values, scale[0] if one else scale, axis)
        if transposed and len(copies) > 1 and copies[1].op_type == "Add":
            position = next(i for i, name in enumerate(copies[1].input) if name in self.network.constants)
            holder = copies[1]
        elif len(main.input) > 2 and main.input[2]:
            holder, position = main, 2
        elif np.any(weights.bias) and transposed:
            # MatMul has no bias: it is added after it.
            partial, bias = self.fresh(f"{main.output[0]}_partial"), self.fresh(f"{base}_bias")
            copies.insert(1, self.graph.make("Add", [partial, bias], [main.output[0]], f"{main.name}_bias"))
            main.output[0] = partial
            holder, position = copies[1], 1
        elif np.any(weights.bias):
            holder, position = main, 2
            main.input[2:] = [self.fresh(f"{base}_bias")]
        else:
            return
        step = np.exp2((weights.exponents + self.exponents[layer.inputs[0]]).astype(np.float64)).astype(np.float32)
        real = self.dequantized_constant(holder.input[position], weights.bias, step[0] if one else step, 0)
        holder.input[position] = real

    def dequantized_constant(self, base: str, values: np.ndarray, scale: np.ndarray, axis: int) -> str:
        scale = np.asarray(scale, np.float32)
        inputs = [
            self.constant(f"{base}_quantized", values),
            self.constant(f"{base}_scale", scale),
            self.constant(f"{base}_zero_point", np.zeros(scale.shape, values.dtype)),
        ]
        real = self.fresh(f"{base}_dequantized")
        attributes = {"axis": axis} if scale.ndim else {}
        self.node("DequantizeLinear", inputs, real, f"{base}_DequantizeLinear", **attributes)
        return real
