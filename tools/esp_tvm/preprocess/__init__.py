"""The float model made ready for quantization: constants folded, batch norms gone, shapes fixed and known.

Einsum spelled out, ONNX Runtime's own preprocessing (symbolic shapes, basic optimizations), then onnxsim and
onnxoptimizer. Each step is believed only after its result computes the same as the model it was given.
"""

from __future__ import annotations

import contextlib
import os
import struct
import tempfile
from dataclasses import dataclass
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import onnx

from ..convert.einsum import spell_out_products
from ..convert.ends import refuse_what_no_chip_computes
from ..convert.limits import limit_outputs, parse_limits
from ..model import describe, fix_shapes, inputs_of, is_quantized, load_model, outputs_of, save_model
from ..naming import one_line
from ..native import run_apart
from ..onnx_graph import drop_unknown_values, is_standard, keep_opsets, make_node_names_unique, with_inferred_shapes
from ..states import note_states, set_states, states_of
from .check import Check, random_feeds
from .tools import load_tools
from .tools import onnxoptimizer_optimized as _onnxoptimizer
from .tools import onnxruntime_basics as _onnxruntime
from .tools import onnxsim_simplified as _onnxsim

# Of the range that an output works in (`WorkingRange`): what float32 rounds differently when operations are merged
# stays below it.
TOLERANCE = 1e-5
# Of one tool: far more than any takes on a model that fits a chip.
_SECONDS = 900.0
_Step = Callable[[onnx.ModelProto], onnx.ModelProto]


@dataclass
class Preprocessed:
    """original: the model as it was loaded; model: the result; error: its largest difference to the original, relative
    to the range that the output works in; skipped: what a tool could not do, one line each."""

    original: onnx.ModelProto
    model: onnx.ModelProto
    error: float
    skipped: List[str]


def preprocess_onnx(
    input_path: str | os.PathLike,
    output_path: str | os.PathLike,
    sizes: Optional[Dict[str, List[int]]] = None,
    states: Sequence[str] = (),
    ends: Sequence[str] = (),
    limits: Sequence[str] = (),
) -> Preprocessed:
    """Preprocess the float model in `input_path` and write the result to `output_path`, whole or not at all.

    sizes: {input name: shape} where the model leaves axes free
    states: "INPUT=OUTPUT" of each state that the generated program shall keep between calls, or "none", in place of
        those that the model names
    ends: tensors that the model shall end with in place of its outputs
    limits: "OUTPUT=LEAST:LARGEST" of outputs of which no other values matter
    A model that another tool quantized is passed on: folding would change what its scales were made for.
    """
    bounds = parse_limits(limits)
    original = load_model(input_path, sizes, ends)
    label = f"{input_path}: "
    set_states(original, states, label)
    kept = states_of(original, label)
    if is_quantized(original):
        result = Preprocessed(original, original, 0.0, ["it is quantized already and passed on as it is"])
    else:
        result = preprocess_model(original, input_path)
        limit_outputs(result.model, bounds, label)
    # Not after a long quantization.
    refuse_what_no_chip_computes(result.model, label)
    note_states(result.model, kept)  # onnxsim and onnxoptimizer may lose what a model says of itself.
    save_model(result.model, output_path)
    return result


def preprocess_model(original: onnx.ModelProto, path: str | os.PathLike = "model") -> Preprocessed:
    """The same for a loaded model (`load_model`); `path` is for messages."""
    check = Check(original, path)
    load_tools()
    model, error, skipped = original, 0.0, []
    for name, step in (
        ("spelling out products", spell_out_products),
        ("ONNX Runtime", _onnxruntime),
        ("onnxsim", _onnxsim),
        ("onnxoptimizer", _onnxoptimizer),
        ("shape inference", _infer_shapes),
    ):
        try:
            candidate, difference = _made(step, model, check)
        except Exception as failure:  # These tools raise anything; what they refuse stays as it is.
            skipped.append(f"{name} left the model as it was: {one_line(str(failure) or repr(failure), 160)}")
            continue
        if not difference <= TOLERANCE:
            skipped.append(f"{name} left out: its result differs by {difference:.1e} of the output's range")
            continue
        model, error = candidate, difference
    return Preprocessed(original, model, error, skipped)


def _made(step: _Step, model: onnx.ModelProto, check: Check) -> Tuple[onnx.ModelProto, float]:
    """What a tool makes of `model`, and how far that computes from the original; in a process of its own, for tools
    crash, and may make what crashes ONNX Runtime."""

    def work(tell: Callable[[str], None]) -> bytes:
        tell("it")
        with _working_in(folder):
            candidate = _tidy(step(model), check.original)
            tell("running what it made")
            return struct.pack("<d", check.difference(candidate)) + candidate.SerializeToString()

    with tempfile.TemporaryDirectory() as folder:
        answer = run_apart(work, model.ByteSize(), _SECONDS)
    (difference,) = struct.unpack_from("<d", answer)
    return onnx.ModelProto.FromString(answer[8:]), difference


@contextlib.contextmanager
def _working_in(folder: str) -> Iterator[None]:
    """Where files go that tools leave behind, in the current folder too (sym_shape_infer_temp.onnx)."""
    before, temporary = os.getcwd(), tempfile.tempdir
    os.chdir(folder)
    tempfile.tempdir = folder
    try:
        yield
    finally:
        os.chdir(before)
        tempfile.tempdir = temporary


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
    drop_unknown_values(model.graph)  # onnxruntime leaves them; onnxoptimizer crashes on them.
    fix_shapes(model)
    make_node_names_unique(model.graph)
    onnx.checker.check_model(model)
    return model


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
    lines.append(f"largest difference on random input: {result.error:.1e} of the output's range")
    return lines + [f"note: {line}" for line in result.skipped]


__all__: List[str] = ["Preprocessed", "preprocess_model", "preprocess_onnx", "random_feeds", "summary"]
