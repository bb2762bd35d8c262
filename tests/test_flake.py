"""flake.nix without its inputs: parsed, evaluated with stubs, its lists compared with the lock files."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO / "scripts"))
import vendor_wheels  # noqa: E402

needs_nix = pytest.mark.skipif(
    shutil.which("nix-instantiate") is None, reason="nix is not installed (Debian: apt-get install nix-bin)"
)


def nix(folder: Path, *arguments: str) -> str:
    """What nix-instantiate prints, with a store of its own in `folder`."""
    places = {f"NIX_{name}_DIR": str(folder / name.lower()) for name in ("STORE", "STATE", "LOG", "CONF")}
    done = subprocess.run(
        ["nix-instantiate", "--option", "build-users-group", "", *arguments],
        env={**os.environ, **places},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def evaluated(tmp_path: Path) -> dict:
    """What flake.nix makes of a nixpkgs that has names only (tests/nix_stub)."""
    options = ["--eval", "--strict", "--json", "--arg", "flake", str(REPO / "flake.nix")]
    return json.loads(nix(tmp_path / "nix", *options, str(REPO / "tests/nix_stub/evaluate.nix")))


@needs_nix
def test_it_parses(tmp_path):
    nix(tmp_path, "--parse", str(REPO / "flake.nix"))


@needs_nix
def test_it_has_what_the_guide_names(evaluated):
    assert evaluated["outputs"] == ["apps", "checks", "devShells", "packages"]
    assert {"deploy", "quantize", "export", "default"} < set(evaluated["apps"])
    assert "PYTHON=/stub/python38/bin/python3.8 WHEELS=/stub/esp-tvm-wheels" in evaluated["shell"]["shellHook"]
    assert "esp-tvm deploy MODEL=" in evaluated["checks"]["deploy"]


@needs_nix
def test_what_set_up_makes_is_not_its_source(evaluated):
    kept = set(evaluated["source"])
    (copied,) = re.findall(r"^cp -r (.+) \"\$root\"$", evaluated["install"], re.MULTILINE)
    assert set(copied.split()) < kept
    assert "tools/tvm" in kept
    assert not kept & {".venv", ".git", "build", "tvm", "vendor"}


def test_every_locked_package_has_its_wheel():
    wheels = json.loads((REPO / "scripts/wheels.json").read_text())
    names = [re.match(r"([^-]+)-([^-]+)-", wheel["name"]).groups() for wheel in wheels]
    pinned = {}
    for lock in vendor_wheels.LOCKS:
        for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^ \\]+)", (REPO / lock).read_text(), re.MULTILINE):
            pinned[re.sub("[-_.]+", "-", name).lower()] = version
    assert {re.sub("[-_.]+", "-", name).lower(): version for name, version in names} == pinned
    assert len(wheels) == len(pinned)
    allowed = vendor_wheels.locked_hashes()
    for wheel in wheels:
        assert wheel["sha256"] in allowed
        assert wheel["url"].endswith("/" + wheel["name"])


def test_the_lock_names_the_revision_of_the_flake():
    (revision,) = re.findall(r'nixpkgs\.url = "github:NixOS/nixpkgs/([0-9a-f]{40})"', (REPO / "flake.nix").read_text())
    node = json.loads((REPO / "flake.lock").read_text())["nodes"]["nixpkgs"]
    assert node["locked"]["rev"] == node["original"]["rev"] == revision


@needs_nix
@pytest.mark.slow
def test_the_install_phase_makes_a_package_that_deploys(evaluated, tmp_path):
    """Runs the real install phase with this machine's Python and tools in the places of Nix's."""
    wheels = REPO / "vendor"
    if not wheels.is_dir():
        wheels = tmp_path / "vendor"
        subprocess.run([str(REPO / "scripts/vendor.sh"), str(wheels)], check=True)
    base = subprocess.run(
        [sys.executable, "-c", "import sys; print(sys.base_prefix)"], stdout=subprocess.PIPE, text=True
    ).stdout.strip()
    text = evaluated["install"]
    for stub, real in {
        "/stub/python38": base,
        "/stub/esp-tvm-wheels": str(wheels),
        "/stub/bash/bin/bash": "/bin/bash",
    }.items():
        assert stub in text
        text = text.replace(stub, real)
    out = tmp_path / "out"
    (tmp_path / "temporary").mkdir()
    subprocess.run(
        ["bash", "-euc", f"runHook() {{ :; }}; patchShebangs() {{ :; }}\n{text}"],
        cwd=REPO,
        env={"PATH": os.environ["PATH"], "out": str(out), "TMPDIR": str(tmp_path / "temporary")},
        check=True,
    )
    project = tmp_path / "project"
    project.mkdir()
    for name in ("model.onnx", "calib.npy", "input_sample.npy"):
        shutil.copy(REPO / "examples/digits" / name, project)
    before = sorted(out.rglob("*"))
    words = ["MODEL=model.onnx", "CALIB=calib.npy", "INPUT=input_sample.npy", "TARGET=esp32s3"]
    subprocess.run([str(out / "bin/esp-tvm"), "deploy", *words], cwd=project, check=True)
    assert (project / "build/model/new_project/main/app_main.c").is_file()
    # A store is only read.
    assert sorted(out.rglob("*")) == before
