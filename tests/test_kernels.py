"""Every kernel in C against its NumPy rule, byte for byte, with address and undefined behaviour sanitizers."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter

import pytest

pytest.importorskip("tvm")

from kernel_archive import COMPONENT, listed_sources  # noqa: E402
from kernel_case import Case  # noqa: E402
from kernel_harness import KernelProgram  # noqa: E402
from layer_cases import random_convolutions  # noqa: E402
from operator_cases import CASES  # noqa: E402

from esp_tvm.operators import OPERATORS  # noqa: E402


def test_cases_have_names_of_their_own():
    assert [case for case, count in Counter(case.id for case in CASES).items() if count > 1] == []


def test_every_kernel_has_cases():
    assert sorted(set(OPERATORS) - {case.operator for case in CASES}) == []


@pytest.mark.parametrize("operator", sorted({case.operator for case in CASES}))
def test_kernel_follows_its_rule(operator, tmp_path):
    cases = [case for case in CASES if case.operator == operator]
    assert KernelProgram(cases, tmp_path).mismatches() == []


def test_windows_of_random_shapes(tmp_path):
    assert KernelProgram(random_convolutions(120, seed=1), tmp_path).mismatches() == []


def test_harness_sees_a_wrong_byte(tmp_path):
    """The comparison itself: a rule that is off by a rounding must show."""
    case = next(case for case in CASES if case.operator == "requantize" and case.attributes["shift"] == 1)
    program = KernelProgram([case], tmp_path)
    off = Case(case.name, case.operator, case.inputs, {**case.attributes, "shift": 2})
    program.cases = [off]
    found = program.mismatches()
    assert found and "requantize" in found[0] and "differs in" in found[0]


def test_build_list_names_every_source():
    assert sorted(listed_sources()) == sorted((COMPONENT / "src").rglob("*.c"))


def test_headers_are_c_and_cxx_by_themselves(tmp_path):
    for language, compiler in (("c", "gcc"), ("c++", "g++")):
        if shutil.which(compiler) is None:
            pytest.skip(f"{compiler} is not installed")
        command = [compiler, "-x", language, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"]
        command += ["-I", str(COMPONENT / "include")]
        for header in sorted((COMPONENT / "include").rglob("*.h")):
            text = f'#include "{header}"\ntypedef int not_empty;\n'
            subprocess.run([*command, "-"], input=text, text=True, check=True)


def test_component_builds_without_esp_idf(tmp_path):
    if shutil.which("cmake") is None:
        pytest.skip("cmake is not installed")
    # Optimized it is built by test_project.py, as a part of the program for this computer.
    options = ["-B", str(tmp_path), "-DCONFIG_ESP_DL_OPTIMIZATION_PROJECT=y"]
    subprocess.run(["cmake", "-S", str(COMPONENT), *options], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", str(tmp_path)], check=True, stdout=subprocess.DEVNULL)
    assert (tmp_path / "libesp_dl.a").is_file()


@pytest.mark.parametrize(
    "compiler, flags",
    [
        ("riscv64-unknown-elf-gcc", ["-march=rv32imac", "-mabi=ilp32", "--specs=picolibc.specs"]),
        # Debian's has no C library.
        (
            "xtensa-lx106-elf-gcc",
            ["-mlongcalls", "-isystem", str(COMPONENT.parents[2] / "tools/esp_tvm/run/xtensa/include")],
        ),
    ],
)
def test_kernels_compile_for_chips(compiler, flags, tmp_path):
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    command = [compiler, *flags, "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-I", str(COMPONENT / "include")]
    command += ["-I", str(COMPONENT / "src"), "-c", *map(str, listed_sources())]
    done = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout[:2000]
