#!/usr/bin/env python3
"""Convert a model of Keras, TensorFlow (Lite), PyTorch, scikit-learn or ESP-DL to ONNX; check that both compute the same.

The sub-command convert of esp-tvm, by the documented names of its options.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from esp_tvm import cli  # noqa: E402

if __name__ == "__main__":
    cli.script("convert")
