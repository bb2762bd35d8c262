"""What is generated compiles, whatever a model calls its tensors; an export says so before it says that it wrote."""

from __future__ import annotations

import re
import subprocess

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from qdq import QdqBuilder

from esp_tvm.errors import UserError
from esp_tvm.naming import c_identifier
from esp_tvm.project import syntax
from esp_tvm.project.export import export_onnx_model
from esp_tvm.run.host import HostProgram, host_compiler

# Headers of C11 and POSIX, and what is a macro in them.
_HEADERS = (
    "assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign stdarg stdatomic "
    "stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar wchar wctype aio arpa/inet dirent "
    "fcntl net/if netdb netinet/in poll pthread pwd sched semaphore spawn strings sys/ioctl sys/ipc sys/mman sys/msg "
    "sys/param sys/resource sys/select sys/shm sys/socket sys/stat sys/sysmacros sys/time sys/types sys/un sys/wait "
    "syslog termios unistd"
).split()
HOSTILE = ["UINT8_MAX", "CONFIG_IDF_TARGET", "errno", "NULL", "I", "linux", "EOF", "int8_t", "stdin", "main", "union"]


def macros(header: str) -> set:
    done = subprocess.run(
        [*host_compiler(), "-std=gnu11", "-D_GNU_SOURCE", "-dM", "-E", "-x", "c", "-"],
        input=f"#include <{header}.h>\n",
        capture_output=True,
        text=True,
    )
    return set(re.findall(r"^#define (\w+)", done.stdout, re.M)) if done.returncode == 0 else set()


def test_no_name_is_a_macro_of_the_c_library():
    known = set().union(*(macros(header) for header in _HEADERS))
    assert len(known) > 3000 and "errno" in known
    functions = {name for name in known if name.islower()} - {"errno", "stdin"}
    objects = known - functions
    for name in objects | {"errno", "stdin", "bool", "linux", "unix", "st_mtime", "sa_handler"}:
        assert c_identifier(name) not in objects | {"bool", "linux", "unix", "st_mtime", "sa_handler"}, name


@pytest.mark.parametrize(
    "name, wanted",
    [
        ("input", "input"),
        ("image", "image"),
        ("Input3", "input3"),
        ("UINT8_MAX", "uint8_max"),
        ("errno", "tensor_errno"),
        ("class", "tensor_class"),
        ("uint8_t", "tensor_uint8_t"),
        ("0:out/put", "tensor_0_out_put"),
        ("", "tensor"),
        ("日本", "tensor"),
    ],
)
def test_names(name, wanted):
    assert c_identifier(name) == wanted


def test_names_differ_in_small_letters():
    taken: set = set()
    assert [c_identifier(name, taken) for name in ("x", "X", "x_1")] == ["x", "x_1", "x_1_1"]


def hostile_names() -> onnx.ModelProto:
    b = QdqBuilder()
    for name in HOSTILE:
        x = b.input(f"{name}", [1, 4], -4)
        b.quantize(b.node("Relu", [x]), -4, f"{name.lower()}__out")
        b.output(f"{name.lower()}__out", [1, 4])
    return b.model()


def export(model, tmp_path, repo, sample):
    onnx.save(model, str(tmp_path / "m.onnx"))
    np.savez(tmp_path / "x.npz", **sample)
    template = str(repo / "template_project_for_model")
    return export_onnx_model("host", str(tmp_path / "m.onnx"), str(tmp_path / "x.npz"), template, str(tmp_path / "out"))


def test_tensors_named_like_macros(tmp_path, repo):
    sample = {name: np.ones((1, 4), np.float32) for name in HOSTILE}
    project = export(hostile_names(), tmp_path, repo, sample)
    program = HostProgram(project, sanitize=True)
    outputs = program.run({name: array[None] for name, array in sample.items()})
    assert all(np.array_equal(array, np.ones((1, 1, 4))) for array in outputs.values())


def small() -> onnx.ModelProto:
    b = QdqBuilder()
    b.quantize(b.node("Relu", [b.input("x", [1, 4], -4)]), -4, "y")
    b.output("y", [1, 4])
    return b.model()


def test_what_does_not_compile_is_not_written(tmp_path, repo, monkeypatch):
    monkeypatch.setattr(syntax, "_USE", syntax._USE + "int64_t wide = 0x1p80;\n")
    with pytest.raises(UserError, match="does not compile, so nothing is written"):
        export(small(), tmp_path, repo, {"x": np.ones((1, 4), np.float32)})
    assert not (tmp_path / "out" / "new_project").exists()
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.parametrize("value", ["no-such-compiler", "true", "cat -v"])
def test_a_wrong_cc_is_refused(tmp_path, repo, monkeypatch, value):
    monkeypatch.setenv("CC", value)
    with pytest.raises(UserError, match=f"CC={value}: is no"):
        export(small(), tmp_path, repo, {"x": np.ones((1, 4), np.float32)})
    assert not (tmp_path / "out" / "new_project").exists()


def test_without_a_compiler_there_is_a_note(tmp_path, repo, monkeypatch, capsys):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    export(small(), tmp_path, repo, {"x": np.ones((1, 4), np.float32)})
    assert "no C compiler here" in capsys.readouterr().out


def test_one_name_given_to_two_outputs_is_refused(tmp_path, repo):
    model = small()
    model.graph.output.add().CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4]))
    with pytest.raises(UserError, match="output 'y'.*twice"):
        export(model, tmp_path, repo, {"x": np.ones((1, 4), np.float32)})
