"""The kernels as compiled archives, kept on disk: what did not change is not compiled again.

An archive is known by its content: the compiler, its options, every source and header. Programs may ask for one at the
same time: it is compiled once, and appears whole.
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
from typing import List, Optional, Sequence

from ..errors import UserError
from .driver import first_error

# A folder that several projects share (tests do); by default each project has one of its own.
SHARED_FOLDER = "ESP_TVM_OBJECTS"


def kernel_archive(component: Path, command: Sequence[str], folder: Optional[Path] = None) -> Path:
    """The archive of all C files below `component`/src, compiled by `command` (the compiler and its options).

    folder: where archives are kept; by default $ESP_TVM_OBJECTS. Of archives by the same command, a folder that is
    not the shared one keeps the last.
    Raises `UserError` where a kernel does not compile.
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
            # Numbered: two folders may hold files of one name.
            path = Path(scratch, f"{number}_{sources[number].stem}.o")
            compile_c([*command, *options, "-c", str(sources[number]), "-o", str(path)], sources[number].name)
            return path

        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            objects = list(pool.map(compile_one, range(len(sources))))
        archive = Path(scratch, "kernels.a")
        compile_c(["ar", "rcs", str(archive), *map(str, objects)], "kernels")
        os.replace(archive, target)


def compile_c(command: Sequence[str], what: str) -> None:
    """Run a compiler or archiver; a `UserError` that names `what` where it fails."""
    done = subprocess.run(list(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise UserError(f"{what}: its C does not compile on this machine: {first_error(done.stdout)}")


def run_program(command: Sequence[str], data: bytes, timeout: Optional[float] = None) -> subprocess.CompletedProcess:
    """Run a program that was compiled into the folder for temporary files, `data` on its stdin; captures its output.

    Raises `UserError` where that folder lets no program run, as a /tmp that is mounted noexec.
    """
    try:
        return subprocess.run(list(command), input=data, capture_output=True, timeout=timeout)
    except PermissionError:
        folder = tempfile.gettempdir()
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
    """What tells one compiler from another: where it lies, how it looks, what it says of itself."""
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
