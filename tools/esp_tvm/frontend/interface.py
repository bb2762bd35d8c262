"""The quantized model for a front end: with an int8 input, channels last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional

import numpy as np
import onnx
from onnx import TensorProto

from ..data_check import forget
from ..errors import UserError
from ..naming import shown
from ..onnx_graph import Graph, copied
from ..states import own_inputs


@dataclass(frozen=True)
class Int8Input:
    """A model whose input `name` is int8 of `shape` with the scale 2^exponent.

    transposed: the input was [N, C, H, W] and is now [N, H, W, C]
    """

    model: onnx.ModelProto
    name: str
    shape: tuple
    exponent: int
    transposed: bool


def with_int8_input(model: onnx.ModelProto, name: Optional[str] = None, channels_last: bool = True) -> Int8Input:
    """`model` (quantized) without the QuantizeLinear after its float input: the rest computes the same bytes.

    name: of the input, needed if there are several. channels_last: a 4-D input with more than one channel moves its
    channels to the end, as the kernels need them, so that nothing has to be moved on the chip.
    """
    result = copied(model)
    graph = Graph(result)
    port = _input(result, name)
    quantize = graph.only_consumer(port.name)
    if quantize is None or quantize.op_type != "QuantizeLinear" or quantize.input[0] != port.name:
        raise UserError(
            f"input '{shown(port.name)}' of the model is not quantized to int8 before it is used; "
            "give the model that the quantize step wrote"
        )
    exponent = _exponent(graph, quantize, port.name)
    port.type.tensor_type.elem_type = TensorProto.INT8
    dims = [dim.dim_value for dim in port.type.tensor_type.shape.dim]
    transposed = channels_last and len(dims) == 4 and dims[1] > 1
    if transposed:
        dims = [dims[0], dims[2], dims[3], dims[1]]
        for dim, size in zip(port.type.tensor_type.shape.dim, dims):
            dim.dim_value = size
        _transpose(graph, port.name, quantize)
    else:
        graph.remove(quantize)
        graph.redirect(quantize.output[0], port.name)
    graph.write()
    # Its range and axes are those of the float input.
    forget(result, port.name)
    onnx.checker.check_model(result)
    return Int8Input(result, port.name, tuple(dims), exponent, transposed)


def _transpose(graph: Graph, name: str, quantize: onnx.NodeProto) -> None:
    """input -> DequantizeLinear -> Transpose to channels first -> QuantizeLinear -> what read the quantized input."""
    real, moved = graph.fresh(f"{name}_channels_last"), graph.fresh(f"{name}_channels_first")
    parameters = list(quantize.input[1:])
    graph.replace(
        quantize,
        graph.make("DequantizeLinear", [name, *parameters], [real], f"{name}_from_int8"),
        graph.make("Transpose", [real], [moved], f"{name}_to_channels_first", perm=[0, 3, 1, 2]),
        graph.make("QuantizeLinear", [moved, *parameters], [quantize.output[0]], f"{name}_to_int8"),
    )


def _input(model: onnx.ModelProto, name: Optional[str]):
    """The input `name`, or the only one beside states, which the program keeps itself."""
    own = {port[0] for port in own_inputs(model)}
    ports = [port for port in model.graph.input if port.name in own]
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


def _exponent(graph: Graph, quantize: onnx.NodeProto, name: str) -> int:
    scale = graph.constant(quantize.input[1])
    zero = graph.constant(quantize.input[2]) if len(quantize.input) > 2 else None
    if scale is not None and scale.size == 1 and zero is not None and zero.dtype == np.int8 and not zero.any():
        mantissa, exponent = np.frexp(float(scale.reshape(())))
        if mantissa == 0.5:
            return int(exponent) - 1
    raise UserError(
        f"input '{shown(name)}' is not quantized with one power of two and zero point 0; quantize with this project"
    )
