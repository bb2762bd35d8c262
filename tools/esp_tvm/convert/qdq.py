"""Models that were quantized elsewhere, in QDQ form: taken as they are where all scales are powers of two.

What other tools write differs from what our kernels read in form, not in meaning: uint8 with zero point 128, weights
with a zero point, float biases, operators that only move values without a pair of their own, weights quantized in the
graph. `as_it_is` brings these into our form without changing a value; `strip` makes the float model of a model whose
scales cannot be kept, with the ranges that it had.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional, Set, Tuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..errors import UserError
from ..naming import shown
from .qoperator import constants_of

OURS = "esp_quantize_onnx"
_PAIR = ("QuantizeLinear", "DequantizeLinear")
# Operators on constants that may be done at once; those that only move values also behind a DequantizeLinear.
_MOVES_OF_CONSTANTS = ("Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity")
_INTEGERS = (np.int8, np.uint8, np.int32, np.int16)


def is_qdq(model: onnx.ModelProto) -> bool:
    """Whether anything in the model is quantized."""
    return any(node.op_type in _PAIR for node in model.graph.node)


@dataclass(frozen=True)
class Scale:
    """How another tool quantized a tensor: values (q - zero) * scale, q from `low` to `high`."""

    scale: float
    zero: int
    low: int
    high: int

    @property
    def range(self) -> Tuple[float, float]:
        """The smallest and the largest value."""
        return (self.low - self.zero) * self.scale, (self.high - self.zero) * self.scale

    @property
    def exponent(self) -> Optional[int]:
        """The exponent of int8 values with zero point 0 that are exactly these; None where there is none."""
        mantissa, exponent = np.frexp(self.scale)
        centred = self.high - self.zero == 127 and self.low - self.zero == -128
        return int(exponent) - 1 if mantissa == 0.5 and centred else None


class Qdq:
    """A copy of a QDQ model that is being rewritten. Constant sub-graphs are folded; activations keep their pairs."""

    def __init__(self, model: onnx.ModelProto, path="model"):
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        self.graph, self.path = self.model.graph, path
        self.constants = constants_of(self.graph)
        self.changed = False
        self.nodes = [
            node for node in self.graph.node if node.op_type != "Constant" or node.output[0] not in self.constants
        ]
        self.names: Set[str] = {o for node in self.graph.node for o in node.output} | set(self.constants)
        self.names |= {v.name for v in self.graph.input} | {node.name for node in self.graph.node}
        self.outputs = {v.name for v in self.graph.output}
        self._fold()
        self._moves_of_integers()

    # --- reading ---

    def producer(self, name: str) -> Optional[onnx.NodeProto]:
        return next((node for node in self.nodes if name in node.output), None)

    def users(self, name: str) -> List[onnx.NodeProto]:
        return [node for node in self.nodes if name in node.input]

    def scale_of(self, node: onnx.NodeProto) -> Optional[Scale]:
        """The one scale of a QuantizeLinear or DequantizeLinear; None where there is one per channel."""
        scale, zero = self.parameters(node)
        if scale.size != 1:
            return None
        kind = np.iinfo(zero.dtype)
        return Scale(float(scale.reshape(())), int(zero.reshape(-1)[0]), int(kind.min), int(kind.max))

    def parameters(self, node: onnx.NodeProto) -> Tuple[np.ndarray, np.ndarray]:
        """(scale, zero point) of a QuantizeLinear or DequantizeLinear."""
        scale = self.constants.get(node.input[1])
        name = node.input[2] if len(node.input) > 2 else ""
        if scale is None or (name and name not in self.constants):
            raise UserError(
                f"{self.path}: node '{shown(node.name)}' ({node.op_type}): its scale or zero point is no constant; "
                "quantize the model statically"
            )
        if name:
            return scale, self.constants[name]
        kind = np.dtype(np.uint8)
        if node.op_type == "DequantizeLinear":
            source = self.producer(node.input[0])
            if node.input[0] in self.constants:
                kind = self.constants[node.input[0]].dtype
            elif source is not None and source.op_type == "QuantizeLinear":
                kind = self.parameters(source)[1].dtype
            else:
                kind = next((_dtype(v) for v in self.graph.input if v.name == node.input[0]), kind)
        return scale, np.zeros(scale.shape, kind)

    def quantizers(self) -> List[onnx.NodeProto]:
        """QuantizeLinear of activations."""
        return [node for node in self.nodes if node.op_type == "QuantizeLinear"]

    def dequantized_constants(self) -> List[onnx.NodeProto]:
        """DequantizeLinear of constants."""
        return [n for n in self.nodes if n.op_type == "DequantizeLinear" and n.input[0] in self.constants]

    # --- writing ---

    def fresh(self, base: str) -> str:
        name, number = base, 1
        while name in self.names:
            name, number = f"{base}_{number}", number + 1
        self.names.add(name)
        return name

    def constant(self, base: str, values) -> str:
        name = self.fresh(base)
        self.constants[name] = np.asarray(values)
        self.changed = True
        return name

    def node(self, op_type: str, inputs: List[str], output: str, place: int, **attributes) -> onnx.NodeProto:
        made = helper.make_node(op_type, inputs, [output], self.fresh(f"{output}_{op_type}"), **attributes)
        self.nodes.insert(place, made)
        self.changed = True
        return made

    def place(self, node: onnx.NodeProto) -> int:
        return next(i for i, one in enumerate(self.nodes) if one is node)

    def pair(self, source: str, output: str, exponent: int, place: int) -> None:
        """QuantizeLinear and DequantizeLinear that make `output` of the float tensor `source`, at `place`."""
        scale = self.constant(f"scale_2^{exponent}", np.float32(2.0**exponent))
        zero = self.constant("zero_point", np.int8(0))
        whole = self.fresh(f"{output}_quantized")
        self.node("QuantizeLinear", [source, scale, zero], whole, place)
        self.node("DequantizeLinear", [whole, scale, zero], output, place + 1)

    def finished(self) -> onnx.ModelProto:
        """The rewritten model."""
        used = {name for node in self.nodes for name in node.input} | self.outputs
        graph = helper.make_graph(
            self.nodes,
            self.graph.name,
            self.graph.input,
            self.graph.output,
            [numpy_helper.from_array(np.array(v, order="C"), k) for k, v in self.constants.items() if k in used],
        )
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        model.graph.CopyFrom(graph)
        onnx.checker.check_model(model)
        return model

    # --- constants ---

    def _fold(self) -> None:
        """Weights that are quantized, transposed or reshaped in the graph."""
        for node in list(self.nodes):
            constant = [name in self.constants for name in node.input if name]
            if node.op_type == "QuantizeLinear" and constant[0]:
                values = _quantize(self.constants[node.input[0]], *self.parameters(node), _axis(node))
                self._folded(node, values)
            elif node.op_type in (*_MOVES_OF_CONSTANTS, "Clip", "Cast") and all(constant):
                self._folded(node, _run(node, [self.constants.get(name) for name in node.input], self.model))
            elif node.op_type == "Clip" and self._clipped_integers(node):
                continue
            elif node.op_type in _MOVES_OF_CONSTANTS and all(constant[1:]):
                self._below_dequantize(node)

    def _moves_of_integers(self) -> None:
        """What moves integers (MaxPool of uint8) between a DequantizeLinear and a QuantizeLinear of its own."""
        for node in list(self.nodes):
            source = self.producer(node.input[0]) if node.input else None
            if source is None or source.op_type != "QuantizeLinear" or not moves_values(self, node):
                continue
            parameters = list(source.input[1:])
            real, moved = self.fresh(f"{node.input[0]}_real"), self.fresh(f"{node.output[0]}_real")
            self.node("DequantizeLinear", [node.input[0], *parameters], real, self.place(node))
            self.node("QuantizeLinear", [moved, *parameters], node.output[0], self.place(node) + 1)
            node.input[0], node.output[0] = real, moved

    def _folded(self, node: onnx.NodeProto, values: np.ndarray) -> None:
        self.constants[node.output[0]] = values
        self.nodes.remove(node)
        self.changed = True

    def _below_dequantize(self, node: onnx.NodeProto) -> None:
        """move(DequantizeLinear(constant)) -> DequantizeLinear(moved constant)."""
        source = self.producer(node.input[0])
        if source is None or source.op_type != "DequantizeLinear" or source.input[0] not in self.constants:
            return
        values, axis = self.constants[source.input[0]], _axis(source)
        if self.parameters(source)[0].size > 1:
            if node.op_type == "Transpose":
                order = next((list(a.ints) for a in node.attribute if a.name == "perm"), list(range(values.ndim))[::-1])
                axis = order.index(axis % values.ndim)
            elif node.op_type != "Identity":
                return
        moved = _run(node, [values, *[self.constants[name] for name in node.input[1:]]], self.model)
        inputs = [self.constant(f"{source.input[0]}_moved", moved), *source.input[1:]]
        place = self.place(node)
        self.nodes.remove(node)
        self.node("DequantizeLinear", inputs, node.output[0], place, axis=axis)

    def _clipped_integers(self, node: onnx.NodeProto) -> bool:
        """Clip of integers between QuantizeLinear and DequantizeLinear (a narrow range): a Clip of floats before it."""
        source = self.producer(node.input[0])
        if source is None or source.op_type != "QuantizeLinear" or len(self.users(node.input[0])) != 1:
            return False
        given, bounds = self.scale_of(source), [self.constants.get(name) for name in [*node.input[1:], "", ""][:2]]
        if given is None or any(b is None for b in bounds):
            return False
        real = [np.float32((int(b.reshape(())) - given.zero) * given.scale) for b in bounds]
        names = [self.constant(f"{source.input[0]}_{what}", value) for what, value in zip(("low", "high"), real)]
        clipped = self.fresh(f"{source.input[0]}_narrow")
        if self.producer(source.input[0]) is None:
            # Nothing before an input could do it: its integers are clipped.
            place, parameters = self.place(node), list(source.input[1:])
            self.nodes.remove(node)
            real = self.fresh(f"{source.input[0]}_real")
            self.node("DequantizeLinear", [source.output[0], *parameters], real, place)
            self.node("Clip", [real, *names], clipped, place + 1)
            self.node("QuantizeLinear", [clipped, *parameters], node.output[0], place + 2)
            return True
        self.node("Clip", [source.input[0], *names], clipped, self.place(source))
        source.input[0] = clipped
        source.output[0] = node.output[0]
        self.nodes.remove(node)
        return True


def _dtype(value: onnx.ValueInfoProto) -> np.dtype:
    return np.dtype(onnx.mapping.TENSOR_TYPE_TO_NP_TYPE[value.type.tensor_type.elem_type])


def _axis(node: onnx.NodeProto) -> int:
    return next((a.i for a in node.attribute if a.name == "axis"), 1)


def _along(values: np.ndarray, rank: int, axis: int) -> np.ndarray:
    """Parameters of a tensor with `rank` axes: one, or one per index of `axis`."""
    return (
        values.reshape(()) if values.size == 1 else values.reshape([-1 if i == axis % rank else 1 for i in range(rank)])
    )


def _quantize(x: np.ndarray, scale: np.ndarray, zero: np.ndarray, axis: int) -> np.ndarray:
    kind = np.iinfo(zero.dtype)
    scaled = np.rint(x / _along(scale, x.ndim, axis)) + _along(zero.astype(np.float32), x.ndim, axis)
    return np.clip(scaled, kind.min, kind.max).astype(zero.dtype)


def _run(node: onnx.NodeProto, values: List[np.ndarray], model: onnx.ModelProto) -> np.ndarray:
    """One node on constants, by ONNX Runtime."""
    from ..model import run_session, session

    named = {name: value for name, value in zip(node.input, values) if name}
    graph = helper.make_graph(
        [node],
        "constant",
        [],
        [helper.make_value_info(node.output[0], onnx.TypeProto())],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in named.items()],
    )
    part = helper.make_model(graph, opset_imports=model.opset_import)
    part.ir_version = 8
    return run_session(session(part), [node.output[0]], {})[0]


# --- taken as it is ---------------------------------------------------------------------------------------


def why_not_as_it_is(qdq: Qdq) -> Optional[str]:
    """The first thing in a model that our form cannot hold exactly, or None."""
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
        for user in qdq.users(node.output[0]):
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
            shifted = values.astype(np.int32) - _along(zero.astype(np.int32), values.ndim, _axis(node))
            if shifted.min() < -128 or shifted.max() > 127:
                return f"the weights '{shown(node.input[0])}' have a zero point that int8 does not hold"
        if values is None and qdq.producer(node.input[0]) is None and zero.dtype != np.int8:
            return f"input '{shown(node.input[0])}' is {zero.dtype}"
    return None


def as_it_is(model: onnx.ModelProto, path="model") -> onnx.ModelProto:
    """`model` in our form, every value as it was, where its scales allow; otherwise `model` itself.

    What has no scale stays float, but for what only moves quantized values and for biases.
    """
    if model.producer_name == OURS or not is_qdq(model):
        return model
    known = set(constants_of(model.graph))
    quantizers = [node for node in model.graph.node if node.op_type in _PAIR]
    if any(name and name not in known for node in quantizers for name in node.input[1:]):
        return model
    qdq = Qdq(model, path)
    if why_not_as_it_is(qdq):
        return model
    bring_into_form(qdq)
    return qdq.finished() if qdq.changed else model


def bring_into_form(qdq: Qdq) -> None:
    """Zero points 0, int8; pairs around what moves values; int32 biases at the exponents of the products."""
    for node in qdq.nodes:
        if node.op_type in _PAIR and node.input[0] not in qdq.constants:
            scale = qdq.scale_of(node)
            if scale is not None and (scale.zero or scale.low == 0 or len(node.input) < 3):
                zero = qdq.constant("zero_point", np.int8(0))
                node.input[:] = [node.input[0], node.input[1], zero]
    for node in qdq.dequantized_constants():
        _, zero = qdq.parameters(node)
        values = qdq.constants[node.input[0]]
        if np.any(zero) or values.dtype not in (np.int8, np.int32):
            shifted = values.astype(np.int32) - _along(zero.astype(np.int32), values.ndim, _axis(node))
            kind = np.int32 if values.dtype == np.int32 else np.int8
            node.input[:] = [
                qdq.constant(f"{node.input[0]}_centred", shifted.astype(kind)),
                node.input[1],
                qdq.constant("zero_point", np.zeros(zero.shape, kind)),
            ]
    _complete_moves(qdq)
    _untranspose(qdq)
    _complete_biases(qdq)


def quantized_exponent(qdq: Qdq, name: str) -> Optional[int]:
    """The exponent of an activation behind a DequantizeLinear."""
    node = qdq.producer(name)
    if node is None or node.op_type != "DequantizeLinear" or node.input[0] in qdq.constants:
        return None
    scale = qdq.scale_of(node)
    return scale.exponent if scale else None


def target_exponents(qdq: Qdq, name: str) -> Set[int]:
    """The exponents at which an activation is quantized; empty where something reads the float values too."""
    users = qdq.users(name)
    if name in qdq.outputs or any(user.op_type != "QuantizeLinear" for user in users):
        return set()
    return {scale.exponent for scale in map(qdq.scale_of, users) if scale and scale.exponent is not None}


def moves_values(qdq: Qdq, node: onnx.NodeProto) -> bool:
    """Whether an operator only moves (or picks) values of its first input: by the table of rules."""
    from ..quantize.rules import INPUT, RULES

    rule = RULES.get(node.op_type)
    constant = all(name in qdq.constants for name in node.input[1:] if name)
    return rule is not None and rule.exponent == INPUT and constant and len([o for o in node.output if o]) == 1


def _complete_moves(qdq: Qdq) -> None:
    """A pair before and behind every operator that only moves values: rounding before it or after it is the same."""
    for node in list(qdq.nodes):
        if not moves_values(qdq, node):
            continue
        exponent = quantized_exponent(qdq, node.input[0])
        if exponent is not None and target_exponents(qdq, node.output[0]) != {exponent}:
            real, raw = node.output[0], qdq.fresh(f"{node.output[0]}_float")
            node.output[0] = raw
            qdq.pair(raw, real, exponent, qdq.place(node) + 1)
    for node in reversed(list(qdq.nodes)):
        if not moves_values(qdq, node) or quantized_exponent(qdq, node.input[0]) is not None:
            continue
        source, targets = node.input[0], target_exponents(qdq, node.output[0])
        if len(targets) == 1 and len(qdq.users(source)) == 1 and source not in qdq.outputs | set(qdq.constants):
            moved = qdq.fresh(f"{source}_dequantized")
            qdq.pair(source, moved, targets.pop(), qdq.place(node))
            node.input[0] = moved


def _untranspose(qdq: Qdq) -> None:
    """Gemm with weights [I, O] -> [O, I], as kernels read them."""
    for node in qdq.nodes:
        if node.op_type != "Gemm" or any(a.name == "transB" and a.i for a in node.attribute):
            continue
        source = qdq.producer(node.input[1])
        if source is None or source.op_type != "DequantizeLinear" or source.input[0] not in qdq.constants:
            continue
        values, axis = qdq.constants[source.input[0]], _axis(source)
        if values.ndim != 2 or len(qdq.users(source.output[0])) != 1:
            continue
        source.input[0] = qdq.constant(f"{source.input[0]}_transposed", np.ascontiguousarray(values.T))
        kept = [a for a in source.attribute if a.name != "axis"]
        del source.attribute[:]
        source.attribute.extend([*kept, helper.make_attribute("axis", 1 - axis % 2)])
        kept = [a for a in node.attribute if a.name != "transB"]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute("transB", 1)])


def _complete_biases(qdq: Qdq) -> None:
    """Biases in float, or finer than the products, as int32 at the exponents of the products."""
    for node in list(qdq.nodes):
        if node.op_type not in ("Conv", "Gemm", "MatMul"):
            continue
        e_x, weights = quantized_exponent(qdq, node.input[0]), qdq.producer(node.input[1])
        if e_x is None or weights is None or weights.input[0] not in qdq.constants:
            continue
        scale, _ = qdq.parameters(weights)
        exponents = np.frexp(scale.astype(np.float64))[1].reshape(-1) - 1 + e_x
        holder, position = node, 2
        if node.op_type == "MatMul":
            users = qdq.users(node.output[0])
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
        qdq.constant(f"{name}_quantized", whole.astype(np.int32)),
        qdq.constant(f"{name}_scale", step),
        qdq.constant(f"{name}_zero_point", np.zeros(step.shape, np.int32)),
    ]
    qdq.node("DequantizeLinear", inputs, real, 0, **({"axis": 0} if step.ndim else {}))
    holder.input[position] = real


# --- the float model below --------------------------------------------------------------------------------

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
                scale, zero = (_along(p, values.ndim, _axis(node)) for p in qdq.parameters(node))
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


__all__ = ["OURS", "Qdq", "Scale", "as_it_is", "bring_into_form", "is_qdq", "strip", "why_not_as_it_is"]
