"""Unary functions of any kind: a table with one entry per int8 value.

An activation function may be one Relay operator or a whole expression (hard-swish, gelu, x * sigmoid(x), a
polynomial): the only condition is that every value of the result depends on one value of one int8 tensor.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence

import numpy as np

from . import base
from .base import COMPUTED, Operand, Operator, Parsed, Refusal
from .expressions import has_one_scale, is_call, shape_of
from .rule import OWN, Rule, constant_parameters
from .tvm_later import relay, special, tvm

# Relay operators on float64 arrays; `attrs` are the call's.
ELEMENTWISE = {
    "abs": lambda attrs, x: np.abs(x),
    "acos": lambda attrs, x: np.arccos(x),
    "acosh": lambda attrs, x: np.arccosh(x),
    "add": lambda attrs, a, b: a + b,
    "asin": lambda attrs, x: np.arcsin(x),
    "asinh": lambda attrs, x: np.arcsinh(x),
    "atan": lambda attrs, x: np.arctan(x),
    "atanh": lambda attrs, x: np.arctanh(x),
    "cast": lambda attrs, x: x.astype(attrs.dtype),
    "ceil": lambda attrs, x: np.ceil(x),
    "clip": lambda attrs, x: np.clip(x, attrs.a_min, attrs.a_max),
    "cos": lambda attrs, x: np.cos(x),
    "cosh": lambda attrs, x: np.cosh(x),
    "divide": lambda attrs, a, b: a / b,
    "equal": lambda attrs, a, b: a == b,
    "erf": lambda attrs, x: special.erf(x),
    "exp": lambda attrs, x: np.exp(x),
    "fast_erf": lambda attrs, x: special.erf(x),
    "fast_exp": lambda attrs, x: np.exp(x),
    "fast_tanh": lambda attrs, x: np.tanh(x),
    "floor": lambda attrs, x: np.floor(x),
    "full_like": lambda attrs, x, value: np.full_like(x, value),
    "greater": lambda attrs, a, b: a > b,
    "greater_equal": lambda attrs, a, b: a >= b,
    "less": lambda attrs, a, b: a < b,
    "less_equal": lambda attrs, a, b: a <= b,
    "log": lambda attrs, x: np.log(x),
    "log10": lambda attrs, x: np.log10(x),
    "log2": lambda attrs, x: np.log2(x),
    "logical_and": lambda attrs, a, b: np.logical_and(a, b),
    "logical_not": lambda attrs, x: np.logical_not(x),
    "logical_or": lambda attrs, a, b: np.logical_or(a, b),
    "maximum": lambda attrs, a, b: np.maximum(a, b),
    "minimum": lambda attrs, a, b: np.minimum(a, b),
    "mod": lambda attrs, a, b: np.fmod(a, b),
    "multiply": lambda attrs, a, b: a * b,
    "negative": lambda attrs, x: -x,
    "nn.leaky_relu": lambda attrs, x: np.where(x >= 0, x, x * float(attrs.alpha)),
    "nn.relu": lambda attrs, x: np.maximum(x, 0),
    "ones_like": lambda attrs, x: np.ones_like(x),
    "power": lambda attrs, a, b: np.power(a, b),
    "round": lambda attrs, x: np.round(x),
    "rsqrt": lambda attrs, x: 1 / np.sqrt(x),
    "sigmoid": lambda attrs, x: special.expit(x),
    "sign": lambda attrs, x: np.sign(x),
    "sin": lambda attrs, x: np.sin(x),
    "sinh": lambda attrs, x: np.sinh(x),
    "sqrt": lambda attrs, x: np.sqrt(x),
    "subtract": lambda attrs, a, b: a - b,
    "tan": lambda attrs, x: np.tan(x),
    "tanh": lambda attrs, x: np.tanh(x),
    "trunc": lambda attrs, x: np.trunc(x),
    "where": lambda attrs, c, a, b: np.where(c, a, b),
    "zeros_like": lambda attrs, x: np.zeros_like(x),
}


def table_of(function, exponent: int, output_exponent: int, dtype: str = "int8", result: str = "int8") -> np.ndarray:
    """int8[256], indexed by x + 128: sat8(floor(f(x * 2^e_x) / 2^e_y + 1/2)) in float64; NaN gives 0.

    dtype: of the bytes x; uint8 and bool are indexed as if they were int8; result: int16 has sat16 in place of sat8
    """
    x = np.arange(-128, 128, dtype=np.float64) * 2.0**exponent
    if dtype == "uint8":
        x = np.where(x < 0, x + 256, x)
    elif dtype == "bool":
        x = (x != 0).astype(np.float64)
    return rounded(function, x, output_exponent, result)


def rounded(function, x: np.ndarray, exponent: int, dtype: str) -> np.ndarray:
    """floor(f(x) / 2^e_y + 1/2) within `dtype`, in float64; NaN gives 0."""
    with np.errstate(all="ignore"):
        y = np.asarray(function(x), dtype=np.float64) * 2.0**-exponent
        y = np.floor(np.where(np.isnan(y), 0.0, np.clip(y, -1e6, 1e6)) + 0.5)
    return np.clip(np.broadcast_to(y, x.shape), *base.bounds_of(dtype)).astype(dtype)


def _one_value(constant: relay.Constant) -> Optional[np.ndarray]:
    """The value, of shape (), that all elements of a constant have; None if they differ."""
    values = constant.data.numpy().reshape(-1)
    return values[0] if values.size and np.all(values == values[0]) else None


def evaluate(expr: relay.Expr, x: np.ndarray) -> np.ndarray:
    """The value of an elementwise expression in float64 where every dequantize in it has the values `x`."""
    known: Dict[relay.Expr, np.ndarray] = {}

    def value(e: relay.Expr) -> np.ndarray:
        if e not in known:
            if isinstance(e, relay.Constant):
                known[e] = _one_value(e).astype(np.float64)
            elif _is_byte(e):
                known[e] = x
            elif is_call(e, "qnn.dequantize"):
                constant = e.args[0]
                if isinstance(constant, relay.Constant):
                    known[e] = _one_value(constant) * 2.0 ** base.exponent_of(e.args[1]).reshape(())
                else:
                    known[e] = x
            else:
                known[e] = ELEMENTWISE[e.op.name](e.attrs, *[value(arg) for arg in e.args])
        return known[e]

    return value(expr)


def _is_byte(expr: relay.Expr, whatever: bool = False) -> bool:
    """A cast to float32 of bytes that are not quantized here, such as a model's input; whatever: of any bytes."""
    if not is_call(expr, "cast") or str(expr.attrs.dtype) != "float32" or isinstance(expr.args[0], relay.Constant):
        return False
    inner = expr.args[0]
    return inner.checked_type.dtype in ("uint8", "int8", "bool") and (whatever or not is_call(inner, *ELEMENTWISE))


def source_of(root: relay.Expr) -> Optional[relay.Expr]:
    """The one dequantize, or cast of bytes, that the elementwise expression `root` depends on; None if there is not
    exactly one."""
    # A comparison of two tensors is not a function of one tensor; the cast of its result is.
    return _source_within(root, False) or _source_within(root, True)


def _source_within(root: relay.Expr, whatever: bool) -> Optional[relay.Expr]:
    sources: List[relay.Call] = []
    stack, seen = [root], set()
    while stack:
        e = stack.pop()
        if e in seen:
            continue
        seen.add(e)
        if isinstance(e, relay.Constant):
            if _one_value(e) is None:
                return None
        elif _is_byte(e, whatever):
            sources.append(e)
        elif is_call(e, "qnn.dequantize"):
            if isinstance(e.args[0], relay.Constant):
                if _one_value(e.args[0]) is None or not has_one_scale(e):
                    return None
            else:
                sources.append(e)
        elif isinstance(e, relay.Call) and isinstance(e.op, tvm.ir.Op) and e.op.name in ELEMENTWISE:
            stack.extend(e.args)
        else:
            return None
    first = sources[0] if sources else None
    if any(is_call(source, "cast") for source in sources):
        return first if all(is_call(s, "cast") and s.args[0].same_as(first.args[0]) for s in sources) else None
    for other in sources:
        same = other.args[0].same_as(first.args[0]) and np.array_equal(
            other.args[1].data.numpy(), first.args[1].data.numpy()
        )
        if not same or not has_one_scale(other):
            return None
    return first


def read_source(source: relay.Call, dtypes: Sequence[str]) -> Operand:
    """The operand that a function reads: what `source_of` found."""
    if is_call(source, "cast"):
        return Operand(source.args[0], source.args[0].checked_type.dtype)
    return base.read_dequantize(source, dtypes)


# These alone need no table: a shift and a clamp are enough.
_NO_TABLE = ("nn.relu", "clip", "qnn.dequantize")


def _needs_no_table(expr: relay.Expr) -> bool:
    while is_call(expr, *_NO_TABLE):
        if is_call(expr, "qnn.dequantize"):
            return True
        expr = expr.args[0]
    return False


_FUNCTIONS = (
    "Abs Atan Ceil Cos Elu Erf Exp Floor HardSwish LeakyRelu Log Neg Reciprocal Round Selu Sign Sin Softplus "
    "Softsign Sqrt ThresholdedRelu"
)
_LIMITS = "any function of one tensor, value by value, is one table; also x * sigmoid(x), gelu, ... spelled out"
# ONNX operators that a table may hold together with those above, Relu and Clip: each value of the result depends on
# one value of one tensor. TESTS: bool operators that may be between them.
PARTS = "Add Cast Sub Mul Div Pow Min Max Where"
TESTS = "And Equal Greater GreaterOrEqual Less LessOrEqual Not Or Xor"


class Lookup(Operator):
    """q(f(dq(x))), or q(f(cast(x))) of bytes, for any elementwise f of one tensor; found by `sources`."""

    name = "lookup"
    order = COMPUTED
    formula = "a table of 256 entries made at export: `sat8(floor(f(x * 2^e_x) / 2^e_y + 1/2))`, `f` in float64"
    rules = (
        Rule("lookup", OWN, constant_parameters, _FUNCTIONS, _LIMITS),
        # Values are in [-1, 1]: they do not fit a finer exponent than 2^-7.
        Rule("lookup", -7, None, "Sigmoid HardSigmoid Tanh", _LIMITS),
        Rule("", onnx="Pow", limits=_LIMITS),
        Rule("", onnx="Mish", limits=_LIMITS, since=18),
        Rule("", onnx="Gelu", limits=_LIMITS, since=20),
        Rule("", onnx="Swish", limits=_LIMITS, since=24),
    )
    also = "Add Sum Sub Mul Div Max Min PRelu Cast Gemm ReduceLogSum ReduceLogSumExp"
    in_place = True
    by_rows = True

    def patterns(self):
        return []

    def sources(self, root):
        if not is_call(root, "qnn.quantize") or not has_one_scale(root) or _needs_no_table(root.args[0]):
            return None
        source = source_of(root.args[0])
        if source is None or shape_of(root) != shape_of(source):
            return None
        try:
            base.read_quantize(root, self.dtypes)
            read_source(source, self.dtypes)
        except Refusal:
            return None
        return [source.args[0]]

    def parse(self, root):
        output = base.read_quantize(root)
        source = source_of(root.args[0])
        x = read_source(source, self.dtypes)
        table = table_of(lambda v: evaluate(root.args[0], v), x.exponent or 0, output.exponent, x.dtype)
        return Parsed([x], output, {"table": table})

    def reference(self, call, x):
        # Works on the byte of any type: x + 128 of an int8 is its bits with the highest one inverted.
        byte = relay.bitwise_and(base.widen(x), relay.const(255))
        index = relay.bitwise_xor(byte, relay.const(128))
        return relay.take(relay.const(call.attributes["table"]), index)

    def emit(self, call, c, inputs, output):
        table = c.constant("table", call.attributes["table"], "f(x), indexed by x + 128")
        x = inputs[0] if call.inputs[0].dtype == "int8" else f"(const int8_t *){inputs[0]}"
        c.call("esp_dl_lookup_s8", x, call.output.elements, table, output)

    def output_range(self, call, inputs):
        table = call.attributes["table"]
        return int(np.min(table)), int(np.max(table))
