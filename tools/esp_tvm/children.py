"""Processes that do not outlive what started them, also where a signal comes in the instant in which they start."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from typing import Any, Callable, Iterator, List, Optional, Sequence, Union

# Signals that ask a process to end.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def signals_wait() -> Iterator[None]:
    """Delays signals that Python code handles until after this block: an exception raised while a process is started
    would be lost, occur twice, or leave a process that nobody knows of."""
    if threading.current_thread() is not threading.main_thread():
        # Only the main thread runs handlers.
        yield
        return
    waiting: List[int] = []
    handlers = {number: signal.getsignal(number) for number in ENDING}
    handlers = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in handlers:
        signal.signal(number, lambda number, frame: waiting.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in waiting:
            os.kill(os.getpid(), number)


def _kill(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()


@contextlib.contextmanager
def child(
    command: Sequence[Union[str, os.PathLike]], end: Callable[[subprocess.Popen], None] = _kill, **options: Any
) -> Iterator[subprocess.Popen]:
    """A process for this block, with the `options` of Popen. Where the block ends by an exception, `end` ends it."""
    process: Optional[subprocess.Popen] = None
    try:
        with signals_wait():
            process = subprocess.Popen(command, **options)
        yield process
    except BaseException:
        if process is not None and process.poll() is None:
            end(process)
        raise


def run_child(
    command: Sequence[Union[str, os.PathLike]],
    input: Optional[bytes] = None,
    timeout: Optional[float] = None,
    **options: Any,
) -> subprocess.CompletedProcess:
    """As `subprocess.run`, for programs that work for long; TimeoutExpired has no output."""
    if input is not None:
        options["stdin"] = subprocess.PIPE
    with child(command, **options) as process:
        stdout, stderr = process.communicate(input, timeout)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


__all__ = ["ENDING", "child", "run_child", "signals_wait"]
