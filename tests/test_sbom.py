"""`make sbom` and the lock files it reads."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO / "scripts"))
import sbom  # noqa: E402


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[str, bytes, bytes]:
    """The table, and the file written by two runs."""
    folder = tmp_path_factory.mktemp("sbom")
    for name in ("one.json", "two.json"):
        done = subprocess.run(
            [str(REPO / "scripts/in-env.sh"), "python", "scripts/sbom.py", "--output", str(folder / name)],
            cwd=REPO,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return done.stdout, (folder / "one.json").read_bytes(), (folder / "two.json").read_bytes()


def test_every_locked_package_is_listed_with_its_hashes(written):
    components = {entry["name"]: entry for entry in json.loads(written[1])["components"]}
    locked = sbom.read_lock(sbom.LOCK)
    assert "onnxruntime" in locked
    assert set(components) == {"apache-tvm", *locked}
    for name, (version, hashes) in locked.items():
        assert components[name]["version"] == version
        assert components[name]["purl"] == f"pkg:pypi/{name}@{version}"
        (reference,) = components[name]["externalReferences"]
        assert [entry["content"] for entry in reference["hashes"]] == sorted(hashes)
        assert components[name]["licenses"], name
        assert f"\n{name} " in written[0]


def test_tvm_says_where_it_comes_from(written):
    tvm = json.loads(written[1])["components"][0]
    assert tvm["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert tvm["version"].startswith("0.")
    assert "origin" in {entry["name"] for entry in tvm["properties"]}


def test_the_same_environment_gives_the_same_bytes(written):
    assert written[1] == written[2]
    assert str(REPO).encode() not in written[1]


def test_all_hashes_of_the_lock_files_are_read():
    for lock in (sbom.LOCK, sbom.DEV_LOCK, sbom.PIP_LOCK, sbom.TVM_LOCK):
        packages = sbom.read_lock(lock)
        text = lock.read_text()
        assert sum(len(hashes) for _, hashes in packages.values()) == text.count("--hash=sha256:")
        assert len(packages) == len(re.findall(r"^[^#\s]\S*==", text, re.MULTILINE))


@pytest.mark.parametrize(
    "licence, entry",
    [
        ("MIT", {"license": {"id": "MIT"}}),
        ("Apache-2.0 OR BSD-2-Clause", {"expression": "Apache-2.0 OR BSD-2-Clause"}),
        ("BSD License", {"license": {"name": "BSD License"}}),
        ("Dual License", {"license": {"name": "Dual License"}}),
        ("Unlicense", {"license": {"name": "Unlicense"}}),
    ],
)
def test_only_what_spdx_knows_is_an_identifier(licence, entry):
    assert sbom.licence_entry(licence) == entry
