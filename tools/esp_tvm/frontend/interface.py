"""The input of a program that a front end fills: int8, an image's channels last where that costs nothing."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Mapping, Optional, Sequence, Tuple

import onnx

from ..errors import UserError
from ..model import is_quantized
from ..naming import shown
from ..port_options import ALL, PortOptions
from ..program.form import Port
from ..program.ports import layout_of
from ..program.store import load
from ..states import own_inputs


def fed_input(model: onnx.ModelProto, name: Optional[str] = None) -> Tuple[str, Tuple[int, ...]]:
    """(name, shape) of the input `name` of a quantized model, or of its only one beside states.

    The program keeps states itself. `UserError` where there is no such input, or it is not the float one of a quantized
    model.
    """
    ports = {port[0]: port for port in own_inputs(model)}
    if name is None and len(ports) == 1:
        (name,) = ports
    if name not in ports:
        listed = ", ".join(f"'{shown(one, 30)}'" for one in ports)
        wanted = "say which with 'input:'" if name is None else f"it has no input '{shown(name)}'"
        raise UserError(f"the model has the inputs {listed}: {wanted}")
    _, shape, dtype = ports[name]
    if dtype != "float32":
        raise UserError(f"input '{shown(name)}' of the model is not float32; give the model that quantize wrote")
    if not is_quantized(model):
        raise UserError("the model is not quantized to int8; give the model that the quantize step wrote")
    return name, tuple(shape)


def port_options(
    name: str, layout: str, int8_outputs: bool, exponents: Mapping[str, int] = MappingProxyType({})
) -> PortOptions:
    """What the program's ports have to be: the input `name` int8, and all outputs if something reads their bytes.

    exponents: name of an output -> the largest that it may have where the model has more bits
    layout: of the model's input. The channels of an NCHW image go to its end, as the kernels need them, so that nothing
    is moved on the chip; they stay where the model does not show that it is an image.
    """
    return PortOptions(
        input_types={name: "int8"},
        input_layouts={name: "NHWC"} if layout == "NCHW" else {},
        output_types={ALL: "int8"} if int8_outputs else {},
        output_exponents=dict(exponents),
        layouts_if_possible=True,
    )


def fed_port(project: Path, name: str) -> Tuple[Port, Sequence[Port]]:
    """(the input `name`, all outputs) of an exported project's program."""
    program = load(project)
    return next(port for port in program.inputs if port.name == name), program.outputs


def layout_in(port: Port, layout: str) -> str:
    """The order of the axes of an image in a port's buffer. layout: of the model's input"""
    return layout_of(port) or layout


__all__ = ["fed_input", "fed_port", "layout_in", "port_options"]
