"""Chooses the kernel of every call: as fast as possible while the arena stays as small as possible."""

from __future__ import annotations

import sys
from typing import Dict, Optional

from ...program import INT8, Call, Program, Tensor
from ..kernels import esp32s3, mac16
from ..kernels.variants import Variant
from .channel_order import sort_channels
from .cores import split_again, split_over_cores
from .fuse import fuse
from .kernel_times import KernelTimes
from .loops import State, fits_strips, run_in_strips
from .memory import arena_bytes, fits_arena
from .ranges import value_ranges
from .transposed import as_convolutions


def choose_kernels(
    program: Program,
    chip: Optional[str] = None,
    cores: int = 1,
    arena_limit: Optional[int] = None,
    strips: Optional[int] = None,
    two_arenas: bool = False,
    slowdown: Optional[float] = None,
) -> Program:
    """Choose the variant of every call that has one, and fuse what one kernel can compute together.

    Where a faster variant would need so much scratch memory that the arena grows, the next one is taken. For `chip`
    esp32s3 kernels for its vector unit come first, whatever memory they need, for esp32 those for its MAC16 unit that
    need little.
    cores: 2: also which calls are computed in two parts; arena_limit: how large the arena may become for speed
    strips: bytes of arena above which calls run together in strips (loops.py); None: never
    two_arenas: tensors may lie in a second arena, in PSRAM, where those bytes cannot be reached
    slowdown: the part of the estimated instructions by which the program may take more than it does without strips
        where those bytes cannot be reached: the arena is then the least that was found within it; None: any
    """
    program.cores, program.kernels_for = cores, chip if chip in (esp32s3.CHIP, mac16.CHIP) else None
    program = as_convolutions(program, chip, strips or 0)
    ranges = value_ranges(program)
    makers = {output: call for call in program.calls() for output in call.outputs}
    for call in program.kernels:
        call.input_range = ranges.get(call.inputs[0].root, INT8) if call.inputs else INT8
        call.often = _often(call, makers)
    sort_channels(program, chip)
    for call in program.kernels:
        if chip == esp32s3.CHIP and _lies_aligned(call, makers):
            call.variant = esp32s3.choose_vector(call, *call.input_range)
        if chip == esp32s3.CHIP and call.variant is None:
            call.variant = esp32s3.choose_anywhere(call)
        if call.variant is None:
            call.variant = _leanest(call, chip)
    program = fuse(program)
    if strips is None or fits_arena(program, strips) or not _run_together(program, strips, slowdown, two_arenas):
        _take_faster(program, max(arena_bytes(program), strips or 0))
    if cores > 1:
        # Two cores are used for speed: splits, and scratch memory of faster kernels, may take all the room there is.
        least = arena_bytes(program)
        program = split_over_cores(program, arena_limit)
        _take_faster(program, sys.maxsize if arena_limit is None else max(arena_limit, least))
    _align(program, makers)
    if chip == mac16.CHIP and not any(mac16.uses_mac16(call) for call in program.kernels):
        program.kernels_for = None
    return program


def _run_together(program: Program, strips: int, slowdown: Optional[float], two_arenas: bool) -> bool:
    """Let calls run together in strips so that the arena has at most `strips` bytes; see `choose_kernels`. Returns
    whether the fastest kernels that the arena has room for are taken already."""
    lean, whole = State(program), 0.0
    if slowdown is not None:
        whole = _take_fastest(program)
        lean.restore(program)
    # First what takes the least memory; what then is left may be used for speed.
    for call in filter(mac16.uses_mac16, program.kernels):
        call.variant = _leanest(call, None)
    if fits_arena(program, strips):
        return False
    if slowdown is None:
        run_in_strips(program, strips, beside=two_arenas)
        return False
    leanest = State(program)
    # Kernels that were chosen together may not all fit beside each other.
    for part in (1.0, 0.5, 0.25):
        run_in_strips(program, strips, (1 + part * slowdown) * whole, two_arenas)
        if fits_arena(program, strips):
            return False
        if _take_fastest(program) <= (1 + slowdown) * whole:
            return True
        leanest.restore(program)
    lean.restore(program)
    return False


def _take_fastest(program: Program) -> float:
    """Take the fastest kernels that the arena has room for; the estimated instructions of the program then."""
    _take_faster(program, arena_bytes(program))
    return KernelTimes(program).of_program(program)


def _often(call: Call, makers: Dict[Tensor, Call]) -> int:
    """The value of its first input that is probably the most common."""
    low = call.input_range[0]
    if low > INT8[0] or not call.inputs:
        return low
    # Results of a relu that are stored less a constant begin where int8 does; inputs of the model mean what they say.
    maker = makers.get(_owner(call.inputs[0], makers))
    return 0 if maker is None or maker.operator in ("quantize", "pixels") else low


def _leanest(call: Call, chip: Optional[str]) -> Optional[Variant]:
    """The variant that needs the least scratch memory, of those for the MAC16 unit if one of these needs little."""
    fitting = [variant for variant in mac16.variants_of(call.operator, chip) if variant.fits(call)]
    own = [one for one in fitting if isinstance(one, mac16.OWN) and one.scratch(call) <= mac16.LITTLE_MEMORY]
    return min(own or fitting, key=lambda variant: variant.scratch(call)) if fitting else None


def _take_faster(program: Program, most: int) -> None:
    """Take the fastest variant of every call with which the arena has at most `most` bytes.

    Those for spare memory come last, so that none of the others has to give way.
    """
    chosen, times = [call for call in program.kernels if call.variant is not None], KernelTimes(program)
    for spare in (False, True):
        for call in sorted(chosen, key=lambda one: one.inputs[0].bytes):
            _take_faster_for(call, program, most, spare, times)


def _take_faster_for(call: Call, program: Program, most: int, spare: bool, times: KernelTimes) -> None:
    """The same for a call; spare: only variants for spare memory, else only others."""
    lean, split = call.variant, call.split
    if isinstance(lean, esp32s3.Esp32s3Variant):
        return
    for variant in mac16.variants_of(call.operator, program.kernels_for):
        if variant is lean:
            return
        if variant.for_spare_memory != spare or variant.scratch(call) > most:
            continue
        if not (variant.fits(call) if call.strips is None else fits_strips(call, variant)):
            continue
        # The last pixels of many strips may take longer than those of a slower kernel.
        if call.strips is not None and not times.is_faster(call, variant):
            continue
        call.variant = variant
        if split_again(call) and fits_arena(program, most):
            return
        call.variant, call.split = lean, split


def _owner(tensor: Tensor, makers: Dict[Tensor, Call]) -> Tensor:
    """The tensor whose memory a tensor will be: a reshape of an input is that input's own buffer."""
    root = tensor.root
    while root.place is None and makers[root].operator == "reshape":
        root = makers[root].inputs[0].root
    return root


def _lies_aligned(call: Call, makers: Dict[Tensor, Call]) -> bool:
    """Whether all tensors of a call lie at multiples of 16: in the arena, or in buffers that must (`_align`)."""

    def is_aligned(tensor: Tensor) -> bool:
        place = tensor.place
        return place is None or (place.kind in ("input", "output") and tensor.dtype == "int8")

    return all(is_aligned(_owner(tensor, makers)) for tensor in [*call.reads, *call.writes])


def _align(program: Program, makers: Dict[Tensor, Call]) -> None:
    """Require that the buffers of ports that vector kernels read and write start at multiples of 16."""
    for call in program.kernels:
        if not isinstance(call.variant, esp32s3.Esp32s3Variant):
            continue
        for tensor in [*call.reads, *call.writes]:
            place = _owner(tensor, makers).place
            if place is not None:
                ports = program.inputs if place.kind == "input" else program.outputs
                ports[place.index].alignment = 16
