"""The first time that native libraries read a model: all in one separate process (native.py)."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Callable, Dict, List, NoReturn, Sequence, Tuple

import numpy as np
import onnx

from .convert.old_opsets import MIN_OPSET, at_least_opset_13
from .errors import UserError
from .naming import shown
from .native import Died, run_apart
from .onnx_graph import copied, inferred_values, opset_of

# How much the converted model's outputs may differ from the old model's, relative to the largest value.
_TOLERANCE = 1e-4
_SEED = 20240229


def first_reading(model: onnx.ModelProto, path: Path, session: Callable, newest: int) -> onnx.ModelProto:
    """`model` (in one file, with standard operators) in opset 13 or newer, after all native code has read it once.

    onnx checks and infers shapes, ONNX Runtime runs it on random input; an older model is converted by onnx, and must
    compute the same afterwards. session: makes an ONNX Runtime session. newest: the newest opset, for messages
    Raises `UserError` if any of these crashes, or if an activation has an axis of size 0.
    """
    old = opset_of(model) < MIN_OPSET

    def work(tell: Callable[[str], None]) -> bytes:
        found: Dict[str, object] = {"refused": "", "empty": []}
        result = model
        tell("onnx's checker")
        _tried(lambda: onnx.checker.check_model(model))
        if old:
            tell("onnx's version converter")
            try:
                result = at_least_opset_13(model, path, newest)
            except UserError as error:
                found["refused"] = str(error)
        if not found["refused"]:
            tell("onnx's shape inference")
            found["empty"] = _tried(lambda: _empty(result)) or []
            tell("ONNX Runtime")
            feeds = _tried(lambda: _random_feeds(result))
            if feeds is not None and not found["empty"]:
                found["refused"] = _compared(model, result, feeds, session) if old else ""
                _tried(lambda: _run(result, feeds, session))
        head = json.dumps(found).encode()
        return struct.pack("<Q", len(head)) + head + (result.SerializeToString() if old else b"")

    try:
        answer = run_apart(work, model.ByteSize())
    except Died as death:
        _tell(path, death)
    except RuntimeError:  # errors not reported here are reported when this process reads the model
        return at_least_opset_13(model, path, newest)
    (size,) = struct.unpack_from("<Q", answer)
    found = json.loads(answer[8 : 8 + size])
    if found["refused"]:
        text = found["refused"]
        raise UserError(text if text.startswith(str(path)) else f"{path}: {text}")
    for tensor, node in found["empty"]:
        raise UserError(
            f"{path}: tensor '{shown(tensor)}' ({shown(node)}) has an axis of size 0: nothing is left to compute; "
            "correct the shapes and export the model again"
        )
    if not old:
        return model
    return onnx.ModelProto.FromString(answer[8 + size :])


def try_inference(model: onnx.ModelProto, path: Path) -> None:
    """Raise a `UserError` if onnx's shape inference, which the first rewrites need, crashes on a model."""

    def work(tell: Callable[[str], None]) -> bytes:
        tell("onnx's shape inference")
        _tried(lambda: inferred_values(model))
        return b""

    try:
        run_apart(work, model.ByteSize())
    except Died as death:
        _tell(path, death)


def _tell(path: Path, death: Died) -> NoReturn:
    raise UserError(
        f"{path}: {death.stage} {death.how} on this model: it is damaged, or far too large; export it again"
    )


def _tried(work: Callable):
    """The result, or None for an exception: it will occur again in this process, which then reports it."""
    try:
        return work()
    except MemoryError:
        raise
    except Exception:
        return None


def _empty(model: onnx.ModelProto) -> List[Tuple[str, str]]:
    """(tensor, operator) of the first activation in float that has an axis of size 0."""
    values = inferred_values(model)
    constant = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        if all(name in constant for name in node.input):
            constant.update(node.output)
            continue
        for name in node.output:
            tensor = values[name].type.tensor_type if name in values else None
            if tensor is None or tensor.elem_type != onnx.TensorProto.FLOAT:
                continue
            if any(dim.HasField("dim_value") and dim.dim_value == 0 for dim in tensor.shape.dim):
                return [(name, node.op_type)]
    return []


def _random_feeds(model: onnx.ModelProto) -> Dict[str, np.ndarray]:
    """Standard normal values, ones for whole numbers (indices, divisors); free axes of size 1."""
    random = np.random.RandomState(_SEED)
    feeds = {}
    for value in model.graph.input:
        tensor = value.type.tensor_type
        shape = [max(dim.dim_value, 1) for dim in tensor.shape.dim]
        dtype = onnx.mapping.TENSOR_TYPE_TO_NP_TYPE[tensor.elem_type]
        values = random.standard_normal(shape) if np.dtype(dtype).kind == "f" else np.ones(shape)
        feeds[value.name] = np.asarray(values).astype(dtype)
    return feeds


def _run(model: onnx.ModelProto, feeds: Dict[str, np.ndarray], session: Callable) -> List[np.ndarray]:
    return session(model).run([value.name for value in model.graph.output], feeds)


def _compared(old: onnx.ModelProto, new: onnx.ModelProto, feeds: Dict[str, np.ndarray], session: Callable) -> str:
    """What is wrong with a converted model, "" if nothing; ONNX Runtime must support the old one."""
    before = _tried(lambda: _run(_readable(old), feeds, session))
    after = _tried(lambda: _run(new, feeds, session))
    if before is None or after is None:
        return ""
    for value, one, other in zip(old.graph.output, before, after):
        if not _same(one, other):
            return (
                f"opset {opset_of(old)}: onnx's version converter changes what output '{shown(value.name)}' is; "
                "export again with opset 13 to 17"
            )
    return ""


def _readable(model: onnx.ModelProto) -> onnx.ModelProto:
    """ONNX Runtime needs outputs with a type."""
    copy = copied(model)
    copy.ir_version = max(copy.ir_version, 4)
    return copy


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.dtype.kind != "f":
        return bool(np.array_equal(one, other))
    finite = np.abs(one[np.isfinite(one)])
    scale = float(finite.max()) if finite.size else 0.0
    return bool(np.allclose(one, other, rtol=_TOLERANCE, atol=_TOLERANCE * scale, equal_nan=True))


__all__: Sequence[str] = ["first_reading", "try_inference"]
