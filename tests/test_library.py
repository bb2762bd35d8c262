"""An exported model as a library for PlatformIO, Arduino and plain CMake."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tvm")

from kernel_archive import archive  # noqa: E402
from test_project_options import compiled_model, needs_cmake, write  # noqa: E402

from esp_tvm.cli.commands import component  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.evaluate import NumpyEvaluator  # noqa: E402
from esp_tvm.project.library import SETTINGS, copy_library  # noqa: E402
from esp_tvm.project.library import _sources as library_sources  # noqa: E402

REPO = Path(__file__).resolve().parents[1]
COMPONENTS = REPO / "template_project_for_model/components"
# As a sketch includes it: C++.
_MAIN = """\
#include "tvm_model.h"
#include "tvm_model_eyes.h"
#include "tvmgen_default.h"
#include "tvmgen_eyes.h"
#include <cstdio>

static float image[TVMGEN_EYES_INPUT_IMAGE_ELEMENTS], y[TVMGEN_EYES_OUTPUT_Y_ELEMENTS];

int main()
{
    tvmgen_default_inputs first = {};
    tvmgen_default_outputs first_out = {};
    tvmgen_eyes_inputs second = {};
    tvmgen_eyes_outputs second_out = {};
    first.image = second.image = image;
    first_out.y = second_out.y = y;
    if (tvm_model_init() != 0 || tvmgen_default_run(&first, &first_out) != 0) {
        return 1;
    }
    std::printf("%a %a\\n", y[0], y[1]);
    if (tvm_model_eyes_init() != 0 || tvmgen_eyes_run(&second, &second_out) != 0) {
        return 1;
    }
    std::printf("%a %a\\n", y[0], y[1]);
    return 0;
}
"""


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    """Two models as libraries: one by the names of the export, one with names of its own for the ESP32-S3."""
    folder = tmp_path_factory.mktemp("libraries")
    copy_library(write(0, "esp32c3", folder / "0"), folder / "lib")
    copy_library(write(1, "esp32s3", folder / "1"), folder / "lib", "eyes")
    return folder / "lib"


def sources(library: Path):
    return [path for path in sorted((library / "src").rglob("*")) if path.is_file()]


def test_descriptions(libraries):
    for name, board in (("tvm_model", "esp32c3"), ("tvm_model_eyes", "esp32s3")):
        folder = libraries / name
        platformio = json.loads((folder / "library.json").read_text())
        arduino = dict(line.split("=", 1) for line in (folder / "library.properties").read_text().splitlines())
        assert platformio["name"] == arduino["name"] == name and platformio["version"] == arduino["version"]
        assert re.fullmatch(r"1\.0\.0\+[0-9a-f]{8}", arduino["version"])
        assert {"name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url"} <= set(arduino)
        assert arduino["architectures"] == "esp32" and board in arduino["paragraph"]
        assert arduino["includes"].split(",") == platformio["headers"]
        for header in platformio["headers"]:
            assert (folder / platformio["build"]["includeDir"] / header).is_file()


def test_src_is_the_only_include_folder_needed(libraries):
    for name in ("tvm_model", "tvm_model_eyes"):
        files = sources(libraries / name)
        for path in files:
            for included in re.findall(r'(?m)^#include "([^"]+)"', path.read_text()):
                ours = (libraries / name / "src" / included).is_file()
                assert (
                    ours
                    or included in ("esp_attr.h", "sdkconfig.h", "esp_log.h", "esp_partition.h", "esp_heap_caps.h")
                    or re.match(r"freertos/|esp_timer.h|esp_cpu.h", included)
                ), f"{path.name} includes {included}"
        assert {path.name for path in files if path.suffix == ".c"} > {"default_lib0.c", "default_lib1.c"}


def test_what_menuconfig_and_options_would_say(libraries):
    for path in sources(libraries / "tvm_model_eyes"):
        if path.suffix == ".c":
            assert path.read_text().startswith(f'#include "{SETTINGS}"\n')
        if path.suffix == ".S":
            assert path.read_text().startswith("#ifdef ESP_PLATFORM\n")
    # Assembly only where the chip has these instructions.
    kinds = [{path.suffix for path in sources(libraries / name)} for name in ("tvm_model", "tvm_model_eyes")]
    assert ".S" not in kinds[0] and ".S" in kinds[1]
    settings = (libraries / "tvm_model" / "src" / SETTINGS).read_text()
    for file, names in (
        ("esp-dl/Kconfig", ("ESP_DL_CORES_STACK_SIZE", "ESP_DL_CORES_PRIORITY", "ESP_DL_CORES_CORE")),
        ("tvm_model/Kconfig", ()),
    ):
        text = (COMPONENTS / file).read_text()
        for name in names:
            default = re.search(rf"config {name}\n(?:.*\n)*?\s*default (\S+)", text).group(1)
            assert f"#define CONFIG_{name} {default}\n" in settings
    assert "default TVM_MODEL_LOG_INFO" in text and "default 3 if TVM_MODEL_LOG_INFO" in text
    assert "#define CONFIG_TVM_MODEL_LOG_LEVEL 3\n" in settings
    assert "CONFIG_TVM_MODEL_EYES_LOG_LEVEL" in (libraries / "tvm_model_eyes" / "src" / SETTINGS).read_text()


def expected() -> str:
    lines = []
    for seed in (0, 1):
        compiled = compiled_model(seed)
        (port,) = compiled.program.inputs
        values = NumpyEvaluator(compiled.imported, compiled.partitioned).run({port.name: np.zeros(port.shape, "f4")})
        lines.append(" ".join(float(value).hex() for value in values.outputs["y"].ravel()[:2]))
    return "\n".join(lines)


def same(printed: str) -> bool:
    hexes = [[float.fromhex(word) for word in text.split()] for text in (printed, expected())]
    return hexes[0] == hexes[1] and len(hexes[0]) == 4


def test_a_program_with_two_models(libraries, tmp_path):
    """The models' files are compiled as a sketch's builder does it; the kernels are compiled already."""
    (tmp_path / "main.cpp").write_text(_MAIN)
    objects = []
    for name in ("tvm_model", "tvm_model_eyes"):
        for source in ("default_lib0.c", "default_lib1.c", f"{name}.c"):
            objects.append(str(tmp_path / f"{name}_{source}.o"))
            command = ["gcc", "-c", "-O0", "-I", libraries / name / "src", libraries / name / "src" / source]
            subprocess.run([*command, "-o", objects[-1]], check=True)
    includes = [f"-I{libraries / name / 'src'}" for name in ("tvm_model", "tvm_model_eyes")]
    words = [*includes, str(tmp_path / "main.cpp"), *objects, str(archive()), "-lm", "-pthread"]
    subprocess.run(["g++", "-O0", *words, "-o", tmp_path / "app"], check=True)
    assert same(subprocess.run([tmp_path / "app"], check=True, capture_output=True, text=True).stdout)


@needs_cmake
@pytest.mark.slow
def test_plain_cmake_builds_it(libraries, tmp_path):
    (tmp_path / "main.cpp").write_text(_MAIN)
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(app C CXX)\n"
        + "".join(f'add_subdirectory("{libraries / name}" {name})\n' for name in ("tvm_model", "tvm_model_eyes"))
        + "add_executable(app main.cpp)\ntarget_link_libraries(app PRIVATE tvm_model tvm_model_eyes)\n"
    )
    subprocess.run(["cmake", "-S", tmp_path, "-B", tmp_path / "b"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", tmp_path / "b"], check=True, stdout=subprocess.DEVNULL)
    assert same(subprocess.run([tmp_path / "b/app"], check=True, capture_output=True, text=True).stdout)


def test_the_name_of_the_folder_decides(libraries, tmp_path):
    project = str(libraries.parent / "0/new_project")
    for to, form, file in (
        ("app/lib", [], "library.json"),
        ("app/libraries", [], "library.properties"),
        ("app/components", [], "Kconfig"),
        ("app/else", ["--form", "library"], "library.json"),
    ):
        component.main(["--project", project, "--to", str(tmp_path / to), *form], standalone_mode=False)
        assert (tmp_path / to / "tvm_model" / file).is_file(), to


def test_what_is_refused(libraries, tmp_path):
    with pytest.raises(UserError, match="run export first"):
        copy_library(tmp_path, tmp_path / "lib")
    with pytest.raises(UserError, match="weights are in a partition.*export it without --constants partition"):
        copy_library(write(1, "esp32c3", tmp_path / "p", "partition"), tmp_path / "lib")
    shutil.copytree(libraries / "tvm_model", tmp_path / "lib/tvm_model")
    (tmp_path / "lib/tvm_model/library.json").write_text("mine")
    with pytest.raises(UserError, match="library.json was changed"):
        copy_library(libraries.parent / "0/new_project", tmp_path / "lib")
    assert (tmp_path / "lib/tvm_model/library.json").read_text() == "mine"


@pytest.mark.parametrize("chip", ["esp32", "esp32s3", "esp32c3", "host"])
def test_a_library_has_the_assembly_of_its_chip_alone(chip, tmp_path):
    shutil.copytree(COMPONENTS / "esp-dl", tmp_path / "components/esp-dl")
    names = [Path(name).name for name in library_sources(tmp_path, chip) if name.endswith(".S")]
    assert all(name.endswith(f"_{chip}.S") for name in names) and bool(names) == (chip in ("esp32", "esp32s3"))
