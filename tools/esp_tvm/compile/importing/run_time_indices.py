"""Limits indices that are known only at run time, so that none can address memory outside its tensor.

TVM's C reads and writes at an index without checking it. Constant indices are checked before; indices that are
computed, or that are inputs of the model, are limited here: a negative one counts from the end, as in ONNX, and one
that is still outside becomes the nearest valid index. ONNX leaves such an index undefined, ONNX Runtime refuses it. The
C and both references are made from the module that this changes, so they agree.
"""

from __future__ import annotations

from typing import List, Optional, Sequence

import numpy as np
import tvm
from tvm import relay

from ..rewriting.toolbox import CallRewriter, rewrite_main, shape_of, with_args, with_span


class _ClampIndices(CallRewriter):
    """One method per operator with indices: it returns the operator's arguments, indices brought into their range.

    `take` does it by itself (mode "clip"), and the importer has made its negative indices count from the end.
    """

    names = "gather gather_nd scatter_elements scatter_nd reverse_sequence vision.roi_align vision.roi_pool".split()

    def rewrite(self, call: relay.Call, args: List[relay.Expr]) -> Optional[relay.Expr]:
        args = super().rewrite(call, args)
        return None if args is None else with_args(call, args)

    def _gather(self, call, args):
        """The importer has made negative indices count from the end."""
        if not relay.analysis.free_vars(call.args[1]):
            return args
        size = shape_of(call.args[0])[int(call.attrs.axis)]
        return [args[0], _clip(args[1], 0, size - 1, call.args[1].checked_type.dtype, call.span)]

    def _gather_nd(self, call, args):
        batch = int(call.attrs.batch_dims)
        sizes = shape_of(call.args[0])[batch : batch + shape_of(call.args[1])[0]]
        return [args[0], _within(call.args[1], args[1], sizes, call.span)]

    def _scatter_elements(self, call, args):
        axis = int(call.attrs.axis)
        return [args[0], _within(call.args[1], args[1], [shape_of(call.args[0])[axis]], call.span), args[2]]

    def _scatter_nd(self, call, args):
        sizes = shape_of(call.args[0])[: shape_of(call.args[1])[0]]
        return [args[0], _within(call.args[1], args[1], sizes, call.span), args[2]]

    def _reverse_sequence(self, call, args):
        """Lengths: from 0 to the size of the axis."""
        if not relay.analysis.free_vars(call.args[1]):
            return args
        axis, span = int(call.attrs.seq_axis), call.span
        return [args[0], _clip(args[1], 0, shape_of(call.args[0])[axis], call.args[1].checked_type.dtype, span)]

    def _vision_roi_align(self, call, args):
        """The index of the image in every region [image, y or x, ...], a float here."""
        if not relay.analysis.free_vars(call.args[1]):
            return args
        span, images = call.span, shape_of(call.args[0])[0]
        first = with_span(relay.strided_slice(args[1], begin=[0], end=[1], axes=[1]), span)
        rest = with_span(relay.strided_slice(args[1], begin=[1], end=[5], axes=[1]), span)
        first = _clip(first, 0, images - 1, call.args[1].checked_type.dtype, span)
        return [args[0], with_span(relay.concatenate([first, rest], axis=1), span)]

    _vision_roi_pool = _vision_roi_align


def _clip(x: relay.Expr, low, high, dtype: str, span) -> relay.Expr:
    """x within low..high, numbers or arrays."""
    least, most = (relay.const(np.asarray(value), dtype) for value in (low, high))
    return with_span(relay.minimum(with_span(relay.maximum(x, least), span), most), span)


def _within(original: relay.Expr, indices: relay.Expr, sizes: Sequence[int], span) -> relay.Expr:
    """`indices` brought into 0..size - 1: one size for all, or one per row of the first axis.

    original: the expression that is rewritten as `indices`, with its type
    """
    if not relay.analysis.free_vars(original):
        return indices
    dtype, rank = original.checked_type.dtype, len(shape_of(original))
    size: np.ndarray = np.asarray(sizes, np.int64)
    size = size.reshape([-1] + [1] * (rank - 1)) if len(sizes) > 1 else size.reshape(())
    if not dtype.startswith("uint"):
        negative = with_span(relay.less(indices, relay.const(0, dtype)), span)
        from_end = with_span(relay.add(indices, relay.const(size, dtype)), span)
        indices = with_span(relay.where(negative, from_end, indices), span)
    return _clip(indices, 0, size - 1, dtype, span)


def clamp_indices(mod: tvm.IRModule) -> tvm.IRModule:
    """`mod`, whose types are inferred, in which every index that is not constant is inside its axis."""
    return rewrite_main(mod, _ClampIndices())
