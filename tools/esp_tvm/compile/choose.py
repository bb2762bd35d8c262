"""Chooses the kernel of every step: as fast as can be while the arena stays as small as can be."""

from __future__ import annotations

import sys
from typing import Dict, Optional, Tuple

from ..operators import OPERATORS
from ..operators.base import INT8
from . import esp32s3
from .aot import Lowered, Value
from .cores import choose_splits, split_call
from .memory_plan import plan_memory
from .partition import Partitioned
from .variants import VARIANTS, Choice, Choices, QuantizeNhwc

_TO_NHWC = (0, 2, 3, 1)


def value_ranges(lowered: Lowered, partitioned: Partitioned) -> Dict[Value, Tuple[int, int]]:
    """Least and greatest int8 value that each value can hold, by the rules of the operators (`output_range`)."""
    ranges: Dict[Value, Tuple[int, int]] = {}
    for step in lowered.steps:
        call = partitioned.calls.get(step.symbol)
        if call is None or call.output.dtype != "int8" or len(step.results) != 1:
            continue
        inputs = [ranges.get(step.arguments[i], INT8) for i in partitioned.parameters[step.symbol]]
        ranges[step.results[0]] = OPERATORS[call.operator].output_range(call, inputs)
    return ranges


def choose(
    lowered: Lowered, partitioned: Partitioned, chip: Optional[str] = None, cores: int = 1, room: Optional[int] = None
) -> Choices:
    """The variant of every step that has one, and the additions that are fused with a convolution.

    Where a faster variant would need so much scratch memory that the arena grows, the next one is taken. For `chip`
    esp32s3 kernels for its vector unit come first, whatever they need.
    cores: 2: also which steps are computed in two parts; room: how large the arena may become for speed (cores.py)
    """
    choices = Choices()
    ranges = value_ranges(lowered, partitioned)
    for index, step in enumerate(lowered.steps):
        call = partitioned.calls.get(step.symbol)
        if chip == esp32s3.CHIP and call is not None and esp32s3.lies_aligned(step, lowered, partitioned):
            low, high = ranges.get(step.arguments[0], INT8)
            variant = esp32s3.choose_vector(call, low, high)
            if variant is not None:
                choices.steps[index] = Choice(call, variant, low, high)
                continue
        fitting = [v for v in VARIANTS.get(call.operator, ()) if v.fits(call)] if call is not None else []
        if fitting:
            low, high = ranges.get(step.arguments[0], INT8)
            leanest = min(fitting, key=lambda variant: variant.scratch(call))
            choices.steps[index] = Choice(call, leanest, low, high)
            _fuse(index, lowered, partitioned, choices)
        elif call is not None and call.operator == "quantize" and QuantizeNhwc().fits(call):
            following = _only_next(index, lowered)
            behind = partitioned.calls.get(lowered.steps[following].symbol) if following else None
            if behind is not None and behind.operator == "transpose" and tuple(behind.attributes["axes"]) == _TO_NHWC:
                choices.steps[index] = Choice(call, QuantizeNhwc())
                choices.fused[index] = following
    _take_faster(choices, lowered, partitioned, plan_memory(lowered, partitioned, choices).arena_bytes)
    if cores > 1:
        # Speed is what two cores are for: splits, and scratch memory of faster kernels, may take what room there is.
        least = plan_memory(lowered, partitioned, choices).arena_bytes
        choose_splits(choices, lowered, partitioned, room)
        _take_faster(choices, lowered, partitioned, sys.maxsize if room is None else max(room, least))
    return choices


def _take_faster(choices: Choices, lowered: Lowered, partitioned: Partitioned, most: int) -> None:
    """Take the fastest variant of every step with which the arena has at most `most` bytes."""
    for index, choice in sorted(choices.steps.items(), key=lambda item: item[1].call.inputs[0].bytes):
        lean, split = choice.variant, choices.splits.get(index)
        if isinstance(lean, esp32s3.Esp32s3Variant):
            continue
        for variant in VARIANTS.get(choice.call.operator, ()):
            if variant is lean:
                break
            if not variant.fits(choice.call):
                continue
            choice.variant = variant
            if _split_again(index, choices) and plan_memory(lowered, partitioned, choices).arena_bytes <= most:
                break
            choice.variant = lean
            if split is not None:
                choices.splits[index] = split


def _split_again(index: int, choices: Choices) -> bool:
    """Cut a step that is split anew, for another variant; False where that cannot be cut."""
    if index not in choices.splits:
        return True
    choice = choices.steps[index]
    split = split_call(choice.call, choice, OPERATORS[choice.call.operator].macs(choice.call))
    if isinstance(split, str):
        return False
    choices.splits[index] = split
    return True


def _only_next(index: int, lowered: Lowered) -> Optional[int]:
    """The next step, if it alone needs what step `index` computes."""
    result = lowered.steps[index].results[0]
    users = [i for i, step in enumerate(lowered.steps) if result in step.arguments]
    return index + 1 if users == [index + 1] and result.kind == "value" else None


def _fuse(index: int, lowered: Lowered, partitioned: Partitioned, choices: Choices) -> None:
    """Let the addition that follows a convolution, and alone needs its result, compute the convolution too."""
    result, addition = lowered.steps[index].results[0], _only_next(index, lowered)
    if addition is None or not choices.steps[index].variant.fuses_add:
        return
    step = lowered.steps[addition]
    call = partitioned.calls.get(step.symbol)
    if call is None or call.operator != "add" or len(step.arguments) != 2:
        return
    first = step.arguments[partitioned.parameters[step.symbol][0]]
    choices.steps[index].addition = call
    choices.steps[index].swapped = first != result
    choices.fused[index] = addition
