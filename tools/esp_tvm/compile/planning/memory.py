"""Where every activation and every kernel's scratch memory lies in the arena.

TVM's planner (USMP) keeps the inputs and outputs of an operator apart. Here

- an elementwise operator writes over an input that is not needed any more;
- a kernel that goes through its input from front to back may write to where it has read: its output then lies a known
  distance (`overlap_distance`) before its input, and both overlap;
- a convolution that is fused with the addition after it writes over the addend;
- the order in which blocks are placed is searched for, until the arena is no larger than the step that needs most.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Callable, Dict, Hashable, Iterable, List, Optional, Set, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from ...operators import OPERATORS
from ...program import Call, Loop, Place, Program, Scratch, Tensor
from .blocks import THOROUGH, TRIALS, Block, aligned, floor_bytes, place
from .reaches import row_bytes, sums_rows
from .strip_parts import Strip, part

if TYPE_CHECKING:
    from ..kernels.variants import Variant
    from .cores import TwoParts

T = TypeVar("T")


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


def plan_memory(program: Program, trials: int = TRIALS, rounds: int = 1, enough: int = 0) -> MemoryPlan:
    """Where all tensors and scratch memory would lie with the kernels that are chosen; the program stays as it is.

    trials, rounds, enough: as for `blocks.place`
    """
    planner = _planned(program)
    size = place(planner.blocks, trials, rounds, enough, _remembered(planner))
    return MemoryPlan(size, planner.blocks, planner.where, planner.views, planner.scratch)


def _planned(program: Program) -> _Planner:
    planner = _Planner(program)
    for step, call in enumerate(planner.calls):
        planner.plan(step, call)
    planner.share_in_loops()
    return planner


def arena_bytes(program: Program) -> int:
    """Bytes of the arena with the kernels that are chosen."""
    return plan_memory(program).arena_bytes


def fits_arena(program: Program, most: int) -> bool:
    """Whether the arena can have at most so many bytes with the kernels that are chosen."""
    planner = _planned(program)
    # The step that needs most tells at once where it cannot.
    if floor_bytes(planner.blocks) > most:
        return False
    return place(planner.blocks, enough=most, known=_remembered(planner)) <= most


def remember(plan: MemoryPlan) -> None:
    """Let the search begin with the order of a plan wherever tensors of the same program are placed from now on."""
    for call, block in plan.scratch.items():
        _orders[call] = block.order
    for tensor, block in plan.where.items():
        _orders[tensor] = block.order


def _remembered(planner: _Planner) -> Optional[List[Block]]:
    """The blocks in that order, new ones last; None where there is none."""
    orders = {block: _orders[call] for call, block in planner.scratch.items() if call in _orders}
    for tensor, block in planner.where.items():
        if tensor in _orders:
            orders.setdefault(block, _orders[tensor])
    if not orders:
        return None
    return sorted(planner.blocks, key=lambda block: (orders.get(block, len(planner.blocks)), -block.size))


# Tensor, or call with scratch memory -> the place of its block in the order that `remember` was given.
_orders: WeakKeyDictionary = WeakKeyDictionary()


def place_tensors(program: Program, share_out: Optional[Callable[[MemoryPlan], Set[Block]]] = None) -> Program:
    """Give every tensor and all scratch memory its place, and drop the code of what then needs none.

    share_out: places the blocks of a plan in two arenas and returns those in the second one (two_arenas.py)
    """
    plan = plan_memory(program, rounds=THOROUGH)
    second = share_out(plan) if share_out is not None else set()
    windows = {x: w for item in program.items if isinstance(item, Loop) for x, w in item.schedule.windows.items()}
    for call in program.calls():
        call.overlap_distance = known.distance(call)
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
    return _scratch_of(part(call, Strip(0, 1, ((0, 1),))), None) if sums_rows(call) else 0


def _scratch_of(call: Call, split: Optional[TwoParts]) -> int:
    if split is not None:
        return sum(split.scratch)
    if call.variant is not None and not call.variant.plain_parameters:
        return known.scratch(call, call.variant)
    return OPERATORS[call.operator].scratch(call)


class _Known:
    """What kernels say of calls, computed once for each: scratch memory, and `Variant.overlap_distance`."""

    def __init__(self):
        self._known: WeakKeyDictionary = WeakKeyDictionary()

    def scratch(self, call: Call, variant: Variant) -> int:
        """Bytes of scratch memory by a kernel that a call may have."""
        return self._once(call, variant, variant.scratch)

    def scratch_in_strips(self, call: Call, variant: Variant, rows: int) -> int:
        """The same where it computes at most so many rows of a call at a time."""
        return self._once(call, variant, lambda one: variant.scratch_in_strips(one, rows), ("scratch", rows))

    def distance(self, call: Call) -> Optional[int]:
        """None for a call that is computed by two cores or in strips: what one part writes another may have to read."""
        if call.variant is None or call.split is not None or call.strips is not None:
            return None
        return self._once(call, call.variant, call.variant.overlap_distance)

    def distance_of_pixels(self, call: Call) -> Optional[int]:
        """For a strip of a call."""
        if call.variant is None:
            return None
        return self._once(call, call.variant, call.variant.overlap_distance_of_pixels)

    def _once(self, call: Call, variant: Variant, compute: Callable[[Call], T], what: Hashable = None) -> T:
        known, key = self._known.setdefault(call, {}), (variant, what or compute.__name__)
        if key not in known:
            known[key] = compute(call)
        return known[key]


known = _Known()


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
        block = Block(aligned(size), first, last, tensors)
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
        needed = [known.distance(one) for one in parts]
        if None not in needed:
            least.append(schedule.overlapping(call, first, last, number, needed))
            block.distances[other] = min(block.distances[other], least[-1])
        needed = [known.distance_of_pixels(one) for one in parts]
        if None not in needed:
            least.append(schedule.overlapping(call, first, last, number, needed))
            block.in_pixels[other] = (least[-1], output.shape[3])
        if least:
            made, read = (schedule.held[x] for x in (output, call.reads[0].root))
            shared = made.high[number] - aligned(min(least)) - read.low[number]
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
        if call.is_fallback or len(call.writes) != 1:
            return None
        if call.addend is not None and call.variant is not None and call.variant.keeps_addend(call):
            return None
        for tensor in (x.root for x in OPERATORS[last.operator].overwrites(last)):
            if self._dies(tensor, step) and tensor.bytes == result.bytes:
                return tensor
        return None

    def _lead(self, step: int, call: Call, block: Block) -> None:
        """Let the block of a result overlap the input it is computed from."""
        if call.is_fallback or call.followers or call.addend is not None:
            return
        distance = known.distance(call)
        if distance is not None and self._dies(call.inputs[0].root, step):
            block.distances[self.where[call.inputs[0].root]] = distance
