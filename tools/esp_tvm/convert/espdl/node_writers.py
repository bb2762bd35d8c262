"""How each operator of ESP-DL is written in ONNX: one function for each way."""

from __future__ import annotations

from typing import Callable, Dict, List, Tuple

import numpy as np
from onnx import helper

from ...naming import shown
from .computed_operands import matrix_behind
from .graph_writer import AS_STORED, OPSETS, OWN_ATTRIBUTES, GraphWriter, to_first, to_last, without_missing_end
from .layouts import block_of, unblocked
from .network import Constant, Node, Tensor
from .tables import check_table

_BINARY = "Add And Div Equal Greater GreaterOrEqual Less LessOrEqual Max Min Mod Mul Or Pow Sub Sum Where"
_UNARY = (
    "Abs Cast Ceil Clip Cos Elu Erf Exp Floor Gelu HardSigmoid HardSwish Identity LeakyRelu Log Mish Neg Not "
    "Reciprocal Relu Round Selu Sigmoid Sign Sin Softplus Sqrt Swish Tan Tanh"
)
_WINDOWS = "AveragePool DepthToSpace GlobalAveragePool GlobalMaxPool MaxPool SpaceToDepth"
_ALONG_AN_AXIS = "Concat LogSoftmax Softmax Split"


def _convolution(writer: GraphWriter, node: Node) -> None:
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


def _insert_zeros(writer: GraphWriter, node: Node) -> None:
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


def _transposed_convolution(writer: GraphWriter, node: Node, values: np.ndarray, group: int) -> None:
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


def _unblocked(
    writer: GraphWriter, node: Node, constant: Constant, shape: Tuple[int, ...], grouped: bool
) -> np.ndarray:
    block = block_of(constant.layout)
    if block is None:
        how = (
            f"in the order '{shown(constant.layout)}'" if constant.layout else "in an order that the file does not say"
        )
        raise writer.refusal(node, f"its weights lie {how}, which is not known here; export the model again")
    return unblocked(constant.values, shape, block, grouped)


def _bias(writer: GraphWriter, node: Node, name: str) -> List[str]:
    if not name:
        return []
    constant = writer.constant(name)
    return [writer.weights(name, constant.values.reshape(-1), constant.exponents, 0, node)]


def _gemm(writer: GraphWriter, node: Node) -> None:
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


def _matmul(writer: GraphWriter, node: Node) -> None:
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


def _computed_operand(writer: GraphWriter, node: Node) -> str:
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


def _window(writer: GraphWriter, node: Node) -> None:
    writer.emit(node, [writer.form(node.inputs[0], True)], True)


def _resize(writer: GraphWriter, node: Node) -> None:
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


def _elementwise(writer: GraphWriter, node: Node) -> None:
    computed = [name for name in node.inputs if name and name not in writer.network.constants]
    constants = [writer.constant(name).values for name in node.inputs if name and name in writer.network.constants]
    ranks = {writer.rank(name) for name in computed}
    same = len(ranks) == 1 and all(array.size == 1 or array.ndim in ranks for array in constants)
    first = same and min(ranks) >= 3 and writer.has_first(computed)
    if "lut" in node.attributes:
        _table(writer, node)
    writer.emit(node, [writer.operand(name, first, node) for name in node.inputs], first)


def _table(writer: GraphWriter, node: Node) -> None:
    """The table that the file has for a function must be that function's."""
    table = writer.network.constants.get(str(node.attributes["lut"]))
    source, result = writer.tensor(node.inputs[0]), writer.tensor(node.outputs[0])
    if table is None or writer.as_float:
        return
    constants = [writer.operand(name, False, node) for name in node.inputs[1:]]
    attributes = {k: v for k, v in node.attributes.items() if k not in OWN_ATTRIBUTES}
    part = helper.make_node(node.op_type, without_missing_end(["x", *constants]), ["y"], **attributes)
    arrays = {name: writer.graph.constants[name] for name in constants if name in writer.graph.constants}
    opset = max(writer.opset, OPSETS.get(node.op_type, 0))
    why = check_table(table.values, part, arrays, opset, source.exponent, result.exponent)
    if why:
        raise writer.refusal(node, why)


def _prelu(writer: GraphWriter, node: Node) -> None:
    """PRelu: of images one slope per channel, channels first in the file as in ONNX."""
    x, slope = node.inputs[:2]
    writer.constant(slope)
    first = writer.has_first([x])
    writer.emit(node, [writer.form(x, first), writer.operand(slope, False, node)], first)


def _along_an_axis(writer: GraphWriter, node: Node) -> None:
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
    writer.emit(node, [*data, *rest], first, axis=to_first(rank).index(axis) if first else axis)


def _as_stored(writer: GraphWriter, node: Node) -> None:
    if node.op_type.startswith("Reduce") and node.op_type != "ReduceSum" and len(node.inputs) > 1:
        writer.opset = max(writer.opset, 18)
    writer.emit(node, [writer.operand(name, False, node) for name in node.inputs], False)


def _transpose(writer: GraphWriter, node: Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    rank = writer.rank(x)
    perm = list(node.attributes.get("perm", range(rank)[::-1]))
    perm = [axis % rank if -rank <= axis < rank else rank for axis in perm]
    if sorted(perm) != list(range(rank)):
        raise writer.refusal(node, f"it reorders {rank} axes by {perm}: damaged")
    source, known = writer.form(x, True in writer.forms.get(x, {})), True in writer.forms[x]
    if known:
        perm = [to_last(rank)[axis] for axis in perm]
    if perm == list(range(rank)) and (writer.as_float or writer.tensor(x) == _at(writer.tensor(y), writer.tensor(x))):
        writer.forms[y] = {False: source}
        return
    writer.emit(node, [source], False, perm=perm)


def _at(tensor: Tensor, other: Tensor) -> Tensor:
    """`tensor` with another's shape: to compare the rest."""
    return Tensor(tensor.dtype, other.shape, tensor.exponent)


def _quantizer(writer: GraphWriter, node: Node) -> None:
    """QuantizeLinear, RequantizeLinear, DequantizeLinear: the exponents stand at the tensors."""
    x, y = node.inputs[0], node.outputs[0]
    first = writer.has_first([x])
    source = writer.form(x, first)
    if writer.tensor(y).dtype != "int8" or writer.as_float:
        writer.forms[y] = {first: source}
    else:
        writer.settle(y, source, first)


WRITERS: Dict[str, Callable[[GraphWriter, Node], None]] = {
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
    **dict.fromkeys(AS_STORED, _as_stored),
}
