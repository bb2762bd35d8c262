"""The command esp-tvm and its aliases in tools/tvm: names, hints, files that stay; the installed package."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict

import click
import numpy as np
import onnx
import pytest
from onnx import helper
from project_files import project_files
from small_models import model_of

import esp_tvm
from esp_tvm.cli.app import Group, Reads, Writes
from esp_tvm.cli.commands import SCRIPTS, command_of, script
from esp_tvm.cli.commands import esp_tvm as group
from esp_tvm.errors import did_you_mean

REPO = Path(__file__).resolve().parents[1]
# The options as the documents have them, of each script: what is typed today stays.
DOCUMENTED = {
    "preprocess_onnx": ("preprocess", "--input --output"),
    "esp_quantize_onnx": (
        "quantize",
        "--input_model --output_model --calibrate_dataset --method --percentile --per_channel --equalize --centre "
        "--correct_bias --int16_outputs --fit --int16 --int16_gain --effort --evaluate --labels",
    ),
    "export_onnx_model": (
        "export",
        "--target_chip --model_path --img_path --template_path --out_path --debug --constants --vector --cores",
    ),
    "run_project": ("run", "--project --model --input --sanitize --summary --log --log_mode"),
    "emulate_project": ("emulate", "--project --model --input --log --log_mode"),
    "debug_onnx_model": ("debug", "--target_chip --model_path --img_path --dump_root --layer"),
    "compare_log": ("compare", "--log --model --input"),
    "report": ("report", "--project --model --input --float_model --log --output"),
    "onnx_from": (
        "convert",
        "--output --opset --shape --signature --samples --tolerance --python --trust-pickle --samples_out --float",
    ),
    "copy_model": ("component", "--project --to --name"),
}


def leaves(commands: Dict[str, click.Command], prefix: str = "") -> Dict[str, click.Command]:
    found = {}
    for name, command in commands.items():
        if isinstance(command, Group):
            found.update(leaves(command.commands, f"{prefix}{name} "))
        else:
            found[prefix + name] = command
    return found


def options(command: click.Command) -> set:
    return {option for param in command.params if isinstance(param, click.Option) for option in param.opts}


def esp(*arguments: str, cwd: Path = REPO) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(REPO / "tools")}
    command = [sys.executable, "-m", "esp_tvm", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


def refused(*arguments: str, cwd: Path = REPO) -> str:
    """The one line of a command that must end with 2."""
    done = esp(*arguments, cwd=cwd)
    assert done.returncode == 2 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize("name", DOCUMENTED)
def test_scripts_keep_their_options(name):
    command, names = DOCUMENTED[name]
    assert options(script(command)) >= set(names.split())
    done = subprocess.run([sys.executable, REPO / "tools/tvm" / f"{name}.py", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and all(f"{option} " in done.stdout for option in names.split())
    printed = set(re.findall(r"(?m)^ +(--[\w-]+)", done.stdout))
    assert printed >= options(script(command)) - {"--help"}, "it runs another command"


def test_one_spelling_per_option():
    for name, command in leaves(group.commands).items():
        for param in command.params:
            if isinstance(param, click.Option):
                (option,) = param.opts
                assert re.fullmatch(r"--[a-z0-9_]+", option), (name, option)
    # The same thing is called the same everywhere.
    everything = set().union(*(options(command) for command in leaves(group.commands).values()))
    theirs = {theirs for spellings in SCRIPTS.values() for theirs in spellings.values()}
    assert not everything & (theirs - {"--input"})


def test_every_command_answers_help():
    for name in leaves(group.commands):
        done = esp(*name.split(), "--help")
        assert done.returncode == 0 and done.stdout.startswith(f"Usage: esp-tvm {name} "), name
    for name in ("preprocess", "quantize", "export", "run", "emulate", "debug", "compare", "report", "convert"):
        assert name in esp("--help").stdout
    assert esp("--version").stdout == f"esp-tvm, version {esp_tvm.__version__}\n"


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["exprt"], "'exprt' is no command of esp-tvm; did you mean export?"),
        (["export", "--target", "esp32s33"], "did you mean esp32s3?"),
        (["export", "--targt", "esp32s3"], "did you mean --target?"),
        (["export", "--target_chip", "esp32s3"], "has no option --target_chip; here it is --target"),
        (["quantize", "--per-channel", "true"], "did you mean --per_channel?"),
        (["export", "--debug", "checksum"], "did you mean checksums?"),
        (["quantize", "--fit", "maybe"], "--fit: 'maybe' is not a valid boolean"),
        (["quantize", "--labels", "l.npy", "--model", "m", "--output", "o"], "--labels needs --evaluate"),
        (["quantize", "--int16_gain", "7", "--model", "m", "--output", "o"], "--int16_gain needs --int16 auto"),
        (["quantize", "--percentile", "9", "--model", "m", "--output", "o"], "--percentile needs --method percentile"),
        (["run"], "--project is missing: the folder new_project"),
        (["convert"], "MODEL is missing"),
        (["frontend", "array"], "did you mean arrays?"),
    ],
)
def test_a_typing_error_is_one_line_with_a_hint(arguments, words):
    assert words in refused(*arguments)


def test_chips_are_understood_as_people_write_them():
    chip = next(param.type for param in command_of("export").params if param.name == "target")
    for text in ("ESP32-S3", "esp32_s3", "Esp32S3", "esp32s3"):
        assert chip.convert(text, None, None) == "esp32s3"


def test_did_you_mean():
    assert did_you_mean("trget", ["MODEL", "TARGET"]) == "; did you mean TARGET?"
    assert did_you_mean("zzz", ["MODEL", "TARGET"]) == ""


def test_what_is_read_is_never_written(tmp_path):
    model = tmp_path / "model.onnx"
    shutil.copy(REPO / "examples/digits/model.onnx", model)
    (tmp_path / "link.onnx").symlink_to(model)
    before = model.read_bytes()
    for output in ("model.onnx", "./model.onnx", "link.onnx", str(model)):
        line = refused("preprocess", "--model", "model.onnx", "--output", output, cwd=tmp_path)
        assert "would be overwritten, --model names the same file" in line
    assert model.read_bytes() == before
    # Every command says which of its options are which: none is left out of that rule.
    for name, command in leaves(group.commands).items():
        for param in command.params:
            if param.name in ("model", "input", "calib", "samples", "float_model", "spec", "labels"):
                assert isinstance(param.type, Reads), (name, param.name)
            if param.name == "output":
                assert isinstance(param.type, Writes), (name, param.name)


def test_a_pipe_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.onnx")
    assert "is neither a file nor a folder" in refused(
        "preprocess", "--model", "pipe.onnx", "--output", "o.onnx", cwd=tmp_path
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell):
    text = esp("completion", shell).stdout
    assert "_ESP_TVM_COMPLETE" in text
    environment = {**os.environ, "PYTHONPATH": str(REPO / "tools"), "_ESP_TVM_COMPLETE": "bash_complete"}
    environment.update(COMP_WORDS="esp-tvm export --target esp32c", COMP_CWORD="3")
    program = "from esp_tvm.cli.commands import esp_tvm; esp_tvm(prog_name='esp-tvm')"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert [line.partition(",")[2] for line in done.stdout.split()] == ["esp32c3", "esp32c6"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """bin/ of a virtual environment into which the package alone was installed; its other packages are this one's."""
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"
    listed = project_files("tools", "template_project_for_model", "README.md", "Makefile", "pyproject.toml", "setup.py")
    for name in listed:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPO / name, source / name)
    before = set(source.rglob("*"))
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv/bin/python"
    done = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", source],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if "No matching distribution found for setuptools" in done.stdout:
        pytest.skip("needs a package index, for setuptools")
    assert done.returncode == 0, done.stdout
    assert set(source.rglob("*")) == before, "the installation left something in the sources"
    shutil.rmtree(source)
    (here,) = (folder / "venv/lib").glob("python*/site-packages")
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    (here / "packages.pth").write_text(f"{packages}\n")
    return folder / "venv/bin"


def command(installed: Path, *arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess:
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "TVM_HOME")}
    environment.update(variables)
    return subprocess.run([installed / "esp-tvm", *arguments], cwd=cwd, env=environment, capture_output=True, text=True)


def test_installed(installed, tmp_path):
    assert command(installed, "--version", cwd=tmp_path).stdout == f"esp-tvm, version {esp_tvm.__version__}\n"
    assert "quantize" in command(installed, "--help", cwd=tmp_path).stdout
    done = subprocess.run([installed / "pip", "show", "--files", "esp_tvm"], capture_output=True, text=True)
    pins = re.findall(r"(?m)^[a-z].*==", (REPO / "tools/tvm/requirements.txt").read_text())
    requires = re.search(r"(?m)^Requires: (.*)", done.stdout).group(1)
    assert len(requires.split(", ")) == len(pins)
    # Every file of the template and every file that is read beside the modules.
    files = set(re.findall(r"(?m)^  (esp_tvm/.*)", done.stdout))
    for name in project_files("tools/esp_tvm", "template_project_for_model"):
        if name.startswith("template_project_for_model/"):
            assert f"esp_tvm/{name}" in files, name
        if name.startswith("tools/esp_tvm/"):
            assert name[len("tools/") :] in files, name


def test_installed_without_tvm(installed, tmp_path):
    """What needs no TVM works; what does says in one line where to get it."""
    model, calib = REPO / "examples/digits/model.onnx", REPO / "examples/digits/calib.npy"
    done = command(installed, "preprocess", "--model", str(model), "--output", "opt.onnx", cwd=tmp_path)
    assert done.returncode == 0 and (tmp_path / "opt.onnx").is_file(), done.stderr
    arguments = ("export", "--target", "esp32s3", "--model", "opt.onnx", "--input", str(calib), "--out", "out")
    done = command(installed, *arguments, cwd=tmp_path)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "TVM is not there" in done.stderr and "TVM_HOME" in done.stderr and "download.sh" in done.stderr


@pytest.mark.skipif(not (REPO / "tvm/python/tvm").is_dir(), reason="TVM is not set up")
def test_installed_with_tvm(installed, tmp_path):
    """TVM_HOME is enough; the template comes out of the package."""
    model = model_of([helper.make_node("Relu", ["x"], ["y"])], {"x": [1, 8]}, {"y": [1, 8]})
    onnx.save(model, str(tmp_path / "m.onnx"))
    np.save(tmp_path / "x.npy", np.zeros((1, 8), np.float32))
    arguments = ("export", "--target", "ESP32-C3", "--model", "m.onnx", "--input", "x.npy", "--out", "out")
    done = command(installed, *arguments, cwd=tmp_path, TVM_HOME=str(REPO / "tvm"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/new_project/components/esp-dl/CMakeLists.txt").is_file()
