"""Every option of the generated project does what it says: seen in programs that the stand-in for ESP-IDF builds."""

from __future__ import annotations

import functools
import re
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from qdq import QdqBuilder

pytest.importorskip("tvm")

from idf_standin import KCONFIG_FILES, StandIn, load_options  # noqa: E402
from project_checks import own_settings  # noqa: E402

from esp_tvm.chips import CHIPS, KIB, MIB  # noqa: E402
from esp_tvm.compile import compile_model  # noqa: E402
from esp_tvm.compile.emitting.constants import data_bytes, offsets  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.evaluate import NumpyEvaluator  # noqa: E402
from esp_tvm.program import Constant  # noqa: E402
from esp_tvm.project.export import export_onnx_model  # noqa: E402
from esp_tvm.project.fit import check_constants, fit_chip, partition_table  # noqa: E402
from esp_tvm.project.write import write_project  # noqa: E402

REPO = Path(__file__).resolve().parents[1]
TEMPLATE = REPO / "template_project_for_model"
CONSTANTS = "components/tvm_model/model/constants.bin"
# Kernels without optimization: the tests build them again and again.
QUICK = "CONFIG_ESP_DL_OPTIMIZATION_PROJECT=y"
PARTITION = "CONFIG_TVM_MODEL_CONSTANTS_PARTITION=y"
PASS = re.compile(r"^PASS: model [0-9a-f]{16}", re.M)

needs_cmake = pytest.mark.skipif(not shutil.which("cmake"), reason="cmake is not installed")


def small_model(seed: int):
    """Weights of kernels (with a table and a plain convolution), and none of TVM's."""
    b = QdqBuilder(seed)
    x = b.input("image", [1, 3, 6, 6], -4)
    x = b.conv(x, [4, 3, 3, 3], -2, relu=True, pads=[1, 1, 1, 1])
    x = b.quantize(b.node("Sigmoid", [x]), -7)
    x = b.conv(x, [4, 4, 3, 3], -1)
    b.quantize(b.node("GlobalAveragePool", [x]), -3, "y")
    b.output("y", [1, 4, 1, 1])
    return b.model()


# Models 1 and 3 get the same kernels, so that each program can hold the weights of the other.
@functools.lru_cache(maxsize=None)
def compiled_model(seed: int):
    return compile_model(small_model(seed))


def write(seed: int, chip: str, out: Path, constants: str = "flash") -> Path:
    compiled = compiled_model(seed)
    (port,) = compiled.program.inputs
    sample = {port.name: np.random.RandomState(0).randn(*port.shape).astype(np.float32)}
    expected = NumpyEvaluator(compiled.imported, compiled.partitioned).run(sample).outputs
    fit = fit_chip(compiled, CHIPS[chip], constants)
    return write_project(compiled, sample, expected, str(TEMPLATE), str(out), chip, fit)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A project for a chip with PSRAM, built once; the tests change options and build again."""
    if not shutil.which("cmake"):
        pytest.skip("cmake is not installed")
    project = write(1, "esp32", tmp_path_factory.mktemp("s3"))
    stand_in = StandIn(project, tmp_path_factory.mktemp("build"), "esp32")
    stand_in.configure([QUICK])
    stand_in.build()
    return stand_in


def rebuilt(stand_in: StandIn, *settings: str) -> StandIn:
    stand_in.configure([QUICK, *settings])
    stand_in.build()
    return stand_in


def test_kconfig_files_are_in_espressifs_style(tmp_path):
    files = [tmp_path / name for name in KCONFIG_FILES]
    for name, file in zip(KCONFIG_FILES, files):
        file.parent.mkdir(parents=True)
        shutil.copy(TEMPLATE / name, file)
    command = [sys.executable, "-m", "kconfcheck", *map(str, files)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout


def test_weights_in_the_program(built):
    rebuilt(built)
    output = built.run()
    assert PASS.search(output)
    assert "weights of" in output and "in flash" in output and "in internal RAM" in output
    assert built.flashed() == []
    sections = built.sections()
    assert sections["tvmgen_default_esp_main_2_weights"] == ".rodata"
    assert sections["global_workspace"] == ".bss"


def test_weights_copied_to_ram(built):
    rebuilt(built, "CONFIG_TVM_MODEL_CONSTANTS_RAM=y")
    assert PASS.search(built.run())
    sections = built.sections()
    assert sections["tvmgen_default_esp_main_2_weights"] == ".dram1"
    assert sections["tvmgen_default_esp_main_2_bias"] == ".dram1"


def test_weights_in_a_partition(built, tmp_path):
    """The program holds none of them, gives the same bytes, and refuses all but its own with one line."""
    rebuilt(built, PARTITION)
    constants = built.project / CONSTANTS
    output = built.run(constants)
    assert PASS.search(output) and "in a partition of their own" in output
    assert not [name for name in built.sections() if name.endswith(("_weights", "_bias", "_shift", "_table"))]
    assert built.flashed() == [
        "target constants-flash",
        f"constants-flash constants {constants}",
        f"flash constants {constants}",
    ]

    def refused(content) -> str:
        (tmp_path / "constants.bin").write_bytes(content)
        lines = built.run(tmp_path / "constants.bin").splitlines()
        (task, error, verdict) = lines
        assert verdict == "FAIL: the model's weights are not there"
        assert error.startswith("E (0) tvm_model: ") and "constants" in error
        return error

    good = constants.read_bytes()
    no_partition = built.run().splitlines()
    assert "the partition table has no data partition 'constants'" in no_partition[1]
    assert "holds no weights; write them with `idf.py constants-flash`" in refused(b"\xff" * len(good))
    assert "damaged" in refused(good[:-1] + bytes([good[-1] ^ 1]))
    assert "damaged" in refused(good[:100] + bytes([good[100] ^ 128]) + good[101:])
    other_layout = good[:12] + struct.pack("<I", 1) + good[16:]
    assert "which this program" in refused(other_layout)
    shorter = good[:16] + struct.pack("<I", len(good) - 48) + good[20:]
    assert "which this program" in refused(shorter)


def test_weights_of_another_training(built, tmp_path):
    """They fit the same program: refused, unless the option says that they may be."""
    other = write(3, "esp32", tmp_path)
    rebuilt(built, PARTITION)
    hashes = [(path / ".esp_tvm_project").read_text()[:16] for path in (built.project, other)]
    lines = built.run(other / CONSTANTS).splitlines()
    text = f"holds the weights of model {hashes[1]}, this program is of model {hashes[0]}"
    assert text in lines[1] and lines[2].startswith("FAIL")
    rebuilt(built, PARTITION, "CONFIG_TVM_MODEL_CONSTANTS_OTHER_MODELS=y")
    output = built.run(other / CONSTANTS)
    assert "output y differs first at byte" in output and "FAIL: model" in output
    # The expected output of the other export is what these weights give.
    shutil.copy(other / "main/output_data.h", tmp_path / "output_data.h")
    ours = built.project / "main/output_data.h"
    before = ours.read_text()
    try:
        ours.write_text((tmp_path / "output_data.h").read_text())
        built.build()
        assert PASS.search(built.run(other / CONSTANTS))
    finally:
        ours.write_text(before)


def test_missing_or_small_partition_is_told_at_build_time(built):
    table = built.project / "partitions.csv"
    before = table.read_text()
    try:
        for row in ("", "constants, data, undefined, 0x100000, 0x100\n"):
            table.write_text(re.sub(r"(?m)^constants.*\n", row, before))
            built.configure([QUICK, PARTITION])
            assert "has no data partition 'constants' that holds" in built.build_error()
    finally:
        table.write_text(before)


def test_arena(built):
    rebuilt(built, "CONFIG_SPIRAM=y", "CONFIG_TVM_MODEL_ARENA_PSRAM=y")
    output = built.run()
    assert PASS.search(output) and "in PSRAM" in output
    sections = built.sections()
    assert sections["global_workspace"] == ".ext_ram.bss"
    assert sections["input_buffer"] == sections["output_data"] == ".bss"
    for name, symbol, other in (("INPUTS", "input_buffer", "output_data"), ("OUTPUTS", "output_data", "input_buffer")):
        rebuilt(built, "CONFIG_SPIRAM=y", f"CONFIG_TVM_MODEL_{name}_PSRAM=y")
        sections = built.sections()
        assert sections[symbol] == ".ext_ram.bss" and sections[other] == sections["global_workspace"] == ".bss"
    assert PASS.search(built.run())
    rebuilt(built, "CONFIG_TVM_MODEL_ARENA_CALLER=y")
    output = built.run()
    assert PASS.search(output) and "in the application's memory" in output
    assert "global_workspace" not in built.sections()


def test_debug_output(built):
    assert "~tvm" not in rebuilt(built).run()
    checksums = rebuilt(built, "CONFIG_TVM_MODEL_TRACE_CHECKSUMS=y").run()
    assert PASS.search(checksums) and "~tvm layer" in checksums and "~tvm data" not in checksums
    tensors = rebuilt(built, "CONFIG_TVM_MODEL_TRACE_TENSORS=y").run()
    assert PASS.search(tensors) and "~tvm data" in tensors
    profile = rebuilt(built, "CONFIG_TVM_MODEL_TRACE_PROFILE=y").run()
    assert PASS.search(profile) and "~tvm time" in profile and "~tvm layer" not in profile


@pytest.mark.parametrize("level, wanted", [("NONE", ""), ("ERROR", "E"), ("WARN", "E"), ("INFO", "I"), ("DEBUG", "DI")])
def test_log_level(built, level, wanted, tmp_path):
    rebuilt(built, PARTITION, f"CONFIG_TVM_MODEL_LOG_{level}=y")
    good = built.run(built.project / CONSTANTS)
    (tmp_path / "bad").write_bytes(bytes(64))
    bad = built.run(tmp_path / "bad")
    seen = "".join(letter for letter in "DI" if f"{letter} (0) tvm_model" in good)
    assert seen == wanted.replace("E", "")
    assert ("E (0) tvm_model" in bad) == (level != "NONE")


def test_task(built):
    assert "task inference: stack 8192, priority 5, core 2147483647\n" in rebuilt(built).run()
    settings = ["STACK_SIZE=12000", "PRIORITY=7", "CORE=1"]
    output = rebuilt(built, *(f"CONFIG_INFERENCE_TASK_{line}" for line in settings)).run()
    assert "task inference: stack 12000, priority 7, core 1\n" in output
    with pytest.raises(AssertionError, match="INFERENCE_TASK_CORE is"):
        load_options(built.project, "esp32c3", ["CONFIG_INFERENCE_TASK_CORE=1"])


@needs_cmake
def test_optimization_of_the_kernels(tmp_path):
    project = write(0, "esp32c3", tmp_path / "p")
    levels = {"SPEED": "-O2", "MORE_SPEED": "-O3", "SIZE": "-Os", "PROJECT": None}
    stand_in = StandIn(project, tmp_path / "b", "esp32c3", ["-DCMAKE_EXPORT_COMPILE_COMMANDS=ON"])
    for name, flag in levels.items():
        stand_in.configure([f"CONFIG_ESP_DL_OPTIMIZATION_{name}=y"])
        commands = (stand_in.build_folder / "compile_commands.json").read_text()
        (command,) = re.findall(r'"command": "([^"]*/conv2d_s8\.c)"', commands)
        assert re.findall(r" (-O\w)", command) == ([flag] if flag else [])


def test_kernels_in_internal_ram():
    """The option is one that ESP-IDF's linker fragments know by its name; and not there on linux."""
    text = (TEMPLATE / "components/esp-dl/linker.lf").read_text()
    assert "archive: libesp-dl.a" in text and "if ESP_DL_IN_IRAM = y:\n        * (noflash_text)" in text


@needs_cmake
def test_linux_target(tmp_path):
    """The project for a chip, built for ESP-IDF's linux target: only components and headers that it has."""
    project = write(0, "esp32c3", tmp_path / "p")
    stand_in = StandIn(project, tmp_path / "b", "linux")
    rebuilt(stand_in, "CONFIG_TVM_MODEL_TRACE_CHECKSUMS=y")
    output = stand_in.run()
    assert PASS.search(output) and "~tvm layer" in output
    assert PASS.search(rebuilt(stand_in, PARTITION).run())
    (project / CONSTANTS).unlink()
    assert "is not there or holds no weights" in stand_in.run()
    with pytest.raises(AssertionError, match="TVM_MODEL_ARENA_PSRAM is n"):
        load_options(project, "linux", ["CONFIG_TVM_MODEL_ARENA_PSRAM=y"])


@needs_cmake
@pytest.mark.slow
def test_plain_host_build_with_mapped_weights(tmp_path):
    """Without ESP-IDF at all: weights in the file, a damaged file, weights in the program."""
    project = write(0, "host", tmp_path)

    def program(*options: str) -> subprocess.CompletedProcess:
        for arguments in (["-S", project / "host", "-B", tmp_path / "b", *options], ["--build", tmp_path / "b"]):
            subprocess.run(["cmake", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)
        return subprocess.run([str(tmp_path / "b/app")], capture_output=True, text=True)

    strict = "-Wall -Wextra -Werror -fsanitize=address,undefined -fno-sanitize-recover=all"
    mapped = program("-DTVM_MODEL_CONSTANTS_MAPPED=ON", f"-DCMAKE_C_FLAGS={strict}")
    assert mapped.returncode == 0 and PASS.search(mapped.stdout), mapped.stderr
    constants = project / CONSTANTS
    good = constants.read_bytes()
    constants.write_bytes(good[:40] + bytes([good[40] ^ 1]) + good[41:])
    damaged = program()
    assert damaged.returncode == 1 and "damaged" in damaged.stderr and len(damaged.stderr.splitlines()) == 1
    constants.write_bytes(good)
    done = program("-DTVM_MODEL_CONSTANTS_MAPPED=OFF")
    assert done.returncode == 0 and PASS.search(done.stdout), done.stderr


@needs_cmake
@pytest.mark.skipif(not shutil.which("g++"), reason="g++ is not installed")
def test_components_in_another_application(tmp_path):
    """Both components copied, called from C++, nothing else of the generated project."""
    ours = write(1, "esp32c3", tmp_path / "p")
    other = tmp_path / "other"
    for name in ("tvm_model", "esp-dl"):
        shutil.copytree(ours / "components" / name, other / "components" / name)
    (other / "main").mkdir()
    (other / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\ninclude($ENV{IDF_PATH}/tools/cmake/project.cmake)\nproject(other)\n"
    )
    (other / "main/CMakeLists.txt").write_text('idf_component_register(SRCS "main.cpp" PRIV_REQUIRES tvm_model)\n')
    (other / "main/main.cpp").write_text(
        '#include "tvm_model.h"\n#include "tvmgen_default.h"\n#include <cstdio>\n'
        "static float image[TVMGEN_DEFAULT_INPUT_IMAGE_ELEMENTS], y[TVMGEN_DEFAULT_OUTPUT_Y_ELEMENTS];\n"
        'extern "C" void app_main(void)\n{\n'
        "    tvmgen_default_inputs inputs = {image};\n    tvmgen_default_outputs outputs = {y};\n"
        "    if (tvm_model_init() == 0 && tvmgen_default_run(&inputs, &outputs) == 0) {\n"
        '        std::printf("computed %g\\n", y[0]);\n    }\n}\n'
    )
    compiled = compiled_model(1)
    zero = {"image": np.zeros((1, 3, 6, 6), np.float32)}
    wanted = NumpyEvaluator(compiled.imported, compiled.partitioned).run(zero).outputs["y"].ravel()[0]
    stand_in = rebuilt(StandIn(other, tmp_path / "b", "esp32c3"))
    assert f"computed {wanted:g}\n" in stand_in.run()


def test_what_export_is_told_is_what_menuconfig_starts_with(tmp_path):
    onnx.save(small_model(0), str(tmp_path / "m.onnx"))
    np.save(tmp_path / "x.npy", np.zeros((1, 3, 6, 6), np.float32))
    places = [str(tmp_path / name) for name in ("m.onnx", "x.npy")]
    project = export_onnx_model("esp32c3", *places, str(TEMPLATE), str(tmp_path), "tensors", "partition")
    lines = own_settings(project, "esp32c3")
    assert lines == [PARTITION, "CONFIG_TVM_MODEL_TRACE_TENSORS=y"]
    tree = load_options(project, "esp32c3", lines)
    assert tree.syms["TVM_MODEL_TRACE_OFF"].str_value == "n"


# --- the file and the partition -----------------------------------------------------------------------------------


def test_constants_file_holds_what_the_program_would():
    compiled = compiled_model(1)
    blob = compiled.code.constants_bin
    magic, version, layout, size, crc, model = struct.unpack_from("<8sIIII8s", blob)
    assert (magic, version, size, crc) == (b"TVMCONST", 1, len(blob) - 32, zlib.crc32(blob[32:]))
    assert model.hex() == compiled.program.model_hash[:16]
    assert f"LAYOUT {layout:#010x}u" in compiled.code.header
    again = compiled_model(3)
    assert again.code.constants_bin[12:16] == blob[12:16] and again.code.constants_bin != blob
    places = dict(
        re.findall(r"#define (\w+) \(\(const \w+ \*\)\(tvmgen_default_constants \+ (\d+)\)\)", compiled.code.lib1)
    )
    for c_type, name, values in re.findall(
        r"const (\w+) (\w+)\[\d+\] __attribute__[^{]*\{(.*?)\};", compiled.code.lib0, re.S
    ):
        dtype = {"int8_t": "<i1", "int32_t": "<i4", "int16_t": "<i2", "float": "<f4"}[c_type]
        array = np.array([v.rstrip("f") for v in values.replace("\n", "").split(",") if v.strip()], np.float64)
        found = np.frombuffer(blob, dtype, array.size, 32 + int(places[name]))
        np.testing.assert_array_equal(found, array.astype(dtype))


def test_what_another_network_needs_is_another_layout():
    b = QdqBuilder(0)
    x = b.input("image", [1, 3, 6, 6], -5)
    b.quantize(b.conv(x, [4, 3, 3, 3], -2), -2, "y")
    b.output("y", [1, 4, 4, 4])
    assert compile_model(b.model()).code.constants_bin[12:16] != compiled_model(0).code.constants_bin[12:16]


def test_arrays_are_aligned():
    arrays = [np.arange(5, dtype=np.int8), np.arange(4, dtype=np.float32), np.arange(3, dtype=np.int32)]
    constants = [Constant("x", str(i), array, "") for i, array in enumerate(arrays)]
    assert offsets(constants) == [0, 16, 32]
    blob = data_bytes(constants)
    assert len(blob) == 44
    for array, offset in zip(arrays, offsets(constants)):
        np.testing.assert_array_equal(np.frombuffer(blob, array.dtype, array.size, offset), array)


def resized(compiled, weights: int):
    import dataclasses

    program = dataclasses.replace(compiled.program)
    program.fallback_constant_bytes += weights - program.constant_bytes
    code = dataclasses.replace(compiled.code, constants_bin=bytes(weights + 32))
    return dataclasses.replace(compiled, program=program, code=code)


def test_partition_is_as_large_as_the_weights():
    compiled = compiled_model(1)
    chip = CHIPS["esp32c3"]
    for mib in (1, 3, 7, 14):
        fit = fit_chip(resized(compiled, mib * MIB), chip, "partition")
        rows = [[cell.strip() for cell in row.split(",")] for row in partition_table(fit).splitlines() if row[0] != "#"]
        name, kind, subtype, offset, size = rows[-1]
        assert (name, kind, subtype) == ("constants", "data", "undefined")
        assert mib * MIB + 32 <= int(size, 0) < mib * MIB + 8 * KIB
        assert int(offset, 0) + int(size, 0) <= fit.flash_mib * MIB
        assert fit.app_bytes < MIB, "the program holds no weights"
    # In the program: the partition is there for menuconfig's sake where flash has room, and costs no larger chip.
    assert fit_chip(resized(compiled, MIB), chip).flash_mib == 2
    assert fit_chip(resized(compiled, MIB), chip).constants_bytes == 0
    assert fit_chip(compiled, chip).constants_bytes == 4 * KIB
    with pytest.raises(UserError, match="16 MiB"):
        fit_chip(resized(compiled, 16 * MIB), chip, "partition")


def test_weights_that_do_not_fit_internal_ram():
    compiled = compiled_model(1)
    with pytest.raises(UserError, match=f"{400 * KIB} bytes of weights do not fit the internal RAM of esp32c3"):
        fit_chip(resized(compiled, 400 * KIB), CHIPS["esp32c3"], "ram")
    fit = fit_chip(resized(compiled, 100 * KIB), CHIPS["esp32c3"], "ram")
    assert "CONFIG_TVM_MODEL_CONSTANTS_RAM=y" in fit.sdkconfig
    with pytest.raises(UserError, match="--constants rom: unknown; choose one of auto, flash, ram, partition, psram"):
        check_constants("rom")
