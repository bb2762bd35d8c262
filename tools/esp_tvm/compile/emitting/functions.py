"""The C functions of kernel calls: `tvmgen_default_esp_main_N`, and the second part where two cores share one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Dict, List, Sequence

import numpy as np

from ...c_text import C_TYPES, array_lines, call_lines, comment_lines
from ...naming import c_comment
from ...operators import OPERATORS
from ...program import Call, Constant, Program
from ..planning.memory import scratch_bytes
from .emitter import Emitter, SharingEmitter, StripsEmitter, switch_lines


@dataclass
class Function:
    """A C function: comment, signature (in lines) and body."""

    comment: List[str]
    signature: List[str]
    body: List[str]


@dataclass
class Functions:
    """The functions of a call, in the order required by C; can_fail: whether the last one returns a status."""

    functions: List[Function] = field(default_factory=list)
    can_fail: bool = False


def write_functions(program: Program) -> Dict[Call, Functions]:
    """The functions of all kernel calls; every call gets the name of its kernel, and its constants."""
    written: Dict[Call, Functions] = {}
    own = [constant for constant in program.constants if constant.name.startswith("tvmgen_default_constant_")]
    found = []
    for call in program.kernels:
        if call.is_view:
            continue
        written[call] = _functions_of(call)
        found += call.constants
    # Constants of TVM keep their indices, since places refer to them.
    program.constants = [*own, *found]
    return written


def _functions_of(call: Call) -> Functions:
    """The functions of a call, which gets the name of its kernel and its constants."""
    emitter = Emitter(call.symbol, _instead(call))
    if call.strips is not None:
        made = _strips_function(call, emitter)
    else:
        made = _split_functions(call, emitter) if call.split is not None else _one_function(call, emitter)
    call.kernel = next((name for name in emitter.kernels if name.startswith("esp_dl_")), emitter.kernels[0])
    call.constants = emitter.constants
    return made


def title(call: Call) -> str:
    """`3. Conv "/stem/Conv", Relu "/Relu"`: the number of a kernel's function and the ONNX nodes it computes."""
    number = call.symbol.rsplit("_main_", 1)[-1]
    nodes = ", ".join(c_comment(node) for node in call.all_nodes)
    return f"{number}. {nodes}" if nodes else f"{number}. (layout change)"


def input_names(call: Call) -> List[str]:
    """The names of the inputs of a call's function: input, input and addend, or input0, input1, ..."""
    if call.addend is not None:
        return ["input", "addend"]
    return ["input"] if len(call.inputs) == 1 else [f"input{i}" for i in range(len(call.inputs))]


def _instead(call: Call) -> Dict[str, str]:
    if call.variant is None or not call.variant.plain_parameters:
        return {}
    return {call.variant.replaces or f"esp_dl_{call.operator}_s8": call.variant.kernel}


def _emit(call: Call, emitter: Emitter, inputs: Sequence[str], output: str) -> None:
    """Write the C that computes a call, by the kernel that was chosen for it."""
    if call.variant is not None and not call.variant.plain_parameters:
        call.variant.emit(call, emitter, inputs, output)
    else:
        OPERATORS[call.operator].emit(call, emitter, inputs, output)


def _parameters(call: Call, scratch: bool) -> List[str]:
    """The parameters of a call's function: what it reads, what it writes (output, output1, ...), scratch memory."""
    read = [f"const {C_TYPES[x.dtype]} *{name}" for name, x in zip(input_names(call), call.reads)]
    written = [f"{C_TYPES[x.dtype]} *output{place or ''}" for place, x in enumerate(call.writes)]
    return [*read, *written, *(["void *scratch"] if scratch else [])]


def _one_function(call: Call, emitter: Emitter) -> Functions:
    _emit(call, emitter, input_names(call), "output")
    kind = "int32_t" if emitter.can_fail else "void"
    signature = call_lines(f"{kind} {call.symbol}", _parameters(call, bool(scratch_bytes(call))), "", "")
    end = ["    return 0;"] if emitter.can_fail else []
    function = Function(comment_lines([title(call)]), signature, [*emitter.parameters, *emitter.lines, *end])
    return Functions([function], emitter.can_fail)


def kinds_of(call: Call) -> int:
    """How many kinds of strips the function of a call in a loop computes; it takes the number of one if there are."""
    return 0 if call.strips is None else len(call.strips.parts)


def _strips_function(call: Call, emitter: Emitter) -> Functions:
    """The function of a call in a loop: a strip of each kind has parameters of its own."""
    parts = call.strips.with_variant(call.variant)
    if call.split is not None:
        return _split_strips_functions(call, parts, emitter)
    several = StripsEmitter(emitter, len(parts))
    for one in parts:
        several.begin()
        _emit(one, several, input_names(one), "output")
    several.finish()
    return Functions([_strips_head(call, [*emitter.parameters, *emitter.lines])])


def _strips_head(call: Call, body: List[str]) -> Function:
    """The function of a call in a loop."""
    parameters = _parameters(call, bool(scratch_bytes(call)))
    kinds = kinds_of(call)
    if kinds > 1:
        parameters.insert(0, "int32_t kind")
    what = "a strip" if kinds == 1 else f"a strip of one of {kinds} kinds"
    comment = comment_lines([f"{title(call)}: {what}"])
    return Function(comment, call_lines(f"void {call.symbol}", parameters, "", ""), body)


def _split_strips_functions(call: Call, parts: List[Call], emitter: Emitter) -> Functions:
    """The functions of a call in a loop whose strips two cores share: of each kind of strip, and that of the call."""
    functions: List[Function] = []
    calls: List[List[str]] = []
    for kind, (part, split) in enumerate(zip(parts, call.split.kinds)):
        part.split, part.symbol = split, f"{call.symbol}_{kind}"
        own = SharingEmitter(call.symbol, emitter.instead, emitter.constants)
        made = _one_function(part, own) if split is None else _split_functions(part, own)
        part.split = None
        emitter.kernels += [name for name in own.kernels if name not in emitter.kernels]
        last = made.functions[-1]
        last.signature[0] = f"static {last.signature[0]}"
        functions += made.functions
        scratch = ["scratch"] if "void *scratch" in " ".join(last.signature) else []
        calls.append(call_lines(part.symbol, [*input_names(part), "output", *scratch], "    "))
    body = switch_lines(calls)
    if scratch_bytes(call) and not any("scratch" in line for line in body):
        body.insert(0, "    (void)scratch;")
    return Functions([*functions, _strips_head(call, body)])


class _SecondEmitter(Emitter):
    """Collects the C of the second part of a kernel; shares the constants that both parts have alike."""

    def __init__(self, first: Emitter):
        super().__init__(first.symbol, first.instead)
        self.constants = first.constants

    def constant(self, name: str, array: np.ndarray, comment: str) -> str:
        for known in self.constants:
            if known.name == f"{self.symbol}_{name}" and np.array_equal(known.array, array):
                return known.name
        return super().constant(f"second_{name}", array, comment)


def _split_functions(call: Call, emitter: Emitter) -> Functions:
    """A call in two parts: a function for the second one, which the function of the call starts."""
    split, second_emitter = call.split, _SecondEmitter(emitter)
    first, second = split.parts
    names = input_names(call)
    _emit(first.call, emitter, names, "output")
    _emit(second.call, second_emitter, [f"part->{name}" for name in names], "part->output")
    fields = {"run": f"{call.symbol}_second", "input": _behind("input", second.input_offset)}
    if "addend" in names:
        fields["addend"] = _behind("addend", second.output_offset)
    if sum(split.scratch):
        fields["scratch"] = _behind("(int8_t *)scratch", split.scratch[0])
    fields["output"] = _behind("output", second.output_offset)
    places = [f"{split.axis} {part.start} to {part.end - 1}" for part in split.parts]
    scratch = ["    void *scratch = part->scratch;"] if split.scratch[1] else []
    on_other_core = Function(
        comment_lines([f"{title(call)}: {places[1]}, on the other core"]),
        [f"static void {call.symbol}_second(const esp_dl_part_t *part)"],
        [*second_emitter.parameters, *scratch, *second_emitter.lines],
    )
    whole = Function(
        comment_lines([f"{title(call)}: {places[0]}"]),
        call_lines(f"void {call.symbol}", _parameters(call, bool(sum(split.scratch))), "", ""),
        [
            *emitter.parameters,
            "    const esp_dl_part_t second = {",
            *[f"        .{name} = {value}," for name, value in fields.items()],
            "    };",
            "    esp_dl_begin_part(&second);",
            *emitter.lines,
            "    esp_dl_finish_part(&second);",
        ],
    )
    return Functions([on_other_core, whole])


def _behind(pointer: str, offset: int) -> str:
    return f"{pointer} + {offset}" if offset else pointer


def function_text(function: Function) -> str:
    """The text of a function."""
    return "\n".join([*function.comment, *function.signature, "{", *function.body, "}", ""])


def emitted(call: Call) -> Emitter:
    """The C of a call on one core: parameters, statements and constants."""
    emitter = Emitter(call.symbol, _instead(call))
    _emit(call, emitter, input_names(call), "output")
    return emitter


def static_functions(call: Call) -> str:
    """The functions of a call that stands alone, `static`, with its constants before them.

    The last one, `call.symbol`, returns int32_t: 0, or another value where the kernel could not compute.
    """
    made = _functions_of(call)
    texts = [static_array(constant) for constant in call.constants]
    for function in made.functions[:-1]:
        texts.append(function_text(function))
    last = made.functions[-1]
    end = [] if made.can_fail else ["    return 0;"]
    signature = [re.sub("^(void|int32_t) ", "static int32_t ", last.signature[0]), *last.signature[1:]]
    return "\n".join([*texts, function_text(Function(last.comment, signature, [*last.body, *end]))])


def static_array(constant: Constant) -> str:
    """A constant as a static array."""
    head = f"static const {constant.c_type} {constant.name}[{constant.array.size}] __attribute__((aligned(16))) = {{"
    return "\n".join([head, *array_lines(constant.array), "};"])
