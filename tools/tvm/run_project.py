#!/usr/bin/env python3
"""Compile an exported project for this machine, run it, and compare every layer with the references.

The sub-command run of esp-tvm, by the documented names of its options.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from esp_tvm import cli  # noqa: E402

if __name__ == "__main__":
    cli.script("run")
