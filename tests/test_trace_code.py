"""The C that prints a trace: it costs nothing when off, prints the same on its own, and `compare` reads it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tvm")

from logged_network import CODE, REPO, TEMPLATE, small_network  # noqa: E402

from esp_tvm.program import Call, Port, Program, Tensor  # noqa: E402
from esp_tvm.project.export import export_onnx_model  # noqa: E402
from esp_tvm.run.host import HostProgram, host_compiler  # noqa: E402
from esp_tvm.trace.header import trace_header  # noqa: E402


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return small_network(tmp_path_factory.mktemp("small"))


def compare_command(*arguments, stdin=None):
    command = [sys.executable, str(REPO / "tools/tvm/compare_log.py"), *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True)


def test_the_command_reads_a_file_or_standard_input(small, tmp_path):
    own = ["--project", small.project, "--model", small.model_path, "--input", small.sample_path]
    first = small.log["checksums"].split("~tvm begin")[1]
    log = tmp_path / "monitor.txt"
    log.write_text("~tvm begin" + first)
    done = compare_command("--log", log, *own)
    assert done.returncode == 0 and "PASS" in done.stdout, done.stdout + done.stderr
    lines = log.read_text().splitlines()
    done = compare_command("--log", "-", *own, stdin="\n".join(lines[:3] + lines[4:]))
    assert done.returncode == 1 and "LOST LINE" in done.stdout
    done = compare_command("--log", tmp_path / "none.txt", *own)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_off_costs_no_byte(small, tmp_path):
    """Without --debug the object code is the same as with the calls of the trace cut out of the C."""
    source = small.project / CODE / "src" / "default_lib1.c"
    bare = tmp_path / "bare.c"
    bare.write_text(re.sub(r"(?m)^ +TVMGEN_DEFAULT_TRACE\w*\(.*\);\n", "", source.read_text()))
    assert bare.read_text().count("TVMGEN_DEFAULT_TRACE") < source.read_text().count("TVMGEN_DEFAULT_TRACE")
    objects = [compiled_code(small.project, path, tmp_path) for path in (source, bare)]
    assert objects[0] == objects[1]


def compiled_code(project: Path, source: Path, folder: Path) -> bytes:
    includes = [str(i) for folder_ in HostProgram(project).include_folders() for i in ("-I", folder_)]
    assembly = folder / f"{source.stem}.s"
    subprocess.run([*host_compiler(), "-std=c11", "-O2", "-S", *includes, str(source), "-o", str(assembly)], check=True)
    return re.sub(rb"(?m)^\s*\.(file|ident).*\n", b"", assembly.read_bytes())


@pytest.mark.parametrize("mode", ["checksums", "tensors"])
def test_an_exported_debug_program_prints_the_same_log(small, tmp_path, mode):
    """new_project of --debug prints on its own, with warnings as errors, what host_log prints."""
    sample = str(small.sample_path)
    project = export_onnx_model("host", str(small.model_path), sample, str(TEMPLATE), str(tmp_path), mode)
    program = HostProgram(project)
    main = tmp_path / "main.c"
    main.write_text(
        '#include "tvmgen_default.h"\n#include "input_data.h"\n#include "output_data.h"\n'
        "int main(void)\n{\n    struct tvmgen_default_inputs inputs = MODEL_INPUTS;\n"
        "    struct tvmgen_default_outputs outputs = MODEL_OUTPUTS;\n"
        "    return tvmgen_default_run(&inputs, &outputs);\n}\n"
    )
    includes = [str(i) for folder in [*program.include_folders(), project / "main"] for i in ("-I", folder)]
    command = [*host_compiler(), "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-Wno-unused-const-variable"]
    # The kernels are the same in both modes, and print nothing.
    command += [*includes, str(main), *map(str, [*program.generated(), program.kernels()])]
    command += ["-o", str(tmp_path / "program"), "-lm", "-pthread"]
    subprocess.run(command, check=True)
    log = subprocess.run([str(tmp_path / "program")], stdout=subprocess.PIPE, text=True, check=True).stdout
    equal, text = small.compare(log)
    assert equal, text
    assert without_times(log) == without_times(small.log[mode].split("~tvm end")[0])


def without_times(log: str):
    """What the lines of a log say, without the times and the CRCs that cover them."""
    found = re.findall(r"~tvm ((?:begin|input|layer|data) .*) ~", log)
    return [re.sub(r"^(layer( \S+){6}) \d+", r"\1", line) for line in found]


def test_names_of_a_model_are_data_in_the_trace():
    from small_models import HOSTILE_NAMES

    def call(index, nodes):
        return Call("s", "add", [], [Tensor("", (1, 4), "int8", -3)], index=index, nodes=nodes)

    calls = [call(0, [f'Add "{name}"' for name in HOSTILE_NAMES])]
    calls += [call(index, [name]) for index, name in enumerate(HOSTILE_NAMES, 1)]
    ports = [Port(name, (), "int8", c_name="x") for name in HOSTILE_NAMES]
    text = trace_header(Program(ports, [], calls), "checksums").split("How a trace prints")[0]
    strings = re.findall(r'(?m)^    "(.*)",$', text)
    assert len(strings) == len(calls) + len(ports)
    for string in strings:
        assert re.fullmatch(r"[ !#-\[\]-}]*", string) and len(string) < 200
