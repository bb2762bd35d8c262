"""`make sbom` and the lock files it reads."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from cyclonedx.exception import MissingOptionalDependencyException
from cyclonedx.model.bom import Bom
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

import esp_tvm

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO / "scripts"))
import sbom  # noqa: E402


def run(output: Path, *options: str, epoch: str = "") -> subprocess.CompletedProcess:
    """`make sbom` into a file, with SOURCE_DATE_EPOCH where `epoch` is given."""
    environment = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    return subprocess.run(
        [str(REPO / "scripts/in-env.sh"), "python", "scripts/sbom.py", "--output", str(output), *options],
        cwd=REPO,
        env={**environment, **({"SOURCE_DATE_EPOCH": epoch} if epoch else {})},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[str, bytes, bytes]:
    """The table, and the file written by two runs."""
    folder = tmp_path_factory.mktemp("sbom")
    for name in ("one.json", "two.json"):
        done = run(folder / name)
        assert done.returncode == 0, done.stderr
    return done.stdout, (folder / "one.json").read_bytes(), (folder / "two.json").read_bytes()


@pytest.fixture(scope="module")
def document(written) -> dict:
    return json.loads(written[1])


@pytest.fixture(scope="module")
def components(document) -> dict[str, dict]:
    """The components by name."""
    return {entry["name"]: entry for entry in document["components"]}


@pytest.fixture(scope="module")
def needs(document) -> dict[str, set]:
    """The dependency graph: reference -> those of what it needs."""
    return {entry["ref"]: set(entry.get("dependsOn", [])) for entry in document["dependencies"]}


def reference(components: dict[str, dict], name: str) -> str:
    return components[name]["bom-ref"]


def test_every_locked_package_is_listed_with_its_hashes(written, components):
    locked = sbom.read_lock(sbom.LOCK)
    assert "onnxruntime" in locked
    assert set(components) == {"apache-tvm", "CPython", *locked}
    for name, (version, hashes) in locked.items():
        assert components[name]["version"] == version
        assert components[name]["purl"] == f"pkg:pypi/{name}@{version}"
        (source,) = components[name]["externalReferences"]
        assert [entry["content"] for entry in source["hashes"]] == sorted(hashes)
        assert components[name]["licenses"], name
        assert f"\n{name} " in written[0]


def test_the_installed_wheel_is_told_from_the_others_of_the_lock(components):
    """On the computers that scripts/wheels.json is for, every package has the hash of its own wheel."""
    if platform.machine() != "x86_64" or platform.python_version_tuple()[:2] != ("3", "8"):
        pytest.skip("scripts/wheels.json is for CPython 3.8 on x86-64")
    found = {wheel["sha256"]: wheel["name"] for wheel in json.loads(sbom.WHEELS.read_text())}
    for name in sbom.read_lock(sbom.LOCK):
        (wheel,) = components[name]["hashes"]
        assert sbom.normal(found[wheel["content"]]).startswith(f"{name}-"), name


def test_a_wheel_is_not_guessed(tmp_path):
    def installed(tag: str) -> importlib.metadata.PathDistribution:
        folder = tmp_path / tag / "numpy-1.24.4.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 1.24.4\n")
        (folder / "WHEEL").write_text(f"Wheel-Version: 1.0\nTag: {tag}\n")
        return importlib.metadata.PathDistribution(folder)

    _, hashes = sbom.read_lock(sbom.LOCK)["numpy"]
    x86 = "cp38-cp38-manylinux_2_17_x86_64.manylinux2014_x86_64"
    (expected,) = (w["sha256"] for w in json.loads(sbom.WHEELS.read_text()) if w["name"] == f"numpy-1.24.4-{x86}.whl")
    assert sbom.installed_wheel(installed(x86), hashes) == expected
    # Another wheel of the same version, one that the lock does not allow, and the only one that it does.
    other = installed("cp38-cp38-manylinux_2_17_aarch64")
    assert sbom.installed_wheel(other, hashes) == ""
    assert sbom.installed_wheel(installed("cp38-cp38-linux_x86_64"), ["0" * 64, "1" * 64]) == ""
    assert sbom.installed_wheel(other, ["0" * 64]) == "0" * 64


def test_tvm_says_where_it_comes_from(components):
    tvm = components["apache-tvm"]
    assert tvm["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert tvm["version"].startswith("0.")
    assert "origin" in {entry["name"] for entry in tvm["properties"]}


def test_what_is_inside_of_libraries_is_listed(components):
    import tvm  # the set-up's own, or the user's

    llvm = [entry for entry in components["apache-tvm"].get("components", []) if entry["name"] == "LLVM"]
    if any("installed-files" in path.name for path in Path(tvm.__file__).resolve().parents[2].glob("*.json")):
        assert llvm, "libtvm.so of the set-up carries its LLVM"
    for entry in llvm:
        assert int(entry["version"].split(".")[0]) == tvm.target.codegen.llvm_version_major()
    for name in ("numpy", "scipy"):
        site = Path(importlib.metadata.distribution(name).locate_file(""))
        parts = components[name]["components"]
        (openblas,) = (part for part in parts if part["name"] == "OpenBLAS")
        assert re.fullmatch(r"0\.3\.\d+", openblas["version"])
        assert openblas["licenses"] == [{"license": {"id": "BSD-3-Clause"}}]
        files = {part["properties"][0]["value"]: part["hashes"][0]["content"] for part in parts}
        assert set(files) == {f"{name}.libs/{path.name}" for path in (site / f"{name}.libs").iterdir()}
        for file, content in files.items():
            assert hashlib.sha256((site / file).read_bytes()).hexdigest() == content
    # The file's name ends with OpenBLAS's version in both.
    assert openblas["properties"][0]["value"].endswith(f"{openblas['version'].split('.', 1)[1]}.so")


def test_the_document_says_what_it_is_about_and_who_made_it(document, components):
    about = document["metadata"]["component"]
    assert (about["name"], about["version"], about["type"]) == ("esp-tvm", esp_tvm.__version__, "application")
    tools = {tool["name"]: tool["version"] for tool in document["metadata"]["tools"]["components"]}
    library = importlib.metadata.version("cyclonedx-python-lib")
    assert tools == {"cyclonedx-python-lib": library, "scripts/sbom.py": esp_tvm.__version__}
    assert components["CPython"]["version"] == platform.python_version()


def test_dependencies_are_those_of_the_packages(document, components, needs):
    def refs(*names: str) -> set:
        return {reference(components, name) for name in names}

    root = needs[document["metadata"]["component"]["bom-ref"]]
    assert root == refs("apache-tvm", "CPython", *sbom.read_lock(sbom.REQUIREMENTS))
    assert needs[reference(components, "jinja2")] == refs("CPython", "markupsafe")
    assert refs("numpy", "scipy") <= needs[reference(components, "apache-tvm")]
    # Its requirement of another system is none here, nor what an extra of it would need.
    assert needs[reference(components, "humanfriendly")] == refs("CPython")
    assert needs[reference(components, "cyclonedx-python-lib")] == refs(
        *("CPython", "license-expression", "packageurl-python", "py-serializable", "sortedcontainers")
    )
    reached, new = set(), set(root)
    while new:
        reached |= new
        new = set().union(*(needs[ref] for ref in new)) - reached
    everything = {entry["bom-ref"] for entry in document["components"]}
    assert everything <= reached, "every package of the lock is needed by something"


def test_the_library_reads_its_document(written):
    """The strict schema where its validator is installed; always the library's own model, and back."""
    text = written[1].decode("utf-8")
    try:
        assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(text) is None
    except MissingOptionalDependencyException:
        pass
    bom = Bom.from_json(json.loads(text))
    # Where there is none, reading takes the time of reading.
    bom.metadata.timestamp = None
    again = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_5).output_as_string(indent=1) + "\n"
    assert again == text


def test_the_same_environment_gives_the_same_bytes(written):
    assert written[1] == written[2]
    assert str(REPO).encode() not in written[1]
    assert "timestamp" not in json.loads(written[1])["metadata"]


def test_the_serial_number_follows_from_the_content(document):
    number = uuid.UUID(document["serialNumber"])
    assert number.version == 5
    tvm, packages = sbom.tvm_component(), list(sbom.python_packages(False))
    assert sbom.written(sbom.bill_of_materials(tvm, packages)) == json.dumps(document, indent=1) + "\n"
    packages[0].version += ".post1"
    changed = json.loads(sbom.written(sbom.bill_of_materials(tvm, packages)))
    assert uuid.UUID(changed["serialNumber"]) != number


def test_source_date_epoch_gives_the_time(tmp_path, document):
    assert run(tmp_path / "dated.json", epoch="86400").returncode == 0
    dated = json.loads((tmp_path / "dated.json").read_text())
    assert dated["metadata"].pop("timestamp") == "1970-01-02T00:00:00+00:00"
    assert dated.pop("serialNumber") != document["serialNumber"]
    assert dated == {name: value for name, value in document.items() if name != "serialNumber"}


@pytest.mark.parametrize("epoch", ["yesterday", "9" * 30, "1.5"])
def test_a_time_that_is_none_is_refused(tmp_path, epoch):
    done = run(tmp_path / "none.json", epoch=epoch)
    assert done.returncode == 2 and not (tmp_path / "none.json").exists()
    assert done.stderr == f"error: SOURCE_DATE_EPOCH={epoch} is no time in seconds since 1970\n"


def test_what_only_tests_need_is_no_part_of_what_runs(tmp_path):
    assert run(tmp_path / "all.json", "--all").returncode == 0
    listed = json.loads((tmp_path / "all.json").read_text())["components"]
    scopes = {entry["name"]: entry.get("scope") for entry in listed}
    assert scopes["pytest"] == "excluded" and scopes["numpy"] is None


@pytest.mark.skipif(not shutil.which("dpkg-query"), reason="dpkg-query is not on PATH")
def test_debian_packages_are_written_too(document):
    """As in the image."""
    debian = list(sbom.debian_packages())
    tvm, packages = sbom.tvm_component(), list(sbom.python_packages(False))
    found = json.loads(sbom.written(sbom.bill_of_materials(tvm, packages, debian)))
    names = [entry["name"] for entry in found["components"]]
    assert len(names) == len(document["components"]) + len(debian)
    (libc,) = (entry for entry in found["components"] if entry["name"] == "libc6")
    assert libc["purl"].startswith("pkg:deb/debian/libc6@") and "?arch=" in libc["purl"]


def test_all_hashes_of_the_lock_files_are_read():
    for lock in (sbom.LOCK, sbom.DEV_LOCK, sbom.PIP_LOCK, sbom.TVM_LOCK):
        packages = sbom.read_lock(lock)
        text = lock.read_text()
        assert sum(len(hashes) for _, hashes in packages.values()) == text.count("--hash=sha256:")
        assert len(packages) == len(re.findall(r"^[^#\s]\S*==", text, re.MULTILINE))


@pytest.mark.parametrize(
    "licence, attribute, value",
    [
        ("MIT", "id", "MIT"),
        ("Unlicense", "id", "Unlicense"),
        ("Apache-2.0 OR BSD-2-Clause", "value", "Apache-2.0 OR BSD-2-Clause"),
        ("Apache-2.0 WITH LLVM-exception", "value", "Apache-2.0 WITH LLVM-exception"),
        ("BSD License", "name", "BSD License"),
        ("Dual License", "name", "Dual License"),
        ("MIT AND Our Own", "name", "MIT AND Our Own"),
    ],
)
def test_only_what_spdx_knows_is_an_identifier(licence, attribute, value):
    assert getattr(sbom.licence_entry(licence), attribute) == value
