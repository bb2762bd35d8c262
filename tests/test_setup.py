"""scripts/setup.sh and the lock files: what is found, what is missing, and what people are told."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

# What setup.sh calls before it has a Python.
COMMANDS = "bash env dirname readlink grep cat sha256sum mkdir rm touch flock head".split()


@pytest.fixture
def clone(repo: Path, tmp_path: Path) -> Path:
    """The files that set-up needs, in a folder with a space in its name."""
    folder = tmp_path / "a clone"
    folder.mkdir()
    shutil.copytree(repo / "scripts", folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "tools" / "tvm").mkdir(parents=True)
    for name in ("requirements.lock", "tvm.lock", "cuda_stubs.c", "download.sh"):
        shutil.copy(repo / "tools" / "tvm" / name, folder / "tools" / "tvm")
    return folder


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A PATH without Python and compiler."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in COMMANDS:
        os.symlink(shutil.which(name), folder / name)
    return folder


def run_setup(clone: Path, path: Path, **variables: str) -> subprocess.CompletedProcess:
    environment = {"PATH": str(path), "HOME": str(path), **variables}
    return subprocess.run(
        [str(path / "bash"), str(clone / "scripts" / "setup.sh")],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def one_error(done: subprocess.CompletedProcess) -> str:
    """The only line of stderr, which must be the error; exit code 2 and nothing on stdout."""
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def executable(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_no_compiler(clone, bare_path):
    assert "no C compiler" in one_error(run_setup(clone, bare_path))
    assert not (clone / ".venv").exists()


def test_compiler_that_does_not_work(clone, bare_path):
    line = one_error(run_setup(clone, bare_path, CC="/nowhere/cc -m32"))
    assert "'/nowhere/cc -m32' cannot build" in line


def test_no_python38(clone, bare_path):
    executable(bare_path / "cc", "#!/bin/sh\nexit 0\n")
    # What a pyenv shim does for a version that is not chosen, and a Python of another version.
    executable(bare_path / "python3.8", "#!/bin/sh\necho 'pyenv: python3.8: command not found' >&2\nexit 127\n")
    executable(bare_path / "python3", "#!/bin/sh\nexit 1\n")
    line = one_error(run_setup(clone, bare_path))
    assert "no Python 3.8" in line and "pyenv install 3.8" in line and "make setup PYTHON=download" in line
    assert not (clone / ".venv").exists()


def test_python_variable_of_another_version(clone, bare_path):
    executable(bare_path / "cc", "#!/bin/sh\nexit 0\n")
    line = one_error(run_setup(clone, bare_path, PYTHON="/nowhere/python"))
    assert "PYTHON=/nowhere/python is not a Python 3.8" in line


def test_python_variable_is_looked_at_where_all_is_set_up(clone, bare_path):
    folder = clone / ".venv" / "bin"
    folder.mkdir(parents=True)
    executable(folder / "python", "#!/bin/sh\n[ $1 = -VV ] || echo set up\n")
    (clone / ".venv" / "made-by-setup").write_text("")
    lock = clone / "tools" / "tvm" / "requirements.lock"
    stamp = hashlib.sha256(lock.read_bytes()).hexdigest() + "  -\n"
    (clone / ".venv" / "installed").write_text(stamp)
    assert run_setup(clone, bare_path).stdout == "set up\n"
    assert "PYTHON=/nowhere/python is not" in one_error(run_setup(clone, bare_path, PYTHON="/nowhere/python"))


@pytest.mark.parametrize("place", ["path", "pyenv", "uv"])
def test_python38_is_found(clone, bare_path, place):
    executable(bare_path / "cc", "#!/bin/sh\nexit 0\n")
    # It passes as a Python 3.8 but cannot make a venv: so nothing is installed, and its name is told.
    fake = "#!/bin/sh\ncase $1 in -c) exit 0;; *) exit 1;; esac\n"
    if place == "path":
        python = executable(bare_path / "python", fake)
    elif place == "pyenv":
        python = bare_path / ".pyenv" / "versions" / "3.8.1" / "bin" / "python"
        python.parent.mkdir(parents=True)
        executable(python, fake)
    else:
        python = executable(bare_path / "found-by-uv", fake)
        executable(bare_path / "uv", f'#!/bin/sh\n[ "$1 $2" = "python find" ] && echo "{python}"\n')
    done = run_setup(clone, bare_path)
    assert done.returncode == 2
    assert f"making .venv with {python}" in done.stderr
    assert not (clone / ".venv" / "installed").exists()


@pytest.fixture
def python_build(tmp_path: Path) -> Path:
    """An archive as python-build-standalone has it, of a Python that says what it was asked and makes no venv."""
    folder = tmp_path / "packed" / "python" / "bin"
    folder.mkdir(parents=True)
    executable(folder / "python3.8", '#!/bin/sh\n[ "$1" = -c ] || { echo "asked: $*" >&2; exit 1; }\n')
    archive = tmp_path / "python.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(folder.parent, "python")
    return archive


def test_python38_is_brought_where_it_is_asked_for(clone, bare_path, python_build):
    executable(bare_path / "cc", "#!/bin/sh\nexit 0\n")
    for name in ("uname", "tar", "gzip", "cp", "sha256sum"):
        if not (bare_path / name).exists():
            os.symlink(shutil.which(name), bare_path / name)
    digest = hashlib.sha256(python_build.read_bytes()).hexdigest()
    done = run_setup(clone, bare_path, PYTHON="download", PYTHON_BUILD=str(python_build), PYTHON_BUILD_SHA256=digest)
    assert "asked: -m venv .venv" in done.stderr and (clone / ".venv/base/bin/python3.8").exists()
    # An archive that is another is not used.
    done = run_setup(clone, bare_path, PYTHON="download", PYTHON_BUILD=str(python_build))
    assert done.returncode == 2 and f"has the hash {digest}" in done.stderr.splitlines()[-1]
    assert not (clone / ".venv/base/bin").exists()


def test_a_download_that_fails_is_one_error(clone, bare_path):
    executable(bare_path / "cc", "#!/bin/sh\nexit 0\n")
    executable(bare_path / "uname", "#!/bin/sh\necho Linux x86_64\n")
    executable(bare_path / "curl", "#!/bin/sh\necho 'curl: (6) no such host' >&2; exit 6\n")
    done = run_setup(clone, bare_path, PYTHON="download")
    assert done.returncode == 2
    *_, reason, line = done.stderr.splitlines()
    assert (reason, line) == ("curl: (6) no such host", "error: Python 3.8 could not be downloaded; see above")


def test_foreign_venv_is_left_alone(clone, bare_path):
    executable(bare_path / "cc", "#!/bin/sh\nexit 0\n")
    (clone / ".venv").mkdir()
    (clone / ".venv" / "mine").write_text("")
    assert ".venv was not made by 'make setup'" in one_error(run_setup(clone, bare_path))
    assert (clone / ".venv" / "mine").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_clone(clone, bare_path):
    clone.chmod(0o555)
    assert "is not writable" in one_error(run_setup(clone, bare_path))


@pytest.mark.skipif(sys.version_info[:2] != (3, 8), reason="makes a venv with the Python that runs this test")
def test_packages_that_cannot_be_had(clone, bare_path):
    executable(bare_path / "cc", "#!/bin/sh\nexit 0\n")
    (clone / "tools" / "tvm" / "requirements.lock").write_text(f"nothing==1.0 --hash=sha256:{'0' * 64}\n")
    for _ in range(2):
        # The second time it starts over with what the first left behind.
        done = run_setup(clone, bare_path, PYTHON=sys.executable, PIP_NO_INDEX="1", PIP_CONFIG_FILE=os.devnull)
        assert done.returncode == 2
        assert "error: pip could not install tools/tvm/requirements.lock" in done.stderr.splitlines()[-1]
        assert "making .venv" in done.stderr
        assert not (clone / ".venv" / "installed").exists()


def locked(path: Path) -> dict[str, str]:
    """name → version of each package of a lock file; every one must have a hash."""
    entries = re.split(r"\n(?=\S)", path.read_text().replace("\\\n", ""))
    packages = [entry for entry in entries if not entry.startswith("#")]
    assert packages
    for entry in packages:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry), entry
    return dict(entry.split()[0].split("==") for entry in packages)


def test_locks_hold_what_the_requirements_name(repo):
    base = locked(repo / "tools/tvm/requirements.lock")
    dev = locked(repo / "scripts/requirements-dev.lock")
    for requirements, lock in (("tools/tvm/requirements.txt", base), ("scripts/requirements-dev.txt", dev)):
        for line in (repo / requirements).read_text().splitlines():
            if line and not line.startswith("#"):
                name, version = line.split("==")
                assert lock[name] == version
    for name in base.keys() & dev.keys():
        assert base[name] == dev[name], f"{name}: the two locks disagree"
    assert locked(repo / "tools/tvm/tvm.lock") == {"bitblas": "0.1.0"}


def test_documented_preprocess_command_is_there():
    done = subprocess.run(
        [sys.executable, "-m", "onnxruntime.quantization.preprocess", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "--input" in done.stdout and "--output" in done.stdout
