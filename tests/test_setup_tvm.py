"""scripts/setup_tvm.py and tools/tvm/download.sh: which TVM is used, what is installed, what is told."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def setup_tvm(repo: Path, tmp_path: Path, monkeypatch) -> ModuleType:
    """The script as a module that works in an empty folder."""
    spec = importlib.util.spec_from_file_location("setup_tvm", repo / "scripts" / "setup_tvm.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "REPO", tmp_path)
    monkeypatch.setattr(module, "INSTALLED", tmp_path / "tvm")
    monkeypatch.setattr(module, "STAGING", tmp_path / "build" / "tvm-setup")
    monkeypatch.delenv("TVM_HOME", raising=False)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return module


def make_tvm(home: Path, version: str = "0.14.0", relay: bool = True, works: bool = True) -> Path:
    """A folder that looks like a TVM source tree; returns what belongs on PYTHONPATH."""
    package = home / "python" / "tvm"
    (package / "_ffi").mkdir(parents=True)
    (package / "__init__.py").write_text("class cpu:\n    exist = True\n    def __init__(self, i): pass\n")
    (package / "_ffi" / "libinfo.py").write_text(f'__version__ = "{version}"\n')
    if relay:
        for name in ("relay", "relay/frontend", "relay/qnn"):
            (package / name).mkdir()
            (package / name / "__init__.py").write_text("" if works else "raise ImportError('no libtvm.so')\n")
    return home / "python"


@pytest.mark.parametrize("version", ["0.11.1", "0.14.0", "0.17.dev0", "0.19.0"])
def test_tvm_home_is_taken(setup_tvm, tmp_path, monkeypatch, capsys, version):
    python_path = make_tvm(tmp_path / "own", version)
    monkeypatch.setenv("TVM_HOME", str(tmp_path / "own"))
    assert setup_tvm.main() == 0
    out, err = capsys.readouterr()
    assert out == f"{python_path}\n"
    assert f"using your own TVM {version}" in err and "(TVM_HOME)" in err
    assert not (tmp_path / "tvm").exists()


def test_python_path_is_taken(setup_tvm, tmp_path, monkeypatch, capsys):
    python_path = make_tvm(tmp_path / "own")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", "/nowhere", str(python_path)]))
    assert setup_tvm.main() == 0
    assert capsys.readouterr().out == f"{python_path}\n"


@pytest.mark.parametrize("version, relay", [("0.10.0", True), ("0.20.0", True), ("0.25.1", False), ("0.14.0", False)])
def test_other_tvm_is_not_taken_and_told(setup_tvm, tmp_path, monkeypatch, capsys, version, relay):
    make_tvm(tmp_path / "own", version, relay)
    monkeypatch.setenv("TVM_HOME", str(tmp_path / "own"))
    assert setup_tvm.users_tvm() is None
    assert f"not used: TVM {version}" in capsys.readouterr().err


def test_tvm_home_without_tvm_is_told(setup_tvm, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TVM_HOME", str(tmp_path))
    assert setup_tvm.users_tvm() is None
    assert f"not used: TVM_HOME={tmp_path} holds no python/tvm" in capsys.readouterr().err


def test_own_tvm_that_does_not_import(setup_tvm, tmp_path, monkeypatch, capsys):
    make_tvm(tmp_path / "own", works=False)
    monkeypatch.setenv("TVM_HOME", str(tmp_path / "own"))
    assert setup_tvm.main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: the TVM 0.14.0 that TVM_HOME names") and line.endswith("no libtvm.so")


def test_own_tvm_is_imported_once(setup_tvm, tmp_path, monkeypatch):
    make_tvm(tmp_path / "own")
    monkeypatch.setenv("TVM_HOME", str(tmp_path / "own"))
    assert setup_tvm.main() == 0
    monkeypatch.setattr(setup_tvm, "check_import", lambda *_: pytest.fail("imported again"))
    assert setup_tvm.main() == 0


def test_own_tvm_in_the_projects_folder(setup_tvm, tmp_path, capsys):
    python_path = make_tvm(tmp_path / "tvm")
    assert setup_tvm.main() == 0
    assert capsys.readouterr().out == f"{python_path}\n"


def test_foreign_folder_is_left_alone(setup_tvm, tmp_path, capsys):
    (tmp_path / "tvm").mkdir()
    (tmp_path / "tvm" / "mine").write_text("")
    assert setup_tvm.main() == 2
    assert "was not made by this set-up" in capsys.readouterr().err
    assert (tmp_path / "tvm" / "mine").exists()


def test_no_ready_made_tvm_for_this_machine(setup_tvm, monkeypatch, capsys):
    monkeypatch.setattr(setup_tvm.platform, "machine", lambda: "aarch64")
    assert setup_tvm.main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no ready-made TVM for Linux on aarch64" in line and "TVM_HOME" in line


# --- the package, as a small one of the same shape ---


@pytest.fixture
def small_package(setup_tvm, tmp_path, monkeypatch):
    """Installs from a package with a few files; the library in it is one of our own stand-ins."""
    setup_tvm.compile_stubs(tmp_path / "some")
    wheel = tmp_path / "small.whl"

    def write(**more: str) -> None:
        with zipfile.ZipFile(wheel, "w") as archive:
            home = make_tvm(tmp_path / "source", "0.17.dev0").parent
            for path in home.rglob("*.py"):
                archive.write(path, f"bitblas/3rdparty/tvm/{path.relative_to(home)}")
            archive.write(tmp_path / "some" / "libcuda.so.1", "bitblas/3rdparty/tvm/build/libtvm.so")
            archive.writestr("bitblas/3rdparty/tvm/LICENSE", "")
            archive.writestr("bitblas/3rdparty/tvm/licenses/LICENSE.other.txt", "")
            archive.writestr("bitblas/3rdparty/tvm/python/tvm/__pycache__/x.cpython-310.pyc", "")
            archive.writestr("bitblas/3rdparty/tvm/build/libtvm_runtime.so", "")
            archive.writestr("bitblas/other.py", "")
        shutil.rmtree(tmp_path / "source")

    write()
    downloads = []

    def download(folder: Path) -> Path:
        downloads.append(folder)
        return Path(shutil.copy(wheel, folder))

    monkeypatch.setattr(setup_tvm, "download", download)
    setup_tvm.downloads = downloads
    return wheel


def test_only_tvm_is_unpacked(setup_tvm, small_package, tmp_path, capsys):
    assert setup_tvm.main() == 0
    assert capsys.readouterr().out == f"{tmp_path / 'tvm' / 'python'}\n"
    files = {path.relative_to(tmp_path / "tvm").as_posix() for path in (tmp_path / "tvm").rglob("*") if path.is_file()}
    assert {"LICENSE", "licenses/LICENSE.other.txt", "python/tvm/libtvm.so", "python/tvm/relay/__init__.py"} <= files
    assert {f"python/tvm/cuda_stubs/{soname}" for soname, _, _ in setup_tvm.STUB_LIBRARIES} <= files
    assert not [name for name in files if name.endswith((".pyc", "other.py", "runtime.so", ".map"))]
    assert not (tmp_path / "build" / "tvm-setup").exists()


def test_is_installed_once(setup_tvm, small_package):
    assert [setup_tvm.main() for _ in range(3)] == [0, 0, 0]
    assert len(setup_tvm.downloads) == 1


@pytest.mark.parametrize("damage", ["missing", "shorter", "changed", "list", "recipe"])
def test_damage_is_mended(setup_tvm, small_package, tmp_path, monkeypatch, capsys, damage):
    assert setup_tvm.main() == 0
    file = tmp_path / "tvm" / "python" / "tvm" / "_ffi" / "libinfo.py"
    text = file.read_text()
    if damage == "missing":
        file.unlink()
    elif damage == "shorter":
        file.write_text(text[:-1])
    elif damage == "changed":
        file.write_text(text.replace("17", "71"))
        os.utime(file, ns=(1, 1))
    elif damage == "list":
        (tmp_path / "tvm" / setup_tvm.MANIFEST).write_text("{")
    else:
        monkeypatch.setattr(setup_tvm, "RECIPE", b"another")
    assert setup_tvm.main() == 0
    assert f"renewing {tmp_path / 'tvm'}" in capsys.readouterr().err
    assert file.read_text() == text
    assert len(setup_tvm.downloads) == 2
    assert setup_tvm.what_is_damaged() is None


def test_other_time_alone_is_no_damage(setup_tvm, small_package, tmp_path):
    assert setup_tvm.main() == 0
    for path in (tmp_path / "tvm").rglob("*.py"):
        os.utime(path, ns=(1, 1))
    assert setup_tvm.what_is_damaged() is None


def test_failure_leaves_the_installed_one_and_no_remains(setup_tvm, small_package, tmp_path, monkeypatch, capsys):
    assert setup_tvm.main() == 0
    before = (tmp_path / "tvm" / setup_tvm.MANIFEST).read_bytes()
    small_package.write_bytes(small_package.read_bytes()[:-100])
    monkeypatch.setattr(setup_tvm, "RECIPE", b"another")
    assert setup_tvm.main() == 2
    assert "error: TVM's package cannot be unpacked" in capsys.readouterr().err
    assert (tmp_path / "tvm" / setup_tvm.MANIFEST).read_bytes() == before
    assert not (tmp_path / "build" / "tvm-setup").exists()


def test_remains_of_a_killed_set_up_do_no_harm(setup_tvm, small_package, tmp_path):
    remains = tmp_path / "build" / "tvm-setup" / "cuda_stubs"
    remains.mkdir(parents=True)
    (remains / "half").write_text("")
    assert setup_tvm.main() == 0
    assert not (tmp_path / "tvm" / "python" / "tvm" / "cuda_stubs" / "half").exists()


def test_hash_of_the_package_is_checked(repo, tmp_path):
    package = tmp_path / "bitblas-0.1.0-py3-none-manylinux1_x86_64.whl"
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("bitblas-0.1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: bitblas\nVersion: 0.1.0\n")
        archive.writestr("bitblas-0.1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-manylinux1_x86_64\n")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--no-index", "--find-links", str(tmp_path), "--no-deps"]
        + ["--require-hashes", "--dest", str(tmp_path / "to"), "-r", str(repo / "tools" / "tvm" / "tvm.lock")],
        env={**os.environ, "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr


# --- the stand-ins for CUDA ---


def test_stubs_return_an_error_and_a_message(setup_tvm, tmp_path):
    setup_tvm.compile_stubs(tmp_path / "stubs")
    cuda, cudart, nvrtc = (ctypes.CDLL(str(tmp_path / "stubs" / name)) for name, _, _ in setup_tvm.STUB_LIBRARIES)
    assert cuda.cuModuleLoadData(None, None) == cudart.cudaMalloc(None, 4) == 100
    assert nvrtc.nvrtcCreateProgram(None, None, None, 0, None, None) == 11
    text = ctypes.c_char_p()
    assert cuda.cuGetErrorName(100, ctypes.byref(text)) == 0
    for function in (cudart.cudaGetErrorString, nvrtc.nvrtcGetErrorString):
        function.restype = ctypes.c_char_p
        assert function(100) == text.value
    assert b"no CUDA" in text.value


def test_asking_tvm_for_a_gpu_is_an_error_not_a_crash(setup_tvm, repo):
    if setup_tvm.version_of(repo / "tvm" / "python") is None:
        pytest.skip("this test is about the TVM that the set-up brings")
    program = "import numpy, tvm; assert not tvm.cuda(0).exist; tvm.nd.array(numpy.zeros(3), tvm.cuda(0))"
    environment = {**os.environ, "PYTHONPATH": str(repo / "tvm" / "python")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "no CUDA: TVM was set up with stand-ins" in done.stderr.splitlines()[-1]


# --- download.sh ---


@pytest.fixture
def download_sh(repo, tmp_path) -> Path:
    """download.sh in a project whose set-up finds a TVM of the user's; the folder has a space in its name."""
    project = tmp_path / "a project"
    (project / "scripts").mkdir(parents=True)
    (project / "tools" / "tvm").mkdir(parents=True)
    (project / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(repo / "scripts" / "setup_tvm.py", project / "scripts")
    shutil.copy(repo / "tools" / "tvm" / "download.sh", project / "tools" / "tvm")
    os.symlink(sys.executable, project / ".venv" / "bin" / "python")
    make_tvm(project / "tvm", "0.17.dev0")
    return project / "tools" / "tvm" / "download.sh"


SHELLS = [
    ["bash"],
    ["bash", "-eu", "-o", "pipefail", "-o", "noclobber"],
    ["bash", "--posix"],
    ["zsh", "-f"],
    ["zsh", "-f", "-eu", "-o", "noclobber"],
]


def shell(command: list[str], program: str, folder: Path, **variables: str) -> subprocess.CompletedProcess:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "TVM_HOME")}
    environment.update(variables, CDPATH="/")
    return subprocess.run(
        [*command, "-c", program],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("command", SHELLS, ids=" ".join)
@pytest.mark.parametrize("place", ["beside", "elsewhere"])
def test_sourced(download_sh, tmp_path, command, place):
    folder, name = (download_sh.parent, "./download.sh") if place == "beside" else (tmp_path, str(download_sh))
    # Sourced twice, with aliases in the way, and with all the state of the shell printed before and after.
    state = "set -o; pwd; trap; alias"
    program = f"alias cd=false dirname=false; {state}; echo =; . '{name}'; . '{name}'; echo =; {state}; echo ="
    done = shell(command, f'{program}; echo "$PYTHONPATH $TOPHUB_LOCATION"', folder, PYTHONPATH="/mine")
    assert done.returncode == 0, done.stderr
    before, _, after, variables = done.stdout.split("=\n")[:1] + done.stdout.split("=\n")[-3:]
    assert before == after
    assert variables == f"{download_sh.parents[2] / 'tvm' / 'python'}:/mine NONE\n"
    assert "using your own TVM 0.17.dev0" in done.stderr


@pytest.mark.parametrize("command", [["bash"], ["zsh", "-f"]], ids=" ".join)
def test_sourced_failure_leaves_the_shell_alive(download_sh, tmp_path, command):
    shutil.rmtree(download_sh.parents[2] / "tvm" / "python" / "tvm" / "relay")
    program = f". '{download_sh}'; echo \"status $? ${{PYTHONPATH-none}}\""
    done = shell(command, program, tmp_path)
    assert done.stdout == "status 2 none\n"
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")


@pytest.mark.parametrize("command", ["'{}'", "bash '{}'", "sh '{}'"])
def test_executed(download_sh, tmp_path, command):
    done = shell(["bash"], command.format(download_sh), tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"PYTHONPATH={download_sh.parents[2] / 'tvm' / 'python'}\n"


def test_executed_failure(download_sh, tmp_path):
    (download_sh.parents[2] / "scripts" / "setup_tvm.py").unlink()
    done = shell(["bash"], f"'{download_sh}'", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and "setup_tvm.py is missing" in done.stderr


def test_without_set_up_one_line(download_sh, tmp_path):
    shutil.rmtree(download_sh.parents[2] / ".venv")
    fake = tmp_path / "bin"
    fake.mkdir()
    for name in ("dirname", "readlink"):
        os.symlink(shutil.which(name), fake / name)
    done = shell([shutil.which("bash")], f". '{download_sh}'; echo $?", tmp_path, PATH=str(fake))
    assert done.stdout == "2\n"
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: no Python with the packages") and "setup" in line


def test_manifest_is_json_with_hashes(setup_tvm, small_package, tmp_path):
    assert setup_tvm.main() == 0
    manifest = json.loads((tmp_path / "tvm" / setup_tvm.MANIFEST).read_text())
    size, _, digest = manifest["files"]["python/tvm/libtvm.so"]
    library = tmp_path / "tvm" / "python" / "tvm" / "libtvm.so"
    assert size == library.stat().st_size and digest == setup_tvm.sha256(library)
