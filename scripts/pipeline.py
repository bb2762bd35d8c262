"""Starts the steps behind the make targets (tools/esp_tvm/steps), with whatever Python is there.

scripts/pipeline.sh GOAL      with MODEL, CALIB, INPUT, TARGET, OUT, ... in the environment
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))

from esp_tvm.steps.__main__ import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
