"""DFT and STFT as products: the numbers of NumPy's FFT, and kernels in int8."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper
from small_models import model_of, random

from esp_tvm.model import load_model, session


def loaded(tmp_path, nodes, x, constants=(), opset=17):
    """The model as it is read: of one input x and one output y, of any shape."""
    model = model_of(nodes, {"x": x.shape}, {"y": None}, constants, opset, check=False)
    onnx.save(model, str(tmp_path / "model.onnx"))
    return load_model(tmp_path / "model.onnx")


def computed(tmp_path, nodes, x, constants=(), opset=17):
    model = loaded(tmp_path, nodes, x, constants, opset)
    assert not {node.op_type for node in model.graph.node} & {"DFT", "STFT"}
    return session(model).run(None, {"x": x})[0]


def parts(values):
    return np.stack([values.real, values.imag], axis=-1)


@pytest.mark.parametrize("opset", [17, 20])
@pytest.mark.parametrize(
    "shape, axis, length, options",
    [
        ((2, 12, 1), 1, None, {}),
        ((2, 12, 1), 1, None, {"onesided": 1}),
        ((2, 12, 1), 1, 16, {"onesided": 1}),
        ((2, 13, 1), 1, 9, {}),
        ((2, 3, 10, 2), 2, None, {}),
        ((2, 7, 4, 2), 1, None, {"inverse": 1}),
        ((2, 7, 4, 2), -3, 6, {"inverse": 1}),
    ],
)
def test_dft(tmp_path, shape, axis, length, options, opset):
    x, constants, names = random(*shape), {}, ["x"]
    if length is not None:
        constants["n"] = np.int64(length)
        names.append("n")
    if opset == 20:
        constants["a"] = np.int64(axis)
        names += [""] * (2 - len(names)) + ["a"]
    else:
        options = {**options, "axis": axis}
    got = computed(tmp_path, [helper.make_node("DFT", names, ["y"], "dft", **options)], x, constants, opset)
    whole = x[..., 0] + 1j * x[..., 1] if shape[-1] == 2 else x[..., 0]
    along = axis % len(shape)
    transform = np.fft.ifft if options.get("inverse") else np.fft.rfft if options.get("onesided") else np.fft.fft
    wanted = parts(transform(whole, length, axis=along))
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("channels, onesided, window", [(0, 1, "hann"), (1, 0, "hann"), (0, 1, "")])
def test_stft(tmp_path, channels, onesided, window):
    x = random(2, 70)
    constants = {"s": np.int64(12), "w": np.hanning(24).astype(np.float32), "l": np.int64(24)}
    names = ["x", "s", "w"] if window else ["x", "s", "", "l"]
    node = helper.make_node("STFT", names, ["y"], "stft", onesided=onesided)
    given = x[..., None] if channels else x
    got = computed(tmp_path, [node], given, {name: constants[name] for name in names[1:] if name})
    pieces = np.stack([x[:, start : start + 24] for start in range(0, 70 - 24 + 1, 12)], axis=1)
    pieces = pieces * (constants["w"] if window else 1)
    wanted = parts((np.fft.rfft if onesided else np.fft.fft)(pieces, axis=-1))
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)


def test_a_spectrogram_has_kernels(tmp_path):
    """As torch.stft and abs leave it: a convolution, squares, their sum."""
    pytest.importorskip("tvm")
    from pipeline_harness import Kernels, run_model

    nodes = [
        helper.make_node("STFT", ["x", "s", "w"], ["f"], "stft"),
        helper.make_node("Mul", ["f", "f"], ["q"], "squares"),
        helper.make_node("ReduceSum", ["q", "a"], ["p"], "power", keepdims=0),
        helper.make_node("MatMul", ["p", "m"], ["y"], "bands"),
    ]
    constants = {
        "s": np.int64(16),
        "w": np.hanning(32).astype(np.float32),
        "a": np.array([3], np.int64),
        "m": np.abs(random(17, 6)),
    }
    x = random(8, 1, 96)
    model = loaded(tmp_path, nodes, x[0], constants)
    result = run_model(model, {"x": x}, Kernels(sanitize=False))
    assert result.comparison.equal and not result.compiled.program.fallbacks
    assert "conv2d" in result.kernels
    error = result.ours["y"] - result.floats["y"]
    assert 20 * np.log10(np.std(result.floats["y"]) / np.std(error)) > 20


def test_what_is_too_long_is_left(tmp_path):
    """A matrix for a signal of 1100 would have more than two million values."""
    x = random(1, 40, 1)
    nodes = [
        helper.make_node("Abs", ["x"], ["b"], "abs"),
        helper.make_node("DFT", ["b"], ["f"], "dft", axis=1),
        helper.make_node("ReduceSum", ["f"], ["y"], "sum", keepdims=1),
    ]
    long = random(1, 1100, 1)
    assert "DFT" not in {node.op_type for node in loaded(tmp_path, nodes, x).graph.node}
    assert "DFT" in {node.op_type for node in loaded(tmp_path, nodes, long).graph.node}
