"""Layer, instance, RMS and L2 normalization in integers, from one operator or from several."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import List, Optional, Sequence, Tuple

import numpy as np
import onnx

from . import base
from .base import CONSTANT, SEVERAL, STEPS, Operator, Parsed, Refusal
from .expressions import has_one_scale, is_call, permutation
from .rule import OWN, Facts, Rule, attribute, constant_parameters
from .tvm_later import relay, tvm

LARGEST = 16384  # elements that are normalized together
PLACES = 12  # of the normalized value
_FACTOR = 2047  # largest |multiplier|
_ENDLESS = 1e30  # bounds from here on are none
# What is added to a divisor changes a result of int8 by less than half a step if it is this share of it, or less.
_NOTHING = 2.0**-9


@dataclass
class Normalization:
    """x is normalized over `axes`, then multiplied by `factor`, and `offset` is added (None: not at all).

    guard: the least that it is divided by, added: what is added to that, both as shares of the kernel's own divisor
    """

    x: relay.Expr
    axes: Tuple[int, ...]
    mode: str
    epsilon: float
    factor: Optional[np.ndarray] = None
    offset: Optional[np.ndarray] = None
    guard: float = 0.0
    added: float = 0.0


@dataclass
class _Root:
    """max(sqrt(square), guard) + added"""

    square: relay.Expr
    guard: float = 0.0
    added: float = 0.0


# --- recognition ------------------------------------------------------------------------------------------


def _constant(expr: relay.Expr) -> Optional[np.ndarray]:
    """The float64 values of a constant, quantized or not; None for anything else."""
    if isinstance(expr, relay.Constant):
        return expr.data.numpy().astype(np.float64)
    if is_call(expr, "qnn.dequantize") and isinstance(expr.args[0], relay.Constant):
        values = base.read_constant(expr)
        along = [1] * values.values.ndim
        if values.exponents.size > 1:
            along[values.axis] = -1
        return values.values * 2.0 ** values.exponents.reshape(along)
    if is_call(expr, "reshape", "expand_dims", "squeeze", "layout_transform", "transpose"):
        inner, shape = _constant(expr.args[0]), [int(d) for d in expr.checked_type.shape]
        if inner is None or inner.size == 1 or not is_call(expr, "layout_transform", "transpose"):
            return None if inner is None else inner.reshape(shape)
        axes = permutation(expr)
        return None if axes is None else np.transpose(inner, axes)
    return None


def _scalar(expr: relay.Expr) -> Optional[float]:
    values = _constant(expr)
    return float(values.reshape(())) if values is not None and values.size == 1 else None


def _same(a: relay.Expr, b: relay.Expr) -> bool:
    """Whether two expressions are the same tensor; every reader may have its own dequantize of it."""
    return a.same_as(b) or bool(tvm.ir.structural_equal(a, b))


def _reduced(expr: relay.Expr, *names: str) -> Optional[Tuple[relay.Expr, Tuple[int, ...]]]:
    """(x, axes) of a reduction that keeps its axes."""
    if not is_call(expr, *names) or not expr.attrs.keepdims or expr.attrs.exclude:
        return None
    rank = len(expr.args[0].checked_type.shape)
    axis = expr.attrs.axis
    axes = range(rank) if axis is None else (axis if hasattr(axis, "__len__") else [axis])
    return expr.args[0], tuple(sorted(int(a) % rank for a in axes))


def _square_of(expr: relay.Expr) -> Optional[relay.Expr]:
    if is_call(expr, "power") and _scalar(expr.args[1]) == 2.0:
        return expr.args[0]
    if is_call(expr, "multiply") and _same(expr.args[0], expr.args[1]):
        return expr.args[0]
    return None


def _guarded(expr: relay.Expr) -> Tuple[relay.Expr, float, float]:
    """(what a divisor is without what keeps it from being 0 and without its broadcasting, the least it may be, what is
    added to it)."""
    guard, added = 0.0, 0.0
    while True:
        number = _scalar(expr.args[1]) if is_call(expr, "maximum", "add") else None
        if is_call(expr, "clip") and expr.attrs.a_min >= 0 and expr.attrs.a_max >= _ENDLESS:
            number = float(expr.attrs.a_min)
        if number is not None and number >= 0:
            if is_call(expr, "add"):
                added += number
            else:
                guard = max(guard, number + added)
        elif not is_call(expr, "broadcast_to"):
            return expr, guard, added
        expr = expr.args[0]


def _root_of(expr: relay.Expr) -> Optional[_Root]:
    expr, guard, added = _guarded(expr)
    if is_call(expr, "sqrt") or (is_call(expr, "power") and _scalar(expr.args[1]) == 0.5):
        return _Root(expr.args[0], guard, added)
    return None


def _inverse_root_of(expr: relay.Expr) -> Optional[_Root]:
    if is_call(expr, "rsqrt"):
        return _Root(expr.args[0])
    if is_call(expr, "divide") and _scalar(expr.args[0]) == 1.0:
        return _root_of(expr.args[1])
    if is_call(expr, "power"):
        if _scalar(expr.args[1]) == -0.5:
            return _Root(expr.args[0])
        if _scalar(expr.args[1]) == -1.0:
            return _root_of(expr.args[0])
    return None


def _numerator_and_root(expr: relay.Expr) -> List[Tuple[relay.Expr, _Root]]:
    """(a, r) for every way to read `expr` as a / r."""
    found = []
    if is_call(expr, "divide"):
        found.append((expr.args[0], _root_of(expr.args[1])))
    if is_call(expr, "multiply"):
        found += [(a, _inverse_root_of(b)) for a, b in (tuple(expr.args), tuple(expr.args)[::-1])]
    return [(a, root) for a, root in found if root is not None]


def _split_epsilon(expr: relay.Expr) -> Tuple[relay.Expr, float]:
    if is_call(expr, "add"):
        for a, b in (tuple(expr.args), tuple(expr.args)[::-1]):
            if _scalar(b) is not None:
                return a, _scalar(b)
    if is_call(expr, "maximum"):
        for a, b in (tuple(expr.args), tuple(expr.args)[::-1]):
            if _scalar(b) is not None and 0 <= _scalar(b) < 1e-6:
                return a, 0.0
    return expr, 0.0


def _split_scale(expr: relay.Expr) -> Tuple[relay.Expr, float]:
    """(v, c) of c v: the N / (N - 1) of an unbiased variance."""
    scale = 1.0
    while is_call(expr, "multiply", "divide"):
        left, right = expr.args
        number = _scalar(right)
        if number is None and is_call(expr, "multiply"):
            left, number = right, _scalar(left)
        if number is None or number <= 0:
            break
        expr, scale = left, scale * number if is_call(expr, "multiply") else scale / number
    return expr, scale


def _core(expr: relay.Expr) -> Optional[Normalization]:
    """x / sqrt(...), without factors but for that of an unbiased variance."""
    for above, root in _numerator_and_root(expr):
        spread, epsilon = _split_epsilon(root.square)
        spread, scale = _split_scale(spread)
        found = _normalized(above, spread)
        if found is not None:
            found.epsilon = epsilon / scale
            found.factor = None if scale == 1.0 else np.array(scale**-0.5)
            found.guard, found.added = root.guard * scale**-0.5, root.added * scale**-0.5
            return found
    if is_call(expr, "nn.instance_norm"):
        return _instance_norm(expr)
    return None


def _normalized(above: relay.Expr, spread: relay.Expr) -> Optional[Normalization]:
    """above / sqrt(spread), where that is a normalization."""
    variance = _variance(spread)
    if variance is not None:
        x, axes = variance
        if _is_centered(above, x, axes):
            return Normalization(x, axes, "centered", 0.0)
    for name, mode in (("mean", "rms"), ("sum", "l2")):
        reduced = _reduced(spread, name)
        square = _square_of(reduced[0]) if reduced else None
        if square is not None and _same(square, above):
            return Normalization(above, reduced[1], mode, 0.0)
    return None


def _is_centered(expr: relay.Expr, x: relay.Expr, axes: Tuple[int, ...]) -> bool:
    if not is_call(expr, "subtract") or not _same(expr.args[0], x):
        return False
    mean = _reduced(expr.args[1], "mean")
    return mean is not None and mean[1] == axes and _same(mean[0], x)


def _variance(expr: relay.Expr) -> Optional[Tuple[relay.Expr, Tuple[int, ...]]]:
    """(x, axes) where `expr` is the variance of x."""
    direct = _reduced(expr, "variance")
    if direct is not None:
        return direct
    reduced = _reduced(expr, "mean")
    square = _square_of(reduced[0]) if reduced else None
    if square is not None and is_call(square, "subtract") and _is_centered(square, square.args[0], reduced[1]):
        return square.args[0], reduced[1]
    return None


def _instance_norm(expr: relay.Call) -> Optional[Normalization]:
    rank = len(expr.checked_type.shape)
    channel = int(expr.attrs.axis) % rank
    factor, offset = _constant(expr.args[1]), _constant(expr.args[2])
    if factor is None or offset is None:
        return None
    along = [1] * rank
    along[channel] = -1
    axes = tuple(axis for axis in range(2, rank)) if channel == 1 else tuple(range(1, rank - 1))
    factor = factor.reshape(along) if expr.attrs.scale else None
    offset = offset.reshape(along) if expr.attrs.center else None
    return Normalization(expr.args[0], axes, "centered", float(expr.attrs.epsilon), factor, offset)


def recognise(expr: relay.Expr) -> Optional[Normalization]:
    """The normalization that `expr` computes, None for anything else."""
    if is_call(expr, "add", "multiply"):
        for inner, other in (tuple(expr.args), tuple(expr.args)[::-1]):
            values = _constant(other)
            found = recognise(inner) if values is not None else None
            if found is None:
                continue
            if is_call(expr, "multiply"):
                found.factor = values if found.factor is None else found.factor * values
                found.offset = None if found.offset is None else found.offset * values
            else:
                found.offset = values if found.offset is None else found.offset + values
            return found
    return _core(expr)


# --- the kernel -------------------------------------------------------------------------------------------


def _check_norm(facts: Facts, node: onnx.NodeProto) -> Optional[str]:
    return None if attribute(node, "p", 2) == 2 else "its norm is not the second"


class Normalize(Operator):
    """q(act(normalized(dq(x)) * m + b)); found by `sources`, not by a pattern."""

    name = "normalize"
    order = SEVERAL
    formula = STEPS
    rules = (
        Rule("real", OWN, constant_parameters, "LayerNormalization InstanceNormalization", CONSTANT),
        Rule("real", OWN, _check_norm, "LpNormalization", CONSTANT),
        Rule("", onnx="RMSNormalization", limits=CONSTANT, since=23),
        Rule("", onnx="GroupNormalization", limits=CONSTANT, since=18),
    )
    in_place = True

    def patterns(self):
        return []

    def sources(self, root):
        if not is_call(root, "qnn.quantize") or not has_one_scale(root):
            return None
        try:
            return [self.parse(root).inputs[0].expr]
        except Refusal:
            return None

    def parse(self, root):
        output = base.read_quantize(root)
        body, clamp = base.strip_activation(root.args[0], output.exponent)
        found = recognise(body)
        if found is None or not is_call(found.x, "qnn.dequantize"):
            raise Refusal("")
        x = base.read_dequantize(found.x)
        if x.shape != output.shape:
            raise Refusal("its constants widen its input")
        if list(found.axes) != list(range(found.axes[0], found.axes[-1] + 1)):
            raise Refusal(f"its axes {list(found.axes)} are not next to each other")
        length = int(np.prod([x.shape[axis] for axis in found.axes]))
        if length > LARGEST:
            raise Refusal(f"it normalizes {length} elements together; the kernel takes {LARGEST}")
        _check_guard(found, length, x.exponent)
        epsilon = _epsilon(found, length, x.exponent)
        multiplier, exponents, bias = _parameters(found, x.shape)
        shift = output.exponent - exponents + PLACES
        multiplier, bias, shift = base.requantize_shift(
            multiplier.reshape(-1, 1), bias.reshape(-1), shift.reshape(-1), _largest(found.mode, length)
        )
        shape = exponents.shape
        return Parsed(
            [x],
            output,
            {
                "multiplier": multiplier.reshape(shape).astype(np.int16),
                "bias": bias.reshape(shape).astype(np.int32),
                "shift": shift.reshape(shape),
                "axes": found.axes,
                "mode": found.mode,
                "epsilon": epsilon,
                "clamp": clamp,
            },
        )

    def reference(self, call, x):
        a = call.attributes
        axes = list(a["axes"])
        count = int(np.prod([call.output.shape[axis] for axis in axes]))
        x = relay.cast(x, "int64")
        squares = relay.sum(relay.multiply(x, x), axis=axes, keepdims=True)
        distance, spread = x, squares
        if a["mode"] != "l2":
            distance, spread = relay.multiply(x, _const(count)), relay.multiply(squares, _const(count))
        if a["mode"] == "centered":
            total = relay.sum(x, axis=axes, keepdims=True)
            distance = relay.subtract(distance, total)
            spread = relay.subtract(spread, relay.multiply(total, total))
        spread = relay.maximum(relay.add(spread, _const(a["epsilon"])), _const(1))
        level = relay.zeros_like(spread)
        for power in range(1, 31):
            level = relay.add(level, relay.cast(relay.greater_equal(spread, _const(4**power)), "int64"))
        root = _sqrt(relay.left_shift(spread, relay.subtract(_const(60), relay.multiply(level, _const(2)))))
        product = relay.multiply(distance, relay.floor_divide(_const(2**61), root))
        half = relay.left_shift(_const(1), relay.add(level, _const(18)))
        z = relay.right_shift(relay.add(product, half), relay.add(level, _const(19)))
        z = relay.cast(z, "int32")
        y = relay.add(relay.multiply(z, relay.const(a["multiplier"].astype(np.int32))), relay.const(a["bias"]))
        return base.requantize_expr(y, a["shift"], a["clamp"])

    def emit(self, call, c, inputs, output):
        a = call.attributes
        shape, axes = call.output.shape, a["axes"]
        first, last = axes[0], axes[-1]
        parameters, step = _layout(a["multiplier"].shape, shape)
        mode = {"centered": "CENTERED", "rms": "RMS", "l2": "L2"}[a["mode"]]
        shift = a["shift"]
        fields = c.struct(
            "esp_dl_normalize_t",
            outer=int(np.prod(shape[:first], dtype=np.int64)),
            length=int(np.prod(shape[first : last + 1])),
            inner=int(np.prod(shape[last + 1 :], dtype=np.int64)),
            mode=f"ESP_DL_NORMALIZE_{mode}",
            epsilon=a["epsilon"],
            parameters=parameters,
            parameter_step=step,
            multiplier=c.constant("multiplier", a["multiplier"], "factors"),
            bias=c.constant("bias", base.rounding_bias(a["bias"], shift), "with the half that rounding adds"),
            shift=c.constant("shift", shift.astype(np.int8), "right shifts"),
            min=a["clamp"][0],
            max=a["clamp"][1],
        )
        c.call("esp_dl_normalize_s8", inputs[0], fields, output)

    def macs(self, call):
        return 3 * call.output.elements


def _layout(own: Sequence[int], shape: Sequence[int]) -> Tuple[int, int]:
    """(number of parameters of shape `own`, elements of a tensor of `shape` from one parameter to the next)"""
    axes = [axis for axis, size in enumerate(own) if size != 1]
    step = int(np.prod(shape[axes[-1] + 1 :], dtype=np.int64)) if axes else 1
    return int(np.prod(own, dtype=np.int64)), step


def _largest(mode: str, length: int) -> int:
    """A bound of |z|: sqrt(N), or 1, and one more for rounding."""
    return (2**PLACES if mode == "l2" else int(np.ceil(np.sqrt(length))) << PLACES) + 1


def _check_guard(found: Normalization, length: int, exponent: int) -> None:
    """The kernel divides by at least 1 in its own unit, and 0 stays 0: a guard that no other values reach is the same.

    The least divisor that is not 0: one value of all is a step away from the others, or from 0.
    """
    shares = {"centered": np.sqrt(length - 1) / length, "rms": length**-0.5, "l2": 1.0}
    least = shares[found.mode] * 2.0**exponent
    if found.guard > max(least, 1e-6) or found.added > least * _NOTHING:
        what = f"at least {found.guard:.3g}" if found.guard > max(least, 1e-6) else f"{found.added:.3g} more"
        raise Refusal(f"it divides by {what}, which changes results where its input is almost the same everywhere")


def _epsilon(found: Normalization, length: int, exponent: int) -> int:
    """epsilon * N^2 / 4^e_x, rounded half up (l2: epsilon / 4^e_x)."""
    scale = 1 if found.mode == "l2" else length**2
    exact = Fraction(found.epsilon) * scale / Fraction(2) ** (2 * exponent)
    value = int((exact + Fraction(1, 2)).__floor__())
    if not 0 <= value < 2**60:
        raise Refusal(f"its epsilon {found.epsilon:.3g} is out of range for an input at 2^{exponent}")
    return value


def _parameters(found: Normalization, shape: Sequence[int]) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(multiplier, its exponents, bias at exponent - 12), all of one shape that broadcasts against `shape`."""
    factor = np.ones(()) if found.factor is None else found.factor
    offset = np.zeros(()) if found.offset is None else found.offset
    factor, offset = np.broadcast_arrays(factor, offset)
    own = (1,) * (len(shape) - factor.ndim) + factor.shape
    axes = [axis for axis, size in enumerate(own) if size != 1]
    if axes and list(own[axes[0] : axes[-1] + 1]) != list(shape[axes[0] : axes[-1] + 1]):
        raise Refusal("its factors lie along axes that are not next to each other")
    factor, offset = factor.reshape(own), offset.reshape(own)
    if not (np.isfinite(factor).all() and np.isfinite(offset).all()):
        raise Refusal("a factor is not a number")
    # The finest exponent at which the factor fits 11 bits, and the offset 30.
    size = np.maximum(np.abs(factor) / _FACTOR, np.abs(offset) * 2.0 ** (PLACES - 30))
    exponents = np.ceil(np.log2(np.maximum(size, 2.0**-40))).astype(np.int64)
    multiplier = np.floor(factor * 2.0**-exponents + 0.5)
    bias = np.floor(offset * 2.0 ** (PLACES - exponents) + 0.5)
    return np.clip(multiplier, -_FACTOR, _FACTOR).astype(np.int64), exponents, bias.astype(np.int64)


def _const(value: int) -> relay.Expr:
    return relay.const(value, dtype="int64")


def _sqrt(values: relay.Expr) -> relay.Expr:
    """floor(sqrt(v)), exactly: the float64 root is at most one off."""
    root = relay.cast(relay.sqrt(relay.cast(values, "float64")), "int64")
    root = relay.subtract(root, relay.cast(relay.greater(relay.multiply(root, root), values), "int64"))
    above = relay.add(root, _const(1))
    return relay.add(root, relay.cast(relay.less_equal(relay.multiply(above, above), values), "int64"))
