"""What is refused of .espdl files, in one line that names the file; packs, options, and the command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from espdl_files import EspdlBuilder, packed, with_header
from espdl_network import (
    E_2,
    E_X,
    network,
    refused,
)

from esp_tvm.convert.convert import convert
from esp_tvm.convert.espdl.reading import read_espdl
from esp_tvm.errors import UserError
from esp_tvm.model import outputs_of

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "tools/tvm/onnx_from.py"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "small.espdl"
    path.write_bytes(network().bytes(["x"], ["y"]))
    return path


def test_what_lies_around_a_model(tmp_path, file):
    data = file.read_bytes()
    for changed, said in (
        (with_header(data[16:], encrypted=1), "is encrypted; .*without encryption"),
        (b"EDL7" + data[4:], "format EDL7, newer than what is known here"),
        (b"ONNX" + data[4:], "does not begin as a model of ESP-DL"),
        (b"", "does not begin"),
        (data[:-40], "is cut off"),
    ):
        file.write_bytes(changed)
        with pytest.raises(UserError, match=said):
            convert(file, tmp_path / "small.onnx")
    file.write_bytes(with_header(data[16:], b"EDL1"))
    assert convert(file, tmp_path / "small.onnx").kind == "espdl"


@pytest.mark.parametrize("magic", [b"PDL1", b"PDL2", b"PDL3"])
def test_packs(tmp_path, file, magic):
    data, pack = file.read_bytes(), tmp_path / "pack.espdl"
    other = one_of_two(b"EDL1" if magic == b"PDL1" else b"EDL2")
    pack.write_bytes(packed({"one.espdl": data, "two.espdl": other}, magic))
    assert "is a pack of 2 models; name one of them: --signature NAME (one.espdl, two.espdl)" in refused(pack)
    assert "has no model 'tow.espdl'; did you mean two.espdl?" in refused(pack, signature="tow.espdl")
    model = convert(pack, tmp_path / "two.onnx", signature="two.espdl").model
    assert outputs_of(model) == [("z", (1, 4, 4, 3), "float32")]
    pack.write_bytes(packed({"two.espdl": other}, magic))
    assert outputs_of(convert(pack, tmp_path / "two.onnx").model) == outputs_of(model)
    assert "holds one model" in refused(file, signature="two.espdl")


def one_of_two(magic: bytes) -> bytes:
    b = EspdlBuilder()
    b.tensor("x", [1, 4, 4, 3], -4)
    b.tensor("z", [1, 4, 4, 3], -4)
    b.node("Relu", ["x"], "z")
    return with_header(b.bytes(["x"], ["z"])[16:], magic)


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda b: b.tensor("d", [1, 4, 4, 20], E_2, "int16"), r"node 'd_node' \(Conv\): 'd' is int16; .*--float"),
        (lambda b: b.nodes[0].update(op_type="LUT"), r"'a_node' \(LUT\): it is a table of a function that"),
        (lambda b: b.nodes[0].update(op_type="LSTM"), r"node 'a_node' \(LSTM\): its gates"),
        (lambda b: b.nodes[4].update(op_type="StreamingCache"), r"StreamingCache\): this operator of ESP-DL is not"),
        (lambda b: b.constants[0].update(doc_string="layout ==> HCWN4"), "its weights lie in the order 'HCWN4'"),
        (lambda b: b.constants[0].update(doc_string=""), "in an order that the file does not say"),
        (lambda b: b.constants[0].update(dims=[3, 3, 3, 99]), r"constant 'a_w' is int8\[3, 3, 3, 99\] but holds"),
        (lambda b: b.constants[0].update(exponents=[-7, -8]), "'a_w' has 2 exponents for 20 channels"),
        (lambda b: b.constants[0].update(exponents=[-700]), "has the exponent -700"),
        (lambda b: b.tensors["a"].update(exponents=[1, 2]), "tensor 'a' has one exponent per channel"),
        (lambda b: b.tensors.pop("a"), "nothing is said of the type of tensor 'a'"),
        (lambda b: b.nodes.pop(0), "nothing makes tensor 'a'"),
        (lambda b: b.nodes.pop(), "no node makes the output 'y'"),
        (lambda b: b.nodes.append(b.nodes[0]), "it makes tensor 'a', which is there already"),
        (lambda b: b.nodes[0]["attribute"][1].update(s=list(b"Gelu")), "the activation 'Gelu' in it is not known"),
        (lambda b: b.nodes[8].update(attribute=[{"name": "perm", "attr_type": 7, "ints": [0, 9]}]), "reorders 4 axes"),
        (lambda b: b.tensor("x", [1, 8, 0, 3], E_X), r"'x' is \[1, 8, 0, 3\], not all of it fixed"),
        (lambda b: b.tensor("x", [1, 8, 8, 3], E_X, "uint8"), "input 'x' is uint8"),
    ],
)  # fmt: skip
def test_refused_by_name(tmp_path, change, said):
    b, path = network(), tmp_path / "small.espdl"
    change(b)
    path.write_bytes(b.bytes(["x"], ["y"]))
    with pytest.raises(UserError, match=said) as error:
        convert(path, tmp_path / "small.onnx")
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_16_bits_come_in_as_floats(tmp_path):
    b, path = network(), tmp_path / "small.espdl"
    b.tensor("d", [1, 4, 4, 20], E_2, "int16")
    path.write_bytes(b.bytes(["x"], ["y"]))
    assert not convert(path, tmp_path / "small.onnx", as_float=True).differences


def test_damaged_bytes_are_one_line(file):
    """Cut off anywhere, or with bytes changed: read, or refused in one line, in no time."""
    data, random = file.read_bytes(), np.random.RandomState(5)
    for trial in range(400):
        broken = bytearray(data[16:])
        if trial % 2:
            broken = broken[: random.randint(len(broken))]
        else:
            for place in random.randint(0, len(broken), random.randint(1, 8)):
                broken[place] = random.choice([0, 1, 127, 255, random.randint(256)])
        file.write_bytes(with_header(bytes(broken)))
        try:
            read_espdl(file, 13)
        except UserError as error:
            assert "\n" not in str(error) and str(file) in str(error)


def test_options_of_other_kinds_are_refused(file, tmp_path):
    assert "leave them out" in refused(file, shapes=["1,2"])
    (tmp_path / "a.h5").write_bytes(b"x")
    assert "--float is for .espdl files" in refused(tmp_path / "a.h5", as_float=True)


def test_command(file, tmp_path):
    command = [sys.executable, SCRIPT, file, "--output", tmp_path / "small.onnx"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "ESP-DL" in done.stdout and "inputs: 'x' float32[1, 8, 8, 3]" in done.stdout
    assert "compared with nothing" in done.stdout and "it is quantized" in done.stdout
    done = subprocess.run([*command, "--float"], capture_output=True, text=True)
    assert done.returncode == 0 and "it is quantized" not in done.stdout
    file.write_bytes(b"EDL2")
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "is cut off" in done.stderr
