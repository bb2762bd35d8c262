"""The float model made ready for quantization: constants folded, batch norms gone, shapes fixed and known.

Einsum spelled out, ONNX Runtime's own preprocessing (symbolic shapes, basic optimizations), then onnxsim and
onnxoptimizer. Each step is believed only after its result computes the same as the model it was given.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional

import numpy as np
import onnx

from .convert.einsum import spell_out_products
from .model import (
    describe,
    fix_shapes,
    inputs_of,
    is_quantized,
    load_model,
    outputs_of,
    run_session,
    save_model,
    session,
)
from .naming import one_line
from .onnx_graph import copied, is_standard, keep_opsets, make_node_names_unique, with_inferred_shapes

# Of the largest output; what float32 rounds differently when operations are merged stays below it.
TOLERANCE = 1e-5
_SEED = 20240229
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


@dataclass
class Preprocessed:
    """original: the model as it was loaded; model: the result; error: its largest difference to the original, relative
    to the output's scale; skipped: what a tool could not do, one line each."""

    original: onnx.ModelProto
    model: onnx.ModelProto
    error: float
    skipped: List[str]


def preprocess_onnx(
    input_path: str | os.PathLike, output_path: str | os.PathLike, sizes: Optional[Dict[str, List[int]]] = None
) -> Preprocessed:
    """Preprocess the float model in `input_path` and write the result to `output_path`, whole or not at all.

    sizes: {input name: shape} where the model leaves axes free. A model that another tool quantized is passed on:
    folding would change what its scales were made for.
    """
    original = load_model(input_path, sizes)
    if is_quantized(original):
        result = Preprocessed(original, original, 0.0, ["it is quantized already and passed on as it is"])
    else:
        result = preprocess_model(original, input_path)
    save_model(result.model, output_path)
    return result


def preprocess_model(original: onnx.ModelProto, path: str | os.PathLike = "model") -> Preprocessed:
    """The same for a loaded model (`load_model`); `path` is for messages."""
    check = _Check(original, path)
    model, error, skipped = original, 0.0, []
    for name, step in (
        ("spelling out products", spell_out_products),
        ("ONNX Runtime", _onnxruntime),
        ("onnxsim", _onnxsim),
        ("onnxoptimizer", _onnxoptimizer),
        ("shape inference", _infer_shapes),
    ):
        try:
            candidate = _tidy(step(model), original)
            difference = check.difference(candidate)
        except Exception as failure:  # These tools raise anything; what they refuse stays as it is.
            skipped.append(f"{name} left the model as it was: {one_line(str(failure) or repr(failure), 160)}")
            continue
        if not difference <= TOLERANCE:
            skipped.append(f"{name} left out: its result differs by {difference:.1e} of the output's scale")
            continue
        model, error = candidate, difference
    return Preprocessed(original, model, error, skipped)


class _Check:
    """Compares models with the original one on random input."""

    def __init__(self, original: onnx.ModelProto, path: str | os.PathLike):
        self.path = path
        self.names = [name for name, _, _ in outputs_of(original)]
        self.feeds = random_feeds(original)
        self.expected = run_session(session(original, path), self.names, self.feeds, path)

    def difference(self, model: onnx.ModelProto) -> float:
        """Largest difference of any output, relative to that output's largest value."""
        worst = 0.0
        for ours, theirs in zip(run_session(session(model), self.names, self.feeds), self.expected):
            if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
                raise ValueError("an output changed its shape or type")
            same = (ours == theirs) | ((ours != ours) & (theirs != theirs))
            if same.all():
                continue
            if ours.dtype.kind != "f" or not np.isfinite(ours[~same]).all():
                return float("inf")
            finite = np.abs(theirs[np.isfinite(theirs)])
            scale = float(finite.max()) if finite.size else 0.0
            distance = float(np.abs(ours[~same].astype(np.float64) - theirs[~same]).max())
            worst = max(worst, distance / scale if scale > 0 else distance)
        return worst


def random_feeds(model: onnx.ModelProto) -> Dict[str, np.ndarray]:
    """Standard normal values for float inputs; 0 and 1 for integers, which are often indices."""
    random = np.random.RandomState(_SEED)
    feeds = {}
    for name, shape, dtype in inputs_of(model):
        values = random.standard_normal(shape) if np.dtype(dtype).kind == "f" else random.randint(0, 2, shape)
        feeds[name] = np.asarray(values).astype(dtype)
    return feeds


def _tidy(model: onnx.ModelProto, original: onnx.ModelProto) -> onnx.ModelProto:
    """What every tool owes: the same inputs and outputs, standard operators, names for all nodes."""
    if [i[:2] for i in inputs_of(model)] != [i[:2] for i in inputs_of(original)]:
        # Tools drop inputs that nothing uses: the user still passes them.
        del model.graph.input[:]
        model.graph.input.extend(original.graph.input)
    if [name for name, _, _ in outputs_of(model)] != [name for name, _, _ in outputs_of(original)]:
        raise ValueError("the outputs changed")
    for node in model.graph.node:
        if not is_standard(node):
            raise ValueError(f"it made an operator of the domain {node.domain}")
    keep_opsets(model)  # onnxruntime declares all domains it knows.
    fix_shapes(model)
    make_node_names_unique(model.graph)
    onnx.checker.check_model(model)
    return model


@contextlib.contextmanager
def _quiet():
    """Tools print notes of their own on what the user cannot change."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            with contextlib.redirect_stderr(io.StringIO()):
                yield
    finally:
        logging.disable(level)


def _onnxruntime(model: onnx.ModelProto) -> onnx.ModelProto:
    import onnxruntime
    from onnxruntime.quantization.shape_inference import quant_pre_process

    # Its library writes warnings of shapes to the file descriptor.
    onnxruntime.set_default_logger_severity(4)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        source, target = str(Path(folder, "in.onnx")), str(Path(folder, "out.onnx"))
        onnx.save(model, source)
        try:
            quant_pre_process(source, target)
        except Exception:
            # Symbolic shape inference does not know every operator; the rest works without it.
            quant_pre_process(source, target, skip_symbolic_shape=True)
        return onnx.load(target)


def _onnxsim(model: onnx.ModelProto) -> onnx.ModelProto:
    import onnxsim

    with _quiet():
        simplified, _ = onnxsim.simplify(copied(model), check_n=0)
    return simplified


def _onnxoptimizer(model: onnx.ModelProto) -> onnx.ModelProto:
    import onnxoptimizer

    with _quiet():
        return onnxoptimizer.optimize(copied(model), _OPTIMIZER_PASSES, fixed_point=True)


def _infer_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    return with_inferred_shapes(model, check_type=True)


def summary(result: Preprocessed) -> List[str]:
    """The lines the script prints."""
    old, new = describe(result.original)["operators"], describe(result.model)["operators"]
    changed = []
    for kind in sorted(set(old) | set(new)):
        if old.get(kind, 0) != new.get(kind, 0):
            changed.append(f"{kind} {old.get(kind, 0)} -> {new.get(kind, 0)}")
    lines = [f"operators: {sum(old.values())} -> {sum(new.values())}" + (f" ({', '.join(changed)})" if changed else "")]
    lines.append(f"largest difference on random input: {result.error:.1e} of the output's scale")
    return lines + [f"note: {line}" for line in result.skipped]


__all__: List[str] = ["Preprocessed", "preprocess_model", "preprocess_onnx", "random_feeds", "summary"]
