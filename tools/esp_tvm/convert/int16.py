"""int16 activations in a standard ONNX file.

QuantizeLinear knows int8 and uint8 alone (int16 came with opset 21, which the pinned tools do not read). A tensor of
int16 at 2^e is written as what its QuantizeLinear would do, floor(x * 2^-e + 1/2) within int16, cast to int32, which
DequantizeLinear reads:

    x -> Mul(2^-e) -> Add(1/2) -> Floor -> Clip(-32768, 32767) -> Cast(INT32) -> DequantizeLinear(2^e, 0)

ONNX Runtime computes it (in float32, exact for values of 16 bits), Netron draws it, and `collapse` makes a
QuantizeLinear of int16 of it for the compiler.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Optional, Tuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CHAIN = ("Mul", "Add", "Floor", "Clip", "Cast")
LOW, HIGH = -32768, 32767


def expand(
    node: Callable[..., None], constant: Callable[[str, np.ndarray], str], fresh: Callable[[str], str], raw: str,
    name: str, exponent: int, output: str,
) -> None:  # fmt: skip
    """Write `output` = tensor `raw` quantized to int16 at `exponent` and dequantized.

    node(op_type, inputs, output, base of its name, **attributes), constant(base, array) -> name and fresh(base) -> name
    write to the graph; name: the tensor as the float model knows it.
    """
    constants = {
        "Mul": [constant(f"scale_2^{-exponent}", np.float32(2.0**-exponent))],
        "Add": [constant("half", np.float32(0.5))],
        "Clip": [constant("int16_low", np.float32(LOW)), constant("int16_high", np.float32(HIGH))],
    }
    current = raw
    for op_type in CHAIN:
        made = fresh(f"{name}_int16" if op_type == "Cast" else f"{name}_{op_type.lower()}")
        attributes = {"to": TensorProto.INT32} if op_type == "Cast" else {}
        base = f"{name}_int16_{op_type}"
        node(op_type, [current, *constants.get(op_type, [])], made, base, **attributes)
        current = made
    scale = constant(f"scale_2^{exponent}", np.float32(2.0**exponent))
    zero = constant("zero_point_int32", np.zeros((), np.int32))
    node("DequantizeLinear", [current, scale, zero], output, f"{name}_DequantizeLinear")


def collapse(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with QuantizeLinear and DequantizeLinear of int16 in place of the chains; itself where it has none.

    No standard ONNX: for TVM's importer, which reads it.
    """
    graph = model.graph
    if not any(node.op_type == "Cast" for node in graph.node):
        return model
    constants = {t.name: t for t in graph.initializer}
    makers = {output: i for i, node in enumerate(graph.node) for output in node.output}
    users: Dict[str, List[int]] = {}
    for i, node in enumerate(graph.node):
        for name in node.input:
            users.setdefault(name, []).append(i)
    found: Dict[int, Tuple[List[int], int]] = {}
    for i, node in enumerate(graph.node):
        if node.op_type != "DequantizeLinear" or len(users.get(node.input[0], [])) != 1:
            continue
        chain = _chain(graph, makers, users, constants, node)
        if chain is not None:
            found[i] = chain
    if not found:
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    dropped = {i for chain, _ in found.values() for i in chain}
    taken = {o for node in graph.node for o in node.output} | set(constants)
    zero = "int16_zero_point"
    while zero in taken:
        zero += "_"
    nodes = []
    for i, node in enumerate(graph.node):
        if i in dropped:
            continue
        if i in found:
            chain, _ = found[i]
            first, last = graph.node[chain[0]], graph.node[chain[-1]]
            source = next(name for name in first.input if name not in constants)
            parameters = [node.input[1], zero]
            nodes.append(helper.make_node("QuantizeLinear", [source, *parameters], list(last.output), last.name))
            nodes.append(
                helper.make_node("DequantizeLinear", [last.output[0], *parameters], list(node.output), node.name)
            )
            continue
        nodes.append(node)
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    copy.graph.initializer.append(numpy_helper.from_array(np.zeros((), np.int16), zero))
    return copy


def _chain(graph, makers, users, constants, dequantize) -> Optional[Tuple[List[int], int]]:
    """(indices of the nodes of a chain that ends before `dequantize`, exponent), or None where it is none."""
    chain: List[int] = []
    name = dequantize.input[0]
    for op_type in reversed(CHAIN):
        index = makers.get(name)
        if index is None or graph.node[index].op_type != op_type or len(users.get(name, [])) != 1:
            return None
        chain.insert(0, index)
        inputs = [n for n in graph.node[index].input if n not in constants]
        if len(inputs) != 1:
            return None
        name = inputs[0]

    def values(index: int) -> List[float]:
        arrays = [numpy_helper.to_array(constants[n]) for n in graph.node[index].input if n in constants]
        return [float(a.reshape(-1)[0]) if a.size == 1 else np.nan for a in arrays]

    scale = constants.get(dequantize.input[1])
    step = float(numpy_helper.to_array(scale).reshape(-1)[0]) if scale is not None else np.nan
    multiply, add, _, clip, cast = chain
    whole = graph.node[cast].attribute[0].i == TensorProto.INT32
    if values(multiply) != [1.0 / step] or values(add) != [0.5] or values(clip) != [LOW, HIGH] or not whole:
        return None
    mantissa, exponent = np.frexp(step)
    return (chain, int(exponent) - 1) if mantissa == 0.5 else None


__all__ = ["collapse", "expand"]
