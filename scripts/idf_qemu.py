"""Runs a command that shows a program in QEMU, and ends it when the program has printed PASS or FAIL.

    python3 scripts/idf_qemu.py idf.py -C build/kws/new_project qemu

Exit code: 0 after PASS, 1 after FAIL or a crash of the program, 2 if it printed neither within QEMU_TIMEOUT seconds.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading

TIMEOUT = float(os.environ.get("QEMU_TIMEOUT") or 300)
VERDICT = re.compile(r"\b(?P<word>PASS|FAIL): |Guru Meditation Error|abort\(\) was called|assert failed")


def watch(command: list[str], timeout: float) -> int:
    """Run `command`, show what it prints, end it and all that it started after the program's verdict."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    late = threading.Event()

    def end() -> None:
        late.set()
        os.killpg(process.pid, signal.SIGTERM)

    timer = threading.Timer(timeout, end)
    timer.start()
    verdict = None
    try:
        for line in process.stdout:
            text = line.decode(errors="replace").rstrip("\r\n")
            print(text, flush=True)
            verdict = VERDICT.search(text)
            if verdict:
                break
    finally:
        timer.cancel()
        try:
            os.killpg(process.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
        process.wait()
    if verdict:
        return 0 if verdict.group("word") == "PASS" else 1
    why = f"said neither PASS nor FAIL within {timeout:.0f} s" if late.is_set() else "ended without PASS or FAIL"
    print(f"error: the program in QEMU {why}; see what stands above", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(watch(sys.argv[1:], TIMEOUT))
