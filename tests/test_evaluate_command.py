"""The command evaluate: the generated C on a labelled test set beside the float model, and what the report shows."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from make_harness import ALL, Project
from onnx import TensorProto, helper

pytest.importorskip("tvm")

from pipeline_harness import Kernels, Program  # noqa: E402

from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.program.form import Port  # noqa: E402
from esp_tvm.project.export import export_onnx_model  # noqa: E402
from esp_tvm.report.command import write_report  # noqa: E402
from esp_tvm.test_set import command as command_module  # noqa: E402
from esp_tvm.test_set.command import evaluate_project  # noqa: E402
from esp_tvm.test_set.count import OutputCounter  # noqa: E402
from esp_tvm.test_set.labels import Labels, load_labels  # noqa: E402

REPO = Path(__file__).resolve().parents[1]
DIGITS = REPO / "examples" / "digits"
TEMPLATE = REPO / "template_project_for_model"


def port(*shape: int, dtype: str = "float32", name: str = "scores") -> Port:
    return Port(name, shape, dtype)


# --- labels -----------------------------------------------------------------------------------------------


def loaded(folder: Path, values, output: Port, count: int) -> Labels:
    np.save(folder / "labels.npy", values)
    return load_labels(folder / "labels.npy", [output], count)[output.name]


@pytest.mark.parametrize(
    "values",
    [
        np.array([2, 0, 1], np.uint8),
        np.array([[2], [0], [1]], np.int64),
        np.eye(3, dtype=np.float32)[[2, 0, 1]],
        np.eye(3, dtype=np.int32)[[2, 0, 1]],
    ],
)
def test_classes_are_read_as_indices_and_one_hot(tmp_path, values):
    labels = loaded(tmp_path, values, port(1, 3), 3)
    assert labels.targets is None and labels.classes.tolist() == [2, 0, 1] and labels.classes.dtype == np.int64


@pytest.mark.parametrize("shape", [(2, 3), (2, 1, 3)])
def test_floats_of_the_output_s_shape_are_targets(tmp_path, shape):
    values = np.arange(6, dtype=np.float32).reshape(shape)
    labels = loaded(tmp_path, values, port(1, 3), 2)
    assert labels.classes is None and labels.targets.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_one_value_has_targets_or_two_classes(tmp_path):
    assert loaded(tmp_path, np.array([0.5, 2.0]), port(1, 1), 2).targets.tolist() == [[0.5], [2.0]]
    assert loaded(tmp_path, np.array([False, True]), port(1, 1), 2).classes.tolist() == [0, 1]
    assert loaded(tmp_path, np.array([7, 900]), port(1, dtype="int64"), 2).classes.tolist() == [7, 900]


@pytest.mark.parametrize(
    "values, shape, words",
    [
        (np.array([0, 1]), (1, 3), "has 2 labels (int64 [2]), the test set has 3 samples"),
        (np.int64(1), (1, 3), "has 1 labels"),
        (np.array([0, 3, 1]), (1, 3), "the label of sample 1 is 3, and of output 'scores' classes are 0 to 2"),
        (np.array([0, 1, -1]), (1, 3), "the label of sample 2 is -1"),
        (np.array([0, 2**64 - 1, 1], np.uint64), (1, 3), "the label of sample 1 is 18446744073709551615"),
        (np.array([0.0, np.nan, 1.0]), (1, 1), "the label of sample 1 is or has NaN or infinity"),
        (np.array([[0.0] * 3, [1.0] * 3, [np.inf] * 3]), (1, 3), "the label of sample 2 is or has NaN"),
        (np.array(["a", "b", "c"]), (1, 3), "holds <U1 [3]; labels are whole numbers"),
        (np.array([0.0, 1.0, 2.0]), (1, 3), "holds float64 [3]; it needs whole numbers [3] as classes"),
        (np.zeros((3, 4), np.float32), (1, 3), "holds float32 [3, 4]; it needs whole numbers [3]"),
        (np.array([0, 2, 1]), (1, 1), "classes are 0 to 1; save targets, which are no classes, as float32"),
        (np.array([0, 1, 1]), (1, 2, 2), "tells no classes"),
        (np.zeros((3, 0)), (1, 3), "has 3 labels (float64 [3, 0])"),
    ],
)
def test_bad_labels_are_refused_in_one_line(tmp_path, values, shape, words):
    with pytest.raises(UserError) as error:
        loaded(tmp_path, values, port(*shape), 3)
    assert words in str(error.value) and "labels.npy" in str(error.value) and str(error.value).isprintable()


def test_files_that_hold_no_labels_are_refused(tmp_path):
    outputs = [port(1, 3, name="a"), port(1, 1, name="b")]
    np.save(tmp_path / "one.npy", np.zeros(2, np.int64))
    np.savez(tmp_path / "other.npz", c=np.zeros(2, np.int64))
    np.save(tmp_path / "objects.npy", np.array([{}, {}]), allow_pickle=True)
    (tmp_path / "text.npy").write_text("0 1")
    with zipfile.ZipFile(tmp_path / "empty.npz", "w") as archive:
        archive.writestr("a.npy", "")
    for name, words in {
        "one.npy": "the outputs 'a', 'b'; give an .npz",
        "other.npz": "'c' is no output of the model",
        "objects.npy": "holds Python objects",
        "empty.npz": "'a': is no array",
        "text.npy": "is not a .npy or .npz file",
        "none.npy": "no such file",
        ".": "is a folder",
    }.items():
        with pytest.raises(UserError, match=words):
            load_labels(tmp_path / name, outputs, 2)
    np.savez(tmp_path / "some.npz", b=np.array([1, 0]))
    found = load_labels(tmp_path / "some.npz", outputs, 2)
    assert list(found) == ["b"] and found["b"].classes.tolist() == [1, 0]


# --- counting ---------------------------------------------------------------------------------------------


def counted(output: Port, labels, real, ours):
    counter = OutputCounter(output, labels)
    for pair in zip(np.asarray(real, np.float32), np.asarray(ours, np.float32)):
        counter.add(*pair)
    return counter.figures()


def test_accuracy_classes_and_confusions_are_counted():
    one = np.eye(3) * 4
    # Labels 0 0 1 2; float says 0 1 1 2, int8 says 0 1 2 2.
    figures = counted(port(1, 3), Labels(classes=np.array([0, 0, 1, 2])), one[[0, 1, 1, 2]], one[[0, 1, 2, 2]])
    assert (figures.float_accuracy, figures.int8_accuracy, figures.agreement) == (0.75, 0.5, 0.75)
    rows = [(c.label, c.samples, c.float_accuracy, c.int8_accuracy) for c in figures.classes]
    assert rows == [(0, 2, 0.5, 0.5), (1, 1, 1.0, 0.0), (2, 1, 1.0, 1.0)]
    pairs = [(c.label, c.taken_for, c.float_samples, c.int8_samples) for c in figures.confusions]
    assert pairs == [(0, 1, 1, 1), (1, 2, 0, 1)]
    # What int8 alone has wrong comes first, then what both have wrong.
    assert [(w.index, w.label, w.float_answer, w.int8_answer) for w in figures.worst[:2]] == [
        (2, 1, 1, 2),
        (1, 0, 1, 1),
    ]
    # Signal 4 * 16, noise 16 + 16; sample 0 is exact.
    assert figures.snr_db == round(10 * np.log10(64 / 32), 2)
    assert figures.worst[-1].snr_db is None or figures.worst[2].snr_db is None


def test_errors_of_targets_are_counted():
    targets = Labels(targets=np.array([[1.0, 2.0], [3.0, 4.0]]))
    figures = counted(port(1, 2), targets, [[1, 2], [3, 5]], [[1, 2.5], [5, 4]])
    assert figures.float_mean_absolute_error == 0.25 and figures.int8_mean_absolute_error == 0.625
    assert figures.float_accuracy is None and figures.agreement is None
    assert [(w.index, w.float_error, w.int8_error) for w in figures.worst] == [(1, 0.5, 1.0), (0, 0.0, 0.25)]


@pytest.mark.parametrize("real, threshold", [([0.2, 0.8, 0.6], 0.5), ([-3.0, 4.0, 0.2], 0.0)])
def test_one_value_is_a_probability_or_a_logit(real, threshold):
    labels = Labels(classes=np.array([0, 1, 1]))
    figures = counted(port(1, 1), labels, np.reshape(real, (3, 1)), np.reshape(real, (3, 1)) * [[1], [1], [-1]])
    assert figures.threshold == threshold and figures.float_accuracy == 1.0
    assert figures.int8_accuracy == 2 / 3 and figures.worst[0].index == 2


# --- projects ---------------------------------------------------------------------------------------------


def dense() -> onnx.ModelProto:
    """Four numbers to three scores."""
    weights = np.random.RandomState(0).randn(3, 4).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w"], ["scores"], "gemm", transB=1)],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    return model


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A folder with model.onnx, model_quant.onnx, test.npy (60 samples), labels.npy and new_project."""
    from esp_tvm.quantize import quantize_onnx

    folder = tmp_path_factory.mktemp("evaluate")
    samples = np.random.RandomState(1).randn(60, 1, 4).astype(np.float32)
    onnx.save(dense(), str(folder / "model.onnx"))
    np.save(folder / "test.npy", samples)
    np.save(folder / "one.npy", samples[0])
    np.save(folder / "labels.npy", np.random.RandomState(2).randint(0, 3, 60))
    quantize_onnx(str(folder / "model.onnx"), str(folder / "model_quant.onnx"), str(folder / "test.npy"))
    arguments = (str(folder / "model_quant.onnx"), str(folder / "one.npy"), str(TEMPLATE), str(folder))
    export_onnx_model("host", *arguments)
    return folder


@pytest.fixture(autouse=True)
def compiled_once(monkeypatch):
    """The kernels are compiled once for all projects; test_digits uses the real class."""
    monkeypatch.setattr(command_module, "HostProgram", host_program)


def host_program(folder: object) -> Program:
    return Program(Path(str(folder)), Kernels(sanitize=False))


def evaluated(folder: Path, **options) -> dict:
    evaluate_project(str(folder / "new_project"), str(folder / "model.onnx"), str(folder / "test.npy"), **options)
    return json.loads((folder / "evaluation.json").read_text())


def test_figures_are_those_of_the_generated_c(project, capsys):
    """Counted here once more, from what the C and a plain matrix product give."""
    figures = evaluated(project, labels_path=str(project / "labels.npy"))
    text = capsys.readouterr().out
    samples, labels = np.load(project / "test.npy"), np.load(project / "labels.npy")
    ours = host_program(project / "new_project").run({"x": samples})["scores"].reshape(60, 3)
    weights = onnx.numpy_helper.to_array(dense().graph.initializer[0])
    real = samples.reshape(60, 4) @ weights.T
    (output,) = figures["outputs"]
    assert figures["samples"] == 60 and figures["reference"] == "float" and figures["labels"] == "labels.npy"
    assert output["float_accuracy"] == pytest.approx((real.argmax(1) == labels).mean())
    assert output["int8_accuracy"] == pytest.approx((ours.argmax(1) == labels).mean())
    assert output["agreement"] == pytest.approx((real.argmax(1) == ours.argmax(1)).mean())
    ratio = 10 * np.log10((real**2).sum() / ((real - ours) ** 2).sum())
    assert output["snr_db"] == pytest.approx(ratio, abs=0.05)
    assert sum(c["int8_samples"] for c in output["confusions"]) == (ours.argmax(1) != labels).sum()
    assert f"accuracy float {100 * output['float_accuracy']:.1f} %" in text and "taken for" in text
    assert "60 samples" in text and "input 'x'" in text


def test_targets_and_no_labels(project, tmp_path, capsys):
    targets = np.random.RandomState(3).randn(60, 3).astype(np.float32)
    np.save(tmp_path / "targets.npy", targets)
    (output,) = evaluated(project, labels_path=str(tmp_path / "targets.npy"))["outputs"]
    real = np.load(project / "test.npy").reshape(60, 4) @ onnx.numpy_helper.to_array(dense().graph.initializer[0]).T
    assert output["float_mean_absolute_error"] == pytest.approx(np.abs(real - targets).mean(), rel=1e-5)
    assert "mean absolute error float" in capsys.readouterr().out
    figures = evaluated(project)
    assert figures["labels"] is None and figures["outputs"][0]["agreement"] > 0.8
    assert figures["outputs"][0]["float_accuracy"] is None and "accuracy" not in capsys.readouterr().out


def test_samples_that_look_wrong_are_warned_of(project, tmp_path, capsys):
    np.save(tmp_path / "far.npy", 1000 * np.load(project / "test.npy"))
    arguments = [str(project / name) for name in ("new_project", "model.onnx")]
    evaluate_project(*arguments, str(tmp_path / "far.npy"), output=str(tmp_path / "far.json"))
    assert "warning: input: input 'x': goes beyond" in capsys.readouterr().out


def test_the_report_shows_the_test_set_of_its_own_model(project, tmp_path, capsys):
    figures = evaluated(project, labels_path=str(project / "labels.npy"))
    arguments = [str(project / name) for name in ("new_project", "model_quant.onnx", "one.npy")]
    write_report(*arguments, str(tmp_path / "report.html"))
    page, text = ((tmp_path / name).read_text() for name in ("report.html", "report.txt"))
    accuracy = f"int8 {100 * figures['outputs'][0]['int8_accuracy']:.1f} %"
    assert 'id="test-set"' in page and accuracy in page and "TEST SET" in text and accuracy in text
    for content, why in (
        (json.dumps({**figures, "model_hash": "0" * 64}), "is of another model"),
        ("{}", "not written by"),
    ):
        (project / "evaluation.json").write_text(content)
        capsys.readouterr()
        write_report(*arguments, str(tmp_path / "report.html"))
        assert why in capsys.readouterr().out and 'id="test-set"' not in (tmp_path / "report.html").read_text()
    # The last is nobody's of ours: it stays.
    with pytest.raises(UserError, match="was not written by evaluate"):
        evaluated(project)
    assert (project / "evaluation.json").read_text() == "{}"
    (project / "evaluation.json").unlink()


def command(*arguments: object) -> subprocess.CompletedProcess:
    script = [sys.executable, str(REPO / "tools/tvm/evaluate_project.py"), *map(str, arguments)]
    return subprocess.run(script, capture_output=True, text=True)


def test_mistakes_end_in_one_line(project, tmp_path):
    np.save(tmp_path / "labels.npy", np.full(60, 3))
    other = dense()
    other.graph.input[0].name = other.graph.node[0].input[0] = "y"
    onnx.save(other, str(tmp_path / "other.onnx"))
    files = ["--project", project / "new_project", "--input", project / "test.npy", "--output", tmp_path / "e.json"]
    for more, words in (
        (["--model", project / "model.onnx", "--labels", tmp_path / "labels.npy"], "the label of sample 0 is 3"),
        (["--model", tmp_path / "other.onnx"], "input 'x' [1, 4] of the project is not in it"),
    ):
        done = command(*files, *more)
        (line,) = done.stderr.splitlines()
        assert done.returncode == 2 and line.startswith("error: ") and words in line
    assert not (tmp_path / "e.json").exists()


def test_int8_ports_and_a_quantized_model(project, tmp_path, capsys):
    """The float model sees the samples before they are rounded for the port; of a quantized one a note tells."""
    from esp_tvm.port_options import read_port_options

    arguments = (str(project / "model_quant.onnx"), str(project / "one.npy"), str(TEMPLATE), str(tmp_path))
    export_onnx_model("host", *arguments, ports=read_port_options(["int8"], ["int8"], []))
    for name in ("model.onnx", "test.npy"):
        shutil.copy(project / name, tmp_path)
    (own,), (plain,) = (evaluated(folder)["outputs"] for folder in (tmp_path, project))
    assert own == plain
    capsys.readouterr()
    shutil.copy(project / "model_quant.onnx", tmp_path / "model.onnx")
    figures = evaluated(tmp_path)
    assert figures["reference"] == "ONNX Runtime" and "is quantized itself" in capsys.readouterr().out


@pytest.mark.slow
def test_digits(tmp_path):
    from esp_tvm.quantize import quantize_onnx

    files = {name: str(DIGITS / name) for name in ("model.onnx", "calib.npy", "input_sample.npy", "test.npy")}
    quantize_onnx(files["model.onnx"], str(tmp_path / "q.onnx"), files["calib.npy"])
    export_onnx_model("host", str(tmp_path / "q.onnx"), files["input_sample.npy"], str(TEMPLATE), str(tmp_path))
    given = ["--model", files["model.onnx"], "--input", files["test.npy"], "--labels", DIGITS / "test_labels.npy"]
    done = command("--project", tmp_path / "new_project", *given)
    assert done.returncode == 0, done.stderr
    (output,) = json.loads((tmp_path / "evaluation.json").read_text())["outputs"]
    assert output["float_accuracy"] >= 0.97 and output["int8_accuracy"] >= output["float_accuracy"] - 0.01
    assert len(output["classes"]) == 10 and sum(c["samples"] for c in output["classes"]) == 450


def test_make_evaluates_the_last_model(repo, tmp_path):
    """After the steps were done, INPUT and LABELS suffice; the project is the one that was exported with one sample."""
    front = Project(repo, tmp_path / "a project")
    front.calls("export", *ALL)
    written = (front.folder / "build/a/new_project/main/input_data.h").read_text()
    assert front.calls("evaluate", "INPUT=many.npy", "LABELS=sample.npy") == ["evaluate_project"]
    figures = front.folder / "build/a/evaluation.json"
    for word in ("('--labels', 'sample.npy')", "('--input', 'many.npy')", "('--model', 'build/a/model_opt.onnx')"):
        assert word in figures.read_text()
    assert (front.folder / "build/a/new_project/main/input_data.h").read_text() == written
    assert (
        front.error("evaluate", "INPUT=many.npy", "LABELS=none.npy", *ALL[:2])
        == "error: LABELS=none.npy does not exist"
    )
    assert "INPUT is not set" in front.error("evaluate", *ALL[:2])
    front.make("clean", "MODEL=a.onnx")
    assert not figures.exists()
