"""The Python that has a framework: named by the user, made by scripts/example_env.sh, or the one that runs this."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from ..children import run_child
from ..errors import UserError
from ..naming import one_line
from ..places import CHECKOUT

REPO = CHECKOUT or Path.cwd()
WORKER = Path(__file__).with_name("framework.py")


@dataclass(frozen=True)
class Kind:
    """A kind of model: its name in messages, the modules that convert it, the environment that has them."""

    text: str
    modules: Tuple[str, ...]
    environment: str


KINDS: Dict[str, Kind] = {
    "keras": Kind("Keras", ("tensorflow", "tf2onnx"), "tensorflow"),
    "keras3": Kind("Keras 3", ("tensorflow", "keras", "tf2onnx"), "keras3"),
    "saved_model": Kind("SavedModel", ("tensorflow", "tf2onnx"), "tensorflow"),
    "tflite": Kind("TensorFlow Lite", ("tensorflow", "tf2onnx"), "tensorflow"),
    "torchscript": Kind("TorchScript", ("torch", "onnx"), "pytorch"),
    "torch_export": Kind("torch.export", ("torch", "onnx", "onnxscript"), "pytorch"),
    "sklearn": Kind("scikit-learn", ("sklearn", "skl2onnx", "joblib"), "sklearn"),
    # Read without any framework.
    "espdl": Kind("ESP-DL", (), ""),
}
_SUFFIXES = {
    ".h5": "keras",
    ".hdf5": "keras",
    ".keras": "keras",
    ".tflite": "tflite",
    ".pt": "torchscript",
    ".pth": "torchscript",
    ".ts": "torchscript",
    ".pt2": "torch_export",
    ".pkl": "sklearn",
    ".pickle": "sklearn",
    ".joblib": "sklearn",
    ".espdl": "espdl",
}

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ANEW = "save the model in Keras again"
# An archive of Keras, which hardly compresses, may be so many bytes unpacked, or so many times as many as packed.
_UNPACKED, _TIMES = 1 << 26, 20


def is_converted(path: str | os.PathLike) -> bool:
    """Whether `path` is, by its name, a model of another kind than ONNX that can be converted."""
    path = Path(path)
    return path.suffix.lower() in _SUFFIXES or (path.is_dir() and (path / "saved_model.pb").is_file())


def without_suffix(name: str) -> str:
    """The name of a model's file without its suffix."""
    stem, suffix = os.path.splitext(name)
    return stem if suffix == ".onnx" or suffix.lower() in _SUFFIXES else name


def kind_of(path: str | os.PathLike) -> str:
    """The key in `KINDS` of the model in `path`, by its suffix; a folder must be a SavedModel."""
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such file; give the model to convert")
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            return "saved_model"
        raise UserError(f"{path}: is a folder without saved_model.pb; give a SavedModel's folder or a model file")
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        raise UserError(f"{path}: is ONNX already; go on with: make preprocess MODEL={path}")
    if suffix not in _SUFFIXES:
        raise UserError(
            f"{path}: no known kind of model ('{one_line(suffix, 20)}'); known are {', '.join(_SUFFIXES)} and a "
            "SavedModel's folder"
        )
    kind = _SUFFIXES[suffix]
    return "keras3" if kind == "keras" and _keras_of(path) >= 3 else kind


def _keras_of(path: Path) -> int:
    """The major version of the Keras that wrote a .keras or .h5; 0 where the file does not say it."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive, archive.open("metadata.json") as file:
                return int(str(json.loads(file.read(1 << 16))["keras_version"]).split(".")[0])
        with open(path, "rb") as file:
            start = file.read(1 << 16)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, RuntimeError):
        return 0
    # HDF5 without its library: the version is the first text in the heap of the texts, "GCOL".
    found = re.search(rb"GCOL.{28}(\d{1,2})\.\d", start, re.S) if b"keras_version" in start else None
    return int(found.group(1)) if found else 0


def check_keras(path: Path) -> None:
    """Refuse what is no file of Keras, and an archive that is far larger unpacked than it is; Keras unpacks all."""
    if not zipfile.is_zipfile(path):
        with open(path, "rb") as file:
            if file.read(len(_HDF5)) != _HDF5:
                raise UserError(f"{path}: is no file of Keras (neither HDF5 nor a zip archive), or is cut off; {_ANEW}")
        return
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise UserError(f"{path}: is a damaged zip archive ({one_line(str(error), 100)}); {_ANEW}")
    if not {"metadata.json", "config.json"} <= {one.filename for one in members}:
        raise UserError(f"{path}: is a zip archive without Keras's metadata.json and config.json; {_ANEW}")
    size = sum(one.file_size for one in members)
    if size > max(_UNPACKED, _TIMES * path.stat().st_size):
        raise UserError(f"{path}: would be {size} bytes unpacked, Keras does not compress so much; {_ANEW}")


def python_for(kind: str, given: Optional[str] = None) -> str:
    """The Python to convert a model of `kind` with; `UserError` with the way to install what is missing."""
    needs = KINDS[kind]
    made = REPO / "build" / "env" / needs.environment
    ours = [str(made / "bin" / "python")] if (made / "installed").exists() else []
    candidates = [given] if given else [*ours, sys.executable]
    for python in candidates:
        missing = _missing(python, needs.modules)
        if not missing:
            return python
    where = given or "this Python"
    raise UserError(
        f"{where} has no {' and no '.join(missing)}, which a {needs.text} model needs; install them with: "
        f"scripts/example_env.sh {needs.environment}, or name a Python that has them: --python /path/to/python"
    )


def _clean_environment() -> Dict[str, str]:
    """The environment without this project's own paths, which are for another Python."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


def _missing(python: str, modules: Tuple[str, ...]) -> List[str]:
    """Which of `modules` this Python does not have; none is imported."""
    code = "import importlib.util as u, sys; print(*[m for m in sys.argv[1:] if not u.find_spec(m)])"
    try:
        done = subprocess.run(
            [python, "-c", code, *modules], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_clean_environment()
        )
    except OSError as error:
        raise UserError(f"--python {python}: cannot be started ({error.strerror})")
    if done.returncode:
        raise UserError(f"--python {python}: is not a Python that works")
    return done.stdout.decode("utf-8", "replace").split()


def run_framework(kind: str, path: str | os.PathLike, folder: Path, settings: Dict, python: str) -> None:
    """Let framework.py write raw.onnx and samples.npz of `path` into `folder`; `UserError` if it cannot."""
    path = Path(path)
    with tempfile.TemporaryFile() as log:
        # It ends with this process, also where that alone is interrupted.
        process = run_child(
            [python, "-W", "ignore", str(WORKER), kind, str(path.resolve()), str(folder)],
            input=json.dumps(settings).encode(),
            stdout=log,
            stderr=subprocess.STDOUT,
            env=_clean_environment(),
        )
        log.seek(0)
        said = log.read().decode("utf-8", "replace")
    complaint = folder / "error.txt"
    if complaint.exists():
        raise UserError(one_line(complaint.read_text("utf-8").strip().replace(str(path.resolve()), str(path))))
    if process.returncode or not (folder / "samples.npz").exists() or not (folder / "raw.onnx").exists():
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        last = one_line(lines[-1], 240) if lines else f"exit code {process.returncode}"
        kept = Path(tempfile.mkdtemp(prefix="onnx_from_")) / "log.txt"
        kept.write_text(said, "utf-8")
        raise UserError(f"{path}: {' and '.join(KINDS[kind].modules)} failed: {last} (all they said: {kept})")
