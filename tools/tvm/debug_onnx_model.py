#!/usr/bin/env python3
"""Run a quantized model's reference on one sample through TVM's debug executor and keep its dump.

The sub-command debug of esp-tvm, by the documented names of its options.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from esp_tvm import cli  # noqa: E402

if __name__ == "__main__":
    cli.script("debug")
