"""Libraries in C++ read a model in a process of their own: what kills them kills no run.

onnx's checker, shape inference and version converter, the optimizers and ONNX Runtime end the process (SIGSEGV, SIGFPE,
abort) on some damaged or hostile models, or take all memory or time.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import resource
import select
import signal
import struct
import sys
import threading
import time
from typing import Callable, Dict, Iterator, List, Tuple

# Address space beyond what this process has already, and beyond what the model's own size calls for.
_MEMORY = 6 << 30
_SECONDS = 120.0
# What asks a process to end.
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STAGE, _RESULT, _ERROR, _NO_MEMORY = b"S", b"R", b"E", b"M"


class Died(Exception):
    """The child did not finish. stage: what it was at (as `work` told it); how: "ends in a crash (SIGSEGV)", ..."""

    def __init__(self, stage: str, how: str):
        super().__init__(f"{stage} {how}")
        self.stage, self.how = stage, how


def run_apart(work: Callable[[Callable[[str], None]], bytes], model_bytes: int = 0, seconds: float = _SECONDS) -> bytes:
    """What `work(tell)` returns, computed in a child process; `tell(stage)` says what it begins with.

    Raises `Died` where the child crashes, runs out of memory or is not done after `seconds`, and `RuntimeError` with
    the text of what `work` raised. Where processes cannot be forked (Windows) it runs here.
    """
    if not hasattr(os, "fork"):
        return work(lambda stage: None)
    if sys.stdout is not None:  # redirected to nothing
        sys.stdout.flush()
    sys.stderr.flush()
    read, write = os.pipe()
    stage, found, in_time, child = "it", {}, True, 0
    try:
        with _signals_wait():
            child = os.fork()
            if child == 0:
                _child(work, write, model_bytes)
        os.close(write)
        for tag, payload in _messages(read, time.monotonic() + seconds):
            if tag == _STAGE:
                stage = payload.decode()
            else:
                found[tag] = payload
    except TimeoutError:
        in_time = False
    finally:
        os.close(read)
        # Where it is not done, or this process was interrupted.
        if child:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
    return _outcome(stage, found, in_time, status, seconds)


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """Signals that Python code handles come after this block: raised in a fork, an exception is lost or comes twice."""
    if threading.current_thread() is not threading.main_thread():
        # Only the main thread runs handlers.
        yield
        return
    waiting: List[int] = []
    handlers = {number: signal.getsignal(number) for number in _ENDING}
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


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """Without what a library writes to the file descriptor itself: the caller says in one line what is wrong."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _outcome(stage: str, found: Dict[bytes, bytes], in_time: bool, status: int, seconds: float) -> bytes:
    if _RESULT in found:
        return found[_RESULT]
    if _ERROR in found:
        raise RuntimeError(found[_ERROR].decode("utf-8", "replace"))
    if not in_time:
        raise Died(stage, f"takes more than {seconds:.0f} seconds")
    if _NO_MEMORY in found or not os.WIFSIGNALED(status):
        raise Died(stage, "runs out of memory")
    raise Died(stage, f"ends in a crash ({signal.Signals(os.WTERMSIG(status)).name})")


def _messages(read: int, end: float) -> Iterator[Tuple[bytes, bytes]]:
    """(tag, payload) of what the child writes, until it is gone; TimeoutError at `end` of `time.monotonic`."""
    buffer = bytearray()
    while True:
        ready, _, _ = select.select([read], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            raise TimeoutError
        more = os.read(read, 1 << 20)
        if not more:
            return
        buffer += more
        while len(buffer) >= 9:
            (size,) = struct.unpack_from("<Q", buffer, 1)
            if len(buffer) < 9 + size:
                break
            yield bytes(buffer[:1]), bytes(buffer[9 : 9 + size])
            del buffer[: 9 + size]


def _child(work: Callable[[Callable[[str], None]], bytes], write: int, model_bytes: int) -> None:
    """Never returns, and prints nothing."""

    def send(tag: bytes, payload: bytes) -> None:
        rest = memoryview(tag + struct.pack("<Q", len(payload)) + payload)
        while rest:
            rest = rest[os.write(write, rest) :]

    try:
        for number in _ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        faulthandler.disable()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _limit_memory(_MEMORY + 20 * model_bytes)
        try:
            send(_RESULT, work(lambda stage: send(_STAGE, stage.encode())))
        except MemoryError:
            send(_NO_MEMORY, b"")
        except Exception as error:  # These libraries raise anything.
            send(_ERROR, str(error).encode("utf-8", "replace"))
    finally:
        os._exit(0)


def _limit_memory(more: int) -> None:
    """No more than `more` bytes of address space beyond what there is."""
    with contextlib.suppress(OSError, ValueError):
        with open("/proc/self/statm") as file:
            now = int(file.read().split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        wanted = now + more
        resource.setrlimit(resource.RLIMIT_AS, (wanted if hard < 0 else min(wanted, hard), hard))
