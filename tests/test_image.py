"""The image's files without an engine: the entry point's arguments, what goes in, what is pinned."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from esp_tvm.idf_versions import CONTAINER

# Stands in for scripts/pipeline.sh: shows what it was given, and ends as told.
PIPELINE = """#!/bin/sh
if [ "$1" = variables ]; then echo "MODEL CALIB INPUT TARGET OUT RUN_OPTIONS PYTHON CC"; exit; fi
echo "step=$1 model=${MODEL-unset} out=${OUT-unset} options=${RUN_OPTIONS-unset}"
exit "${TARGET:-0}"
"""

# Shows the command that would run in the environment.
IN_ENV = '#!/bin/sh\necho "$@"\n'
# Shows whether an ESP-IDF is active.
IDF = '#!/bin/sh\necho "idf.sh $1: $(idf.py --version 2>&1)"\n'


@pytest.fixture
def entry_point(repo: Path, tmp_path: Path):
    """Runs the entry point in an empty folder, before a pipeline that only shows its variables."""
    scripts = tmp_path / "image" / "scripts"
    scripts.mkdir(parents=True)
    shutil.copy(repo / "Makefile", scripts.parent)
    names = ("entrypoint.sh", "file-variables.sh", "image-python.sh", "emulate.sh")
    for source in [*(repo / "scripts" / name for name in names), *(repo / "scripts").glob("*.mk")]:
        shutil.copy(source, scripts)
    for name, text in (("pipeline.sh", PIPELINE), ("in-env.sh", IN_ENV), ("idf.sh", IDF)):
        (scripts / name).write_text(text)
        (scripts / name).chmod(0o755)
    (scripts.parent / "tools" / "tvm").mkdir(parents=True)
    (scripts.parent / "tools" / "tvm" / "export_onnx_model.py").touch()
    project = tmp_path / "project"
    project.mkdir()

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [str(scripts / "entrypoint.sh"), *arguments],
            cwd=project,
            env={"PATH": os.environ["PATH"], **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    run.project = project
    return run


def test_files_are_named_from_the_mounted_folder(entry_point):
    done = entry_point("deploy", "MODEL=a model;x.onnx", "OUT=/elsewhere", "RUN_OPTIONS=--all  $HOME")
    assert done.returncode == 0
    model = f"{entry_point.project}/a model;x.onnx"
    assert done.stdout == f"step=deploy model={model} out=/elsewhere options=--all  $HOME\n"
    assert (entry_point.project / "build").is_dir()


def test_products_lie_in_the_callers_folder_without_a_model_too(entry_point):
    assert f"out={entry_point.project}/build/digits " in entry_point("demo").stdout
    assert f"--output {entry_point.project}/build/sbom.json" in entry_point("sbom").stdout


def test_with_options_it_is_the_command_esp_tvm(entry_point):
    for words in (["--version"], ["quantize", "--model", "a.onnx"], ["completion", "bash"]):
        assert entry_point(*words).stdout == f"python -m esp_tvm {' '.join(words)}\n"


def test_documented_scripts_are_found_from_the_callers_folder(entry_point):
    own = entry_point.project / "tools" / "mine.py"
    own.parent.mkdir()
    own.touch()
    assert entry_point("python", "tools/mine.py").stdout == "python tools/mine.py\n"
    there = entry_point.project.parent / "image/tools/tvm/export_onnx_model.py"
    done = entry_point("python", "tools/tvm/export_onnx_model.py", "--help")
    assert done.stdout == f"python {there} --help\n"
    assert entry_point("python", "tools/nowhere.py").stdout == "python tools/nowhere.py\n"


@pytest.mark.parametrize("target", ["build", "flash", "flash-weights", "monitor", "menuconfig", "erase", "size"])
def test_the_images_esp_idf_is_activated_for_what_needs_it(entry_point, tmp_path: Path, target):
    (tmp_path / "idf.py").write_text("#!/bin/sh\necho ESP-IDF v5.5.5\n")
    (tmp_path / "idf.py").chmod(0o755)
    (tmp_path / "export.sh").write_text("export PATH=$IDF_PATH:$PATH\n")
    assert entry_point(target, IDF_PATH=str(tmp_path)).stdout.endswith(": ESP-IDF v5.5.5\n")
    assert "ESP-IDF v5.5.5" not in entry_point(target).stdout


def test_exit_codes_pass_through(entry_point):
    assert entry_point("export", "TARGET=7").returncode == 7


@pytest.mark.parametrize(
    "arguments",
    [
        ("qantize",),
        ("test",),
        (".*",),
        ("quantize", "PATH=/bin"),
        ("quantize", "MODLE=a.onnx"),
        ("quantize", "MODEL"),
        ("quantize", "CC=gcc"),
        ("run", "x=y=z"),
    ],
)
def test_what_is_not_known_is_refused_in_one_line(entry_point, arguments):
    done = entry_point(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: '{arguments[-1]}'")


@pytest.mark.parametrize("arguments", [(), ("help",), ("--help",)])
def test_without_arguments_it_explains_itself(entry_point, arguments):
    done = entry_point(*arguments)
    assert done.returncode == 0
    assert "  deploy  " in done.stdout
    assert "RUN_OPTIONS" in done.stdout


def test_a_folder_that_cannot_be_written_is_told(entry_point):
    (entry_point.project / "build").write_text("")
    done = entry_point("quantize", "MODEL=a.onnx")
    assert done.returncode == 2
    assert "is not writable" in done.stderr


@pytest.fixture
def make_in_container(repo: Path, tmp_path: Path):
    """Runs make in the project's folder before an engine that only shows what it was told to run."""
    engine = tmp_path / "bin" / "docker"
    engine.parent.mkdir()
    engine.write_text('#!/bin/sh\nif [ "$1" = run ]; then printf "%s\\n" "$@"; fi\n')
    engine.chmod(0o755)

    def run(*arguments: str) -> list[str]:
        done = subprocess.run(
            ["make", "DOCKER=1", *arguments],
            cwd=repo,
            env={"PATH": f"{engine.parent}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert done.returncode == 0
        return done.stdout.splitlines()

    return run


def test_make_passes_its_words_to_the_image(make_in_container, repo: Path, tmp_path: Path):
    (tmp_path / "a model;x.onnx").touch()
    words = make_in_container(
        "export",
        f"MODEL={tmp_path}/a model;x.onnx",
        f"CALIB={repo}/examples/digits/calib.npy",
        "INPUT=build/no such file.npy",
        "IMAGE=another",
        "EXPORT_OPTIONS=--debug 'check sums'",
    )
    assert f"{repo}:/project" in words
    assert f"type=bind,source={tmp_path},target={tmp_path},readonly" in words
    assert words[words.index("-u") + 1] == f"{os.getuid()}:{os.getgid()}"
    image = words.index("another")
    assert words[image + 1] == "export"
    assert sorted(words[image + 2 :]) == [
        "CALIB=examples/digits/calib.npy",
        "EXPORT_OPTIONS=--debug 'check sums'",
        "INPUT=build/no such file.npy",
        f"MODEL={tmp_path}/a model;x.onnx",
    ]


def test_components_are_written_where_another_application_lies(make_in_container, tmp_path: Path):
    words = make_in_container("component", "MODEL=examples/digits/model.onnx", f"DEST={tmp_path}/app/components")
    components = f"{tmp_path}/app/components"
    assert f"type=bind,source={components},target={components}" in words and Path(components).is_dir()
    assert f"DEST={components}" in words


def test_without_a_target_make_lists_them_in_the_image_too(make_in_container):
    assert make_in_container()[-2:] == ["esp-tvm", "help"]


def test_without_an_engine_one_line_says_so(repo: Path, tmp_path: Path):
    (tmp_path / "docker").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "docker").chmod(0o755)
    for target in ("build", "check", "shell"):
        done = subprocess.run(
            [str(repo / "scripts" / "image.sh"), target],
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: no docker engine answers")


def test_what_the_image_copies_is_there_and_not_ignored(repo: Path):
    ignored = (repo / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", (repo / "Dockerfile").read_text(), re.MULTILINE)
    sources = {source for line in copies for source in line.split()}
    assert {"tools", "scripts", "Makefile"} < sources
    # The wheels are copied where there are any.
    for source in sources - {"vendo[r]"}:
        assert (repo / source).exists(), source
        assert any(source == name or source.startswith(f"{name}/") for name in allowed), source


def test_image_has_no_rights_and_a_pinned_base(repo: Path):
    text = (repo / "Dockerfile").read_text()
    images = dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)@sha256:[0-9a-f]{64}$", text, re.MULTILINE))
    assert re.fullmatch(r"python:3\.8\.\d+-slim-bookworm", images["PYTHON_IMAGE"])
    assert images["IDF_IMAGE"] == CONTAINER
    stages = dict(re.findall(r"^FROM \S+ AS (\S+)\n((?:(?!FROM ).*\n)*)", text, re.MULTILINE))
    assert {"pipeline", "full"} < set(stages)
    for name in ("pipeline", "full"):
        assert re.findall(r"^USER (\S+)$", stages[name], re.MULTILINE) == ["1000:1000"]
    # A change of the source downloads nothing again: stages that download do not see it.
    downloading = [text for text in stages.values() if "--mount=type=secret" in text]
    assert len(downloading) == 4
    for text in downloading:
        assert not re.search(r"^COPY.* (tools|scripts|bench|template_project_for_model) ", text, re.MULTILINE)


@pytest.mark.parametrize(
    "path, kept",
    [
        ("/usr/bin/qemu-system-riscv32", True),
        ("/usr/bin/qemu-system-sh4", False),
        ("/usr/lib/gcc/riscv64-unknown-elf/12.2.0/cc1", True),
        ("/usr/lib/gcc/riscv64-unknown-elf/12.2.0/cc1plus", False),
        ("/usr/lib/gcc/riscv64-unknown-elf/12.2.0/picolibc.specs", True),
        ("/usr/lib/gcc/riscv64-unknown-elf/12.2.0/rv32imac/ilp32/libgcc.a", True),
        ("/usr/lib/gcc/riscv64-unknown-elf/12.2.0/rv64imac/lp64/libgcc.a", False),
        ("/usr/lib/picolibc/riscv64-unknown-elf/lib/picolibc.ld", True),
        ("/usr/lib/picolibc/riscv64-unknown-elf/lib/rv32imac/ilp32/libc.a", True),
        ("/usr/lib/picolibc/riscv64-unknown-elf/lib/release/rv32imac/ilp32/libc.a", False),
        ("/usr/lib/picolibc/riscv64-unknown-elf/include/stdio.h", True),
        ("/usr/share/doc/gcc/copyright", True),
        ("/usr/share/doc/gcc/changelog.gz", False),
    ],
)
def test_what_the_emulator_needs_stays_in_the_image(repo: Path, path, kept):
    decision = True
    for line in (repo / "scripts/image-dpkg.cfg").read_text().splitlines():
        # dpkg: the last rule that fits decides, and a star stands for slashes too.
        if not line.startswith("#") and fnmatch.fnmatchcase(path, line.split("=", 1)[1]):
            decision = line.startswith("path-include=")
    assert decision is kept
