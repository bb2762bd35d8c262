"""Inputs and outputs as integers, as pixels, in another order of axes: the program computes the same bytes."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Dict, Tuple

import numpy as np
import pytest
from onnx import TensorProto
from qdq import QdqBuilder

pytest.importorskip("tvm")

from pipeline_harness import (  # noqa: E402
    Kernels,
    Program,
    compare_with_references,
    compile_once_imported,
    write_program,
)

from esp_tvm.compile import CompiledModel  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.onnx_check import OnnxRuntimeCheck  # noqa: E402
from esp_tvm.port_options import PortOptions, read_port_options  # noqa: E402
from esp_tvm.program import Loop  # noqa: E402
from esp_tvm.program.evaluate import evaluate  # noqa: E402
from esp_tvm.program.form import Pixels  # noqa: E402
from esp_tvm.program.ports import all_to_onnx, to_onnx, to_port  # noqa: E402
from esp_tvm.program.store import load  # noqa: E402
from esp_tvm.project import verify  # noqa: E402
from esp_tvm.project.export import export_onnx_model  # noqa: E402
from esp_tvm.run.command import run_project  # noqa: E402
from esp_tvm.run.compare import compare_with_rules  # noqa: E402

REPO = Path(__file__).resolve().parents[1]
TEMPLATE = str(REPO / "template_project_for_model")
IMAGENET = {"input_mean": "0.485,0.456,0.406", "input_std": "0.229,0.224,0.225", "input_scale": "1/255"}
# (chip, cores) of the programs that are run.
TARGETS = ((None, 1), (None, 2), ("esp32s3", 1), ("esp32s3", 2))


@pytest.fixture(scope="module")
def kernels() -> Kernels:
    return Kernels()


def image_network(centre: float = 0.0):
    """An image that two layers read, one of them as it lies; an output of int8, one of softmax.

    centre: is subtracted from the image before it is quantized; the convolution reads its negative around the rest
    """
    b = QdqBuilder(5)
    if centre:
        difference = b.node("Sub", [b.input("image", [1, 3, 16, 12]), b.initializer(np.float32(centre))])
        x = b.quantize(difference, -4)
        pads = b.initializer(np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64))
        padded = b.quantize(b.node("Pad", [x, pads, b.initializer(np.float32(-centre))]), -4)
        y = b.conv(padded, [16, 3, 3, 3], -2, relu=True)
    else:
        x = b.input("image", [1, 3, 16, 12], -4)
        y = b.conv(x, [16, 3, 3, 3], -2, relu=True, pads=[1, 1, 1, 1])
    b.conv(y, [4, 16, 1, 1], -1, output="heat")
    pooled = b.quantize(b.node("GlobalAveragePool", [y]), -3)
    b.node("Softmax", [b.quantize(b.node("Flatten", [pooled]), -3)], ["probabilities"], axis=1)
    flat = b.node("Reshape", [x, b.initializer(np.array([1, -1], np.int64))])
    b.quantize(b.node("Relu", [b.quantize(flat, -4)]), -4, "flat")
    b.output("heat", [1, 4, 16, 12])
    b.output("probabilities", [1, 16])
    b.output("flat", [1, 576])
    return b.model()


def odd_network():
    """An input that is an output too, twice; one that is read in float; one of whole numbers; one quantized twice."""
    b = QdqBuilder(6)
    x = b.input("x", [1, 6], -3)
    b.nodes[-1].output[0] = "same"
    same = b.node("DequantizeLinear", [b.nodes[-2].output[0], *b.nodes[-2].input[1:]], ["again"])
    b.quantize(b.node("Relu", ["same"]), -3, "positive")
    f = b.input("floating", [1, 6])
    b.node("Erf", [f], ["erf"])
    t = b.input("twice", [1, 6])
    b.quantize(b.node("Relu", [b.quantize(t, -3)]), -3, "fine")
    b.quantize(b.node("Relu", [b.quantize(t, 0)]), 0, "coarse")
    i = b.input("index", [1], dtype=TensorProto.INT64)
    b.quantize(b.node("Gather", ["same", i], axis=1), -3, "chosen")
    assert x and same
    for name, shape in {"same": [1, 6], "again": [1, 6], "positive": [1, 6], "erf": [1, 6], "fine": [1, 6]}.items():
        b.output(name, shape)
    b.output("coarse", [1, 6])
    b.output("chosen", [1, 1])
    return b.model()


def random_network(seed: int):
    """Two images of random sizes and layouts through layers of random kinds, joined, with outputs on the way."""
    b = QdqBuilder(seed)
    random = np.random.RandomState(seed)
    h, w = int(random.randint(3, 12)), int(random.randint(3, 12))
    ends = []
    for name in ("a", "b"):
        channels = int(random.choice([1, 3, 5, 16]))
        nhwc = random.randint(2)
        x = b.input(name, [1, h, w, channels] if nhwc else [1, channels, h, w], int(random.randint(-6, 0)))
        if nhwc:
            exponent = b.exponents[x]
            x = b.quantize(b.node("Transpose", [x], perm=[0, 3, 1, 2]), exponent)
        out = int(random.choice([4, 16]))
        x = b.conv(x, [out, channels, 3, 3], -2, relu=bool(random.randint(2)), pads=[1, 1, 1, 1])
        if random.randint(2):
            x = b.conv(x, [out, 1, 3, 3], -2, pads=[1, 1, 1, 1], group=out)
        x = b.conv(x, [16, out, 1, 1], -1, output=f"{name}_out" if random.randint(2) else None)
        if x.endswith("_out"):
            b.output(x, [1, 16, h, w])
        ends.append(x)
    b.quantize(b.node("Add", ends), 0, "sum")
    b.output("sum", [1, 16, h, w])
    return b.model()


def random_sample(ports, seed: int) -> Dict[str, np.ndarray]:
    """Values of every input's own type, the ends of its range among them."""
    random = np.random.RandomState(seed)
    made = {}
    for port in ports:
        if port.dtype == "float32":
            values = random.standard_normal(port.shape) * 4
        elif port.dtype == "int64":
            values = random.randint(0, 6, port.shape)
        else:
            bounds = np.iinfo(port.dtype)
            values = random.randint(bounds.min, bounds.max + 1, port.shape)
        made[port.name] = np.asarray(values).astype(port.dtype)
    return made


def inner(compiled: CompiledModel, sample: Dict[str, np.ndarray]) -> Tuple[Dict[str, bytes], Dict[str, np.ndarray]]:
    """({name: bytes of every tensor inside that ONNX knows}, outputs) by the rules."""
    program = compiled.program
    made = {t: np.zeros(t.shape, t.dtype) for call in program.fallbacks for t in call.outputs}
    found = evaluate(program, sample, made)
    ports = {port.name for port in [*program.inputs, *program.outputs]}
    named = {
        one.output.name: found.values[one.output].tobytes()
        for one in program.computations
        if one.output.name and one.output.name not in ports and one.operator not in ("transpose", "reshape")
    }
    return named, found.outputs


def check_same(model, options: PortOptions, kernels, folder: Path, targets=TARGETS) -> CompiledModel:
    """The program with `options` beside the one with floats: every tensor inside, every output; its C by its rules."""
    plain = compile_once_imported(model, fast=False)
    ported = compile_once_imported(model, fast=False, ports=options)
    for seed in (1, 2):
        sample = random_sample(ported.program.inputs, seed)
        wanted, floats = inner(plain, all_to_onnx(ported.program.inputs, sample))
        got, outputs = inner(ported, sample)
        assert wanted.keys() >= got.keys() and got
        assert [name for name in got if got[name] != wanted[name]] == []
        for port in ported.program.outputs:
            assert outputs[port.name].tobytes() == to_port(port, floats[port.name]).tobytes(), port.name
    for number, (chip, cores) in enumerate(targets):
        compiled = compile_once_imported(model, chip=chip, cores=cores, ports=options)
        program = Program(write_program(compiled, folder / str(number)), kernels)
        samples = {name: values[None] for name, values in random_sample(program.inputs, 3).items()}
        assert compare_with_rules(program, samples).equal, (chip, cores)
        assert load(folder / str(number)).inputs[0].shape == compiled.program.inputs[0].shape
    return ported


def types_of(compiled: CompiledModel) -> Dict[str, Tuple[str, Tuple[int, ...]]]:
    return {port.name: (port.dtype, port.shape) for port in [*compiled.program.inputs, *compiled.program.outputs]}


def operators_of(compiled: CompiledModel) -> list:
    return [call.operator for call in compiled.program.calls()]


# --- the same bytes -----------------------------------------------------------------------------------------------


def test_integers(kernels, tmp_path):
    """Nothing is quantized or dequantized on the board but a softmax; buffers take a quarter of the bytes."""
    ported = check_same(image_network(), read_port_options(["int8"], ["int8"]), kernels, tmp_path)
    assert {type_ for type_, _ in types_of(ported).values()} == {"int8"}
    assert operators_of(ported).count("quantize") == 1 and "dequantize" not in operators_of(ported)
    assert ported.port_notes.offers == [] and ported.port_notes.notes == []
    plain = compile_once_imported(image_network())
    heat, flat = 4 * 16 * 12, 576
    assert plain.port_notes.offers == [
        "input as int8: 576 instead of 2304 bytes (--input_type int8)",
        f"outputs as int8: {heat + 16 + flat} instead of {4 * (heat + 16 + flat)} bytes (--output_type int8)",
    ]


def test_camera_order(kernels, tmp_path):
    """NHWC leaves no transpose to the convolution; what reads the image flat gets it in the model's order."""
    for types in ([], ["int8"]):
        ported = check_same(image_network(), read_port_options(types, (), ["NHWC"]), kernels, tmp_path, TARGETS[2:3])
        assert types_of(ported)["image"] == ("int8" if types else "float32", (1, 16, 12, 3))
        convolution = next(call for call in ported.program.calls() if call.operator == "conv2d")
        maker = next((c for c in ported.program.calls() if convolution.inputs[0] in c.outputs), None)
        assert maker is None if types else maker.operator == "quantize"


def test_order_of_an_output(kernels, tmp_path):
    """NHWC leaves no transpose behind the convolution, NCHW of a model with NHWC puts one there."""
    for types in ([], ["int8"]):
        options = read_port_options((), types, (), ["heat=NHWC"])
        ported = check_same(image_network(), options, kernels, tmp_path, TARGETS[2:3])
        assert types_of(ported)["heat"] == ("int8" if types else "float32", (1, 16, 12, 4))
        assert operators_of(ported).count("transpose") == 1  # of the input
    b = QdqBuilder(5)
    y = b.conv(b.input("image", [1, 3, 6, 5], -4), [4, 3, 3, 3], -2)
    b.quantize(b.node("Transpose", [y], perm=[0, 2, 3, 1]), -2, "map")
    b.output("map", [1, 4, 3, 4])
    for types in ([], ["int8"]):
        options = read_port_options((), types, ["NHWC"], ["NCHW"])
        ported = check_same(b.model(), options, kernels, tmp_path, TARGETS[1:2])
        assert types_of(ported)["map"][1] == (1, 4, 4, 3) and operators_of(ported).count("transpose") == 1


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_pixels(layout, kernels, tmp_path):
    """Normalized and quantized in one rounding: what the float program makes of the normalized picture."""
    options = read_port_options(["uint8"], ["float"], [layout], **IMAGENET)
    ported = check_same(image_network(), options, kernels, tmp_path, TARGETS[1:2])
    shape = (1, 3, 16, 12) if layout == "NCHW" else (1, 16, 12, 3)
    assert types_of(ported)["image"] == ("uint8", shape)
    (port,) = ported.program.inputs
    pixel = np.arange(256)
    for c, (mean, std) in enumerate(((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))):
        normal = (Fraction(1, 255), Fraction(str(mean)), Fraction(str(std)))
        real = [np.float32(float((int(p) * normal[0] - normal[1]) / normal[2])) for p in pixel]
        picture = np.zeros(shape, np.uint8)
        view = picture[0, c] if layout == "NCHW" else picture[0, :, :, c]
        view[...] = np.resize(pixel, view.shape)
        assert to_onnx(port, picture)[0, c].tobytes() == np.resize(np.array(real), (16, 12)).tobytes()


@pytest.mark.parametrize("centre, zero_point, type_", [(8.0, -128, "int8"), (-2.75, 44, "uint8")])
def test_centred_images(centre, zero_point, type_, kernels, tmp_path):
    """A constant is subtracted: the integers have a zero point, in every type of the port."""
    model = image_network(centre)
    plain = compile_once_imported(model)
    first = plain.program.kernels[0]
    assert (first.operator, first.attributes["zero_point"]) == ("quantize", zero_point)
    assert not plain.program.fallbacks
    (port,) = plain.program.inputs
    assert (port.dtype, port.exponent, port.zero_point) == ("float32", -4, zero_point)
    any_values = verify.random_sample([port], {"image": np.zeros(port.shape, np.float32)}, np.random.RandomState(2))
    low, high = ((q - zero_point) / 16 for q in (-128, 127))
    assert low <= any_values["image"].min() < low + 1 and high - 1 < any_values["image"].max() <= high
    sample = {"image": (np.random.RandomState(1).standard_normal(port.shape) * 5 + centre).astype(np.float32)}
    program = Program(write_program(plain, tmp_path / "plain"), kernels)
    assert compare_with_references(program, plain, {name: x[None] for name, x in sample.items()}).equal
    found = OnnxRuntimeCheck(model, plain.program).check(sample, evaluate(plain.program, sample))
    assert found and all(one.worst <= one.bound for one in found)
    normal = {"input_scale": "1/16", "input_mean": "2.75"} if type_ == "uint8" else {}
    options = read_port_options([type_], ["int8"], [] if normal else ["NHWC"], **normal)
    ported = check_same(model, options, kernels, tmp_path / "ported", TARGETS[1:3])
    (port,) = load(tmp_path / "ported" / "0").inputs
    assert (port.dtype, port.exponent, port.zero_point) == (type_, -4, zero_point)
    assert f"#define TVMGEN_DEFAULT_INPUT_IMAGE_ZERO_POINT ({zero_point})" in ported.code.header
    if type_ == "int8":
        assert "worth (q + 128) * 2^-4" in ported.code.header
        q = np.arange(-128, 128).astype(np.int8).repeat(3)[:576].reshape(port.shape)
        assert np.array_equal(to_onnx(port, q), ((q.astype(np.float32) + 128) / 16).transpose(0, 3, 1, 2))
        assert np.array_equal(to_port(port, to_onnx(port, q)), q)


def test_what_no_zero_point_expresses_is_subtracted_in_float():
    """No whole step, or more than 128 of them; 128 are one quantization. What is no input has the rules of tables."""
    b = QdqBuilder()
    for name, centre in {"odd": 2.76, "far": 8.0625, "whole": 8.0}.items():
        difference = b.node("Sub", [b.input(name, [1, 6]), b.initializer(np.float32(centre))])
        b.quantize(b.node("Relu", [b.quantize(difference, -4)]), -4, f"{name}_out")
        b.output(f"{name}_out", [1, 6])
    sigmoid = b.node("Sigmoid", [b.input("inside", [1, 6], -4)])
    b.quantize(b.node("Sub", [sigmoid, b.initializer(np.float32(0.5))]), -8, "inside_out")
    b.output("inside_out", [1, 6])
    program = compile_once_imported(b.model()).program
    assert len(program.fallbacks) == 2
    assert sorted(call.attributes["zero_point"] for call in program.calls() if call.operator == "quantize") == [
        -128,
        *[0] * 3,
    ]
    assert [port.zero_point for port in program.inputs] == [0, 0, -128, 0]
    assert sum(call.operator == "lookup" for call in program.calls()) == 1


def test_odd_ports(kernels, tmp_path):
    """What cannot be an integer stays in float with a note; an input that is an output is copied."""
    ported = check_same(odd_network(), read_port_options(["int8"], ["int8"]), kernels, tmp_path, TARGETS[:1])
    types = {name: type_ for name, (type_, _) in types_of(ported).items()}
    assert types == {
        **dict.fromkeys(("x", "same", "again", "positive", "fine", "coarse", "chosen"), "int8"),
        **dict.fromkeys(("floating", "twice", "erf"), "float32"),
        "index": "int64",
    }
    text = "\n".join(ported.port_notes.notes)
    for words in ("'floating' is not int8: Erf", "'twice' is not int8: it is quantized in more", "'index'", "'erf'"):
        assert words in text


@pytest.mark.parametrize("seed", range(6))
def test_random_networks(seed, kernels, tmp_path):
    options = [
        read_port_options(["int8"], ["int8"], ["NHWC"], ["NHWC"]),
        read_port_options(["int8"], ["int16"], (), ["sum=NHWC"]),
        read_port_options(["uint8"], ["int8"], ["NHWC"], (), "1/64", "1.5", "0.5"),
        read_port_options(["a=uint8", "b=int8"], ["sum=int16"], ["a=NCHW", "b=NHWC"]),
    ][seed % 4]
    try:
        check_same(random_network(seed), options, kernels, tmp_path, [TARGETS[seed % 4]])
    except UserError as error:
        # One channel, and nothing says whether it comes first.
        assert "counts channels does not show" in str(error)


def test_wide_tensors(kernels, tmp_path):
    """int16 inside: an int8 port is rounded from it, or widened to it."""
    b = QdqBuilder(9)
    s, zero = b.scale(-10), b.initializer(np.int16(0), "zero")
    x = b.input("x", [1, 8])
    q = b.node("DequantizeLinear", [b.node("QuantizeLinear", [x, s, zero]), s, zero])
    y = b.node("Relu", [q])
    b.node("DequantizeLinear", [b.node("QuantizeLinear", [y, s, zero]), s, zero], ["y"])
    b.output("y", [1, 8])
    model = b.model(opset=13)
    for type_, exponent in (("int16", -10), ("int8", -2)):
        options = read_port_options([type_], [type_])
        try:
            ported = check_same(model, options, kernels, tmp_path / type_, TARGETS[:1])
        except UserError as error:
            pytest.skip(f"int16 in ONNX files of this opset: {error}")
        for port in (*ported.program.inputs, *ported.program.outputs):
            assert (port.dtype, port.exponent) == (type_, exponent)


@pytest.mark.parametrize("most, exponent", [(-5, -5), (1, -2), (-40, -10)])
def test_int8_of_int16_may_have_a_smaller_range(most, exponent, kernels, tmp_path):
    """What is beyond it becomes its limits, in the C as in what values of the ONNX model become."""
    b = QdqBuilder(9)
    s, zero = b.scale(-10), b.initializer(np.int16(0), "zero")
    q = b.node("DequantizeLinear", [b.node("QuantizeLinear", [b.input("x", [1, 8]), s, zero]), s, zero])
    b.node("DequantizeLinear", [b.node("QuantizeLinear", [b.node("Relu", [q]), s, zero]), s, zero], ["y"])
    b.output("y", [1, 8])
    options = replace(read_port_options(["int16"], ["int8"]), output_exponents={"y": most})
    ported = check_same(b.model(opset=13), options, kernels, tmp_path, TARGETS[:1])
    (port,) = ported.program.outputs
    assert (port.dtype, port.exponent) == ("int8", exponent)


@pytest.mark.parametrize("chip", [None, "esp32s3"])
@pytest.mark.parametrize("type_", ["int8", "uint8"])
def test_strips_read_the_ports(type_, chip, kernels, tmp_path):
    """Layers that run in strips read their rows of an input, and write those of an output, in the buffers."""
    b = QdqBuilder(3)
    x = b.input("image", [1, 16, 40, 32], -4)
    for _ in range(3):
        x = b.conv(x, [16, 16, 3, 3], -2, relu=True, pads=[1, 1, 1, 1])
    b.node("Transpose", [x], ["y"], perm=[0, 2, 3, 1])
    b.output("y", [1, 40, 32, 16])
    options = read_port_options([type_], ["int8"], ["NHWC"])
    compiled = compile_once_imported(b.model(), chip=chip, strips=0, ports=options)
    loops = [item for item in compiled.program.items if isinstance(item, Loop)]
    assert loops and {call.operator for loop in loops for call in loop.calls} >= {"conv2d"}
    assert any(compiled.program.inputs[0] in call.reads for loop in loops for call in loop.calls)
    program = Program(write_program(compiled, tmp_path), kernels)
    samples = {name: values[None] for name, values in random_sample(program.inputs, 3).items()}
    assert compare_with_rules(program, samples).equal
    plain = compile_once_imported(b.model(), fast=False)
    real = {name: to_onnx(compiled.program.inputs[0], values[0]) for name, values in samples.items()}
    _, floats = inner(plain, real)
    assert program.run(samples)["y"].tobytes() == to_port(compiled.program.outputs[0], floats["y"]).tobytes()


# --- alignment ----------------------------------------------------------------------------------------------------


def test_vector_kernels_ask_for_aligned_buffers(kernels, tmp_path):
    """The header says so, and a buffer that is not aligned is refused at run time, before anything is computed."""
    compiled = compile_once_imported(
        image_network(), chip="esp32s3", ports=read_port_options(["int8"], ["int8"], ["NHWC"])
    )
    aligned = {port.name for port in [*compiled.program.inputs, *compiled.program.outputs] if port.alignment == 16}
    assert aligned == {"image", "flat"}  # the others are written by plain kernels
    assert "#define TVMGEN_DEFAULT_INPUT_IMAGE_ALIGNMENT 16" in compiled.code.header
    program = Program(write_program(compiled, tmp_path), kernels)
    (tmp_path / "main.c").write_text(
        '#include "tvmgen_default.h"\n#include <stdio.h>\n'
        "static _Alignas(16) int8_t image[1024], heat[1024], probabilities[64], flat[1024];\n"
        "int main(void)\n{\n"
        "    struct tvmgen_default_outputs outputs = {heat, probabilities, flat};\n"
        "    for (int shift = 0; shift < 17; shift += 8) {\n"
        "        struct tvmgen_default_inputs inputs = {image + shift};\n"
        '        printf("%d ", (int)tvmgen_default_run(&inputs, &outputs));\n    }\n    return 0;\n}\n'
    )
    binary = program.link([tmp_path / "main.c"], tmp_path / "main")
    assert subprocess.run([str(binary)], stdout=subprocess.PIPE, text=True, check=True).stdout == "0 -1 0 "
    for chip, options in (("esp32s3", PortOptions()), (None, read_port_options(["int8"], ["int8"]))):
        ports = compile_once_imported(image_network(), chip=chip, ports=options).program
        assert all(port.alignment == 1 for port in [*ports.inputs, *ports.outputs])


# --- what is refused ----------------------------------------------------------------------------------------------

BAD = {
    "an unknown type": ({"input_type": ["int9"]}, "--input_type int9: 'int9' is none of float, int8, int16, uint8"),
    "pixels out": ({"output_type": ["uint8"]}, "'uint8' is none of float, int8, int16"),
    "no layout": ({"input_layout": ["HWC"]}, "'HWC' is none of NCHW, NHWC"),
    "no layout of an output": ({"output_layout": ["heat=CHW"]}, "'CHW' is none of NCHW, NHWC"),
    "no image": ({"output_layout": ["flat=NHWC"]}, "output 'flat' cannot be NHWC: it has 2 axes, an image has 4"),
    "two types": ({"input_type": ["int8", "float"]}, "is int8 and float for the same port"),
    "no such input": ({"input_type": ["imgae=int8"]}, "the model has no input 'imgae'; did you mean image?"),
    "no such output": ({"output_type": ["image=int8"]}, "the model has no output 'image'"),
    "a mean for no pixels": ({"input_type": ["int8"], "input_mean": "1"}, "--input_mean: says what pixels mean"),
    "no number": ({"input_type": ["uint8"], "input_mean": "1,x"}, "--input_mean 1,x: 'x' is not a number"),
    "std of 0": ({"input_type": ["uint8"], "input_std": "0"}, "is not larger than 0"),
    "unlike numbers": ({"input_type": ["uint8"], "input_mean": "1,2", "input_std": "1,2,3"},
                       "has 2 numbers and --input_std 3"),
    "channels": ({"input_type": ["uint8"], "input_mean": "1,2"},
                 "it has 3 channels, --input_mean and --input_std have 2"),
    "int16 of int8": ({"input_type": ["int16"]}, "cannot be int16: the model computes with it in int8"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_combinations(name):
    options, words = BAD[name]
    with pytest.raises(UserError) as caught:
        compile_once_imported(image_network(), ports=read_port_options(**options))
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [(["floating=int8"],), ([], ["erf=int8"]), (["int8"], (), ["x=NHWC"])])
def test_a_named_port_has_to_be_possible(options):
    with pytest.raises(UserError, match="cannot be (int8|NHWC): .*; leave --(in|out)put_(type|layout) .* out for it"):
        compile_once_imported(odd_network(), ports=read_port_options(*options))


# --- the whole way ------------------------------------------------------------------------------------------------


def test_project(tmp_path, capsys):
    """Export and run, with the sample in every form; expected bytes, header and metadata say the same."""
    model, random = tmp_path / "model.onnx", np.random.RandomState(0)
    model.write_bytes(image_network().SerializeToString())
    picture = random.randint(0, 256, (1, 16, 12, 3)).astype(np.uint8)
    np.save(tmp_path / "picture.npy", picture)
    options = read_port_options(["uint8"], ["heat=int8"], ["NHWC"], **IMAGENET)
    project = export_onnx_model(
        "esp32s3", str(model), str(tmp_path / "picture.npy"), TEMPLATE, str(tmp_path), ports=options
    )
    program = load(project)
    (port,) = program.inputs
    assert (port.dtype, port.shape, port.onnx_shape, port.axes) == (
        "uint8",
        (1, 16, 12, 3),
        (1, 3, 16, 12),
        (0, 2, 3, 1),
    )
    assert port.pixels == Pixels(Fraction(1, 255), *(tuple(map(Fraction, t.split(","))) for t in (
        IMAGENET["input_mean"], IMAGENET["input_std"])), 3)  # fmt: skip
    header = (project / "components/tvm_model/model/codegen/host/include/tvmgen_default.h").read_text()
    for words in ("uint8[1,16,12,3] (NHWC)", "p * 1/255 - mean[c]) / std[c]", "mean 0.485, 0.456, 0.406",
                  "const uint8_t *image;", "int8_t *heat;", "float *probabilities;"):  # fmt: skip
        assert words in header
    assert f"const uint8_t input_data[{picture.size}]" in (project / "main/input_data.h").read_text()
    np.save(tmp_path / "real.npy", to_onnx(port, picture))
    for name in ("picture", "real"):
        assert run_project(str(project), str(model), str(tmp_path / f"{name}.npy"), sanitize=True) == 0
    out = capsys.readouterr().out
    assert out.count("PASS: 1 of 1 samples equal in every layer, 0 differing bytes") == 2
    assert "outputs as int8: 592 instead of 2368 bytes (--output_type int8)" in out


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "kws", "resnet8"])
def test_networks(name, tmp_path, kernels, request):
    """The digits of the tutorial and the networks beside the project: all inner bytes as with floats, on all chips."""
    from esp_tvm.model import load_model
    from esp_tvm.quantize import quantize_onnx

    folder = REPO / "examples/digits" if name == "digits" else request.getfixturevalue("shared_models") / name
    quantize_onnx(
        str(folder / "model.onnx"), str(tmp_path / "q.onnx"), str(folder / "calib.npy"), effort="quick", fit=False
    )
    model = load_model(tmp_path / "q.onnx")
    ported = check_same(model, read_port_options(["int8"], ["int8"], ["NHWC"]), kernels, tmp_path)
    (port,) = ported.program.inputs
    assert 4 * port.bytes == np.prod(port.onnx_shape) * 4
    check_same(model, read_port_options(["uint8"], input_mean="128"), kernels, tmp_path / "pixels", TARGETS[2:3])
