"""What targets of make say of wrong arguments, before they begin: one line, and nothing is written."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from conftest import REPO
from small_models import small_cnn

pytest.importorskip("tvm")

sys.path.insert(0, str(REPO / "bench"))

import attribute_sweep  # noqa: E402
import bench_esp32  # noqa: E402
import bench_esp32s3  # noqa: E402
import cores  # noqa: E402
import esp32s3_layers  # noqa: E402
import operators  # noqa: E402
import strips  # noqa: E402
import zoo  # noqa: E402

import bench  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.model import save_model  # noqa: E402
from esp_tvm.steps.variables import known  # noqa: E402


def test_a_name_of_the_bench_may_have_several_words():
    names = ["digits", "1x1", "1x1, 8 to 16", "esp32s3"]
    assert bench.named("digits 1x1, 8 to 16 esp32s3 1x1".split(), names) == ["digits", "1x1, 8 to 16", "esp32s3", "1x1"]
    assert bench.named([], names) == []
    for words, left in ((["digit"], "digit"), (["digits", "1x1,", "8"], "1x1, 8"), (["digitsx"], "digitsx")):
        with pytest.raises(UserError, match=f"^'{left}' is not in the bench; choose from: digits; 1x1; 1x1, 8 to 16;"):
            bench.named(words, names)


FIGURES = {"macs": 10, "instructions": 20, "steps": []}


def test_the_bench_keeps_the_figures_of_what_it_does_not_count(monkeypatch, tmp_path):
    """Of what is left out, and what comes later, in case it is interrupted; not of what it no longer has."""
    before = {"models": {"gone": {}, "kws": {"old": 1}, "resnet8": {"old": 2}, "digits": {"old": 3}}, "layers": {}}
    before.update(pipeline_seconds={"kws": {"export": 1.0}, "gone": {}})
    written = []
    monkeypatch.setattr(bench, "read_results", lambda: before)
    monkeypatch.setattr(bench, "require", lambda machine: None)
    monkeypatch.setattr(bench, "Kernels", lambda: None)
    monkeypatch.setattr(bench.vector, "missing", lambda: "no compiler")
    monkeypatch.setattr(bench, "TRAINED", {"kws": (tmp_path / "none", None, None)})
    monkeypatch.setattr(bench.networks, "NETWORKS", {"resnet8": None, "digits": None})
    monkeypatch.setattr(bench.networks, "LAYERS", {"1x1": None})
    monkeypatch.setattr(bench, "generated", lambda name: name)
    monkeypatch.setattr(bench, "measure", lambda *_: dict(FIGURES))
    monkeypatch.setattr(bench.result_files, "write", lambda found, _: written.append(list(found["models"].items())))
    found = bench.run([])
    old = {name: {"old": value} for name, value in (("kws", 1), ("resnet8", 2), ("digits", 3))}
    assert dict(written[0]) == {"gone": {}, **old, "resnet8": FIGURES}
    assert list(found["models"].items()) == [("kws", old["kws"]), ("resnet8", FIGURES), ("digits", FIGURES)]
    assert found["layers"] == {"1x1": FIGURES} and found["pipeline_seconds"] == {"kws": {"export": 1.0}}


@pytest.mark.parametrize("module", [operators, strips], ids=lambda module: module.__name__)
def test_words_that_nothing_has(module, monkeypatch):
    monkeypatch.setattr(module, "require", lambda machine: None)
    monkeypatch.setattr(sys, "argv", ["bench", "nosuchword"])
    with pytest.raises(UserError, match="has one of these words.*: nosuchword"):
        module.main()


def test_a_pattern_that_no_case_of_the_sweep_has(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["attribute_sweep.py", "nosuchcase"])
    with pytest.raises(SystemExit) as ended:
        attribute_sweep.main()
    assert ended.value.code == 2 and "no case has one of these in its name: nosuchcase" in capsys.readouterr().err


def test_float_models_are_no_quantized_ones(monkeypatch, tmp_path):
    path = tmp_path / "float.onnx"
    save_model(small_cnn(), path)
    monkeypatch.setattr(sys, "argv", ["bench", str(path), "sample.npy"])
    monkeypatch.setattr(cores, "require", lambda machine: None)
    for begin in (cores.main, *(lambda m=m: m.print_model(path, "sample.npy") for m in (bench_esp32, bench_esp32s3))):
        with pytest.raises(UserError, match="float.onnx: is a float model; give the model that make quantize wrote"):
            begin()


def test_what_is_no_zoo(tmp_path):
    (tmp_path / "README.md").write_text("text")
    (tmp_path / "net.onnx").write_text("model")
    out = ["--out", str(tmp_path / "out")]
    for wrong, said in (
        (["README.md"], "README.md: is no .onnx and no .espdl file"),
        (["net.onnx", "--pictures", str(tmp_path / "none")], "none: no such picture or folder"),
    ):
        with pytest.raises(UserError, match=said):
            zoo.main([str(tmp_path / wrong[0]), *wrong[1:], *out])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [["x"], ["0"], ["3", "x"], ["3", "-1"], ["3", str(2**32)]], ids=" ".join)
def test_numbers_of_layers_and_seeds(words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["esp32s3_layers.py", *words])
    assert esp32s3_layers.main() == 2
    assert capsys.readouterr().err.startswith("error: LAYERS and SEED are whole numbers")


@pytest.mark.parametrize(
    "given, expected",
    [
        ("my cats/a b.png", ["my cats/a b.png"]),
        ("my cats/*.png", ["my cats/a b.png", "my cats/c.png"]),
        ("my cats", ["my cats"]),
        ("dogs my* d.png", ["dogs", "my cats", "d.png"]),
        ("dogs/[1].png", ["dogs/[1].png"]),
        ("not there/*.png", ["not", "there/*.png"]),
    ],
)
def test_pictures_are_one_name_with_spaces_or_several_words(given, expected, tmp_path):
    for name in ("my cats/a b.png", "my cats/c.png", "dogs/[1].png", "dogs/1.png", "d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    command = ["bash", "-euc", f'. "{REPO}/scripts/file-variables.sh"; split_files; printf "%s\\n" "${{files[@]}}"']
    done = subprocess.run(command, env={**os.environ, "FILES": given}, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.splitlines() == expected, done.stderr


@pytest.mark.parametrize("missing", ["SPEC", "SAMPLE"])
def test_a_front_end_looks_for_its_files_before_it_quantizes(missing, tmp_path):
    names = ("MODEL", "CALIB", "SPEC", "SAMPLE")
    given = {name: str(tmp_path / name) for name in names}
    for name in {*names} - {missing}:
        (tmp_path / name).write_text("")
    environment = {**os.environ, **given, "OUT": str(tmp_path / "out")}
    command = [str(REPO / "scripts/frontend.sh"), "frontend"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith(f"error: {missing}={given[missing]} does not exist; name ")
    assert done.stderr.count("\n") == 1 and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "name, said", [("SAMPLE", " is a folder; name a picture"), ("APP", " has no main/app_main.c;")]
)
def test_a_front_end_refuses_wrong_folders_before_it_quantizes(name, said, tmp_path):
    given = {one: str(tmp_path / one) for one in ("MODEL", "CALIB", "SPEC", "SAMPLE")}
    for one in given:
        (tmp_path / one).write_text("")
    given.update({name: str(tmp_path), "OUT": str(tmp_path / "out")})
    command = [str(REPO / "scripts/frontend.sh"), "frontend"]
    done = subprocess.run(command, env={**os.environ, **given}, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith(f"error: {name}={tmp_path}{said}"), done.stderr
    assert done.stderr.count("\n") == 1 and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("width: 96", "widht: 96", "widht: is not known here; did you mean width?"),
        ("boxes: box0", "boxes: box2", "detection.heads.0.boxes: the model has no output 'box2' (it has "),
    ],
)
def test_a_front_end_refuses_its_yaml_before_it_quantizes(old, new, said, tmp_path):
    example = REPO / "examples/object_detection"
    text = (example / "image.yaml").read_text()
    assert old in text
    (tmp_path / "image.yaml").write_text(text.replace(old, new))
    (tmp_path / "calib.npy").write_text("")
    given = {"MODEL": str(example / "model.onnx"), "OUT": str(tmp_path / "out"), "SAMPLE": str(tmp_path / "calib.npy")}
    given.update(CALIB=str(tmp_path / "calib.npy"), SPEC=str(tmp_path / "image.yaml"))
    command = [str(REPO / "scripts/frontend.sh"), "frontend"]
    done = subprocess.run(command, env={**os.environ, **given}, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith(f"error: {tmp_path}/image.yaml: {said}"), done.stderr
    assert done.stderr.count("\n") == 1 and not (tmp_path / "out").exists()


@pytest.mark.parametrize("script", ["frontend.sh frontend", "frontend.sh example-image", "example.sh qat"])
@pytest.mark.parametrize(
    "variable, said",
    [
        ("TARGET=esp99", "TARGET=esp99 is not a chip we know"),
        ("BOARD=none", "BOARD=none: unknown board"),
        ("FLASH=x", "FLASH=x: is no size"),
    ],
)
def test_what_is_no_board_is_said_before_the_work_for_it(script, variable, said):
    name, _, value = variable.partition("=")
    file, goal = script.split()
    command = [str(REPO / "scripts" / file), goal]
    environment = {**os.environ, "SPEC": str(REPO / "README.md"), name: value}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"error: {said}")


def test_every_variable_that_a_recipe_reads_is_known():
    """One that only the recipe knows would be refused as misspelt where it is like another."""
    names = known(REPO)
    for path in (REPO / "Makefile", *REPO.glob("scripts/*.mk")):
        recipes = "".join(line for line in path.read_text().splitlines(True) if line.startswith("\t"))
        for name in re.findall(r"\$\$\{([A-Z_]+)|\$\(([A-Z_]+)\)", recipes):
            assert "".join(name) in [*names, "MAKEFILE_LIST"], (path.name, name)
