"""The program that the records of metadata.json describe; store.py reads the files."""

from __future__ import annotations

import math
from typing import Any, Dict, List, Optional, Type

import numpy as np

from .. import arithmetic
from ..exact import exact_number, positive_number
from ..naming import shown
from . import schema
from .form import Call, CallTime, Constant, Exported, Loop, Pixels, Place, Port, Program, Scratch, State, Tensor
from .split import Split


class Damaged(Exception):
    """What does not fit together in metadata.json."""


def _need(condition: bool, text: str) -> None:
    if not condition:
        raise Damaged(text)


class Reader:
    """Makes the program of a record whose fields are of the right type, and refuses what does not fit together."""

    def __init__(self, record: schema.ProgramRecord, arrays: Dict[str, np.ndarray]):
        self.record, self.arrays = record, arrays
        self.tensors: Dict[int, Tensor] = {}
        self.constants: Dict[str, Constant] = {}

    def program(self, constants_bin: bytes) -> Program:
        """All of it; constants_bin: the content of constants.bin. `Damaged` says what does not fit together."""
        record = self.record
        constants = self._constants(constants_bin)
        inputs, outputs = ([self._port(port) for port in ports] for ports in (record.inputs, record.outputs))
        for kind, ports in (("input", inputs), ("output", outputs)):
            _need(len({port.c_name for port in ports}) == len(ports), f"two {kind}s have one name")
            places = [(port.place.kind, port.place.index) for port in ports if port.place is not None]
            _need(places == [(kind, index) for index in range(len(ports))], f"an {kind} does not lie in its own buffer")
        for kind in ("input", "output"):
            numbers = [getattr(state, kind) for state in record.states]
            _need(len(set(numbers)) == len(numbers), f"an {kind} is of two states")
        for tensor in record.tensors:
            self._tensor(tensor, Tensor)
        program = Program(
            inputs,
            outputs,
            [self._loop(item) if isinstance(item, schema.LoopRecord) else self._call(item) for item in record.items],
            states=[self._state(state, inputs, outputs) for state in record.states],
            nodes=record.nodes,
            refusals={refusal.node: refusal.reason for refusal in record.refusals},
            constants=constants,
            fallback_constant_bytes=record.fallback_constant_bytes,
            arena_bytes=record.arena_bytes,
            psram_arena_bytes=record.psram_arena_bytes,
            arena_limit=record.arena_limit,
            model_hash=record.model_hash,
            kernels_for=record.kernels_for,
            board=record.board,
            exported=None if record.exported is None else Exported(**record.exported.model_dump()),
            cores=record.cores,
            target_chip=record.target_chip,
            verification=record.verification.model_dump() if record.verification else None,
        )
        self._check(program)
        return program

    def _constants(self, content: bytes) -> List[Constant]:
        found = []
        for record in self.record.constants:
            dtype, count = np.dtype(record.dtype), math.prod(record.shape)
            fits = record.offset + count * dtype.itemsize <= len(content)
            _need(fits, f"constant {record.name} does not lie in {schema.CONSTANTS}")
            array = np.frombuffer(content, dtype.newbyteorder("<"), count, record.offset).reshape(record.shape)
            found.append(Constant(record.c_type, record.name, array.astype(dtype, copy=False), record.comment))
            self.constants[record.name] = found[-1]
        return found

    # --- tensors and calls ---

    def _tensor(self, record: schema.TensorRecord, kind: Type[Tensor], **more: Any) -> Any:
        _need(record.id not in self.tensors, f"two tensors have id {record.id}")
        place = None if record.place is None else Place(**record.place.model_dump())
        source = None if record.source is None else self._known(record.source)
        tensor = kind(record.name, tuple(record.shape), record.dtype, record.exponent, source, place, **more)
        tensor.order = tuple(record.order)
        channels = list(range(record.shape[-1])) if record.order and record.shape else []
        _need(sorted(tensor.order) == channels, f"tensor {record.id}: its channels have no order")
        size = math.prod(record.shape) * np.dtype(record.dtype).itemsize
        _need(size <= schema.MOST_BYTES, f"tensor {record.id} is too large")
        _need(source is None or size == source.bytes, f"tensor {record.id} is not of the size of its source")
        if place is not None:
            window = place.kind == "window"
            _need(not window or (len(record.shape) == 4 and record.shape[1] > 0), f"tensor {record.id} has no rows")
            room = self.record.arena_bytes - place.offset + 1
            ends = {
                "arena": room - size,
                "window": room - tensor.lying,
                "psram_arena": self.record.psram_arena_bytes - place.offset + 1 - size,
                "input": len(self.record.inputs) - place.index,
                "output": len(self.record.outputs) - place.index,
                "constant": len(self.record.constants) - place.index,
            }
            _need(ends.get(place.kind, 1) > 0, f"tensor {record.id} lies beyond the end of its memory")
        self.tensors[record.id] = tensor
        return tensor

    def _port(self, record: schema.PortRecord) -> Port:
        axes, rank = tuple(record.axes), len(record.onnx_shape)
        _need(not axes or sorted(axes) == list(range(rank)), f"port {record.c_name}: its axes are no order")
        shape = [record.onnx_shape[axis] for axis in axes] if axes else record.onnx_shape
        _need(shape == record.shape, f"port {record.c_name}: its shapes do not fit")
        pixels = None if record.pixels is None else _pixels(record)
        if pixels is None and record.dtype != record.onnx_dtype:
            exponent = 1000 if record.exponent is None else record.exponent
            known = record.dtype in ("int8", "int16") and record.onnx_dtype == "float32" and -149 <= exponent <= 127
            _need(known, f"port {record.c_name}: there is no way from {record.onnx_dtype} to {record.dtype}")
        return self._tensor(
            record,
            Port,
            c_name=record.c_name,
            inside=record.inside,
            zero_point=record.zero_point,
            onnx_dtype=record.onnx_dtype,
            onnx_shape=tuple(record.onnx_shape),
            axes=axes,
            pixels=pixels,
            alignment=record.alignment,
        )

    def _known(self, number: int) -> Tensor:
        _need(number in self.tensors, f"there is no tensor {number}")
        return self.tensors[number]

    def _scratch(self, record: Optional[schema.ScratchRecord]) -> Optional[Scratch]:
        if record is None:
            return None
        _need(record.offset + record.bytes <= self.record.arena_bytes, "scratch memory lies beyond the arena")
        return Scratch(record.bytes, record.offset)

    @staticmethod
    def _state(record: schema.StateRecord, inputs: List[Port], outputs: List[Port]) -> State:
        _need(record.input < len(inputs) and record.output < len(outputs), "a state is no input and output")
        before, after = inputs[record.input], outputs[record.output]
        state = State(before, after)
        _need(state.is_one_form, f"state '{shown(before.name)}' has two forms")
        return state

    def _loop(self, record: schema.LoopRecord) -> Loop:
        calls = [self._call(call) for call in record.loop]
        for call in calls:
            shape = call.writes[0].shape
            _need(len(shape) == 4 and shape[1] > 0, f"call {call.index} is in a loop and computes no rows")
        return Loop(calls, record.rows, record.first_leads)

    def _call(self, record: schema.CallRecord) -> Call:
        what = f"call {record.index}"
        _need(not record.operator or _has_rule(record.operator), f"{what}: no rule '{shown(record.operator)}'")
        several = 1 + len(record.attributes.get("further") or ()) if record.operator else len(record.outputs)
        _need(len(record.outputs) == several, f"{what}: its kernel does not have {len(record.outputs)} outputs")
        _need(all(name in self.constants for name in record.constants), f"{what}: no such constant")
        split = None if record.split is None else Split(**record.split.model_dump())
        _need(split is None or 0 < split.cut < split.size, f"{what}: cut outside of its {record.split and split.axis}")
        return Call(
            record.symbol,
            record.operator,
            [self._known(number) for number in record.inputs],
            [self._known(number) for number in record.outputs],
            {name: self._attribute(value) for name, value in record.attributes.items()},
            record.index,
            record.nodes,
            record.node_indices,
            record.output_node,
            kernel=record.kernel,
            is_view=record.is_view,
            input_range=(record.input_range[0], record.input_range[1]),
            followers=[self._call(follower) for follower in record.followers],
            scratch=self._scratch(record.scratch),
            overlap_distance=record.overlap_distance,
            slowest=record.slowest,
            split=split,
            not_split=record.not_split,
            constants=[self.constants[name] for name in record.constants],
            macs=record.macs,
            estimate=None if record.estimate is None else CallTime(**record.estimate.model_dump()),
            reason=record.reason,
            relay=record.relay,
            operations=record.operations,
        )

    def _attribute(self, value: Any) -> Any:
        if isinstance(value, schema.ArrayRecord):
            _need(value.array in self.arrays, f"there is no array '{shown(value.array)}' in {schema.REFERENCE}")
            return self.arrays[value.array]
        return tuple(self._attribute(item) for item in value) if isinstance(value, list) else value

    # --- the whole ---

    def _check(self, program: Program) -> None:
        """Numbers of calls are their own; what a call reads is there by then; the outputs are all written."""
        indices = [call.index for call in program.calls()]
        _need(len(set(indices)) == len(indices), "two calls have one index")
        made = set(program.inputs)
        for call in program.calls():
            for one in (call, *call.followers):
                for tensor in one.inputs:
                    there = _is_given(tensor.root) or tensor in made or tensor.root in made
                    _need(there, f"call {one.index} reads what no call has made")
                made.update(one.outputs)
        for index, port in enumerate(program.outputs):
            written = port in made or any(_lies_in_output(tensor, index, port.bytes) for tensor in made)
            _need(written, f"output '{shown(port.name)}' is written by no call")


def _has_rule(operator: str) -> bool:
    try:
        arithmetic.rule(operator)
    except KeyError:
        return False
    return True


def _pixels(port: schema.PortRecord) -> Pixels:
    record, what = port.pixels, f"port {port.c_name}: its pixels do not fit its type and shape"
    assert record is not None
    try:
        mean, std = tuple(map(exact_number, record.mean)), tuple(map(positive_number, record.std))
        pixels = Pixels(positive_number(record.scale), mean, std, record.axis)
    except ValueError as error:
        raise Damaged(str(error))
    _need((port.dtype, port.onnx_dtype) == ("uint8", "float32") and len(mean) == len(std), what)
    _need(len(mean) == 1 or (record.axis < len(port.shape) and port.shape[record.axis] == len(mean)), what)
    return pixels


def _is_given(tensor: Tensor) -> bool:
    return tensor.place is not None and tensor.place.kind in ("input", "constant")


def _lies_in_output(tensor: Tensor, index: int, size: int) -> bool:
    place = tensor.place
    return place is not None and (place.kind, place.index, tensor.bytes) == ("output", index, size)
