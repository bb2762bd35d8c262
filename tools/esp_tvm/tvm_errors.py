"""Reduces TVM's errors to one line for users, and suppresses its internal messages."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from typing import Iterator, List

from .naming import one_line

# "[03:55:47] /path/of/the/builder/src/relay/x.cc:123: ", and kinds of error before the actual text
_ORIGIN = re.compile(r"^(\[\d\d:\d\d:\d\d\] )?\S+\.(cc|cpp|h|hpp|py):\d+: ")
_ORIGIN_INSIDE = re.compile(r":? \[\d\d:\d\d:\d\d\] \S+\.(cc|cpp|h|hpp):\d+: ")
_KIND = re.compile(r"^[\w.]*(Error|Exception): ")
# TVM's checks: the condition in C++, the values of its sides, then often what it means
_CHECK = re.compile(r"^Check failed: (?P<condition>.*?(?: is false|\([^()]* vs\. [^()]*\))) ?: ?(?P<meaning>.*)")
_NOISE = re.compile(
    r"(?i)^(traceback|stack trace|file \"|\[bt\]|\d+: |-+$|an (internal )?(invariant|error) (was violated|occurred)"
    r"|for more information|.*please (see|report|read|check)|.*https?://|\^)"
)
_DIAGNOSTIC = "one or more error diagnostics were emitted"
# A log line of its library: "[03:55:47] /path/of/the/builder/src/te/schedule/bound.cc:123: not in feed graph consumer"
_LOGGED = re.compile(r"^\[\d\d:\d\d:\d\d\] \S+\.(cc|cpp|h|hpp):\d+: ")


@contextlib.contextmanager
def without_tvm_log() -> Iterator[None]:
    """Remove the log lines of TVM's library from standard error; everything else is written there at the end.

    These lines are about TVM's internals and do not help a user to change the model. Also usable as a decorator. After
    an error, TVM's printouts of its program are removed too: the error gives the reason.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    lines: List[str] = []
    try:
        with tempfile.TemporaryFile() as caught:
            # TVM's library writes to the file descriptor, not through Python.
            os.dup2(caught.fileno(), 2)
            try:
                yield
            finally:
                sys.stderr.flush()
                os.dup2(kept, 2)
            caught.seek(0)
            lines = caught.read().decode("utf-8", "replace").splitlines(keepends=True)
    finally:
        os.close(kept)
    os.write(2, "".join(line for line in lines if not _LOGGED.match(line)).encode())


def tvm_reason(error: BaseException, limit: int = 160) -> str:
    """The line of `error`'s text that says what is wrong, without TVM's stack, source files and conditions in C++."""
    text = str(error)
    if _DIAGNOSTIC in text:
        return "the shapes or types of an operator's inputs do not go together"
    lines = [_plain(line.strip()) for line in text.splitlines() if line.strip()]
    said = [line for line in lines if line and not _NOISE.match(line)]
    return one_line(said[-1] if said else type(error).__name__, limit)


def _plain(line: str) -> str:
    before = None
    while line != before:
        before = line
        line = _KIND.sub("", _ORIGIN.sub("", line))
    line = _ORIGIN_INSIDE.sub(": ", line)
    check = _CHECK.match(line)
    if check is None:
        return line
    return check.group("meaning") or f"a check inside TVM failed: {check.group('condition')}"
