"""Inputs and outputs as the board has them: integers in place of floats, pixels, the camera's order of axes.

As TVM leaves it a program takes the ONNX model's floats and begins by quantizing them, and ends by dequantizing. Where
a port is to be an integer, that call goes: the port is the very tensor that the kernels read or write, so all of them
compute the same bytes. Where it is to be pixels, a table takes the place of the quantization.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ... import arithmetic
from ...errors import UserError
from ...naming import shown
from ...operators import OPERATORS
from ...port_options import ALL, PortOptions
from ...program import Call, Pixels, Port, Program, State, Tensor, nodes_text
from ...program.evaluate import output_tensors

_LAST, _FIRST = (0, 2, 3, 1), (0, 3, 1, 2)
_BITS = {"int8": 8, "int16": 16}
# Kernels that take images as NHWC: where one reads an input as it is, that is how the ONNX model has it.
_IMAGES = ("average_pool2d", "conv", "depth_to_space", "depthwise_conv2d", "max_pool2d", "resize", "space_to_depth")


@dataclass
class PortNotes:
    """For the user of the export. notes: what stays in float although another type was wanted, and why

    offers: what inputs and outputs would take as integers, where they are float
    """

    notes: List[str] = field(default_factory=list)
    offers: List[str] = field(default_factory=list)


def set_ports(program: Program, options: PortOptions, states: Mapping[str, str] = {}) -> PortNotes:  # noqa: B006
    """Give the inputs and outputs the types and layouts of `options`; `UserError` where one named cannot have it.

    What is wanted of all ports is done where it can be, and has to be possible for one of them.
    states: {input: output} that the program keeps between calls, as the integers inside where that loses nothing
    """
    made = PortNotes()
    names = [port.name for port in program.inputs], [port.name for port in program.outputs]
    options.check_names(*names)
    editor = _Editor(program)
    _keep_states(program, editor, options, states)
    for wanted, ports, change in (
        (options.input_layouts, program.callers_inputs, editor.set_layout),
        (options.output_layouts, program.callers_outputs, editor.set_output_layout),
        (options.input_types, program.callers_inputs, lambda port, value: editor.set_input(port, value, options)),
        (
            options.output_types,
            program.callers_outputs,
            lambda port, value: editor.set_output(port, value, options.output_exponents.get(port.name)),
        ),
    ):
        obstacles: Dict[str, str] = {}
        for port in ports:
            value = wanted.get(port.name, wanted.get(ALL))
            why = change(port, value) if value is not None else ""
            if options.layouts_if_possible and wanted is options.input_layouts:
                continue
            if why and (port.name in wanted or len(ports) == 1):
                raise UserError(_refusal(program, port, value, why))
            if why:
                obstacles[port.name] = f"{_kind(program, port)} '{shown(port.name)}' is not {value}: {why}"
        if obstacles and len(obstacles) == len(ports):
            raise UserError("; ".join(list(obstacles.values())[:4]))
        made.notes += obstacles.values()
    made.offers = _offers(program, editor)
    editor.renumber()
    return made


def _keep_states(program: Program, editor: _Editor, options: PortOptions, states: Mapping[str, str]) -> None:
    """Make each state integers, where the integers that the kernels write are those that they read."""
    inputs, outputs = ({port.name: port for port in ports} for ports in (program.inputs, program.outputs))
    for before, after in states.items():
        named = {before} & {*options.input_types, *options.input_layouts} or {after} & {
            *options.output_types,
            *options.output_layouts,
        }
        if named:
            raise UserError(
                f"'{shown(named.pop())}' is a state that the program keeps itself: leave its type and layout out"
            )
        state = State(inputs[before], outputs[after])
        program.states.append(state)
        if editor.input_obstacle(state.before) or editor.output_obstacle(state.after):
            continue
        read, writer = editor.read_as(state.before), editor.writer(state.after)
        if (
            writer.kind != "softmax"
            and state.before.zero_point == 0
            and (read.dtype, read.exponent)
            == (
                writer.inputs[0].dtype,
                writer.inputs[0].exponent,
            )
        ):
            editor.set_input(state.before, read.dtype, options)
            editor.set_output(state.after, read.dtype)


def _kind(program: Program, port: Port) -> str:
    return "input" if port in program.inputs else "output"


def _refusal(program: Program, port: Port, value: str, why: str) -> str:
    kind = _kind(program, port)
    option = f"--{kind}_{'layout' if value.isupper() else 'type'}"
    return f"{kind} '{shown(port.name)}' cannot be {value}: {why}; leave {option} {value} out for it"


def _offers(program: Program, editor: _Editor) -> List[str]:
    """`input as int8: 150528 instead of 602112 bytes (--input_type int8)`."""
    found = []
    for kind, ports, obstacle in (
        ("input", program.callers_inputs, editor.input_obstacle),
        ("output", program.callers_outputs, editor.output_obstacle),
    ):
        able = [port for port in ports if port.dtype == "float32" and port.inside != "int16" and not obstacle(port)]
        if able:
            now, then = sum(port.bytes for port in able), sum(port.elements for port in able)
            plural = "s" * (len(able) > 1)
            found.append(f"{kind}{plural} as int8: {then} instead of {now} bytes (--{kind}_type int8)")
    return found


class _Editor:
    """Changes the calls at the borders of a program. The methods return why a port cannot be as it is wanted, or ""."""

    def __init__(self, program: Program):
        self.program = program
        self._added = 0

    # --- the graph ---

    def _readers(self, tensor: Tensor) -> List[Call]:
        return self.program.readers().get(tensor.root, [])

    def _replace(self, call: Call, *by: Call) -> None:
        place = self.program.items.index(call)
        self.program.items[place : place + 1] = by

    def _substitute(self, old: Tensor, new: Tensor, readers: Optional[Sequence[Call]] = None) -> None:
        """Let everything that reads `old`, or `readers` alone, read `new`, of the same size and type."""
        for call in self.program.calls() if readers is None else readers:
            for tensor in call.inputs:
                if tensor.source is old:
                    tensor.source = new
            call.inputs = [new if tensor is old else tensor for tensor in call.inputs]

    def _new(self, operator: str, source: Tensor, output: Tensor, **attributes: object) -> Call:
        """A call of the compiler's own."""
        self._added += 1
        return Call(f"tvmgen_default_esp_main_port{self._added}", operator, [source], [output], attributes)

    def _permute(self, image: Tensor, output: Tensor, axes: Tuple[int, ...]) -> Call:
        """A call whose output is an image with its axes in the order `axes`."""
        if _has_one_channel(image.shape, axes):
            return self._new("reshape", image, output, **_to_shape(output))
        return self._new("transpose", image, output, axes=axes)

    def _drop(self, call: Call, source: Tensor) -> None:
        """Take out a call whose output has the very bytes of `source`; into an output of the model they are copied."""
        if call.output.place is not None:
            self._replace(call, replace(call, operator="reshape", inputs=[source], attributes=_to_shape(call.output)))
            return
        self.program.items.remove(call)
        self._substitute(call.output, source)

    def renumber(self) -> None:
        """Give the calls numbers in the order of execution, where some were added."""
        if self._added:
            for number, call in enumerate(self.program.calls()):
                call.index = number

    # --- inputs ---

    def input_obstacle(self, port: Port) -> str:
        """Why an input cannot be an integer; "" where it can."""
        if port.dtype != "float32":
            return f"it is {port.dtype} in the model"
        readers = self._readers(port)
        if not readers:
            return "nothing reads it"
        for call in readers:
            if call.kind != "quantize":
                return f"{nodes_text(call)} reads it in float"
        if len({(call.output.dtype, call.output.exponent, _zero_point(call)) for call in readers}) > 1:
            return "it is quantized in more than one way"
        return ""

    def read_as(self, port: Port) -> Tensor:
        """The integers that an input without obstacle is quantized to."""
        return self._readers(port)[0].output

    def set_input(self, port: Port, type_: str, options: PortOptions) -> str:
        """Make an input `type_`."""
        if type_ == port.dtype == "uint8" and options.given_pixels:
            return "it is uint8 in the model, which says itself what its bytes mean"
        if type_ == "float" or type_ == port.dtype:
            return ""
        why = self.input_obstacle(port)
        if why:
            return why
        first, *others = self._readers(port)
        inside = first.output.dtype
        if type_ == "int16" != inside:
            return "the model computes with it in int8"
        if type_ == "uint8":
            if inside != "int8":
                return f"the model computes with it in {inside}"
            why = self._set_pixels(port, options)
            if why:
                return why
        exponent = int(first.output.exponent) + _BITS[inside] - _BITS.get(type_, _BITS[inside])
        port.dtype, port.exponent, port.zero_point = type_, exponent, _zero_point(first)
        for call in others:
            self._drop(call, first.output)
        if port.pixels is not None:
            table = arithmetic.quantize(port.pixels.table(), exponent=exponent, zero_point=port.zero_point)
            attributes = {"table": table, "axis": port.pixels.axis}
            self._replace(first, replace(first, operator="pixels", attributes=attributes))
        elif type_ != inside:
            self._replace(first, _requantized(first, port))
        else:
            self._drop(first, port)
        return ""

    def _set_pixels(self, port: Port, options: PortOptions) -> str:
        count, axis = len(options.mean), 0
        if count > 1:
            if len(port.shape) == 4:
                layout = self._layout(port)
                if not layout:
                    return f"which axis of its shape {list(port.shape)} counts channels does not show"
                axis = 3 if layout == "NHWC" else 1
            else:
                axis = len(port.shape) - 1
            if not port.shape or port.shape[axis] != count:
                channels = port.shape[axis] if port.shape else 1
                return f"it has {channels} channels, --input_mean and --input_std have {count} numbers"
        port.pixels = Pixels(options.scale, options.mean, options.std, axis)
        return ""

    # --- the order of axes ---

    def _quantized(self, port: Port) -> Optional[List[Tensor]]:
        """The tensors that hold an input as integers; None where it is read in float."""
        if port.dtype != "float32":
            return [port]
        readers = self._readers(port)
        return [call.output for call in readers] if all(call.kind == "quantize" for call in readers) else None

    def _layout(self, port: Port) -> str:
        """NCHW or NHWC, by what reads an input of four axes; "" where it does not show."""
        for tensor in self._quantized(port) or []:
            for call in self._readers(tensor):
                if _moves(call, tensor, _LAST):
                    return "NCHW"
                if self._reads_image(call, tensor):
                    return "NHWC"
        return ""

    def _reads_image(self, call: Call, tensor: Tensor) -> bool:
        """Whether a kernel that takes images as NHWC reads `tensor`, in its own shape."""
        x = call.inputs[0]
        if x.root is not tensor.root or x.shape != tensor.shape:
            return False
        if call.operator == "reshape":
            return any(self._reads_image(after, call.output) for after in self._readers(call.output))
        return call.operator.startswith(_IMAGES)

    def set_layout(self, port: Port, layout: str) -> str:
        """Give an image input another order of axes."""
        if len(port.shape) != 4:
            return f"it has {len(port.shape)} axes, an image has 4"
        tensors = self._quantized(port)
        if tensors is None:
            return "it is read in float"
        now, before = self._layout(port), port.shape
        if now in ("", layout):
            return "" if now else _hidden_channels(port)
        _turn(port, layout)
        for tensor in tensors:
            tensor.shape = port.shape
            self._reorder(tensor, port.axes, before)
        return ""

    def _reorder(self, tensor: Tensor, axes: Tuple[int, ...], before: Tuple[int, ...]) -> None:
        """`tensor` has the axes of what was of shape `before` in the order `axes`: what reads it makes up for that."""
        readers = self._readers(tensor)
        moves = [call for call in readers if _moves(call, tensor, axes, before)]
        others = [call for call in readers if call not in moves]
        if others:
            self._put_back(tensor, axes, before, others)
        for call in moves:
            self._drop(call, tensor)

    def _put_back(self, tensor: Tensor, axes: Tuple[int, ...], before: Tuple[int, ...], readers: List[Call]) -> None:
        """Give `readers` a tensor of the old shape."""
        old = Tensor(tensor.name, before, tensor.dtype, tensor.exponent)
        call = self._permute(tensor, old, _inverse(axes))
        place = min(self.program.items.index(reader) for reader in readers)
        self._substitute(tensor, old, readers)
        self.program.items.insert(place, call)

    # --- outputs ---

    def writer(self, port: Port) -> Call:
        """The call that writes an output."""
        written = output_tensors(self.program)[port]
        return next(call for call in self.program.calls() if any(tensor is written for tensor in call.outputs))

    def output_obstacle(self, port: Port) -> str:
        """Why an output cannot be an integer; "" where it can."""
        if port.dtype != "float32":
            return f"it is {port.dtype} in the model"
        writer = self.writer(port)
        if writer.kind in ("dequantize", "softmax"):
            return ""
        return f"{nodes_text(writer)} computes it in float"

    def set_output(self, port: Port, type_: str, most: Optional[int] = None) -> str:
        """Make an output `type_`; most: the largest exponent of int8 that is rounded from int16."""
        if type_ == "float" or type_ == port.dtype:
            return ""
        why = self.output_obstacle(port)
        if why:
            return why
        writer = self.writer(port)
        port.dtype = type_
        if writer.kind == "softmax":
            # Values of 0 to 1: what int8 and int16 hold of them.
            port.exponent, port.inside = 1 - _BITS[type_], type_
            self._quantize(writer, port)
            return ""
        inside = writer.inputs[0]
        port.exponent = int(inside.exponent) + _BITS[inside.dtype] - _BITS[type_]
        if type_ == "int8" and most is not None:
            port.exponent = max(int(inside.exponent), min(port.exponent, most))
        written = Tensor(writer.output.name, writer.output.shape, type_, port.exponent, place=writer.output.place)
        if inside.dtype != type_:
            self._replace(writer, replace(_requantized(writer, inside, type_, port.exponent), outputs=[written]))
            return ""
        maker = next((call for call in self.program.calls() if any(t is inside for t in call.outputs)), None)
        if maker is None or inside.place is not None:
            # An input of the model, or another of its outputs: copied.
            self._replace(writer, replace(writer, operator="reshape", outputs=[written], attributes=_to_shape(written)))
            return ""
        inside.place = written.place
        self.program.items.remove(writer)
        return ""

    def set_output_layout(self, port: Port, layout: str) -> str:
        """Give an image output another order of axes, before it has its type."""
        if len(port.shape) != 4:
            return f"it has {len(port.shape)} axes, an image has 4"
        writer = self.writer(port)
        written = next(tensor for tensor in writer.outputs if output_tensors(self.program)[port] is tensor)
        if self._readers(written):
            return "the model reads it, too"
        now, before = self._written_layout(writer, written), port.shape
        if now in ("", layout):
            return "" if now else _hidden_channels(port)
        _turn(port, layout)
        if writer.kind == "dequantize":
            written.shape = port.shape
            self._read_in_order(writer, port.axes)
            return ""
        inner = Tensor(written.name, before, written.dtype, written.exponent)
        written.shape = port.shape
        writer.outputs = [inner if tensor is written else tensor for tensor in writer.outputs]
        copy = replace(self._new("reshape", inner, written, **_to_shape(written)), nodes=list(writer.nodes))
        self.program.items.insert(self.program.items.index(writer) + 1, copy)
        self._read_in_order(copy, port.axes)
        source = copy.inputs[0]
        maker = self._maker(source)
        if maker is not None and source.place is None:
            # The call before it writes the output.
            maker.outputs = [written if tensor is source else tensor for tensor in maker.outputs]
            self.program.items.remove(copy)
            self._substitute(source, written)
        return ""

    def _maker(self, tensor: Tensor) -> Optional[Call]:
        """The call that writes a tensor, None for an input of the model."""
        return next((call for call in self.program.calls() if any(one is tensor for one in call.outputs)), None)

    def _written_layout(self, writer: Call, written: Tensor) -> str:
        """NCHW or NHWC, by what writes an output of four axes; "" where it does not show."""
        call = self._maker(writer.inputs[0]) if writer.kind == "dequantize" else writer
        while call is not None and not call.is_fallback:
            if _moves(call, call.inputs[0], _FIRST):
                return "NCHW"
            if call.operator.startswith(_IMAGES):
                return "NHWC"
            if not OPERATORS[call.operator].in_place or call.inputs[0].shape != written.shape:
                break
            call = self._maker(call.inputs[0])
        return ""

    def _read_in_order(self, reader: Call, axes: Tuple[int, ...]) -> None:
        """Let a call that reads an image alone read it with its axes in the order `axes`."""
        (x,) = reader.inputs
        maker = self._maker(x)
        if maker is not None and _moves(maker, maker.inputs[0], _inverse(axes)):
            reader.inputs = [maker.inputs[0]]
            if not self._readers(x) and x.place is None:
                self.program.items.remove(maker)
            return
        moved = Tensor(x.name, _permuted(x.shape, axes), x.dtype, x.exponent)
        self.program.items.insert(self.program.items.index(reader), self._permute(x, moved, axes))
        reader.inputs = [moved]

    def _quantize(self, writer: Call, port: Port) -> None:
        """Let a float output of a kernel lie in the arena, and be quantized from there."""
        real = writer.output
        written = Tensor(real.name, real.shape, port.dtype, port.exponent, place=real.place)
        inner = Tensor(real.name, real.shape, real.dtype)
        operator, attributes = "quantize", {"exponent": port.exponent, "zero_point": 0}
        if port.dtype == "int16":
            operator, attributes = "quantize_s16", {"exponent": port.exponent, "output": "int16"}
        call = self._new(operator, inner, written, **attributes)
        call.nodes = list(writer.nodes)
        self._substitute(real, inner)
        writer.outputs = [inner]
        self.program.items.insert(self.program.items.index(writer) + 1, call)


def _zero_point(quantize: Call) -> int:
    return quantize.attributes.get("zero_point", 0)  # int16 has none


def _hidden_channels(port: Port) -> str:
    return f"which axis of its shape {list(port.shape)} counts channels does not show"


def _turn(port: Port, layout: str) -> None:
    """Give an image port of the other order of axes the shape that it has in `layout`."""
    port.axes = _LAST if layout == "NHWC" else _FIRST
    port.shape = _permuted(port.shape, port.axes)


def _permuted(shape: Sequence[int], axes: Sequence[int]) -> Tuple[int, ...]:
    return tuple(shape[axis] for axis in axes)


def _inverse(axes: Sequence[int]) -> Tuple[int, ...]:
    return tuple(int(axis) for axis in np.argsort(axes))


def _has_one_channel(shape: Sequence[int], axes: Tuple[int, ...]) -> bool:
    """Whether an image of one channel is put into the order `axes`: its bytes stay as they are."""
    return shape[1 if axes == _LAST else 3] == 1


def _moves(call: Call, tensor: Tensor, axes: Tuple[int, ...], before: Optional[Tuple[int, ...]] = None) -> bool:
    """Whether a call puts the axes of `tensor`, which is or was of shape `before`, into the order `axes`."""
    x, before = call.inputs[0], tensor.shape if before is None else before
    if x.root is not tensor.root or not (x is tensor or x.shape == before):
        return False
    if call.operator == "transpose":
        return tuple(call.attributes["axes"]) == axes
    if call.operator != "reshape" or len(before) != 4:
        return False
    return _has_one_channel(before, axes) and call.output.shape == _permuted(before, axes)


def _to_shape(tensor: Tensor) -> Dict[str, object]:
    return {"shape": tuple(tensor.shape)}


def _requantized(call: Call, x: Tensor, type_: str = "", exponent: Optional[int] = None) -> Call:
    """In place of a quantize or dequantize `call`: from `x` to the call's output, or to `type_` worth 2^exponent."""
    type_ = type_ or call.output.dtype
    exponent = call.output.exponent if exponent is None else exponent
    limits = np.iinfo(type_)
    attributes = {"shift": exponent - x.exponent, "clamp": (limits.min, limits.max), "output": type_}
    return replace(call, operator="requantize_s16", inputs=[x], attributes=attributes)


__all__ = ["PortNotes", "set_ports"]
