"""The base class of operators, and functions that operators share.

An operator class contains the pattern of Relay expressions that it matches, the check that refuses (with a reason) what
its kernel cannot do, the reference in Relay's integer operators, and the C that calls its kernel. The NumPy rule of the
same name in `esp_tvm.arithmetic` is independent of all this: it decides what is right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence, Tuple, Type

import numpy as np

from ..program import Call, Tensor
from .expressions import has_one_scale, is_call
from .rows import SAME_ROW, Reach
from .rule import Rule
from .tvm_later import is_constant, is_op, relay, tvm, wildcard

if TYPE_CHECKING:
    from tvm.relay.dataflow_pattern import DFPattern

if TYPE_CHECKING:
    from ..compile.emitting.emitter import Emitter

INT8 = (-128, 127)

# The order in which patterns are tried: larger ones come first, otherwise a smaller pattern would match only a part
# (tests/test_operator_table.py compares all patterns).
WITH_ADDEND = 5  # the same, and a tensor that is added to the sums
WEIGHTED = 10  # a sum of products with constant weights
SEVERAL = 20  # several ONNX or Relay operators in one kernel
PAIR = 30  # of two tensors of one shape
BROADCAST = 40  # of two tensors that broadcast
COMPUTED = 50  # one operator between dequantize and quantize
MOVED = 60  # only a change of exponent, and operators that only move values
BORDER = 70  # quantize and dequantize alone

# Texts in the documents that several operators share.
CONSTANT = "parameters constant"
MOVES = "values move; where exponents differ, `sat8(rshift(x, e_y - e_x))`"
STEPS = "integers alone, in the steps written out below"

INT32_MAX = 2**31 - 1
# With a larger magnitude, a scale or its inverse would not be a normal float32.
MAX_EXPONENT = 126


class Refusal(Exception):
    """The reason why a kernel cannot compute an expression; shown to the user in the report."""


@dataclass
class Operand:
    """A tensor at the border of a match: the expression, its dtype, and its exponent (None when float)."""

    expr: relay.Expr
    dtype: str
    exponent: Optional[int] = None

    @property
    def shape(self) -> Tuple[int, ...]:
        return tuple(int(dim) for dim in self.expr.checked_type.shape)


@dataclass
class Parsed:
    """The result of `Operator.parse` for a matched expression."""

    inputs: List[Operand]
    output: Operand
    attributes: Dict[str, Any] = field(default_factory=dict)


# Every operator, in the order of definition.
ENTRIES: List[Type[Operator]] = []


class Operator:
    """Everything that Python needs for an operator except its NumPy rule. Subclasses set `name` and write the methods.

    Defining a class with a `name` adds it to the table of operators.

    name: the kernel (`esp_dl_<name>_s8`), the NumPy rule (`arithmetic.<name>`) and the composite (`esp.<name>`)
    order: when its patterns are tried, see above
    formula: its rule for docs/arithmetic.md; operators with the same text share a line there
    rules: the ONNX operators that belong to it; also: names of operators of other classes that it computes in some
    cases
    converters: ONNX operators that TVM's importer should convert to the form of the patterns: name -> a function of
        (inputs, attributes, parameters) as in tvm.relay.frontend.onnx
    struct: the C struct of its parameters (`esp_dl_<struct>_t`) if its name differs from the kernel's
    output_place: which output of its ONNX node it computes
    by_rows: every row of an image [N, H, W, C] is computed from the same row of each input
    in_place: the kernel allows its output to be the memory of its first input (or of any input of equal size)
    """

    name = ""
    order = 0
    formula = ""
    rules: Sequence[Rule] = ()
    also = ""
    struct = ""
    converters: Dict[str, Callable] = {}
    output_place = 0
    in_place = False
    by_rows = False
    # The types of quantized tensors that it accepts.
    dtypes: Sequence[str] = ("int8",)

    def __init_subclass__(cls, **arguments: Any):
        super().__init_subclass__(**arguments)
        # Of the class itself: a subclass of an operator does not inherit its ONNX nodes.
        cls.rules, cls.also = vars(cls).get("rules", ()), vars(cls).get("also", "")
        if "name" in vars(cls):
            ENTRIES.append(cls)

    def patterns(self) -> List[DFPattern]:
        """The expressions that this operator matches, larger ones first."""
        raise NotImplementedError

    def parse(self, root: relay.Expr) -> Parsed:
        """Read a matched expression, or raise `Refusal`. Types are inferred."""
        raise NotImplementedError

    def overwrites(self, call: Call) -> Sequence[Tensor]:
        """The inputs whose memory its output may be, if they have its size."""
        return [x for x in call.reads if self.in_place]

    def sources(self, root: relay.Call) -> Optional[List[relay.Expr]]:
        """For an operator that no pattern can describe: the tensors from which it computes `root`; None if it does not
        compute it."""
        return None

    def reference(self, call: Call, *inputs: relay.Expr) -> relay.Expr:
        """The same computation in Relay's integer operators."""
        raise NotImplementedError

    def fields(self, call: Call, c: Emitter) -> Dict[str, Any]:
        """The fields of the kernel's struct, and the constants that they point to."""
        raise NotImplementedError

    def emit(self, call: Call, c: Emitter, inputs: Sequence[str], output: str) -> None:
        """Write the C: constants and parameters, then a call of the kernel from `inputs` to `output`."""
        c.call(self.c_function, *inputs, c.struct(self.c_struct, **self.fields(call, c)), output)

    @property
    def c_function(self) -> str:
        return f"esp_dl_{self.name}" if self.name.endswith("_s16") else f"esp_dl_{self.name}_s8"

    @property
    def c_struct(self) -> str:
        """The type of the kernel's parameters, for any width of its tensors."""
        plain = self.name[: -len("_s16")] if self.name.endswith("_s16") else self.name
        return f"esp_dl_{self.struct or plain}_t"

    def scratch(self, call: Call) -> int:
        """Bytes of memory that the kernel needs while it runs; `emit` finds it in the C variable `scratch`."""
        return 0

    def reach(self, call: Call) -> Optional[Reach]:
        """The rows of its first input from which a row of the output is computed; of other inputs it is the same row.

        Called for images [1, H, W, C] only. None: it cannot compute row by row.
        """
        rows = {x.shape[1] for x in [*call.inputs, *call.outputs]}
        return SAME_ROW if self.by_rows and len(rows) == 1 else None

    def strip_attributes(self, call: Call, first: int, end: int, input_first: int) -> Dict[str, Any]:
        """The attributes that differ for rows first to end - 1 of the output, where `reach` is a table.

        input_first: the row of its first input that is the first one its kernel is given
        """
        return {}

    def macs(self, call: Call) -> int:
        """Multiply-accumulates of one call."""
        return 0

    def output_range(self, call: Call, inputs: Sequence[Tuple[int, int]]) -> Tuple[int, int]:
        """(smallest, largest) int8 value that the output can have if each input is within its range of `inputs`.

        Kernels are chosen by it, so it must be true for every input. This version is true for all operators: int8
        limited by the clamp.
        """
        return clamped(INT8, call)


def clamped(known: Tuple[int, int], call: Call) -> Tuple[int, int]:
    """The range `known` limited by the call's clamp, which may be outside it."""
    low, high = call.attributes.get("clamp", INT8)
    return min(max(known[0], low), high), min(max(known[1], low), high)


# --- patterns ---------------------------------------------------------------------------------------------


def quantized(x: DFPattern) -> DFPattern:
    """x, quantized."""
    return is_op("qnn.quantize")(x, is_constant(), is_constant())


def dequantized(x: Optional[DFPattern] = None) -> DFPattern:
    """The real values of a quantized tensor."""
    return is_op("qnn.dequantize")(x or wildcard(), is_constant(), is_constant())


def constant_weights() -> DFPattern:
    """Quantized constants."""
    return dequantized(is_constant())


def activated(x: DFPattern) -> DFPattern:
    """x, or x followed by a relu or clip that is fused into its kernel."""
    return x.optional(is_op("nn.relu")).optional(is_op("clip"))


# --- reading matches --------------------------------------------------------------------------------------


def exponent_of(scale: relay.Expr) -> np.ndarray:
    """Exponents of a constant scale, which must be powers of two (any shape)."""
    values = np.asarray(scale.data.numpy(), dtype=np.float64)
    if not np.all(values > 0):
        raise Refusal("a scale is not positive")
    mantissas, exponents = np.frexp(values)
    if not np.all(mantissas == 0.5):
        odd = values[mantissas != 0.5].flat[0]
        raise Refusal(f"the scale {odd:.6g} is not a power of two (esp_quantize_onnx.py converts such models)")
    exponents = exponents.astype(np.int64) - 1
    if np.any(np.abs(exponents) > MAX_EXPONENT):
        raise Refusal(f"the scale {values.flat[0]:.3g} lies outside 2^-{MAX_EXPONENT} to 2^{MAX_EXPONENT}")
    return exponents


def _zero_point_is_zero(call: relay.Call) -> None:
    if np.any(call.args[2].data.numpy() != 0):
        raise Refusal("the zero point is not 0")


def zero_point_of(call: relay.Call) -> int:
    """Of a quantize with one scale."""
    return int(call.args[2].data.numpy())


def read_quantize(call: relay.Expr, dtypes: Sequence[str] = ("int8",), centred: bool = False) -> Operand:
    """The operand that a quantize gives; its zero point is 0, or `centred` and of int8."""
    if not is_call(call, "qnn.quantize"):
        raise Refusal("its output is not quantized")
    dtype = str(call.attrs.out_dtype)
    if not (centred and dtype == "int8"):
        _zero_point_is_zero(call)
    if dtype not in dtypes:
        raise Refusal(f"its output is {dtype}; kernels exist for {', '.join(dtypes)}")
    if not has_one_scale(call):
        raise Refusal("an activation has one scale per channel")
    return Operand(call, dtype, int(exponent_of(call.args[1])))


def read_dequantize(call: relay.Expr, dtypes: Sequence[str] = ("int8",)) -> Operand:
    """The operand that a dequantize reads: an activation, not a constant."""
    if isinstance(call.args[0], relay.Constant):
        raise Refusal("an operand is a constant")
    _zero_point_is_zero(call)
    dtype = call.args[0].checked_type.dtype
    if dtype not in dtypes:
        raise Refusal(f"an input is {dtype}; kernels exist for {', '.join(dtypes)}")
    if not has_one_scale(call):
        raise Refusal("an activation has one scale per channel")
    return Operand(call.args[0], dtype, int(exponent_of(call.args[1])))


def read_dequantize_or_float(x: relay.Expr, does: str) -> Operand:
    """The operand of what compares int8 as well as float32; does: what it does to others, for the refusal."""
    if is_call(x, "qnn.dequantize"):
        return read_dequantize(x)
    dtype = x.checked_type.dtype
    if dtype != "float32" or isinstance(x, relay.Constant):
        raise Refusal(f"it {does} {dtype}")
    return Operand(x, dtype)


@dataclass
class Constant:
    """Quantized constants: values * 2^exponents, the exponents broadcast along `axis` (scalar: one for all)."""

    values: np.ndarray
    exponents: np.ndarray
    axis: int

    def per_channel(self, axis: int) -> np.ndarray:
        """One exponent per index of `axis`."""
        size = self.values.shape[axis]
        if self.exponents.ndim == 0 or self.exponents.size == 1:
            return np.full(size, int(self.exponents.reshape(())), dtype=np.int64)
        if self.axis != axis:
            raise Refusal(f"its weights have one scale per index of axis {self.axis}, not per output channel")
        return self.exponents


def read_constant(call: relay.Expr) -> Constant:
    """The constants below a dequantize."""
    _zero_point_is_zero(call)
    values = call.args[0].data.numpy()
    axis = int(call.attrs.axis)
    return Constant(values, exponent_of(call.args[1]), axis % values.ndim if values.ndim else 0)


def bounds_of(dtype: str) -> Tuple[int, int]:
    """The smallest and largest value of an integer type."""
    kind = np.iinfo(dtype)
    return int(kind.min), int(kind.max)


def strip_activation(expr: relay.Expr, exponent: int, bounds: Tuple[int, int] = INT8) -> Tuple[relay.Expr, tuple]:
    """(expression below fused relu and clip, (min, max) of the int8 result at `exponent`)."""
    low, high = bounds
    while is_call(expr, "nn.relu", "clip"):
        if expr.op.name == "nn.relu":
            low = max(low, 0)
        else:
            low = max(low, quantize_value(expr.attrs.a_min, exponent, bounds))
            high = min(high, quantize_value(expr.attrs.a_max, exponent, bounds))
        expr = expr.args[0]
    if low > high:
        raise Refusal("its activation has no value between its bounds")
    return expr, (int(low), int(high))


def quantize_value(value: float, exponent: int, bounds: Tuple[int, int] = INT8) -> int:
    """sat(floor(value / 2^exponent + 1/2)) of one real number."""
    scaled = float(value) * 2.0**-exponent
    if math.isnan(scaled):
        raise Refusal("an activation bound is not a number")
    return int(min(max(math.floor(min(max(scaled, -1e9), 1e9) + 0.5), bounds[0]), bounds[1]))


def read_bias(call: Optional[relay.Expr], channels: int, exponents: np.ndarray) -> np.ndarray:
    """int32 bias at `exponents` ([channels]: e_x + e_w[c]); zeros if there is none."""
    if call is None:
        return np.zeros(channels, dtype=np.int32)
    constant = read_constant(call)
    values = constant.values.astype(np.int64).reshape(-1)
    own = np.broadcast_to(constant.exponents.reshape(-1), values.shape)
    if values.size == 1:
        values, own = np.repeat(values, channels), np.repeat(own, channels)
    if values.size != channels:
        raise Refusal(f"its bias has {values.size} values for {channels} channels")
    shift = own - exponents
    if np.any(shift < 0) and np.any(values[shift < 0] % (1 << np.minimum(-shift[shift < 0], 62))):
        raise Refusal("its bias is finer than the product of input and weight scales")
    values = np.where(shift >= 0, values << np.clip(shift, 0, 31), values >> np.clip(-shift, 0, 62))
    if np.any(np.abs(values) > INT32_MAX) or np.any(shift > 31):
        raise Refusal("its bias does not fit 32 bits")
    return values.astype(np.int32)


def requantize_shift(weights: np.ndarray, bias: np.ndarray, shift: np.ndarray, magnitude: int = 128, bits: int = 8):
    """(weights, bias, shift) such that no sum can exceed int32.

    weights [O, ...], bias [O], shift [O]; magnitude: the largest |x|; bits: of the result.
    A channel shifted by 32 bits or more is 0 for every input, so its weights and bias become 0.
    """
    shift = np.asarray(shift, dtype=np.int64).copy()
    weights, bias = weights.copy(), bias.copy()
    vanished = shift > 31
    weights[vanished], bias[vanished], shift[vanished] = 0, 0, 0
    # With a left shift beyond the width of the result every value except 0 saturates.
    shift = np.maximum(shift, -bits)
    total = np.abs(weights.astype(np.int64)).reshape(len(shift), -1).sum(axis=1) * magnitude
    half = np.where(shift > 0, 1 << np.maximum(shift - 1, 0), 0)
    worst = total + np.abs(bias.astype(np.int64)) + half
    if np.any(worst > INT32_MAX):
        channel = int(np.argmax(worst))
        raise Refusal(f"the sum of output channel {channel} can reach {int(worst[channel])}, more than 32 bits hold")
    return weights, bias, shift.astype(np.int32)


def widths(x: Operand, output: Operand) -> Tuple[int, int]:
    """(the largest |x|, bits of the output)"""
    return -bounds_of(x.dtype)[0], 16 if output.dtype == "int16" else 8


def rounding_bias(bias: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """The bias plus the half that rounding adds: sat8((acc + b') >> s) then needs no further addition."""
    shift = np.asarray(shift, dtype=np.int64)
    return (bias + np.where(shift > 0, 1 << np.maximum(shift - 1, 0), 0)).astype(np.int32)


# --- Relay references -------------------------------------------------------------------------------------


def widen(x: relay.Expr) -> relay.Expr:
    """x as int32."""
    return relay.cast(x, "int32")


def requantize_expr(acc: relay.Expr, shift: Any, clamp: Sequence[int], dtype: str = "int8") -> relay.Expr:
    """sat8(rshift(acc, shift)) within `clamp`, of an int32 expression; `shift` is a number or one per last axis."""
    low, high = bounds_of(dtype)
    shift = np.asarray(shift, dtype=np.int64)
    right, left = np.maximum(shift, 0), np.minimum(np.maximum(-shift, 0), 16)
    if np.any(right > 0):
        half = np.where(right > 0, 1 << np.maximum(right - 1, 0), 0)
        acc = relay.right_shift(relay.add(acc, _int32(half)), _int32(right))
    acc = relay.clip(acc, low, high)
    if np.any(left > 0):
        acc = relay.clip(relay.left_shift(acc, _int32(left)), low, high)
    if tuple(clamp) != (low, high):
        acc = relay.clip(acc, int(clamp[0]), int(clamp[1]))
    return relay.cast(acc, dtype)


def _int32(value: Any) -> relay.Expr:
    return relay.const(np.asarray(value, dtype=np.int32))


__all__ = [name for name in dir() if not name.startswith("_") and name not in ("annotations",)] + ["tvm"]
