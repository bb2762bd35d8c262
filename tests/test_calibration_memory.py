"""Calibration reads samples one by one: its memory does not grow with their number."""

import subprocess
import sys

import numpy as np
import pytest
from onnx import helper
from small_models import model_of, random

SAMPLES = 10_000
LIMIT_KB = 1_500_000

_RUN = """
import resource, runpy, sys
script = sys.argv[1]
sys.argv = sys.argv[1:]
try:
    runpy.run_path(script, run_name="__main__")
except SystemExit as done:
    assert not done.code, done.code
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(repo, folder, count):
    """Peak resident memory, in kB, of quantizing on `count` float32 samples of 96x96x3."""
    samples = np.lib.format.open_memmap(folder / "c.npy", "w+", np.float32, (count, 3, 96, 96))
    block = random(100, 3, 96, 96)
    for start in range(0, count, len(block)):
        samples[start : start + len(block)] = block
    samples.flush()
    del samples
    script = [str(repo / "tools/tvm/esp_quantize_onnx.py"), "--input_model", str(folder / "m.onnx")]
    script += ["--output_model", str(folder / "q.onnx"), "--calibrate_dataset", str(folder / "c.npy")]
    done = subprocess.run([sys.executable, "-c", _RUN, *script], capture_output=True, text=True)
    (folder / "c.npy").unlink()
    assert done.returncode == 0, done.stderr
    return int(done.stdout.rsplit("peak", 1)[1])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is counted in kB on Linux alone")
def test_ten_thousand_samples(repo, tmp_path):
    node = helper.make_node
    constants = {"w1": random(8, 3, 3, 3, scale=0.3), "w2": random(16, 8, 3, 3, scale=0.2), "w3": random(4, 16)}
    nodes = [
        node("Conv", ["x", "w1"], ["a"], strides=[2, 2], pads=[0, 0, 1, 1]),
        node("Relu", ["a"], ["b"]),
        node("Conv", ["b", "w2"], ["c"], strides=[2, 2], pads=[0, 0, 1, 1]),
        node("Relu", ["c"], ["d"]),
        node("GlobalAveragePool", ["d"], ["e"]),
        node("Flatten", ["e"], ["f"]),
        node("Gemm", ["f", "w3"], ["y"], transB=1),
    ]
    model = model_of(nodes, {"x": [1, 3, 96, 96]}, {"y": [1, 4]}, constants)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    all_of_them = peak(repo, tmp_path, SAMPLES)
    assert all_of_them < LIMIT_KB, f"{all_of_them} kB"
