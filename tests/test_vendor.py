"""Set-up from vendor/ without a network, and what fills vendor/."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO / "scripts"))
import setup_tvm  # noqa: E402

# Where nobody answers, and none of this machine's own settings.
NO_NETWORK = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0", "PIP_CONFIG_FILE": "/dev/null"}


def make_wheel(folder: Path, name: str) -> str:
    """Write the wheel of a package with nothing but a name; returns its line of a lock file."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", "")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return f"{name}==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What set-up needs, with a lock file of one package that no index has."""
    folder = tmp_path / "a clone"
    shutil.copytree(REPO / "scripts", folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "tools/tvm").mkdir(parents=True)
    for name in ("tvm.lock", "cuda_stubs.c"):
        shutil.copy(REPO / "tools/tvm" / name, folder / "tools/tvm")
    # Set-up of TVM is a story of its own.
    (folder / "scripts/setup_tvm.py").write_text("print('tvm')\n")
    (folder / "tools/tvm/requirements.lock").write_text(make_wheel(folder / "vendor", "esptvmnowhere"))
    return folder


def set_up(clone: Path) -> subprocess.CompletedProcess:
    variables = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    return subprocess.run(
        [str(clone / "scripts/setup.sh")],
        env={**variables, **NO_NETWORK, "PYTHON": sys.executable},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def test_set_up_takes_wheels_from_vendor(clone):
    done = set_up(clone)
    assert done.returncode == 0, done.stderr
    assert subprocess.run([str(clone / ".venv/bin/python"), "-c", "import esptvmnowhere"]).returncode == 0


def test_a_wheel_that_is_not_the_pinned_one_is_refused(clone):
    (wheel,) = (clone / "vendor").iterdir()
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("more.py", "")
    done = set_up(clone)
    assert done.returncode == 2
    assert "make vendor" in done.stderr.splitlines()[-1]
    assert not (clone / ".venv/installed").exists()


def test_tvm_is_taken_from_vendor(tmp_path, monkeypatch):
    lock = tmp_path / "tvm.lock"
    lock.write_text(make_wheel(tmp_path / "vendor", "bitblasnowhere"))
    for name, value in NO_NETWORK.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setattr(setup_tvm, "TVM_LOCK", lock)
    monkeypatch.setattr(setup_tvm, "VENDOR", tmp_path / "vendor")
    found = setup_tvm.download(tmp_path)
    assert found.read_bytes() == (tmp_path / "vendor" / found.name).read_bytes()
    monkeypatch.setattr(setup_tvm, "VENDOR", tmp_path / "nothing")
    found.unlink()
    with pytest.raises(setup_tvm.SetupError, match="check the network"):
        setup_tvm.download(tmp_path)


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "precious").write_text("x")
    done = subprocess.run(
        [str(REPO / "scripts/vendor.sh"), str(tmp_path)], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "holds something else" in done.stderr
    assert (tmp_path / "precious").read_text() == "x"


@pytest.mark.slow
def test_the_whole_set_up_with_the_network_cut(tmp_path):
    if subprocess.run(["unshare", "--map-root-user", "--net", "true"], stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("this user may not make a namespace without network (unshare)")
    clone = tmp_path / "clone"
    subprocess.run([str(REPO / "scripts/vendor.sh"), str(tmp_path / "vendor")], check=True)
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("scripts", "tools"):
        shutil.copytree(REPO / name, clone / name, ignore=ignored)
    shutil.copytree(tmp_path / "vendor", clone / "vendor")
    variables = {key: value for key, value in os.environ.items() if key not in ("TVM_HOME", "PYTHONPATH")}
    command = ["unshare", "--map-root-user", "--net", str(clone / "scripts/setup.sh"), "--dev"]
    done = subprocess.run(command, env={**variables, "PYTHON": sys.executable}, stdin=subprocess.DEVNULL)
    assert done.returncode == 0
    assert (clone / ".venv/installed-dev").is_file()
    assert (clone / "tvm/python/tvm/libtvm.so").is_file()
