"""An ESP-DL model as it lies in its file: nodes, constants and what is said of the tensors between them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from ...errors import UserError
from ...naming import shown
from .flatbuffer import Damaged, Reader
from .schema import ATTRIBUTE_FIELDS, BLOCK, ELEMENTS, TENSOR_TYPE

# float32 holds 2^e for these.
_EXPONENTS = range(-100, 101)


@dataclass(frozen=True)
class Constant:
    """values: in the shape that the file says; exponents: one, or one per output channel; layout: as the file calls
    the order of the values ("" where it does not)."""

    values: np.ndarray
    exponents: Tuple[int, ...]
    layout: str

    @property
    def is_quantized(self) -> bool:
        """Whether its values are times a power of two: integers of a layer, not sizes or axes."""
        return self.values.dtype.name in ("int8", "int16", "int32")


@dataclass(frozen=True)
class Tensor:
    """A tensor between nodes: element type, shape as in the file (channels last), exponent of int8 and int16."""

    dtype: str
    shape: Tuple[int, ...]
    exponent: int


@dataclass(frozen=True)
class Node:
    op_type: str
    name: str
    inputs: List[str]
    outputs: List[str]
    attributes: Dict[str, Any]


@dataclass(frozen=True)
class Network:
    """inputs, outputs: names; tests: {name: values as stored} that the file says its outputs are for its inputs."""

    name: str
    nodes: List[Node]
    constants: Dict[str, Constant]
    tensors: Dict[str, Tensor]
    inputs: List[str]
    outputs: List[str]
    tests: Dict[str, np.ndarray]


def read_network(data: bytes, path: Path) -> Network:
    """The network in the FlatBuffers bytes of one model; `UserError` where they are none, or contradict themselves."""
    try:
        model = Reader(data).root("Model")
    except Damaged as error:
        raise UserError(f"{path}: is damaged ({error}); copy it again, or export it again with esp-ppq")
    graph = model.graph
    if graph is None or not graph.node or not graph.output:
        raise UserError(f"{path}: has no graph with nodes and outputs; export it again with esp-ppq")
    if model.functions:
        raise UserError(f"{path}: has functions of its own, which is newer than what is known here")
    constants = {t.name: _constant(t, path) for t in graph.initializer if t.name}
    tensors = {
        v.name: _tensor(v, path)
        for v in [*graph.value_info, *graph.input, *graph.output]
        if v.name and v.name not in constants
    }
    inputs = [v.name for v in graph.input if v.name not in constants]
    if not inputs or any(not v.name for v in [*graph.input, *graph.output]):
        raise UserError(f"{path}: has no input, or one without a name; export it again with esp-ppq")
    tests = {t.name: _constant(t, path).values for t in [*graph.test_inputs_value, *graph.test_outputs_value] if t.name}
    nodes = [_node(node, path) for node in graph.node]
    return Network(graph.name or "espdl", nodes, constants, tensors, inputs, [v.name for v in graph.output], tests)


def _exponents(given: List[int], what: str, path: Path) -> Tuple[int, ...]:
    wrong = [exponent for exponent in given if exponent not in _EXPONENTS]
    if wrong:
        raise UserError(f"{path}: {what} has the exponent {wrong[0]}, which no scale is; export it again with esp-ppq")
    return tuple(given) or (0,)


def _constant(tensor: SimpleNamespace, path: Path) -> Constant:
    what = f"constant '{shown(tensor.name or '')}'"
    kind = ELEMENTS.get(tensor.data_type)
    if kind is None or tensor.data_location or tensor.external_data:
        raise UserError(f"{path}: {what} is of a type or in a place that is not known here; export the model again")
    count = 1
    for size in tensor.dims:
        count *= size
    values = _values(tensor, np.dtype(kind))
    spare = BLOCK // np.dtype(kind).itemsize if tensor.raw_data is not None else 1
    if min(tensor.dims, default=0) < 0 or not count <= values.size < count + spare + (count == 0):
        raise UserError(f"{path}: {what} is {kind}{tensor.dims} but holds {values.size} values; damaged: export again")
    layout = (tensor.doc_string or "").partition("==>")[2].strip()
    shaped = values[:count].reshape(tensor.dims)
    return Constant(shaped, _exponents(tensor.exponents, what, path), "" if layout == "UNK" else layout)


def _values(tensor: SimpleNamespace, kind: np.dtype) -> np.ndarray:
    if tensor.raw_data is not None:
        return np.frombuffer(tensor.raw_data, kind.newbyteorder("<")).astype(kind)
    for field in (tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data, tensor.uint64_data):
        if field:
            return np.array(field).astype(kind)
    return np.zeros(0, kind)


def _tensor(value: SimpleNamespace, path: Path) -> Tensor:
    what = f"tensor '{shown(value.name)}'"
    info = value.value_info_type
    if info is None or info.value_type != TENSOR_TYPE or info.value is None:
        raise UserError(f"{path}: {what} has no type; export the model again with esp-ppq")
    kind = ELEMENTS.get(info.value.elem_type)
    if kind is None:
        raise UserError(f"{path}: {what} has an element type that is not known here ({info.value.elem_type})")
    dims = info.value.shape.dim if info.value.shape is not None else []
    shape = tuple(dim.value.dim_value if dim.value is not None else 0 for dim in dims)
    exponents = _exponents(value.exponents, what, path)
    if len(exponents) != 1:
        raise UserError(f"{path}: {what} has one exponent per channel, which only weights may have")
    return Tensor(kind, shape, exponents[0])


def _node(node: SimpleNamespace, path: Path) -> Node:
    name = node.name or (node.output[0] if node.output else "")
    label = f"node '{shown(name)}' ({shown(node.op_type or '')})"
    if not node.op_type or not node.output:
        raise UserError(f"{path}: {label} has no operator or no output; export the model again with esp-ppq")
    attributes = {}
    for entry in node.attribute:
        field: Optional[str] = ATTRIBUTE_FIELDS.get(entry.attr_type)
        value = getattr(entry, field) if field else None
        if value is None or not entry.name:
            raise UserError(f"{path}: {label}: attribute '{shown(entry.name or '')}' is of a kind not known here")
        if field == "s":
            value = bytes(value).decode("utf-8", "replace")
        attributes[entry.name] = _constant(value, path).values if field == "t" else value
    return Node(node.op_type, name, node.input, node.output, attributes)


__all__ = ["Constant", "Network", "Node", "Tensor", "read_network"]
