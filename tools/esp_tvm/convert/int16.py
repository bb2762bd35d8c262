"""int16 activations in a standard ONNX file.

QuantizeLinear supports only int8 and uint8 (int16 was added in opset 21, which the pinned tools do not read). An int16
tensor at 2^e is written as the operations that its QuantizeLinear and DequantizeLinear would do, floor(x * 2^-e + 1/2)
within int16, times 2^e:

    x -> Mul(2^-e) -> Add(1/2) -> Floor -> Clip(-32768, 32767) -> Mul(2^e)

ONNX Runtime computes it (in float32, exact for values of 16 bits), Netron draws it, and `collapse` turns it into an
int16 QuantizeLinear and DequantizeLinear for the compiler. Older files end in Cast(INT32) -> DequantizeLinear(2^e, 0);
ONNX Runtime refuses these where a Reshape or the like follows: it moves the DequantizeLinear behind that, and puts a
QuantizeLinear to int32 before it.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Optional

import numpy as np
import onnx
from onnx import TensorProto, helper

from ..onnx_graph import Graph, attribute, copied

CHAIN = ("Mul", "Add", "Floor", "Clip")
LOW, HIGH = -32768, 32767


def expand(
    node: Callable[..., None], constant: Callable[[str, np.ndarray], str], fresh: Callable[[str], str], raw: str,
    name: str, exponent: int, output: str,
) -> None:  # fmt: skip
    """Write `output` = tensor `raw` quantized to int16 at `exponent` and dequantized.

    node(op_type, inputs, output, base of its name, **attributes), constant(base, array) -> name and fresh(base) -> name
    write to the graph; name: the tensor's name in the float model.
    """
    constants = {
        "Mul": [constant(f"scale_2^{-exponent}", np.float32(2.0**-exponent))],
        "Add": [constant("half", np.float32(0.5))],
        "Clip": [constant("int16_low", np.float32(LOW)), constant("int16_high", np.float32(HIGH))],
    }
    current = raw
    for op_type in CHAIN:
        made = fresh(f"{name}_int16" if op_type == "Clip" else f"{name}_{op_type.lower()}")
        node(op_type, [current, *constants.get(op_type, [])], made, f"{name}_int16_{op_type}")
        current = made
    scale = constant(f"scale_2^{exponent}", np.float32(2.0**exponent))
    node("Mul", [current, scale], output, f"{name}_DequantizeLinear")


def collapse(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with QuantizeLinear and DequantizeLinear of int16 in place of the chains; itself if it has none.

    Not standard ONNX, but TVM's importer reads it.
    """
    if not any(node.op_type == "Floor" for node in model.graph.node):
        return model
    graph = Graph(copied(model))
    zero = ""
    for node in graph.nodes:
        chain = _chain(graph, node) if node.op_type in ("DequantizeLinear", "Mul") else None
        if chain is None:
            continue
        zero = zero or graph.add_constant("int16_zero_point", np.int16(0))
        first, last = chain[0], chain[-1]
        source = next(name for name in first.input if name not in graph.constants)
        parameters = [next(name for name in node.input[::-1] if _is_real(graph, name)), zero]
        quantized = helper.make_node("QuantizeLinear", [source, *parameters], list(last.output), last.name)
        graph.remove(*chain)
        graph.insert_before(node, quantized)
        node.op_type = "DequantizeLinear"
        graph.set_inputs(node, [quantized.output[0], *parameters])
    if not zero:
        return model
    graph.write()
    return graph.model


def reals_of_steps(model: onnx.ModelProto) -> Dict[str, str]:
    """{float tensor that holds the steps of an int16 one: the real values of it}, of every chain in `model`."""
    if not any(node.op_type == "Floor" for node in model.graph.node):
        return {}
    graph = Graph(model)
    ends = [(node, _chain(graph, node)) for node in graph.nodes if node.op_type == "Mul"]
    return {chain[-1].output[0]: node.output[0] for node, chain in ends if chain is not None}


def _is_real(graph: Graph, name: str) -> bool:
    """Whether a tensor is a constant real number."""
    return name in graph.constants and graph.constants[name].dtype == np.float32 and graph.constants[name].size == 1


def _chain(graph: Graph, last: onnx.NodeProto) -> Optional[List[onnx.NodeProto]]:
    """The nodes of a chain that ends before `last`, a DequantizeLinear or Mul, or None if there is no chain."""
    chain: List[onnx.NodeProto] = []
    steps = [float(graph.constants[name].reshape(-1)[0]) for name in last.input if _is_real(graph, name)]
    names = [name for name in last.input if name not in graph.constants]
    if len(steps) != 1 or len(names) != 1 or np.frexp(steps[0])[0] != 0.5:
        return None
    name, kinds = names[0], CHAIN if last.op_type == "Mul" else (*CHAIN, "Cast")
    for op_type in reversed(kinds):
        node = graph.producer(name)
        if node is None or node.op_type != op_type or graph.only_consumer(name) is None:
            return None
        chain.insert(0, node)
        inputs = [one for one in node.input if one not in graph.constants]
        if len(inputs) != 1:
            return None
        name = inputs[0]

    def values(node: onnx.NodeProto) -> List[float]:
        arrays = [graph.constants[one] for one in node.input if one in graph.constants]
        return [float(a.reshape(-1)[0]) if a.size == 1 else np.nan for a in arrays]

    multiply, add, _, clip = chain[:4]
    if values(multiply) != [1.0 / steps[0]] or values(add) != [0.5] or values(clip) != [LOW, HIGH]:
        return None
    return chain if len(chain) == 4 or attribute(chain[4], "to") == TensorProto.INT32 else None


__all__ = ["collapse", "expand", "reals_of_steps"]
