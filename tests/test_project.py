"""The generated project as an ESP-IDF engineer would look at it, as far as that goes without ESP-IDF."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from idf_standin import StandIn
from project_checks import IDF_OPTIONS, check_partitions, check_settings, own_settings, partitions, versions_of
from qdq import QdqBuilder

pytest.importorskip("tvm")

from pipeline_harness import compile_once_imported  # noqa: E402

from esp_tvm.boards import BOARDS, choose_board  # noqa: E402
from esp_tvm.chips import CHIPS, KIB, MIB  # noqa: E402
from esp_tvm.compile import compile_model  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.evaluate import NumpyEvaluator  # noqa: E402
from esp_tvm.project.fit import CONSTANTS, fit_chip, partition_table  # noqa: E402
from esp_tvm.project.placement import note_memory  # noqa: E402
from esp_tvm.project.write import write_project  # noqa: E402

REPO = Path(__file__).resolve().parents[1]
TEMPLATE = REPO / "template_project_for_model"
COMPILER = "riscv64-unknown-elf-gcc"
REAL_CHIPS = [name for name, chip in CHIPS.items() if not chip.is_host]

needs_cmake = pytest.mark.skipif(not shutil.which("cmake"), reason="cmake is not installed")


def image_model(size=8, channels=4):
    b = QdqBuilder()
    x = b.input('img"; */', [1, 3, size, size], -4)
    x = b.conv(x, [channels, 3, 3, 3], -2, relu=True, pads=[1, 1, 1, 1])
    x = b.conv(x, [channels, channels, 3, 3], -1, pads=[1, 1, 1, 1])
    b.quantize(b.node("GlobalAveragePool", [x]), -3, "y")
    b.output("y", [1, channels, 1, 1])
    return b.model()


@pytest.fixture(scope="module")
def compiled():
    return compile_once_imported(image_model())


@pytest.fixture(scope="module")
def sample(compiled):
    (port,) = compiled.program.inputs
    return {port.name: np.random.RandomState(0).randn(*port.shape).astype(np.float32)}


@pytest.fixture(scope="module")
def expected(compiled, sample):
    return NumpyEvaluator(compiled.imported, compiled.partitioned).run(sample).outputs


@pytest.fixture(scope="module", params=REAL_CHIPS)
def project(request, compiled, sample, expected, tmp_path_factory):
    """A project for each chip."""
    out = tmp_path_factory.mktemp(request.param)
    fit = fit_chip(compiled, CHIPS[request.param])
    return request.param, write_project(compiled, sample, expected, str(TEMPLATE), str(out), request.param, fit)


def test_defaults_use_only_options_that_every_version_has_on_the_chip(project):
    _, path = project
    check_settings(path / "sdkconfig.defaults", REAL_CHIPS)
    for chip in REAL_CHIPS:
        check_settings(path / f"sdkconfig.defaults.{chip}", [chip])


def test_table_of_options_covers_all_versions():
    for chip in REAL_CHIPS:
        wanted = ["5.1", "5.2", "5.3", "5.4", "5.5", "6.0", "6.1"]
        assert versions_of(chip) == (wanted[2:] if chip == "esp32p4" else wanted)
    assert "ESP32S3_SPIRAM_SUPPORT" not in IDF_OPTIONS["options"]


@pytest.mark.parametrize("chip", REAL_CHIPS)
def test_lines_that_a_large_model_gets_are_options_too(chip, compiled, tmp_path):
    """PSRAM, every flash size, every place for the weights."""
    lines = set()
    for place in CONSTANTS:
        for weights in (0, 1, 3, 6, 13):
            for arena in (1, 600):
                try:
                    large = resized(compiled, arena * KIB, weights * MIB)
                    lines |= set(fit_chip(large, CHIPS[chip], place).sdkconfig)
                except UserError:
                    pass
    for board in (board for board in BOARDS.values() if board.chip == chip and board.psram is not None):
        lines |= set(fit_chip(resized(compiled, 600 * KIB), CHIPS[chip], board=board).sdkconfig)
    (tmp_path / "defaults").write_text("\n".join(sorted(lines)) + "\n")
    check_settings(tmp_path / "defaults", [chip])
    assert {line for line in lines if "FLASHSIZE" in line} == {
        f"CONFIG_ESPTOOLPY_FLASHSIZE_{mib}MB=y" for mib in CHIPS[chip].flash_sizes
    }


def test_own_options_are_declared(project):
    _, path = project
    declared = set()
    for kconfig in [*path.rglob("Kconfig"), *path.rglob("Kconfig.projbuild")]:
        declared |= set(re.findall(r"^\s*config (\w+)", kconfig.read_text(), re.M))
    sources = [*path.rglob("*.c"), *path.rglob("*.h")]
    used = {name for file in sources for name in re.findall(r"\bCONFIG_(\w+)", file.read_text())}
    foreign = {"IDF_TARGET_LINUX", "FREERTOS_UNICORE", "SPIRAM_RODATA", "ESP_DEFAULT_CPU_FREQ_MHZ"}
    assert used - foreign <= declared, used - foreign - declared
    assert {name for name in declared if name.startswith(("TVM_MODEL", "ESP_DL", "INFERENCE"))} == declared


def test_partitions_by_the_rules_of_esp_idf(project):
    chip, path = project
    check_partitions(path, chip)


RISCV = ["-DCMAKE_SYSTEM_NAME=Generic", "-DCMAKE_C_COMPILER=riscv64-unknown-elf-gcc"]
RISCV += ["-DCMAKE_C_FLAGS=-march=rv32imc -mabi=ilp32 --specs=picolibc.specs"]
RISCV += ["-DCMAKE_TRY_COMPILE_TARGET_TYPE=STATIC_LIBRARY"]


@needs_cmake
def test_project_of_every_chip_configures(project, tmp_path):
    """With the options that the export chose for it."""
    chip, path = project
    StandIn(path, tmp_path, chip).configure(own_settings(path, chip))


@needs_cmake
@pytest.mark.skipif(not shutil.which(COMPILER), reason=f"{COMPILER} is not installed")
def test_components_compile_for_risc_v(compiled, sample, expected, tmp_path):
    fit = fit_chip(compiled, CHIPS["esp32c3"])
    path = write_project(compiled, sample, expected, str(TEMPLATE), str(tmp_path), "esp32c3", fit)
    stand_in = StandIn(path, tmp_path / "b", "esp32c3", RISCV, run=False)
    # With optimization test_kernels.py compiles the kernels for RISC-V.
    quick = "CONFIG_ESP_DL_OPTIMIZATION_PROJECT=y"
    stand_in.configure([quick, "CONFIG_TVM_MODEL_CONSTANTS_PARTITION=y", "CONFIG_TVM_MODEL_TRACE_TENSORS=y"])
    stand_in.build()


@needs_cmake
def test_host_program_prints_pass(compiled, sample, expected, tmp_path):
    fit = fit_chip(compiled, CHIPS["host"])
    path = write_project(compiled, sample, expected, str(TEMPLATE), str(tmp_path), "host", fit)
    build = tmp_path / "b"
    for command in (["cmake", "-S", path / "host", "-B", build], ["cmake", "--build", build]):
        subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
    done = subprocess.run([str(build / "app")], stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0 and done.stdout.startswith("PASS: model ")
    data = path / "main/output_data.h"
    text = data.read_text()
    start = text.index("{\n    ", text.index("expected_output_data[")) + 6
    data.write_text(text[:start] + "1" + text[start:])
    subprocess.run(["cmake", "--build", str(build)], check=True, stdout=subprocess.DEVNULL)
    done = subprocess.run([str(build / "app")], stdout=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "FAIL: model" in done.stdout and "differs first at byte" in done.stdout


def test_tensors_may_be_called_what_the_headers_use(tmp_path):
    b = QdqBuilder()
    x = b.input("inputs", [1, 4], -4)
    b.quantize(b.node("Relu", [x]), -4, "outputs")
    b.output("outputs", [1, 4])
    compiled = compile_model(b.model())
    sample = {"inputs": np.array([[-1, 0, 1, 2]], np.float32)}
    expected = NumpyEvaluator(compiled.imported, compiled.partitioned).run(sample).outputs
    fit = fit_chip(compiled, CHIPS["host"])
    path = write_project(compiled, sample, expected, str(TEMPLATE), str(tmp_path), "host", fit)
    folders = [path / "components/tvm_model/crt_config", path / "components/tvm_model/include"]
    folders += [path / "components/tvm_model/model/codegen/host/include"]
    for option in ("-DTVMGEN_DEFAULT_CALLERS_WORKSPACE", "-UTVMGEN_DEFAULT_CALLERS_WORKSPACE"):
        command = ["gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", option]
        subprocess.run([*command, *(f"-I{folder}" for folder in folders), str(path / "main/app_main.c")], check=True)


def test_headers_are_cxx_too(project, tmp_path):
    _, path = project
    if not shutil.which("g++"):
        pytest.skip("g++ is not installed")
    source = tmp_path / "user.cpp"
    source.write_text(
        '#include "esp_dl.h"\n#include "tvm_model.h"\n#include "tvmgen_default.h"\nint main() { return 0; }\n'
    )
    includes = [path / "components/esp-dl/include", path / "components/tvm_model/include"]
    includes += [path / "components/tvm_model/model/codegen/host/include"]
    command = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", str(source)]
    subprocess.run([*command, *(f"-I{folder}" for folder in includes)], check=True)


def test_the_same_model_gives_the_same_bytes(compiled, sample, expected, tmp_path):
    again = compile_model(image_model())
    paths = []
    for name, model in (("one", compiled), ("two", again)):
        fit = fit_chip(model, CHIPS["esp32s3"])
        paths.append(write_project(model, sample, expected, str(TEMPLATE), str(tmp_path / name), "esp32s3", fit))
    files = [sorted(p.relative_to(path) for p in path.rglob("*") if p.is_file()) for path in paths]
    assert files[0] == files[1]
    for file in files[0]:
        one, two = ((path / file).read_bytes() for path in paths)
        assert one == two, file
        assert str(tmp_path).encode() not in one, file


# --- what fits ----------------------------------------------------------------------------------------------


def resized(compiled, arena=None, weights=None):
    program = dataclasses.replace(compiled.program)
    if arena is not None:
        program.arena_bytes = arena
    if weights is not None:
        program.fallback_constant_bytes += weights - program.constant_bytes
    return dataclasses.replace(compiled, program=program)


@pytest.mark.parametrize("chip", REAL_CHIPS)
def test_what_does_not_fit_internal_ram(compiled, chip):
    large = resized(compiled, arena=600 * KIB)
    if not CHIPS[chip].psram:
        with pytest.raises(UserError, match=f"{600 * KIB} bytes .*no PSRAM"):
            fit_chip(large, CHIPS[chip])
        return
    fit = fit_chip(large, CHIPS[chip])
    assert fit.places == {"arena": "psram", "inputs": "internal", "outputs": "internal"}
    assert "CONFIG_SPIRAM=y" in fit.sdkconfig and "CONFIG_TVM_MODEL_ARENA_PSRAM=y" in fit.sdkconfig
    assert "PSRAM" in fit.notes[0] and "are assumed" in fit.notes[0]
    assert not fit_chip(compiled, CHIPS[chip]).psram
    with pytest.raises(UserError, match="PSRAM"):
        fit_chip(resized(compiled, arena=CHIPS[chip].psram.mib * MIB), CHIPS[chip])


def placed(compiled, arena, inputs, outputs, **board):
    """The fit of a model with so many bytes of each, for a board of the S3."""
    program = resized(compiled, arena).program
    program.inputs, program.outputs = (
        [dataclasses.replace(port, shape=(size // 4,)) for port in ports]
        for ports, size in ((program.inputs, inputs), (program.outputs, outputs))
    )
    model = dataclasses.replace(compiled, program=program)
    return fit_chip(model, CHIPS["esp32s3"], board=choose_board("esp32s3", **board))


def test_what_is_moved_most_lies_inside(compiled):
    """A face detector: its float input takes more than is left, its arena does not. Of YOLO11n nothing fits inside."""
    fit = placed(compiled, 78_816, 230_400, 4_000)
    assert fit.places == {"arena": "internal", "inputs": "psram", "outputs": "internal"}
    assert "CONFIG_TVM_MODEL_INPUTS_PSRAM=y" in fit.sdkconfig
    assert not {"CONFIG_TVM_MODEL_ARENA_PSRAM=y", "CONFIG_TVM_MODEL_OUTPUTS_PSRAM=y"} & set(fit.sdkconfig)
    fit = placed(compiled, 896_000, 1_228_800, 1_209_600)
    assert set(fit.places.values()) == {"psram"}
    with pytest.raises(UserError, match="896000 bytes .* bytes of PSRAM; take a board with more"):
        placed(compiled, 896_000, 1_228_800, 1_209_600, psram="2MB:quad")
    # What integers at the border would save is said where nothing fits.
    offered = r"no PSRAM; choose a board with PSRAM .*; input as int8: \d+ instead of \d+ bytes \(--input_type int8\)"
    with pytest.raises(UserError, match=offered):
        placed(compiled, 896_000, 1_228_800, 1_209_600, psram="none")
    assert placed(compiled, 150_000, 100, 100, internal="100kB").places["arena"] == "psram"


def test_constants_in_psram(compiled):
    """By ESP-IDF's own options, where it has them; with all constant data of the program."""
    large = resized(compiled, weights=5 * MIB)
    fit = fit_chip(large, CHIPS["esp32s3"], "psram", BOARDS["esp32-s3-devkitc-1-n8r8"])
    assert "CONFIG_SPIRAM_RODATA=y" in fit.sdkconfig and "CONFIG_SPIRAM_MODE_OCT=y" in fit.sdkconfig
    assert not [line for line in fit.sdkconfig if "CONFIG_TVM_MODEL" in line]
    assert fit.psram and fit.constants_memory == "psram" and set(fit.places.values()) == {"internal"}
    p4 = fit_chip(large, CHIPS["esp32p4"], "psram", BOARDS["esp32-p4-function-ev-board"])
    assert "CONFIG_SPIRAM_XIP_FROM_PSRAM=y" in p4.sdkconfig
    for board, why in (
        ("esp32-s3-devkitc-1-n8r2", "do not fit the 2031616 bytes of PSRAM"),
        ("esp32-s3-devkitc-1-n8", "esp32-s3-devkitc-1-n8 has no PSRAM"),
        ("esp-wrover-kit", "esp32 cannot read constant data from PSRAM; esp32s2, esp32s3, esp32p4 can"),
    ):
        with pytest.raises(UserError, match=why):
            fit_chip(resized(compiled, weights=2 * MIB), CHIPS[BOARDS[board].chip], "psram", BOARDS[board])


def test_every_memory_stands_in_the_program(compiled):
    program = compiled.program
    note_memory(program, {"arena": "psram", "inputs": "internal", "outputs": "psram"}, "flash")
    found = {(t.place.kind, t.place.memory) for call in program.calls() for t in call.writes if t.place is not None}
    found |= {(port.place.kind, port.place.memory) for port in (*program.inputs, *program.outputs)}
    assert found == {("arena", "psram"), ("input", "internal"), ("output", "psram")}


def test_boards_are_different_hardware(compiled):
    """The lines for PSRAM and flash are the board's: quad and octal modules of the S3 do not start with the other's."""
    large = resized(compiled, arena=600 * KIB)
    lines = {}
    for name, board in BOARDS.items():
        if board.psram is not None:
            lines[name] = set(fit_chip(large, CHIPS[board.chip], board=board).sdkconfig)
            assert f"CONFIG_ESPTOOLPY_FLASHSIZE_{board.flash_mib}MB=y" in lines[name]
    quad, octal = lines["esp32-s3-devkitc-1-n8r2"], lines["esp32-s3-devkitc-1-n8r8"]
    assert "CONFIG_SPIRAM_MODE_QUAD=y" in quad - octal and "CONFIG_SPIRAM_MODE_OCT=y" in octal - quad
    assert "CONFIG_SPIRAM_SPEED_200M=y" in lines["esp32-p4-function-ev-board"]
    assert not [line for line in lines["esp32-cam"] if "FLASHMODE" in line or "FLASHFREQ" in line]
    with pytest.raises(UserError, match="4 MiB of flash that esp32-c3-devkitm-1 has; .* or a board with more"):
        fit_chip(resized(compiled, weights=5 * MIB), CHIPS["esp32c3"], board=BOARDS["esp32-c3-devkitm-1"])


def test_flash_grows_with_the_weights(compiled):
    chip = CHIPS["esp32s3"]
    chosen = [fit_chip(resized(compiled, weights=mib * MIB), chip).flash_mib for mib in (0, 1, 3, 6, 14)]
    assert chosen == [2, 2, 4, 8, 16]
    with pytest.raises(UserError, match="16 MiB"):
        fit_chip(resized(compiled, weights=20 * MIB), chip)
    for mib in (0, 3, 14):
        fit = fit_chip(resized(compiled, weights=mib * MIB), chip)
        (offset, size) = next(row[2:] for row in partitions(partition_table(fit)) if row[0] == "factory")
        assert mib * MIB < size and offset + size <= fit.flash_mib * MIB


def test_foreign_and_broken_folders(compiled, sample, expected, tmp_path):
    fit = fit_chip(compiled, CHIPS["esp32"])
    arguments = (compiled, sample, expected)
    with pytest.raises(UserError, match="no template"):
        write_project(*arguments, str(tmp_path), str(tmp_path / "out"), "esp32", fit)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError):
        write_project(*arguments, str(TEMPLATE), str(tmp_path / "file"), "esp32", fit)
    assert (tmp_path / "file").read_text() == "x"


def test_a_changed_template_keeps_what_the_user_decided(compiled, sample, expected, tmp_path):
    template = tmp_path / "a template"
    shutil.copytree(TEMPLATE, template)
    table = "nvs, data, nvs, , 0x6000\nota_0, app, ota_0, 0x10000, 0x300000\n"
    (template / "partitions.csv").write_text(table)
    (template / "README.md").write_text("mine")
    (template / "main/app_main.c").write_text("int mine;\n")
    with open(template / "sdkconfig.defaults.esp32s3", "a") as file:
        file.write("CONFIG_ESPTOOLPY_FLASHSIZE_16MB=y\n")
    (template / "build").mkdir()
    fit = fit_chip(compiled, CHIPS["esp32s3"])
    # Into the template itself, and again over that.
    for _ in range(2):
        path = write_project(compiled, sample, expected, str(template), str(template), "esp32s3", fit)
    assert (path / "partitions.csv").read_text() == table
    assert (path / "README.md").read_text() == "mine" and (path / "main/app_main.c").read_text() == "int mine;\n"
    assert not [name for name in os.listdir(path) if name.startswith((".new_project", "new_project", "build"))]
    own = (path / "sdkconfig.defaults.esp32s3").read_text()
    assert "FLASHSIZE_16MB=y" in own and "FLASHSIZE_2MB" not in own
    assert "0x" in fit.notes[0] and "partitions.csv" in fit.notes[0]


def test_what_people_changed_in_a_project_survives_the_next_export(compiled, sample, expected, tmp_path):
    def export(chip="esp32s3", constants="flash"):
        fit = fit_chip(compiled, CHIPS[chip], constants)
        arguments = (compiled, sample, expected, str(TEMPLATE), str(tmp_path), chip, fit)
        return write_project(*arguments), " ".join(fit.notes)

    path, notes = export()
    assert "kept" not in notes
    lib1 = path / "components/tvm_model/model/codegen/host/src/default_lib1.c"
    generated = lib1.read_text()
    lib1.write_text("int broken;")
    (path / "main/app_main.c").write_text("int mine;")
    (path / "main/sensor.c").write_text("int sensor;")
    (path / "main/link.c").symlink_to("sensor.c")
    (path / "sdkconfig").write_text("CONFIG_OF_MENUCONFIG=y\n")
    (path / "build").mkdir()
    (path / "build/app.bin").write_text("")
    (path / "pytest.ini").unlink()
    for _ in range(2):
        path, notes = export()
        assert (path / "main/app_main.c").read_text() == "int mine;" and "main/app_main.c" in notes
        assert (path / "main/sensor.c").read_text() == "int sensor;" and (path / "main/link.c").is_symlink()
        assert (path / "sdkconfig").exists() and (path / "pytest.ini").exists() and not (path / "build").exists()
        assert lib1.read_text() == generated
    # Settings of other defaults would hide what the new ones say.
    path, notes = export(constants="ram")
    assert not (path / "sdkconfig").exists() and (path / "main/app_main.c").read_text() == "int mine;"


def test_failed_export_leaves_the_earlier_one_whole(compiled, sample, expected, tmp_path):
    fit = fit_chip(compiled, CHIPS["esp32"])
    path = write_project(compiled, sample, expected, str(TEMPLATE), str(tmp_path), "esp32", fit)
    before = {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}
    with pytest.raises(KeyError):
        write_project(compiled, sample, {}, str(TEMPLATE), str(tmp_path), "esp32", fit)
    assert {p: p.read_bytes() for p in path.rglob("*") if p.is_file()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["new_project"]


@pytest.mark.parametrize(
    "chip, built_for, said",
    [
        ("esp32s3", "esp32s3", ""),
        ("esp32s3", "esp32c3", "error: #error"),
        ("esp32c3", "esp32c6", "exported for the esp32c3"),
        ("esp32c3", "esp32c3", ""),
        ("esp32s3", "linux", ""),
    ],
)
def test_a_build_for_another_chip_is_told_so(chip, built_for, said, tmp_path):
    code = compile_once_imported(image_model(), chip=chip, target_chip=chip).code
    (tmp_path / "sdkconfig.h").write_text(f"#define CONFIG_IDF_TARGET_{built_for.upper()} 1\n")
    (tmp_path / "esp_attr.h").write_text("")
    (tmp_path / "tvmgen_default.h").write_text(code.header)
    (tmp_path / "default_lib1.c").write_text(code.lib1)
    folders = [tmp_path, TEMPLATE / "components/tvm_model/crt_config", TEMPLATE / "components/esp-dl/include"]
    command = ["gcc", "-fsyntax-only", "-std=c11", "-DESP_PLATFORM", "-Wall", "-Wextra", "-Werror"]
    command += [f"-I{folder}" for folder in folders]
    done = subprocess.run([*command, str(tmp_path / "default_lib1.c")], capture_output=True, text=True)
    assert said in done.stderr and bool(done.stderr) == bool(said)
    assert (done.returncode != 0) == ("error" in said), done.stderr[:1000]
