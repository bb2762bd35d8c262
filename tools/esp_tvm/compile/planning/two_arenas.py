"""Which tensors lie in the arena in internal RAM, and which in a second one in PSRAM, where all do not fit inside.

Scratch memory, and windows of rows, always lie inside: kernels read and write them again and again. A tensor outside
costs the time in which its bytes pass through the cache (estimate/fetches.py). Which ones are outside, so that at every
step the others fit and the time is the least, is an integer program, which SciPy solves (HiGHS). Its memory is that of
`floor_at`: places may leave gaps; then it is solved again for less room.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Dict, List, Optional, Set

import numpy as np

from ...estimate.fetches import fetches
from ...estimate.memories import CLOCKS, Clock
from ...program import Program
from .blocks import ALIGNMENT, Block, floor_bytes, place
from .memory import MemoryPlan, movable_blocks

# Orders of the blocks that are tried for each set of blocks inside, and how often the integer program is solved.
_TRIALS = 30
_ATTEMPTS = 12
# The search ends after so many nodes, not after a time: the same program on every computer.
_NODES = 5000


def share_out(program: Program, plan: MemoryPlan, room: int) -> Set[Block]:
    """The blocks that lie outside, so that those inside take at most `room` bytes; all have their offsets afterwards.

    Nothing is outside where all fit, and where the rest would not fit even without all that may leave.
    """
    if plan.arena_bytes <= room:
        return set()
    costs = _costs(program, plan, CLOCKS[program.target_chip])
    inside = _inside(plan.blocks, movable_blocks(program, plan), costs, room)
    if inside is None:
        return set()
    outside = set(plan.blocks).difference(inside)
    place(inside)
    place([block for block in plan.blocks if block in outside])
    return outside


def _inside(blocks: List[Block], movable: Set[Block], costs: Dict[Block, int], room: int) -> Optional[List[Block]]:
    """The blocks that stay, whose places are found to need no more than the room; None where there are none."""
    tight = room
    for _ in range(_ATTEMPTS):
        inside = _least_cost(blocks, movable, costs, tight)
        if inside is None:
            break
        size = place(inside, _TRIALS)
        if size <= room:
            return _with_more(blocks, inside, movable, costs, room)
        tight = min(tight - (size - room) // 2, floor_bytes(inside)) - ALIGNMENT
    fixed = [block for block in blocks if block not in movable]
    return _with_more(blocks, fixed, movable, costs, room) if place(fixed, _TRIALS) <= room else None


def _with_more(
    blocks: List[Block], inside: List[Block], movable: Set[Block], costs: Dict[Block, int], room: int
) -> List[Block]:
    """Also with those for which gaps have room, first those that cost most outside; of equal ones in the order of the
    program: the same each time."""
    outside = [block for block in blocks if block in movable.difference(inside)]
    for block in sorted(outside, key=lambda one: (-costs[one] / one.size, one.first)):
        tried = [*inside, block]
        if floor_bytes(tried) <= room and place(tried, _TRIALS) <= room:
            inside = tried
    return inside


def _costs(program: Program, plan: MemoryPlan, clock: Clock) -> Dict[Block, int]:
    """Bytes of each block that pass through the cache if it lies outside."""
    costs = dict.fromkeys(plan.blocks, 0)
    for call in program.calls():
        for tensor, often in fetches(call, clock):
            block = plan.where.get(tensor.root)
            if block is not None:
                costs[block] += often * tensor.bytes
    return costs


def _least_cost(blocks: List[Block], movable: Set[Block], costs: Dict[Block, int], room: int) -> Optional[List[Block]]:
    """The blocks that stay inside where, at every step, they take at most `room` bytes; None: that cannot be.

    Of the variables, 0 or 1, the first say of each block whether it is inside; the others, of each pair of blocks that
    may overlap, that both are and that it counts.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import lil_matrix

    number = {block: column for column, block in enumerate(blocks)}
    pairs = [(block, other) for block in blocks for other in block.distances]
    steps = sorted({block.first for block in blocks})
    taken = lil_matrix((len(steps) + 2 * len(pairs), len(blocks) + len(pairs)))
    for block, column in number.items():
        for row in _rows(steps, block.first, block.last):
            held = block.held.get(steps[row])
            taken[row, column] = block.size if held is None else held.max()
    for column, (block, other) in enumerate(pairs, len(blocks)):
        for row in _rows(steps, max(block.first, other.first), min(block.last, other.last)):
            if steps[row] not in block.held and steps[row] not in other.held:
                taken[row, column] = -block.shared(other)
    for pair, (block, other) in enumerate(pairs):
        for row, one in enumerate((block, other), len(steps) + 2 * pair):
            taken[row, len(blocks) + pair], taken[row, number[one]] = 1, -1
    most = np.concatenate([np.full(len(steps), float(room)), np.zeros(2 * len(pairs))])
    least = [0.0 if block in movable else 1.0 for block in blocks] + [0.0] * len(pairs)
    gain = [-float(costs[block]) for block in blocks] + [0.0] * len(pairs)
    found = milp(
        np.array(gain),
        integrality=np.ones(len(gain)),
        bounds=Bounds(np.array(least), np.ones(len(gain))),
        constraints=LinearConstraint(taken.tocsr(), -np.inf, most),
        options={"node_limit": _NODES, "mip_rel_gap": 1e-3},
    )
    if found.x is None:
        return None
    return [block for block in blocks if found.x[number[block]] > 0.5]


def _rows(steps: List[int], first: int, last: int) -> range:
    """Which of the steps, in order, are `first` to `last`."""
    return range(bisect_left(steps, first), bisect_right(steps, last))


__all__ = ["share_out"]
