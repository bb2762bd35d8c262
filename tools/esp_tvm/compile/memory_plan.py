"""Where every activation and every kernel's scratch memory lies in the arena.

TVM's planner (USMP) keeps the inputs and outputs of an operator apart. Here

- an elementwise operator writes over an input that is not needed any more;
- a kernel that goes through its input from front to back may write to where it has read: its output then lies a known
  distance (`lead`) before its input, and both overlap;
- a convolution that is fused with the addition after it writes over the addend;
- the order in which blocks are placed is searched for, until the arena is as small as some step alone needs it to be.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Set, Tuple

from ..operators import OPERATORS
from .aot import Lowered, Value
from .partition import Partitioned
from .variants import Choices

ALIGNMENT = 16
_TRIALS = 300


@dataclass(eq=False)
class Block:
    """Memory that one value, or several in turn, hold from step `first` to step `last` (inclusive).

    leads: for a block whose output may overlap the input's block: input's block -> by how many bytes it has to start
    before the input does
    """

    size: int
    first: int
    last: int
    values: List[Value] = field(default_factory=list)
    offset: int = 0
    leads: Dict[Block, int] = field(default_factory=dict)

    def meets(self, other: Block) -> bool:
        """Whether both are alive at some step."""
        return self.first <= other.last and other.first <= self.last

    def conflicts(self, other: Block) -> bool:
        """Whether both are alive at some step and their memory overlaps more than their kernel allows."""
        if not self.meets(other):
            return False
        if self.offset + self.size <= other.offset or other.offset + other.size <= self.offset:
            return False
        if other in self.leads:
            return other.offset - self.offset < self.leads[other]
        if self in other.leads:
            return self.offset - other.offset < other.leads[self]
        return True


@dataclass
class MemoryPlan:
    """arena_bytes; blocks with their offsets; where: value -> block; scratch: step -> block of its scratch memory.

    aliases: values that lie in a model input's own buffer (a reshape of it), mapped to that input
    skipped: indices of steps that need no code: input and output are the same memory, or a later step does their work
    """

    arena_bytes: int
    blocks: List[Block]
    where: Dict[Value, Block]
    aliases: Dict[Value, Value]
    skipped: Set[int]
    scratch: Dict[int, Block] = field(default_factory=dict)
    scratch_offset: int = 0


def _aligned(size: int) -> int:
    return (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


def plan_memory(
    lowered: Lowered, partitioned: Partitioned, choices: Optional[Choices] = None, trials: int = _TRIALS
) -> MemoryPlan:
    """Place all values of `lowered`; `choices` says which kernels may overlap what, and need scratch memory."""
    planner = _Planner(lowered, partitioned, choices or Choices())
    for index in range(len(lowered.steps)):
        planner.step(index)
    fallback = planner.fallback_scratch()
    arena = place(planner.blocks, trials)
    return MemoryPlan(
        arena,
        planner.blocks,
        planner.where,
        planner.aliases,
        planner.skipped,
        planner.scratch,
        fallback.offset if fallback else 0,
    )


class _Planner:
    """Goes through the steps and makes the blocks."""

    def __init__(self, lowered: Lowered, partitioned: Partitioned, choices: Choices):
        self.lowered, self.partitioned, self.choices = lowered, partitioned, choices
        self.where: Dict[Value, Block] = {}
        self.aliases: Dict[Value, Value] = {}
        self.skipped: Set[int] = set(choices.fused)
        self.blocks: List[Block] = []
        self.scratch: Dict[int, Block] = {}
        self.last_use: Dict[Value, int] = {}
        for index in range(len(lowered.steps)):
            if index not in choices.fused:
                for value in self.reads(index):
                    self.last_use[value] = index

    def reads(self, index: int) -> List[Value]:
        """The values a step reads: of an addition that a convolution is fused with, the convolution's too."""
        convolution = self.choices.fused_with(index)
        if convolution is None:
            return self.lowered.steps[index].arguments
        inner, outer = self.lowered.steps[convolution], self.lowered.steps[index]
        return inner.arguments + [value for value in outer.arguments if value != inner.results[0]]

    def _new(self, size: int, first: int, last: int, values: List[Value]) -> Block:
        block = Block(_aligned(size), first, last, values)
        self.blocks.append(block)
        return block

    def step(self, index: int) -> None:
        """Blocks for the results and the scratch memory of a step."""
        if index in self.choices.fused:
            return
        step = self.lowered.steps[index]
        call = self.partitioned.calls.get(step.symbol)
        scratch = self.choices.scratch(index)
        if call is not None and not scratch:
            scratch = OPERATORS[call.operator].scratch(call)
        if scratch:
            self.scratch[index] = self._new(scratch, index, index, [])
        for value in step.results:
            source = self._reshaped(index, value)
            if source is not None:
                self.skipped.add(index)
                if source.kind == "input":
                    self.aliases[value] = source
                    continue
            elif value.kind != "value":
                continue
            else:
                source = self._to_overwrite(index, value)
            if value.kind == "output":
                continue
            end = self.last_use.get(value, index)
            if source is not None:
                block = self.where[source]
                block.last = max(block.last, end)
                block.values.append(value)
            else:
                block = self._new(self.lowered.bytes[value], index, end, [value])
                self._leads(index, block)
            self.where[value] = block

    def _reshaped(self, index: int, value: Value) -> Optional[Value]:
        """The argument of a reshape whose result can be the same memory."""
        step = self.lowered.steps[index]
        call = self.partitioned.calls.get(step.symbol)
        if call is None or call.operator != "reshape" or value.kind != "value":
            return None
        argument = self.aliases.get(step.arguments[0], step.arguments[0])
        return argument if argument.kind == "input" or argument in self.where else None

    def _dies(self, value: Value, index: int) -> bool:
        """Whether the step is the last to need the block of a value."""
        block = self.where.get(value)
        # A block's end is beyond this step when another value in it (a reshape's source) is still needed.
        return block is not None and self.last_use[value] == index and block.last == index

    def _to_overwrite(self, index: int, result: Value) -> Optional[Value]:
        """An input whose memory the result may take: same size, not needed later, and the kernel allows it."""
        step = self.lowered.steps[index]
        call = self.partitioned.calls.get(step.symbol)
        if call is None or not OPERATORS[call.operator].in_place or len(step.results) != 1:
            return None
        convolution = self.choices.fused_with(index)
        inner = self.lowered.steps[convolution].arguments if convolution is not None else []
        for value in self.reads(index):
            # A convolution reads its own input to the end.
            if value not in inner and self._dies(value, index):
                if self.lowered.bytes[value] == self.lowered.bytes[result]:
                    return value
        return None

    def _leads(self, index: int, block: Block) -> None:
        """Let the block of a result overlap the input it is computed from."""
        lead = self.choices.lead(index)
        if lead is None:
            return
        value = self.lowered.steps[index].arguments[0]
        if self.choices.fused_with(index) is None and self._dies(value, index):
            block.leads[self.where[value]] = lead

    def fallback_scratch(self) -> Optional[Block]:
        """What TVM's functions allocate for themselves, from the first to the last of them."""
        if not self.lowered.scratch_bytes:
            return None
        steps = [i for i, s in enumerate(self.lowered.steps) if s.symbol not in self.partitioned.calls]
        return self._new(self.lowered.scratch_bytes, min(steps), max(steps), [])


# --- placement --------------------------------------------------------------------------------------------


def floor_bytes(blocks: List[Block]) -> int:
    """A bound that no placement can beat: the most that blocks which may not overlap take at one step."""
    most = 0
    for step in {block.first for block in blocks}:
        alive = [block for block in blocks if block.first <= step <= block.last]
        total = sum(block.size for block in alive)
        for block in alive:
            for other, lead in block.leads.items():
                if other in alive:
                    # Together they need at least the larger one, or the lead and the input.
                    total -= block.size + other.size - max(block.size, lead + other.size)
        most = max(most, total)
    return most


def place(blocks: List[Block], trials: int = _TRIALS) -> int:
    """Set the offsets; returns the size of the arena.

    Blocks are put one after the other at the lowest offset that is free. The order decides: largest first, by time,
    against time, and orders that come from exchanging two blocks of the best one yet.
    """
    meeting = {block: [other for other in blocks if other is not block and other.meets(block)] for block in blocks}
    orders = [
        sorted(blocks, key=lambda b: (-b.size, b.first)),
        sorted(blocks, key=lambda b: (-b.size, -b.first)),
        sorted(blocks, key=lambda b: -b.first),
        sorted(blocks, key=lambda b: b.first),
        sorted(blocks, key=lambda b: (-b.size * (b.last - b.first + 1), b.first)),
    ]
    floor = floor_bytes(blocks)
    best: Optional[Tuple[int, List[Block], Dict[Block, int]]] = None

    def attempt(order: List[Block]) -> bool:
        nonlocal best
        size = _first_fit(order, meeting)
        if best is None or size <= best[0]:
            better = best is None or size < best[0]
            best = (size, order, {block: block.offset for block in blocks})
            return better
        return False

    for order in orders:
        if best is None or best[0] > floor:
            attempt(order)
    generator = random.Random(1)
    for _ in range(trials if len(blocks) > 1 else 0):
        if best[0] <= floor:
            break
        order = list(best[1])
        a, b = generator.sample(range(len(order)), 2)
        order.insert(b, order.pop(a))
        attempt(order)
    for block, offset in best[2].items() if best else ():
        block.offset = offset
    return best[0] if best else 0


def _first_fit(order: List[Block], meeting: Dict[Block, List[Block]]) -> int:
    """Each block at the lowest offset where it conflicts with none that is placed; returns the size."""
    placed: Set[Block] = set()
    size = 0
    for block in order:
        others = [other for other in meeting[block] if other in placed]
        candidates = {0}
        for other in others:
            candidates.add(other.offset + other.size)
            if other in block.leads:
                candidates.add((other.offset - block.leads[other]) // ALIGNMENT * ALIGNMENT)
            if block in other.leads:
                candidates.add(_aligned(other.offset + other.leads[block]))
        for offset in sorted(candidates):
            block.offset = offset
            if offset >= 0 and not any(block.conflicts(other) for other in others):
                break
        placed.add(block)
        size = max(size, block.offset + block.size)
    return size
