"""The ONNX project's own tests of single operators, through the pipeline: `make test-onnx-nodes`.

They ship in the `onnx` package with inputs and outputs that nobody here wrote. Float models are quantized with the
test's own data as calibration; what cannot be quantized is exported as it is. Each test ends in one of five ways:

  kernel     every operator in it runs in an integer kernel, and the result is right
  fallback   something in it runs in float through TVM's C, and the result is right
  refused    the pipeline says in one line why it does not take the model
  coarse     the result is that of the quantized model, which ONNX Runtime computes alike, but int8 is too coarse for it
  failed     anything else: a crash, a wrong result, C that differs from the reference
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import re
import signal
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Dict, List, Optional, Tuple

os.environ.setdefault("TOPHUB_LOCATION", "NONE")
REPO = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO / "tools"), str(REPO / "tests"), str(REPO / "tvm" / "python")]

import numpy as np  # noqa: E402
import onnx  # noqa: E402
import onnxruntime  # noqa: E402
from onnx import numpy_helper  # noqa: E402
from pipeline_harness import Kernels, Program, quantized_or_float, write_program  # noqa: E402

from esp_tvm import cli  # noqa: E402
from esp_tvm.compile import compile_model  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.evaluate import NumpyEvaluator  # noqa: E402
from esp_tvm.model import inputs_of, load_model, session  # noqa: E402
from esp_tvm.naming import one_line  # noqa: E402
from esp_tvm.program.evaluate import in_model_order  # noqa: E402
from esp_tvm.tvm_import import tvm  # noqa: E402

TABLE = REPO / "docs" / "onnx-node-tests.md"
WAYS = ("kernel", "fallback", "coarse", "refused", "failed")
# All inputs of these are activations; of every other operator the inputs after the first are constants.
_MANY = frozenset(
    "Add And BitShift Concat Div Equal Greater GreaterOrEqual Less LessOrEqual MatMul MatMulInteger Max Mean Min "
    "Mod Mul Or Pow Sub Sum Where Xor".split()
)
# Two activations, what lies between is constant.
_SCATTER = frozenset(("ScatterND", "ScatterElements", "Scatter"))


def node_tests() -> List[Path]:
    """The folders of all tests, each with model.onnx and test_data_set_*."""
    root = Path(onnx.__file__).parent / "backend" / "test" / "data" / "node"
    return sorted(path for path in root.iterdir() if (path / "model.onnx").is_file())


def read_case(folder: Path) -> Tuple[onnx.ModelProto, List[Dict[str, np.ndarray]], List[Dict[str, np.ndarray]]]:
    """(model with parameters as constants, inputs per data set, expected outputs per data set)."""
    model = onnx.load(str(folder / "model.onnx"))
    inputs, outputs = [], []
    for data in sorted(folder.glob("test_data_set_*")):
        inputs.append({v.name: _tensor(data / f"input_{i}.pb") for i, v in enumerate(model.graph.input)})
        outputs.append({v.name: _tensor(data / f"output_{i}.pb") for i, v in enumerate(model.graph.output)})
    graph = model.graph
    first = graph.node[0]
    activations = set(first.input[:1])
    if first.op_type in _MANY or len(graph.node) > 1:
        activations = {v.name for v in graph.input}
    elif first.op_type in _SCATTER:
        activations = {first.input[0], first.input[2]}
    same = all(_equal(one, inputs[0]) for one in inputs[1:])
    for value in list(graph.input):
        array = inputs[0].get(value.name)
        if value.name in activations or array is None or not same and len(inputs) > 1:
            continue
        graph.initializer.append(numpy_helper.from_array(array, value.name))
        graph.input.remove(value)
    return model, inputs, outputs


def _equal(one: Dict, other: Dict) -> bool:
    return all(np.array_equal(one[name], other[name]) for name in one)


def _tensor(path: Path) -> Optional[np.ndarray]:
    """None where the file is no tensor (a sequence, an optional value)."""
    tensor = onnx.TensorProto()
    try:
        tensor.ParseFromString(path.read_bytes())
        return numpy_helper.to_array(tensor)
    except Exception:
        return None


def run_case(folder: Path, kernels: Kernels) -> Tuple[str, str]:
    """(one of WAYS, what there is to say)."""
    try:
        return _run_case(folder, kernels)
    except UserError as error:
        return "refused", _plain(str(error))
    except Exception as error:
        return "failed", f"{type(error).__name__}: {_plain(str(error))[-300:]}"


def _plain(text: str) -> str:
    text = re.sub(r"\S*/(\w+\.onnx): ", "", one_line(text, 600))
    return re.sub(r"/tmp/\S+", "…", text)


def _run_case(folder: Path, kernels: Kernels) -> Tuple[str, str]:
    model, inputs, expected = read_case(folder)
    with tempfile.TemporaryDirectory(prefix="esp_tvm_node_") as scratch:
        path = Path(scratch) / "model.onnx"
        onnx.save(model, str(path))
        loaded = load_model(path)
        samples = {n: np.stack([data[n] for data in inputs]).astype(t) for n, _, t in inputs_of(loaded)}
        if not samples:
            raise UserError("the model has no inputs: it computes nothing from data")
        if any(array.size == 0 for array in samples.values()):
            raise UserError("an input is empty: it has an axis of size 0")
        quantized = quantized_or_float(loaded, samples)
        compiled = compile_model(quantized)
        program = Program(write_program(compiled, Path(scratch) / "project"), kernels)
        reference = NumpyEvaluator(compiled.imported, compiled.partitioned)
        wrong, coarse = [], []
        for index, (outputs, tensors) in enumerate(program.run_each(samples)):
            sample = {name: array[index] for name, array in samples.items()}
            wanted = reference.run(sample)
            for call in (one for one in program.program.kernels if not one.is_view):
                found = in_model_order(call.writes[0], tensors[call.writes[0]])
                if not _same(found, wanted.tensors[call.symbol]):
                    wrong.append(f"{call.operator} differs from its rule")
            rounded = _on_rounded_inputs(loaded, compiled, sample)
            for port in compiled.program.outputs:
                ours = outputs[port.name]
                if not _same(ours, wanted.outputs[port.name]) and not _close(
                    ours, wanted.outputs[port.name], 1e-6, 1e-6
                ):
                    wrong.append(f"output {port.name} differs from the reference")
                found = _check(
                    ours,
                    expected[index][port.name],
                    rounded.get(port.name),
                    port.exponent,
                    bool(compiled.program.computations),
                )
                if found and compiled.program.computations and _as_quantized(quantized, sample, port, ours):
                    coarse += found
                else:
                    wrong += found
        if wrong:
            return "failed", "; ".join(dict.fromkeys(wrong))
    if coarse:
        return "coarse", "; ".join(dict.fromkeys(coarse))
    if compiled.program.fallbacks:
        return "fallback", ""
    return "kernel", ""


def _on_rounded_inputs(model, compiled, sample) -> Dict[str, np.ndarray]:
    """What ONNX Runtime computes of the inputs as int8 holds them; nothing where it does not know the operator."""
    feeds = {}
    for port in compiled.program.inputs:
        values = sample[port.name]
        if port.exponent is not None and values.dtype == np.float32:
            values = np.clip(np.floor(values * np.float32(2.0**-port.exponent) + np.float32(0.5)), -128, 127)
            values = (values * np.float32(2.0**port.exponent)).astype(np.float32)
        feeds[port.name] = values
    names = [value.name for value in model.graph.output]
    try:
        return dict(zip(names, session(model).run(names, feeds)))
    except Exception:
        return {}


def _as_quantized(quantized, sample, port, ours: np.ndarray) -> bool:
    """Whether ONNX Runtime computes of the quantized model what the C does: whole numbers alike, others to 2 steps."""
    names = [value.name for value in quantized.graph.output]
    try:
        theirs = dict(zip(names, session(quantized).run(names, dict(sample))))[port.name]
    except Exception:
        return False
    if theirs.dtype.kind != "f" or ours.shape != theirs.shape:
        return np.array_equal(ours, theirs)
    step = 2.0**port.exponent if port.exponent is not None else 1e-3 * float(np.abs(theirs).max())
    return _close(ours, theirs, 1e-5, 2.0 * step)


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return np.ascontiguousarray(one).tobytes() == np.ascontiguousarray(other).tobytes()


def _close(one: np.ndarray, other: np.ndarray, relative: float, absolute: float) -> bool:
    if one.dtype.kind != "f":
        return False
    return np.allclose(one, other, rtol=relative, atol=absolute, equal_nan=True)


def _same_or_close_floats(one: np.ndarray, other: np.ndarray, fallbacks: bool) -> bool:
    """Equal bytes; behind TVM's float code, where exp and the like may round otherwise, to 1e-4 of the largest."""
    if _same(one, other):
        return True
    finite = np.abs(other[np.isfinite(other)]) if other.dtype.kind == "f" else np.zeros(0)
    return fallbacks and _close(one, other, 1e-4, 1e-4 * float(finite.max()) if finite.size else 0.0)


def _check(ours, expected, rounded, exponent: Optional[int], quantized: bool) -> List[str]:
    """What is wrong with a result.

    Quantized float results may lie two steps and a twentieth of the largest value beside what the test expects;
    others what float32 allows. Whole numbers and truth values must be those of the test, or (where it depends on
    how the inputs were rounded) those that ONNX Runtime computes of the rounded inputs.
    """
    if expected is None:
        return ["the expected output is no tensor"]
    if expected.dtype.kind == "f":
        expected = expected.astype(np.float32)  # as other floats are computed
    if ours.shape != expected.shape or ours.dtype != expected.dtype:
        return [f"it is {ours.dtype}{list(ours.shape)}, not {expected.dtype}{list(expected.shape)}"]
    if expected.dtype.kind != "f":
        fine = np.array_equal(ours, expected) or (rounded is not None and np.array_equal(ours, rounded))
        return [] if fine else ["its values are not those of the test"]
    finite = np.abs(expected[np.isfinite(expected)])
    largest = float(finite.max()) if finite.size else 0.0
    relative, absolute = 1e-3, max(1e-5, 1e-4 * largest)
    if quantized:
        absolute = 0.05 * largest + (2.0 * 2.0**exponent if exponent is not None else 0.0)
    if _close(ours, expected, relative, absolute) or (
        rounded is not None and _close(ours, rounded, relative, absolute)
    ):
        return []
    with np.errstate(all="ignore"):
        off = float(np.nanmax(np.abs(ours.astype(np.float64) - expected)))
    return [f"it is off by {off:.3g} (exponent {exponent})"]


# --- the table --------------------------------------------------------------------------------------------


# What results depend on: a result of other code says nothing of this one.
_CODE = ("tools/esp_tvm", "template_project_for_model/components/esp-dl", "tests/onnx_node_tests.py")


def state_of_code() -> str:
    """A short hash of all code that the tests run through, and of the versions behind it."""
    made = hashlib.sha256(f"{onnx.__version__} {onnxruntime.__version__} {tvm.__version__}".encode())
    for root in _CODE:
        path = REPO / root
        for file in sorted(p for p in [path, *path.rglob("*")] if p.suffix in (".py", ".c", ".h", ".S", ".j2")):
            made.update(f"{file.relative_to(REPO)}\0".encode() + file.read_bytes())
    return made.hexdigest()[:12]


def earlier_results(path: Path, code: str) -> Dict[str, dict]:
    """What an interrupted run of this very code found; raises `UserError` where it was other code."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); run without --continue")
    if not isinstance(found, dict) or found.get("code") != code:
        raise UserError(f"{path}: holds results of other code than today's; run without --continue")
    return found["results"]


def write_results(path: Path, code: str, results: Dict[str, dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"code": code, "results": results}, indent=1, sort_keys=True), encoding="utf-8")


def table(results: Dict[str, dict], code: str) -> str:
    """docs/onnx-node-tests.md."""
    by_operator: Dict[str, Dict[str, int]] = {}
    reasons: Dict[str, Dict[str, int]] = {}
    for result in results.values():
        row = by_operator.setdefault(result["operator"], dict.fromkeys(WAYS, 0))
        row[result["way"]] += 1
        if result["why"]:
            why = reasons.setdefault(result["operator"], {})
            why[result["why"]] = why.get(result["why"], 0) + 1
    totals = {way: sum(row[way] for row in by_operator.values()) for way in WAYS}
    lines = [
        "# The ONNX project's node tests",
        "",
        "Written by `make test-onnx-nodes`. Single operators with inputs and outputs that ship in the `onnx` package",
        f"({onnx.__version__}), through quantize, export and run; the tests' own data is the calibration.",
        "",
        f"All by one state of the code ({code}; ONNX Runtime {onnxruntime.__version__}, TVM {tvm.__version__}).",
        "",
        f"{len(results)} tests: {totals['kernel']} passed by kernels, {totals['fallback']} by fallback to TVM's C in",
        f"float, {totals['coarse']} are computed as",
        "ONNX Runtime computes the quantized model, but int8 is too coarse for what the test expects (values of very",
        f"different size in one tensor), {totals['refused']} are refused with a reason, {totals['failed']} failed.",
        "",
        "| operator | kernel | fallback | coarse | refused | failed |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for operator, row in sorted(by_operator.items()):
        lines.append(f"| {operator} | " + " | ".join(str(row[way] or "") for way in WAYS) + " |")
    lines += ["", "## Why", ""]
    for operator, why in sorted(reasons.items()):
        for text, count in sorted(why.items()):
            lines.append(f"- {operator} ({count}): {_for_markdown(text)}")
    return "\n".join(lines) + "\n"


def _for_markdown(text: str) -> str:
    return one_line(text, 200).replace("|", "\\|").replace("<", "&lt;")


_KERNELS: Optional[Kernels] = None
_SECONDS = 300


def _too_long(_signal, _frame):
    raise TimeoutError(f"not done after {_SECONDS} seconds")


def _work(folder: str) -> Tuple[str, dict]:
    warnings.simplefilter("ignore")
    path = Path(folder)
    operator = onnx.load(str(path / "model.onnx")).graph.node[0].op_type
    # What hangs has failed.
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(_SECONDS)
    way, why = run_case(path, _KERNELS)
    signal.alarm(0)
    return path.name, {"operator": operator, "way": way, "why": why}


def main() -> int:
    global _KERNELS
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pattern", nargs="*", help="only tests whose name contains one of these; writes no table")
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count() or 1, 4))
    parser.add_argument("--results", type=Path, default=REPO / "build" / "onnx-node-tests.json")
    parser.add_argument(
        "--continue", dest="resume", action="store_true", help="go on with an interrupted run of the same code"
    )
    parser.add_argument("--sanitize", action="store_true", help="compile with sanitizers (slow)")
    arguments = parser.parse_args()
    folders = node_tests()
    code = state_of_code()
    known: Dict[str, dict] = {}
    chosen = folders
    if arguments.pattern:
        chosen = [f for f in folders if any(p in f.name for p in arguments.pattern)]
    elif arguments.resume:
        known = earlier_results(arguments.results, code)
        chosen = [f for f in folders if known.get(f.name, {}).get("way") in (None, "failed")]
    _KERNELS = Kernels(sanitize=arguments.sanitize)
    # A process of its own for every few tests: what one leaves behind, or a crash, harms no other.
    # The end of the pool ends them by SIGTERM, of which this program makes a message.
    start = {"initializer": signal.signal, "initargs": (signal.SIGTERM, signal.SIG_DFL)}
    with multiprocessing.get_context("fork").Pool(arguments.jobs, maxtasksperchild=40, **start) as pool:
        for number, (name, result) in enumerate(pool.imap_unordered(_work, map(str, chosen), chunksize=1)):
            known[name] = result
            if arguments.pattern or result["way"] == "failed":
                print(f"{name}: {result['way']} {result['why']}", flush=True)
            if number % 20 == 19 and not arguments.pattern:
                write_results(arguments.results, code, known)
    if code != state_of_code():
        print("error: the code changed while the tests ran: run them again", file=sys.stderr)
        return 2
    counts = {way: sum(r["way"] == way for r in known.values()) for way in WAYS}
    print(", ".join(f"{count} {way}" for way, count in counts.items()))
    if not arguments.pattern:
        write_results(arguments.results, code, known)
        TABLE.write_text(table(known, code), encoding="utf-8")
    return 1 if any(known[f.name]["way"] == "failed" for f in chosen) else 0


if __name__ == "__main__":
    cli.run(main)
