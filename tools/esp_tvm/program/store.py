"""A program as files of its project, and back: nobody compiles a model twice.

Below components/tvm_model/model:

    metadata.json   all of `Program` but the arrays; its form stands in `schema`
    constants.bin   the arrays of the generated C (compile/constants.py)
    reference.npz   the arrays that the rules of `esp_tvm.arithmetic` take (weights, tables) in the layout of the rule;
                    only tools on a computer read it, the chip never sees it
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Dict, NoReturn, Optional, Sequence

import numpy as np
from pydantic import ValidationError

from ..errors import UserError
from ..naming import one_line, shown
from ..record import first_fault
from . import schema
from .form import Program
from .reader import Damaged, Reader
from .schema import CONSTANTS, METADATA, REFERENCE
from .writer import Writer

MODEL = Path("components/tvm_model/model")
# No metadata.json of a model that fits a chip is larger; what is was not written by this tool.
_MOST_TEXT = 1 << 26


# --- writing ----------------------------------------------------------------------------------------------


def save(
    program: Program,
    folder: Path,
    target_chip: str,
    constants_bin: bytes,
    offsets: Sequence[int],
    versions: Optional[Dict[str, str]] = None,
) -> None:
    """Write metadata.json, constants.bin and reference.npz into `folder`: for the same program the same bytes.

    constants_bin: the content of constants.bin; offsets: where in it each of `program.constants` starts
    versions: of the tools that made the program, by name
    """
    writer = Writer(program)
    text, arrays = writer.record(target_chip, offsets, versions or {}), writer.archive()
    text["files"] = {"constants": _digest(constants_bin), "reference": _digest(arrays)}
    schema.ProgramRecord.model_validate(text)
    (folder / CONSTANTS).write_bytes(constants_bin)
    (folder / REFERENCE).write_bytes(arrays)
    (folder / METADATA).write_text(json.dumps(text, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# --- reading ----------------------------------------------------------------------------------------------


def load(project: Path) -> Program:
    """The program of an exported project; `UserError` where it is none, damaged or of another version.

    What is not in files is not there: `Call.variant` is None, and the text of TVM's functions stands in the C alone.
    """
    folder = project / MODEL
    try:
        size = (folder / METADATA).stat().st_size
    except OSError:
        raise UserError(f"{project}: is not a project that the export step wrote; run export first")
    if size > _MOST_TEXT:
        _refuse(folder / METADATA, "is too large")
    record = _record(folder / METADATA)
    constants_bin = _beside(folder / CONSTANTS, record.files.constants)
    arrays = _archive(folder / REFERENCE, record.files.reference)
    try:
        return Reader(record, arrays).program(constants_bin)
    except Damaged as error:
        _refuse(folder / METADATA, f"is damaged: {error}")


def target_chip(project: Path) -> str:
    """The chip that a project was exported for."""
    return load(project).target_chip


def versions(project: Path) -> Dict[str, str]:
    """The versions of the tools that made an exported project, by name."""
    return _record(project / MODEL / METADATA).versions


def _refuse(path: Path, why: str) -> NoReturn:
    raise UserError(f"{path}: {one_line(why, 200)}; export the model again")


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > schema.MOST_BYTES:
            _refuse(path, "is too large")
        return path.read_bytes()
    except OSError as error:
        _refuse(path, f"cannot be read ({error.strerror})")


def _not_a_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _record(path: Path) -> schema.ProgramRecord:
    """The file, every field of the right type."""
    try:
        content = json.loads(_content(path).decode("utf-8"), parse_constant=_not_a_number)
    except (ValueError, RecursionError) as error:
        _refuse(path, f"is damaged: {error}")
    if not isinstance(content, dict) or "version" not in content:
        _refuse(path, "is not the metadata of a project")
    if content["version"] != schema.VERSION:
        found = shown(str(content["version"]), 20)
        _refuse(path, f"is of version {found}, and this tool reads version {schema.VERSION}")
    try:
        return schema.ProgramRecord.model_validate(content)
    except ValidationError as error:
        _refuse(path, f"is damaged: {first_fault(error)}")
    except RecursionError:
        _refuse(path, "is damaged: it is nested too deeply")


def _beside(path: Path, digest: str) -> bytes:
    """A file beside metadata.json, which must be the one that its hash there is of."""
    content = _content(path)
    if _digest(content) != digest:
        _refuse(path, f"is not the file that {METADATA} was written with")
    return content


def _archive(path: Path, digest: str) -> Dict[str, np.ndarray]:
    """The arrays of reference.npz, which is not compressed: a small file cannot ask for much memory."""
    content = _beside(path, digest)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
        stored = all(one.compress_type == zipfile.ZIP_STORED for one in members)
        if not stored or sum(one.file_size for one in members) > len(content):
            raise ValueError("it is compressed")
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, KeyError, EOFError, MemoryError, zipfile.BadZipFile, OSError) as error:
        _refuse(path, f"is damaged: {error}")


__all__: Sequence[str] = ["CONSTANTS", "METADATA", "MODEL", "REFERENCE", "load", "save", "target_chip"]
