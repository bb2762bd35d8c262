"""tvmgen_default___tvm_main__: the calls of a program in order, each with the tensors it reads and writes."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from typing import Dict, List

import numpy as np

from ...c_text import C_TYPES, WIDTH, call_lines, comment_lines, tensor_text, wrapped
from ...naming import c_comment
from ...program import Call, Loop, Program, Tensor
from .constants import BASE, MAPPED
from .functions import Functions, kinds_of, title
from .strip_tables import Entry, Table, running, table_of
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


def arenas_of(program: Program) -> List[str]:
    """The names of main's parameters for its arenas."""
    return ["workspace", "psram_workspace"] if program.psram_arena_bytes else ["workspace"]


def prototype(program: Program) -> List[str]:
    """`int32_t tvmgen_default___tvm_main__(...)`, in lines."""
    read = [f"const {C_TYPES[port.dtype]} *{port.c_name}" for port in program.inputs]
    written = [f"{C_TYPES[port.dtype]} *{port.c_name}" for port in program.outputs]
    arenas = [f"uint8_t *{name}" for name in arenas_of(program)]
    return call_lines("int32_t tvmgen_default___tvm_main__", [*read, *written, *arenas], "", "")


def fallback_title(call: Call) -> str:
    """The ONNX nodes of a call without a kernel, or its Relay operators where TVM lost track of them."""
    return ", ".join(c_comment(node) for node in call.nodes) or "Relay " + ", ".join(call.relay)


class Main:
    """Writes main; functions: what `write_functions` made of the kernel calls."""

    def __init__(self, program: Program, functions: Dict[Call, Functions]):
        self.program, self.functions = program, functions
        self.names: Dict[Tensor, str] = {port: port.c_name for port in program.inputs}
        # By the arena.
        self.places: Dict[str, List[ArenaName]] = {name: [] for name in arenas_of(program)}

    def text(self) -> str:
        """The function and the places in the arena that it names."""
        program = self.program
        steps = [Step(self._loop(item) if isinstance(item, Loop) else self._step(item)) for item in program.items]
        read = {tensor.root for call in program.calls() for tensor in call.reads}
        unused = [port.c_name for port in program.inputs if port not in read]
        unused += [name for name in arenas_of(program) if not self.places[name]]
        return render(
            "main.c.j2",
            arenas=list(zip(("the arena", "the arena in PSRAM"), self.places.values())),
            signature="\n".join(prototype(program)),
            unused=unused,
            has_constants=bool(program.constants),
            mapped=MAPPED,
            base=BASE,
            misaligned=_misaligned(program),
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
            traced = [str(call.index), self._pointer(tensor, call), str(tensor.bytes)]
            lines += call_lines("TVMGEN_DEFAULT_TRACE", traced, "    ")
        return lines

    def _loop(self, loop: Loop) -> List[str]:
        """The lines of calls that run together: their windows, the table of the strips, and the calls themselves."""
        first, last, table = loop.calls[0], loop.calls[-1], table_of(loop)
        number, count, leader = first.index, loop.schedule.count, loop.leader.index
        rows = f"that {leader} adds up" if loop.adds_up else f"of {leader}'s output"
        lines = comment_lines(
            [
                f"Calls {first.index} to {last.index} run together in {count} strips: at most {loop.rows} of the "
                f"{loop.height} rows {rows} at a time. What they pass on lies in windows: the rows that are still read."
            ],
            "    ",
        )
        for call in loop.calls:
            lines += self._declare(call, call.writes[0], 0)
        pointers = {}
        for (call, place), tensor in running(loop).items():
            name = f"rows_of_{call.index}" + (f"_{place}" if place > 0 else "") if place >= 0 else f"made_{call.index}"
            kind = f"{C_TYPES[tensor.dtype]} *" if place < 0 else f"const {C_TYPES[tensor.dtype]} *"
            lines += _assignment(f"{kind}{name}", self._pointer(tensor, call))
            pointers[call, place] = name
        lines += [
            f"    static const uint8_t phases_{number}[{count}] = {{",
            *wrapped([str(phase) for phase in table.phases], "        "),
            "    };",
            f"    static const esp_dl_strip_t strips_{number}[{len(table.rows)}][{len(loop.calls)}] = {{",
        ]
        for phase, row in enumerate(table.rows):
            lines.append(f"        /* {_strips_text(table.phases, phase)} */")
            lines += ["        {", *[f"            {entry.text}," for entry in row], "        },"]
        lines += [
            "    };",
            f"    for (int32_t strip = 0; strip < {count}; strip++) {{",
            f"        const esp_dl_strip_t *now = strips_{number}[phases_{number}[strip]];",
            *self._keep_rows(loop, table),
        ]
        for place, call in enumerate(loop.calls):
            lines += ["", *self._strip(call, table.column(place), pointers)]
            if place < len(loop.calls) - 1:
                lines.append("        now++;")
        lines.append("    }")
        lines += [f"    TVMGEN_DEFAULT_TRACE_ROWS_END({call.index});" for call in loop.calls]
        return lines

    def _keep_rows(self, loop: Loop, table: Table) -> List[str]:
        """The lines that move rows that are still read to the start of their windows.

        Before all calls, as others may lie where they lay; the window with the lowest address first, as the next one's
        rows may come to lie where its rows are.
        """
        lines: List[str] = []
        moved = [number for number in range(len(loop.calls)) if any(entry.kept for entry in table.column(number))]
        for number in sorted(moved, key=lambda one: loop.calls[one].writes[0].place.offset):
            output = loop.calls[number].writes[0]
            name, wide, now = self.names[output], np.dtype(output.dtype).itemsize, f"now[{number}]"
            kept = f"{now}.kept" if wide == 1 else f"{now}.kept * {wide}"
            lines += call_lines("esp_dl_keep_rows", [name, f"{name} + {now}.kept_from", kept], " " * 8)
        return lines

    def _strip(self, call: Call, entries: List[Entry], pointers: Dict) -> List[str]:
        """The lines of a call in a loop."""
        outer, can_rest = " " * 8, any(entry.kind < 0 for entry in entries)
        inner = outer + "    " * can_rest
        lines = comment_lines(self._comment(call), outer)
        output = call.writes[0]
        body: List[str] = []
        arguments = ["now->kind"] if kinds_of(call) > 1 else []
        for place, tensor in enumerate(call.reads):
            name = pointers.get((call, place))
            if name is None:
                name = self.names[tensor.root]
                name += f" + now->input[{place}]" if any(entry.input[place] for entry in entries) else ""
            arguments.append(name)
        made = pointers.get((call, -1))
        target = made
        if made is None:
            target = self.names[output] + (" + now->output" if any(entry.output for entry in entries) else "")
        arguments.append(target)
        if call.scratch is not None:
            arguments.append(self._arena(f"scratch_{call.index}", call.scratch.offset))
        body += call_lines(call.symbol, arguments, inner)
        body += call_lines("TVMGEN_DEFAULT_TRACE_ROWS", [str(call.index), target, "now->size"], inner)
        for place in range(len(call.reads)):
            if (call, place) in pointers:
                body.append(f"{inner}{pointers[call, place]} += now->input[{place}];")
        if made is not None:
            body.append(f"{inner}{made} += now->output;")
        if can_rest:
            body = [f"{outer}if (now->kind >= 0) {{", *body, f"{outer}}}"]
        return lines + body

    def _comment(self, call: Call) -> List[str]:
        if call.is_fallback:
            return [f"{fallback_title(call)}: no kernel, TVM's C"]
        inputs = ", ".join(map(tensor_text, call.reads))
        what = f"{call.title}: {inputs} -> {', '.join(map(tensor_text, call.writes))}"
        if call.is_view:
            what += ": the same bytes, nothing to do"
        else:
            what += f", by {call.kernel}"
        if call.split is not None:
            what += f", {call.split.text}{' of a strip' if call.strips is not None else ''} on two cores"
        sorted_channels = ["the channels of its output lie in another order than the model's: `order` in metadata.json"]
        return [title(call), what, *(sorted_channels if call.writes[0].order else [])]

    def _declare(self, call: Call, tensor: Tensor, part: int) -> List[str]:
        """The variable of a tensor in the arena."""
        if tensor.place is None or tensor.place.kind not in ("arena", "window", "psram_arena"):
            return []
        number = f"{call.index}" if len(call.writes) == 1 else f"{call.index}_{part}"
        name = re.sub(r"\W+", "_", tensor.name, flags=re.ASCII).strip("_")[:40]
        self.names[tensor] = f"t{number}_{name}" if name else f"t{number}"
        c_type = C_TYPES[tensor.dtype]
        arena = "psram_workspace" if tensor.place.kind == "psram_arena" else "workspace"
        where = self._arena(self.names[tensor], tensor.place.offset, arena)
        return _assignment(f"{c_type} *const {self.names[tensor]}", f"({c_type} *)({where})")

    def _arena(self, name: str, offset: int, arena: str = "workspace") -> str:
        self.places[arena].append(ArenaName(f"at_{name}", offset))
        return f"{arena} + at_{name}"

    def _pointer(self, tensor: Tensor, call: Call) -> str:
        root = tensor.root
        place = root.place
        if place.kind == "constant":
            name = self.program.constants[place.index].name
        elif place.kind == "output":
            name = self.program.outputs[place.index].c_name
        else:
            name = self.names[root]
        # No parameter of TVM's functions is const, not even where they only read it.
        return f"(void *){name}" if call.is_fallback else name


def _assignment(left: str, right: str) -> List[str]:
    line = f"    {left} = {right};"
    return [line] if len(line) <= WIDTH else [f"    {left} =", f"        {right};"]


def _strips_text(phases: List[int], phase: int) -> str:
    """`strips 1 to 10`: those of a phase."""
    found = [number for number, one in enumerate(phases) if one == phase]
    runs: List[List[int]] = []
    for number in found:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    texts = [f"{first}" if first == last else f"{first} to {last}" for first, last in runs]
    return f"strip{'s' if len(found) > 1 else ''} {', '.join(texts)}"


def _misaligned(program: Program) -> List[str]:
    """The first lines of an `if` that is true where a buffer is not aligned as it has to be."""
    aligned = [port for port in [*program.inputs, *program.outputs] if port.alignment > 1]
    if not aligned:
        return []
    conditions = " | ".join(f"(uintptr_t){port.c_name}" for port in aligned)
    alignment = max(port.alignment for port in aligned)
    return textwrap.wrap(
        f"if ((({conditions}) & {alignment - 1}) != 0) {{",
        WIDTH,
        initial_indent="    ",
        subsequent_indent="        ",
        break_long_words=False,
    )
