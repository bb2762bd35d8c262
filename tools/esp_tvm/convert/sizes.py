"""Sizes that the user gives for free axes of a model: --shape x=1,3,96,96."""

from __future__ import annotations

from typing import Dict, List, Sequence

import onnx

from ..errors import UserError
from ..naming import shown
from ..onnx_graph import value_names


def parse_shapes(texts: Sequence[str]) -> Dict[str, List[int]]:
    """{input name: shape} of "1,3,32,32" (named input0, input1, ...) or "name=1,3,32,32"."""
    shapes: Dict[str, List[int]] = {}
    for text in texts:
        name, _, sizes = text.rpartition("=")
        try:
            shape = [int(size) for size in sizes.split(",")]
        except ValueError:
            shape = []
        if not shape or min(shape) < 1:
            raise UserError(f"--shape {text}: give whole numbers, batch first: --shape 1,3,32,32 or NAME=1,3,32,32")
        shapes[name or f"input{len(shapes)}"] = shape
    return shapes


def symbol_of(dim) -> str:
    """The name that a free axis shares with others; "" if it has none (PaddlePaddle calls all of them "?")."""
    return dim.dim_param if dim.dim_param.strip("?") else ""


def set_sizes(model: onnx.ModelProto, sizes: Dict[str, List[int]], path) -> None:
    """Give the free axes of the inputs these sizes, in place; "input0" is the first input if none has that name.

    An axis with the same name as a given one gets the same size. `UserError` for an input that the model
    does not have, another number of axes, or a size that is not the model's own.
    """
    graph = model.graph
    names = value_names(graph)
    values = {value.name: value for value in graph.input}
    by_symbol: Dict[str, int] = {}
    for name, shape in sizes.items():
        if name not in names and name[:5] == "input" and name[5:].isdigit() and int(name[5:]) < len(names):
            name = names[int(name[5:])]
        if name not in names:
            known = ", ".join(shown(one, 40) for one in names)
            raise UserError(f"{path}: --shape: the model has no input '{shown(name)}' (it has: {known})")
        tensor = values[name].type.tensor_type
        if not tensor.HasField("shape"):
            for _ in shape:
                tensor.shape.dim.add()
        dims = tensor.shape.dim
        given = ",".join(map(str, shape))
        if len(dims) != len(shape):
            raise UserError(f"{path}: --shape: input '{shown(name)}' has {len(dims)} axes, not {len(shape)} ({given})")
        for axis, (dim, size) in enumerate(zip(dims, shape)):
            if dim.dim_value > 0 and dim.dim_value != size:
                raise UserError(
                    f"{path}: --shape: axis {axis} of input '{shown(name)}' has the size {dim.dim_value} in the model, "
                    f"not {size}; only free axes can be given"
                )
            symbol = symbol_of(dim)
            if symbol and by_symbol.setdefault(symbol, size) != size:
                raise UserError(
                    f"{path}: --shape: axis {axis} of input '{shown(name)}' ('{shown(symbol)}') is "
                    f"{by_symbol[symbol]} elsewhere, not {size}"
                )
            dim.Clear()
            dim.dim_value = size
    for value in graph.input:
        for dim in value.type.tensor_type.shape.dim:
            if symbol_of(dim) in by_symbol:
                size = by_symbol[symbol_of(dim)]
                dim.Clear()
                dim.dim_value = size
    # The shapes declared for the free axes.
    del graph.value_info[:]
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")


__all__ = ["parse_shapes", "set_sizes", "symbol_of"]
