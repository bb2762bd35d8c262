"""Where every activation and every kernel's scratch memory lies in the arena.

TVM's planner (USMP) keeps the inputs and outputs of an operator apart. Here

- an elementwise operator writes over an input that is not needed any more;
- a kernel that goes through its input from front to back may write to where it has read: its output then lies a known
  distance (`overlap_distance`) before its input, and both overlap;
- a convolution that is fused with the addition after it writes over the addend;
- the order in which blocks are placed is searched for, until the arena is no larger than the step that needs most.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Callable, Dict, Iterable, List, Optional, Set, Tuple
from weakref import WeakKeyDictionary

import numpy as np

from ...operators import OPERATORS
from ...program import Call, Loop, Place, Program, Scratch, Tensor
from .strips import Strip, part, row_bytes, sums_rows

if TYPE_CHECKING:
    from .cores import TwoParts

ALIGNMENT = 16
_TRIALS = 300


@dataclass(eq=False)
class Block:
    """Memory that one tensor, or several in turn, hold from step `first` to step `last` (inclusive).

    distances: of a block that may overlap another one: the other -> by how many bytes it has to start before that, as
        an output before its input
    in_pixels: the same where that is a multiple of a number of bytes: the other -> (that distance, that number)
    held: while a loop runs: step -> [strips] bytes that it holds, where these are not all
    """

    size: int
    first: int
    last: int
    tensors: List[Tensor] = field(default_factory=list)
    offset: int = 0
    distances: Dict[Block, int] = field(default_factory=dict)
    in_pixels: Dict[Block, Tuple[int, int]] = field(default_factory=dict)
    held: Dict[int, np.ndarray] = field(default_factory=dict)

    def before(self, other: Block) -> int:
        """By how many bytes it has to start before another one if it lies before that."""
        return min(self.distances.get(other, self.size), self.size)

    def meets(self, other: Block) -> bool:
        """Whether both are alive at some step."""
        return self.first <= other.last and other.first <= self.last

    def conflicts(self, other: Block) -> bool:
        """Whether both are alive at some step and their memory overlaps more than their kernel allows."""
        if not self.meets(other):
            return False
        apart = other.offset - self.offset
        if apart >= self.before(other) or -apart >= other.before(self):
            return False
        return not (self._overlaps_by_pixels(other, apart) or other._overlaps_by_pixels(self, -apart))

    def _overlaps_by_pixels(self, other: Block, apart: int) -> bool:
        least, pixel = self.in_pixels.get(other, (0, 0))
        return pixel > 0 and apart >= least and apart % pixel == 0

    def distances_to(self, other: Block) -> List[int]:
        """The least distances by which it may start before another one, at multiples of ALIGNMENT."""
        found = [_aligned(self.before(other))]
        if other in self.in_pixels:
            least, pixel = self.in_pixels[other]
            step = pixel * ALIGNMENT // math.gcd(pixel, ALIGNMENT)
            found.append(-(-least // step) * step)
        return found


@dataclass
class MemoryPlan:
    """arena_bytes; blocks with their offsets

    where: tensor -> its block; views: outputs that need no code -> the tensor whose memory they are
    scratch: call -> block of its scratch memory
    """

    arena_bytes: int
    blocks: List[Block]
    where: Dict[Tensor, Block]
    views: Dict[Tensor, Tensor]
    scratch: Dict[Call, Block]


def _aligned(size: int) -> int:
    return (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


def plan_memory(program: Program, trials: int = _TRIALS) -> MemoryPlan:
    """Where all tensors and scratch memory would lie with the kernels that are chosen; the program stays as it is."""
    planner = _Planner(program)
    for step, call in enumerate(planner.calls):
        planner.plan(step, call)
    planner.share_in_loops()
    return MemoryPlan(place(planner.blocks, trials), planner.blocks, planner.where, planner.views, planner.scratch)


def arena_bytes(program: Program) -> int:
    """Bytes of the arena with the kernels that are chosen."""
    return plan_memory(program).arena_bytes


def place_tensors(program: Program, share_out: Optional[Callable[[MemoryPlan], Set[Block]]] = None) -> Program:
    """Give every tensor and all scratch memory its place, and drop the code of what then needs none.

    share_out: places the blocks of a plan in two arenas and returns those in the second one (two_arenas.py)
    """
    plan = plan_memory(program)
    second = share_out(plan) if share_out is not None else set()
    windows = {x: w for item in program.items if isinstance(item, Loop) for x, w in item.schedule.windows.items()}
    for call in program.calls():
        call.overlap_distance = distances.of(call)
        call.slowest = call.variant.slowest(call) if call.variant is not None else 1.0
        block, needed = plan.scratch.get(call), scratch_bytes(call)
        call.scratch = Scratch(needed, block.offset) if block is not None else None
        for tensor in call.writes:
            if tensor in plan.views:
                tensor.source, call.is_view = plan.views[tensor], True
                tensor.place = replace(tensor.root.place)
            elif tensor in windows:
                window, offset = windows[tensor], plan.where[tensor].offset
                tensor.place = Place("window", offset=offset, rows=window.rows, kept=window.keeps)
            elif tensor in plan.where:
                block = plan.where[tensor]
                tensor.place = Place("psram_arena" if block in second else "arena", offset=block.offset)
    program.arena_bytes = _extent(block for block in plan.blocks if block not in second)
    program.psram_arena_bytes = _extent(second)
    return program


def movable_blocks(program: Program, plan: MemoryPlan) -> Set[Block]:
    """The blocks of whole tensors, which may lie in a second arena."""
    windows = {x for item in program.items if isinstance(item, Loop) for x in item.schedule.windows}
    return {block for block in plan.blocks if block.tensors and not windows.intersection(block.tensors)}


def _extent(blocks: Iterable[Block]) -> int:
    return max((block.offset + block.size for block in blocks), default=0)


def scratch_bytes(call: Call) -> int:
    """Bytes of scratch memory that a call needs."""
    if call.is_fallback:
        return call.scratch.bytes if call.scratch else 0
    if call.strips is None:
        return _scratch_of(call, call.split)
    parts = call.strips.with_variant(call.variant)
    splits = [None] * len(parts) if call.split is None else call.split.kinds
    return max(map(_scratch_of, parts, splits))


def scratch_bytes_of_sums(call: Call) -> int:
    """Bytes of the sums of a call that can add up the rows of its input strip by strip; 0 of another."""
    return _scratch_of(part(call, Strip(0, 1, 0, 1)), None) if sums_rows(call) else 0


def _scratch_of(call: Call, split: Optional[TwoParts]) -> int:
    if split is not None:
        return sum(split.scratch)
    if call.variant is not None and not call.variant.plain_parameters:
        return call.variant.scratch(call)
    return OPERATORS[call.operator].scratch(call)


class _Distances:
    """`Variant.overlap_distance` of calls, and that of pixels, computed once for each of their variants."""

    def __init__(self):
        self._known: WeakKeyDictionary = WeakKeyDictionary()

    def of(self, call: Call) -> Optional[int]:
        """None for a call that is computed by two cores or in strips: what one part writes another may have to read."""
        if call.variant is None or call.split is not None or call.strips is not None:
            return None
        return self._once(call, call.variant.overlap_distance)

    def of_pixels(self, call: Call) -> Optional[int]:
        """For a strip of a call."""
        return None if call.variant is None else self._once(call, call.variant.overlap_distance_of_pixels)

    def _once(self, call: Call, compute: Callable[[Call], Optional[int]]) -> Optional[int]:
        known, key = self._known.setdefault(call, {}), (call.variant, compute.__name__)
        if key not in known:
            known[key] = compute(call)
        return known[key]


distances = _Distances()


@dataclass(eq=False)
class _LoopSteps:
    """A loop, and the steps of its first and its last call."""

    loop: Loop
    first: int
    last: int


class _Planner:
    """Goes through the calls and makes the blocks."""

    def __init__(self, program: Program):
        self.calls = list(program.calls())
        self.where: Dict[Tensor, Block] = {}
        self.views: Dict[Tensor, Tensor] = {}
        self.blocks: List[Block] = []
        self.scratch: Dict[Call, Block] = {}
        self.last_use: Dict[Tensor, int] = {}
        for step, call in enumerate(self.calls):
            for tensor in call.reads:
                self.last_use[tensor.root] = step
        self.loops: Dict[Call, _LoopSteps] = {}
        for loop in program.items:
            if isinstance(loop, Loop):
                self._enter(loop)

    def _enter(self, loop: Loop) -> None:
        """What a loop reads and writes lies in memory from its first step to its last."""
        first = self.calls.index(loop.calls[0])
        steps = _LoopSteps(loop, first, first + len(loop.calls) - 1)
        self.loops.update((call, steps) for call in loop.calls)
        made = {call.writes[0] for call in loop.calls}
        for call in loop.calls:
            for tensor in {x.root for x in call.reads} - made:
                self.last_use[tensor] = max(self.last_use[tensor], steps.last)

    def _new(self, size: int, first: int, last: int, tensors: List[Tensor]) -> Block:
        block = Block(_aligned(size), first, last, tensors)
        self.blocks.append(block)
        return block

    def plan(self, step: int, call: Call) -> None:
        """Blocks for the outputs and the scratch memory of a call."""
        scratch = scratch_bytes(call)
        if scratch:
            lasting = (step, step)
            if call in self.loops and sums_rows(call):
                # The sums stay from strip to strip.
                lasting = (self.loops[call].first, self.loops[call].last)
            self.scratch[call] = self._new(scratch, *lasting, [])
        if call in self.loops:
            self._plan_in_loop(step, call, self.loops[call])
            return
        for tensor in call.writes:
            source = self._reshaped(call, tensor)
            if source is not None:
                self.views[tensor] = source
                if source not in self.where:
                    continue
            elif tensor.place is not None and tensor.place.kind != "arena":
                continue
            else:
                source = self._to_overwrite(step, call, tensor)
            end = self.last_use.get(tensor, step)
            if source is not None:
                block = self.where[source]
                block.last = max(block.last, end)
                block.tensors.append(tensor)
            else:
                block = self._new(tensor.bytes, step, end, [tensor])
                self._lead(step, call, block)
            self.where[tensor] = block

    def _plan_in_loop(self, step: int, call: Call, steps: _LoopSteps) -> None:
        """The block of a window, or of an output that lies in memory whole while the loop runs."""
        tensor = call.writes[0]
        window = steps.loop.schedule.windows.get(tensor)
        if window is not None:
            lasting = (steps.first, steps.last) if window.keeps else (step, self.last_use[tensor])
            size = window.rows * row_bytes(tensor)
            self.where[tensor] = self._new(size, *lasting, [tensor])
        elif tensor.place is None or tensor.place.kind == "arena":
            end = max(self.last_use.get(tensor, step), steps.last)
            self.where[tensor] = self._new(tensor.bytes, steps.first, end, [tensor])

    def share_in_loops(self) -> None:
        """Let blocks of a loop overlap where they do not hold the same bytes at the same time."""
        for steps in dict.fromkeys(self.loops.values()):
            schedule, tensors = steps.loop.schedule, self._held(steps)
            others = [x for x in self.blocks if x.first <= steps.last and steps.first <= x.last]
            for block, tensor in tensors.items():
                held = schedule.held[tensor]
                block.held.update((steps.first + number, size) for number, size in enumerate(held.bytes))
                for other in others:
                    span = max(block.first, other.first) - steps.first, min(block.last, other.last) - steps.first
                    if other is block or not 0 <= span[0] <= span[1] < len(steps.loop.calls):
                        continue
                    if other in tensors:
                        block.distances[other] = schedule.before(tensor, tensors[other], *span)
                    else:
                        block.distances[other] = held.before_all(*span)
                        other.distances[block] = held.behind_all(other.size, *span)

            for number, call in enumerate(steps.loop.calls):
                self._overlap_in_loop(steps, number, call, tensors)

    def _overlap_in_loop(self, steps: _LoopSteps, number: int, call: Call, tensors: Dict[Block, Tensor]) -> None:
        """Let the output of a call in a loop overlap its input, rows of which the call is the last to read."""
        schedule, output = steps.loop.schedule, call.writes[0]
        if call not in schedule.overlaps or call.split is not None or call.variant is None:
            return
        block, other = self.where.get(output), self.where.get(call.reads[0].root)
        if block not in tensors or other not in tensors:
            return
        first, last = max(block.first, other.first) - steps.first, min(block.last, other.last) - steps.first
        if not 0 <= first <= last < len(steps.loop.calls):
            return
        parts = call.strips.with_variant(call.variant)
        least = []
        needed = [distances.of(one) for one in parts]
        if None not in needed:
            least.append(schedule.overlapping(call, first, last, number, needed))
            block.distances[other] = min(block.distances[other], least[-1])
        needed = [distances.of_pixels(one) for one in parts]
        if None not in needed:
            least.append(schedule.overlapping(call, first, last, number, needed))
            block.in_pixels[other] = (least[-1], output.shape[3])
        if least:
            made, read = (schedule.held[x] for x in (output, call.reads[0].root))
            shared = made.high[number] - _aligned(min(least)) - read.low[number]
            most = np.minimum(made.bytes[number], read.bytes[number])
            block.held[steps.first + number] = made.bytes[number] - np.clip(shared, 0, most)

    def _held(self, steps: _LoopSteps) -> Dict[Block, Tensor]:
        """The tensors of a loop in blocks that do not hold all they have from the first strip to the last."""
        found: Dict[Block, Tensor] = {}
        for tensor in steps.loop.schedule.held:
            block = self.where.get(tensor)
            if block is None:
                continue
            needed = [one for one in block.tensors if self.last_use.get(one, -1) >= steps.first]
            if block.first >= steps.first or (block.last == steps.last and needed == [tensor]):
                found[block] = tensor
        return found

    def _owner(self, tensor: Tensor) -> Tensor:
        """The tensor whose memory a view is."""
        tensor = tensor.root
        while tensor in self.views:
            tensor = self.views[tensor]
        return tensor

    def _reshaped(self, call: Call, tensor: Tensor) -> Optional[Tensor]:
        """The tensor whose memory the output of a reshape can be: one in the arena, or an input of the model."""
        in_buffer = tensor.place is not None and tensor.place.kind != "arena"
        if call.operator != "reshape" or in_buffer:
            return None
        argument = call.inputs[0].root
        if argument in self.where:
            return argument
        owner = self._owner(argument)
        return owner if owner.place is not None and owner.place.kind == "input" else None

    def _dies(self, tensor: Tensor, step: int) -> bool:
        """Whether the step is the last to need the block of a tensor."""
        block = self.where.get(tensor)
        # A block's end is beyond this step when another tensor in it (a reshape's source) is still needed.
        return block is not None and self.last_use[tensor] == step and block.last == step

    def _to_overwrite(self, step: int, call: Call, result: Tensor) -> Optional[Tensor]:
        """An input whose memory the result may take: same size, not needed later, and the kernel allows it."""
        last = call.followers[-1] if call.followers else call
        if call.is_fallback or not OPERATORS[last.operator].in_place or len(call.writes) != 1:
            return None
        # A convolution reads its own input to the end.
        own = {x.root for x in call.inputs} if call.followers else set()
        for tensor in (x.root for x in call.reads):
            if tensor not in own and self._dies(tensor, step) and tensor.bytes == result.bytes:
                return tensor
        return None

    def _lead(self, step: int, call: Call, block: Block) -> None:
        """Let the block of a result overlap the input it is computed from."""
        if call.is_fallback or call.followers:
            return
        distance = distances.of(call)
        if distance is not None and self._dies(call.inputs[0].root, step):
            block.distances[self.where[call.inputs[0].root]] = distance


# --- placement --------------------------------------------------------------------------------------------


def floor_at(blocks: List[Block], step: int) -> int:
    """Bytes that the blocks which are alive at a step take at least."""
    alive = [block for block in blocks if block.first <= step <= block.last]
    total = sum(block.size for block in alive)
    for block in alive:
        for other, distance in block.distances.items():
            if other in alive and not (step in block.held or step in other.held):
                # Together they need at least the larger one, or the distance and the input.
                total -= block.size + other.size - max(block.size, distance + other.size)
    saved = [block.size - block.held[step] for block in alive if step in block.held]
    return total - int(sum(saved).min()) if saved else total


def floor_bytes(blocks: List[Block]) -> int:
    """A bound that no placement can beat: the most that blocks which may not overlap take at one step."""
    return max((floor_at(blocks, step) for step in {block.first for block in blocks}), default=0)


def place(blocks: List[Block], trials: int = _TRIALS) -> int:
    """Set the offsets; returns the size of the arena.

    Blocks are put one after the other at the lowest offset that is free. The order decides: largest first, by time,
    against time, and orders that come from exchanging two blocks of the best one yet.
    """
    meeting = {block: _neighbours(block, blocks) for block in blocks}
    latest = blocks[::-1]
    orders = [
        sorted(blocks, key=lambda b: (-b.size, b.first)),
        sorted(blocks, key=lambda b: (-b.size, -b.first)),
        sorted(blocks, key=lambda b: -b.first),
        sorted(blocks, key=lambda b: b.first),
        # Windows of a loop against the order of its calls: new rows of one come to lie where those of another one were.
        sorted(latest, key=lambda b: -b.first),
        sorted(blocks, key=lambda b: (-b.size * (b.last - b.first + 1), b.first)),
    ]
    floor = floor_bytes(blocks)
    best: Optional[Tuple[float, List[Block], Dict[Block, int]]] = None

    def attempt(order: List[Block]) -> bool:
        nonlocal best
        size = _first_fit(order, meeting, np.inf if best is None else best[0])
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
        if generator.random() < 0.5:
            # One of those that reach highest, before another one.
            a = generator.choice([n for n, one in enumerate(order) if best[2][one] + one.size == best[0]])
            b = generator.randrange(a + 1)
        order.insert(b, order.pop(a))
        attempt(order)
    for block, offset in best[2].items() if best else ():
        block.offset = offset
    return int(best[0]) if best else 0


@dataclass
class _Neighbour:
    """A block that is alive at the same time as another one, and what has to be between both.

    behind, ahead: bytes by which the block has to start before this one, or this one before it
    starts: where the block may start at the lowest, in bytes from this one's start
    pixels: whether they may also overlap by whole pixels (`Block.in_pixels`)
    """

    block: Block
    behind: int
    ahead: int
    starts: List[int]
    pixels: bool


def _neighbours(block: Block, blocks: List[Block]) -> List[_Neighbour]:
    """The blocks that are alive at the same time as one of them."""
    return [
        _Neighbour(
            other,
            block.before(other),
            other.before(block),
            [*other.distances_to(block), *(-distance for distance in block.distances_to(other))],
            other in block.in_pixels or block in other.in_pixels,
        )
        for other in blocks
        if other is not block and other.meets(block)
    ]


def _first_fit(order: List[Block], meeting: Dict[Block, List[_Neighbour]], most: float) -> float:
    """Each block at the lowest offset where it conflicts with none that is placed; returns the size, or infinity as
    soon as it is above `most`."""
    placed: Set[Block] = set()
    size = 0
    for block in order:
        others = [(one, one.block.offset) for one in meeting[block] if one.block in placed]
        candidates = {0, *(offset + start for one, offset in others for start in one.starts)}
        for offset in sorted(candidates):
            block.offset = offset
            if offset >= 0 and not any(
                -one.ahead < there - offset < one.behind and not (one.pixels and not block.conflicts(one.block))
                for one, there in others
            ):
                break
        placed.add(block)
        size = max(size, block.offset + block.size)
        if size > most:
            return float("inf")
    return size
