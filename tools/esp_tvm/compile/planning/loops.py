"""Which calls run together in strips of rows, and how tall these are: the fastest way that fits the memory.

The calls stay in their order, so the program is cut into pieces: a piece is one call, or several in a loop. The
memory that a piece needs depends on this piece alone: on the tensors that stay in memory while it runs, on its own
windows or tensors, and on its scratch memory. So the best pieces are a shortest path along the program's calls: the
least estimated time with no piece above a limit. The least memory is the smallest limit with a path whose time is
within a budget.

These costs are estimates; the places are found afterwards (memory.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Tuple, Union

from ...program import Call, Item, Loop, Program
from ..kernels.esp32s3 import Esp32s3Variant
from ..kernels.portable import VARIANTS
from ..kernels.variants import Variant
from .blocks import THOROUGH, place
from .kernel_times import Choice, KernelTimes, rows_of
from .memory import MemoryPlan, arena_bytes, movable_blocks, plan_memory, remember
from .piece_table import Piece
from .pieces import Pieces, is_whole
from .strips import make_loop

# There are always gaps between blocks, so pieces that need nearly all memory are avoided where that costs little time:
# the part of the limit from which a piece is avoided, a value for each attempt.
SLACKS = (0.85, 0.7, 0.55, 0.9, 0.8, 0.75, 0.65, 0.6)
# So many of the smallest are placed with patience.
FEW = 3
# The same for windows and scratch memory beside tensors that may lie in PSRAM.
INSIDE_PARTS = (0.95, 0.85, 0.75, 0.6, 0.45)


class State:
    """The loops and the kernels that a program has, so that it can have them again."""

    def __init__(self, program: Program):
        self._items = list(program.items)
        self._calls = [(call, call.strips, call.variant, call.split) for call in program.calls()]

    def restore(self, program: Program) -> None:
        program.items = list(self._items)
        for call, strips, variant, split in self._calls:
            call.strips, call.variant, call.split = strips, variant, split


@dataclass
class _Found:
    """A program with its loops. size: bytes of arena; time: estimated instructions"""

    size: int
    time: float
    state: State


def run_in_strips(program: Program, limit: int, budget: float = math.inf, beside: bool = False) -> Program:
    """Put calls into loops so that the arena has at most `limit` bytes; as few as possible where it cannot.

    budget: instructions that the program may take where the limit cannot be reached (kernel_times.py)
    beside: whole tensors may lie in a second arena, in PSRAM, where it cannot (two_arenas.py)
    """
    before, times = State(program), KernelTimes(program)
    # Where strips do not help, the program stays as it is.
    found: List[_Found] = [_Found(arena_bytes(program), 0.0, before)]
    pieces, target, aimed = Pieces(program, set(), limit or None), limit, budget
    for slack in SLACKS:
        if beside and pieces.path(target, slack) is None:
            break
        pieces, path, reached, loops = _loops(program, pieces, target, aimed, slack)
        program.items = _items(pieces.calls, loops)
        plan = plan_memory(program)
        found.append(_Found(plan.arena_bytes, times.of_program(program), State(program)))
        _correct(pieces, path, reached, plan)
        if plan.arena_bytes > limit >= reached and _take_leanest(path, pieces.calls):
            size = arena_bytes(program)
            found.append(_Found(size, times.of_program(program), State(program)))
        before.restore(program)
        if found[-1].size <= limit:
            break
        if found[-1].time > budget:
            # Some kernels did not fit their strips.
            aimed *= budget / found[-1].time
        # There may be gaps between blocks: aim lower by the bytes that are too many, and by a thirty-second at least.
        target = max(min(target - (plan.arena_bytes - limit), target * 31 // 32), 0)
    if beside and all(one.size > limit for one in found):
        return _run_beside(program, pieces, limit)
    best = _best_of(program, found, limit, budget)
    best.state.restore(program)
    return program


def _best_of(program: Program, found: List[_Found], limit: int, budget: float) -> _Found:
    """The smallest; where the limit is not reached the first few of them are placed with more patience."""

    def order(one: _Found) -> Tuple[bool, int]:
        return one.size > limit and one.time > budget, one.size

    found = sorted(found, key=order)
    if found[0].size <= limit:
        return found[0]
    now, plans = State(program), []
    for one in found[:FEW]:
        one.state.restore(program)
        plans.append((one, plan_memory(program, rounds=THOROUGH)))
        one.size = plans[-1][1].arena_bytes
    now.restore(program)
    best, plan = min(plans, key=lambda pair: order(pair[0]))
    remember(plan)
    return best


def _take_leanest(path: List[Piece], calls: List[Call]) -> bool:
    """Give calls in loops the kernels that need the least memory; whether any then has another one."""
    changed = False
    for piece in path:
        for call, choices in zip(calls[piece.first : piece.last + 1], piece.choices):
            leanest = choices[0].variant
            if call.variant is not leanest and (call.strips is None or fits_strips(call, leanest)):
                call.variant, changed = leanest, True
    return changed


def _run_beside(program: Program, pieces: Pieces, room: int) -> Program:
    """Put calls into loops so that windows and scratch memory take at most `room` bytes: the fastest way, where bytes
    of whole tensors that do not fit take the time of PSRAM. The program stays as it is where there is none."""
    before = State(program)
    for part in INSIDE_PARTS:
        limit = int(room * part)
        if pieces.path_beside(limit, room) is None:
            break
        pieces, _, loops = _loops_of(
            program,
            pieces,
            lambda found, limit=limit: found.path_beside(limit, room),
            lambda piece, limit=limit: piece.kernels(limit, fixed=True),
        )
        program.items = _items(pieces.calls, loops)
        plan = plan_memory(program, 1)
        movable = movable_blocks(program, plan)
        if place([block for block in plan.blocks if block not in movable]) <= room:
            return program
        before.restore(program)
    return program


def _correct(pieces: Pieces, path: List[Piece], limit: int, plan: MemoryPlan) -> None:
    """Note of a loop that needs more memory than was estimated, because of gaps between blocks, how much it needs.

    limit: for which its kernels were chosen
    """
    highest = [block for block in plan.blocks if block.offset + block.size == plan.arena_bytes]
    reached = [one for one in path if any(b.first <= one.last and one.first <= b.last for b in highest)]
    if reached:
        worst = max(reached, key=lambda one: one.needs(limit))
        more = plan.arena_bytes - worst.needs(limit)
        if worst.rows and more > 0:
            pieces.correct(worst, more)


def _items(calls: List[Call], loops: Dict[int, Loop]) -> List[Item]:
    """The calls in order, those that run together in loops; loops: by the number of their first call."""
    items: List[Item] = []
    for number, call in enumerate(calls):
        if number in loops:
            items.append(loops[number])
        elif call.strips is None:
            items.append(call)
    return items


def _loops(
    program: Program, pieces: Pieces, limit: int, budget: float, slack: float
) -> Tuple[Pieces, List[Piece], int, Dict[int, Loop]]:
    """(pieces without calls whose kernels cannot compute strips, the best ones, the limit that these keep, their loops
    by their first call)."""
    reached = limit

    def ready(found: Pieces) -> Pieces:
        # The least memory may be any.
        return found.complete() if found.path(limit, slack) is None else found

    def best(found: Pieces) -> List[Piece]:
        nonlocal reached
        reached, path = _best(found, limit, budget, slack)
        return path

    pieces, path, loops = _loops_of(program, pieces, best, lambda piece: piece.kernels(reached), ready)
    return pieces, path, reached, loops


def _loops_of(
    program: Program,
    pieces: Pieces,
    best: Callable[[Pieces], List[Piece]],
    kernels: Callable[[Piece], List[Choice]],
    ready: Callable[[Pieces], Pieces] = lambda found: found,
) -> Tuple[Pieces, List[Piece], Dict[int, Loop]]:
    """The same; best: chooses them; kernels: of a piece's calls; ready: adds pieces where there are too few."""
    before = State(program)
    while True:
        pieces = ready(pieces)
        path = best(pieces)
        loops = _made_loops(program, pieces.calls, path, kernels)
        if isinstance(loops, dict):
            return pieces, path, loops
        before.restore(program)
        pieces = pieces.without(loops)


def _best(pieces: Pieces, limit: int, budget: float, slack: float) -> Tuple[int, List[Piece]]:
    """(the limit, the fastest pieces within it); where there are none, (the least within the budget, its pieces)."""
    found = pieces.path(limit, slack)
    if found is not None:
        return limit, found
    sizes = pieces.sizes().tolist()
    low, high, best = 0, len(sizes) - 1, (sizes[-1], pieces.path(sizes[-1], slack))
    while low <= high:
        middle = (low + high) // 2
        path = pieces.path(sizes[middle], slack)
        if path is not None and pieces.time_of(path, sizes[middle]) <= budget:
            best, high = (sizes[middle], path), middle - 1
        else:
            low = middle + 1
    return best


def _made_loops(
    program: Program, calls: List[Call], pieces: List[Piece], kernels: Callable[[Piece], List[Choice]]
) -> Union[Dict[int, Loop], Call]:
    """The loops by the number of their first call; or a call whose kernels cannot compute its strips."""
    readers, loops = program.readers(), {}
    for piece in pieces:
        inner = calls[piece.first : piece.last + 1]
        for call, choice in zip(inner, kernels(piece)):
            call.variant = choice.variant
        if not piece.rows:
            continue
        whole = {x for x in (call.writes[0] for call in inner) if is_whole(x, inner, readers)}
        loops[piece.first] = make_loop(inner, piece.rows, whole, piece.first_leads)
    for loop in loops.values():
        for call in loop.calls:
            if not _choose(call):
                for one in (one for each in loops.values() for one in each.calls):
                    one.strips = None
                return call
    return loops


def _choose(call: Call) -> bool:
    """Give a call a kernel that can compute all its strips: the one it has, or one of the same kind."""
    if fits_strips(call, call.variant):
        return True
    if isinstance(call.variant, Esp32s3Variant):
        return False
    for variant in [*VARIANTS.get(call.operator, ()), *([] if call.followers else [None])]:
        if variant is not None and variant.for_spare_memory:
            continue
        if fits_strips(call, variant):
            call.variant = variant
            return True
    return False


def fits_strips(call: Call, variant: Optional[Variant]) -> bool:
    """Whether a kernel can compute every strip of a call in a loop."""
    parts = call.strips.parts
    if isinstance(variant, Esp32s3Variant):
        return all(variant.fits_range(one, *call.input_range) for one in parts)
    return variant is None or variant.fits_strips(call, parts, rows_of(call))
