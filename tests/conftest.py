"""What all tests share: the places of things, `esp_tvm` and TVM on the path, and what Python compiled."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent

# Where make was started with nohup, or in the background of a shell without jobs, these are ignored, and every process
# that a test starts and sends a signal to would inherit that.
for _signal, _handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGTERM, signal.SIG_DFL),
):
    if signal.getsignal(_signal) is signal.SIG_IGN:
        signal.signal(_signal, _handler)

# Before TVM is imported: it would look for tuning logs on the network. For the processes that tests start too.
os.environ["TOPHUB_LOCATION"] = "NONE"
# One thread for OpenBLAS and for TVM's programs, in this process and in those that tests start: their threads wait for
# each other by spinning, and pytest's workers fill the cores.
os.environ["OMP_NUM_THREADS"] = "1"

# ESP-IDF's own choice. With make, cmake starts twice for each file that it compiles.
if shutil.which("ninja"):
    os.environ.setdefault("CMAKE_GENERATOR", "Ninja")

# Kept for this process and those that tests start, also where the environment forbids it: they are many, and to compile
# TVM's Python takes each longer than to import it. Not beside the sources, which tests copy and compare.
_COMPILED = REPO / "build/pycache"
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = str(_COMPILED)
sys.dont_write_bytecode = False

_start, _ENV = subprocess.Popen._execute_child, shutil.which("env")


def _start_without_fork(self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *more):
    """A fork copies the page tables of a process that has TVM in it, which takes longer than many a program does.

    Python spawns a program instead where it has its path, no files to close (Python's own are not inherited), and no
    folder to change to: `env` does that.
    """
    if not pass_fds:
        found = executable
        if executable is None and isinstance(args, (list, tuple)) and args:
            found = shutil.which(os.fspath(args[0]), path=os.pathsep.join(os.get_exec_path(env)))
        if cwd is None:
            executable, close_fds = found, False
        elif executable is None and _ENV and found and os.path.isabs(found) and os.path.isdir(cwd):
            args, executable = [_ENV, "-C", os.path.abspath(cwd), found, *args[1:]], _ENV
            cwd, close_fds = None, False
    return _start(self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *more)


subprocess.Popen._execute_child = _start_without_fork

sys.path.insert(0, str(REPO / "tools"))
if not any((Path(entry) / "tvm" / "relay").is_dir() for entry in sys.path if entry):
    # Started without scripts/in-env.sh (make test uses it).
    sys.path.insert(1, str(REPO / "tvm" / "python"))

import kernel_archive  # noqa: E402  from now on compiled kernels serve all tests, and processes that they start
from apart import Server  # noqa: E402
from shared_files import shared  # noqa: E402

from esp_tvm import native  # noqa: E402

_SERVER = Server()
native._fork, native._end = _SERVER.fork, _SERVER.end


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """What a test has replaced, in this process, must be there in its children too: these are forked here."""
    _SERVER.used = not {"monkeypatch", "forked_here"} & set(item.fixturenames)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """For `-n 2 --dist loadgroup`: a file's tests share what its fixtures make, unless they say their own groups."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.name))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish():
    """What is there now stays until the end: the garbage collector, and copies of this process, need not touch it."""
    gc.freeze()
    gc.set_threshold(20000, 20, 20)


def pytest_sessionfinish(session):
    """Of what tests copied elsewhere nothing stays: it has another folder the next time."""
    _SERVER.close()
    if not hasattr(session.config, "workerinput"):
        shutil.rmtree(_COMPILED / Path(tempfile.gettempdir()).relative_to("/"), ignore_errors=True)


@pytest.fixture
def forked_here() -> None:
    """What is computed apart is forked from this process, as in a command, and not from a small one (apart.py)."""


@pytest.fixture(scope="session")
def repo() -> Path:
    """The project's folder."""
    return REPO


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    """The folder of inputs that failed once (shared_files.py); skips where there is none."""
    return shared("cases") or pytest.skip("the inputs that failed are not beside the project (../shared/cases)")


@pytest.fixture(scope="session")
def shared_models() -> Path:
    """The folder of the two networks that lie beside the project; skips where they do not.

    `resnet8/` and `kws/`, each with model.onnx, calib.npy, eval.npy, eval_float_output.npy, input_sample.npy.
    """
    return shared("models") or pytest.skip("the shared models are not beside the project (../shared/models)")


@pytest.fixture(scope="session")
def riscv_kernels(tmp_path_factory):
    """Object files of all kernels for the emulated RISC-V; skips where its tools are missing."""
    from esp_tvm.run import qemu
    from esp_tvm.run.machines import RISCV

    if RISCV.missing():
        pytest.skip(RISCV.missing())
    folder = tmp_path_factory.mktemp("riscv_kernels")
    return qemu.compile_objects(kernel_archive.listed_sources(), kernel_archive.INCLUDES, folder)
