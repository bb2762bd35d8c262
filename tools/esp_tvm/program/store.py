"""A program as files of its project, and back: nobody compiles a model twice.

Below components/tvm_model/model:

    metadata.json   all of `Program` but the arrays; its form stands in `schema`
    constants.bin   the arrays of the generated C (compile/constants.py)
    reference.npz   the arrays that the rules of `esp_tvm.arithmetic` take (weights, tables) in the layout of the rule;
                    only tools on a computer read it, the chip never sees it
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
from pathlib import Path
from typing import Any, Dict, List, NoReturn, Optional, Sequence, Type

import numpy as np
from pydantic import ValidationError

from .. import arithmetic
from ..errors import UserError
from ..exact import exact_number, positive_number
from ..naming import one_line, shown
from ..record import first_fault
from . import schema
from .form import Call, CallTime, Constant, Loop, Pixels, Place, Port, Program, Scratch, Tensor
from .split import Split

MODEL = Path("components/tvm_model/model")
METADATA, CONSTANTS, REFERENCE = "metadata.json", "constants.bin", "reference.npz"
# No model that fits a chip needs more; what is larger was not written by this tool.
_MOST_TEXT, _MOST_BYTES = 1 << 26, 1 << 30


# --- writing ----------------------------------------------------------------------------------------------


def save(
    program: Program,
    folder: Path,
    target_chip: str,
    constants_bin: bytes,
    offsets: Sequence[int],
    versions: Optional[Dict[str, str]] = None,
) -> None:
    """Write metadata.json, constants.bin and reference.npz into `folder`: for the same program the same bytes.

    constants_bin: the content of constants.bin; offsets: where in it each of `program.constants` starts
    versions: of the tools that made the program, by name
    """
    writer = _Writer(program)
    text, arrays = writer.record(target_chip, offsets, versions or {}), writer.archive()
    text["files"] = {"constants": _digest(constants_bin), "reference": _digest(arrays)}
    schema.ProgramRecord.model_validate(text)
    (folder / CONSTANTS).write_bytes(constants_bin)
    (folder / REFERENCE).write_bytes(arrays)
    (folder / METADATA).write_text(json.dumps(text, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class _Writer:
    """Gives every tensor its number and every array of an attribute its name."""

    def __init__(self, program: Program):
        self.program = program
        self.ids: Dict[Tensor, int] = {}
        self.arrays: Dict[str, np.ndarray] = {}
        self._names: Dict[int, str] = {}
        for port in [*program.inputs, *program.outputs]:
            self.ids[port] = len(self.ids)
        for call in program.calls():
            for one in (call, *call.followers):
                for tensor in (*one.inputs, *one.outputs):
                    self._number(tensor)

    def _number(self, tensor: Tensor) -> None:
        if tensor not in self.ids:
            if tensor.source is not None:
                self._number(tensor.source)
            self.ids[tensor] = len(self.ids)

    def record(self, target_chip: str, offsets: Sequence[int], versions: Dict[str, str]) -> Dict[str, Any]:
        """The content of metadata.json, without the hashes of the files beside it."""
        program = self.program
        ports = [*program.inputs, *program.outputs]
        return {
            "version": schema.VERSION,
            "target_chip": target_chip,
            "model_hash": program.model_hash,
            "versions": dict(sorted(versions.items())),
            "board": program.board,
            "kernels_for": program.kernels_for,
            "cores": program.cores,
            "arena_bytes": program.arena_bytes,
            "arena_limit": program.arena_limit,
            "constant_bytes": program.constant_bytes,
            "fallback_constant_bytes": program.fallback_constant_bytes,
            "macs": program.macs,
            "inputs": [self._tensor(port) for port in program.inputs],
            "outputs": [self._tensor(port) for port in program.outputs],
            "nodes": list(program.nodes),
            "refusals": [{"node": int(node), "reason": why} for node, why in sorted(program.refusals.items())],
            "items": [
                {"rows": item.rows, "first_leads": item.first_leads, "loop": [self._call(call) for call in item.calls]}
                if isinstance(item, Loop)
                else self._call(item)
                for item in program.items
            ],
            "verification": program.verification,
            "tensors": [self._tensor(tensor) for tensor in list(self.ids)[len(ports) :]],
            "constants": [
                {
                    "name": constant.name,
                    "c_type": constant.c_type,
                    "dtype": constant.array.dtype.name,
                    "shape": list(constant.array.shape),
                    "offset": offset,
                    "comment": constant.comment,
                }
                for constant, offset in zip(program.constants, offsets)
            ],
        }

    def _tensor(self, tensor: Tensor) -> Dict[str, Any]:
        place = tensor.place
        record = {
            "id": self.ids[tensor],
            "name": tensor.name,
            "dtype": tensor.dtype,
            "shape": [int(size) for size in tensor.shape],
            "exponent": None if tensor.exponent is None else int(tensor.exponent),
            "source": None if tensor.source is None else self.ids[tensor.source],
            "place": None
            if place is None
            else {name: getattr(place, name) for name in ("kind", "offset", "index", "rows", "kept", "memory")},
        }
        return {**record, **_of_port(tensor)} if isinstance(tensor, Port) else record

    def _call(self, call: Call, prefix: str = "") -> Dict[str, Any]:
        name = prefix or str(call.index)
        return {
            "index": call.index,
            "symbol": call.symbol,
            "operator": call.operator,
            "kernel": call.kernel,
            "is_view": call.is_view,
            "nodes": list(call.nodes),
            "node_indices": [int(index) for index in call.node_indices],
            "output_node": call.output_node,
            "inputs": [self.ids[tensor] for tensor in call.inputs],
            "outputs": [self.ids[tensor] for tensor in call.outputs],
            "attributes": {key: self._attribute(f"{name}.{key}", call.attributes[key]) for key in call.attributes},
            "input_range": [int(bound) for bound in call.input_range],
            "followers": [self._call(one, f"{name}+{number}") for number, one in enumerate(call.followers, 1)],
            "scratch": _scratch(call.scratch),
            "overlap_distance": call.overlap_distance,
            "slowest": round(float(call.slowest), 2),
            "split": _split(call.split),
            "not_split": call.not_split,
            "constants": [constant.name for constant in call.constants],
            "constant_bytes": sum(constant.array.nbytes for constant in call.constants),
            "macs": int(call.macs),
            "estimate": _estimate(call.estimate),
            "reason": call.reason,
            "relay": list(call.relay),
            "operations": int(call.operations),
        }

    def _attribute(self, name: str, value: Any) -> Any:
        """A number, text or list as JSON has it; what is NumPy's, and what JSON has no text for, as an array."""
        if isinstance(value, (list, tuple)):
            return [self._attribute(f"{name}.{number}", item) for number, item in enumerate(value)]
        if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
            return value
        # Calls of one function have the same arrays: each is written once.
        known = self._names.setdefault(id(value), name)
        array = np.asarray(value)
        if array.dtype == object:
            raise TypeError(f"{name} is of a type that the project has no form for: {type(value).__name__}")
        self.arrays[known] = array
        return {"array": known}

    def archive(self) -> bytes:
        """reference.npz: not compressed, since compressors differ from one computer to another."""
        buffer = io.BytesIO()
        np.savez(buffer, **self.arrays)
        return buffer.getvalue()


def _of_port(port: Port) -> Dict[str, Any]:
    """What a port's record has besides a tensor's."""
    pixels = port.pixels
    return {
        "c_name": port.c_name,
        "inside": port.inside,
        "onnx_dtype": port.onnx_dtype,
        "onnx_shape": [int(size) for size in port.onnx_shape or ()],
        "axes": list(port.axes),
        "pixels": None
        if pixels is None
        else {
            "scale": str(pixels.scale),
            "mean": list(map(str, pixels.mean)),
            "std": list(map(str, pixels.std)),
            "axis": pixels.axis,
        },
        "alignment": port.alignment,
    }


def _scratch(scratch: Optional[Scratch]) -> Optional[Dict[str, int]]:
    return None if scratch is None else {"bytes": scratch.bytes, "offset": scratch.offset}


def _estimate(time: Optional[CallTime]) -> Optional[Dict[str, Any]]:
    if time is None:
        return None
    parts = {name: round(getattr(time, name), 1) for name in ("compute", "weights", "activations")}
    return {"instructions": time.instructions, **parts}


def _split(split: Optional[Split]) -> Optional[Dict[str, Any]]:
    if split is None:
        return None
    return {"axis": split.axis, "size": int(split.size), "cut": int(split.cut), "saved": int(split.saved)}


# --- reading ----------------------------------------------------------------------------------------------


def load(project: Path) -> Program:
    """The program of an exported project; `UserError` where it is none, damaged or of another version.

    What is not in files is not there: `Call.variant` is None, and the text of TVM's functions stands in the C alone.
    """
    folder = project / MODEL
    try:
        size = (folder / METADATA).stat().st_size
    except OSError:
        raise UserError(f"{project}: is not a project that the export step wrote; run export first")
    if size > _MOST_TEXT:
        _refuse(folder / METADATA, "is too large")
    return _Reader(folder, _record(folder / METADATA)).program()


def target_chip(project: Path) -> str:
    """The chip that a project was exported for."""
    return load(project).target_chip


def _refuse(path: Path, why: str) -> NoReturn:
    raise UserError(f"{path}: {one_line(why, 200)}; export the model again")


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MOST_BYTES:
            _refuse(path, "is too large")
        return path.read_bytes()
    except OSError as error:
        _refuse(path, f"cannot be read ({error.strerror})")


def _not_a_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _record(path: Path) -> schema.ProgramRecord:
    """The file, every field of the right type."""
    try:
        content = json.loads(_content(path).decode("utf-8"), parse_constant=_not_a_number)
    except (ValueError, RecursionError) as error:
        _refuse(path, f"is damaged: {error}")
    if not isinstance(content, dict) or "version" not in content:
        _refuse(path, "is not the metadata of a project")
    if content["version"] != schema.VERSION:
        found = shown(str(content["version"]), 20)
        _refuse(path, f"is of version {found}, and this tool reads version {schema.VERSION}")
    try:
        return schema.ProgramRecord.model_validate(content)
    except ValidationError as error:
        _refuse(path, f"is damaged: {first_fault(error)}")
    except RecursionError:
        _refuse(path, "is damaged: it is nested too deeply")


class _Damaged(Exception):
    """What does not fit together in metadata.json."""


def _need(condition: bool, text: str) -> None:
    if not condition:
        raise _Damaged(text)


class _Reader:
    """Makes the program of a record whose fields are of the right type, and refuses what does not fit together."""

    def __init__(self, folder: Path, record: schema.ProgramRecord):
        self.folder, self.record = folder, record
        self.tensors: Dict[int, Tensor] = {}
        self.constants: Dict[str, Constant] = {}
        self.arrays: Dict[str, np.ndarray] = {}

    def program(self) -> Program:
        """All of it."""
        try:
            return self._program()
        except _Damaged as error:
            _refuse(self.folder / METADATA, f"is damaged: {error}")

    def _program(self) -> Program:
        record = self.record
        constants = self._constants(self._beside(CONSTANTS, record.files.constants))
        self.arrays = self._archive(self._beside(REFERENCE, record.files.reference))
        inputs, outputs = ([self._port(port) for port in ports] for ports in (record.inputs, record.outputs))
        for kind, ports in (("input", inputs), ("output", outputs)):
            _need(len({port.c_name for port in ports}) == len(ports), f"two {kind}s have one name")
            places = [(port.place.kind, port.place.index) for port in ports if port.place is not None]
            _need(places == [(kind, index) for index in range(len(ports))], f"an {kind} does not lie in its own buffer")
        for tensor in record.tensors:
            self._tensor(tensor, Tensor)
        program = Program(
            inputs,
            outputs,
            [self._loop(item) if isinstance(item, schema.LoopRecord) else self._call(item) for item in record.items],
            nodes=record.nodes,
            refusals={refusal.node: refusal.reason for refusal in record.refusals},
            constants=constants,
            fallback_constant_bytes=record.fallback_constant_bytes,
            arena_bytes=record.arena_bytes,
            arena_limit=record.arena_limit,
            model_hash=record.model_hash,
            kernels_for=record.kernels_for,
            board=record.board,
            cores=record.cores,
            target_chip=record.target_chip,
            verification=record.verification.model_dump() if record.verification else None,
        )
        self._check(program)
        return program

    # --- the files beside it ---

    def _beside(self, name: str, digest: str) -> bytes:
        content = _content(self.folder / name)
        if _digest(content) != digest:
            _refuse(self.folder / name, f"is not the file that {METADATA} was written with")
        return content

    def _archive(self, content: bytes) -> Dict[str, np.ndarray]:
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                members = archive.infolist()
            stored = all(one.compress_type == zipfile.ZIP_STORED for one in members)
            if not stored or sum(one.file_size for one in members) > len(content):
                raise ValueError("it is compressed")
            with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        except (ValueError, KeyError, EOFError, MemoryError, zipfile.BadZipFile, OSError) as error:
            _refuse(self.folder / REFERENCE, f"is damaged: {error}")

    def _constants(self, content: bytes) -> List[Constant]:
        found = []
        for record in self.record.constants:
            dtype, count = np.dtype(record.dtype), math.prod(record.shape)
            fits = record.offset + count * dtype.itemsize <= len(content)
            _need(fits, f"constant {record.name} does not lie in {CONSTANTS}")
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
        size = math.prod(record.shape) * np.dtype(record.dtype).itemsize
        _need(size <= _MOST_BYTES, f"tensor {record.id} is too large")
        _need(source is None or size == source.bytes, f"tensor {record.id} is not of the size of its source")
        if place is not None:
            window = place.kind == "window"
            _need(not window or (len(record.shape) == 4 and record.shape[1] > 0), f"tensor {record.id} has no rows")
            room = self.record.arena_bytes - place.offset + 1
            ends = {
                "arena": room - size,
                "window": room - tensor.lying,
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

    def _loop(self, record: schema.LoopRecord) -> Loop:
        calls = [self._call(call) for call in record.loop]
        for call in calls:
            shape = call.writes[0].shape
            _need(len(shape) == 4 and shape[1] > 0, f"call {call.index} is in a loop and computes no rows")
        return Loop(calls, record.rows, record.first_leads)

    def _call(self, record: schema.CallRecord) -> Call:
        what = f"call {record.index}"
        _need(not record.operator or _has_rule(record.operator), f"{what}: no rule '{shown(record.operator)}'")
        _need(not record.operator or len(record.outputs) == 1, f"{what}: a kernel has one output")
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
            _need(value.array in self.arrays, f"there is no array '{shown(value.array)}' in {REFERENCE}")
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
        raise _Damaged(str(error))
    _need((port.dtype, port.onnx_dtype) == ("uint8", "float32") and len(mean) == len(std), what)
    _need(len(mean) == 1 or (record.axis < len(port.shape) and port.shape[record.axis] == len(mean)), what)
    return pixels


def _is_given(tensor: Tensor) -> bool:
    return tensor.place is not None and tensor.place.kind in ("input", "constant")


def _lies_in_output(tensor: Tensor, index: int, size: int) -> bool:
    place = tensor.place
    return place is not None and (place.kind, place.index, tensor.bytes) == ("output", index, size)


__all__: Sequence[str] = ["CONSTANTS", "METADATA", "MODEL", "REFERENCE", "load", "save", "target_chip"]
