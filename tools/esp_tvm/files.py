"""Files and folders are written completely or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Iterator, Optional

from .errors import UserError

_LOG = logging.getLogger(__name__)
# Suffix of a temporary folder, after the name of the folder that it will replace.
_EARLIER = ".earlier"


def _new_mode(directory: bool) -> int:
    mask = os.umask(0)
    os.umask(mask)
    return (0o777 if directory else 0o666) & ~mask


def make_parent(path: Path) -> None:
    """Create the folder `path` lies in, or say in one line why that is impossible."""
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
        handle, name = tempfile.mkstemp(prefix=_prefix(path), suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise UserError(f"{path.parent}: cannot write here ({error.strerror}); choose another output path")
    os.close(handle)
    temporary = Path(name)
    try:
        with _named(path):
            yield temporary
            temporary.chmod(_new_mode(directory=False))
            os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name `path` in errors of the operating system that name no file: those of a write to an open file."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write `text` (UTF-8) to `path`, completely or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def whole_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a new temporary folder beside `path`; it replaces `path` if the block ends without an exception.

    An earlier folder stays intact until then; if `path` is a link, the folder it points to is replaced. The caller
    decides whether it may be replaced.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise UserError(f"{path}: is a file, a folder is to be written there; choose another output path")
    path = path.resolve() if path.is_symlink() else path
    make_parent(path)
    recover_folder(path)
    try:
        temporary = Path(tempfile.mkdtemp(prefix=_prefix(path), dir=path.parent))
    except OSError as error:
        raise UserError(f"{path.parent}: cannot write here ({error.strerror}); choose another output path")
    temporary.chmod(_new_mode(directory=True))
    earlier = temporary.with_name(temporary.name + _EARLIER)
    # Locked while this process lives: a folder that nobody locks was left by a process that was killed.
    held = _hold(temporary)
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
        if held is not None:
            os.close(held)


def recover_folder(path: str | os.PathLike) -> None:
    """Clean up after a killed `whole_folder(path)`: the earlier folder is restored, temporary folders are removed."""
    path = Path(path)
    path = path.resolve() if path.is_symlink() else path
    pattern = re.compile(re.escape(_prefix(path)) + "[a-z0-9_]{8}(" + re.escape(_EARLIER) + ")?")
    found = [p for p in path.parent.glob(".*") if pattern.fullmatch(p.name) and p.is_dir() and not p.is_symlink()]
    for folder in sorted(found, reverse=True):
        temporary = folder.with_name(folder.name.replace(_EARLIER, ""))
        held = _hold(temporary) if temporary.exists() else None
        if temporary.exists() and held is None:
            continue  # of a process that is still running
        if folder.name.endswith(_EARLIER) and not path.exists():
            os.replace(folder, path)
            _LOG.warning("note: %s is back as it was before an export that was killed", path)
        else:
            shutil.rmtree(folder, ignore_errors=True)
        if held is not None:
            os.close(held)


def _prefix(path: Path) -> str:
    return f".{path.name[:40]}."


def _hold(folder: Path) -> Optional[int]:
    """A descriptor that locks `folder` until it is closed; None if another process has locked it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
