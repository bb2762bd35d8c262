"""tvmgen_default___tvm_main__: the calls of a program in order, each with the tensors it reads and writes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Dict, List

from ...c_text import C_TYPES, call_lines, comment_lines, tensor_text
from ...naming import c_comment
from ...program import Call, Loop, Program, Tensor
from .constants import BASE, MAPPED
from .functions import Functions, title
from .templates import render


@dataclass(frozen=True)
class ArenaName:
    """A named place in the arena."""

    name: str
    offset: int


@dataclass
class Step:
    """The lines of main for one call."""

    lines: List[str]


def prototype(program: Program) -> List[str]:
    """`int32_t tvmgen_default___tvm_main__(...)`, in lines."""
    read = [f"const {C_TYPES[port.dtype]} *{port.c_name}" for port in program.inputs]
    written = [f"{C_TYPES[port.dtype]} *{port.c_name}" for port in program.outputs]
    return call_lines("int32_t tvmgen_default___tvm_main__", [*read, *written, "uint8_t *workspace"], "", "")


def fallback_title(call: Call) -> str:
    """The ONNX nodes of a call without a kernel, or its Relay operators where TVM lost track of them."""
    return ", ".join(c_comment(node) for node in call.nodes) or "Relay " + ", ".join(call.relay)


class Main:
    """Writes main; functions: what `write_functions` made of the kernel calls."""

    def __init__(self, program: Program, functions: Dict[Call, Functions]):
        self.program, self.functions = program, functions
        self.names: Dict[Tensor, str] = {port: port.c_name for port in program.inputs}
        self.places: List[ArenaName] = []

    def text(self) -> str:
        """The function and the places in the arena that it names."""
        program = self.program
        steps = [Step(self._step(call)) for call in _flat(program)]
        read = {tensor.root for call in program.calls() for tensor in call.reads}
        unused = [port.c_name for port in program.inputs if port not in read]
        if not self.places:
            unused.append("workspace")
        return render(
            "main.c.j2",
            places=self.places,
            signature="\n".join(prototype(program)),
            unused=unused,
            has_constants=bool(program.constants),
            mapped=MAPPED,
            base=BASE,
            inputs=program.inputs,
            steps=steps,
        )

    def _step(self, call: Call) -> List[str]:
        lines = comment_lines(self._comment(call), "    ")
        if call.is_view:
            return lines
        for part, tensor in enumerate(call.writes):
            lines += self._declare(call, tensor, part)
        arguments = [self._pointer(tensor, call) for tensor in [*call.reads, *call.writes]]
        if call.scratch is not None:
            arguments.append(self._arena(f"scratch_{call.index}", call.scratch.offset))
        if call.is_fallback or self.functions[call].can_fail:
            lines += call_lines(f"if ({call.symbol}", arguments, "    ", " != 0) {")
            lines += ["        return -1;", "    }"]
        else:
            lines += call_lines(call.symbol, arguments, "    ")
        for tensor in call.writes:
            lines.append(f"    TVMGEN_DEFAULT_TRACE({call.index}, {self._pointer(tensor, call)}, {tensor.bytes});")
        return lines

    def _comment(self, call: Call) -> List[str]:
        if call.is_fallback:
            return [f"{fallback_title(call)}: no kernel, TVM's C"]
        inputs = ", ".join(map(tensor_text, call.reads))
        what = f"{call.title}: {inputs} -> {tensor_text(call.writes[0])}"
        if call.is_view:
            what += ": the same bytes, nothing to do"
        else:
            what += f", by {call.kernel}"
        if call.split is not None:
            what += f", {call.split.text} on two cores"
        return [title(call), what]

    def _declare(self, call: Call, tensor: Tensor, part: int) -> List[str]:
        """The variable of a tensor in the arena."""
        if tensor.place is None or tensor.place.kind != "arena":
            return []
        number = f"{call.index}" if len(call.writes) == 1 else f"{call.index}_{part}"
        name = re.sub(r"\W+", "_", tensor.name, flags=re.ASCII).strip("_")[:40]
        self.names[tensor] = f"t{number}_{name}" if name else f"t{number}"
        c_type = C_TYPES[tensor.dtype]
        where = self._arena(self.names[tensor], tensor.place.offset)
        return [f"    {c_type} *const {self.names[tensor]} = ({c_type} *)({where});"]

    def _arena(self, name: str, offset: int) -> str:
        self.places.append(ArenaName(f"at_{name}", offset))
        return f"workspace + at_{name}"

    def _pointer(self, tensor: Tensor, call: Call) -> str:
        root = tensor.root
        place = root.place
        if place.kind == "constant":
            name = self.program.constants[place.index].name
        elif place.kind == "output":
            name = self.program.outputs[place.index].c_name
        else:
            name = self.names[root]
        # TVM's functions say of none of their parameters that they only read it.
        return f"(void *){name}" if call.is_fallback else name


def _flat(program: Program) -> List[Call]:
    """The calls of a program without loops."""
    if any(isinstance(item, Loop) for item in program.items):
        raise AssertionError("no C is written for loops yet")
    return list(program.calls())
