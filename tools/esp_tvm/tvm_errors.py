"""What TVM says when it fails, as one line for people."""

from __future__ import annotations

import re

from .naming import one_line

# "[03:55:47] /path/of/the/builder/src/relay/x.cc:123: ", and kinds of error before the text proper
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
