"""Checks of a model's file before native libraries read it: its names, and data in other files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Iterator

import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from onnx import AttributeProto, TensorProto, numpy_helper

from .errors import UserError
from .naming import shown
from .onnx_graph import bodies


def tensors(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    """Every tensor in a graph and in the bodies of its nodes: initializers and attributes."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield sparse.values
        yield sparse.indices
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t
            yield from attribute.tensors
            if attribute.type == AttributeProto.SPARSE_TENSOR:
                yield attribute.sparse_tensor.values
                yield attribute.sparse_tensor.indices
        for body in bodies(node):
            yield from tensors(body)


def check_names(model: onnx.ModelProto, path: Path) -> None:
    """Raise a `UserError` for a name or text that is not UTF-8, as protobuf requires."""

    def check(message: Message) -> None:
        for field, value in message.ListFields():
            if field.type == FieldDescriptor.TYPE_STRING:
                for text in value if field.label == FieldDescriptor.LABEL_REPEATED else [value]:
                    if isinstance(text, bytes):
                        raise UserError(
                            f"{path}: the {field.name} {text[:40]!r} in a {type(message).__name__} is not UTF-8; "
                            "give it another name and export the model again"
                        )
            elif field.type == FieldDescriptor.TYPE_MESSAGE:
                for one in value if field.label == FieldDescriptor.LABEL_REPEATED else [value]:
                    check(one)

    check(model)


def load_external_data(model: onnx.ModelProto, path: Path) -> None:
    """Read the data that are in other files beside `path` into the model, those of bodies too."""
    folder = path.resolve().parent
    for tensor in tensors(model.graph):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        # The name comes from the model: it must not lead out of the model's own folder.
        file = Path(os.path.normpath(folder / location))
        if not location or "\0" in location or folder not in file.parents:
            raise UserError(
                f"{path}: the data of tensor '{shown(tensor.name)}' lie outside the model's folder "
                f"('{shown(location)}'); save the model in one file"
            )
        if not file.is_file():
            raise UserError(
                f"{path}: the data of tensor '{shown(tensor.name)}' are in '{shown(location)}', which is not "
                "there; put that file beside the model, or save the model in one file"
            )
        try:
            onnx.external_data_helper.load_external_data_for_tensor(tensor, str(folder))
            tensor.data_location = TensorProto.DEFAULT
            numpy_helper.to_array(tensor)
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: the data file '{shown(location)}' does not fit the model: {error}")
        del tensor.external_data[:]
