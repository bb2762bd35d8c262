"""The tools that preprocessing lets work on a model: ONNX Runtime's own preprocessing, onnxsim, onnxoptimizer.

They print what the user cannot change, write temporary files, and may crash: for a process of its own (native.py).
"""

from __future__ import annotations

import contextlib
import importlib
import tempfile
from pathlib import Path

import onnx

from ..onnx_graph import copied

_OPTIMIZER_PASSES = [
    "eliminate_deadend",
    "eliminate_identity",
    "eliminate_nop_cast",
    "eliminate_nop_dropout",
    "eliminate_nop_flatten",
    "eliminate_nop_monotone_argmax",
    "eliminate_nop_pad",
    "eliminate_nop_transpose",
    "extract_constant_to_initializer",
    "fuse_consecutive_concats",
    "fuse_consecutive_log_softmax",
    "fuse_consecutive_reduce_unsqueeze",
    "fuse_consecutive_squeezes",
    "fuse_consecutive_transposes",
    "fuse_transpose_into_gemm",
    "fuse_matmul_add_bias_into_gemm",
    "fuse_pad_into_conv",
    "fuse_add_bias_into_conv",
    "fuse_bn_into_conv",
    "eliminate_duplicate_initializer",
    "eliminate_unused_initializer",
]


def load_tools() -> None:
    """Import the tools in this process: its children have them at once. One that cannot be imported says so when it is
    used."""
    for name in ("onnxruntime.quantization.shape_inference", "onnxsim", "onnxoptimizer"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def onnxruntime_basics(model: onnx.ModelProto) -> onnx.ModelProto:
    """Symbolic shapes where they can be told, and ONNX Runtime's basic optimizations."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder:
        source, target = str(Path(folder, "in.onnx")), str(Path(folder, "out.onnx"))
        onnx.save(model, source)
        try:
            quant_pre_process(source, target)
        except Exception:
            # Symbolic shape inference does not know every operator; the rest works without it.
            quant_pre_process(source, target, skip_symbolic_shape=True)
        return onnx.load(target)


def onnxsim_simplified(model: onnx.ModelProto) -> onnx.ModelProto:
    """What onnxsim makes of a model."""
    import onnxsim

    simplified, _ = onnxsim.simplify(copied(model), check_n=0)
    return simplified


def onnxoptimizer_optimized(model: onnx.ModelProto) -> onnx.ModelProto:
    """What onnxoptimizer makes of a model."""
    import onnxoptimizer

    return onnxoptimizer.optimize(copied(model), _OPTIMIZER_PASSES, fixed_point=True)
