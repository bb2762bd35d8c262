"""Running a script of the project: its environment, its log, its progress and its end."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Dict, List, Optional, Sequence

from ..children import child
from .words import WATCHED, WORD_EVERY, StepError, Terminated, say

PYTHON = ".venv/bin/python"
# The time for a step to clean up after it was asked to end.
_GRACE = 10.0


def set_up() -> str:
    """Create the environment if it does not exist; returns the folder to put on PYTHONPATH."""
    with child(["scripts/setup.sh"], stdout=subprocess.PIPE, text=True) as process:
        try:
            folder = process.communicate()[0]
        except KeyboardInterrupt:
            _interrupted(process)
            raise
    check(process.returncode)
    return folder.strip()


def environment(python_path: str) -> Dict[str, str]:
    """The environment variables for scripts of the project."""
    ours = {"PYTHONPATH": python_path, "TOPHUB_LOCATION": "NONE", "PYTHONUNBUFFERED": "1", WATCHED: "1"}
    return {**{name: value for name, value in os.environ.items() if name != "PYTHONHOME"}, **ours}


def catch_signals() -> None:
    """From now on SIGTERM and SIGHUP end the running step first, then this process."""

    def end(number: int, frame: object) -> None:
        raise Terminated(number)

    for one in (signal.SIGTERM, signal.SIGHUP):
        # An ignored signal (nohup) stays ignored.
        if signal.getsignal(one) is not signal.SIG_IGN:
            signal.signal(one, end)


class _Watch:
    """Reports occasionally that a silent step is still running: on a terminal in a line that is overwritten."""

    def __init__(self, step: str) -> None:
        self.step, self.begin = step, time.monotonic()
        self.next = self.begin + WORD_EVERY
        self.shown = False
        self.terminal = sys.stderr.isatty()

    def silent(self) -> None:
        now = time.monotonic()
        if self.terminal and now - self.begin > 2:
            print(f"\r== {self.step}: {now - self.begin:.0f} s ", end="", file=sys.stderr, flush=True)
            self.shown = True
        elif not self.terminal and now >= self.next:
            say(f"== {self.step}: still at work after {now - self.begin:.0f} s")
            self.next = now + WORD_EVERY

    def heard(self) -> None:
        self.next = time.monotonic() + WORD_EVERY
        if self.shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
            self.shown = False


def run(
    step: str,
    command: Sequence[str],
    python_path: str,
    log: Path,
    lock: Optional[IO],
    show: bool = True,
) -> str:
    """Run a script of the project with its environment's Python; what it prints also goes to `log` and is returned.

    lock: kept open by the script too: OUT stays locked while a script works there, even if this process has ended
    """
    pass_on = [lock.fileno()] if lock else []
    options = {"stdout": subprocess.PIPE, "env": environment(python_path), "pass_fds": pass_on}
    watch = _Watch(step)
    with child([PYTHON, *command], _end, **options) as process:
        try:
            with open(log, "wb") as file:
                _copy(process.stdout, file, watch, show)
            status = process.wait()
        except KeyboardInterrupt:
            _interrupted(process)
            raise
        finally:
            watch.heard()
    check(status)
    return log.read_text("utf-8", "replace")


def run_live(command: List[str], python_path: str) -> None:
    """Run a script that reads standard input while it arrives and writes to standard output."""
    with child([PYTHON, *command], _end, env=environment(python_path)) as process:
        try:
            status = process.wait()
        except KeyboardInterrupt:
            _interrupted(process)
            raise
    check(status)


def _interrupted(process: subprocess.Popen) -> None:
    """Ctrl-C reached the script too, which cleans up. Where it says so itself, this process has nothing to say."""
    if process.wait() == 128 + signal.SIGINT:
        raise StepError(status=128 + signal.SIGINT)


def check(status: int) -> None:
    """A failed step has already reported why."""
    if status != 0:
        raise StepError(status=status if status > 0 else 128 - status)


def _copy(source: IO[bytes], log: IO[bytes], watch: _Watch, show: bool) -> None:
    while True:
        if not select.select([source], [], [], 1.0)[0]:
            watch.silent()
            continue
        block = source.read1(1 << 16)
        if not block:
            return
        watch.heard()
        log.write(block)
        if show:
            sys.stdout.buffer.write(block)
            sys.stdout.buffer.flush()


def _end(process: subprocess.Popen) -> None:
    """End the script, first with SIGTERM, then with SIGKILL. It reports itself that it was ended."""
    process.terminate()
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        say("terminated")
