"""Small ESP-DL models: a writer of the file format, and the blocks in which ESP-DL stores weights."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import flatbuffers
import numpy as np

from esp_tvm.convert.espdl.schema import ATTRIBUTE_FIELDS, ELEMENTS, TABLES

KINDS = {name: number for number, name in ELEMENTS.items()}
_NUMBERS = {"int8": "Int8", "uint8": "Uint8", "int32": "Int32", "int64": "Int64"}


def encoded(model: Dict[str, Any]) -> bytes:
    """The FlatBuffers bytes of a table Model, given as a dict of its fields."""
    builder = flatbuffers.Builder(0)
    builder.Finish(_table(builder, "Model", model))
    return bytes(builder.Output())


def _table(builder: flatbuffers.Builder, kind: str, values: Dict[str, Any]) -> int:
    fields = dict(TABLES[kind])
    assert not set(values) - set(fields), f"{kind} has no {set(values) - set(fields)}"
    offsets = {name: _offset(builder, fields[name], value) for name, value in values.items() if value is not None}
    builder.StartObject(len(fields))
    for slot, (name, what) in enumerate(TABLES[kind]):
        if name not in offsets:
            continue
        if what in ("float struct", "int64 struct"):
            # A struct lies in the table itself.
            write = builder.PrependFloat32 if what == "float struct" else builder.PrependInt64
            builder.Prep(4 if what == "float struct" else 8, 0)
            write(values[name])
            builder.PrependStructSlot(slot, builder.Offset(), 0)
        elif isinstance(what, str) and what in _NUMBERS:
            getattr(builder, f"Prepend{_NUMBERS[what]}Slot")(slot, values[name], 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, offsets[name], 0)
    return builder.EndObject()


def _offset(builder: flatbuffers.Builder, what: Any, value: Any) -> int:
    """Where a field's value was written; of what lies in the table itself nothing yet."""
    if what == "text":
        return builder.CreateString(value)
    if what == "bytes":
        blocks = -(-len(value) // 16)
        builder.StartVector(16, blocks, 16)
        for byte in reversed(value.ljust(16 * blocks, b"\0")):
            builder.PrependUint8(byte)
        return builder.EndVector()
    if isinstance(what, list) and (what[0] == "text" or what[0] in TABLES):
        items = [_offset(builder, what[0], item) for item in value]
        builder.StartVector(4, len(items), 4)
        for item in reversed(items):
            builder.PrependUOffsetTRelative(item)
        return builder.EndVector()
    if isinstance(what, list):
        return builder.CreateNumpyVector(np.array(value, what[0]))
    return _table(builder, what, value) if what in TABLES else 0


def stored(weights: np.ndarray, grouped: bool = False, block: int = 16) -> np.ndarray:
    """Weights [O, I, H, W] in the order and shape of the file, one value after the other."""
    outputs, inputs, height, width = weights.shape
    whole = outputs // block * block
    places = [(y, x, i) for y in range(height) for x in range(width) for i in range(inputs)]
    values = [
        weights[first + o, i, y, x] for first in range(0, whole, block) for y, x, i in places for o in range(block)
    ]
    if grouped:
        tail = [
            (o, i, y, x)
            for i in range(inputs)
            for y in range(height)
            for x in range(width)
            for o in range(whole, outputs)
        ]
    else:
        tail = [(o, i, y, x) for o in range(whole, outputs) for y, x, i in places]
    values += [weights[place] for place in tail]
    shape = (height, width, outputs, inputs) if grouped else (height, width, inputs, outputs)
    return np.array(values, weights.dtype).reshape(shape)


class EspdlBuilder:
    """A network for a file: tensors are named and said the shape (channels last) and exponent of."""

    def __init__(self) -> None:
        self.nodes: List[Dict] = []
        self.constants: List[Dict] = []
        self.tensors: Dict[str, Dict] = {}
        self.tests: Dict[str, np.ndarray] = {}

    def tensor(self, name: str, shape: Sequence[int], exponent: int, dtype: str = "int8") -> str:
        dims = [{"value": {"dim_type": 1, "dim_value": size}} for size in shape]
        kind = {"value_type": 1, "value": {"elem_type": KINDS[dtype], "shape": {"dim": dims}}}
        self.tensors[name] = {"name": name, "value_info_type": kind, "exponents": [exponent]}
        return name

    def constant(self, name: str, values: np.ndarray, exponents: Sequence[int] = (0,), layout: str = "UNK") -> str:
        self.constants.append(self._constant(name, values, exponents, layout))
        return name

    @staticmethod
    def _constant(name: str, values: np.ndarray, exponents: Sequence[int], layout: str = "UNK") -> Dict:
        return {
            "name": name,
            "dims": list(values.shape),
            "data_type": KINDS[values.dtype.name],
            "raw_data": values.tobytes(),
            "exponents": list(exponents),
            "doc_string": f"layout ==> {layout}",
        }

    def node(self, op_type: str, inputs: Sequence[str], output: str, name: str = "", **attributes: Any) -> str:
        entries = []
        for key, value in {"quant_type": "S8", **attributes}.items():
            field = {int: "i", float: "f", str: "s"}.get(type(value), "ints")
            number = next(n for n, f in ATTRIBUTE_FIELDS.items() if f == field)
            entries.append({"name": key, "attr_type": number, field: list(value.encode()) if field == "s" else value})
        node = {"op_type": op_type, "name": name or f"{output}_node", "input": inputs, "output": [output]}
        self.nodes.append({**node, "attribute": entries})
        return output

    def conv(
        self,
        x: str,
        output: str,
        weights: np.ndarray,
        exponents: Sequence[int],
        bias: Optional[np.ndarray] = None,
        activation: str = "Linear",
        layout: str = "",
        **attributes: Any,
    ) -> str:
        """A convolution of weights int8 [O, I, H, W]; exponents: one, or one for each output channel."""
        grouped = attributes.setdefault("group", 1) > 1
        names = [x, self.constant(f"{output}_w", stored(weights, grouped), exponents, layout or layout_of(weights))]
        if bias is not None:
            at = self.tensors[x]["exponents"][0]
            names.append(self.constant(f"{output}_b", bias, [at + e for e in exponents]))
        settings = {"kernel_shape": list(weights.shape[2:]), "dilations": [1, 1], "pads": [0] * 4, "strides": [1, 1]}
        return self.node("Conv", names, output, activation=activation, **{**settings, **attributes})

    def bytes(self, inputs: Sequence[str], outputs: Sequence[str], **changed: Any) -> bytes:
        """The whole file."""
        inner = [value for name, value in self.tensors.items() if name not in (*inputs, *outputs)]

        def tests(names: Sequence[str]) -> List[Dict]:
            return [self._constant(n, self.tests[n], self.tensors[n]["exponents"]) for n in names if n in self.tests]

        graph = {
            "name": "small",
            "node": self.nodes,
            "initializer": self.constants,
            "input": [self.tensors[name] for name in inputs],
            "output": [self.tensors[name] for name in outputs],
            "value_info": inner,
            "test_inputs_value": tests(inputs),
            "test_outputs_value": tests(outputs),
        }
        return with_header(encoded({"ir_version": 7, "graph": {**graph, **changed}}))


def layout_of(weights: np.ndarray) -> str:
    """How a file calls the order of such weights."""
    return "(N/16)HWC16" if weights.shape[0] % 16 == 0 else "(N/16)HWC16_UNALIGNED"


def with_header(data: bytes, magic: bytes = b"EDL2", encrypted: int = 0) -> bytes:
    return magic + struct.pack("<II", encrypted, len(data)) + (b"" if magic == b"EDL1" else bytes(4)) + data


def packed(models: Dict[str, bytes], magic: bytes = b"PDL2") -> bytes:
    """Several files in one, as ESP-DL's components embed them."""
    head = magic + (bytes(52) if magic == b"PDL3" else b"") + struct.pack("<I", len(models))
    names, data, entries = b"", b"", []
    start = len(head) + 12 * len(models)
    after = start + sum(len(name) for name in models)
    for name, model in models.items():
        entries.append(struct.pack("<III", after + len(data), start + len(names), len(name)))
        names, data = names + name.encode(), data + model
    return head + b"".join(entries) + names + data


def example() -> bytes:
    """A file to try with: a convolution and a dense layer on images [1, 16, 16, 3] at 2^-7, five classes."""
    random, b = np.random.RandomState(0), EspdlBuilder()
    for name, shape, exponent in (
        ("image", [1, 16, 16, 3], -7),
        ("features", [1, 8, 8, 16], -4),
        ("mean", [1, 1, 1, 16], -5),
        ("flat", [1, 16], -5),
        ("scores", [1, 5], -4),
    ):
        b.tensor(name, shape, exponent)
    kernel = random.randint(-60, 60, (16, 3, 3, 3)).astype(np.int8)
    bias = random.randint(-2000, 2000, 16).astype(np.int32)
    b.conv("image", "features", kernel, [-6], bias, "Relu", pads=[1, 1, 1, 1], strides=[2, 2])
    b.node("GlobalAveragePool", ["features"], "mean")
    b.node("Flatten", ["mean"], "flat", axis=1)
    weights = random.randint(-60, 60, (5, 16, 1, 1)).astype(np.int8)
    b.node("Gemm", ["flat", b.constant("w", stored(weights), [-6], layout_of(weights))], "scores", transB=0)
    return b.bytes(["image"], ["scores"])


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(example())
