"""The components as the component registry takes them: manifests, what is packed, and what Espressif's tools say."""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

import esp_tvm

REPO = Path(__file__).resolve().parents[1]
COMPONENTS = REPO / "template_project_for_model/components"
NAMES = ("esp-dl", "tvm_model")
# Of `make idf-tools`, or of an active ESP-IDF.
COMPOTE = shutil.which("compote", path=str(REPO / "build/env/idf/bin")) or shutil.which("compote")
needs_compote = pytest.mark.skipif(COMPOTE is None, reason="no compote: make idf-tools, or activate ESP-IDF")


def manifests():
    found = [*REPO.glob("template_project_for_model/**/idf_component.yml"), *REPO.glob("examples/*/*/main/*.yml")]
    assert len(found) >= 4
    return found


def test_manifests_are_complete():
    """Version, description and licence of what can be published; the versions of ESP-IDF everywhere."""
    for path in manifests():
        manifest = yaml.safe_load(path.read_text())
        assert set(manifest["dependencies"]) >= {"idf"}, path
        if path.parent.parent != COMPONENTS:
            continue
        assert manifest["version"] == esp_tvm.__version__, "the components have the version of the tools"
        assert re.fullmatch(r"\d+\.\d+\.\d+", manifest["version"])
        assert manifest["license"] == "Apache-2.0" and "Apache License" in (REPO / "LICENSE").read_text()
        assert 10 < len(manifest["description"]) < 200
        assert all(re.fullmatch(r"[a-z0-9-]{3,32}", tag) for tag in manifest["tags"])


@needs_compote
def test_espressifs_linter_finds_nothing():
    command = [COMPOTE, "manifest", "lint", *map(str, manifests())]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout


@needs_compote
@pytest.mark.parametrize("name", NAMES)
def test_components_can_be_packed(name, tmp_path):
    """The archive has every file that the component's CMakeLists.txt names, and nothing that was built."""
    component = tmp_path / name
    shutil.copytree(COMPONENTS / name, component)
    (component / "build").mkdir()
    (component / "build/x.o").write_text("built")
    command = [COMPOTE, "component", "pack", "--name", name.replace("-", "_"), "--project-dir", str(component)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    (archive,) = component.glob("dist/*.tgz")
    assert archive.name == f"{name.replace('-', '_')}_{esp_tvm.__version__}.tgz"
    with tarfile.open(archive) as packed:
        files = {member.name.replace("./", "", 1) for member in packed.getmembers() if member.isfile()}
    listed = re.findall(r"(?<![\w/}])src/[\w/]+\.[cS]\b", (component / "CMakeLists.txt").read_text())
    assert set(listed) <= files and {"CMakeLists.txt", "Kconfig", "idf_component.yml"} <= files
    assert not any("build" in file for file in files)
