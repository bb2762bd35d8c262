"""Runs C++ libraries that read a model in a separate process, so that a crash does not end the command.

onnx's checker, shape inference and version converter, the optimizers and ONNX Runtime end the process (SIGSEGV, SIGFPE,
abort) for some damaged or hostile models, or use all memory or run for ever.
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
import time
from typing import Callable, Dict, Iterator, Tuple

from .children import ENDING, signals_wait

# Extra address space beyond what this process has already and what the model's size requires.
_MEMORY = 6 << 30
_SECONDS = 120.0
_STAGE, _RESULT, _ERROR, _NO_MEMORY = b"S", b"R", b"E", b"M"


class Died(Exception):
    """The child process did not finish. stage: what it was doing (as reported by `work`); how: "ends in a crash
    (SIGSEGV)", ..."""

    def __init__(self, stage: str, how: str):
        super().__init__(f"{stage} {how}")
        self.stage, self.how = stage, how


def run_apart(work: Callable[[Callable[[str], None]], bytes], model_bytes: int = 0, seconds: float = _SECONDS) -> bytes:
    """What `work(tell)` returns, computed in a child process; `tell(stage)` reports what it starts with.

    Raises `Died` if the child crashes, runs out of memory or does not finish within `seconds`, and `RuntimeError` with
    the text of an exception of `work`. Where processes cannot be forked (Windows), `work` runs in this process.
    """
    if not hasattr(os, "fork"):
        return work(lambda stage: None)
    if sys.stdout is not None:  # redirected to nothing
        sys.stdout.flush()
    sys.stderr.flush()
    read, write = os.pipe()
    stage, found, in_time, child = "it", {}, True, 0
    try:
        with signals_wait():
            child = _fork(work, write, model_bytes)
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
        # It did not finish, or this process was interrupted.
        if child:
            status = _end(child)
    return _outcome(stage, found, in_time, status, seconds)


def _fork(work: Callable[[Callable[[str], None]], bytes], write: int, model_bytes: int) -> int:
    child = os.fork()
    if child == 0:
        _child(work, write, model_bytes)
    return child


def _end(child: int) -> int:
    """How the child ended, by itself or now, as `os.waitpid` says it."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """Suppresses what a library writes directly to the file descriptor: the caller reports the error in one line."""
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
    """(tag, payload) of the child's messages until it ends; TimeoutError when `time.monotonic` reaches `end`."""
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
        for number in ENDING:
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
        except Exception as error:  # These libraries raise many kinds of exceptions.
            send(_ERROR, str(error).encode("utf-8", "replace"))
    finally:
        os._exit(0)


def _limit_memory(more: int) -> None:
    """Limit the address space to `more` bytes beyond the current use."""
    with contextlib.suppress(OSError, ValueError):
        with open("/proc/self/statm") as file:
            now = int(file.read().split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        wanted = now + more
        resource.setrlimit(resource.RLIMIT_AS, (wanted if hard < 0 else min(wanted, hard), hard))
