"""Exported models as components of another application: one under its own names, two in one program."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tvm")

from idf_standin import StandIn  # noqa: E402
from test_project_options import PARTITION, QUICK, compiled_model, needs_cmake, write  # noqa: E402

from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.evaluate import NumpyEvaluator  # noqa: E402
from esp_tvm.project.component import copy_model, renamed  # noqa: E402

REPO = Path(__file__).resolve().parents[1]
NAMES = ("eyes", "ears_2")

_CMAKE = """\
cmake_minimum_required(VERSION 3.16)
include($ENV{IDF_PATH}/tools/cmake/project.cmake)
project(other)
"""
_MAIN = """\
#include "tvm_model_eyes.h"
#include "tvm_model_ears_2.h"
#include "tvmgen_eyes.h"
#include "tvmgen_ears_2.h"
#include <stdio.h>

static float image[TVMGEN_EYES_INPUT_IMAGE_ELEMENTS], y[TVMGEN_EARS_2_OUTPUT_Y_ELEMENTS];

void app_main(void)
{
    struct tvmgen_eyes_inputs first = {.image = image};
    struct tvmgen_eyes_outputs first_out = {.y = y};
    if (tvm_model_eyes_init() == 0 && tvmgen_eyes_run(&first, &first_out) == 0) {
        printf("eyes %a %a\\n", y[0], y[1]);
    }
    struct tvmgen_ears_2_inputs second = {.image = image};
    struct tvmgen_ears_2_outputs second_out = {.y = y};
    if (tvm_model_ears_2_init() == 0 && tvmgen_ears_2_run(&second, &second_out) == 0) {
        printf("ears_2 %a %a\\n", y[0], y[1]);
    }
}
"""


@pytest.fixture(scope="module")
def projects(tmp_path_factory):
    """Two models, the second with its weights in a partition."""
    folder = tmp_path_factory.mktemp("projects")
    return [write(0, "esp32c3", folder / "0"), write(1, "esp32c3", folder / "1", "partition")]


@pytest.fixture
def application(projects, tmp_path):
    """An application with both models."""
    other = tmp_path / "other app"
    (other / "main").mkdir(parents=True)
    for project, name in zip(projects, NAMES):
        copy_model(project, other / "components", name)
    (other / "CMakeLists.txt").write_text(_CMAKE)
    requires = " ".join(f"tvm_model_{name}" for name in NAMES)
    (other / "main/CMakeLists.txt").write_text(f'idf_component_register(SRCS "main.c" PRIV_REQUIRES {requires})\n')
    (other / "main/main.c").write_text(_MAIN)
    return other


@needs_cmake
def test_two_models_in_one_program(application, tmp_path):
    stand_in = StandIn(application, tmp_path / "b", "esp32c3")
    stand_in.configure([QUICK, "CONFIG_TVM_MODEL_EARS_2_CONSTANTS_RAM=y", "CONFIG_TVM_MODEL_EYES_LOG_NONE=y"])
    stand_in.build()
    lines = []
    for seed, name in enumerate(NAMES):
        compiled = compiled_model(seed)
        zero = {"image": np.zeros((1, 3, 6, 6), np.float32)}
        y = NumpyEvaluator(compiled.imported, compiled.partitioned).run(zero).outputs["y"].ravel()
        lines.append([name, float(y[0]), float(y[1])])
    assert lines[0][1:] != lines[1][1:]
    printed = [line.split() for line in stand_in.run().splitlines() if line.startswith(NAMES)]
    assert [[name, float.fromhex(a), float.fromhex(b)] for name, a, b in printed] == lines


@needs_cmake
def test_each_has_a_partition_of_its_own(application, tmp_path):
    rows = [f"{name}, data, undefined, 0x{200 + 10 * i}000, 0x2000" for i, name in enumerate(NAMES)]
    (application / "partitions.csv").write_text("\n".join([*rows, ""]))
    stand_in = StandIn(application, tmp_path / "b", "esp32c3", run=False)
    stand_in.configure([QUICK, *(f"CONFIG_TVM_MODEL_{name.upper()}_CONSTANTS_PARTITION=y" for name in NAMES)])
    flashed = [line.replace(str(application), "") for line in stand_in.flashed()]
    for name in NAMES:
        file = f"/components/tvm_model_{name}/model/constants.bin"
        for line in (f"target {name}-flash", f"{name}-flash {name} {file}", f"flash {name} {file}"):
            assert line in flashed
    source = (application / "components/tvm_model_eyes/src/tvm_model_eyes.c").read_text()
    assert '#define PARTITION "eyes"' in source


def test_nothing_of_the_old_names_is_left(application):
    for path in (application / "components/tvm_model_eyes").rglob("*"):
        if path.is_file() and path.suffix not in (".bin", ".npz") and path.name != ".esp_tvm_project":
            text = path.read_text()
            for old in ("tvmgen_default", "TVMGEN_DEFAULT", "crt_config.h", "tvm_model_init", "CONFIG_TVM_MODEL_ARENA"):
                assert old not in text, (path, old)
    json.loads((application / "components/tvm_model_eyes/model/metadata.json").read_text())


def test_advice_names_what_the_application_needs(projects, tmp_path):
    lines = copy_model(projects[1], tmp_path, "ears")
    assert lines[0] == "ESP-IDF 5.1 to 6.x, for the esp32c3"
    assert lines[1] == 'PRIV_REQUIRES tvm_model_ears; #include "tvm_model_ears.h" and "tvmgen_ears.h"'
    assert f"sdkconfig.defaults: {PARTITION.replace('MODEL', 'MODEL_EARS')}" in lines
    assert lines[-1] == "partitions.csv: ears, data, undefined, , 0x1000"
    # Speed, and where ESP-IDF finds a folder of another name; what is the application's own is not there.
    for option in ("CONFIG_ESP_DEFAULT_CPU_FREQ_MHZ_160=y", "CONFIG_COMPILER_OPTIMIZATION_PERF=y"):
        assert f"sdkconfig.defaults: {option}" in lines
    assert f'CMakeLists.txt, before project(): set(EXTRA_COMPONENT_DIRS "{tmp_path}")' in lines
    assert not [line for line in lines if "FLASHSIZE" in line or "PARTITION_TABLE" in line or "INFERENCE" in line]
    assert not [line for line in copy_model(projects[0], tmp_path / "components") if "EXTRA_COMPONENT_DIRS" in line]


def test_without_a_name_both_components_are_copied_as_they_are(projects, tmp_path):
    # Twice: what this tool copied and nobody changed is replaced.
    for _ in range(2):
        copy_model(projects[0], tmp_path)
    for name in ("tvm_model", "esp-dl"):
        source = projects[0] / "components" / name
        for path in source.rglob("*"):
            if path.is_file():
                assert (tmp_path / name / path.relative_to(source)).read_bytes() == path.read_bytes()


def test_names_begin_words(tmp_path):
    text = "tvmgen_default_run(my_tvm_model, CONFIG_TVM_MODEL_LOG, TVM_MODELS) crt_config/crt_config.h"
    assert (
        renamed(text, "a1")
        == "tvmgen_a1_run(my_tvm_model, CONFIG_TVM_MODEL_A1_LOG, TVM_MODELS) crt_config/crt_config_a1.h"
    )


@pytest.mark.parametrize("name", ["", "Eyes", "2eyes", "a" * 16, "a-b", "a/../b", "default", "nvs", "a b"])
def test_names_that_will_not_do(projects, tmp_path, name):
    with pytest.raises(UserError, match="--name"):
        copy_model(projects[0], tmp_path / "c", name)
    assert not (tmp_path / "c").exists()


def test_folders_of_others_stay(projects, tmp_path):
    with pytest.raises(UserError, match="run export first"):
        copy_model(tmp_path, tmp_path / "c", "eyes")
    # Espressif's library of the same name, and a component that was changed.
    espressifs = tmp_path / "a/esp-dl/README.md"
    espressifs.parent.mkdir(parents=True)
    espressifs.write_text("Espressif's")
    with pytest.raises(UserError, match="esp-dl.*was not copied"):
        copy_model(projects[0], tmp_path / "a", "eyes")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["esp-dl"] and espressifs.exists()
    copy_model(projects[0], tmp_path / "b", "eyes")
    changed = tmp_path / "b/tvm_model_eyes/crt_config/crt_config_eyes.h"
    changed.write_text("mine")
    with pytest.raises(UserError, match="crt_config_eyes.h was changed"):
        copy_model(projects[0], tmp_path / "b", "eyes")
    assert changed.read_text() == "mine"


def test_script(projects, tmp_path):
    script = [sys.executable, str(REPO / "tools/tvm/copy_model.py"), "--project", str(projects[0])]
    done = subprocess.run(
        [*script, "--to", "the components", "--name", "eyes"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0 and "tvm_model_eyes" in done.stdout, done.stderr
    done = subprocess.run([*script, "--to", "c", "--name", "No"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    shutil.rmtree(tmp_path / "the components")
