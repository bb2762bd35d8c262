"""An ESP-DL network as standard ONNX: what its integers stand for, quantized as in the file or in float.

ESP-DL computes images channels last. Convolutions, pools and the like come out channels first, as ONNX has them; what
lies between follows, and a Transpose stands only where the two meet: at the ends, and where the file itself changes the
order. Inputs and outputs keep their names and shapes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence, Tuple

import numpy as np
import onnx
from onnx import helper

from ...errors import UserError
from ...naming import shown
from ...onnx_graph import Graph
from .computed_operands import matrix_behind
from .layouts import block_of, unblocked
from .network import Constant, Network, Node, Tensor
from .tables import check_table

# Of ESP-DL, not of ONNX.
_OWN_ATTRIBUTES = ("activation", "gate_exponent", "lut", "platform", "quant_type")
# Operators that came after opset 13, or changed in what is used of them.
_OPSETS = {
    "Gelu": 20,
    "HardSwish": 14,
    "LayerNormalization": 17,
    "Mish": 18,
    "RMSNormalization": 23,
    "Swish": 24,
}
_BINARY = "Add And Div Equal Greater GreaterOrEqual Less LessOrEqual Max Min Mod Mul Or Pow Sub Sum Where"
_UNARY = (
    "Abs Cast Ceil Clip Cos Elu Erf Exp Floor Gelu HardSigmoid HardSwish Identity LeakyRelu Log Mish Neg Not "
    "Reciprocal Relu Round Selu Sigmoid Sign Sin Softplus Sqrt Swish Tan Tanh"
)
_WINDOWS = "AveragePool DepthToSpace GlobalAveragePool GlobalMaxPool MaxPool SpaceToDepth"
_ALONG_AN_AXIS = "Concat LogSoftmax Softmax Split"
# In the shapes that the file has: it changes the order itself where one of these needs another.
_AS_STORED = (
    "Expand Flatten Gather GatherElements GatherND LayerNormalization LpNormalization Pad ReduceL1 ReduceL2 "
    "ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Reshape "
    "ReverseSequence RMSNormalization ScatterElements ScatterND Slice Squeeze Tile TopK Unsqueeze"
)
_REFUSED = {
    "LUT": "it is a table of a function that the file does not name",
    "GRU": "its gates have tables and exponents of ESP-DL's own",
    "LSTM": "its gates have tables and exponents of ESP-DL's own",
    "ConvTranspose": "the order of its weights in the file is not known here",
}


def to_onnx(network: Network, path: Path, as_float: bool, opset: int) -> onnx.ModelProto:
    """The network in ONNX, float32 inputs and outputs.

    as_float: without quantizers; opset: at least, more where an operator needs it. Raises `UserError` that names what
    cannot be said in ONNX.
    """
    return _Writer(network, path, as_float, opset).write()


class _Writer:
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

    def write(self) -> onnx.ModelProto:
        for name in self.network.inputs:
            self.forms[name] = {False: self.quantized(name, name, f"{name}_dequantized")}
        for node in self.network.nodes:
            self._node(node)
        for name in self.network.outputs:
            if name not in self.forms:
                raise UserError(f"{self.path}: no node makes the output '{shown(name)}'; export the model again")
            stored = self.form(name, False)
            if stored != name:
                self.add("Identity", [stored], [name])
        self.graph.remove_unused()
        self.graph.write()
        del self.model.opset_import[:]
        self.model.opset_import.append(helper.make_opsetid("", self.opset))
        self.model.ir_version = 8 if self.opset <= 17 else 10
        return self.model

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
            perm = _to_first(self.rank(name)) if first else _to_last(self.rank(name))
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
            values = values.transpose(_to_first(values.ndim))
        if not constant.is_quantized or (constant.values.dtype.name == "int32" and node.op_type in _AS_STORED.split()):
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

    def _node(self, node: Node) -> None:
        self._check(node)
        how = _WAYS.get(node.op_type)
        if how is None:
            why = _REFUSED.get(node.op_type, "this operator of ESP-DL is not known here")
            raise self.refusal(node, f"{why}; convert the ONNX model that the file was made of")
        self.opset = max(self.opset, _OPSETS.get(node.op_type, 0))
        how(self, node)

    def _check(self, node: Node) -> None:
        """16 bits, which kernels here do not have in this form; what is made twice; how a Relu is fused."""
        for name in [*node.inputs, *node.outputs]:
            known = self.network.tensors.get(name)
            constant = self.network.constants.get(name)
            kind = known.dtype if known is not None else constant.values.dtype.name if constant is not None else ""
            if kind == "int16" and not self.as_float:
                raise self.refusal(
                    node,
                    f"'{shown(name)}' is int16; int16 weights and tables have no kernel here: take the float model "
                    "(--float) and quantize it anew (docs/quantization.md, mixed precision)",
                )
        for name in node.outputs:
            if name in self.forms or name in self.network.constants:
                raise self.refusal(node, f"it makes tensor '{shown(name)}', which is there already: damaged")
        activation = node.attributes.get("activation", "Linear")
        if activation not in ("Linear", "Relu"):
            raise self.refusal(node, f"the activation '{shown(str(activation))}' in it is not known here")

    def emit(self, node: Node, inputs: Sequence[str], first: bool, op_type: str = "", **changed: Any) -> None:
        """The node in ONNX, on tensors of one form, and the quantizers of what it makes; None drops an attribute."""
        attributes = {k: v for k, v in node.attributes.items() if k not in _OWN_ATTRIBUTES}
        attributes.update(changed)
        given = {k: v for k, v in attributes.items() if v is not None}
        raws = [self.graph.fresh(f"{name}_float") if name else "" for name in node.outputs]
        relu = node.attributes.get("activation") == "Relu"
        made = [self.graph.fresh(f"{raw}_linear") for raw in raws] if relu else raws
        op_type = op_type or node.op_type
        self.graph.append(self.graph.make(op_type, _stripped(inputs), made, node.name or op_type, **given))
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


def _stripped(inputs: Sequence[str]) -> List[str]:
    """Inputs without those at the end that are not given."""
    inputs = list(inputs)
    while inputs and not inputs[-1]:
        inputs.pop()
    return inputs


def _to_first(rank: int) -> List[int]:
    return [0, rank - 1, *range(1, rank - 1)]


def _to_last(rank: int) -> List[int]:
    return [0, *range(2, rank), 1]


# --- one function for each way in which operators are written ---------------------------------------------


def _convolution(writer: _Writer, node: Node) -> None:
    """Conv: weights unblocked; dims in the file are [H, W, C, N], with groups [H, W, N, C]."""
    x, weight, bias = [*node.inputs, ""][:3]
    constant = writer.constant(weight)
    group, rank = int(node.attributes.get("group", 1)), constant.values.ndim
    if rank not in (3, 4):
        raise writer.refusal(node, f"its weights have {rank} axes; 1-D and 2-D convolutions are known here")
    if constant.values.dtype.name == "float32":
        values = constant.values
    else:
        *window, c, n = constant.values.shape
        c, n = (n, c) if group > 1 else (c, n)
        values = _unblocked(writer, node, constant, (n, c, *([1] if rank == 3 else []), *window), group > 1)
        values = values.reshape(n, c, *window)
    if x in writer.spread:
        _transposed_convolution(writer, node, values, group)
        return
    inputs = [writer.form(x, True), writer.weights(weight, values, constant.exponents, 0, node)]
    writer.emit(node, [*inputs, *_bias(writer, node, bias)], True)


def _insert_zeros(writer: _Writer, node: Node) -> None:
    """InsertZeros: with the Conv behind it a transposed convolution, which has its strides."""
    x, y = node.inputs[0], node.outputs[0]
    source, count = writer.form(x, True), writer.rank(x) - 2
    if writer.tensor(x) != _at(writer.tensor(y), writer.tensor(x)):
        source = writer.quantized(y, source, writer.graph.fresh(y))
    stride, behind = node.attributes.get("stride", 1), node.attributes.get("output_padding", 0)
    each = [given if isinstance(given, list) else [given] * count for given in (stride, behind)]
    if any(len(values) != count for values in each) or y in writer.network.outputs:
        raise writer.refusal(node, "its strides are not those of a convolution; convert the ONNX model")
    writer.spread[y] = (source, each[0], each[1])


def _transposed_convolution(writer: _Writer, node: Node, values: np.ndarray, group: int) -> None:
    """Conv on zeros between pixels: ConvTranspose with the window turned round; values: [O, I / group, window]."""
    x, weight, bias = [*node.inputs, ""][:3]
    source, strides, behind = writer.spread[x]
    window, exponents = values.shape[2:], writer.constant(weight).exponents
    ones = [1] * len(window)
    dilations = node.attributes.get("dilations") or ones
    pads = node.attributes.get("pads") or [0, 0] * len(window)
    around = [d * (k - 1) - p for d, k, p in zip([*dilations, *dilations], [*window, *window], pads)]
    if (node.attributes.get("strides") or ones) != ones or min(around) < 0 or len(exponents) > 1 < group:
        raise writer.refusal(node, "such a convolution behind InsertZeros is not known here; convert the ONNX model")
    turned = np.flip(values, tuple(range(2, values.ndim)))
    parts = [part.swapaxes(0, 1) for part in np.split(turned, group)]
    inputs = [source, writer.weights(weight, np.concatenate(parts), exponents, 1, node)]
    inputs += _bias(writer, node, bias)
    changed = {"strides": strides, "pads": around, "output_padding": behind}
    writer.emit(node, inputs, True, "ConvTranspose", **changed)


def _unblocked(writer: _Writer, node: Node, constant: Constant, shape: Tuple[int, ...], grouped: bool) -> np.ndarray:
    block = block_of(constant.layout)
    if block is None:
        how = (
            f"in the order '{shown(constant.layout)}'" if constant.layout else "in an order that the file does not say"
        )
        raise writer.refusal(node, f"its weights lie {how}, which is not known here; export the model again")
    return unblocked(constant.values, shape, block, grouped)


def _bias(writer: _Writer, node: Node, name: str) -> List[str]:
    if not name:
        return []
    constant = writer.constant(name)
    return [writer.weights(name, constant.values.reshape(-1), constant.exponents, 0, node)]


def _gemm(writer: _Writer, node: Node) -> None:
    """Gemm: weights as those of a 1x1 convolution, [1, 1, I, O]."""
    x, weight, bias = [*node.inputs, ""][:3]
    constant = writer.constant(weight)
    values = constant.values
    if node.attributes.get("transA"):
        raise writer.refusal(node, "it transposes its input; convert the ONNX model that the file was made of")
    if values.dtype.name != "float32":
        if values.ndim != 4 or values.shape[:2] != (1, 1):
            raise writer.refusal(node, f"its weights are {list(values.shape)}, not those of a 1x1 convolution")
        _, _, columns, rows = values.shape
        values = _unblocked(writer, node, constant, (rows, columns, 1, 1), False).reshape(rows, columns)
    elif not node.attributes.get("transB"):
        values = values.T
    inputs = [writer.form(x, False), writer.weights(weight, values, constant.exponents, 0, node)]
    writer.emit(node, [*inputs, *_bias(writer, node, bias)], False, transA=None, transB=1)


def _matmul(writer: _Writer, node: Node) -> None:
    """MatMul with constant weights, each matrix blocked as a 1x1 convolution; or of two computed tensors."""
    x, weight = node.inputs[:2]
    if weight not in writer.network.constants:
        writer.emit(node, [writer.form(x, False), _computed_operand(writer, node)], False)
        return
    constant = writer.constant(weight)
    values = constant.values
    if values.dtype.name != "float32" and values.ndim >= 2:
        rows, columns = values.shape[-2:]
        matrices = [
            _unblocked(
                writer, node, Constant(part, constant.exponents, constant.layout), (columns, rows, 1, 1), False
            ).reshape(columns, rows)
            for part in values.reshape(-1, rows, columns)
        ]
        values = np.stack(matrices).transpose(0, 2, 1).reshape(values.shape)
    inputs = [writer.form(x, False), writer.weights(weight, values, constant.exponents, values.ndim - 1, node)]
    writer.emit(node, inputs, False)


def _computed_operand(writer: _Writer, node: Node) -> str:
    """The second operand of a MatMul as the tensor that it was before the file has it in blocks."""
    x, operand = node.inputs[:2]
    shape = writer.tensor(x).shape
    found = matrix_behind(writer.network, operand, shape[-1] if shape else 0)
    if found is None:
        raise writer.refusal(
            node, "the order of its second operand, which is computed, is not known here; convert the ONNX model"
        )
    tensor, perm, shape = found
    source = writer.form(tensor, False)
    if perm != list(range(len(perm))):
        turned = writer.graph.fresh(f"{operand}_matrix")
        writer.add("Transpose", [source], [turned], perm=perm)
        source = turned
    if tuple(writer.tensor(tensor).shape[axis] for axis in perm) != shape:
        shaped = writer.graph.fresh(f"{operand}_matrices")
        writer.add("Reshape", [source, writer.graph.add_constant(f"{shaped}_shape", shape, np.int64)], [shaped])
        source = shaped
    return source


def _window(writer: _Writer, node: Node) -> None:
    writer.emit(node, [writer.form(node.inputs[0], True)], True)


def _resize(writer: _Writer, node: Node) -> None:
    """Resize: its sizes and scales stay channels first in the file."""
    x, _, scales, sizes = [*node.inputs, "", "", ""][:4]
    whole = {"axes": None} if "axes" in node.attributes else {}
    if any(name in node.attributes for name in ("antialias", "keep_aspect_ratio_policy")):
        writer.opset = max(writer.opset, 18)
    # Sizes follow from the scales where both are given.
    inputs = [
        writer.form(x, True),
        "",
        writer.operand(scales, False, node),
        "" if scales else writer.operand(sizes, False, node),
    ]
    writer.emit(node, inputs, True, **whole)


def _elementwise(writer: _Writer, node: Node) -> None:
    computed = [name for name in node.inputs if name and name not in writer.network.constants]
    constants = [writer.constant(name).values for name in node.inputs if name and name in writer.network.constants]
    ranks = {writer.rank(name) for name in computed}
    same = len(ranks) == 1 and all(array.size == 1 or array.ndim in ranks for array in constants)
    first = same and min(ranks) >= 3 and writer.has_first(computed)
    if "lut" in node.attributes:
        _table(writer, node)
    writer.emit(node, [writer.operand(name, first, node) for name in node.inputs], first)


def _table(writer: _Writer, node: Node) -> None:
    """The table that the file has for a function must be that function's."""
    table = writer.network.constants.get(str(node.attributes["lut"]))
    source, result = writer.tensor(node.inputs[0]), writer.tensor(node.outputs[0])
    if table is None or writer.as_float:
        return
    constants = [writer.operand(name, False, node) for name in node.inputs[1:]]
    attributes = {k: v for k, v in node.attributes.items() if k not in _OWN_ATTRIBUTES}
    part = helper.make_node(node.op_type, _stripped(["x", *constants]), ["y"], **attributes)
    arrays = {name: writer.graph.constants[name] for name in constants if name in writer.graph.constants}
    opset = max(writer.opset, _OPSETS.get(node.op_type, 0))
    why = check_table(table.values, part, arrays, opset, source.exponent, result.exponent)
    if why:
        raise writer.refusal(node, why)


def _prelu(writer: _Writer, node: Node) -> None:
    """PRelu: of images one slope per channel, channels first in the file as in ONNX."""
    x, slope = node.inputs[:2]
    writer.constant(slope)
    first = writer.has_first([x])
    writer.emit(node, [writer.form(x, first), writer.operand(slope, False, node)], first)


def _along_an_axis(writer: _Writer, node: Node) -> None:
    computed = [name for name in node.inputs[:1] if name]
    if node.op_type == "Concat":
        computed = [name for name in node.inputs if name not in writer.network.constants]
    rank = writer.rank(node.inputs[0])
    axis = int(node.attributes.get("axis", 0 if node.op_type == "Split" else -1)) % max(rank, 1)
    first = rank >= 3 and writer.has_first(computed)
    data = [
        writer.operand(name, first, node) for name in (node.inputs if node.op_type == "Concat" else node.inputs[:1])
    ]
    rest = [] if node.op_type == "Concat" else [writer.operand(name, False, node) for name in node.inputs[1:]]
    writer.emit(node, [*data, *rest], first, axis=_to_first(rank).index(axis) if first else axis)


def _as_stored(writer: _Writer, node: Node) -> None:
    if node.op_type.startswith("Reduce") and node.op_type != "ReduceSum" and len(node.inputs) > 1:
        writer.opset = max(writer.opset, 18)
    writer.emit(node, [writer.operand(name, False, node) for name in node.inputs], False)


def _transpose(writer: _Writer, node: Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    rank = writer.rank(x)
    perm = list(node.attributes.get("perm", range(rank)[::-1]))
    perm = [axis % rank if -rank <= axis < rank else rank for axis in perm]
    if sorted(perm) != list(range(rank)):
        raise writer.refusal(node, f"it reorders {rank} axes by {perm}: damaged")
    source, known = writer.form(x, True in writer.forms.get(x, {})), True in writer.forms[x]
    if known:
        perm = [_to_last(rank)[axis] for axis in perm]
    if perm == list(range(rank)) and (writer.as_float or writer.tensor(x) == _at(writer.tensor(y), writer.tensor(x))):
        writer.forms[y] = {False: source}
        return
    writer.emit(node, [source], False, perm=perm)


def _at(tensor: Tensor, other: Tensor) -> Tensor:
    """`tensor` with another's shape: to compare the rest."""
    return Tensor(tensor.dtype, other.shape, tensor.exponent)


def _quantizer(writer: _Writer, node: Node) -> None:
    """QuantizeLinear, RequantizeLinear, DequantizeLinear: the exponents stand at the tensors."""
    x, y = node.inputs[0], node.outputs[0]
    first = writer.has_first([x])
    source = writer.form(x, first)
    if writer.tensor(y).dtype != "int8" or writer.as_float:
        writer.forms[y] = {first: source}
    else:
        writer.settle(y, source, first)


_WAYS: Dict[str, Callable[[_Writer, Node], None]] = {
    "Conv": _convolution,
    "Gemm": _gemm,
    "InsertZeros": _insert_zeros,
    "MatMul": _matmul,
    "PRelu": _prelu,
    "Resize": _resize,
    "Transpose": _transpose,
    **dict.fromkeys(("QuantizeLinear", "RequantizeLinear", "DequantizeLinear"), _quantizer),
    **dict.fromkeys(_WINDOWS.split(), _window),
    **dict.fromkeys([*_BINARY.split(), *_UNARY.split()], _elementwise),
    **dict.fromkeys(_ALONG_AN_AXIS.split(), _along_an_axis),
    **dict.fromkeys(_AS_STORED.split(), _as_stored),
}

__all__ = ["to_onnx"]
