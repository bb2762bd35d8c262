"""Imports the quantized ONNX model as a Relay module, and maps Relay expressions back to the model's names."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from dataclasses import dataclass, field
from typing import Dict, Iterator, List, Tuple

import numpy as np
import onnx
import onnx.numpy_helper

# TVM downloads tuning logs at the first build unless this variable is set.
os.environ.setdefault("TOPHUB_LOCATION", "NONE")

import tvm  # noqa: E402
from tvm import relay  # noqa: E402
from tvm.relay.frontend import onnx as frontend  # noqa: E402

from ...convert.ends import refuse_what_no_chip_computes  # noqa: E402
from ...convert.fourier import LONGEST  # noqa: E402
from ...convert.int16 import collapse  # noqa: E402
from ...convert.qdq_form import as_it_is  # noqa: E402
from ...errors import UserError  # noqa: E402
from ...model import opset_of  # noqa: E402
from ...naming import c_identifier, shown  # noqa: E402
from ...tvm_errors import tvm_reason, without_tvm_log  # noqa: E402
from .ignored import refuse_ignored  # noqa: E402
from .importer_fixes import fix_importer  # noqa: E402
from .known_types import known_types  # noqa: E402
from .recurrent_layers import converters  # noqa: E402
from .run_time_indices import clamp_indices  # noqa: E402

# Its messages recommend tuning, which the references and the few operators without a kernel do not need.
for _logger in ("te_compiler", "autotvm", "strategy"):
    logging.getLogger(_logger).setLevel(logging.ERROR)


@dataclass
class Node:
    """An ONNX node for the report and for comments."""

    index: int
    name: str
    op_type: str
    inputs: List[str]
    outputs: List[str]

    def __str__(self) -> str:
        return f'{self.op_type} "{self.name}"' if self.name else f"{self.op_type} number {self.index}"


@dataclass
class Port:
    """A model input or output: `name` as in the ONNX file, `c_name` as in the generated C."""

    name: str
    c_name: str
    shape: Tuple[int, ...]
    dtype: str


@dataclass
class Imported:
    """A Relay module made from an ONNX model.

    nodes: every ONNX node; Relay expressions know theirs by index, see `node_indices`
    """

    mod: tvm.IRModule
    params: Dict[str, tvm.nd.NDArray]
    inputs: List[Port]
    outputs: List[Port]
    nodes: List[Node] = field(default_factory=list)

    def tensor_of(self, index: int, place: int = 0) -> str:
        """The ONNX tensor that node `index` computes, of several that at `place`; for a QuantizeLinear, the tensor it
        quantizes."""
        node = self.nodes[index]
        return node.inputs[0] if node.op_type == "QuantizeLinear" else node.outputs[place]


def _port(value: onnx.ValueInfoProto, taken: set) -> Port:
    tensor = value.type.tensor_type
    shape = []
    for axis, dim in enumerate(tensor.shape.dim):
        if dim.dim_value < 1:
            raise UserError(
                f"tensor '{shown(value.name)}': axis {axis} has no fixed size; run the preprocess step first"
            )
        shape.append(int(dim.dim_value))
    dtype = onnx.mapping.TENSOR_TYPE_TO_NP_TYPE[tensor.elem_type]
    return Port(value.name, c_identifier(value.name, taken), tuple(shape), np.dtype(dtype).name)


def _with_safe_names(model: onnx.ModelProto, ports: Dict[str, str]) -> onnx.ModelProto:
    """A copy in which node i is called `n<i>` and every tensor but inputs and outputs `t<k>`.

    TVM keeps node names as source spans: so the ONNX nodes of a kernel can be found again, and hostile, empty or
    repeated names do no harm.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    renamed = dict(ports)

    def safe(name: str) -> str:
        if name and name not in renamed:
            renamed[name] = f"t{len(renamed)}"
        return renamed.get(name, "")

    _make_single_scales_scalar(graph)
    _write_zero_points(graph)
    for tensor in graph.initializer:
        tensor.name = safe(tensor.name)
    for tensor in graph.sparse_initializer:
        tensor.values.name = safe(tensor.values.name)
    for value in list(graph.input) + list(graph.output):
        value.name = safe(value.name)
    for index, node in enumerate(graph.node):
        node.name = f"n{index}"
        node.input[:] = [safe(name) for name in node.input]
        node.output[:] = [safe(name) for name in node.output]
    del graph.value_info[:]
    return copy


def _make_single_scales_scalar(graph: onnx.GraphProto) -> None:
    """One scale for a whole tensor may be written as a tensor of shape [1]; TVM interprets that as one per channel."""
    single = {}
    for tensor in graph.initializer:
        if list(tensor.dims) == [1]:
            single[tensor.name] = tensor
    scales = {
        name
        for node in graph.node
        if node.op_type in ("QuantizeLinear", "DequantizeLinear")
        for name in node.input[1:]
        if name in single
    }
    for node in graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            scales -= set(node.input)
    for name in scales:
        del single[name].dims[:]


def _write_zero_points(graph: onnx.GraphProto) -> None:
    """A missing zero point means 0, but TVM needs it explicitly. For a QuantizeLinear it also means uint8."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    types = {name: tensor.data_type for name, tensor in constants.items()}
    types.update({value.name: value.type.tensor_type.elem_type for value in graph.input})
    for node in graph.node:
        if node.op_type == "QuantizeLinear":
            given = node.input[2] if len(node.input) > 2 else ""
            types[node.output[0]] = types.get(given, onnx.TensorProto.UINT8)
    for index, node in enumerate(graph.node):
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear") or (len(node.input) > 2 and node.input[2]):
            continue
        made = node.output[0] if node.op_type == "QuantizeLinear" else node.input[0]
        kind = types.get(made, onnx.TensorProto.INT8)
        shape = list(constants[node.input[1]].dims) if node.input[1] in constants else []
        zeros = np.zeros(shape, onnx.mapping.TENSOR_TYPE_TO_NP_TYPE[kind])
        name = f"zero point {index}"  # never one of the new names
        graph.initializer.append(onnx.numpy_helper.from_array(zeros, name))
        node.input[:] = [node.input[0], node.input[1], name]


@without_tvm_log()
def import_onnx(model: onnx.ModelProto, freeze_params: bool = True) -> Imported:
    """Import `model` (opset >= 13, fixed shapes) through TVM's ONNX frontend.

    Another tool's quantized model is first converted to this project's form if its scales are powers of two.
    """
    model = collapse(as_it_is(model))
    _refuse_what_changes(model)
    refuse_ignored(model)
    constants = {tensor.name for tensor in model.graph.initializer}
    taken: set = set()
    inputs = [_port(value, taken) for value in model.graph.input if value.name not in constants]
    outputs = [_port(value, taken) for value in model.graph.output]
    nodes = []
    for index, node in enumerate(model.graph.node):
        if any(a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for a in node.attribute):
            raise UserError(
                f"node '{shown(node.name)}' ({node.op_type}) has a body of its own; "
                "control flow cannot run on the chip: export the model without it"
            )
        nodes.append(Node(index, node.name, node.op_type, list(node.input), list(node.output)))
    safe = _with_safe_names(model, {port.name: port.c_name for port in inputs + outputs})
    shapes = {port.c_name: port.shape for port in inputs}
    _refuse_inexact_resize(model)
    fix_importer()
    at: List[Node] = []
    try:
        with converters(), known_types(), _noted(nodes, at):
            mod, params = relay.frontend.from_onnx(safe, shape=shapes, freeze_params=freeze_params)
    except tvm.error.OpNotImplemented as error:
        raise UserError(_unsupported(error, nodes))
    except Exception as error:  # TVM's importer raises many kinds of exceptions: the user's model causes them.
        where = f"node '{shown(at[-1].name)}' ({at[-1].op_type})" if at else "this model"
        raise UserError(f"TVM cannot import {where}: {tvm_reason(error)}")
    mod = relay.transform.InferType()(mod)
    _check_results(mod, outputs)
    mod = clamp_indices(mod)
    return Imported(mod, params, inputs, outputs, nodes)


@contextlib.contextmanager
def _noted(nodes: List[Node], at: List[Node]) -> Iterator[None]:
    """The nodes that TVM's importer has begun with, appended to `at` as it goes."""
    original = frontend.GraphProto._convert_operator

    def noted(self, op_name, inputs, attrs, opset):
        found = re.fullmatch(r"n(\d+)", str(attrs.get("tvm_custom", {}).get("name", "")))
        at.extend([nodes[int(found.group(1))]] if found else [])
        return original(self, op_name, inputs, attrs, opset)

    frontend.GraphProto._convert_operator = noted
    try:
        yield
    finally:
        frontend.GraphProto._convert_operator = original


def _check_results(mod: tvm.IRModule, outputs: List[Port]) -> None:
    """Check that TVM interprets the model as ONNX does, at least by the shapes and types of its results."""
    result = mod["main"].ret_type
    types = list(result.fields) if isinstance(result, tvm.ir.TupleType) else [result]
    for port, type_ in zip(outputs, types):
        shape = tuple(dim.value if isinstance(dim, tvm.tir.IntImm) else -1 for dim in type_.shape)
        if shape != port.shape or type_.dtype != port.dtype:
            raise UserError(
                f"output '{shown(port.name)}': TVM makes it {type_.dtype}{list(shape)}, "
                f"the model says {port.dtype}{list(port.shape)}; TVM does not know an operator in this form"
            )


_RANDOM = "Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike".split()


def _refuse_what_changes(model: onnx.ModelProto) -> None:
    """Refuse random and training operators: TVM would import some of them as something else."""
    refuse_what_no_chip_computes(model)
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    for node in model.graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        training = node.op_type == "BatchNormalization" and attributes.get("training_mode", 0)
        if node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]:
            training = bool(np.any(constants.get(node.input[2], True)))
        if training:
            raise UserError(f"node '{shown(node.name)}' ({node.op_type}) is in training mode; export for inference")
        if node.op_type == "Size":  # TVM crashes on it
            raise UserError(f"node '{shown(node.name)}' (Size) is a constant; run the preprocess step first")
        if node.op_type in ("DFT", "STFT"):
            raise UserError(
                f"node '{shown(node.name)}' ({node.op_type}): only signals of at most {LONGEST} values, with constant "
                "length and step, are computed here, as products; compute it before the model (docs/audio-input.md)"
            )
        mode = attributes.get("coordinate_transformation_mode", b"half_pixel")
        if node.op_type == "RoiAlign" and mode == b"half_pixel" and opset_of(model) >= 16:
            raise UserError(f"node '{shown(node.name)}' (RoiAlign): TVM knows only output_half_pixel")
        if node.op_type in _RANDOM:
            raise UserError(f"node '{shown(node.name)}' ({node.op_type}) makes random numbers; nothing can be compared")


def _refuse_inexact_resize(model: onnx.ModelProto) -> None:
    """TVM computes positions from the sizes, ONNX from the scales: they agree only if the scales give integer sizes."""
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    shapes = None
    for node in model.graph.node:
        if node.op_type not in ("Resize", "Upsample"):
            continue
        scales = constants.get(node.input[2 if node.op_type == "Resize" else 1]) if len(node.input) > 1 else None
        if node.op_type == "Resize" and (len(node.input) < 3 or not node.input[2]):
            continue
        if scales is None or not scales.size:
            continue
        if shapes is None:
            inferred = onnx.shape_inference.infer_shapes(model)
            values = [*inferred.graph.input, *inferred.graph.value_info]
            shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}
        sizes = np.asarray(shapes.get(node.input[0], []), np.float64)
        if sizes.shape == scales.shape and np.any(np.abs(sizes * scales - np.round(sizes * scales)) > 1e-3):
            raise UserError(
                f"node '{shown(node.name)}' ({node.op_type}): its scales do not give whole sizes; "
                "give it sizes in their place"
            )


def _unsupported(error: Exception, nodes: List[Node]) -> str:
    found = re.search(r"not supported for frontend ONNX:\s*(.*)", str(error))
    kinds = [kind.strip() for kind in found.group(1).split(",")] if found else []
    for node in nodes:
        if node.op_type in kinds:
            return f"node '{shown(node.name)}': operator {node.op_type} is supported neither by a kernel nor by TVM"
    return f"TVM cannot import this model: {tvm_reason(error)}"


def node_indices(expr: relay.Expr) -> List[int]:
    """Indices of the ONNX nodes that the call `expr` itself comes from (not those of its arguments)."""
    span = getattr(expr, "span", None)
    if span is None:
        return []
    spans = getattr(span, "spans", None) or [span]
    indices = []
    for one in spans:
        found = re.match(r"n(\d+)(\b|$)", str(one.source_name.name))
        if found:
            indices.append(int(found.group(1)))
    return indices
