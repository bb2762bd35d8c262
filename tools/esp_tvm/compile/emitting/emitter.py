"""Collects the C of one kernel function, as the operators and the faster kernels write it."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from ...c_text import C_TYPES, WIDTH, call_lines
from ...program import Constant


class Emitter:
    """The C of one function.

    constants: the data it needs, for default_lib0.c
    parameters, lines: the kernels' parameters and the statements, for default_lib1.c
    kernels: the C functions that it calls; can_fail: whether one of them returns a status
    instead: name of a kernel -> name of the kernel with the same parameters that is called instead
    """

    def __init__(self, symbol: str, instead: Optional[Dict[str, str]] = None):
        self.symbol = symbol
        self.instead = instead or {}
        self.constants: List[Constant] = []
        self.parameters: List[str] = []
        self.lines: List[str] = []
        self.kernels: List[str] = []
        self.can_fail = False

    def constant(self, name: str, array: np.ndarray, comment: str) -> str:
        """Declare constant data; returns its C name."""
        array = np.ascontiguousarray(array)
        full = f"{self.symbol}_{name}"
        self.constants.append(Constant(C_TYPES[array.dtype.name], full, array, comment))
        return full

    def struct(self, c_type: str, struct_name: str = "parameters", **fields: Any) -> str:
        """Declare the kernel's parameters, filled by field name; returns an expression for their address.

        Parameters that point to constant data are static only if its address is known before the program runs.
        """
        body = _field_lines(fields, "        ")
        text = " ".join(body)
        points = any(re.search(rf"\b{constant.name}\b", text) for constant in self.constants)
        kind = "TVMGEN_DEFAULT_STATIC" if points else "static"
        self.parameters += [f"    {kind} const {c_type} {struct_name} = {{", *body, "    };"]
        return f"&{struct_name}"

    def call(self, kernel: str, *arguments: Any) -> None:
        """Append a call of a kernel that cannot fail; `arguments` are C expressions or numbers."""
        self.lines += call_lines(self._kernel(kernel), [str(a) for a in arguments], "    ")

    def check(self, kernel: str, *arguments: Any) -> None:
        """Append a call of a kernel that returns 0 on success; otherwise the model fails."""
        self.can_fail = True
        lines = call_lines(f"if ({self._kernel(kernel)}", [str(a) for a in arguments], "    ", " != 0) {")
        self.lines += [*lines, "        return -1;", "    }"]

    def line(self, text: str) -> None:
        """Append a statement to the function."""
        self.lines.append(f"    {text}")

    def _kernel(self, name: str) -> str:
        name = self.instead.get(name, name)
        self.kernels.append(name)
        return name


class SharingEmitter(Emitter):
    """Collects the C of one of several functions; data that one of them has already are declared once."""

    def __init__(self, symbol: str, instead: Dict[str, str], constants: List[Constant]):
        super().__init__(symbol, instead)
        self.constants = constants

    def constant(self, name: str, array: np.ndarray, comment: str) -> str:
        array = np.ascontiguousarray(array)
        alike = [one for one in self.constants if re.fullmatch(rf"{self.symbol}_{name}(_\d+)?", one.name)]
        for known in alike:
            if np.array_equal(known.array, array):
                return known.name
        return super().constant(f"{name}_{len(alike)}" if alike else name, array, comment)


class StripsEmitter(SharingEmitter):
    """Collects the C of one function that computes strips of several kinds (`begin` one after the other), in `target`.

    The kernels' parameters become arrays, one element for each kind; where statements differ, `kind` chooses.
    """

    def __init__(self, target: Emitter, kinds: int):
        super().__init__(target.symbol, target.instead, target.constants)
        self.target, self.kinds = target, kinds
        self._structs: Dict[str, Tuple[str, List[List[str]]]] = {}
        self._statements: List[List[str]] = []

    def begin(self) -> None:
        """Go on with the next kind."""
        self._statements.append([])
        self.lines = self._statements[-1]

    def struct(self, c_type: str, struct_name: str = "parameters", **fields: Any) -> str:
        self._structs.setdefault(struct_name, (c_type, []))[1].append(_field_lines(fields, "        "))
        return f"&{struct_name}[kind]" if self.kinds > 1 else f"&{struct_name}"

    def finish(self) -> None:
        """Write what all kinds need together."""
        target = self.target
        target.kernels += list(dict.fromkeys(self.kernels))
        for name, (c_type, bodies) in self._structs.items():
            self._declare(c_type, name, bodies)
        if all(lines == self._statements[0] for lines in self._statements):
            target.lines += self._statements[0]
        else:
            target.lines += switch_lines(self._statements)

    def _declare(self, c_type: str, name: str, bodies: List[List[str]]) -> None:
        target = self.target
        text = " ".join(line for body in bodies for line in body)
        points = any(re.search(rf"\b{constant.name}\b", text) for constant in target.constants)
        kind = "TVMGEN_DEFAULT_STATIC" if points else "static"
        if len(bodies) == 1:
            target.parameters += [f"    {kind} const {c_type} {name} = {{", *bodies[0], "    };"]
            return
        target.parameters.append(f"    {kind} const {c_type} {name}[{len(bodies)}] = {{")
        for body in bodies:
            target.parameters += ["        {", *["    " + line for line in body], "        },"]
        target.parameters.append("    };")


def switch_lines(statements: List[List[str]]) -> List[str]:
    """Statements of which `kind` chooses."""
    if len(statements) == 1:
        return statements[0]
    lines = ["    switch (kind) {"]
    for kind, own in enumerate(statements):
        lines.append(f"    case {kind}:" if kind < len(statements) - 1 else "    default:")
        lines += [*("    " + line for line in own), "        break;"]
    return [*lines, "    }"]


def _field_lines(fields: Dict[str, Any], indent: str) -> List[str]:
    """`.name = value,` for every field; a struct that is too long for a line has its fields in lines of their own."""
    lines: List[str] = []
    for name, value in fields.items():
        line = f"{indent}.{name} = {_initializer(value)},"
        if len(line) > WIDTH and isinstance(value, dict):
            lines += [f"{indent}.{name} = {{", *_field_lines(value, indent + "    "), f"{indent}}},"]
        else:
            lines.append(line)
    return lines


def _initializer(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{" + ", ".join(f".{key} = {_initializer(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "{" + ", ".join(_initializer(item) for item in value) + "}"
    return str(value)
