"""Networks with their projects and the logs that these print, for the tests of `compare`."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
from qdq import QdqBuilder

from esp_tvm.project.export import export_onnx_model
from esp_tvm.quantize import quantize_onnx
from esp_tvm.report.compare_log import LogComparer, describe_run, judge
from esp_tvm.run.host import MODEL
from esp_tvm.run.host_log import LoggingProgram
from esp_tvm.trace.log import LogReader

REPO = Path(__file__).resolve().parents[1]
TEMPLATE = REPO / "template_project_for_model"
CODE = MODEL / "codegen" / "host"


class LoggedNetwork:
    """A model, its project, samples, and what the project's log says of them."""

    def __init__(self, folder: Path, model_path: Path, samples: np.ndarray, sample_path: Path):
        self.folder, self.model_path, self.sample_path = folder, model_path, sample_path
        self.project = export_onnx_model("host", str(model_path), str(sample_path), str(TEMPLATE), str(folder))
        self.model = onnx.load(str(model_path))
        self.samples = {self.model.graph.input[0].name: samples}
        self.comparer = LogComparer(self.project, self.samples)
        self.log = {mode: LoggingProgram(self.project, mode).log(self.samples) for mode in ("checksums", "tensors")}

    def compare(self, log: str):
        """(equal, all that is printed)."""
        reader, comparisons, lines = LogReader(), [], []
        for comparison in self.comparer.runs(log.splitlines(), reader):
            comparisons.append(comparison)
            lines += describe_run(comparison, len(comparisons))
        equal, verdict = judge(comparisons, reader)
        return equal, "\n".join([*lines, verdict])

    def log_of_changed(self, tmp_path: Path, change, mode: str) -> str:
        """The log of a copy of the project after `change(source folder)`."""
        copy = tmp_path / "project"
        shutil.copytree(self.project, copy)
        change(copy / CODE / "src")
        return LoggingProgram(copy, mode).log(self.samples)

    def step(self, operator: str, number: int):
        """(step, kernel call) of the `number`th call of an operator."""
        found = [
            (e.step, one)
            for e in self.comparer.expected
            for one in (e.call, *e.call.followers)
            if one.operator == operator
        ]
        return found[number]


def small_model() -> onnx.ModelProto:
    b = QdqBuilder(seed=3)
    x = b.input("image", [1, 3, 12, 10], -4)
    x = b.conv(x, [8, 3, 3, 3], -2, e_w=[-8, -7, -9, -8, -7, -8, -8, -8], relu=True, name="first", pads=[1, 1, 1, 1])
    x = b.conv(x, [8, 1, 3, 3], 0, name="second", group=8, strides=[2, 1])
    x = b.conv(x, [6, 8, 1, 1], 2, relu=True, name="third")
    x = b.quantize(b.node("GlobalAveragePool", [x]), 1)
    b.quantize(b.node("Flatten", [x]), 1, "scores")
    b.output("scores", [1, 6])
    return b.model()


def small_network(folder: Path) -> LoggedNetwork:
    onnx.save(small_model(), str(folder / "model.onnx"))
    samples = np.random.RandomState(1).randn(2, 1, 3, 12, 10).astype(np.float32) * 3
    np.save(folder / "sample.npy", samples[0])
    return LoggedNetwork(folder, folder / "model.onnx", samples, folder / "sample.npy")


def quickly_quantized(source: Path, folder: Path) -> Path:
    """model_quant.onnx in `folder`, of model.onnx and calib.npy in `source`; the scales need not be good."""
    from esp_tvm.preprocess import preprocess_onnx

    preprocess_onnx(str(source / "model.onnx"), str(folder / "model_opt.onnx"))
    options = {"method": "minmax", "equalize": False, "fit": False, "centre": False, "correct_bias": False}
    quantize_onnx(
        str(folder / "model_opt.onnx"), str(folder / "model_quant.onnx"), str(source / "calib.npy"), **options
    )
    return folder / "model_quant.onnx"


def shared_network(source: Path, folder: Path) -> LoggedNetwork:
    model = quickly_quantized(source, folder)
    sample = np.load(source / "input_sample.npy")
    shape = [d.dim_value for d in onnx.load(str(model)).graph.input[0].type.tensor_type.shape.dim]
    return LoggedNetwork(folder, model, sample.reshape([1, *shape]), source / "input_sample.npy")
