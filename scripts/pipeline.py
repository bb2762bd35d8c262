"""Starts the steps behind the make targets (tools/esp_tvm/steps), with whatever Python is there.

scripts/pipeline.sh GOAL      with MODEL, CALIB, INPUT, TARGET, OUT, ... in the environment
"""

import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))

if __name__ == "__main__":
    # Until there is something that can be told or undone, Ctrl-C just ends it; an ignored one stays ignored.
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Every make with variables asks for their names first, and needs little of what the steps do.
    if sys.argv[1:2] == ["names"]:
        from esp_tvm.steps.names import main
    else:
        from esp_tvm.steps.__main__ import main
    signal.signal(signal.SIGINT, usual)
    sys.exit(main(sys.argv[1:]))
