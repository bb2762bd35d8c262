"""Operators that read int8 values from, or write them to, positions given by constant indices."""

from __future__ import annotations

from typing import Optional, Sequence

import numpy as np
import onnx

from .base import MOVED, MOVES, Operand, Operator, Parsed, Refusal
from .movement import int8_operand
from .rule import INPUT, OWN, Facts, Rule, attribute, constant_parameters
from .strides import steps_of
from .tvm_later import is_constant, is_op, relay, wildcard


def emit_gather(call, c, source, target, shape, indices: Sequence[np.ndarray], fill: int = 0) -> None:
    """esp_dl_gather_s8 with one table of indices per axis of `shape` (none where it is the identity)."""
    same = [np.array_equal(index, np.arange(size)) for index, size in zip(indices, shape)]
    rank = len(shape)
    while rank > 1 and same[rank - 1]:
        rank -= 1
    block = int(np.prod(shape[rank:], dtype=np.int64))
    tables = []
    for axis in range(rank):
        if same[axis]:
            tables.append("0")
        else:
            table = np.asarray(indices[axis], np.int32)
            tables.append(c.constant(f"index{axis}", table, f"where places of axis {axis} come from"))
    parameters = c.struct(
        "esp_dl_gather_t",
        rank=rank,
        shape=[len(index) for index in indices[:rank]],
        step=steps_of(shape)[:rank],
        index=tables,
        block=block,
        fill=fill,
    )
    c.call("esp_dl_gather_s8", source, parameters, target)


class Gather(Operator):
    """Slices along one axis, selected by constant indices."""

    name = "gather"
    order = MOVED
    formula = MOVES
    rules = (
        Rule("shape", INPUT, constant_parameters, "Gather", "any indices; adjacent constant ones as a slice", whole=1),
    )

    def patterns(self):
        return [is_op("take")(wildcard(), is_constant())]

    def parse(self, root):
        x = int8_operand(root.args[0])
        if root.attrs.axis is None:
            raise Refusal("it takes from the flattened tensor")
        axis = int(root.attrs.axis) % len(x.shape)
        indices = root.args[1].data.numpy().astype(np.int64)
        if indices.size and (indices.min() < -x.shape[axis] or indices.max() >= x.shape[axis]):
            raise Refusal(f"an index lies outside axis {axis} of size {x.shape[axis]}")
        if int(root.attrs.batch_dims) != 0:
            raise Refusal("it has batch axes")
        return Parsed([x], Operand(root, x.dtype), {"indices": indices, "axis": axis})

    def reference(self, call, x):
        a = call.attributes
        size = call.inputs[0].shape[a["axis"]]
        indices = np.where(a["indices"] < 0, a["indices"] + size, a["indices"])
        return relay.take(x, relay.const(indices), axis=a["axis"])

    def emit(self, call, c, inputs, output):
        a, x = call.attributes, call.inputs[0].shape
        axis = a["axis"]
        outer, inner = (int(np.prod(part, dtype=np.int64)) for part in (x[:axis], x[axis + 1 :]))
        flat = a["indices"].reshape(-1)
        index = np.where(flat < 0, flat + x[axis], flat)
        shape = (outer, x[axis], inner)
        emit_gather(call, c, inputs[0], output, shape, [np.arange(outer), index, np.arange(inner)])


class GatherRows(Operator):
    """GatherND and ReverseSequence with constant indices: rows of the leading axes."""

    name = "gather_rows"
    order = MOVED
    formula = MOVES
    rules = (
        Rule("shape", INPUT, constant_parameters, "GatherND", "indices constant, no batch axes"),
        Rule("shape", INPUT, constant_parameters, "ReverseSequence", "lengths constant"),
    )

    def patterns(self):
        return [is_op("gather_nd")(wildcard(), is_constant()), is_op("reverse_sequence")(wildcard(), is_constant())]

    def parse(self, root):
        x = int8_operand(root.args[0])
        output = Operand(root, x.dtype)
        indices = root.args[1].data.numpy().astype(np.int64)
        if root.op.name == "gather_nd":
            depth, batch = indices.shape[0], int(root.attrs.batch_dims)
            if batch:
                raise Refusal("it has batch axes")
            leading = x.shape[:depth]
            indices = [np.where(i < 0, i + size, i) for i, size in zip(indices, leading)]
            if any(np.any((i < 0) | (i >= size)) for i, size in zip(indices, leading)):
                raise Refusal("an index lies outside its axis")
            rows = np.ravel_multi_index(indices, leading).reshape(-1)
        else:
            time, batch = int(root.attrs.seq_axis) % len(x.shape), int(root.attrs.batch_axis) % len(x.shape)
            depth = max(time, batch) + 1
            if sorted((time, batch)) != [0, 1]:
                raise Refusal("its time and batch axes are not the first two")
            rows = np.arange(x.shape[0] * x.shape[1]).reshape(x.shape[:2])
            by_batch = rows if batch == 0 else rows.T
            for sequence, length in zip(by_batch, indices):
                sequence[:length] = sequence[:length][::-1].copy()
            rows = rows.reshape(-1)
        inner = int(np.prod(x.shape[depth:], dtype=np.int64))
        return Parsed([x], output, {"rows": rows, "inner": inner, "shape": output.shape})

    def reference(self, call, x):
        a = call.attributes
        return relay.reshape(relay.take(relay.reshape(x, [-1, a["inner"]]), relay.const(a["rows"]), axis=0), a["shape"])

    def emit(self, call, c, inputs, output):
        a = call.attributes
        shape = (call.inputs[0].elements // a["inner"], a["inner"])
        emit_gather(call, c, inputs[0], output, shape, [a["rows"], np.arange(a["inner"])])


def _check_scatter(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    if node.input[1] not in facts.constants:
        return "its indices are not constant"
    if any(name in facts.constants for name in (node.input[0], node.input[2])):
        return "its data or its updates are constant"
    return None if attribute(node, "reduction", b"none") == b"none" else "it reduces"


class ScatterRows(Operator):
    """ScatterND with constant indices."""

    name = "scatter_rows"
    order = MOVED
    formula = MOVES
    rules = (Rule("shape", OWN, _check_scatter, "ScatterND", "indices constant, no reduction"),)
    # Its output may overwrite x but never the updates, which the memory plan cannot express.
    in_place = False

    def patterns(self):
        return [is_op("scatter_nd")(wildcard(), is_constant(), wildcard())]

    def parse(self, root):
        x, updates = int8_operand(root.args[0]), int8_operand(root.args[2])
        if str(root.attrs.mode) != "update":
            raise Refusal(f"its mode is {root.attrs.mode}")
        indices = root.args[1].data.numpy().astype(np.int64)
        depth = indices.shape[0]
        leading = x.shape[:depth]
        indices = [np.where(i < 0, i + size, i) for i, size in zip(indices, leading)]
        if any(np.any((i < 0) | (i >= size)) for i, size in zip(indices, leading)):
            raise Refusal("an index lies outside its axis")
        rows = np.ravel_multi_index(indices, leading).reshape(-1)
        inner = int(np.prod(x.shape[depth:], dtype=np.int64))
        return Parsed([x, updates], Operand(root, x.dtype), {"rows": rows, "inner": inner})

    def reference(self, call, x, updates):
        a = call.attributes
        rows = a["rows"]
        # The last update of a row counts: so the source of each row of the result is known beforehand.
        count = call.inputs[0].elements // a["inner"]
        source = np.arange(count)
        source[rows] = count + np.arange(len(rows))
        both = relay.concatenate([relay.reshape(x, [-1, a["inner"]]), relay.reshape(updates, [-1, a["inner"]])], 0)
        return relay.reshape(relay.take(both, relay.const(source), axis=0), call.output.shape)

    def emit(self, call, c, inputs, output):
        a = call.attributes
        parameters = c.struct(
            "esp_dl_scatter_t",
            size=call.output.bytes,
            count=len(a["rows"]),
            inner=a["inner"],
            rows=c.constant("rows", a["rows"].astype(np.int32), "the row that each update replaces"),
        )
        c.call("esp_dl_scatter_s8", inputs[0], inputs[1], parameters, output)
