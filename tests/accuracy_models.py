"""The network that the tests of accuracy share, its samples, and what ONNX Runtime computes of it."""

import numpy as np
import onnxruntime
from onnx import helper
from small_models import model_of, random

node = helper.make_node


def residual_model(uneven=True):
    """Two convolutions with a sum around them, depthwise, pooling, dense; channels of very different ranges."""
    spread = np.exp2(np.arange(8) - 4).astype(np.float32) if uneven else np.ones(8, np.float32)
    constants = {
        "w1": random(8, 3, 3, 3, scale=0.3) * spread[:, None, None, None],
        "b1": random(8) * spread,
        "w2": random(8, 8, 3, 3, scale=0.1) / spread[None, :, None, None] * spread[:, None, None, None],
        "w3": random(8, 1, 3, 3, scale=0.4),
        "w4": random(6, 8, 1, 1, scale=0.4) / spread[None, :, None, None],
        "w5": random(5, 6, scale=0.4),
        "b5": random(5),
    }
    pads = {"pads": [1, 1, 1, 1]}
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c1"], **pads),
        node("Relu", ["c1"], ["r1"]),
        node("Conv", ["r1", "w2"], ["c2"], **pads),
        node("Add", ["r1", "c2"], ["s"]),
        node("Relu", ["s"], ["r2"]),
        node("Conv", ["r2", "w3"], ["c3"], group=8, **pads),
        node("Relu", ["c3"], ["r3"]),
        node("Conv", ["r3", "w4"], ["c4"]),
        node("Relu", ["c4"], ["r4"]),
        node("GlobalAveragePool", ["r4"], ["g"]),
        node("Flatten", ["g"], ["f"]),
        node("Gemm", ["f", "w5", "b5"], ["y"], transB=1),
    ]
    return model_of(nodes, {"x": [1, 3, 8, 8]}, {"y": [1, 5]}, constants)


SAMPLES = {"x": random(24, 1, 3, 8, 8, seed=7)}
NEW = {"x": random(24, 1, 3, 8, 8, seed=8)}


def run(model, samples=SAMPLES):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return np.concatenate([session.run(None, {"x": x})[0] for x in samples["x"]])


def same_function(a, b, samples=SAMPLES):
    ours, theirs = run(a, samples), run(b, samples)
    assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max()
