"""The quantized model as a front end feeds it: int8 input, channels last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..errors import UserError
from ..naming import shown


@dataclass(frozen=True)
class Int8Input:
    """A model whose input `name` is int8 of `shape`, worth 2^exponent each.

    transposed: the input was [N, C, H, W] and is now [N, H, W, C]
    """

    model: onnx.ModelProto
    name: str
    shape: tuple
    exponent: int
    transposed: bool


def with_int8_input(model: onnx.ModelProto, name: Optional[str] = None, channels_last: bool = True) -> Int8Input:
    """`model` (quantized) without the QuantizeLinear behind its float input: the same bytes go on from there.

    name: of the input, needed when there are several. channels_last: a 4-D input with more than one channel moves its
    channels to the end, as the kernels want them, so that nothing has to be moved on the chip.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    port = _input(graph, name)
    readers = [node for node in graph.node if port.name in node.input]
    quantize = readers[0] if len(readers) == 1 else None
    if quantize is None or quantize.op_type != "QuantizeLinear" or quantize.input[0] != port.name:
        raise UserError(
            f"input '{shown(port.name)}' of the model is not quantized to int8 before it is used; "
            "give the model that the quantize step wrote"
        )
    constants = {tensor.name: tensor for tensor in graph.initializer}
    exponent = _exponent(quantize, constants, port.name)
    port.type.tensor_type.elem_type = TensorProto.INT8
    dims = [dim.dim_value for dim in port.type.tensor_type.shape.dim]
    source = port.name
    position = list(graph.node).index(quantize)
    graph.node.remove(quantize)
    transposed = channels_last and len(dims) == 4 and dims[1] > 1
    if transposed:
        dims = [dims[0], dims[2], dims[3], dims[1]]
        for dim, size in zip(port.type.tensor_type.shape.dim, dims):
            dim.dim_value = size
        _transpose(graph, port.name, quantize, position)
    else:
        _rename(graph.node, quantize.output[0], source)
    onnx.checker.check_model(result)
    return Int8Input(result, port.name, tuple(dims), exponent, transposed)


def _transpose(graph, name: str, quantize, position: int) -> None:
    """input -> DequantizeLinear -> Transpose to channels first -> QuantizeLinear -> what read the quantized input."""
    taken = {value for node in graph.node for value in [*node.input, *node.output]}

    def new(suffix: str) -> str:
        candidate = f"{name}_{suffix}"
        while candidate in taken:
            candidate += "_"
        taken.add(candidate)
        return candidate

    real, moved = new("channels_last"), new("channels_first")
    scales = list(quantize.input[1:])
    nodes = [
        helper.make_node("DequantizeLinear", [name, *scales], [real], name=new("from_int8")),
        helper.make_node("Transpose", [real], [moved], perm=[0, 3, 1, 2], name=new("to_channels_first")),
        helper.make_node("QuantizeLinear", [moved, *scales], [quantize.output[0]], name=new("to_int8")),
    ]
    for offset, node in enumerate(nodes):
        graph.node.insert(position + offset, node)


def _rename(nodes, old: str, new: str) -> None:
    for node in nodes:
        for index, value in enumerate(node.input):
            if value == old:
                node.input[index] = new


def _input(graph, name: Optional[str]):
    constants = {tensor.name for tensor in graph.initializer}
    ports = [port for port in graph.input if port.name not in constants]
    names: List[str] = [port.name for port in ports]
    if name is None and len(ports) == 1:
        port = ports[0]
    elif name in names:
        port = ports[names.index(name)]
    else:
        listed = ", ".join(f"'{shown(n, 30)}'" for n in names)
        wanted = "say which with 'input:'" if name is None else f"it has no input '{shown(name)}'"
        raise UserError(f"the model has the inputs {listed}: {wanted}")
    if port.type.tensor_type.elem_type != TensorProto.FLOAT:
        raise UserError(f"input '{shown(port.name)}' of the model is not float32; give the model that quantize wrote")
    return port


def _exponent(quantize, constants, name: str) -> int:
    scale = numpy_helper.to_array(constants[quantize.input[1]]) if quantize.input[1] in constants else None
    zero = numpy_helper.to_array(constants[quantize.input[2]]) if len(quantize.input) > 2 else None
    if scale is not None and scale.size == 1 and zero is not None and zero.dtype == np.int8 and not zero.any():
        mantissa, exponent = np.frexp(float(scale.reshape(())))
        if mantissa == 0.5:
            return int(exponent) - 1
    raise UserError(
        f"input '{shown(name)}' is not quantized with one power of two and zero point 0; quantize with this project"
    )
