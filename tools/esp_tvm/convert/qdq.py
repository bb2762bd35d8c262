"""Models in QDQ form that were quantized elsewhere: their scales, and changes of their graph.

Other tools write the same meaning in another form than the kernels here expect: uint8 with zero point 128, weights with
a zero point, float biases, moves without their own QuantizeLinear and DequantizeLinear (a pair), weights quantized in
the graph. `Qdq` is such a model while it is rewritten; qdq_form.py converts it to this project's form without changing
a value, qdq_float.py makes a float model if its scales cannot be kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ..errors import UserError
from ..naming import shown
from ..onnx_graph import Graph, attribute, copied, drop_unused_constants

OURS = "esp_quantize_onnx"
PAIR = ("QuantizeLinear", "DequantizeLinear")
# Operators that may be evaluated on constants; moves also after a DequantizeLinear.
_MOVES_OF_CONSTANTS = ("Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity")


def is_qdq(model: onnx.ModelProto) -> bool:
    """Whether anything in the model is quantized."""
    return any(node.op_type in PAIR for node in model.graph.node)


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
        """The exponent of int8 values with zero point 0 that are exactly these; None if there is none."""
        mantissa, exponent = np.frexp(self.scale)
        centred = self.high - self.zero == 127 and self.low - self.zero == -128
        return int(exponent) - 1 if mantissa == 0.5 and centred else None


class Qdq(Graph):
    """A copy of a QDQ model that is being rewritten. Constant sub-graphs are folded; activations keep their pairs."""

    def __init__(self, model: onnx.ModelProto, path="model"):
        super().__init__(copied(model))
        self.path = path
        self.fold_constant_nodes()
        self.changed = False
        self._fold()
        self._join_equal_quantizers()
        self._moves_of_integers()

    # --- reading ---

    def scale_of(self, node: onnx.NodeProto) -> Optional[Scale]:
        """The one scale of a QuantizeLinear or DequantizeLinear; None if there is one per channel."""
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
        if not np.all(np.isfinite(scale)) or not np.all(scale >= np.finfo(np.float32).tiny):
            bad = scale.reshape(-1)[~(np.isfinite(scale) & (scale >= np.finfo(np.float32).tiny)).reshape(-1)][0]
            raise UserError(
                f"{self.path}: node '{shown(node.name)}' ({node.op_type}): its scale is {bad:g}, nothing can be "
                "divided by it; quantize the model anew, with samples in which this tensor is not constant"
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
                kind = next((_dtype(v) for v in self.proto.input if v.name == node.input[0]), kind)
        return scale, np.zeros(scale.shape, kind)

    def quantizers(self) -> List[onnx.NodeProto]:
        """QuantizeLinear of activations."""
        return [node for node in self.nodes if node.op_type == "QuantizeLinear"]

    def dequantized_constants(self) -> List[onnx.NodeProto]:
        """DequantizeLinear of constants."""
        return [n for n in self.nodes if n.op_type == "DequantizeLinear" and n.input[0] in self.constants]

    # --- writing ---

    def node(self, op_type: str, inputs: List[str], output: str, place: int, **attributes) -> None:
        """A new node at an index."""
        self.insert(place, self.make(op_type, inputs, [output], **attributes))

    def pair(self, source: str, output: str, exponent: int, place: int) -> None:
        """Add QuantizeLinear and DequantizeLinear that compute `output` from the float tensor `source`, at `place`."""
        scale = self.add_constant(f"scale_2^{exponent}", 2.0**exponent, np.float32)
        zero = self.add_constant("zero_point", 0, np.int8)
        whole = self.fresh(f"{output}_quantized")
        self.node("QuantizeLinear", [source, scale, zero], whole, place)
        self.node("DequantizeLinear", [whole, scale, zero], output, place + 1)

    def finished(self) -> onnx.ModelProto:
        """The rewritten model."""
        self.write()
        model = copied(self.model)
        del model.graph.value_info[:]
        drop_unused_constants(model.graph)
        onnx.checker.check_model(model)
        return model

    # --- constants ---

    def _fold(self) -> None:
        """Weights that are quantized, transposed or reshaped in the graph."""
        for node in self.nodes:
            constant = [name in self.constants for name in node.input if name]
            if node.op_type == "QuantizeLinear" and constant[0]:
                values = _quantize(self.constants[node.input[0]], *self.parameters(node), axis_of(node))
                self.fold(node, values)
            elif node.op_type in (*_MOVES_OF_CONSTANTS, "Clip", "Cast") and all(constant):
                self.fold(node, _run(node, [self.constants.get(name) for name in node.input], self.model))
            elif node.op_type == "Clip" and self._clipped_integers(node):
                continue
            elif node.op_type in _MOVES_OF_CONSTANTS and all(constant[1:]):
                self._below_dequantize(node)

    def _join_equal_quantizers(self) -> None:
        """One QuantizeLinear for all readers of a tensor that quantize it alike (one pair for each reader)."""
        known: Dict[tuple, str] = {}
        for node in self.quantizers():
            scale, zero = self.parameters(node)
            key = (node.input[0], scale.tobytes(), zero.tobytes(), zero.dtype.str, scale.size > 1 and axis_of(node))
            first = known.setdefault(key, node.output[0])
            if first != node.output[0] and node.output[0] not in self.outputs:
                self.remove(node)
                self.redirect(node.output[0], first)

    def _moves_of_integers(self) -> None:
        """Put moves of integers (MaxPool, Concat, Split) between their own DequantizeLinear and QuantizeLinear."""
        for node in self.nodes:
            count = self.moved_inputs(node)
            sources = [self.producer(name) for name in node.input[:count]]
            makers = [source for source in sources if source is not None and source.op_type == "QuantizeLinear"]
            scale = self.scale_of(makers[0]) if makers and len(makers) == count else None
            if scale is None or any(self.scale_of(maker) != scale for maker in makers):
                continue
            for position, maker in enumerate(makers):
                real = self.fresh(f"{node.input[position]}_real")
                self.node("DequantizeLinear", [node.input[position], *maker.input[1:]], real, self.place(node))
                self.set_input(node, position, real)
            if node.op_type == "Pad":
                self._pad_floats(node, scale)
            outputs, parameters = list(node.output), list(makers[0].input[1:])
            self.set_outputs(node, [self.fresh(f"{name}_real") if name else "" for name in outputs])
            for real, name in zip(list(node.output), outputs):
                if name:
                    self.node("QuantizeLinear", [real, *parameters], name, self.place(node) + 1)

    def _pad_floats(self, node: onnx.NodeProto, scale: Scale) -> None:
        """Let a Pad of integers of `scale` pad with what its integer stands for."""
        whole = self.constants[node.input[2]] if len(node.input) > 2 and node.input[2] else np.zeros(())
        real = (float(whole.reshape(-1)[0]) - scale.zero) * scale.scale
        if real or whole.dtype != np.float32:
            self.set_input(node, 2, self.add_constant(f"{node.output[0]}_padding", real, np.float32))

    def moved_inputs(self, node: onnx.NodeProto) -> int:
        """How many of a node's first inputs it only moves the values of; 0 where it does anything else."""
        if node.op_type == "Concat":
            return len(node.input)
        constant = all(name in self.constants for name in node.input[1:] if name)
        return 1 if moves_values(self, node) or (node.op_type == "Split" and constant) else 0

    def _below_dequantize(self, node: onnx.NodeProto) -> None:
        """move(DequantizeLinear(constant)) -> DequantizeLinear(moved constant)."""
        source = self.producer(node.input[0])
        if source is None or source.op_type != "DequantizeLinear" or source.input[0] not in self.constants:
            return
        values, axis = self.constants[source.input[0]], axis_of(source)
        if self.parameters(source)[0].size > 1:
            if node.op_type == "Transpose":
                order = attribute(node, "perm", list(range(values.ndim))[::-1])
                axis = order.index(axis % values.ndim)
            elif node.op_type != "Identity":
                return
        moved = _run(node, [values, *[self.constants[name] for name in node.input[1:]]], self.model)
        inputs = [self.add_constant(f"{source.input[0]}_moved", moved), *source.input[1:]]
        place = self.place(node)
        self.remove(node)
        self.node("DequantizeLinear", inputs, node.output[0], place, axis=axis)

    def _clipped_integers(self, node: onnx.NodeProto) -> bool:
        """Clip of integers between QuantizeLinear and DequantizeLinear (a narrow range): a Clip of floats before it."""
        source = self.producer(node.input[0])
        if source is None or source.op_type != "QuantizeLinear" or len(self.consumers(node.input[0])) != 1:
            return False
        given, bounds = self.scale_of(source), [self.constants.get(name) for name in [*node.input[1:], "", ""][:2]]
        if given is None or any(b is None for b in bounds):
            return False
        real = [np.float32((int(b.reshape(())) - given.zero) * given.scale) for b in bounds]
        names = [self.add_constant(f"{source.input[0]}_{what}", value) for what, value in zip(("low", "high"), real)]
        clipped = self.fresh(f"{source.input[0]}_narrow")
        if self.producer(source.input[0]) is None:
            # There is nothing before an input to clip: so its integers are clipped.
            place, parameters = self.place(node), list(source.input[1:])
            self.remove(node)
            real = self.fresh(f"{source.input[0]}_real")
            self.node("DequantizeLinear", [source.output[0], *parameters], real, place)
            self.node("Clip", [real, *names], clipped, place + 1)
            self.node("QuantizeLinear", [clipped, *parameters], node.output[0], place + 2)
            return True
        self.node("Clip", [source.input[0], *names], clipped, self.place(source))
        self.remove(node)
        self.set_input(source, 0, clipped)
        self.set_outputs(source, [node.output[0]])
        return True


def _dtype(value: onnx.ValueInfoProto) -> np.dtype:
    return np.dtype(onnx.mapping.TENSOR_TYPE_TO_NP_TYPE[value.type.tensor_type.elem_type])


def axis_of(node: onnx.NodeProto) -> int:
    return attribute(node, "axis", 1)


def along(values: np.ndarray, rank: int, axis: int) -> np.ndarray:
    """Parameters of a tensor with `rank` axes: one, or one per index of `axis`."""
    return (
        values.reshape(()) if values.size == 1 else values.reshape([-1 if i == axis % rank else 1 for i in range(rank)])
    )


def _quantize(x: np.ndarray, scale: np.ndarray, zero: np.ndarray, axis: int) -> np.ndarray:
    kind = np.iinfo(zero.dtype)
    scaled = np.rint(x / along(scale, x.ndim, axis)) + along(zero.astype(np.float32), x.ndim, axis)
    return np.clip(scaled, kind.min, kind.max).astype(zero.dtype)


def _run(node: onnx.NodeProto, values: List[np.ndarray], model: onnx.ModelProto) -> np.ndarray:
    """Evaluate a node on constants with ONNX Runtime."""
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


def moves_values(qdq: Qdq, node: onnx.NodeProto) -> bool:
    """Whether an operator only moves (or picks) values of its first input: by the table of rules."""
    from ..quantize.rules import INPUT, RULES

    rule = RULES.get(node.op_type)
    constant = all(name in qdq.constants for name in node.input[1:] if name)
    return rule is not None and rule.exponent == INPUT and constant and len([o for o in node.output if o]) == 1
