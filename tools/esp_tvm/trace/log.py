"""Reads the trace of a generated program from a serial log that may contain other text.

Every line of the trace carries its own CRC-32, the model's hash, the run and the step, so lines may be lost, damaged
or mixed with others, and the chip may restart in between: what is read is right, and what is missing is known.
docs/trace.md describes the lines.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from dataclasses import dataclass, field
from typing import BinaryIO, Dict, Iterable, Iterator, List, Optional, Tuple

from ..naming import one_line

_LINE = re.compile(r"~tvm ([^~]*) ~([0-9a-f]{8})(?![0-9a-f])")
_MARK = "~tvm"
# Upper limits, since a log may contain anything.
_MOST_BYTES = 1 << 28
_LONGEST_LINE = 1 << 20
# The figures of a line about memory, in order: MHz of the CPU (0: unknown), bytes of the arena, of the free heap, of
# heap that was free at the least, of the task's stack that were never used.
MEMORY = ("mhz", "arena", "heap", "least_heap", "stack")
_HASH = re.compile(r"[0-9a-f]{1,16}")


@dataclass
class LoggedTensor:
    """One result of a step: its size and CRC-32 on the chip, the time it took, what it is, and its bytes if logged.

    chunks: offset -> the bytes that a line has from there on. Memory is only used for bytes in the log, not for sizes
    that it claims.
    """

    step: int
    part: int
    size: int
    crc: Optional[int]
    time: Optional[int] = None
    text: str = ""
    chunks: Dict[int, bytes] = field(default_factory=dict)

    def data(self) -> bytes:
        """All bytes up to the last that was logged; b"" where some in between are missing."""
        whole = bytearray()
        for start in sorted(self.chunks):
            if start > len(whole):
                return b""
            whole[start : start + len(self.chunks[start])] = self.chunks[start]
        return bytes(whole)

    @property
    def complete(self) -> bool:
        """Whether every byte was logged, and they match the CRC."""
        data = self.data() if self.crc is not None else b""
        return self.crc is not None and len(data) == self.size and zlib.crc32(data) == self.crc


@dataclass
class Run:
    """One inference in a log. inputs: index -> CRC-32; tensors: (step, part) -> tensor.

    times, memory: of a profile: step -> time; what the board said of its memory, see `MEMORY`
    began, ended: whether its first and last line were read; damaged: lines of the trace that could not be read
    """

    model_hash: str
    number: int
    steps: Optional[int] = None
    mode: Optional[str] = None
    unit: str = ""
    inputs: Dict[int, int] = field(default_factory=dict)
    tensors: Dict[Tuple[int, int], LoggedTensor] = field(default_factory=dict)
    times: Dict[int, int] = field(default_factory=dict)
    memory: Dict[str, int] = field(default_factory=dict)
    began: bool = False
    ended: bool = False
    layers: Optional[int] = None
    damaged: int = 0

    @property
    def is_profile(self) -> bool:
        """Whether it has times alone; its first line may be lost."""
        return self.mode == "profile" or bool(self.times)

    @property
    def last_step(self) -> int:
        """The last step whose layer was logged; the data of one in a loop come before the layers of others."""
        return max((step for (step, _), tensor in self.tensors.items() if tensor.crc is not None), default=-1)


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
            kind, model_hash, number = words[0], words[1], _whole(words[2])
            if not _HASH.fullmatch(model_hash):
                return
            read = _READERS[kind]
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
    """A layer that was already seen, or that precedes one: the chip restarted and its first line is lost."""
    if words[0] == "input":
        return bool(run.tensors)
    try:
        return words[0] == "layer" and _whole(words[3]) < run.last_step
    except (IndexError, ValueError):
        return False  # a damaged line, which is counted where it is read


def _whole(word: str) -> int:
    """A number of the trace: at most 64 bits, never negative; `ValueError` for anything else."""
    if len(word) > 20:
        raise ValueError
    number = int(word)
    if number < 0:
        raise ValueError
    return number


def _begin(run: Run, words: List[str]) -> None:
    run.began = True
    run.steps, run.mode, run.unit = _whole(words[3]), one_line(words[4], 20), one_line(words[5], 20)


def _input(run: Run, words: List[str]) -> None:
    run.inputs[_whole(words[3])] = int(words[5][:9], 16)


def _tensor(run: Run, words: List[str]) -> LoggedTensor:
    key = _whole(words[3]), _whole(words[4])
    return run.tensors.setdefault(key, LoggedTensor(*key, 0, None))


def _layer(run: Run, words: List[str]) -> None:
    tensor = _tensor(run, words)
    tensor.size, tensor.crc, tensor.time = _whole(words[5]), int(words[6][:9], 16), _whole(words[7])
    tensor.text = one_line(words[8])
    if tensor.size > _MOST_BYTES:
        raise ValueError


def _data(run: Run, words: List[str]) -> None:
    tensor = _tensor(run, words)
    start, chunk = _whole(words[5]), base64.b64decode(words[6], validate=True)
    if start + len(chunk) > (tensor.size if tensor.crc is not None else _MOST_BYTES):
        raise ValueError
    tensor.chunks[start] = chunk


def _time(run: Run, words: List[str]) -> None:
    run.times[_whole(words[3])] = _whole(words[4])


def _memory(run: Run, words: List[str]) -> None:
    run.memory = {name: _whole(word) for name, word in zip(MEMORY, words[3:]) if word != "-"}


def _end(run: Run, words: List[str]) -> None:
    run.layers, run.ended = _whole(words[3]), True


_READERS = {
    "begin": _begin,
    "input": _input,
    "layer": _layer,
    "data": _data,
    "time": _time,
    "memory": _memory,
    "end": _end,
}


def text_lines(stream: BinaryIO) -> Iterator[str]:
    """The lines of a log as it comes: any bytes, ended by \\n; what is longer than a line can be comes in parts."""
    for line in iter(lambda: stream.readline(_LONGEST_LINE), b""):
        yield line.decode("ascii", "replace")
