"""The files of examples/digits: what its README says of them holds."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

DIGITS = Path(__file__).resolve().parents[1] / "examples" / "digits"


def load(name):
    return np.load(DIGITS / name, allow_pickle=False)


def test_model_is_as_pytorch_exports_and_small():
    model = onnx.load(str(DIGITS / "model.onnx"))
    onnx.checker.check_model(model)
    assert (DIGITS / "model.onnx").stat().st_size < 100_000
    assert [opset.version for opset in model.opset_import if opset.domain == ""] == [13]
    (image,) = model.graph.input
    dims = image.type.tensor_type.shape.dim
    assert image.name == "image" and dims[0].dim_param == "batch" and [d.dim_value for d in dims[1:]] == [1, 8, 8]
    operators = {node.op_type for node in model.graph.node}
    assert {"Conv", "Relu", "Add", "Gemm", "Softmax"} <= operators
    groups = [a.i for node in model.graph.node for a in node.attribute if a.name == "group"]
    assert max(groups) > 1, "no depthwise convolution"


@pytest.mark.parametrize("name, count", [("calib.npy", 200), ("test.npy", 450)])
def test_images_are_pixels_of_the_documented_range(name, count):
    images = load(name)
    assert images.dtype == np.float32 and images.shape == (count, 1, 8, 8)
    assert images.min() == 0 and images.max() == 16 and np.array_equal(images, np.round(images))


def test_nothing_is_calibrated_on_what_is_tested():
    digests = [{hashlib.sha256(image.tobytes()).digest() for image in load(name)} for name in ("calib.npy", "test.npy")]
    assert not digests[0] & digests[1]
    sample = load("input_sample.npy").reshape(1, 8, 8)
    assert any(np.array_equal(sample, image) for image in load("test.npy"))


def test_float_accuracy():
    session = onnxruntime.InferenceSession(str(DIGITS / "model.onnx"), providers=["CPUExecutionProvider"])
    (probabilities,) = session.run(None, {"image": load("test.npy")})
    labels = load("test_labels.npy")
    assert probabilities.shape == (450, 10) and np.bincount(labels).min() >= 40
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (probabilities.argmax(axis=1) == labels).mean() >= 0.97
