"""A project with its front end: the model with int8 input, the generated component, an application if one is named."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Dict, Optional

import numpy as np
import onnx

from ..errors import UserError
from ..files import whole_file, write_text
from ..model import load_model
from ..naming import shown
from .c_text import COMPONENT
from .interface import Int8Input, with_int8_input

# Beside new_project: the model and input it was exported from, for run_project.py.
BOARD_MODEL = "model_board.onnx"
BOARD_SAMPLE = "input_board.npy"


def board_model(path: str | os.PathLike, name: Optional[str], shape: tuple, layout: str, label: str) -> Int8Input:
    """The quantized model `path` with int8 input, channels last; its input must have `shape` (`label` states it).

    name: of the input when the model has several; layout: NCHW or NHWC of `shape`, or "" if it has none
    """
    model = load_model(str(path))
    port = with_int8_input(model, name, channels_last=False)
    if tuple(port.shape) != tuple(shape):
        raise UserError(
            f"{path}: its input '{shown(port.name)}' has shape {list(port.shape)}, {label} describes {list(shape)}; "
            "change width, height, layout or channels there"
            if layout
            else f"{path}: its input '{shown(port.name)}' has shape {list(port.shape)}, {label} makes {list(shape)}"
        )
    return with_int8_input(model, name) if layout == "NCHW" else port


def export_with_frontend(
    target_chip: str,
    port: Int8Input,
    sample: np.ndarray,
    files: Dict[str, str],
    template_path: str,
    out_path: str,
    app: Optional[str] = None,
) -> Path:
    """Write `out_path/new_project` with the front end `files` (path -> text) as component; returns its path.

    sample: int8 input, `port.shape`. app: a folder whose files are copied over the project (the user's application).
    Also writes model_board.onnx and input_board.npy beside it.
    """
    from ..project import users_files
    from ..project.export import export_onnx_model

    folder = None if app is None else Path(app)
    if folder is not None and not (folder / "main" / "app_main.c").is_file():
        raise UserError(f"{folder}: has no main/app_main.c; name a folder with the files of an application")
    out = Path(out_path)
    with whole_file(out / BOARD_MODEL) as temporary:
        onnx.save(port.model, str(temporary))
    with whole_file(out / BOARD_SAMPLE) as temporary:
        np.save(temporary, sample.astype(np.int8).reshape(port.shape))
    project = export_onnx_model(
        target_chip, str(out / BOARD_MODEL), str(out / BOARD_SAMPLE), str(template_path), str(out)
    )
    for name, text in files.items():
        write_text(project / COMPONENT / name, text)
    if folder is not None:
        shutil.copytree(folder, project, dirs_exist_ok=True, ignore=shutil.ignore_patterns("build*", "*.pyc"))
    users_files.again(project)
    print(f"front end in {project / COMPONENT}" + ("" if folder is None else f", application from {folder}"))
    return project


def temporary_folder() -> tempfile.TemporaryDirectory:
    """For what is compiled on this machine."""
    return tempfile.TemporaryDirectory(prefix="esp_tvm_frontend_")
