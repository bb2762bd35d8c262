"""Relates ONNX tensors to nodes of TVM's graph and to calls in the generated C."""

from __future__ import annotations

import difflib
import json
import zlib
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Sequence

import numpy as np

from ..errors import UserError
from ..naming import shown
from ..trace.header import layer_text

if TYPE_CHECKING:
    from ..compile.partition import Partitioned

FILE_NAME = "names.json"


def name_map(
    graph_json: str, partitioned: Partitioned, symbols: Sequence[str], functions: Mapping[str, str]
) -> List[Dict[str, Any]]:
    """One entry per kernel call: tensor, nodes (of the ONNX model), tvm_node, call, operator, dtype, shape, exponent.

    tvm_index: the node's place in TVM's graph; names such as `reshape_nop` occur there more than once
    call: the C function that computes it, alone or with its neighbours; "" if there is no code for it

    graph_json: of a graph whose last outputs are those of the calls `symbols`. Shapes are as in memory.
    functions: symbol of a call -> its C function
    """
    graph = json.loads(graph_json)
    heads = graph["heads"][len(graph["heads"]) - len(symbols) :]
    entries = []
    for symbol, head in zip(symbols, heads):
        call = partitioned.calls[symbol]
        entries.append(
            {
                "tensor": call.output.name,
                "nodes": call.nodes,
                "tvm_node": graph["nodes"][head[0]]["name"],
                "tvm_index": head[0],
                "call": functions[symbol],
                "operator": call.operator,
                "dtype": call.output.dtype,
                "shape": list(call.output.shape),
                "exponent": call.output.exponent,
            }
        )
    return entries


def find_layer(entries: Sequence[Dict[str, Any]], name: str) -> List[Dict[str, Any]]:
    """The entries whose tensor, node, TVM node or C function is called `name`; an error names the closest."""
    known: Dict[str, List[Dict[str, Any]]] = {}
    for entry in entries:
        names = {entry["tensor"], entry["tvm_node"], entry["call"], entry["call"].replace("tvmgen_default_", "")}
        for node in entry["nodes"]:
            names |= {node, node.split('"')[1] if node.count('"') > 1 else node}
        for one in names - {""}:
            known.setdefault(one, []).append(entry)
    if name in known:
        return known[name]
    close = _of_operators(entries, name) or difflib.get_close_matches(name, known, 3, 0.3) or sorted(known)[:3]
    listed = ", ".join(f"'{shown(one, 80)}'" for one in close)
    raise UserError(f"no layer is called '{shown(name)}'; the closest are {listed}; {FILE_NAME} in the dump has all")


# The names of ONNX operators in TVM's node names.
_OPERATORS = {"conv2d": "Conv", "conv1d": "Conv", "dense": "Gemm", "matmul": "MatMul", "pool2d": "Pool"}


def _of_operators(entries: Sequence[Dict[str, Any]], name: str) -> List[str]:
    """Tensors of layers with the operators in a name such as tvmgen_default_fused_nn_relu (of ESP-DL's tutorial)."""
    fused = name.rpartition("fused_")[2].lower().split("_") if "fused_" in name else []
    operators = [_OPERATORS.get(word, word).lower() for word in fused]
    found = [
        entry["tensor"] for entry in entries if any(node.split(" ")[0].lower() in operators for node in entry["nodes"])
    ]
    return found[:6]


def layer_lines(entry: Dict[str, Any], values: np.ndarray, count: int = 16) -> List[str]:
    """What a layer computed, in the form of the trace, and its first values as integers and real numbers."""
    flat = np.ascontiguousarray(values).reshape(-1)
    more = " ..." if flat.size > count else ""
    lines = [
        layer_text(*(entry[key] for key in ("operator", "dtype", "shape", "exponent", "nodes"))),
        f"  ONNX tensor '{shown(entry['tensor'])}', TVM node '{entry['tvm_node']}', "
        + (f"in C {entry['call']}" if entry["call"] else "no code in C: it is its input's memory"),
        f"  {flat.nbytes} bytes in memory, CRC-32 {zlib.crc32(flat.tobytes()):08x}",
        "  first values: " + " ".join(f"{value:g}" for value in flat[:count]) + more,
    ]
    if entry["exponent"] is not None:
        real = flat[:count].astype(np.float64) * 2.0 ** entry["exponent"]
        lines.append(f"  times 2^{entry['exponent']}: " + " ".join(f"{value:g}" for value in real) + more)
    return lines
