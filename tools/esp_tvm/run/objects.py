"""Keeps the compiled kernels as archives on disk, so that they are only compiled again after a change.

An archive is identified by the compiler, its options, and the content of every source and header. If several programs
need it at the same time, it is compiled once, and appears complete.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from ..children import run_child
from ..errors import UserError
from .driver import first_error

# A folder shared by several projects (as in the tests); by default each project has its own.
SHARED_FOLDER = "ESP_TVM_OBJECTS"


def kernel_archive(component: Path, command: Sequence[str], folder: Optional[Path] = None) -> Path:
    """The archive of all C files below `component`/src, compiled by `command` (the compiler and its options).

    folder: where archives are kept; by default $ESP_TVM_OBJECTS. A folder that is not the shared one keeps only the
    last archive of each command. Raises `UserError` if a kernel does not compile.
    """
    shared = os.environ.get(SHARED_FOLDER)
    prune = not shared
    folder = Path(shared) if shared else Path(folder)
    includes = [component / "include", component / "src"]
    sources = sorted((component / "src").rglob("*.c"))
    by = _digest([*_compiler(command[0]), *command[1:]])[:16]
    target = folder / f"kernels_{by}_{_content(component, sources, includes)[:32]}.a"
    if target.is_file():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"kernels_{by}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_file():
            _compile(command, sources, includes, target)
            for earlier in folder.glob(f"kernels_{by}_*.a") if prune else ():
                if earlier != target:
                    earlier.unlink()
    return target


def _compile(command: Sequence[str], sources: List[Path], includes: List[Path], target: Path) -> None:
    options = [word for include in includes for word in ("-I", str(include))]
    with tempfile.TemporaryDirectory(prefix=".kernels_", dir=target.parent) as scratch:

        def compile_one(number: int) -> Path:
            # Numbered, since two folders may contain files of the same name.
            path = Path(scratch, f"{number}_{sources[number].stem}.o")
            compile_c([*command, *options, "-c", str(sources[number]), "-o", str(path)], sources[number].name)
            return path

        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            objects = list(pool.map(compile_one, range(len(sources))))
        archive = Path(scratch, "kernels.a")
        compile_c(["ar", "rcs", str(archive), *map(str, objects)], "kernels")
        os.replace(archive, target)


def spawned(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess:
    """`subprocess.run`, without a fork: that copies the page tables of this process, which with TVM in it takes longer
    than to compile many a kernel. Python spawns what has a path and may inherit (Python's own files are not)."""
    return subprocess.run(list(command), **_spawned(command), **options)


def _spawned(command: Sequence[str]) -> Dict[str, Any]:
    return {"executable": shutil.which(command[0]), "close_fds": False}


def compile_c(command: Sequence[str], what: str) -> None:
    """Run a compiler or archiver; a `UserError` that names `what` if it fails."""
    done = spawned(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise UserError(f"{what}: its C does not compile on this machine: {first_error(done.stdout)}")


def program_folder(prefix: str, near: Path) -> tempfile.TemporaryDirectory:
    """A new folder for programs that will be run: in the folder for temporary files, or in `near` where that is mounted
    noexec, as docker's --tmpfs /tmp is."""
    if os.statvfs(tempfile.gettempdir()).f_flag & os.ST_NOEXEC and os.access(near, os.W_OK):
        return tempfile.TemporaryDirectory(prefix=f".{prefix}", dir=near)
    return tempfile.TemporaryDirectory(prefix=prefix)


def run_program(command: Sequence[str], data: bytes, timeout: Optional[float] = None) -> subprocess.CompletedProcess:
    """Run a program that was compiled into a `program_folder`, `data` on its stdin; captures its output.

    Raises `UserError` if its folder does not allow programs to run, such as a /tmp mounted noexec.
    """
    try:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return run_child(command, data, timeout, **_spawned(command), **pipes)
    except PermissionError:
        folder = Path(command[0]).parent
        raise UserError(
            f"{folder}: no program can be run from there (is it mounted noexec?); "
            "set TMPDIR to a folder from which programs can be run"
        )


def _content(component: Path, sources: List[Path], includes: List[Path]) -> str:
    headers = [path for include in includes for path in sorted(include.rglob("*.h"))]
    words = [f"{path.relative_to(component)} {_digest([path.read_bytes()])}" for path in [*sources, *headers]]
    return _digest(words)


@functools.lru_cache(maxsize=None)
def _compiler(name: str) -> List[str]:
    """What identifies a compiler: its path, its file's properties, its version text."""
    path = os.path.realpath(shutil.which(name) or name)
    status = os.stat(path)
    version = subprocess.run([name, "--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    return [path, str(status.st_size), str(status.st_mtime_ns), version]


def _digest(words: Sequence) -> str:
    made = hashlib.sha256()
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode()
        made.update(len(data).to_bytes(8, "little") + data)
    return made.hexdigest()
