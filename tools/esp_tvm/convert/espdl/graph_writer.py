"""The graph that an ESP-DL network becomes: tensors in one or both orders of axes, constants, quantizers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
import onnx
from onnx import helper

from ...errors import UserError
from ...naming import shown
from ...onnx_graph import Graph
from .network import Constant, Network, Node, Tensor

# Of ESP-DL, not of ONNX.
OWN_ATTRIBUTES = ("activation", "gate_exponent", "lut", "platform", "quant_type")
# Operators that came after opset 13, or changed in what is used of them.
OPSETS = {
    "Gelu": 20,
    "HardSwish": 14,
    "LayerNormalization": 17,
    "Mish": 18,
    "RMSNormalization": 23,
    "Swish": 24,
}
# In the shapes that the file has: it changes the order itself where one of these needs another.
AS_STORED = (
    "Expand Flatten Gather GatherElements GatherND LayerNormalization LpNormalization Pad ReduceL1 ReduceL2 "
    "ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Reshape "
    "ReverseSequence RMSNormalization ScatterElements ScatterND Slice Squeeze Tile TopK Unsqueeze"
).split()


class GraphWriter:
    """What is written so far; `node_writers` adds nodes to it.

    as_float: without quantizers; opset: at least, more where an operator needs it.
    """

    def __init__(self, network: Network, path: Path, as_float: bool, opset: int) -> None:
        self.network, self.path, self.as_float = network, path, as_float
        self.opset = opset
        inputs = [self._port(name) for name in network.inputs]
        proto = helper.make_graph([], network.name, inputs, [self._port(name) for name in network.outputs], [])
        self.model = helper.make_model(proto, producer_name="esp-dl")
        self.graph = Graph(self.model)
        # {tensor of the file: {whether channels first: tensor of the graph}}
        self.forms: Dict[str, Dict[bool, str]] = {}
        self.taken = set(network.inputs)
        # {tensor with zeros put between its pixels: (what it is without them, strides, zeros behind the last)}
        self.spread: Dict[str, Tuple[str, List[int], List[int]]] = {}

    # --- tensors ---

    def _port(self, name: str) -> onnx.ValueInfoProto:
        tensor = self.tensor(name)
        integer = tensor.dtype in ("int8", "int16")
        kind = "float32" if integer else tensor.dtype
        if name in self.network.inputs and kind != "float32":
            raise UserError(f"{self.path}: input '{shown(name)}' is {kind}; only float, int8 and int16 can be given")
        if min(tensor.shape, default=1) < 1:
            raise UserError(f"{self.path}: '{shown(name)}' is {list(tensor.shape)}, not all of it fixed; export again")
        element = onnx.mapping.NP_TYPE_TO_TENSOR_TYPE[np.dtype(kind)]
        # What comes out is settled by the nodes; older files say wrong shapes behind a Transpose.
        return helper.make_tensor_value_info(name, element, tensor.shape if name in self.network.inputs else None)

    def tensor(self, name: str) -> Tensor:
        """What the file says of a tensor between nodes."""
        if name not in self.network.tensors:
            raise UserError(
                f"{self.path}: nothing is said of the type of tensor '{shown(name)}'; export the model again"
            )
        return self.network.tensors[name]

    def add(self, op_type: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> None:
        """One more node."""
        self.graph.append(self.graph.make(op_type, inputs, outputs, **attributes))

    def form(self, name: str, first: bool) -> str:
        """A tensor of the file as the graph has it, as stored or (`first`) with its last axis behind the batch."""
        if name in self.spread:
            raise UserError(
                f"{self.path}: tensor '{shown(name)}' (InsertZeros) is read by more than a Conv; convert the ONNX model"
            )
        if name not in self.forms:
            raise UserError(
                f"{self.path}: nothing makes tensor '{shown(name)}' before it is read; export the model again"
            )
        forms = self.forms[name]
        if first not in forms:
            perm = to_first(self.rank(name)) if first else to_last(self.rank(name))
            output = self._name(name, first)
            self.add("Transpose", [forms[not first]], [output], perm=perm)
            forms[first] = output
        return forms[first]

    def rank(self, name: str) -> int:
        """The number of axes of a tensor or constant."""
        if name in self.network.constants:
            return self.network.constants[name].values.ndim
        return len(self.tensor(name).shape)

    def _name(self, name: str, first: bool) -> str:
        """What a form of a tensor is called: an output's stored form as in the file, which nothing else is."""
        if name in self.network.outputs and name not in self.taken and not first:
            self.taken.add(name)
            return name
        return self.graph.fresh(f"{name}_channels_first" if first and name in self.graph.names else name)

    def quantized(self, name: str, raw: str, output: str) -> str:
        """The quantizers of a tensor behind its float value `raw`; without any, `raw` itself."""
        tensor = self.tensor(name)
        if self.as_float or tensor.dtype != "int8":
            return raw
        scale, zero = self._scale(tensor.exponent), self._zero()
        whole = self.graph.fresh(f"{name}_quantized")
        self.add("QuantizeLinear", [raw, scale, zero], [whole])
        self.add("DequantizeLinear", [whole, scale, zero], [output])
        return output

    def _scale(self, exponent: int) -> str:
        name = f"scale_2^{exponent}"
        return name if name in self.graph.constants else self.graph.add_constant(name, 2.0**exponent, np.float32)

    def _zero(self) -> str:
        return (
            "zero_point" if "zero_point" in self.graph.constants else self.graph.add_constant("zero_point", 0, np.int8)
        )

    # --- constants ---

    def constant(self, name: str) -> Constant:
        """A constant of the file; `UserError` where the tensor is none."""
        if name not in self.network.constants:
            raise UserError(f"{self.path}: '{shown(name)}' must be a constant, but is computed; convert the ONNX model")
        return self.network.constants[name]

    def weights(self, name: str, values: np.ndarray, exponents: Tuple[int, ...], axis: int, node: Node) -> str:
        """Integers times powers of two, one for all or one for each index of `axis`, as the graph reads them."""
        if len(exponents) not in (1, values.shape[axis] if values.ndim else 1):
            raise self.refusal(
                node, f"'{shown(name)}' has {len(exponents)} exponents for {values.shape[axis]} channels: damaged"
            )
        steps = np.exp2(np.array(exponents, np.float64))
        along = steps.reshape([-1 if i == axis else 1 for i in range(values.ndim)]) if len(steps) > 1 else steps[0]
        if self.as_float or values.dtype.name == "float32":
            real = values * along if values.dtype.name != "float32" else values
            return self.graph.add_constant(name, real, np.float32)
        many = len(steps) > 1
        scale = self.graph.add_constant(f"{name}_scale", steps if many else steps[0], np.float32)
        zero = self.graph.add_constant(f"{name}_zero_point", np.zeros(len(steps) if many else (), values.dtype))
        whole, real = self.graph.add_constant(f"{name}_quantized", values), self.graph.fresh(name)
        self.add("DequantizeLinear", [whole, scale, zero], [real], **({"axis": axis} if many else {}))
        return real

    def operand(self, name: str, first: bool, node: Node) -> str:
        """What a node reads at one place: a tensor or a constant in the form wanted, "" where nothing is given."""
        if not name or name not in self.network.constants:
            return self.form(name, first) if name else ""
        constant = self.network.constants[name]
        values = constant.values
        if first and values.size > 1:
            values = values.transpose(to_first(values.ndim))
        if not constant.is_quantized or (constant.values.dtype.name == "int32" and node.op_type in AS_STORED):
            return self.graph.add_constant(name, values)
        if self.as_float or not self._keeps_integers(node, values):
            return self.graph.add_constant(name, values * 2.0 ** constant.exponents[0], np.float32)
        return self.weights(name, values, constant.exponents, 0, node)

    @staticmethod
    def _keeps_integers(node: Node, values: np.ndarray) -> bool:
        """Whether a kernel reads such an operand as integers with an exponent of their own; else it is a number."""
        from ...quantize.rules import WITH_CONSTANTS, WITH_SINGLE_CONSTANTS

        return node.op_type in (WITH_SINGLE_CONSTANTS if values.size == 1 else WITH_CONSTANTS)

    # --- nodes ---

    def refusal(self, node: Node, why: str) -> UserError:
        """The complaint about a node."""
        return UserError(f"{self.path}: node '{shown(node.name)}' ({shown(node.op_type)}): {why}")

    def emit(self, node: Node, inputs: Sequence[str], first: bool, op_type: str = "", **changed: Any) -> None:
        """The node in ONNX, on tensors of one form, and the quantizers of what it makes; None drops an attribute."""
        attributes = {k: v for k, v in node.attributes.items() if k not in OWN_ATTRIBUTES}
        attributes.update(changed)
        given = {k: v for k, v in attributes.items() if v is not None}
        raws = [self.graph.fresh(f"{name}_float") if name else "" for name in node.outputs]
        relu = node.attributes.get("activation") == "Relu"
        made = [self.graph.fresh(f"{raw}_linear") for raw in raws] if relu else raws
        op_type = op_type or node.op_type
        self.graph.append(self.graph.make(op_type, without_missing_end(inputs), made, node.name or op_type, **given))
        for name, raw, linear in zip(node.outputs, raws, made):
            if relu:
                self.add("Relu", [linear], [raw])
            if name:
                self.settle(name, raw, first)

    def settle(self, name: str, raw: str, first: bool) -> None:
        """Note that the float tensor `raw`, rounded as the file says, is tensor `name`."""
        if self.as_float or self.tensor(name).dtype != "int8":
            self.forms[name] = {first: raw}
        else:
            self.forms[name] = {first: self.quantized(name, raw, self._name(name, first))}

    def has_first(self, names: Sequence[str]) -> bool:
        """Whether one of these tensors is there channels first."""
        return any(True in self.forms.get(name, {}) for name in names)


def without_missing_end(inputs: Sequence[str]) -> List[str]:
    """Inputs without those at the end that are not given."""
    inputs = list(inputs)
    while inputs and not inputs[-1]:
        inputs.pop()
    return inputs


def to_first(rank: int) -> List[int]:
    return [0, rank - 1, *range(1, rank - 1)]


def to_last(rank: int) -> List[int]:
    return [0, *range(2, rank), 1]
