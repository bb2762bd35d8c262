#!/usr/bin/env python3
"""Pictures or sound to a model's input, by a YAML beside the model: arrays to calibrate with, and C for the board.

The sub-command frontend of esp-tvm, by the documented names of its options.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from esp_tvm import cli  # noqa: E402

if __name__ == "__main__":
    cli.script("frontend")
