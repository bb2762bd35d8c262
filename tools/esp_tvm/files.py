"""Files and folders appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Iterator

from .errors import UserError


def _new_mode(directory: bool) -> int:
    mask = os.umask(0)
    os.umask(mask)
    return (0o777 if directory else 0o666) & ~mask


def make_parent(path: Path) -> None:
    """Create the folder `path` lies in, or say in one line why that can't be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path.parent}: cannot create this folder ({error.strerror}); choose another output path")


@contextlib.contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it replaces `path` when the block ends without an exception."""
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path}: is a folder, a file is to be written there; choose another output path")
    make_parent(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise UserError(f"{path.parent}: cannot write here ({error.strerror}); choose another output path")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(_new_mode(directory=False))
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write `text` (UTF-8) to `path`, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def whole_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a new temporary folder beside `path`; it takes the place of `path` when the block ends well.

    An earlier folder stays whole until then. Whether it may be replaced is the caller's decision.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise UserError(f"{path}: is a file, a folder is to be written there; choose another output path")
    make_parent(path)
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name[:40]}.", dir=path.parent))
    except OSError as error:
        raise UserError(f"{path.parent}: cannot write here ({error.strerror}); choose another output path")
    temporary.chmod(_new_mode(directory=True))
    earlier = temporary.with_name(temporary.name + ".earlier")
    try:
        yield temporary
        if path.exists():
            os.replace(path, earlier)
        try:
            os.replace(temporary, path)
        except OSError:
            if earlier.exists():
                os.replace(earlier, path)
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(earlier, ignore_errors=True)
