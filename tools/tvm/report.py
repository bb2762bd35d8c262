#!/usr/bin/env python3
"""Write the report of an exported model: one HTML file that needs no network, and the same as text.

The sub-command report of esp-tvm, by the documented names of its options.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from esp_tvm import cli  # noqa: E402

if __name__ == "__main__":
    cli.script("report")
