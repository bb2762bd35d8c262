"""Chips with two cores: which kernels are computed in two parts, one on each core, and where they are cut.

A part is a call of the same kernel with fewer rows, images, columns or outputs; both parts read the same input and
write into the same output. So the bytes are those of one core, whatever the order in which the parts run.

What it costs: a part on the other core has to be started and waited for. What it saves: the instructions of the part
that the calling core does not compute. Both are estimates, made from the counts of `make bench` and of
docs/esp32-s3.md; nothing was measured on a board (docs/both-cores.md).

The parts run at the same time, so the output of such a kernel may not overlap its input, as it may where one core goes
from front to back: the arena can grow.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, Iterator, List, Optional, Tuple, Union

from ...program import Call, Program, Tensor
from ...program.split import Split
from ..kernels.esp32s3 import LANES, Esp32s3Variant
from ..kernels.mac16 import uses_mac16
from .blocks import aligned
from .memory import arena_bytes

# Instructions that pass until the other core has begun, and again until its end is seen: what FreeRTOS needs to wake a
# task of the other core. An assumption.
FORK_JOIN = 3000
# A kernel is cut if that saves so many instructions: it pays even if FORK_JOIN is really twice as much.
WORTH = 2 * FORK_JOIN
# Instructions per multiply-accumulate, of int8 kernels in C, of those for the vector unit, of the plain ones; and of
# those for the MAC16 unit.
_FAST = {"conv2d": 2.2, "depthwise_conv2d": 4.5, "dense": 2.6}
_VECTOR = {"conv2d": 0.12, "depthwise_conv2d": 0.4, "dense": 0.15}
_MAC16 = 1.4
PLAIN = {"conv2d": 7.0, "depthwise_conv2d": 10.0, "dense": 7.0}


@dataclass(frozen=True)
class Part:
    """One part: `call` computes places `start` to `end` of the axis that is cut.

    input_offset, output_offset: elements from the tensors' start to the part's
    """

    call: Call
    start: int
    end: int
    input_offset: int
    output_offset: int

    @property
    def scratch(self) -> int:
        """Bytes of scratch memory, at a multiple of 16."""
        return 0 if self.call.variant is None else aligned(self.call.variant.scratch(self.call))


@dataclass(frozen=True)
class TwoParts(Split):
    """How a call is cut, with what the C of it needs.

    parts: on the calling core, on the other one; scratch: bytes for both, the second's behind the first's
    """

    parts: Tuple[Part, Part]
    scratch: Tuple[int, int]


@dataclass(frozen=True)
class SplitStrips(Split):
    """How the strips of a call in a loop are cut. kinds: of each kind of strip, None: it stays whole"""

    kinds: Tuple[Optional[TwoParts], ...]


def estimate(call: Call) -> int:
    """Instructions that a call takes, roughly."""
    if isinstance(call.variant, Esp32s3Variant):
        rate = _VECTOR[call.kind]
    else:
        rate = (_FAST if call.variant is not None else PLAIN)[call.kind]
        rate = _MAC16 if uses_mac16(call) else rate
    return int(call.macs * rate)


# --- cutting ------------------------------------------------------------------------------------------------


def _with_shapes(call: Call, input_shape: tuple, output_shape: tuple, **attributes) -> Call:
    x, y = call.inputs[0], call.output
    return replace(
        call,
        inputs=[
            Tensor(x.name, tuple(input_shape), x.dtype, x.exponent),
            *(Tensor(one.name, tuple(output_shape), one.dtype, one.exponent) for one in call.inputs[1:]),
        ],
        outputs=[Tensor(y.name, tuple(output_shape), y.dtype, y.exponent)],
        attributes={**call.attributes, **attributes},
    )


def _images(call: Call, start: int, end: int) -> Part:
    x, y = call.inputs[0].shape, call.output.shape
    part = _with_shapes(call, (end - start, *x[1:]), (end - start, *y[1:]))
    return Part(part, start, end, start * _count(x[1:]), start * _count(y[1:]))


def _rows(call: Call, start: int, end: int) -> Part:
    """The image stays whole; its first window starts further down, which is less padding, or a negative one."""
    a, y = call.attributes, call.output.shape
    padding = (a["padding"][0] - start * a["strides"][0], *a["padding"][1:])
    part = _with_shapes(call, call.inputs[0].shape, (y[0], end - start, *y[2:]), padding=padding)
    return Part(part, start, end, 0, start * _count(y[2:]))


def _columns(call: Call, start: int, end: int) -> Optional[Part]:
    """Of an image with one row; None for a part that lies in the padding alone."""
    a, (n, h, width, channels), y = call.attributes, call.inputs[0].shape, call.output.shape
    first = start * a["strides"][1] - a["padding"][1]
    begin = max(first, 0)
    if begin >= width:
        return None
    padding = (a["padding"][0], begin - first, *a["padding"][2:])
    part = _with_shapes(call, (n, h, width - begin, channels), (*y[:2], end - start, y[3]), padding=padding)
    return Part(part, start, end, begin * channels, start * y[3])


def _dense_rows(call: Call, start: int, end: int) -> Part:
    outputs, inputs = call.attributes["weights"].shape
    part = _with_shapes(call, (end - start, inputs), (end - start, outputs))
    return Part(part, start, end, start * inputs, start * outputs)


def _outputs(call: Call, start: int, end: int) -> Part:
    a = call.attributes
    own = {name: a[name][start:end] for name in ("weights", "bias", "shift")}
    part = _with_shapes(call, call.inputs[0].shape, (1, end - start), **own)
    return Part(part, start, end, 0, start)


def _count(shape: tuple) -> int:
    return Tensor("", tuple(shape), "int8").elements


def _axis(call: Call) -> Union[str, Tuple[str, int, object]]:
    """(name, size, function that makes a part) of the axis along which a call is cut, or why it is not."""
    if call.kind == "dense":
        outputs = len(call.attributes["weights"])
        rows = call.output.elements // outputs
        return ("rows", rows, _dense_rows) if rows > 1 else ("outputs", outputs, _outputs)
    n, h, w, _ = call.output.shape
    if n > 1:
        return "images", n, _images
    if h > 1:
        return "rows", h, _rows
    if w > 1 and call.inputs[0].shape[1] == 1:
        return "columns", w, _columns
    return "its output is one row"


def _fits(part: Part) -> bool:
    """Whether the kernel that was chosen for the whole call can compute the part."""
    variant = part.call.variant
    if variant is None:
        return True
    if not isinstance(variant, Esp32s3Variant):
        return variant.fits(part.call)
    # Tensors of the vector unit start at multiples of 16.
    if part.input_offset % LANES or part.output_offset % LANES:
        return False
    return variant.fits_range(part.call, *part.call.input_range)


def _pair(call: Call, axis: tuple, cut: int) -> Optional[Tuple[Part, Part]]:
    """Both parts, None where the kernel cannot compute one of them."""
    parts: List[Part] = []
    for start, end in ((0, cut), (cut, axis[1])):
        part = axis[2](call, start, end)
        if part is None or not _fits(part):
            return None
        parts.append(part)
    return parts[0], parts[1]


def _cuts(call: Call, axis: tuple) -> Iterator[int]:
    """Where to cut, the most even first; the calling core, which begins first, gets the larger part."""
    size, step = axis[1], 1
    if axis[0] == "outputs" and call.variant is not None:
        # Weights lie in blocks of so many outputs.
        step = LANES if isinstance(call.variant, Esp32s3Variant) else 8
    return iter(sorted(range(step, size, step), key=lambda cut: (max(cut, size - cut), -cut)))


def split_call(call: Call) -> Union[TwoParts, SplitStrips, str]:
    """The most even split of a call by the kernel that was chosen for it, or why it stays whole."""
    return _split_whole(call) if call.strips is None else _split_strips(call)


def _split_strips(call: Call) -> Union[SplitStrips, str]:
    """Every strip of a call in a loop is cut by itself."""
    found = [_split_whole(part) for part in call.strips.with_variant(call.variant)]
    kinds = tuple(None if isinstance(one, str) else one for one in found)
    cut = [kinds[kind] for kind in call.strips.kinds if kind >= 0 and kinds[kind] is not None]
    if not cut:
        return f"of a strip: {found[0]}"
    most = max(cut, key=cut.count)
    return SplitStrips(most.axis, most.size, most.cut, sum(one.saved for one in cut), kinds)


def _split_whole(call: Call) -> Union[TwoParts, str]:
    if call.kind not in PLAIN:
        return "its kernel is not one that is cut"
    axis = _axis(call)
    if isinstance(axis, str):
        return axis
    whole = estimate(call)
    least = whole // 2
    if least < WORTH:
        return f"too small: at most {least} instructions are saved"
    for cut in _cuts(call, axis):
        saved = int(whole * min(cut, axis[1] - cut) / axis[1])
        if saved < WORTH:
            break
        parts = _pair(call, axis, cut)
        if parts is not None:
            return TwoParts(axis[0], axis[1], cut, saved, parts, (parts[0].scratch, parts[1].scratch))
    return f"no even cut of its {axis[1]} {axis[0]} suits its kernel"


def split_again(call: Call) -> bool:
    """Cut a call that is split anew, for another variant; False where that cannot be cut."""
    if call.split is None:
        return True
    split = split_call(call)
    if isinstance(split, str):
        return False
    call.split = split
    return True


# --- choosing -----------------------------------------------------------------------------------------------


def split_over_cores(program: Program, arena_limit: Optional[int] = None) -> Program:
    """Say of every call with weights how two cores share it, or why they do not.

    arena_limit: bytes that the arena may grow to; None: as large as it must be. It never becomes larger than it is
    without splits unless it fits there. Kernels that save most come first.
    """
    program.cores, program.arena_limit = 2, arena_limit
    before = arena_bytes(program)
    found: Dict[Call, Split] = {}
    for call in program.kernels:
        if call.kind not in PLAIN:
            continue
        split = split_call(call)
        if isinstance(split, str):
            call.not_split = split
        else:
            found[call] = call.split = split
    if arena_limit is None or arena_bytes(program) <= max(arena_limit, before):
        return program
    for call in found:
        call.split = None
    for call, split in sorted(found.items(), key=lambda item: -item[1].saved):
        call.split = split
        arena = arena_bytes(program)
        if arena > max(arena_limit, before):
            call.split = None
            call.not_split = f"the arena would grow to {arena} bytes; there is room for {max(arena_limit, before)}"
    return program
