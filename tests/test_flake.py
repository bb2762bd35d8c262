"""flake.nix without its inputs: parsed, evaluated with stubs, built with this computer's tools; its lists compared with
the lock files."""

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

from esp_tvm import __version__  # noqa: E402

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
    assert evaluated["version"] == __version__
    for name, app in evaluated["apps"].items():
        assert app == ("app /stub/esp-tvm/bin/esp-tvm" if name == "default" else f"app /stub/esp-tvm-{name}")
    # Every output that the guide or the flake's head names.
    text = (REPO / "docs/container.md").read_text() + (REPO / "flake.nix").read_text()
    assert set(re.findall(r"nix run \.#([a-z]+)", text)) <= set(evaluated["apps"])
    assert set(evaluated["checks"]) == {"demo", "deploy"}
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


# Bash as nixpkgs builds it for scripts has no line editor, and these need one.
PLAIN_BASH = "enable -n bind compgen complete compopt fc history\n"


def test_no_script_needs_the_line_editor_of_bash():
    needs = re.compile(r"[^\"'#]*\b(compgen|complete|compopt|bind|fc|history|read +-[a-z]*e)\b ")
    assert needs.match('  if compgen -G "$WHEELS/*.whl"')
    for script in (REPO / "scripts").glob("*.sh"):
        assert not [line for line in script.read_text().splitlines() if needs.match(line)], script.name


@needs_nix
@pytest.mark.slow
def test_the_package_builds_and_its_checks_pass(tmp_path):
    """nix-build with this machine's Python and tools in the places of Nix's, a bash without a line editor, and nothing
    that can be written besides the build's own folder."""
    wheels = REPO / "vendor"
    if not wheels.is_dir():
        wheels = tmp_path / "vendor"
        subprocess.run([str(REPO / "scripts/vendor.sh"), str(wheels)], check=True)
    (tmp_path / "plain-bash").write_text(PLAIN_BASH)
    given = {"python": sys.base_prefix, "wheels": wheels, "bash_env": tmp_path / "plain-bash"}
    words = [word for name, value in given.items() for word in ("--argstr", name, str(value))]
    places = {f"NIX_{name}_DIR": str(tmp_path / "nix" / name.lower()) for name in ("STORE", "STATE", "LOG", "CONF")}
    done = subprocess.run(
        ["nix-build", "--option", "build-users-group", "", "--option", "sandbox", "false", "--no-out-link"]
        + ["--arg", "flake", str(REPO / "flake.nix"), *words, str(REPO / "tests/nix_stub/build.nix")]
        + ["-A", "package", "-A", "checks"],
        env={**os.environ, **places},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert done.returncode == 0
    package, *projects = map(Path, done.stdout.split())
    assert len(projects) == 2 and all((project / "main/app_main.c").is_file() for project in projects)
    listed = subprocess.run(
        [str(package / "bin/esp-tvm"), "sbom"], cwd=tmp_path, env={"PATH": "/usr/bin:/bin", "HOME": "/proc/nowhere"}
    )
    assert listed.returncode == 0
    # The computer's packages are not part of it.
    assert "pkg:deb" not in (tmp_path / "build/sbom.json").read_text()
    # A store's times say nothing: what is compiled is never compared with them.
    compiled = [path for path in package.rglob("*.pyc") if "/tvm/" in str(path)]
    assert len(compiled) > 100
    assert all(path.read_bytes()[4:8] == b"\x01\0\0\0" for path in compiled)
