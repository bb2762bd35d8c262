"""A log against the reference: the right layer and cause for every kind of fault, and no fault where there is none."""

from __future__ import annotations

import json
import re
import shutil
import zlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

pytest.importorskip("tvm")

from logged_network import CODE, TEMPLATE, shared_network, small_network  # noqa: E402

from esp_tvm.arithmetic import dense  # noqa: E402
from esp_tvm.compile import compile_model  # noqa: E402
from esp_tvm.compile.kernels.portable import Dense8  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.evaluate import debug_onnx_model  # noqa: E402
from esp_tvm.program.form import Call, Constant, Tensor  # noqa: E402
from esp_tvm.project.export import export_onnx_model  # noqa: E402
from esp_tvm.report.compare_log import LogComparer, judge, kernel_centre  # noqa: E402
from esp_tvm.report.diagnose import Evidence, likely_cause  # noqa: E402
from esp_tvm.run.emulator_log import EmulatedLog  # noqa: E402
from esp_tvm.run.host_log import LoggingProgram  # noqa: E402
from esp_tvm.run.names import find_layer, layer_lines  # noqa: E402
from esp_tvm.trace.log import LogReader  # noqa: E402


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return small_network(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def resnet8(shared_models, tmp_path_factory):
    return shared_network(shared_models / "resnet8", tmp_path_factory.mktemp("resnet8"))


@pytest.fixture(scope="module")
def kws(shared_models, tmp_path_factory):
    return shared_network(shared_models / "kws", tmp_path_factory.mktemp("kws"))


def constant_values(text: str, name: str):
    """(match, values) of a constant in the text of default_lib0.c."""
    match = re.search(rf"(\b{name}\[\d+\][^=]*= {{\n)(.*?)(\n}};)", text, re.S)
    assert match, f"{name} is not in default_lib0.c"
    return match, [int(v) for v in match.group(2).replace("\n", " ").split(",") if v.strip()]


def change_constant(source: Path, name: str, change):
    """Rewrite the values of a constant of default_lib0.c: `change(values)` edits the list in place."""
    path = source / "default_lib0.c"
    text = path.read_text()
    match, values = constant_values(text, name)
    before = list(values)
    change(values)
    assert values != before
    path.write_text(text[: match.start(2)] + ", ".join(map(str, values)) + text[match.end(2) :])


# --- equal ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["checksums", "tensors"])
def test_a_right_log_is_equal(small, mode):
    equal, text = small.compare(small.log[mode])
    assert equal, text
    assert text.count("layers equal") == 2 and "PASS: 2 of 2 runs" in text and "sample 1" in text


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet8", "kws"])
def test_shared_networks_compare_equal(name, request):
    network = request.getfixturevalue(name)
    for mode in ("checksums", "tensors"):
        equal, text = network.compare(network.log[mode])
        assert equal, text


EMULATOR = all(shutil.which(tool) for tool in ("qemu-system-riscv32", "riscv64-unknown-elf-gcc"))


@pytest.mark.slow
@pytest.mark.skipif(not EMULATOR, reason="no RISC-V emulator and compiler on PATH (make system-packages)")
@pytest.mark.parametrize("name", ["small", "resnet8", "kws"])
def test_the_emulator_s_log_is_equal(name, request):
    network = request.getfixturevalue(name)
    log = EmulatedLog(network.project, "tensors" if name == "small" else "checksums").log(network.samples)
    equal, text = network.compare(log)
    assert equal, text
    assert re.search(r"~tvm begin \w+ 1 \d+ \w+ instructions ", log)
    times = [int(line.split()[8]) for line in log.splitlines() if line.startswith("~tvm layer ")]
    assert times and all(time > 0 for time in times)


# --- names ------------------------------------------------------------------------------------------------


def test_every_layer_has_its_tvm_node(small, tmp_path):
    """The tensor of each TVM node in names.json is, byte for byte, that of the ONNX tensor beside it."""
    sample = str(small.sample_path)
    module = debug_onnx_model("host", str(small.model_path), sample, str(tmp_path / "tvmdbg"))
    assert json.loads((tmp_path / "tvmdbg" / "names.json").read_text()) == module.names
    assert module.get_num_outputs() == 1
    evaluation = small.comparer.evaluation(0)
    values = {call.symbol: evaluation.values[call.writes[0]] for call in small.comparer.program.calls()}
    code = (small.project / CODE / "src" / "default_lib1.c").read_text()
    for entry in module.names:
        assert not entry["call"] or f"{entry['call']}(" in code, "no such function in the C"
    # Of calls that one function computes, only the last one's tensor is written.
    written = {call.writes[0].name: call.symbol for call in small.comparer.program.calls() if not call.is_view}
    entries = [entry for entry in module.names if written.get(entry["tensor"]) == entry["call"]]
    assert {entry["call"] for entry in entries} == set(written.values()) and len(entries) < len(module.names)
    for entry in entries:
        right = values[entry["call"]]
        got = module.debug_get_output(entry["tvm_index"]).numpy()
        assert got.tobytes() == right.tobytes() and list(right.shape) == entry["shape"]
    (layer,) = find_layer(module.names, "first")
    tensor = values[layer["call"]]
    text, crc = "\n".join(layer_lines(layer, tensor)), f"{zlib.crc32(tensor.tobytes()):08x}"
    assert crc in text and text.startswith("conv2d int8 1x12x10x8 -2 Conv 'first'")
    # The board's line says the same.
    assert any(text.splitlines()[0] in line and crc in line for line in small.log["checksums"].splitlines())
    view = next(entry for entry in module.names if not entry["call"])
    assert "no code in C" in "\n".join(layer_lines(view, tensor))
    for name in (layer["tensor"], layer["tvm_node"], layer["call"], layer["call"].replace("tvmgen_default_", "")):
        assert layer in find_layer(module.names, name)
    with pytest.raises(UserError, match="no layer is called 'frist'; the closest are 'first'"):
        find_layer(module.names, "frist")


# --- wrong layers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["checksums", "tensors"])
@pytest.mark.parametrize("which", [("conv2d", 0), ("conv2d", 1)])
def test_a_flipped_weight_byte_is_found(request, tmp_path, mode, which):
    check_flipped_weight(request.getfixturevalue("small"), tmp_path, mode, which)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["checksums", "tensors"])
@pytest.mark.parametrize("which", [("conv2d", 1), ("conv2d_add", 0), ("dense", 0)])
def test_a_flipped_weight_byte_of_resnet8_is_found(resnet8, tmp_path, mode, which):
    check_flipped_weight(resnet8, tmp_path, mode, which)


def check_flipped_weight(network, tmp_path, mode, which):
    step, call = network.step(*which)
    symbol = f"{call.symbol}_weights"
    index, old, new, weight, new_weight = flipped_weight(network, step, symbol)

    def flip(values):
        assert values[index] == old
        values[index] = new

    log = network.log_of_changed(tmp_path, lambda src: change_constant(src, symbol, flip), mode)
    equal, text = network.compare(log)
    assert not equal
    assert f"FIRST DIFFERENCE in step {step}: " in text
    cause = re.search("likely cause: (.*)", text).group(1)
    if mode == "checksums":
        assert "likely the weights" in cause
    elif "only output channel" in cause:  # too few values to tell which weight
        assert call.operator == "dense", text
    elif " values that explain it as well" in cause:  # few values differ
        found = re.search(r"weights: (?:of output channel \d+ the )?weight .* is (-?\d+) in place of (-?\d+) ", cause)
        assert found and flipped_bits(*map(int, found.groups())) == 1, text
    else:
        assert "weights: " in cause and f" is {new_weight} in place of {weight}" in cause, text
        assert re.search(r"\d+ of \d+ bytes differ, values by at most \d+\n", text)
        assert re.search(r"first at channel \d+", text)


def flipped_bits(one: int, other: int) -> int:
    return bin((one ^ other) & 0xFF).count("1")


def flipped_weight(network, step, symbol):
    """A byte of a weight in default_lib0.c with one bit flipped.

    (place, value there, value with the bit flipped, the weight, what the weight becomes). Found by exporting the model
    with that weight changed by 1. Its magnitude falls: kernels that add up in narrow lanes have no room for more.
    """
    compiled = compile_model(network.model)
    call = next(call for call in network.comparer.program.calls() if call.index == step)
    nodes = network.model.graph.node
    node = next(nodes[i] for i in call.node_indices if nodes[i].op_type in ("Conv", "Gemm"))
    made_by = {output: n for n in nodes for output in n.output}
    for attempt in range(6):
        model = onnx.ModelProto()
        model.CopyFrom(network.model)
        name = made_by[node.input[1]].input[0]
        tensor = next(t for t in model.graph.initializer if t.name == name)
        weights = numpy_helper.to_array(tensor).copy()
        large = np.flatnonzero(np.abs(weights.reshape(-1).astype(int)) >= 70)
        if node.op_type == "Gemm":
            # A weight that meets a 0 changes nothing: those of the largest inputs first.
            x = np.abs(network.comparer.evaluation(0).arguments(call)[0].reshape(-1).astype(int))
            transposed = any(one.name == "transB" and one.i for one in node.attribute)
            meets = large % x.size if transposed else large // weights.shape[1]
            place = large[np.argsort(-x[meets], kind="stable")][attempt]
        else:
            place = large[len(large) // 2 + attempt]
        weight = int(weights.reshape(-1)[place])
        weights.reshape(-1)[place] -= np.sign(weight)
        tensor.CopyFrom(numpy_helper.from_array(weights, name))
        one, other = (constant_values(lib0, symbol)[1] for lib0 in (compiled.code.lib0, compile_model(model).code.lib0))
        if len(one) != len(other):
            continue
        # A weight may be the low or the high half of a word.
        units = {i: abs(b - a) for i, (a, b) in enumerate(zip(one, other)) if abs(b - a) in (1, 1 << 16)}
        if len(units) == 1:
            ((index, unit),) = units.items()
            flipped = one[index] ^ (0x40 * unit)
            new_weight = weight + (flipped - one[index]) // unit
            assert abs(new_weight) < abs(weight)
            return index, one[index], flipped, weight, new_weight
    raise AssertionError("no weight has a byte of its own")


def test_a_flipped_weight_is_found_where_the_kernel_takes_a_constant_from_its_input():
    random = np.random.RandomState(0)
    x, weights = (random.randint(-128, 128, shape).astype(np.int8) for shape in ((3, 20), (6, 20)))
    bias, shift = random.randint(-500, 500, 6).astype(np.int32), np.full(6, 9, np.int32)
    attributes = {"weights": weights, "bias": bias, "shift": shift, "clamp": (-128, 127)}
    inputs, outputs = [Tensor("x", x.shape, "int8")], [Tensor("y", (3, 6), "int8")]
    call = Call("f", "dense", inputs, outputs, attributes, kernel=Dense8.kernel, often=-100)
    call.constants = [Constant("int8_t", "f_weights", Dense8().pack(call, -128, 127).weights, "")]
    flipped = weights.copy()
    flipped[4, 7] ^= 0x40
    # The bias has what the right weights make of the constant.
    less = -100 * (weights - flipped.astype(np.int32)).sum(axis=1, dtype=np.int32)
    right, got = dense(x, **attributes), dense(x, **{**attributes, "weights": flipped, "bias": bias + less})
    evidence = Evidence(call, [x], right, zlib.crc32(got.tobytes()), got, centre=kernel_centre(call))
    assert f"weight [4, 7] of [6, 20] is {flipped[4, 7]} in place of {weights[4, 7]}" in likely_cause([evidence])


@pytest.mark.parametrize("mode", ["checksums", "tensors"])
@pytest.mark.parametrize("change", [1, -1, 2])
def test_a_changed_shift_of_one_channel_is_found(small, tmp_path, mode, change):
    check_changed_shift(small, tmp_path, mode, ("conv2d", 0), 2, change)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["checksums", "tensors"])
def test_a_changed_shift_of_resnet8_is_found(resnet8, tmp_path, mode):
    check_changed_shift(resnet8, tmp_path, mode, ("conv2d", 3), 7, 1)


def check_changed_shift(network, tmp_path, mode, which, channel, change):
    step, call = network.step(*which)

    def edit(values):
        values[channel] += change

    log = network.log_of_changed(tmp_path, lambda src: change_constant(src, f"{call.symbol}_shift", edit), mode)
    equal, text = network.compare(log)
    assert not equal
    assert f"FIRST DIFFERENCE in step {step}: " in text
    right = int(call.attributes["shift"][channel])
    size = "large" if change > 0 else "small"
    wanted = f"shift of output channel {channel}: {right + change} in place of {right}, too {size} by {abs(change)}"
    assert wanted in text


@pytest.mark.parametrize("mode", ["checksums", "tensors"])
def test_all_shifts_changed_is_found(small, tmp_path, mode):
    # Of a depthwise layer in lanes a part of the bias is added behind the shift: its values are not halved.
    step, call = small.step("conv2d", 0)

    def edit(values):
        values[:] = [v + 1 for v in values]

    log = small.log_of_changed(tmp_path, lambda src: change_constant(src, f"{call.symbol}_shift", edit), mode)
    equal, text = small.compare(log)
    assert not equal and f"FIRST DIFFERENCE in step {step}: " in text
    assert "shift: too large by 1 in every channel; its values are about 1/2 times" in text


@pytest.mark.parametrize("mode", ["checksums", "tensors"])
def test_a_missing_relu_is_found(small, tmp_path, mode):
    step, call = small.step("conv2d", 0)

    def edit(source):
        path = source / "default_lib1.c"
        head, body, tail = re.split(rf"(?ms)(^void {call.symbol}\(.*?^}}\n)", path.read_text(), maxsplit=1)
        assert ".min = 0" in body
        path.write_text(head + body.replace(".min = 0", ".min = -128") + tail)

    equal, text = small.compare(small.log_of_changed(tmp_path, edit, mode))
    assert not equal and f"FIRST DIFFERENCE in step {step}: " in text
    assert "likely cause: activation: the fused activation (relu, clip) is missing" in text


@pytest.mark.parametrize("mode", ["checksums", "tensors"])
def test_a_kernel_that_writes_nothing_is_found(small, tmp_path, mode):
    step, call = small.step("depthwise_conv2d", 0)

    def edit(source):
        path = source / "default_lib1.c"
        text = path.read_text()
        body = r"\1    (void)input;\n" + f"    memset(output, 0, {call.output.bytes});\n}}"
        without = re.sub(rf"(?ms)^(void {call.symbol}\(const \w+ \*input, int8_t \*output.*?\n{{\n).*?^}}", body, text)
        assert without != text
        path.write_text(without)

    equal, text = small.compare(small.log_of_changed(tmp_path, edit, mode))
    assert not equal and f"FIRST DIFFERENCE in step {step}: " in text
    assert "likely cause: nothing was written" in text


def test_memory_that_was_not_written_is_recognized(small):
    _, call = small.step("conv2d", 1)
    evaluation = small.comparer.evaluation(0)
    before = np.random.RandomState(0).randint(-128, 128, call.output.shape).astype(np.int8)
    expected, arguments = evaluation.values[call.output], evaluation.arguments(call)
    evidence = Evidence(call, arguments, expected, zlib.crc32(before.tobytes()), None, before.tobytes())
    assert likely_cause([evidence]).startswith("nothing was written: the memory holds what lay there before")


# --- damaged logs -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_lost_line_of_resnet8_is_named(resnet8):
    step, _ = resnet8.step("conv2d", 2)
    check_lost_line(resnet8, step)


def test_a_lost_line_is_named(small):
    check_lost_line(small, small.step("conv2d", 1)[0])


def check_lost_line(network, step):
    for log in network.log.values():
        lines = log.splitlines()
        line = next(i for i, text in enumerate(lines) if re.match(rf"~tvm layer \w+ 1 {step} ", text))
        equal, text = network.compare("\n".join(lines[:line] + lines[line + 1 :]))
        if "data" not in lines[line + 1]:
            assert not equal and f"LOST LINE of step {step}: conv2d" in text
            assert "FIRST DIFFERENCE" not in text
        else:  # the bytes are there and tell as much
            assert equal, text
        damaged = lines[line][:30] + lines[line][33:]
        equal, text = network.compare("\n".join([*lines[:line], damaged, *lines[line + 1 :]]))
        assert equal == ("data" in lines[line + 1])


def test_any_lost_line_fails(small, tmp_path):
    """On the ESP32-S3 too, whose program has layers that are fused with others elsewhere."""
    arguments = (str(small.model_path), str(small.sample_path), str(TEMPLATE), str(tmp_path))
    project = export_onnx_model("esp32s3", *arguments, debug="checksums")
    samples = {name: array[:1] for name, array in small.samples.items()}
    for folder in (small.project, project):
        comparer = LogComparer(folder, samples)
        lines = LoggingProgram(folder, "checksums").log(samples).splitlines()
        layers = [number for number, line in enumerate(lines) if line.startswith("~tvm layer ")]
        assert len(layers) == len(comparer.expected) >= 5
        for lost in (None, *layers):
            reader = LogReader()
            kept = [line for number, line in enumerate(lines) if number != lost]
            equal, verdict = judge(list(comparer.runs(kept, reader)), reader)
            assert equal == (lost is None), (verdict, lines[lost or 0])


def test_lost_bytes_of_an_equal_tensor_do_not_matter(small):
    lines = [line for i, line in enumerate(small.log["tensors"].splitlines()) if "~tvm data" not in line or i % 7]
    equal, text = small.compare("\n".join(lines))
    assert equal, text


def test_a_reset_in_the_middle_is_no_fault(small):
    lines = small.log["checksums"].splitlines()
    log = ["ets Jun  8 2016 00:22:57", *lines[:5], "rst:0x1 (POWERON_RESET)", *lines, "Guru Meditation Error"]
    equal, text = small.compare("\n".join(log))
    assert equal and "BROKEN OFF after step" in text and "1 broke off" in text


def test_only_a_part_of_a_run_is_not_enough(small):
    equal, text = small.compare("\n".join(small.log["checksums"].splitlines()[:5]))
    assert not equal and "BROKEN OFF" in text and "no run of the log is complete" in text


def test_other_lines_and_prefixes_do_no_harm(small):
    log = "".join(
        f"\x1b[0;32mI (12{i}) app: heap {i}~\x1b[0m\r\nI (7) tvm: {line}\x1b[0m\r\n"
        for i, line in enumerate(small.log["checksums"].splitlines())
    )
    equal, text = small.compare(log)
    assert equal, text


def test_damage_never_looks_equal(small):
    """Each single changed character of a log is noticed or does no harm; it never accuses a layer."""
    log = small.log["checksums"].rstrip("\n")
    random = np.random.RandomState(5)
    for _ in range(100):
        position = random.randint(len(log))
        character = chr(random.randint(33, 126))
        equal, text = small.compare(log[:position] + character + log[position + 1 :])
        assert "FIRST DIFFERENCE" not in text and "cannot be compared" not in text, (position, character, text)


def test_random_bytes_are_no_trace(small):
    noise = np.random.RandomState(0).bytes(20000).decode("latin-1")
    equal, text = small.compare(noise)
    assert not equal and "no trace" in text


# --- stale files and inputs -------------------------------------------------------------------------------


def test_a_program_of_another_model_is_stale(small):
    log = small.log["checksums"]
    own = small.comparer.program.model_hash[:8]
    lines = [with_crc(text.replace(own, "01234567")) for text in log.splitlines()]
    equal, text = small.compare("\n".join(lines))
    assert not equal and "stale: the program in the log was made from another model (01234567)" in text


def with_crc(line: str) -> str:
    """A trace line whose text was changed, with the CRC-32 of its new text."""
    match = re.match(r"~tvm (.*) ~", line)
    return f"~tvm {match.group(1)} ~{zlib.crc32(match.group(1).encode()):08x}" if match else line


def test_another_input_is_said(small):
    (name, samples), program = *small.samples.items(), LoggingProgram(small.project, "checksums")
    equal, text = small.compare(program.log({name: samples[:1] + 1}))
    assert not equal and "the program's input 'image' has other bytes than any of the 2 samples" in text
    assert "stale input_data.h" in text
    swapped = np.ascontiguousarray(samples[1:].transpose(0, 1, 3, 4, 2)).reshape(samples[1:].shape)
    equal, text = small.compare(program.log({name: swapped}))
    assert not equal and "layout: it is sample 1 with its axes in the order (0, 2, 3, 1)" in text


@pytest.mark.parametrize("name", ["mem", "esc"])
def test_hostile_logs_are_lines_that_can_be_read(small, shared_cases, name):
    """What they claim costs no memory (test_hostile_files.py); here, what is said of them."""
    log = (shared_cases / "hostile" / f"{name}.log").read_bytes().decode("utf-8", "replace")
    equal, text = small.compare(log)
    lines = text.splitlines()
    assert not equal and lines and all(line.isprintable() and len(line) < 1000 for line in lines), text[:2000]
    assert len(lines) <= len(log.splitlines()) + 20
