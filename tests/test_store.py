"""A program as files of its project: complete, the same every time, and refused in one line when it is damaged."""

from __future__ import annotations

import copy
import json
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import REPO
from qdq import QdqBuilder

pytest.importorskip("tvm")

from pipeline_harness import compile_once_imported  # noqa: E402
from test_memory_plan import residual_network  # noqa: E402

from esp_tvm import arithmetic  # noqa: E402
from esp_tvm.compile import compile_model  # noqa: E402
from esp_tvm.compile.emitting.constants import constants_offsets  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.evaluate import NumpyEvaluator  # noqa: E402
from esp_tvm.operators import OPERATORS  # noqa: E402
from esp_tvm.program import store  # noqa: E402
from esp_tvm.program.evaluate import evaluate, in_model_order  # noqa: E402


def mixed_network():
    """Kernels with attributes of every sort, two outputs, and something that TVM computes."""
    b = QdqBuilder(seed=2)
    x = b.input("x", [1, 4, 6, 6], -4)
    x = b.conv(x, [8, 4, 3, 3], -3, relu=True, pads=[1, 1, 1, 1])
    y = b.quantize(b.node("Sigmoid", [x]), -7)
    y = b.quantize(b.node("Transpose", [y], perm=[0, 2, 3, 1]), -7)
    y = b.quantize(b.node("Softmax", [y], axis=-1), -7)
    b.quantize(b.node("ReduceMean", [y], axes=[1, 2], keepdims=0), -7, "mean")
    b.output("mean", [1, 8])
    b.output(b.node("Erf", [x], ["floating"]), [1, 8, 6, 6])
    return b.model()


COMPILED = {
    "one core": lambda: compile_once_imported(residual_network()),
    "esp32s3": lambda: compile_once_imported(residual_network(), chip="esp32s3"),
    "two cores": lambda: compile_once_imported(residual_network(), cores=2),
    "with a fallback": lambda: compile_once_imported(mixed_network()),
}


def saved(compiled, folder: Path) -> Path:
    (folder / store.MODEL).mkdir(parents=True)
    offsets = constants_offsets(compiled.program.constants)
    program = compiled.program
    store.save(program, folder / store.MODEL, "esp32s3", compiled.code.constants_bin, offsets, {"tvm": "0"})
    return folder


def facts(value, seen=None):
    """Everything in a program, as values that can be compared; what is not stored left out."""
    seen = {} if seen is None else seen
    if isinstance(value, np.ndarray):
        return [value.dtype.str, value.shape, value.tobytes()]
    if isinstance(value, np.generic):
        return facts(np.asarray(value))
    if isinstance(value, (list, tuple)):
        return [facts(item, seen) for item in value]
    if isinstance(value, dict):
        return {key: facts(item, seen) for key, item in value.items()}
    if hasattr(value, "cut"):
        return [value.axis, value.size, value.cut, value.saved]
    if hasattr(value, "__dict__"):
        if id(value) in seen:  # the same object, not an equal one
            return seen[id(value)]
        seen[id(value)] = f"{type(value).__name__} {len(seen)}"
        own = {k: v for k, v in vars(value).items() if k not in ("variant", "often", "fallback_source", "target_chip")}
        return [seen[id(value)], facts(own, seen)]
    return value


@pytest.mark.parametrize("name", COMPILED)
def test_what_is_read_is_what_was_written(name, tmp_path):
    compiled = COMPILED[name]()
    written, found = compiled.program, store.load(saved(compiled, tmp_path))
    assert facts(found) == facts(written)
    assert found.target_chip == "esp32s3" and found.constant_bytes == compiled.program.constant_bytes
    assert bool(found.fallbacks) == (name == "with a fallback")
    assert any(call.split is not None for call in found.calls()) == (name == "two cores")


@pytest.mark.parametrize("name", COMPILED)
def test_the_rules_give_what_they_gave_before_it_was_written(name, tmp_path):
    compiled = COMPILED[name]()
    program = store.load(saved(compiled, tmp_path))
    sample = {port.name: np.random.RandomState(0).randn(*port.shape).astype(np.float32) for port in program.inputs}
    wanted = NumpyEvaluator(compiled.imported, compiled.partitioned).run(sample)
    # What has no rule is given.
    floats = {tensor: wanted.outputs["floating"] for call in program.fallbacks for tensor in call.outputs}
    got = evaluate(program, sample, floats)
    for call in program.kernels:
        value = in_model_order(call.writes[0], got.values[call.writes[0]])
        assert value.tobytes() == wanted.tensors[call.symbol].tobytes(), call.title
    assert {key: array.tobytes() for key, array in got.outputs.items()} == {
        key: np.ascontiguousarray(array).tobytes() for key, array in wanted.outputs.items()
    }


def test_the_same_model_gives_the_same_files(tmp_path):
    folders = [saved(compile_model(mixed_network()), tmp_path / name) / store.MODEL for name in "ab"]
    for name in (store.METADATA, store.CONSTANTS, store.REFERENCE):
        one, other = ((folder / name).read_bytes() for folder in folders)
        assert one == other and one


@pytest.mark.parametrize("name", COMPILED)
def test_every_kernel_that_is_named_is_called(name, tmp_path):
    compiled = COMPILED[name]()
    calls = [call for call in store.load(saved(compiled, tmp_path)).kernels if not call.is_view]
    assert len(calls) >= 6
    for call in calls:
        body = re.split(rf"\n(?:int32_t|void) {call.symbol}\(", compiled.code.lib1)[1].split("\n}\n")[0]
        assert call.kernel and f"{call.kernel}(" in body, call.title


def test_every_operator_has_a_rule():
    assert all(callable(arithmetic.rule(operator)) for operator in OPERATORS)


def test_reading_needs_no_tvm():
    code = "import sys, esp_tvm.run.command, esp_tvm.report.command, esp_tvm.run.emulate, esp_tvm.report.compare_log\n"
    code += "print([name for name in sys.modules if name.split('.')[0] == 'tvm'])"
    environment = {"PYTHONPATH": str(REPO / "tools"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


# --- what is no project, or a damaged one -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return saved(compile_once_imported(mixed_network()), tmp_path_factory.mktemp("project"))


def changed(project: Path, folder: Path, change) -> Path:
    """A copy of the project whose metadata `change(content)` edits, or replaces by what it returns."""
    shutil.copytree(project, folder)
    path = folder / store.MODEL / store.METADATA
    content = json.loads(path.read_text())
    made = change(content)
    path.write_text(made if isinstance(made, str) else json.dumps(content if made is None else made))
    return folder


def first_kernel(content):
    return next(call for call in content["items"] if call["attributes"])


def put(*path_and_value):
    """A change that sets one place of the metadata."""
    *path, last, value = path_and_value

    def change(content):
        for key in path:
            content = content[key]
        content[last] = value

    return change


def drop(*path):
    def change(content):
        for key in path[:-1]:
            content = content[key]
        del content[path[-1]]

    return change


def unknown_rule(content):
    first_kernel(content)["operator"] = "exec"


def twice(content):
    content["items"].append(copy.deepcopy(content["items"][0]))


def unwritten(content):
    content["items"] = content["items"][:2]


def unread(content):
    content["items"][1:] = content["items"][:0:-1]


DAMAGED = {
    "another version": (put("version", 1), f"is of version 1, and this tool reads version {store.schema.VERSION}"),
    "a later version": (put("version", store.schema.VERSION + 1), f"is of version {store.schema.VERSION + 1}"),
    "a version that is text": (put("version", str(store.schema.VERSION)), f"is of version {store.schema.VERSION}"),
    "no version": (drop("version"), "is not the metadata of a project"),
    "a list": (lambda content: [content], "is not the metadata of a project"),
    "no JSON": (lambda content: '{"version": 4, ', "is damaged"),
    "empty": (lambda content: "", "is damaged"),
    "NaN": (lambda content: json.dumps({**content, "arena_bytes": float("nan")}), "NaN is no number"),
    "infinity": (put("items", 0, "overlap_distance", float("inf")), "Infinity is no number"),
    "nested deeply": (lambda content: "[" * 100_000, "is damaged"),
    "a missing field": (drop("items"), "items: Field required"),
    "a missing field of a call": (drop("items", 0, "kernel"), "kernel: Field required"),
    "an unknown field": (put("more", 1), "more: Extra inputs are not permitted"),
    "text for a number": (put("arena_bytes", "100"), "arena_bytes: Input should be a valid integer"),
    "a number for text": (put("items", 0, "symbol", 7), "symbol: Input should be a valid string"),
    "null": (put("tensors", None), "tensors: Input should be a valid list"),
    "a negative size": (put("tensors", 0, "shape", [-1, 4]), "greater than or equal to 0"),
    "a huge size": (put("tensors", 0, "shape", [2**30, 2**30, 4]), "is too large"),
    "a huge arena": (put("arena_bytes", 2**40), "arena_bytes: Input should be less than"),
    "an unknown type": (put("tensors", 0, "dtype", "object"), "dtype: Input should be"),
    "C in a name": (put("inputs", 0, "c_name", "x; system("), "c_name: String should match pattern"),
    "C in a symbol": (put("items", 0, "symbol", "f();//"), "symbol: String should match pattern"),
    "no such tensor": (put("items", 0, "inputs", [9999]), "there is no tensor 9999"),
    "no such rule": (unknown_rule, "no rule 'exec'"),
    "two calls of one index": (twice, "two calls have one index"),
    "an output that is not written": (unwritten, "is written by no call"),
    "calls in another order": (unread, "reads what no call has made"),
    "an order of axes that is none": (put("inputs", 0, "axes", [0, 0]), "its axes are no order"),
    "a port of another shape": (put("inputs", 0, "onnx_shape", [7]), "its shapes do not fit"),
    "a port of no type": (put("inputs", 0, "onnx_dtype", "bool"), "there is no way from bool to"),
    "pixels of floats": (
        put("inputs", 0, "pixels", {"scale": "1", "mean": ["0"], "std": ["1"], "axis": 0}),
        "its pixels do not fit its type and shape",
    ),
    "pixels divided by 0": (
        put("inputs", 0, "pixels", {"scale": "1", "mean": ["0"], "std": ["0"], "axis": 0}),
        "is not larger than 0",
    ),
    "one output of two states": (
        put("states", [{"input": n, "output": 0} for n in (0, 1)]),
        "an output is of two states",
    ),
    "a state that is no port": (put("states", [{"input": 0, "output": 99}]), "a state is no input and output"),
    "outside of the arena": (put("arena_bytes", 16), "beyond the end of its memory"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_damaged_is_refused_in_one_line(name, project, tmp_path):
    change, reason = DAMAGED[name]
    with pytest.raises(UserError) as caught:
        store.load(changed(project, tmp_path / "p", change))
    text = str(caught.value)
    assert reason in text and store.METADATA in text and text.endswith("; export the model again"), text
    assert "\n" not in text and len(text) < 600


@pytest.mark.parametrize("name", [store.CONSTANTS, store.REFERENCE])
@pytest.mark.parametrize("how", ["missing", "flipped", "cut"])
def test_the_files_beside_it_belong_to_it(name, how, project, tmp_path):
    shutil.copytree(project, tmp_path / "p")
    path = tmp_path / "p" / store.MODEL / name
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(content[:-1] if how == "cut" else content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(UserError, match=f"{name}: .*; export the model again$"):
        store.load(tmp_path / "p")


def test_a_folder_that_is_no_project(tmp_path):
    with pytest.raises(UserError, match="is not a project that the export step wrote; run export first"):
        store.load(tmp_path)


def places(value, path=()):
    """The paths of everything in some JSON."""
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield from places(item, (*path, key))


def test_random_changes_are_refused_or_do_no_harm(project, tmp_path):
    """Nothing but a UserError comes of any change, in reading and in computing."""
    path = tmp_path / "p" / store.MODEL / store.METADATA
    shutil.copytree(project, tmp_path / "p")
    original = json.loads(path.read_text())
    generator, paths = random.Random(4), list(places(original))[1:]
    values = [None, -1, 0, 1, 7, 2**31, 2**70, 1.5, "", "x", "int8", [], [1], {}, True]
    refused = 0
    for _ in range(300):
        content = copy.deepcopy(original)
        *outer, last = generator.choice(paths)
        inside = content
        for key in outer:
            inside = inside[key]
        inside[last] = generator.choice(values)
        path.write_text(json.dumps(content))
        try:
            program = store.load(tmp_path / "p")
            sample = {port.name: np.zeros(port.shape, port.dtype) for port in program.inputs}
            given = {t: np.zeros(t.shape, t.dtype) for call in program.fallbacks for t in call.outputs}
            evaluate(program, sample, given)
        except UserError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 150


@pytest.mark.parametrize("script", ["run_project.py", "report.py", "compare_log.py"])
def test_the_commands_say_it_in_one_line(script, project, tmp_path):
    folder = changed(project, tmp_path / "p", put("version", 1))
    import onnx

    onnx.save(mixed_network(), str(tmp_path / "model.onnx"))
    np.save(tmp_path / "x.npy", np.zeros((1, 4, 6, 6), np.float32))
    (tmp_path / "log.txt").write_text("")
    command = [sys.executable, str(REPO / "tools/tvm" / script), "--project", str(folder)]
    command += ["--model", str(tmp_path / "model.onnx"), "--input", str(tmp_path / "x.npy")]
    more = {"report.py": ["--output", str(tmp_path / "r.html")], "compare_log.py": ["--log", "log.txt"]}
    command += more.get(script, [])
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    assert "is of version 1" in done.stderr
