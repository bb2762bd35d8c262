"""Converts a model of another framework to a checked ONNX file."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import onnx

from ..errors import UserError
from ..files import whole_file
from ..model import MAX_OPSET, inputs_of, load_model, opset_of, outputs_of, save_model
from ..naming import shown
from ..states import note_states, states_of
from .check import TOLERANCE, Difference, differences, feeds_of, one_by_one, require_equal
from .environment import KINDS, check_keras, kind_of, python_for, run_framework
from .espdl.reading import known_values, read_espdl
from .old_opsets import MIN_OPSET
from .ports import with_float_ports
from .qdq import is_qdq
from .sizes import parse_shapes
from .standard import standardize

# For int8 models: the kernels of the source and of ONNX Runtime may differ by a step in every layer.
INT8_TOLERANCE = 0.1
SAMPLES = 8


@dataclass
class Converted:
    """The model as written, its kind, the Python that converted it, the differences to its source (none if there is
    nothing to compare with); states: (input, output, whether it starts with zeros) of each state of the source."""

    model: onnx.ModelProto
    kind: str
    python: str
    differences: List[Difference]
    states: List[Tuple[str, str, bool]] = field(default_factory=list)


def convert(
    path: str | os.PathLike,
    output: str | os.PathLike,
    *,
    opset: int = MIN_OPSET,
    shapes: Sequence[str] = (),
    signature: Optional[str] = None,
    samples: Optional[str | os.PathLike] = None,
    python: Optional[str] = None,
    trust: bool = False,
    tolerance: Optional[float] = None,
    as_float: bool = False,
    samples_out: Optional[str | os.PathLike] = None,
) -> Converted:
    """Convert the model in `path` to the ONNX file `output`, batch 1, once both compute the same.

    shapes: "1,3,32,32" or "name=1,3,32,32" for each input whose shape is not in the file; samples: .npy or .npz of real
    inputs for the comparison instead of random ones; trust: the file may run code of its own; tolerance: largest
    difference, of an output's largest value (default 1e-4, 0.1 for models that are int8 already); signature: which of a
    SavedModel or of a pack of ESP-DL's; as_float: for an .espdl, give the dequantized float model; samples_out: .npz
    for the samples of the comparison, with the states before each. Raises `UserError`, also if the difference is
    larger; then nothing is written.
    """
    kind = kind_of(path)
    if not MIN_OPSET <= opset <= MAX_OPSET:
        raise UserError(f"--opset {opset}: choose {MIN_OPSET} to {MAX_OPSET}")
    if kind == "espdl":
        if samples is not None or shapes or python or samples_out is not None:
            raise UserError(
                f"{path}: --samples, --samples_out, --shape and --python are for other kinds of models; leave them out"
            )
        return _of_espdl(path, output, opset, signature, tolerance, as_float)
    if as_float:
        raise UserError(f"{path}: --float is for .espdl files; leave it out")
    if kind == "sklearn" and not trust:
        raise UserError(
            f"{path}: a pickle runs whatever code is in it when it is read; "
            "if you made it or trust who did: --trust-pickle"
        )
    if samples is not None and not Path(samples).is_file():
        raise UserError(f"{samples}: no such file; give samples as .npy (.npz for several inputs)")
    settings = {
        "opset": opset,
        "shapes": parse_shapes(shapes),
        "signature": signature,
        "samples": str(Path(samples).resolve()) if samples is not None else None,
        "count": SAMPLES,
        "trust": trust,
    }
    if kind.startswith("keras"):
        check_keras(Path(path))
    python = python_for(kind, python)
    with tempfile.TemporaryDirectory(prefix="onnx_from_") as name:
        folder = Path(name)
        run_framework(kind, path, folder, settings, python)
        model = _finish(folder / "raw.onnx", path, kind, samples is not None)
        with np.load(folder / "samples.npz") as arrays:
            inputs = [arrays[f"in{i}"] for i in range(sum(key.startswith("in") for key in arrays.files))]
            outputs = [arrays[f"out{i}"] for i in range(len(arrays.files) - len(inputs))]
        states, ranges = _states_of(model, folder), _ranges_of(folder)
    arrays = one_by_one(model, [*inputs, *outputs])
    inputs, outputs = arrays[: len(inputs)], arrays[len(inputs) :]
    feeds = feeds_of(model, inputs)
    rows = iter(range(len(feeds)))
    sizes = [int(np.prod(shape)) for _, shape, _ in outputs_of(model)] + [0] * len(outputs)

    def source(_: Dict[str, np.ndarray]) -> List[np.ndarray]:
        row = next(rows)
        return [_both_classes(array[row], size) for array, size in zip(outputs, sizes)]

    if tolerance is None:
        tolerance = INT8_TOLERANCE if is_qdq(model) else TOLERANCE
    found = differences(model, source, feeds, path, ranges)
    require_equal(found, tolerance, path)
    if all(zero for _, _, zero in states):
        # Others cannot begin as they must: the generated program's states begin as zeros.
        note_states(model, {before: after for before, after, _ in states})
    save_model(model, output)
    if samples_out is not None:
        with whole_file(samples_out) as half, open(half, "wb") as file:
            np.savez(file, **{name: np.stack([feed[name] for feed in feeds]) for name in feeds[0]})
    return Converted(model, kind, python, found, states)


def _ranges_of(folder: Path) -> List[float]:
    """How large a value each int8 output can hold; 0 of the others."""
    ports = folder / "quantization.json"
    outputs = json.loads(ports.read_text())["outputs"] if ports.exists() else []
    return [port[0] * (np.iinfo(port[2]).max - np.iinfo(port[2]).min) if port else 0.0 for port in outputs]


def _states_of(model: onnx.ModelProto, folder: Path) -> List[Tuple[str, str, bool]]:
    """`Converted.states`: the last inputs and outputs, where the source kept any."""
    if not (folder / "states.json").exists():
        return []
    states = json.loads((folder / "states.json").read_text())
    inputs, outputs = inputs_of(model)[-len(states) :], outputs_of(model)[-len(states) :]
    return [(i[0], o[0], state["zero"]) for i, o, state in zip(inputs, outputs, states)]


def _of_espdl(
    path: str | os.PathLike,
    output: str | os.PathLike,
    opset: int,
    signature: Optional[str],
    tolerance: Optional[float],
    as_float: bool,
) -> Converted:
    """`convert` for ESP-DL's files, which are read here; compared on the values that the file itself has, if any."""
    raw, network = read_espdl(path, opset, as_float, signature)
    with tempfile.TemporaryDirectory(prefix="onnx_from_") as folder:
        model = _loaded(raw, Path(folder), path)
    known, found = known_values(network), []
    if known is not None:
        feeds = feeds_of(model, [array[None] for array in known[0].values()])
        found = differences(model, lambda _: list(known[1].values()), feeds, path)
        require_equal(found, INT8_TOLERANCE if tolerance is None else tolerance, path)
    save_model(model, output)
    return Converted(model, "espdl", sys.executable, found)


def _loaded(model: onnx.ModelProto, folder: Path, path: str | os.PathLike) -> onnx.ModelProto:
    """A model just converted from `path`, in the form of `load_model`; errors name `path`."""
    finished = folder / "finished.onnx"
    finished.write_bytes(model.SerializeToString())
    try:
        return load_model(finished)
    except UserError as error:
        raise UserError(str(error).replace(str(finished), str(path)))


def _both_classes(score: np.ndarray, size: int) -> np.ndarray:
    """scikit-learn's decision function of two classes is one score; ONNX may give minus it, and it."""
    return np.concatenate([-score.ravel(), score.ravel()]) if size == 2 and score.size == 1 else score


def _finish(raw: Path, path: str | os.PathLike, kind: str, real_samples: bool) -> onnx.ModelProto:
    """The output of the framework's converter with standard operators and float inputs and outputs, checked."""
    model = onnx.load(str(raw))
    if kind == "sklearn":
        standardize(model, path)
    ports = raw.with_name("quantization.json")
    if ports.exists():
        with_float_ports(model, **json.loads(ports.read_text()))
    if is_qdq(model) and not real_samples:
        raise UserError(
            f"{path}: is quantized, and right only for inputs of the range that it was made for: give some of them "
            "to compare on: --samples calib.npy"
        )
    return _loaded(model, raw.parent, path)


def summary(result: Converted, path: str | os.PathLike, output: str | os.PathLike) -> List[str]:
    """The lines the script prints."""

    def ports(values: Sequence[Tuple]) -> str:
        return ", ".join(f"'{shown(name)}' {dtype}{list(shape)}" for name, shape, dtype in values)

    model = result.model
    lines = [
        f"{KINDS[result.kind].text} {path} -> {output} (opset {opset_of(model)}, {len(model.graph.node)} operators)",
        f"inputs: {ports(inputs_of(model))}",
        f"outputs: {ports(outputs_of(model))}",
    ]
    lines += [f"largest difference to the source: {difference}" for difference in result.differences]
    lines += [
        f"state: output '{shown(after)}' is input '{shown(before)}' of the next call"
        + (", zeros before the first" if zero else ", before the first as in --samples_out")
        + ("; the generated program keeps it" if states_of(model) else "; the application carries it")
        for before, after, zero in result.states
    ]
    if result.kind == "espdl" and not result.differences:
        lines.append("note: the file has no test values, so what the model computes was compared with nothing")
    if is_qdq(model):
        lines.append(
            "note: it is quantized: make deploy and esp_quantize_onnx.py take it as it is (docs/quantization.md)"
        )
    if result.kind == "sklearn" and _scales_its_input(model):
        lines.append(
            "note: it begins with a scaler. In int8 all features have one scale, and the small ones are lost: scale in "
            "float before the model, and convert what follows the scaler (docs/from-sklearn.md)"
        )
    return lines


def _scales_its_input(model: onnx.ModelProto) -> bool:
    (name, _, _), *_ = inputs_of(model)
    return any(name in node.input and node.op_type in ("Sub", "Mul", "Div", "Add") for node in model.graph.node)
