"""A project with its front end: a program with int8 input, the generated component, an application if one is named."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Set, Tuple

import numpy as np

from ..boards import Board, choose_board
from ..errors import UserError
from ..files import whole_file, write_text
from ..model import load_model
from ..naming import shown
from ..program.form import Port
from ..run.objects import program_folder
from .c_text import COMPONENT, cmake
from .interface import fed_input, fed_port, port_options
from .pins import camera_loop, check_pins

# Beside new_project: the model and float input it was exported from, for run_project.py.
BOARD_MODEL = "model_board.onnx"
BOARD_SAMPLE = "input_board.npy"


@dataclass(frozen=True)
class Fed:
    """The quantized model `path`, whose input `name` a front end fills; layout: NCHW or NHWC of it, "" if no image"""

    path: str
    name: str
    shape: Tuple[int, ...]
    layout: str


def fed_model(path: str | os.PathLike, name: Optional[str], shape: tuple, layout: str, label: str) -> Fed:
    """The quantized model `path` for a front end; its input must have `shape` (`label` states it).

    name: of the input when the model has several; layout: NCHW or NHWC of `shape`, or "" if it has none
    """
    found, own = fed_input(load_model(str(path)), name)
    if own != tuple(shape):
        raise UserError(
            f"{path}: its input '{shown(found)}' has shape {list(own)}, {label} describes {list(shape)}; "
            "change width, height, layout or channels there"
            if layout
            else f"{path}: its input '{shown(found)}' has shape {list(own)}, {label} makes {list(shape)}"
        )
    return Fed(str(path), found, own, layout)


def check_app(app: Optional[str], board: Board) -> Dict[str, str]:
    """What an application needs of the board: {path in the project: text} of the headers that it does not bring.

    app: its folder, if there is one; it is refused if it is none, or if the board cannot have what it takes
    """
    if app is None:
        return {}
    if not (Path(app) / "main" / "app_main.c").is_file():
        raise UserError(f"{app}: has no main/app_main.c; name a folder with the files of an application")
    headers = camera_loop(Path(app))
    for name, text, line in check_pins(Path(app), board):
        headers[name] = text
        print(line)
    return headers


def export_with_frontend(
    board: Mapping[str, Optional[str]],
    fed: Fed,
    sample: np.ndarray,
    component: Callable[[Port], Dict[str, str]],
    template_path: str,
    out_path: str,
    app: Optional[str] = None,
    reads_outputs: Optional[Callable[[Sequence[Port]], Dict[str, str]]] = None,
    exponents: Mapping[str, int] = MappingProxyType({}),
) -> Path:
    """Write `out_path/new_project` with a front end as component; returns its path.

    board: target, board, flash, psram, internal, as for `choose_board`
    sample: float32 input of `fed.shape`. component: makes its files (path -> text) for the port that it fills
    app: a folder whose files are copied over the project (the user's application); files that the user changed in the
    project stay.
    reads_outputs: makes more files, for what reads the outputs; the program then has these as int8, where the model has
    more bits with an exponent of at most that in `exponents`
    Also writes model_board.onnx and input_board.npy beside it.
    """
    from ..project import users_files
    from ..project.export import export_onnx_model

    headers = check_app(app, choose_board(**board))
    out = Path(out_path)
    with whole_file(out / BOARD_MODEL) as temporary:
        shutil.copyfile(fed.path, str(temporary))
    with whole_file(out / BOARD_SAMPLE) as temporary:
        np.save(temporary, sample.reshape(fed.shape))
    memory: Dict[str, Any] = {name: board.get(name) for name in ("board", "flash", "psram", "internal")}
    ports = port_options(fed.name, fed.layout, reads_outputs is not None, exponents)
    model, img = str(out / BOARD_MODEL), str(out / BOARD_SAMPLE)
    project = export_onnx_model(board.get("target"), model, img, str(template_path), str(out), ports=ports, **memory)
    port, outputs = fed_port(project, fed.name)
    files = component(port)
    if reads_outputs is not None:
        files = {**files, **reads_outputs(outputs)}
        files["CMakeLists.txt"] = cmake([name for name in files if name.startswith("src/")])
    users = set(users_files.changed(project))
    written = [f"{COMPONENT}/{name}" for name in files]
    for name, text in files.items():
        write_text(project / COMPONENT / name, text)
    for name, text in headers.items():
        if name not in users:
            write_text(project / name, text)
            written.append(name)
    if app is not None:
        written += _lay_over(Path(app), project, users)
    users_files.again(project, written)
    print(f"front end in {project / COMPONENT}" + ("" if app is None else f", application from {app}"))
    return project


def _lay_over(app: Path, project: Path, users: Set[str]) -> List[str]:
    """Copy the application's files over the project, but none of `users`; returns the copied files' names."""
    written = []
    for file in sorted(app.rglob("*")):
        name = file.relative_to(app).as_posix()
        if file.is_dir() or name in users or name.startswith("build") or name.endswith(".pyc"):
            continue
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, project / name)
        written.append(name)
    return written


def temporary_folder() -> tempfile.TemporaryDirectory:
    """For what is compiled and run on this machine."""
    return program_folder("esp_tvm_frontend_", Path.cwd())
