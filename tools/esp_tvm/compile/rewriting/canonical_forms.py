"""Brings operators that TVM's importer writes in several ways into the one form that the patterns expect.

Every rewrite is exact for floats too, so operators without a kernel compute the same as before.
"""

from __future__ import annotations

from typing import List, Optional

import numpy as np
from tvm import relay

from .toolbox import CallRewriter, is_call, is_constant, shape_of, with_args, with_span


class Canonicalize(CallRewriter):
    """One method per operator that is rewritten."""

    names = (
        "add multiply copy reshape nn.max_pool1d nn.avg_pool1d image.resize1d nn.adaptive_max_pool1d "
        "nn.adaptive_max_pool3d nn.adaptive_avg_pool1d nn.adaptive_avg_pool3d nn.upsampling nn.depth_to_space "
        "nn.space_to_depth"
    ).split()

    def rewrite(self, call: relay.Call, args: List[relay.Expr]) -> Optional[relay.Expr]:
        result = super().rewrite(call, args)
        return None if result is None else _Spans(call.span).visit_upto(result, args)

    def visit_tuple_getitem(self, item: relay.TupleGetItem) -> relay.Expr:
        """A part of a split is a slice."""
        source = item.tuple_value
        if not is_call(source, "split"):
            return super().visit_tuple_getitem(item)
        x = self.visit(source.args[0])
        shape, axis = shape_of(source.args[0]), int(source.attrs.axis)
        axis %= len(shape)
        sections = source.attrs.indices_or_sections
        if hasattr(sections, "__len__"):
            borders = [0, *[int(b) for b in sections], shape[axis]]
        else:
            borders = list(range(0, shape[axis] + 1, shape[axis] // int(sections)))
        begin, end = borders[item.index], borders[item.index + 1]
        part = relay.strided_slice(x, begin=[begin], end=[end], strides=[1], axes=[axis])
        return with_span(part, source.span)

    def _copy(self, call, args):
        return args[0]

    # --- constants second, as the patterns of a bias or a factor expect them ---

    def _add(self, call, args):
        if is_constant(call.args[0]) and not is_constant(call.args[1]):
            return with_args(call, [args[1], args[0]])
        return None

    _multiply = _add

    # --- one spatial axis as two ---

    def _pool1d(self, call, args, pool2d, **more):
        attrs = call.attrs
        if str(attrs.layout) != "NCW":
            return None
        padding = [int(p) for p in attrs.padding]
        y = pool2d(
            relay.expand_dims(args[0], axis=2),
            pool_size=(1, int(attrs.pool_size[0])),
            strides=(1, int(attrs.strides[0])),
            dilation=(1, int(attrs.dilation[0])),
            padding=(0, padding[0], 0, padding[-1]),
            ceil_mode=bool(attrs.ceil_mode),
            **more,
        )
        return relay.squeeze(y, axis=[2])

    def _nn_max_pool1d(self, call, args):
        return self._pool1d(call, args, relay.nn.max_pool2d)

    def _nn_avg_pool1d(self, call, args):
        counted = bool(call.attrs.count_include_pad)
        return self._pool1d(call, args, relay.nn.avg_pool2d, count_include_pad=counted)

    def _image_resize1d(self, call, args):
        attrs = call.attrs
        if str(attrs.layout) != "NCW":
            return None
        y = relay.image.resize2d(
            relay.expand_dims(args[0], axis=2),
            size=(1, int(attrs.size[0])),
            # The new axis has size 1, so its settings have no effect.
            roi=[0.0, float(attrs.roi[0]), 0.0, float(attrs.roi[1])],
            method=str(attrs.method),
            coordinate_transformation_mode=str(attrs.coordinate_transformation_mode),
            rounding_method=str(attrs.rounding_method),
            cubic_alpha=float(attrs.cubic_alpha),
            cubic_exclude=int(attrs.cubic_exclude),
            extrapolation_value=float(attrs.extrapolation_value),
        )
        return relay.squeeze(y, axis=[2]) if str(attrs.method) != "cubic" else None

    # --- global pooling under another name of the importer ---

    def _adaptive(self, call, args, reduce):
        rank = len(shape_of(call.args[0]))
        if any(int(size) != 1 for size in call.attrs.output_size):
            return None
        return reduce(args[0], axis=list(range(2, rank)), keepdims=True)

    def _global1d(self, call, args, pool2d):
        """As an image of one row, whose kernels take int16 too."""
        if int(call.attrs.output_size[0]) != 1:
            return None
        return relay.squeeze(pool2d(relay.expand_dims(args[0], axis=2)), axis=[2])

    def _nn_adaptive_max_pool1d(self, call, args):
        return self._global1d(call, args, relay.nn.global_max_pool2d)

    def _nn_adaptive_max_pool3d(self, call, args):
        return self._adaptive(call, args, relay.max)

    def _nn_adaptive_avg_pool1d(self, call, args):
        return self._global1d(call, args, relay.nn.global_avg_pool2d)

    def _nn_adaptive_avg_pool3d(self, call, args):
        return self._adaptive(call, args, relay.mean)

    # --- others ---

    def _nn_upsampling(self, call, args):
        attrs, shape = call.attrs, shape_of(call)
        methods = {"nearest_neighbor": "nearest_neighbor", "bilinear": "linear"}
        if str(attrs.layout) != "NCHW" or str(attrs.method) not in methods or attrs.align_corners:
            return None
        return relay.image.resize2d(
            args[0],
            size=shape[2:],
            layout="NCHW",
            method=methods[str(attrs.method)],
            coordinate_transformation_mode="asymmetric",
            rounding_method="floor",
        )

    def _nn_depth_to_space(self, call, args):
        return self._channels_last(call, args, relay.nn.depth_to_space, mode=str(call.attrs.mode) or "DCR")

    def _nn_space_to_depth(self, call, args):
        return self._channels_last(call, args, relay.nn.space_to_depth)

    def _channels_last(self, call, args, function, **more):
        if str(call.attrs.layout) != "NCHW":
            return None
        x = relay.transpose(args[0], [0, 2, 3, 1])
        return relay.transpose(function(x, int(call.attrs.block_size), layout="NHWC", **more), [0, 3, 1, 2])

    def _reshape(self, call, args):
        """The importer flattens x and slope for nn.prelu: written as a sum of both halves it allows any slope and
        layout."""
        prelu = call.args[0]
        if not is_call(prelu, "nn.prelu") or not is_call(prelu.args[0], "reshape"):
            return None
        x, slope = prelu.args[0].args[0], prelu.args[1]
        while is_call(slope, "reshape", "broadcast_to_like", "broadcast_to"):
            slope = slope.args[0]
        if shape_of(x) != shape_of(call) or np.broadcast_shapes(shape_of(x), shape_of(slope)) != tuple(shape_of(x)):
            return None
        x, slope = self.visit(x), self.visit(slope)
        negative = relay.minimum(x, relay.const(np.float32(0)))
        return relay.add(relay.nn.relu(x), relay.multiply(negative, slope))


class _Spans(relay.ExprMutator):
    """Gives the new calls of a rewrite the span of the call that they replace."""

    def __init__(self, span):
        super().__init__()
        self.span = span

    def visit_upto(self, expr: relay.Expr, known: List[relay.Expr]) -> relay.Expr:
        """`expr` with spans, down to the expressions in `known` and all that have one."""
        for one in known:
            self.memo_map[one] = one
        return self.visit(expr)

    def visit_call(self, call: relay.Call) -> relay.Expr:
        if call.span is not None:
            return call
        return with_span(with_args(call, [self.visit(arg) for arg in call.args]), self.span)
