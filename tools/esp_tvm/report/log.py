"""Reads what the trace of a generated program printed, out of whatever else stands in a serial log.

Every line of the trace carries its own CRC-32, the model's hash, the run and the step, so lines may be lost, damaged
or mixed with others, and the chip may start anew in the middle: what is read is right, and what is missing is known.
docs/trace.md describes the lines.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from dataclasses import dataclass, field
from typing import Dict, Iterable, Iterator, List, Optional, Tuple

_LINE = re.compile(r"~tvm ([^~]*) ~([0-9a-f]{8})(?![0-9a-f])")
_MARK = "~tvm"
# Never trusted beyond this: a log is data.
_MOST_BYTES = 1 << 28


@dataclass
class LoggedTensor:
    """One result of a step: its size and CRC-32 on the chip, the time it took, what it is, and its bytes if logged.

    seen: which bytes of `data` were read, as (start, end), in the order of the log
    """

    step: int
    part: int
    size: int
    crc: Optional[int]
    time: Optional[int] = None
    text: str = ""
    data: bytearray = field(default_factory=bytearray)
    seen: List[Tuple[int, int]] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every byte was logged, and they are those the CRC was made of."""
        return self.crc is not None and len(self.data) == self.size and zlib.crc32(bytes(self.data)) == self.crc


@dataclass
class Run:
    """One inference in a log. inputs: index -> CRC-32; tensors: (step, part) -> tensor.

    began, ended: whether its first and last line were read; damaged: lines of the trace that could not be read
    """

    model_hash: str
    number: int
    steps: Optional[int] = None
    mode: Optional[str] = None
    unit: str = ""
    inputs: Dict[int, int] = field(default_factory=dict)
    tensors: Dict[Tuple[int, int], LoggedTensor] = field(default_factory=dict)
    began: bool = False
    ended: bool = False
    layers: Optional[int] = None
    damaged: int = 0

    @property
    def last_step(self) -> int:
        return max((step for step, _ in self.tensors), default=-1)


class LogReader:
    """Collects lines; `runs` yields each inference as soon as it is over.

    lines, trace_lines, damaged: counts of what was read; stray: damaged lines that belong to no run
    """

    def __init__(self) -> None:
        self.lines = self.trace_lines = self.damaged = 0
        self._run: Optional[Run] = None

    def runs(self, lines: Iterable[str]) -> Iterator[Run]:
        """The inferences in `lines`, in order."""
        for line in lines:
            self.lines += 1
            if _MARK not in line:
                continue
            good = 0
            for match in _LINE.finditer(line):
                text, crc = match.groups()
                if zlib.crc32(text.encode("ascii", "replace")) != int(crc, 16):
                    continue
                good += 1
                self.trace_lines += 1
                yield from self._take(text)
            if good < line.count(_MARK):
                self.damaged += 1
                if self._run is not None:
                    self._run.damaged += 1
        if self._run is not None:
            yield self._run
            self._run = None

    def _take(self, text: str) -> Iterator[Run]:
        words = text.split(" ", 8)
        try:
            kind, model_hash, number = words[0], words[1], int(words[2])
            read = {"begin": _begin, "input": _input, "layer": _layer, "data": _data, "end": _end}[kind]
        except (KeyError, IndexError, ValueError):
            return  # of a later version of the format
        run = self._run
        if (
            run is None
            or kind == "begin"
            or (run.model_hash, run.number) != (model_hash, number)
            or _goes_back(run, words)
        ):
            if run is not None:
                yield run
            self._run = run = Run(model_hash, number)
        try:
            read(run, words)
        except (IndexError, ValueError, binascii.Error):
            run.damaged += 1
        if run.ended:
            yield run
            self._run = None


def _goes_back(run: Run, words: List[str]) -> bool:
    """A layer that was there already, or lies before one that was: the chip started anew and its first line is lost."""
    if words[0] == "input":
        return bool(run.tensors)
    return words[0] == "layer" and int(words[3]) < run.last_step


def _begin(run: Run, words: List[str]) -> None:
    run.began = True
    run.steps, run.mode, run.unit = int(words[3]), words[4], words[5]


def _input(run: Run, words: List[str]) -> None:
    run.inputs[int(words[3])] = int(words[5], 16)


def _tensor(run: Run, words: List[str]) -> LoggedTensor:
    key = int(words[3]), int(words[4])
    return run.tensors.setdefault(key, LoggedTensor(*key, 0, None))


def _layer(run: Run, words: List[str]) -> None:
    tensor = _tensor(run, words)
    tensor.size, tensor.crc, tensor.time = int(words[5]), int(words[6], 16), int(words[7])
    tensor.text = words[8]
    if tensor.size > _MOST_BYTES:
        raise ValueError


def _data(run: Run, words: List[str]) -> None:
    tensor = _tensor(run, words)
    start, chunk = int(words[5]), base64.b64decode(words[6], validate=True)
    end = start + len(chunk)
    if start < 0 or end > (tensor.size if tensor.crc is not None else _MOST_BYTES):
        raise ValueError
    if len(tensor.data) < end:
        tensor.data.extend(bytes(end - len(tensor.data)))
    tensor.data[start:end] = chunk
    tensor.seen.append((start, end))


def _end(run: Run, words: List[str]) -> None:
    run.layers, run.ended = int(words[3]), True


def text_lines(stream: Iterable[bytes]) -> Iterator[str]:
    """The lines of a log as it comes: any bytes, ended by \\n."""
    for line in stream:
        yield line.decode("ascii", "replace")
