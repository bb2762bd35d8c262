"""TopK: the best values along an axis, and where they are, each by a kernel of its own."""

from __future__ import annotations

from typing import Optional

import numpy as np
import onnx

from . import base, relay_op
from .base import COMPUTED, Operand, Operator, Parsed
from .rule import OWN, Facts, Rule
from .tvm_later import frontend, is_op, relay, tvm, wildcard

_FORMULA = "the k largest (smallest) values of an axis, the best first, of equal ones that of the lower index first"


def _import(inputs, attr, params):
    """(values, indices), each an operator of its own."""
    x, count = inputs[:2]
    kind = frontend.infer_type(x).checked_type
    if not isinstance(count, relay.Constant):
        raise ValueError("its K is not constant")
    if kind.dtype != "float32":
        raise ValueError(f"it sorts {kind.dtype}")
    shape = [int(size) for size in kind.shape]
    axis, k = int(attr.get("axis", -1)) % len(shape), int(count.data.numpy().reshape(-1)[0])
    if not 1 <= k <= shape[axis]:
        raise ValueError(f"its K is {k}, of {shape[axis]} values")
    attrs = {
        "axis": axis,
        "k": k,
        "smallest": int(attr.get("largest", 1) != 1),  # as ONNX Runtime reads it
        "shape": [k if place == axis else size for place, size in enumerate(shape)],
    }
    made = [relay.Call(one.op(), [x], tvm.ir.make_node("DictAttrs", **attrs)) for one in (TopK, TopKIndices)]
    return relay.TupleWrapper(relay.Tuple(made), 2)


def _check(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    return None if node.input[1] in facts.constants else "its K is not constant"


class TopK(Operator):
    """topk(dq(x)), or of float, as float32."""

    name = "topk"
    order = COMPUTED
    formula = _FORMULA + ": in float32, exact"
    rules = (Rule("compare", OWN, _check, "TopK", "K constant; behind a softmax it compares floats", compares=True),)
    converters = {"TopK": _import}
    dtype = "float32"

    @classmethod
    def op(cls) -> tvm.ir.Op:
        """The Relay operator of (x), attributes `axis`, `k`, `smallest`, `shape`."""
        return relay_op.register(f"esp_tvm.{cls.name}", "the best along an axis", cls.dtype)

    def patterns(self):
        self.op()
        return [is_op(f"esp_tvm.{self.name}")(x) for x in (base.dequantized(), wildcard())]

    def parse(self, root):
        source = base.read_dequantize_or_float(root.args[0], "sorts")
        attributes = {"axis": int(root.attrs["axis"]), "k": int(root.attrs["k"])}
        attributes["smallest"] = bool(int(root.attrs["smallest"]))
        return Parsed([source], Operand(root, self.dtype), {**attributes, **self.more(source)})

    def more(self, source: Operand) -> dict:
        return {"exponent": source.exponent or 0}

    def reference(self, call, x):
        best = self._places(call, x)
        values = base.widen(x) if call.inputs[0].dtype == "int8" else x
        values = relay.cast(relay.gather(values, call.attributes["axis"], best), "float32")
        return relay.multiply(values, relay.const(np.float32(2.0 ** call.attributes["exponent"])))

    @staticmethod
    def _places(call, x) -> relay.Expr:
        a = call.attributes
        axis, is_float = a["axis"], call.inputs[0].dtype != "int8"
        wide = x if is_float else base.widen(x)
        # TVM's sort keeps the order of equal values where it ascends, and of what has NaN in it makes no order.
        key = wide if a["smallest"] else relay.negative(wide)
        if is_float:
            key = relay.where(relay.isnan(x), relay.const(np.float32(np.inf)), key)
        order = relay.argsort(key, axis=axis, dtype="int64")
        if is_float:
            nan_last = relay.argsort(
                relay.gather(relay.cast(relay.isnan(x), "int32"), axis, order), axis, dtype="int64"
            )
            order = relay.gather(order, axis, nan_last)
        return relay.strided_slice(order, [0], [a["k"]], [1], axes=[a["axis"]])

    def emit(self, call, c, inputs, output):
        a, shape = call.attributes, call.inputs[0].shape
        parameters = c.struct(
            "esp_dl_topk_t",
            outer=int(np.prod(shape[: a["axis"]], dtype=np.int64)),
            size=shape[a["axis"]],
            inner=int(np.prod(shape[a["axis"] + 1 :], dtype=np.int64)),
            k=a["k"],
            smallest=a["smallest"],
            exponent=a.get("exponent", 0),
        )
        width = "s8" if call.inputs[0].dtype == "int8" else "f32"
        c.call(f"esp_dl_{self.name}_{width}", inputs[0], parameters, output)


class TopKIndices(TopK):
    """Where these values are, as int64."""

    name = "topk_indices"
    formula = _FORMULA + ": their indices"
    also = "TopK"
    dtype = "int64"
    output_place = 1

    def more(self, source):
        return {}

    def reference(self, call, x):
        return self._places(call, x)
