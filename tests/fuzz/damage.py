"""Damaged and odd inputs: bytes, arrays, models, logs, specs, command lines."""

from __future__ import annotations

import io
import zipfile
from typing import List

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

_ODD_NUMBERS = (0, 1, -1, 2, 127, 255, 256, 2**31 - 1, -(2**31), 2**31, 2**63 - 1, -(2**63))
_ODD_FLOATS = (0.0, -0.0, 1e-45, 1e-38, 1e30, -1e30, 3.4e38, float("inf"), float("-inf"), float("nan"), 0.1)
_ODD_WORDS = ("", " ", "\x00", "a/b", "../x", "x" * 300, "名前", "\x1b[31mred", "%s%n", "UINT8_MAX", "int", "a\nb")


def _pick(random: np.random.RandomState, values):
    return values[random.randint(len(values))]


def damaged(random: np.random.RandomState, data: bytes) -> bytes:
    """`data` with a few bytes changed, cut off, left out, doubled or put in."""
    made = bytearray(data)
    for _ in range(random.randint(1, 5)):
        if not made:
            break
        place, kind = random.randint(len(made)), random.randint(6)
        if kind == 0:
            made[place] ^= 1 << random.randint(8)
        elif kind == 1:
            made[place] = random.randint(256)
        elif kind == 2:
            del made[place : place + random.randint(1, 9)]
        elif kind == 3:
            made[place:place] = random.bytes(random.randint(1, 9))
        elif kind == 4:
            made[place:place] = made[place : place + random.randint(1, 64)]
        else:
            del made[place:]
    return bytes(made)


def array_file(random: np.random.RandomState, shape, suffix: str) -> bytes:
    """A .npy or .npz of samples of `shape`: of an odd type, shape or value, or damaged."""
    kind = random.randint(5)
    count = _pick(random, (0, 1, 3, 30))
    array = random.standard_normal((count, *shape)).astype(np.float32)
    if kind == 0:
        names = ("f2", "f8", "i1", "u8", "c8", "?", "U3", "S5", ">f4", "M8[s]", "V4", "O")
        with np.errstate(all="ignore"):
            array = array.astype(_pick(random, names)) if random.randint(3) else array.astype("f8") * 1e300
    elif kind == 1:
        odd = list(array.shape)
        for _ in range(random.randint(1, 3)):
            odd[random.randint(len(odd))] = int(_pick(random, (0, 1, 2, 5)))
        array = np.zeros(odd[random.randint(2) :], np.float32)
    elif kind == 2 and array.size:
        array.reshape(-1)[random.randint(array.size)] = _pick(random, _ODD_FLOATS)
    stream = io.BytesIO()
    if suffix == ".npz":
        names = [_pick(random, ("x", "y", "", "x.npy", "arr_0", "../x")) for _ in range(random.randint(1, 3))]
        with zipfile.ZipFile(stream, "w", _pick(random, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
            for name in dict.fromkeys(names):
                member = io.BytesIO()
                np.save(member, array, allow_pickle=True)
                archive.writestr(f"{name}.npy", member.getvalue())
    else:
        np.save(stream, array, allow_pickle=True)
    data = stream.getvalue()
    if kind < 3:
        return data
    if kind == 3 and suffix == ".npy":
        # Its header alone.
        return damaged(random, data[:128]) + data[128:]
    return damaged(random, data)


def changed_model(random: np.random.RandomState, model: onnx.ModelProto) -> onnx.ModelProto:
    """A model with a few fields that say something else."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    for _ in range(random.randint(1, 4)):
        _change(random, made)
    return made


def _change(random: np.random.RandomState, model: onnx.ModelProto) -> None:
    graph = model.graph
    kind = random.randint(12)
    node = _pick(random, graph.node)
    if kind == 0 and node.attribute:
        attribute = _pick(random, node.attribute)
        if attribute.ints:
            attribute.ints[random.randint(len(attribute.ints))] = int(_pick(random, _ODD_NUMBERS))
        elif attribute.type == onnx.AttributeProto.FLOAT:
            attribute.f = float(np.float32(_pick(random, _ODD_FLOATS)))
        else:
            attribute.i = int(_pick(random, _ODD_NUMBERS))
    elif kind == 1 and node.attribute:
        del node.attribute[random.randint(len(node.attribute))]
    elif kind == 2:
        node.op_type = _pick(random, ("Conv", "Relu", "Gemm", "Loop", "Softmax", "NoSuch", "", "Reshape", "Cast"))
    elif kind == 3 and node.input:
        others = [name for other in graph.node for name in (*other.input, *other.output)]
        node.input[random.randint(len(node.input))] = _pick(random, [*others, "", "nowhere"])
    elif kind == 4 and node.output:
        node.output[random.randint(len(node.output))] = _pick(random, [*_ODD_WORDS, graph.node[0].output[0]])
    elif kind == 5 and graph.initializer:
        tensor = _pick(random, graph.initializer)
        if tensor.dims and random.randint(2):
            tensor.dims[random.randint(len(tensor.dims))] = int(_pick(random, (0, 1, 2, 7, -1, 2**31)))
        else:
            tensor.data_type = int(_pick(random, (0, 1, 2, 3, 6, 7, 8, 10, 11, 16, 21, 99)))
    elif kind == 6 and graph.initializer:
        tensor = _pick(random, graph.initializer)
        tensor.raw_data = damaged(random, tensor.raw_data)
    elif kind == 7:
        dims = _pick(random, [*graph.input, *graph.output]).type.tensor_type.shape.dim
        if dims:
            _pick(random, dims).dim_value = int(_pick(random, (0, 1, 2, 3, -1, 2**40)))
    elif kind == 8:
        model.opset_import[0].version = int(_pick(random, (1, 7, 9, 11, 12, 15, 17, 18, 99, -1, 0)))
    elif kind == 9:
        name = _pick(random, _ODD_WORDS)
        value = _pick(random, [*graph.input, *graph.output])
        for other in graph.node:
            other.input[:] = [name if n == value.name else n for n in other.input]
            other.output[:] = [name if n == value.name else n for n in other.output]
        value.name = name
    elif kind == 10 and graph.initializer:
        tensor = _pick(random, graph.initializer)
        try:
            array = numpy_helper.to_array(tensor) if tensor.data_type == TensorProto.FLOAT else None
        except ValueError:  # an earlier change has cut its data off
            array = None
        if array is not None and array.size:
            array = array.copy()
            array.reshape(-1)[:: random.randint(1, 5)] = _pick(random, _ODD_FLOATS)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    else:
        del graph.node[random.randint(len(graph.node))]
        if not graph.node:
            graph.node.add().op_type = "Relu"


def changed_scales(random: np.random.RandomState, model: onnx.ModelProto) -> onnx.ModelProto:
    """A QDQ model whose scales, zero points and their types are others."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    of_scale, of_zero = set(), set()
    for node in made.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            of_scale.add(node.input[1])
            of_zero |= set(node.input[2:])
    scales = [t for t in made.graph.initializer if t.name in of_scale]
    zeros = [t for t in made.graph.initializer if t.name in of_zero]
    for _ in range(random.randint(1, 4)):
        kind = random.randint(5)
        if kind == 0 and scales:
            tensor = _pick(random, scales)
            factor = _pick(random, (0.5, 2.0, 1.5, 2.0**-20, 2.0**20, -1.0, 0.0, 1e-38, float("nan"), float("inf")))
            with np.errstate(all="ignore"):
                array = (numpy_helper.to_array(tensor) * np.float32(factor)).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
        elif kind == 1 and zeros:
            tensor = _pick(random, zeros)
            array = np.asarray(numpy_helper.to_array(tensor))
            tensor.CopyFrom(
                numpy_helper.from_array(np.full_like(array, _pick(random, (0, 1, -1, 127, -128))), tensor.name)
            )
        elif kind == 2 and zeros:
            tensor = _pick(random, zeros)
            array = np.asarray(numpy_helper.to_array(tensor)).astype(_pick(random, ("u1", "i1", "i2", "i4", "f4")))
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
        elif kind == 3 and scales:
            tensor = _pick(random, scales)
            array = np.repeat(np.atleast_1d(numpy_helper.to_array(tensor)), int(random.randint(1, 4)))
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
        else:
            node = _pick(random, [n for n in made.graph.node if n.op_type.endswith("Linear")])
            if random.randint(2) and len(node.input) > 2:
                node.input[:] = node.input[:2]
            else:
                node.attribute.extend([onnx.helper.make_attribute("axis", int(random.randint(-3, 4)))])
    return made


def changed_log(random: np.random.RandomState, log: bytes) -> bytes:
    """A board's log with lines lost, doubled, torn, in another order, with noise, or with odd numbers in them."""
    lines = log.split(b"\n")
    for _ in range(random.randint(1, 4)):
        place, kind = random.randint(len(lines)), random.randint(7)
        if kind == 0:
            del lines[place]
        elif kind == 1:
            lines.insert(place, lines[random.randint(len(lines))])
        elif kind == 2:
            lines[place] = lines[place][: random.randint(len(lines[place]) + 1)]
        elif kind == 3:
            lines.insert(place, b"\x1b[0;32mI (%d) wifi: \xff\xfe" % random.randint(10**6))
        elif kind == 4:
            words = lines[place].split(b" ")
            words[random.randint(len(words))] = str(_pick(random, (*_ODD_NUMBERS, *_ODD_FLOATS))).encode()
            lines[place] = b" ".join(words)
        elif kind == 5:
            lines[place] = damaged(random, lines[place])
        else:
            random.shuffle(lines[place : place + 5])
        if not lines:
            lines = [b""]
    return b"\n".join(lines)


_ODD_VALUES = (
    "1e999999999", ".nan", "-.inf", "[]", "{}", "null", "0", "-1", "[1,2", "'", "!!python/object:os.system x",
    "&a [*a]", "0x7fffffffffffffff", "99999999999999999999", "true", "[[[[[[]]]]]]", "2001-01-01", "? x", "|", "\x00",
)  # fmt: skip


def spec(random: np.random.RandomState, documents: List[str]) -> bytes:
    """A YAML of a front end: a good one with other values, other keys, or damaged."""
    text = _pick(random, documents)
    for _ in range(random.randint(1, 4)):
        lines = text.splitlines() or [""]
        place, kind = random.randint(len(lines)), random.randint(5)
        key, _, value = lines[place].partition(":")
        if kind == 0:
            lines[place] = f"{key}: {_pick(random, _ODD_VALUES)}"
        elif kind == 1:
            lines[place] = f"{key}x:{value}"
        elif kind == 2:
            del lines[place]
        elif kind == 3:
            lines.insert(place, lines[random.randint(len(lines))])
        else:
            numbers = [i for i, letter in enumerate(lines[place]) if letter.isdigit()]
            if numbers:
                at = _pick(random, numbers)
                lines[place] = lines[place][:at] + str(_pick(random, _ODD_NUMBERS)) + lines[place][at + 1 :]
        text = "\n".join(lines) + "\n"
    data = text.encode("utf-8")
    return damaged(random, data) if random.randint(4) == 0 else data


def arguments(random: np.random.RandomState, files: List[str]) -> List[str]:
    """A command line: a command with options that are missing, doubled, misspelt, or say something odd."""
    commands = "preprocess quantize export run compare report convert component frontend debug emulate nothing".split()
    options = (
        "--model --output --calib --input --target --out --project --method --percentile --per_channel --int16 --debug "
        "--constants --vector --cores --log --log_mode --layer --to --name --spec --evaluate --labels --shape --opset "
        "--mode --help --versoin --fit --int16_gain --sanitize --template --float_model --tolerance"
    ).split()
    odd = [*_ODD_WORDS, *map(str, _ODD_NUMBERS), "nan", "esp32-s3", "esp33", "host", "auto", "true", "maybe", "-", "--"]
    made = [_pick(random, commands)]
    for _ in range(random.randint(0, 6)):
        made.append(_pick(random, options))
        if random.randint(5):
            made.append(_pick(random, [*odd, *files, *files, *files]))
    # NUL cannot stand on a command line.
    return [word.replace("\x00", "?") for word in made]
