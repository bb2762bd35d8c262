#!/usr/bin/env python3
"""Compile an exported project for RV32IMC, run it in QEMU, and compare its outputs with the reference's.

The sub-command emulate of esp-tvm, by the documented names of its options.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from esp_tvm import cli  # noqa: E402

if __name__ == "__main__":
    cli.script("emulate")
