#!/usr/bin/env python3
"""Run the generated C on a test set, beside the float model: accuracy, classes mixed up, the worst samples.

The sub-command evaluate of esp-tvm, by the documented names of its options.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from esp_tvm import cli  # noqa: E402

if __name__ == "__main__":
    cli.script("evaluate")
