"""The int8 outputs of a program as one struct of an application."""

from __future__ import annotations

from typing import List, Sequence

from ..errors import UserError
from ..naming import shown
from ..program.form import Port


def check_int8(ports: Sequence[Port]) -> None:
    """A `UserError` where an output is not int8."""
    for port in ports:
        if port.dtype != "int8" or port.exponent is None:
            raise UserError(
                f"output '{shown(port.name)}' of the model is {port.dtype}, not int8: what reads the outputs needs "
                "int8; quantize with this project"
            )


def results_struct(name: str, ports: Sequence[Port]) -> List[str]:
    """Lines of C: the type NAME_results_t with all outputs, and the macro that makes tvmgen_default_outputs of it."""
    check_int8(ports)
    macro = f"{name.upper()}_OUTPUTS"
    lines = [
        f"/* The outputs of the model; {macro}(results) fills struct tvmgen_default_outputs. */",
        "typedef struct {",
    ]
    for port in ports:
        aligned = f" __attribute__((aligned({port.alignment})))" if port.alignment > 1 else ""
        lines.append(f"    int8_t {port.c_name}[{port.bytes}]{aligned};")
    fields = ", ".join(f".{port.c_name} = (results).{port.c_name}" for port in ports)
    return [*lines, f"}} {name}_results_t;", f"#define {macro}(results) {{{fields}}}", ""]
