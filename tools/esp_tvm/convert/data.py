"""Checks that the constants of a model have as many values as their shapes require."""

from __future__ import annotations

from typing import Iterator, Tuple

import numpy as np
import onnx
from onnx import TensorProto

from ..errors import UserError
from ..naming import shown
from ..onnx_graph import bodies

_FIELDS = {
    TensorProto.FLOAT: "float_data",
    TensorProto.DOUBLE: "double_data",
    TensorProto.INT64: "int64_data",
    TensorProto.UINT64: "uint64_data",
    TensorProto.UINT32: "uint64_data",
}


def check_data(model: onnx.ModelProto, path) -> None:
    """`UserError` for the first constant whose data are cut off, too many or of another type than it says.

    Strings and the element types added after IR 8 are not checked here; external data must have been loaded.
    """
    for place, tensor in _tensors(model.graph):
        if tensor.data_type == TensorProto.STRING or tensor.data_type > TensorProto.BFLOAT16:
            continue
        label = f"{path}: constant '{shown(tensor.name)}'" if tensor.name else f"{path}: the constant of {place}"
        if tensor.data_type == TensorProto.UNDEFINED or any(size < 0 for size in tensor.dims):
            raise UserError(f"{label} has no element type, or a negative size; export the model again")
        count = int(np.prod(tensor.dims, dtype=np.float64))
        kind = TensorProto.DataType.Name(tensor.data_type).lower()
        if tensor.HasField("raw_data"):
            found, wanted, unit = len(tensor.raw_data), count * _size(tensor.data_type), "bytes"
        else:
            found, wanted, unit = len(getattr(tensor, _FIELDS.get(tensor.data_type, "int32_data"))), count, "values"
            if tensor.data_type in (TensorProto.COMPLEX64, TensorProto.COMPLEX128):
                continue
        if found != wanted:
            raise UserError(
                f"{label} is {kind}{list(tensor.dims)} and needs {wanted} {unit} of data, but has {found}; the file is "
                "damaged: export the model again"
            )


def _size(kind: int) -> int:
    if kind == TensorProto.BFLOAT16:
        return 2
    return np.dtype(onnx.mapping.TENSOR_TYPE_TO_NP_TYPE[kind]).itemsize


def _tensors(graph: onnx.GraphProto) -> Iterator[Tuple[str, TensorProto]]:
    yield from (("", tensor) for tensor in graph.initializer)
    for node in graph.node:
        place = f"node '{shown(node.name)}' ({shown(node.op_type)})"
        for entry in node.attribute:
            if entry.type == onnx.AttributeProto.TENSOR:
                yield place, entry.t
        for body in bodies(node):
            yield from _tensors(body)


__all__ = ["check_data"]
