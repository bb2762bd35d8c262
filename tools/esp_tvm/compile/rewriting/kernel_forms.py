"""Rewrites the forms that exporters write into the forms that kernels expect.

No rewrite changes the float computation.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import tvm
from tvm import relay

from ...operators.conv import whole_padding
from .toolbox import (
    RESHAPES,
    CallRewriter,
    Mutator,
    has_one_scale,
    is_call,
    is_constant,
    permutation,
    rewrite_main,
    shape_of,
    with_args,
    with_span,
)

_QUANTIZATION = ("qnn.quantize", "qnn.dequantize")
_UNARY = ("nn.relu", "clip", "sigmoid", "tanh", "nn.leaky_relu", "exp", "log", "sqrt", "abs", "negative", "erf")
_BINARY = ("add", "subtract", "multiply", "divide", "maximum", "minimum")


def before_layout(mod: tvm.IRModule) -> tvm.IRModule:
    """Rewrites on ONNX's own layouts: one-dimensional convolutions become two-dimensional, padding joins them."""
    for mutator in (_OneToTwoDimensions, _SinkSqueezes, _PadIntoConvolution):
        mod = rewrite_main(mod, mutator())
    return mod


def after_layout(mod: tvm.IRModule) -> tvm.IRModule:
    """Rewrites on the final layouts, before transposes have their final place."""
    for mutator in (_SoftmaxOverLastAxis, _SinkReshapes, _AddendsOfConvolutions):
        mod = rewrite_main(mod, mutator())
    return mod


def settle(mod: tvm.IRModule) -> tvm.IRModule:
    """Rewrites once transposes have their final place: those before a flattened dense layer are folded into its
    weights."""
    return rewrite_main(mod, _TransposeIntoDense())


def _constant_shape(expr: relay.Expr) -> Tuple[int, ...]:
    return tuple((expr.args[0] if is_call(expr, "qnn.dequantize") else expr).data.shape)


def _padding(values: Sequence[int]) -> Tuple[int, int]:
    values = [int(v) for v in values]
    return (values[0], values[-1])


class _OneToTwoDimensions(CallRewriter):
    """conv1d and conv1d_transpose over [N, C, L] as convolutions over [N, C, 1, L]; canonical_forms.py does pooling."""

    def rewrite(self, call: relay.Call, args: List[relay.Expr]) -> Optional[relay.Expr]:
        made = self._two_dimensional(call, args)
        return None if made is None else with_span(relay.squeeze(with_span(made, call.span), axis=[2]), call.span)

    def _two_dimensional(self, call: relay.Call, args: List[relay.Expr]) -> Optional[relay.Call]:
        attrs = call.attrs
        if is_call(call, "nn.conv1d", "nn.conv1d_transpose") and str(attrs.data_layout) == "NCW":
            before, after = _padding(attrs.padding)
            common = {
                "strides": (1, int(attrs.strides[0])),
                "padding": (0, before, 0, after),
                "dilation": (1, int(attrs.dilation[0])),
                "groups": int(attrs.groups),
                "channels": int(attrs.channels),
                "kernel_size": (1, int(attrs.kernel_size[0])),
            }
            x, weights = _widened(args[0], call.span), _widened(args[1], call.span)
            if is_call(call, "nn.conv1d"):
                return relay.nn.conv2d(x, weights, **common)
            return relay.nn.conv2d_transpose(x, weights, output_padding=(0, int(attrs.output_padding[0])), **common)
        return None


def _widened(x: relay.Expr, span) -> relay.Expr:
    return with_span(relay.expand_dims(x, axis=2), span)


def _axis_of_size_one(call: relay.Call, removed: bool) -> Optional[int]:
    """The one axis that a reshape removes (of its input) or adds (to its output), None for another reshape.

    If it could be several axes of size 1, the third: that is where one-dimensional layers have the height of the image.
    """
    old, new = shape_of(call.args[0]), shape_of(call)
    long, short = (old, new) if removed else (new, old)
    if len(long) != len(short) + 1:
        return None
    found = [axis for axis in range(len(long)) if long[axis] == 1 and long[:axis] + long[axis + 1 :] == short]
    return 2 if 2 in found else next(iter(found), None)


class _SinkSqueezes(CallRewriter):
    """Move a squeeze of one axis behind operators that it does not affect, until an expand_dims cancels it."""

    def __init__(self):
        super().__init__()
        self._held: Dict[relay.Expr, Tuple[relay.Expr, int]] = {}

    def rewrite(self, call: relay.Call, args: List[relay.Expr]) -> Optional[relay.Expr]:
        if is_call(call, *RESHAPES):
            removed = _axis_of_size_one(call, True)
            if removed is not None and len(shape_of(call)) == 3:
                return self._hold(args[0], removed, call.span)
            added = _axis_of_size_one(call, False)
            if added is not None and args[0] in self._held:
                inner, axis = self._held[args[0]]
                # For the values it makes no difference which of several axes of size 1 it was.
                if _same_axis(shape_of(call), axis, added):
                    return inner
        return self._through(call, args)

    def _hold(self, inner: relay.Expr, axis: int, span) -> relay.Expr:
        expr = with_span(relay.squeeze(inner, axis=[axis]), span)
        self._held[expr] = (inner, axis)
        return expr

    def _through(self, call: relay.Call, args: List[relay.Expr]) -> Optional[relay.Expr]:
        if not args or not any(arg in self._held for arg in args):
            return None
        first, axis = next(self._held[arg] for arg in args if arg in self._held)
        if is_call(call, *_UNARY) or (is_call(call, *_QUANTIZATION) and has_one_scale(call)):
            return self._hold(with_args(call, [first, *args[1:]]), axis, call.span)
        if is_call(call, "nn.bias_add") and args[0] in self._held and int(call.attrs.axis) == 1 and axis >= 2:
            return self._hold(with_args(call, [first, args[1]]), axis, call.span)
        if is_call(call, *_BINARY):
            rank = len(shape_of(call))
            wide = [self._wide(old, new, axis, rank) for old, new in zip(call.args, args)]
            if all(expr is not None for expr in wide):
                return self._hold(with_args(call, wide), axis, call.span)
        return None

    def _wide(self, old: relay.Expr, new: relay.Expr, axis: int, rank: int) -> Optional[relay.Expr]:
        """An operand with the axis inserted again."""
        if new in self._held:
            return self._held[new][0] if self._held[new][1] == axis else None
        if is_constant(old):
            # Axes are counted from the end: constants may have fewer.
            shape = _constant_shape(old)
            position = axis - (rank - len(shape))
            return new if position <= 0 else _reshaped(old, new, shape[:position] + (1,) + shape[position:])
        shape = shape_of(old)
        if len(shape) != rank:
            return None
        return relay.reshape(new, shape[:axis] + (1,) + shape[axis:])


def _reshaped(old: relay.Expr, new: relay.Expr, shape: Sequence[int]) -> Optional[relay.Expr]:
    """Constants in another shape, moved below their dequantize."""
    if isinstance(old, relay.Constant):
        return relay.const(old.data.numpy().reshape(shape))
    values = old.args[0].data.numpy().reshape(shape)
    axis = int(old.attrs.axis)
    if not has_one_scale(old):
        size = old.args[0].data.shape[axis % max(len(old.args[0].data.shape), 1)]
        places = [i for i, dim in enumerate(shape) if dim == size]
        if len(places) != 1:
            return None
        axis = places[0]
    made = relay.qnn.op.dequantize(relay.const(values), old.args[1], old.args[2], axis=axis)
    return with_span(made, old.span)


def _same_axis(shape: Sequence[int], one: int, other: int) -> bool:
    low, high = sorted((one, other))
    return all(size == 1 for size in shape[low : high + 1])


class _PadIntoConvolution(CallRewriter):
    """Zeros around the image become the convolution's own padding, also where they are quantized in between."""

    def rewrite(self, call: relay.Call, args: List[relay.Expr]) -> Optional[relay.Expr]:
        if is_call(call, "nn.conv2d") and str(call.attrs.data_layout) == "NCHW":
            found = self._padded(args[0])
            if found is not None:
                x, (top, left, bottom, right) = found
                own = [int(v) for v in call.attrs.padding]
                own = own * (4 // len(own)) if len(own) < 4 else own
                padding = (own[0] + top, own[1] + left, own[2] + bottom, own[3] + right)
                attrs = {name: call.attrs[name] for name in ("strides", "dilation", "groups", "channels")}
                made = relay.nn.conv2d(x, args[1], padding=padding, kernel_size=shape_of(call.args[1])[2:], **attrs)
                return with_span(made, call.span)
        return None

    def _padded(self, x: relay.Expr) -> Optional[Tuple[relay.Expr, Tuple[int, ...]]]:
        """(what was padded, how much) of an image padded with zeros."""
        if is_call(x, "nn.pad"):
            widths = [tuple(int(v) for v in pair) for pair in x.attrs.pad_width]
            value = x.args[1]
            zero = isinstance(value, relay.Constant) and not np.any(value.data.numpy())
            plain = str(x.attrs.pad_mode) == "constant" and len(widths) == 4 and widths[:2] == [(0, 0), (0, 0)]
            if zero and plain and min(min(pair) for pair in widths) >= 0:
                return x.args[0], (widths[2][0], widths[3][0], widths[2][1], widths[3][1])
        if is_call(x, "qnn.dequantize") and is_call(x.args[0], "qnn.quantize"):
            dequantize, quantize = x, x.args[0]
            found = self._padded(quantize.args[0])
            if found is None or not has_one_scale(quantize) or not _same_quantization(quantize, dequantize):
                return None
            return with_args(
                dequantize, [with_args(quantize, [found[0], *quantize.args[1:]]), *dequantize.args[1:]]
            ), found[1]
        return None


def _same_quantization(quantize: relay.Call, dequantize: relay.Call) -> bool:
    return all(np.array_equal(a.data.numpy(), b.data.numpy()) for a, b in zip(quantize.args[1:], dequantize.args[1:]))


class PadsOfConvolutions(CallRewriter):
    """A pad of int8 values that can be the padding of a convolution, whatever its value, is next to it: conv2d of a pad
    of a dequantize. One of its own for each, so that a pattern finds it."""

    def rewrite(self, call: relay.Call, args: List[relay.Expr]) -> Optional[relay.Expr]:
        x = args[0] if is_call(call, "nn.conv2d") else None
        if not is_call(x, "qnn.dequantize") or not is_call(x.args[0], "nn.pad") or not has_one_scale(x):
            return None
        pad = x.args[0]
        if str(call.attrs.data_layout) != "NHWC" or whole_padding(pad, call.attrs.padding) is None:
            return None
        scale, zero = (float(a.data.numpy()) for a in x.args[1:])
        value = relay.const(np.float32((float(pad.args[1].data.numpy()) - zero) * scale))
        inner = with_args(x, [pad.args[0], *x.args[1:]])
        made = relay.nn.pad(inner, pad.attrs.pad_width, value, pad_mode=str(pad.attrs.pad_mode))
        return with_args(call, [with_span(made, pad.span), *args[1:]])


class _SoftmaxOverLastAxis(Mutator):
    """softmax (and its logarithm) over another axis, between two transposes."""

    def visit_call(self, call: relay.Call) -> relay.Expr:
        inner = call.args[0] if is_call(call, "log") else call
        if is_call(inner, "nn.softmax", "nn.log_softmax"):
            rank = len(shape_of(inner))
            axis = int(inner.attrs.axis) % rank
            if axis != rank - 1:
                order = [i for i in range(rank) if i != axis] + [axis]
                back = [order.index(i) for i in range(rank)]
                x = with_span(relay.transpose(self.visit(inner.args[0]), order), inner.span)
                function = relay.nn.softmax if is_call(inner, "nn.softmax") else relay.nn.log_softmax
                y = with_span(function(x, axis=-1), inner.span)
                if inner is not call:
                    y = with_args(call, [y])
                return with_span(relay.transpose(y, back), call.span)
        return super().visit_call(call)


class _AddendsOfConvolutions(CallRewriter):
    """What is added to the result of a convolution, before that is quantized, lies as it does: a transpose between them
    moves behind the sum and its activation, and the other tensor is transposed as int8."""

    def __init__(self):
        super().__init__()
        # Transposes that are moving: (what they transpose, their axes). Types of new calls are not known.
        self._held: Dict[relay.Expr, Tuple[relay.Expr, Tuple[int, ...]]] = {}

    def rewrite(self, call: relay.Call, args: List[relay.Expr]) -> Optional[relay.Expr]:
        axes = permutation(call)
        if axes is not None:
            return self._hold(args[0], axes, call.span) if _is_convolution(args[0]) else None
        if is_call(call, "nn.relu", "clip") and args[0] in self._held:
            inner, axes = self._held[args[0]]
            return self._hold(with_args(call, [inner]), axes, call.span)
        return self._sum(call, args) if is_call(call, "add") else None

    def _hold(self, inner: relay.Expr, axes: Sequence[int], span) -> relay.Expr:
        made = with_span(relay.transpose(inner, axes), span)
        self._held[made] = inner, tuple(axes)
        return made

    def _sum(self, call: relay.Call, args: List[relay.Expr]) -> Optional[relay.Expr]:
        for place, other in ((0, 1), (1, 0)):
            x, moving = args[other], self._held.get(args[place])
            whole = moving is not None and is_call(x, "qnn.dequantize") and has_one_scale(x) and not is_constant(x)
            if whole and _is_convolution(moving[0]) and shape_of(call.args[other]) == shape_of(call):
                inner, axes = moving
                back = [axes.index(axis) for axis in range(len(axes))]
                moved = with_span(relay.transpose(x.args[0], back), x.span)
                operands = {place: inner, other: with_args(x, [moved, *x.args[1:]])}
                return self._hold(with_args(call, [operands[0], operands[1]]), axes, call.span)
        return None


def _is_convolution(x: relay.Expr) -> bool:
    """Whether it is the result of a convolution, with its bias."""
    return any(is_call(part, "nn.conv2d") for part in (x.args if is_call(x, "add") else [x]))


class _SinkReshapes(CallRewriter):
    """Moves the reshape after a product behind elementwise functions and constants along the last axis.

    MatMul of more than two axes is imported as reshape, product, reshape: this brings its bias and its relu next to it.
    """

    def __init__(self):
        super().__init__()
        # The argument of new reshapes, and its shape: Relay does not infer the types of new calls by itself.
        self._held: Dict[relay.Expr, Tuple[relay.Expr, Tuple[int, ...]]] = {}

    def rewrite(self, call: relay.Call, args: List[relay.Expr]) -> Optional[relay.Expr]:
        if is_call(call, "reshape") and is_call(call.args[0], "nn.dense", "nn.batch_matmul"):
            if shape_of(call.args[0])[-1:] == shape_of(call)[-1:]:
                made = with_args(call, args)
                self._held[made] = (args[0], shape_of(call.args[0]))
                return made
        elif is_call(call, *_UNARY, *_BINARY):
            return self._behind(call, args)
        return None

    def _behind(self, call: relay.Call, args: List[relay.Expr]) -> Optional[relay.Expr]:
        moving = [i for i, arg in enumerate(call.args) if not is_constant(arg)]
        if len(moving) != 1 or args[moving[0]] not in self._held:
            return None
        inner, shape = self._held[args[moving[0]]]
        if shape_of(call.args[moving[0]]) != shape_of(call):
            return None
        operands = list(args)
        operands[moving[0]] = inner
        for i, arg in enumerate(call.args):
            if i == moving[0]:
                continue
            size = _constant_shape(arg)
            if int(np.prod(size)) != 1 and int(np.prod(size)) != int((size or (1,))[-1]):
                return None
            operands[i] = _reshaped(arg, args[i], size[-1:])
            if operands[i] is None:
                return None
        made = with_span(relay.reshape(with_args(call, operands), shape_of(call)), call.span)
        self._held[made] = (made.args[0], shape)
        return made


class _TransposeIntoDense(CallRewriter):
    """dense(flatten(transpose(x))): the columns of the weights are permuted instead."""

    def rewrite(self, call: relay.Call, args: List[relay.Expr]) -> Optional[relay.Expr]:
        if is_call(call, "nn.dense"):
            found = _flattened_transpose(call.args[0], args[0])
            weights = call.args[1]
            if found is not None and is_call(weights, "qnn.dequantize") and is_constant(weights):
                return with_args(call, [found[0], _with_columns(weights, found[1], found[2])])
        return None


def _flattened_transpose(old: relay.Expr, new: relay.Expr):
    """(dequantized flattened source, its shape, axes) of dequantize(reshape(transpose(q))), None for anything else."""
    if not (is_call(old, "qnn.dequantize") and is_call(old.args[0], *RESHAPES)):
        return None
    move = old.args[0].args[0]
    axes = permutation(move)
    if axes is None or axes[0] != 0 or len(axes) < 3 or len(shape_of(old)) != 2:
        return None
    shape = shape_of(move.args[0])
    if shape_of(old)[0] != shape[0]:
        return None
    source = new.args[0].args[0].args[0]
    flat = with_span(relay.reshape(source, shape_of(old)), old.args[0].span)
    return with_args(new, [flat, *new.args[1:]]), shape, axes


def _with_columns(weights: relay.Call, shape: Sequence[int], axes: Sequence[int]) -> relay.Call:
    values = weights.args[0].data.numpy()
    moved = [shape[axis] for axis in axes[1:]]
    back = [axes.index(axis) for axis in range(1, len(axes))]
    ordered = values.reshape(len(values), *moved).transpose(0, *back).reshape(values.shape)
    return with_args(weights, [relay.const(np.ascontiguousarray(ordered)), *weights.args[1:]])
