"""The image's files without an engine: the entry point's arguments, what goes in, what is pinned."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

# Stands in for scripts/pipeline.sh: shows what it was given, and ends as told.
PIPELINE = """#!/bin/sh
echo "step=$1 model=${MODEL-unset} out=${OUT-unset} options=${RUN_OPTIONS-unset}"
exit "${TARGET:-0}"
"""


@pytest.fixture
def entry_point(repo: Path, tmp_path: Path):
    """Runs the entry point in an empty folder, before a pipeline that only shows its variables."""
    scripts = tmp_path / "image" / "scripts"
    scripts.mkdir(parents=True)
    shutil.copy(repo / "scripts" / "entrypoint.sh", scripts)
    (scripts / "pipeline.sh").write_text(PIPELINE)
    (scripts / "pipeline.sh").chmod(0o755)
    project = tmp_path / "project"
    project.mkdir()

    def run(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [str(scripts / "entrypoint.sh"), *arguments],
            cwd=project,
            env={"PATH": os.environ["PATH"]},
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


def test_exit_codes_pass_through(entry_point):
    assert entry_point("export", "TARGET=7").returncode == 7


@pytest.mark.parametrize(
    "arguments",
    [("qantize",), ("quantize", "PATH=/bin"), ("quantize", "MODEL"), ("quantize", "MODEL="), ("run", "x=y=z")],
)
def test_what_is_not_known_is_refused_in_one_line(entry_point, arguments):
    done = entry_point(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: '{arguments[-1]}' is no")


def test_without_arguments_it_explains_itself(entry_point):
    done = entry_point()
    assert done.returncode == 0
    assert "deploy" in done.stdout


def test_what_the_image_copies_is_there_and_not_ignored(repo: Path):
    ignored = (repo / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", (repo / "Dockerfile").read_text(), re.MULTILINE)
    sources = [source for line in copies for source in line.split()]
    assert "tools" in sources and "scripts" in sources
    for source in sources:
        assert (repo / source).exists(), source
        assert any(source == name or source.startswith(f"{name}/") for name in allowed), source


def test_image_has_no_rights_and_a_pinned_base(repo: Path):
    text = (repo / "Dockerfile").read_text()
    assert re.search(r"^ARG PYTHON_IMAGE=python:3\.8\.\d+-slim-bookworm$", text, re.MULTILINE)
    assert re.findall(r"^USER (\S+)$", text, re.MULTILINE)[-1] == "1000:1000"
    # Source comes after the environment: a change of it downloads nothing again.
    assert text.index("scripts/setup.sh \\") < text.index("COPY tools tools")
