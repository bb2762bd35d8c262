"""Where every activation lies in the arena.

TVM's planner (USMP) cannot let an operator write over its own input; here that is the rule wherever the kernel
allows it and the input is not needed any more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Set

from .aot import Lowered, Value
from .operators import OPERATORS
from .partition import Partitioned

ALIGNMENT = 16


@dataclass
class Block:
    """Memory that one value, or several in turn, hold from step `first` to step `last` (inclusive)."""

    size: int
    first: int
    last: int
    values: List[Value] = field(default_factory=list)
    offset: int = 0

    def meets(self, other: "Block") -> bool:
        """Whether both are alive at some step."""
        return self.first <= other.last and other.first <= self.last


@dataclass
class MemoryPlan:
    """arena_bytes; blocks with their offsets; where: value -> block.

    aliases: values that lie in a model input's own buffer (a reshape of it), mapped to that input
    skipped: indices of steps that need no code, because input and output are the same memory
    """

    arena_bytes: int
    blocks: List[Block]
    where: Dict[Value, Block]
    aliases: Dict[Value, Value]
    skipped: Set[int]
    scratch_offset: int = 0


def _aligned(size: int) -> int:
    return (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


def plan_memory(lowered: Lowered, partitioned: Partitioned) -> MemoryPlan:
    """Greedy by size: each block at the lowest offset where no block alive at the same time lies."""
    steps = lowered.steps
    last_use: Dict[Value, int] = {}
    for index, step in enumerate(steps):
        for value in step.arguments:
            last_use[value] = index
    where: Dict[Value, Block] = {}
    aliases: Dict[Value, Value] = {}
    skipped: Set[int] = set()
    blocks: List[Block] = []
    for index, step in enumerate(steps):
        for value in step.results:
            call = partitioned.calls.get(step.symbol)
            source = _input_to_overwrite(index, step, call, last_use, where, lowered)
            if call is not None and call.operator == "reshape" and value.kind == "value":
                argument = aliases.get(step.arguments[0], step.arguments[0])
                if argument.kind == "input":
                    aliases[value] = argument
                    skipped.add(index)
                    continue
                if argument in where:
                    source = argument
                    skipped.add(index)
            if value.kind == "output":
                continue
            end = last_use.get(value, index)
            if source is not None:
                block = where[source]
                block.last = max(block.last, end)
                block.values.append(value)
            else:
                block = Block(_aligned(lowered.bytes[value]), index, end, [value])
                blocks.append(block)
            where[value] = block
    arena = _place(blocks)
    scratch = _aligned(lowered.scratch_bytes)
    return MemoryPlan(arena + scratch, blocks, where, aliases, skipped, arena)


def _input_to_overwrite(index, step, call, last_use, where, lowered):
    """An input whose memory the result may take: same size, not needed later, and the kernel allows it."""
    if call is None or not OPERATORS[call.operator].in_place or len(step.results) != 1:
        return None
    result = step.results[0]
    if result.kind != "value":
        return None
    for value in step.arguments:
        block = where.get(value)
        # A block's end is beyond this step when another value in it (a reshape's source) is still needed.
        if block is not None and last_use[value] == index and block.last == index:
            if lowered.bytes[value] == lowered.bytes[result]:
                return value
    return None


def _place(blocks: List[Block]) -> int:
    """Set the offsets; returns the size of the arena."""
    placed: List[Block] = []
    for block in sorted(blocks, key=lambda b: (-b.size, b.first)):
        offset = 0
        for other in sorted((b for b in placed if b.meets(block)), key=lambda b: b.offset):
            if offset + block.size <= other.offset:
                break
            offset = max(offset, other.offset + other.size)
        block.offset = offset
        placed.append(block)
    return max((b.offset + b.size for b in placed), default=0)
