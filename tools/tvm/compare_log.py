#!/usr/bin/env python3
"""Compare the log of a board, an emulator or the host with the reference; name the first layer that differs.

The sub-command compare of esp-tvm, by the documented names of its options.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from esp_tvm import cli  # noqa: E402

if __name__ == "__main__":
    cli.script("compare")
