"""Archives of compiled kernels: made once, made again when anything that goes into them changes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from esp_tvm.errors import UserError
from esp_tvm.run.host import host_compiler
from esp_tvm.run.objects import SHARED_FOLDER, kernel_archive, program_folder, run_program


@pytest.fixture
def component(tmp_path, monkeypatch) -> Path:
    monkeypatch.delenv(SHARED_FOLDER, raising=False)
    folder = tmp_path / "component"
    for name, text in (
        ("src/a/one.c", '#include "common.h"\nint one(void) { return NUMBER; }\n'),
        ("src/b/one.c", "int two(void) { return 2; }\n"),
        ("src/common.h", "#define NUMBER 1\n"),
        ("include/component.h", "int one(void);\n"),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def made(component: Path, *flags: str) -> Path:
    return kernel_archive(component, [*host_compiler(), *flags], component.parent / "kept")


def test_the_same_files_are_compiled_once(component):
    first = made(component)
    time = first.stat().st_mtime_ns
    assert made(component) == first and first.stat().st_mtime_ns == time
    names = subprocess.run(["nm", str(first)], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert " T one" in names and " T two" in names


@pytest.mark.parametrize("name", ["src/a/one.c", "src/common.h", "include/component.h"])
def test_any_changed_file_makes_another_and_the_earlier_one_goes(component, name):
    first = made(component)
    path = component / name
    path.write_text(path.read_text() + "\n")
    again = made(component)
    assert again != first and again.is_file() and not first.exists()


def test_other_options_have_an_archive_of_their_own(component):
    plain, debug = made(component), made(component, "-g")
    assert plain != debug and plain.is_file() and debug.is_file()


def test_a_shared_folder_keeps_all(component, monkeypatch, tmp_path):
    monkeypatch.setenv(SHARED_FOLDER, str(tmp_path / "shared"))
    first = made(component)
    (component / "src/common.h").write_text("#define NUMBER 3\n")
    assert made(component).is_file() and first.is_file() and first.parent == tmp_path / "shared"


def test_what_does_not_compile_is_named_and_leaves_nothing(component):
    (component / "src/b/one.c").write_text("int two(void) { return }\n")
    with pytest.raises(UserError, match="one.c: its C does not compile.*error"):
        made(component)
    assert [path.name for path in (component.parent / "kept").iterdir() if path.suffix != ".lock"] == []


def test_processes_that_ask_at_once_get_the_same(component):
    code = (
        "import sys; from pathlib import Path; from esp_tvm.run.objects import kernel_archive; "
        "print(kernel_archive(Path(sys.argv[1]), [sys.argv[2]], Path(sys.argv[1]).parent / 'kept'))"
    )
    command = [sys.executable, "-c", code, str(component), host_compiler()[0]]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    results = {process.communicate()[0] for process in running}
    assert len(results) == 1 and Path(results.pop().strip()).is_file()


def test_a_temporary_folder_that_runs_nothing_is_named(tmp_path, monkeypatch):
    """What a folder mounted noexec gives: EACCES, which a file that is not executable gives too."""
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\ncat\n")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    program.chmod(0o644)
    with pytest.raises(UserError) as error:
        run_program([str(program)], b"")
    assert str(error.value).startswith(f"{tmp_path}: no program can be run from there")
    assert "set TMPDIR to a folder from which programs can be run" in str(error.value)
    program.chmod(0o755)
    assert run_program([str(program)], b"as it came").stdout == b"as it came"


def test_programs_lie_beside_the_project_where_none_may_run_in_the_temporary_folder(tmp_path, monkeypatch):
    temporary, project = tmp_path / "tmp", tmp_path / "out"
    temporary.mkdir()
    project.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    with program_folder("made_", project) as folder:
        assert Path(folder).parent == temporary
    monkeypatch.setattr("os.statvfs", lambda path: SimpleNamespace(f_flag=os.ST_NOEXEC))
    with program_folder("made_", project) as folder:
        assert Path(folder).parent == project
    assert not list(project.iterdir())
    with program_folder("made_", Path("/proc/nowhere")) as folder:
        assert Path(folder).parent == temporary
