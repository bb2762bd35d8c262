"""Converts float16, bfloat16 and float64 of a model, its inputs and outputs too, to float32.

`model.half()`, onnxconverter-common and `model.double()` give such models, and NumPy numbers in a traced model become
float64. Kernels support neither, and int8 is coarser than all of them.
"""

from __future__ import annotations

from typing import Iterator

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from ..onnx_graph import attribute, bodies, edited, inferred_values, is_standard

_OTHERS = (TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)
# Attributes that name the type of a node's output.
_TYPES = {"Cast": "to", "EyeLike": "dtype", "Multinomial": "dtype", "Bernoulli": "dtype"}
_RANDOM = "RandomNormal RandomNormalLike RandomUniform RandomUniformLike".split()
_TYPES.update(dict.fromkeys(_RANDOM, "dtype"))


def to_float32(model: onnx.ModelProto) -> None:
    """Convert all other floats of a model to float32, in place."""
    graph = model.graph
    ports = [value for value in [*graph.input, *graph.output] if value.type.tensor_type.elem_type in _OTHERS]
    found = [tensor for tensor in _tensors(graph) if tensor.data_type in _OTHERS]
    if not ports and not found and not any(_named_types(graph)):
        return
    for value in ports:
        value.type.tensor_type.elem_type = TensorProto.FLOAT
    for tensor in found:
        _turn(tensor)
    _turn_types(graph)
    del graph.value_info[:]
    _drop_casts(model)


def _tensors(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for entry in node.attribute:
            if entry.type == onnx.AttributeProto.TENSOR:
                yield entry.t
        for body in bodies(node):
            yield from _tensors(body)


def _named_types(graph: onnx.GraphProto) -> Iterator[int]:
    for node in graph.node:
        if is_standard(node, *_TYPES):
            yield from (a.i for a in node.attribute if a.name == _TYPES[node.op_type] and a.i in _OTHERS)
        for body in bodies(node):
            yield from _named_types(body)


def _turn(tensor: TensorProto) -> None:
    """Values beyond float32 (a mask of -1.8e308) become its largest values."""
    values = numpy_helper.to_array(tensor).astype(np.float64)
    limits = np.finfo(np.float32)
    finite = np.clip(values, limits.min, limits.max, where=np.isfinite(values), out=values.copy())
    turned = numpy_helper.from_array(finite.astype(np.float32), tensor.name)
    tensor.CopyFrom(turned)


def _turn_types(graph: onnx.GraphProto) -> None:
    for node in graph.node:
        if is_standard(node, *_TYPES):
            for entry in node.attribute:
                if entry.name == _TYPES[node.op_type] and entry.i in _OTHERS:
                    entry.i = TensorProto.FLOAT
        for body in bodies(node):
            for value in [*body.input, *body.output, *body.value_info]:
                if value.type.tensor_type.elem_type in _OTHERS:
                    value.type.tensor_type.elem_type = TensorProto.FLOAT
            _turn_types(body)


def _drop_casts(model: onnx.ModelProto) -> None:
    """Remove casts to float32 of tensors that are float32 now."""
    try:
        types = {name: value.type.tensor_type.elem_type for name, value in inferred_values(model).items()}
    except Exception:  # onnx's own: the model contradicts itself, which the checker reports later.
        return
    with edited(model) as graph:
        for node in graph.nodes:
            if not is_standard(node, "Cast") or types.get(node.input[0]) != TensorProto.FLOAT:
                continue
            name, output = node.input[0], node.output[0]
            if attribute(node, "to") != TensorProto.FLOAT:
                continue
            if output not in graph.outputs:
                graph.remove(node)
                graph.redirect(output, name)
            elif graph.only_consumer(name) is node and graph.producer(name) is not None:
                graph.remove(node)
                graph.rename(name, output)


__all__ = ["to_float32"]
