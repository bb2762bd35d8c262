"""The program: the one form that every pass of the compiler changes and every tool reads.

A `Program` is an ordered list of items. A `Call` is one kernel call, or a call of a function of TVM's for what has no
kernel; a `Loop` holds calls that run together, strip after strip over the rows of an image. Tensors are objects: the
call that makes a tensor and the calls that read it hold the same one, so nothing is looked up by name or index.

Tensors and calls are compared by identity. Passes fill in what they decide and return the program.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

import numpy as np

from ..pixels import pixel_table

INT8 = (-128, 127)


@dataclass(frozen=True)
class Place:
    """Where a tensor lies.

    kind: "arena": `offset` bytes behind its start; "psram_arena": the same of the second arena, which lies in PSRAM
        (compile/planning/two_arenas.py); "input", "output": the caller's buffer for port `index`;
        "constant": `Program.constants[index]`; "window": of an image's rows those that are in use, at most `rows`, from
        `offset` of the arena on (compile/planning/strips.py)
    kept: of a window: rows stay there from strip to strip; only what it does not hold at a time may lie there then
    memory: what the place is in on the chip: "internal", "psram" or "flash"; "" until that is decided
    """

    kind: str
    offset: int = 0
    index: int = 0
    rows: int = 0
    kept: bool = False
    memory: str = ""


@functools.lru_cache(maxsize=None)
def _item_bytes(dtype: str) -> int:
    return np.dtype(dtype).itemsize


@dataclass(eq=False)
class Tensor:
    """An activation tensor at the border of a call.

    name: the ONNX tensor it is ("" where the compiler made it, e.g. between two layout changes)
    shape: as it lies in memory (images NHWC)
    dtype: NumPy name, "int8", "int16", "int32", "float32", ...
    exponent: e of the real value q * 2^e; None for a tensor that is not quantized
    source: the tensor whose very bytes these are, in another shape; None for a tensor of its own
    place: see `Place`; None until it is placed
    order: of its channels, the last axis, where the compiler chose one: channel i is the model's channel order[i]; ():
        they are in the model's order
    """

    name: str
    shape: Tuple[int, ...]
    dtype: str
    exponent: Optional[int] = None
    source: Optional[Tensor] = None
    place: Optional[Place] = None
    order: Tuple[int, ...] = ()

    @property
    def elements(self) -> int:
        return int(math.prod(self.shape))

    @property
    def bytes(self) -> int:
        return self.elements * _item_bytes(self.dtype)

    @property
    def lying(self) -> int:
        """Bytes that it takes where it lies: all, or those of a window's rows."""
        window = self.place is not None and self.place.kind == "window"
        return self.bytes // self.shape[1] * self.place.rows if window else self.bytes

    @property
    def root(self) -> Tensor:
        """The tensor that owns the bytes."""
        tensor = self
        while tensor.source is not None:
            tensor = tensor.source
        return tensor


@dataclass(frozen=True)
class Pixels:
    """What a byte b of a uint8 input stands for in the ONNX model: float32((b * scale - mean) / std), by channel.

    mean, std: as many, one or one for each channel; axis: of the channels in the shape of the port
    """

    scale: Fraction
    mean: Tuple[Fraction, ...]
    std: Tuple[Fraction, ...]
    axis: int

    def table(self) -> np.ndarray:
        """float32 [one, or channels, 256]: what each byte stands for, rounded once."""
        return pixel_table(self.scale, self.mean, self.std)


@dataclass(eq=False)
class Port(Tensor):
    """A model input or output as the generated C has it.

    c_name: its field in the structs of tvmgen_default.h
    exponent: of an integer port, or of the integer tensor that a float input is quantized to (an output: dequantized
        from); None where there is none
    inside: the type of that tensor, None where there is none
    zero_point: the integer q of that tensor is worth (q - zero_point) * 2^exponent: 0 but for centred int8 inputs
    onnx_dtype, onnx_shape: in the ONNX file; program/ports.py goes from there to dtype and shape and back
    axes: the axes of the ONNX tensor in the order in which the port has them, () where it has them as they are
    pixels: of a uint8 input that is float in the ONNX file: what its bytes stand for
    alignment: the address of its buffer has to be a multiple of this
    """

    c_name: str = ""
    inside: Optional[str] = None
    zero_point: int = 0
    onnx_dtype: str = ""
    onnx_shape: Optional[Tuple[int, ...]] = None
    axes: Tuple[int, ...] = ()
    pixels: Optional[Pixels] = None
    alignment: int = 1

    def __post_init__(self) -> None:
        self.onnx_dtype = self.onnx_dtype or self.dtype
        self.onnx_shape = self.shape if self.onnx_shape is None else self.onnx_shape

    @property
    def macro(self) -> str:
        return self.c_name.upper()


@dataclass(frozen=True)
class State:
    """What the generated program keeps between calls: the output `after` of a call is the input `before` of the next.

    Both have one shape, type, exponent and zero point; before the first call, and after `tvmgen_default_reset`, it is
    zeros.
    """

    before: Port
    after: Port

    @property
    def is_one_form(self) -> bool:
        """Whether the bytes of `after` are those of `before`: not where integers have two exponents."""
        ports = (self.before, self.after)
        forms = {(p.dtype, p.shape, *((p.exponent, p.zero_point) if p.dtype != "float32" else ())) for p in ports}
        return len(forms) == 1


@dataclass(frozen=True)
class Constant:
    """An array of the generated program: its C type and name, its values, what it is."""

    c_type: str
    name: str
    array: np.ndarray
    comment: str


@dataclass(eq=False)
class Scratch:
    """Memory that a call needs while it runs: bytes, and where in the arena."""

    bytes: int
    offset: int = 0


@dataclass(frozen=True)
class CallTime:
    """How long a call takes on the board that it was exported for, in microseconds: an estimate (esp_tvm/estimate).

    compute: of its instructions; weights, activations: that it waits for them, where they are not in internal RAM
    instructions: that it executes, None where they are not known (TVM's own C): then compute is 0
    """

    instructions: Optional[int]
    compute: float
    weights: float
    activations: float

    @property
    def microseconds(self) -> float:
        return self.compute + self.weights + self.activations


@dataclass(eq=False)
class Call:
    """One call.

    symbol: the C function, "tvmgen_default_esp_main_N", or a function of TVM's
    operator: key in `operators.OPERATORS`, the rule in `esp_tvm.arithmetic`; "" for a fallback to TVM's C
    inputs: in the order of the rule's arguments; outputs: one of a kernel, of a recurrent layer also its `further` ones
        (compile/planning/states_once.py); one or more of a fallback. Both are its own; what its C function reads and
        writes, followers included, are `reads` and `writes`
    attributes: the keyword arguments of the rule; constants are NumPy arrays in the canonical layout of the rule
    index: its number, from the order in which TVM runs the calls; gaps are calls that others compute with them. The
        number in traces and logs
    nodes: the ONNX nodes it computes as people read them, in graph order, a Pad last; node_indices: their places in the
        graph
    output_node: index of the ONNX node that makes its output, None where the compiler inserted the call

    Filled in by passes:
    kernel: the C function that it calls, by its real name; "" where there is nothing to do (`is_view`)
    is_view: its output is its input's memory: no code
    variant: the faster kernel that was chosen (compile/kernels), None: the operator's plain one; exporter only
    input_range: least and greatest int8 value of its first input; often: the value of it that is probably the most
        common, exporter only
    followers: the calls that the same kernel computes after it (a change of layout), each complete with
        inputs and outputs of its own; what is passed between them lies nowhere (its place is None)
    scratch: memory while it runs
    overlap_distance: bytes by which its output has to start before its first input where the two overlap, None: they
        must not
    slowest: by which factor the data that take longest take longer than those that take least, at most, where a kernel
        computes some values again; else 1
    split: how two cores share it (compile/planning/cores.py); not_split: why they do not
    strips: of a call in a loop, what it does in each strip (compile/planning/strip_parts.py); exporter only
    constants: its arrays, in the order of the C
    macs: multiply-accumulates, its followers' included
    estimate: how long it will take; None before it is exported, and on the host
    reason: of a fallback, why it has no kernel; relay: the Relay operators in it; operations: what it costs
    """

    symbol: str
    operator: str
    inputs: List[Tensor]
    outputs: List[Tensor]
    attributes: Dict[str, Any] = field(default_factory=dict)
    index: int = -1
    nodes: List[str] = field(default_factory=list)
    node_indices: List[int] = field(default_factory=list)
    output_node: Optional[int] = None
    kernel: str = ""
    is_view: bool = False
    variant: Any = None
    input_range: Tuple[int, int] = INT8
    often: int = 0
    followers: List[Call] = field(default_factory=list)
    scratch: Optional[Scratch] = None
    overlap_distance: Optional[int] = None
    slowest: float = 1.0
    split: Any = None
    not_split: str = ""
    strips: Any = None
    constants: List[Constant] = field(default_factory=list)
    macs: int = 0
    estimate: Optional[CallTime] = None
    reason: str = ""
    relay: List[str] = field(default_factory=list)
    operations: int = 0

    @property
    def output(self) -> Tensor:
        """The output of a kernel, of several the first."""
        return self.outputs[0]

    @property
    def reads(self) -> List[Tensor]:
        """What its C function reads, in order: its inputs, and what its followers read besides."""
        own = {output for call in (self, *self.followers) for output in call.outputs}
        return [x for call in (self, *self.followers) for x in call.inputs if x.root not in own]

    @property
    def writes(self) -> List[Tensor]:
        """What its C function writes: the outputs of the last call in it."""
        return (self.followers[-1] if self.followers else self).outputs

    @property
    def is_fallback(self) -> bool:
        return not self.operator

    @property
    def kind(self) -> str:
        """The operator whatever the width of its tensors, and what is added to its sums: `conv2d` of conv2d, of
        conv2d_s16 and of conv2d_add."""
        plain = self.operator[: -len("_s16")] if self.operator.endswith("_s16") else self.operator
        return "conv2d" if plain == "conv2d_add" else plain

    @property
    def addend(self) -> Optional[Tensor]:
        """What a convolution adds to its sums; None where it adds nothing."""
        return self.inputs[1] if self.kind == "conv2d" and len(self.inputs) > 1 else None

    @property
    def all_nodes(self) -> List[str]:
        """The ONNX nodes that its kernel computes, those of its followers too."""
        return [node for call in (self, *self.followers) for node in call.nodes]

    @property
    def title(self) -> str:
        """`conv2d + add`: what its kernel computes."""
        return " + ".join(call.operator for call in (self, *self.followers)) if self.operator else "TVM"


@dataclass(eq=False)
class Loop:
    """Calls that run together strip by strip over the rows of an image, with windows of rows between them.

    rows: rows of the last call's output in a strip, of its input where it adds all rows up to one; first_leads: of the
        first call's output
    schedule: what every call does in every strip (compile/planning/strips.py); exporter only
    """

    calls: List[Call]
    rows: int
    first_leads: bool = False
    schedule: Any = None

    @property
    def leader(self) -> Call:
        """The call whose rows are counted."""
        return self.calls[0 if self.first_leads else -1]

    @property
    def adds_up(self) -> bool:
        """Whether the leader adds up all rows of its input: calls with one row of output lead only then."""
        return self.leader.writes[0].shape[1] == 1

    @property
    def height(self) -> int:
        """The rows that are cut in strips: of the leader's output, or of its input where it adds them up."""
        return (self.leader.reads if self.adds_up else self.leader.writes)[0].shape[1]

    @property
    def strips(self) -> int:
        """How many the leader computes. Those behind it, or before it, take some more."""
        return -(-self.height // self.rows)


Item = Union[Call, Loop]


@dataclass(frozen=True)
class Exported:
    """With what a program was exported, and what memory its board has.

    options: of the export step, by name, as text
    internal: bytes of internal RAM that the model may take; psram, flash: bytes of these chips; app: of the partition
        for the program. 0: there is none, as on the host
    """

    options: Dict[str, str]
    internal: int = 0
    psram: int = 0
    flash: int = 0
    app: int = 0


@dataclass(eq=False)
class Program:
    """See the module. inputs, outputs: of the model, states too; items: in the order of execution

    states: inputs and outputs that the program keeps itself; the caller passes the others
    nodes: the ONNX nodes as people read them; refusals: index of a node -> why the kernel for it does not take it
    constants: all arrays of the program, its calls' and those that main hands to functions of TVM's
    fallback_source: C of TVM's functions and their constants (fallback_constant_bytes)
    arena_bytes: memory for all activations but those in the second arena, which has psram_arena_bytes and lies in PSRAM
    arena_limit: how much more of the arena speed was allowed to take, None: all it needs
    model_hash: SHA-256 of the quantized ONNX file's content
    kernels_for: whose own kernels were taken where there are some (esp32s3, esp32), None: the same kernels as for all
        chips
    target_chip: of the project that it was read from, "" before it is exported; board: what it was exported for, and
        its memory, for people
    exported: with what it was exported, None before it
    verification: the export's comparison with ONNX Runtime (onnx_check.py: `Verification.describe`), None before it
    """

    inputs: List[Port]
    outputs: List[Port]
    items: List[Item]
    states: List[State] = field(default_factory=list)
    nodes: List[str] = field(default_factory=list)
    refusals: Dict[int, str] = field(default_factory=dict)
    constants: List[Constant] = field(default_factory=list)
    fallback_source: str = ""
    fallback_constant_bytes: int = 0
    arena_bytes: int = 0
    psram_arena_bytes: int = 0
    arena_limit: Optional[int] = None
    model_hash: str = ""
    kernels_for: Optional[str] = None
    cores: int = 1
    target_chip: str = ""
    board: str = ""
    exported: Optional[Exported] = None
    verification: Optional[Dict[str, float]] = None

    @property
    def callers_inputs(self) -> List[Port]:
        """The inputs that the caller passes."""
        kept = [state.before for state in self.states]
        return [port for port in self.inputs if port not in kept]

    @property
    def callers_outputs(self) -> List[Port]:
        """The outputs that the caller gets."""
        kept = [state.after for state in self.states]
        return [port for port in self.outputs if port not in kept]

    def calls(self) -> Iterator[Call]:
        """Every call in the order of execution, those in loops too; followers are not calls of their own."""
        for item in self.items:
            yield from item.calls if isinstance(item, Loop) else [item]

    def readers(self) -> Dict[Tensor, List[Call]]:
        """The calls that read each tensor's bytes, by the tensor that owns them; each call once."""
        found: Dict[Tensor, List[Call]] = {}
        for call in self.calls():
            for tensor in dict.fromkeys(x.root for x in call.reads):
                found.setdefault(tensor, []).append(call)
        return found

    @property
    def steps(self) -> int:
        """One more than the greatest number of a call: how many lines a trace's table has."""
        return max((call.index for call in self.calls()), default=-1) + 1

    @property
    def kernels(self) -> List[Call]:
        return [call for call in self.calls() if not call.is_fallback]

    @property
    def computations(self) -> List[Call]:
        """What kernels compute, one operator each: the kernel calls, and their followers as calls of their own."""
        return [one for call in self.kernels for one in (call, *call.followers)]

    @property
    def fallbacks(self) -> List[Call]:
        return [call for call in self.calls() if call.is_fallback]

    @property
    def constant_bytes(self) -> int:
        """Bytes of all constant data."""
        return sum(constant.array.nbytes for constant in self.constants) + self.fallback_constant_bytes

    @property
    def macs(self) -> int:
        return sum(call.macs for call in self.calls())


def nodes_text(call: Call) -> str:
    """The ONNX nodes of a call in a line, or what it is without any."""
    return ", ".join(call.all_nodes) or ("(layout change)" if call.operator else "Relay " + ", ".join(call.relay))
