"""Converts a model that was quantized elsewhere with powers of two to this project's form, without changing a value."""

from __future__ import annotations

from typing import Optional, Set

import numpy as np
import onnx

from ..naming import shown
from ..onnx_graph import Graph, attribute, set_attributes
from .qdq import OURS, PAIR, Qdq, along, axis_of, is_qdq, moves_values


def why_not_as_it_is(qdq: Qdq) -> Optional[str]:
    """The first thing in a model that this project's form cannot represent exactly, or None."""
    for node in qdq.quantizers():
        scale = qdq.scale_of(node)
        label = f"tensor '{shown(node.input[0])}'"
        if scale is None:
            return f"{label} has one scale per channel"
        if scale.exponent is None:
            mantissa = np.frexp(scale.scale)[0]
            if mantissa != 0.5:
                return f"the scale of {label} is {scale.scale:.6g}, no power of two"
            return f"{label} has the zero point {scale.zero} of {scale.low}..{scale.high}"
        for user in qdq.consumers(node.output[0]):
            if user.op_type != "DequantizeLinear":
                return f"node '{shown(user.name)}' ({user.op_type}) reads the integers of {label}"
            if qdq.scale_of(user) != scale:
                return f"{label} is dequantized with another scale than it was quantized with"
    for node in qdq.nodes:
        if node.op_type != "DequantizeLinear":
            continue
        scale, zero = qdq.parameters(node)
        if np.any(np.frexp(scale)[0] != 0.5):
            return f"the scale of '{shown(node.input[0])}' is {float(np.ravel(scale)[0]):.6g}, no power of two"
        values = qdq.constants.get(node.input[0])
        if values is not None and values.dtype != np.int32:
            shifted = values.astype(np.int32) - along(zero.astype(np.int32), values.ndim, axis_of(node))
            if shifted.min() < -128 or shifted.max() > 127:
                return f"the weights '{shown(node.input[0])}' have a zero point that int8 does not hold"
        if values is None and qdq.producer(node.input[0]) is None and zero.dtype != np.int8:
            return f"input '{shown(node.input[0])}' is {zero.dtype}"
    return None


def as_it_is(model: onnx.ModelProto, path="model") -> onnx.ModelProto:
    """`model` in this project's form, with unchanged values, if its scales allow; otherwise `model` itself.

    Tensors without a scale stay float, except moved quantized values and biases.
    """
    if model.producer_name == OURS or not is_qdq(model):
        return model
    known = Graph(model).constants
    quantizers = [node for node in model.graph.node if node.op_type in PAIR]
    if any(name and name not in known for node in quantizers for name in node.input[1:]):
        return model
    qdq = Qdq(model, path)
    if why_not_as_it_is(qdq):
        return model
    bring_into_form(qdq)
    return qdq.finished() if qdq.changed else model


def bring_into_form(qdq: Qdq) -> None:
    """Zero points 0, int8; pairs around moves; int32 biases at the exponents of the products."""
    for node in qdq.nodes:
        if node.op_type in PAIR and node.input[0] not in qdq.constants:
            scale = qdq.scale_of(node)
            if scale is not None and (scale.zero or scale.low == 0 or len(node.input) < 3):
                qdq.set_input(node, 2, qdq.add_constant("zero_point", 0, np.int8))
    for node in qdq.dequantized_constants():
        _, zero = qdq.parameters(node)
        values = qdq.constants[node.input[0]]
        if np.any(zero) or values.dtype not in (np.int8, np.int32):
            shifted = values.astype(np.int32) - along(zero.astype(np.int32), values.ndim, axis_of(node))
            kind = np.int32 if values.dtype == np.int32 else np.int8
            centred = qdq.add_constant(f"{node.input[0]}_centred", shifted, kind)
            zeros = qdq.add_constant("zero_point", np.zeros(zero.shape, kind))
            qdq.set_inputs(node, [centred, node.input[1], zeros])
    _complete_moves(qdq)
    _untranspose(qdq)
    _complete_biases(qdq)


def quantized_exponent(qdq: Qdq, name: str) -> Optional[int]:
    """The exponent of an activation after a DequantizeLinear."""
    node = qdq.producer(name)
    if node is None or node.op_type != "DequantizeLinear" or node.input[0] in qdq.constants:
        return None
    scale = qdq.scale_of(node)
    return scale.exponent if scale else None


def target_exponents(qdq: Qdq, name: str) -> Set[int]:
    """The exponents at which an activation is quantized; empty if another node reads the float values too."""
    users = qdq.consumers(name)
    if name in qdq.outputs or any(user.op_type != "QuantizeLinear" for user in users):
        return set()
    return {scale.exponent for scale in map(qdq.scale_of, users) if scale and scale.exponent is not None}


def _complete_moves(qdq: Qdq) -> None:
    """Add a pair before and after every move: rounding before it or after it is the same."""
    for node in qdq.nodes:
        if not moves_values(qdq, node):
            continue
        exponent = quantized_exponent(qdq, node.input[0])
        if exponent is not None and target_exponents(qdq, node.output[0]) != {exponent}:
            real, raw = node.output[0], qdq.fresh(f"{node.output[0]}_float")
            qdq.set_outputs(node, [raw])
            qdq.pair(raw, real, exponent, qdq.place(node) + 1)
    for node in reversed(qdq.nodes):
        if not moves_values(qdq, node) or quantized_exponent(qdq, node.input[0]) is not None:
            continue
        source, targets = node.input[0], target_exponents(qdq, node.output[0])
        if len(targets) == 1 and len(qdq.consumers(source)) == 1 and source not in qdq.outputs | set(qdq.constants):
            moved = qdq.fresh(f"{source}_dequantized")
            qdq.pair(source, moved, targets.pop(), qdq.place(node))
            qdq.set_input(node, 0, moved)


def _untranspose(qdq: Qdq) -> None:
    """Gemm with weights [I, O] -> [O, I], as kernels read them."""
    for node in qdq.nodes:
        if node.op_type != "Gemm" or attribute(node, "transB"):
            continue
        source = qdq.producer(node.input[1])
        if source is None or source.op_type != "DequantizeLinear" or source.input[0] not in qdq.constants:
            continue
        values, axis = qdq.constants[source.input[0]], axis_of(source)
        if values.ndim != 2 or len(qdq.consumers(source.output[0])) != 1:
            continue
        qdq.set_input(source, 0, qdq.add_constant(f"{source.input[0]}_transposed", values.T))
        set_attributes(source, axis=1 - axis % 2)
        set_attributes(node, transB=1)


def _complete_biases(qdq: Qdq) -> None:
    """Biases in float, or finer than the products, as int32 at the exponents of the products."""
    for node in qdq.nodes:
        if node.op_type not in ("Conv", "Gemm", "MatMul"):
            continue
        e_x, weights = quantized_exponent(qdq, node.input[0]), qdq.producer(node.input[1])
        if e_x is None or weights is None or weights.input[0] not in qdq.constants:
            continue
        scale, _ = qdq.parameters(weights)
        exponents = np.frexp(scale.astype(np.float64))[1].reshape(-1) - 1 + e_x
        holder, position = node, 2
        if node.op_type == "MatMul":
            users = qdq.consumers(node.output[0])
            if len(users) != 1 or users[0].op_type != "Add" or node.output[0] in qdq.outputs:
                continue
            holder = users[0]
            position = 1 - list(holder.input).index(node.output[0])
        if len(holder.input) <= position or not holder.input[position]:
            continue
        _complete_bias(qdq, holder, position, exponents, qdq.constants[weights.input[0]])


def _complete_bias(qdq: Qdq, holder: onnx.NodeProto, position: int, exponents: np.ndarray, weights) -> None:
    name = holder.input[position]
    values = qdq.constants.get(name)
    if values is None:
        source = qdq.producer(name)
        if source is None or source.op_type != "DequantizeLinear" or source.input[0] not in qdq.constants:
            return
        scale, zero = qdq.parameters(source)
        own = np.frexp(scale.astype(np.float64))[1].reshape(-1) - 1
        if np.all(own >= exponents) and qdq.constants[source.input[0]].dtype == np.int32:
            return
        values = (qdq.constants[source.input[0]].astype(np.float64) - zero) * scale
    channels = values.size if values.size > 1 else exponents.size
    if values.size != max(values.shape, default=1) or (exponents.size not in (1, channels)):
        return
    whole = np.floor(values.reshape(-1).astype(np.float64) * np.exp2(-exponents.astype(np.float64)) + 0.5)
    if np.abs(whole).max() >= 2**31:
        return
    real = qdq.fresh(f"{name}_int32")
    step = np.exp2(exponents.astype(np.float64)).astype(np.float32)
    step = step.reshape(()) if step.size == 1 else step
    inputs = [
        qdq.add_constant(f"{name}_quantized", whole.astype(np.int32)),
        qdq.add_constant(f"{name}_scale", step),
        qdq.add_constant(f"{name}_zero_point", np.zeros(step.shape, np.int32)),
    ]
    qdq.node("DequantizeLinear", inputs, real, 0, **({"axis": 0} if step.ndim else {}))
    qdq.set_input(holder, position, real)
