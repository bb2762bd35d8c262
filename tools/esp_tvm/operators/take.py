"""Slices along one axis by indices that are known only at run time: rows of a table, such as an embedding."""

from __future__ import annotations

from typing import List, Optional

import numpy as np
import onnx

from .base import MOVED, MOVES, Operand, Operator, Parsed, Refusal
from .expressions import is_call
from .rule import INPUT, OWN, Facts, Rule
from .tvm_later import is_constant, is_op, relay, wildcard


def _of_a_table(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    return None if node.input[0] in facts.constants else "its data is not constant"


def _of_an_activation(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    return "its data is constant" if node.input[0] in facts.constants else None


class Take(Operator):
    """take(x, indices), x a constant table or an activation."""

    name = "take"
    order = MOVED
    formula = MOVES
    rules = (
        Rule("shape", OWN, _of_a_table, "Gather", whole=1),
        Rule("shape", INPUT, _of_an_activation, "Gather", whole=1),
    )
    dtypes = ("int8", "int16", "float32")

    def patterns(self):
        made = []
        for table in (is_constant, wildcard):
            i = wildcard()
            # As the importer writes indices that may count from the end.
            positive = is_op("where")(is_op("less")(i, is_constant()), is_op("add")(i, is_constant()), i)
            made += [is_op("take")(table(), positive), is_op("take")(table(), wildcard())]
        return made

    def parse(self, root):
        x, indices = root.args
        if root.attrs.axis is None:
            raise Refusal("it takes from the flattened tensor")
        if int(root.attrs.batch_dims) != 0:
            raise Refusal("it has batch axes")
        dtype = x.checked_type.dtype
        if dtype not in self.dtypes:
            raise Refusal(f"it takes {dtype}; kernels exist for {', '.join(self.dtypes)}")
        if is_call(indices, "where"):
            indices = indices.args[2]
        if isinstance(indices, relay.Constant):
            raise Refusal("")  # a gather
        kind = indices.checked_type.dtype
        if kind not in ("int32", "int64"):
            raise Refusal(f"its indices are {kind}")
        given: List[Operand] = [Operand(indices, kind)]
        attributes = {"axis": int(root.attrs.axis) % len(x.checked_type.shape)}
        if isinstance(x, relay.Constant):
            attributes["table"] = x.data.numpy()
        else:
            given.insert(0, Operand(x, dtype))
        return Parsed(given, Operand(root, dtype), attributes)

    def reference(self, call, *inputs):
        axis, size = call.attributes["axis"], self._shape(call)[call.attributes["axis"]]
        x = inputs[0] if len(inputs) > 1 else relay.const(call.attributes["table"])
        indices, kind = inputs[-1], call.inputs[-1].dtype
        from_end = relay.add(indices, relay.const(size, kind))
        indices = relay.where(relay.less(indices, relay.const(0, kind)), from_end, indices)
        return relay.take(x, relay.clip(indices, 0, size - 1), axis=axis)

    @staticmethod
    def _shape(call):
        """Of what it takes from."""
        return call.attributes["table"].shape if "table" in call.attributes else call.inputs[0].shape

    def emit(self, call, c, inputs, output):
        axis, shape = call.attributes["axis"], self._shape(call)
        names = list(inputs)
        if "table" in call.attributes:
            names.insert(0, c.constant("table", call.attributes["table"], f"what is taken from {list(shape)}"))
        outer, inner = (int(np.prod(part, dtype=np.int64)) for part in (shape[:axis], shape[axis + 1 :]))
        parameters = c.struct(
            "esp_dl_take_t",
            outer=outer,
            size=shape[axis],
            count=call.inputs[-1].elements,
            block=inner * np.dtype(call.output.dtype).itemsize,
            wide=call.inputs[-1].dtype == "int64",
        )
        c.call("esp_dl_take", *names, parameters, output)

    def output_range(self, call, inputs):
        if "table" not in call.attributes:
            return inputs[0]
        table = call.attributes["table"]
        return (int(table.min()), int(table.max())) if table.dtype == np.int8 else (-128, 127)
