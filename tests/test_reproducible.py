"""The same model and data give the same new_project, byte for byte, wherever and however the tools are run."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from small_models import small_cnn

# Twice the whole way; tests/test_project.py compares what is written alone.
pytestmark = pytest.mark.slow

REPO = Path(__file__).resolve().parent.parent

# Two users: how deep their folders lie, and what else of their world should not matter.
USERS = {
    "a": {"PYTHONHASHSEED": "1", "TZ": "UTC", "LC_ALL": "C", "OMP_NUM_THREADS": "1"},
    "another user/with a folder/of a far longer name": {
        "PYTHONHASHSEED": "77",
        "TZ": "Asia/Tokyo",
        "LC_ALL": "C.UTF-8",
        "OMP_NUM_THREADS": "2",
    },
}

STEPS = (
    "preprocess_onnx.py --input model.onnx --output model_opt.onnx".split(),
    "esp_quantize_onnx.py --input_model model_opt.onnx --output_model model_quant.onnx "
    "--calibrate_dataset calib.npy".split(),
    "export_onnx_model.py --target_chip esp32s3 --model_path model_quant.onnx --img_path input.npy "
    "--template_path template_project_for_model --out_path .".split(),
)


def tree(root: Path) -> dict:
    """Every file's bytes and whether it can be run, by its path under `root`."""
    return {
        path.relative_to(root).as_posix(): (path.read_bytes(), os.access(path, os.X_OK))
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


# Two processors: without AVX, and with AVX2 and FMA. What NumPy, ONNX Runtime and TVM choose by them should not matter.
PROCESSORS = ("Nehalem", "Haswell")
# Runs a script's command without the thread that tells of progress: the emulator does not fork a process with threads.
SUB_COMMANDS = {
    "preprocess_onnx.py": "preprocess",
    "esp_quantize_onnx.py": "quantize",
    "export_onnx_model.py": "export",
}
WITHOUT_THREADS = """
import sys
sys.path.insert(0, sys.argv[1])
from esp_tvm.cli.commands import script
script(sys.argv[2])(sys.argv[3:], standalone_mode=False)
"""


def put_files(home: Path, time: float) -> None:
    """The model, its data, and a copy of the tools in a user's folder, all as old as `time`."""
    home.mkdir(parents=True)
    model = small_cnn()
    onnx.save(model, str(home / "model.onnx"))
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    samples = np.random.RandomState(7).standard_normal([8, *shape[1:]]).astype(np.float32)
    np.save(home / "calib.npy", samples)
    np.save(home / "input.npy", samples[:1])
    for file in home.iterdir():
        os.utime(file, (time, time))
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(REPO / "tools", home / "tools", ignore=ignored)
    shutil.copytree(REPO / "template_project_for_model", home / "template_project_for_model", ignore=ignored)
    # What makes it a checkout.
    shutil.copy(REPO / "Makefile", home)


def make_project(home: Path, folder: Path, variables: dict, emulator: tuple = ()) -> None:
    """new_project of the files in `home` by the documented scripts, started in `folder`."""
    place = "" if folder == home else f"{home}/"
    tvm = str(Path(importlib.util.find_spec("tvm").origin).parent.parent)
    environment = {**os.environ, **variables, "PYTHONPATH": tvm, "TOPHUB_LOCATION": "NONE"}
    for script, *words in STEPS:
        files = [word if word.startswith("--") or word == "esp32s3" else place + word for word in words]
        start = [sys.executable, str(home / "tools" / "tvm" / script)]
        if emulator:
            start = [*emulator, sys.executable, "-c", WITHOUT_THREADS, str(home / "tools"), SUB_COMMANDS[script]]
        done = subprocess.run(
            [*start, *files],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def homes(tmp_path_factory) -> list[Path]:
    """The folders of two users, each with new_project made from the same files."""
    root = tmp_path_factory.mktemp("homes")
    folders = []
    for number, (name, variables) in enumerate(USERS.items()):
        home = root / name
        put_files(home, 1e9 * number)
        # One user stands beside the files and has a home, the other names them from far away and has none.
        own = {**variables, "HOME": str(home) if number == 0 else "/proc/nowhere"}
        make_project(home, home if number == 0 else root, own)
        folders.append(home)
    return folders


def test_project_is_the_same_in_another_place(homes):
    one, two = (tree(home / "new_project") for home in homes)
    assert len(one) > 30
    assert sorted(one) == sorted(two)
    assert [name for name in one if one[name] != two[name]] == []


def test_quantized_model_is_the_same_in_another_place(homes):
    one, two = ((home / "model_quant.onnx").read_bytes() for home in homes)
    assert one == two


def test_no_file_knows_where_it_was_made(homes):
    for home in homes:
        for name, (content, _) in tree(home / "new_project").items():
            assert str(home).encode() not in content, name
            assert str(REPO).encode() not in content, name


@pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="no qemu-x86_64 (Debian: apt-get install qemu-user)")
@pytest.mark.parametrize("processor", PROCESSORS)
def test_project_is_the_same_on_another_processor(homes, tmp_path, processor):
    home = tmp_path / "home"
    put_files(home, 1e9)
    make_project(home, home, {"OMP_NUM_THREADS": "1"}, ("qemu-x86_64", "-cpu", processor))
    one, other = (tree(folder / "new_project") for folder in (homes[0], home))
    assert one and one == other
    assert (homes[0] / "model_quant.onnx").read_bytes() == (home / "model_quant.onnx").read_bytes()
