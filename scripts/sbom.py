"""Lists the packages of the tools with versions, licences and hashes; as a table, and as CycloneDX 1.5 JSON.

    scripts/in-env.sh python scripts/sbom.py [--output build/sbom.json]

Python's packages are those of tools/tvm/requirements.lock (with --all whatever is installed in the environment, what
tests and lint need too): the hash of each is that of the wheel that is installed, where that is known, and beside it
stand those of all files that the lock lets pip install. The libraries that a wheel carries (OpenBLAS in NumPy's and
SciPy's) are parts of its package, and LLVM is one of TVM, which comes out of the package that tools/tvm/tvm.lock pins.
In the container image Debian's packages are listed too. The same environment gives the same bytes: the serial number
follows from the content, and there is a time in it only where SOURCE_DATE_EPOCH gives one.
"""

from __future__ import annotations

import argparse
import base64
import functools
import importlib.metadata
import json
import mmap
import os
import platform
import re
import shutil
import subprocess
import sys
import uuid
from datetime import datetime, timezone
from pathlib import Path
from typing import Iterable, Iterator

from cyclonedx.builder.this import this_component
from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.license import License
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.tags import parse_tag
from packaging.utils import parse_wheel_filename
from packaging.version import Version

REPO = Path(__file__).resolve().parent.parent
REQUIREMENTS = REPO / "tools" / "tvm" / "requirements.txt"
LOCK = REPO / "tools" / "tvm" / "requirements.lock"
DEV_LOCK = REPO / "scripts" / "requirements-dev.lock"
PIP_LOCK = REPO / "scripts" / "pip.lock"
TVM_LOCK = REPO / "tools" / "tvm" / "tvm.lock"
WHEELS = REPO / "scripts" / "wheels.json"

sys.path.insert(0, str(REPO / "tools"))
from esp_tvm import __version__, cli  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.files import write_text  # noqa: E402

# Licence texts of packages and their SPDX identifiers. Other texts are kept as they are.
SPDX = {
    "apache 2.0": "Apache-2.0",
    "apache license v2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "mit": "MIT",
    "mit license": "MIT",
    "bsd 3-clause": "BSD-3-Clause",
    "new bsd": "BSD-3-Clause",
}
# Libraries that wheels carry: the name of the file -> (name, licence). Others are listed by their file's name.
CARRIED = {
    "libopenblas": ("OpenBLAS", "BSD-3-Clause"),
    "libopenblasp": ("OpenBLAS", "BSD-3-Clause"),
    "libopenblas64_p": ("OpenBLAS", "BSD-3-Clause"),
    "libgfortran": ("libgfortran", "GPL-3.0-or-later WITH GCC-exception-3.1"),
    "libgomp": ("libgomp", "GPL-3.0-or-later WITH GCC-exception-3.1"),
    "libquadmath": ("libquadmath", "LGPL-2.1-or-later"),
}
# The imports of TVM's Python files: TVM is not installed as a package, so no metadata lists them.
TVM_REQUIRES = ("attrs", "cloudpickle", "decorator", "ml-dtypes", "numpy", "psutil", "scipy", "typing-extensions")
PROJECT = "esp-tvm"


def normal(name: str) -> str:
    """A package's name in the normal form of PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_lock(path: Path) -> dict[str, tuple[str, list[str]]]:
    """The packages of a lock file: normal name -> (version, SHA-256 of each file that may be installed)."""
    packages: dict[str, tuple[str, list[str]]] = {}
    name = ""
    for line in path.read_text("utf-8").splitlines():
        pinned = re.match(r"([A-Za-z0-9._-]+)==([^ \\]+)", line)
        if pinned:
            name = normal(pinned.group(1))
            packages[name] = (pinned.group(2), [])
        if name:
            packages[name][1].extend(re.findall(r"--hash=sha256:([0-9a-f]{64})", line))
    return packages


def licence_of(distribution: importlib.metadata.Distribution) -> str:
    """A package's licence: an SPDX identifier or expression where its words say it clearly, else its words."""
    metadata = distribution.metadata
    if metadata.get("License-Expression"):
        return metadata["License-Expression"]
    words = [line.strip() for line in (metadata.get("License") or "").splitlines() if line.strip()]
    classifiers = [
        name.rsplit(" :: ", 1)[-1] for name in metadata.get_all("Classifier", []) if name.startswith("License :: ")
    ]
    # A whole licence's text, or nothing: then the classifier says more.
    if len(words) == 1 and words[0].upper() != "UNKNOWN" and words[0] != "BSD":
        return SPDX.get(words[0].lower(), words[0])
    return " AND ".join(SPDX.get(name.lower(), name) for name in classifiers) or "not stated"


def licence_entry(licence: str) -> License:
    """`licence` as CycloneDX has it: an identifier or expression of SPDX's where it is one, else a name."""
    return LicenseFactory().make_from_string(licence)


def sha256(hashes: Iterable[str]) -> list[HashType]:
    return [HashType(alg=HashAlgorithm.SHA_256, content=content) for content in hashes]


def on_pypi(name: str, version: str, hashes: Iterable[str]) -> ExternalReference:
    """Where a package was taken from; `hashes`: of the files that the lock allows."""
    url = XsUri(f"https://pypi.org/project/{name}/{version}/#files")
    return ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=url, hashes=sha256(hashes))


def component(purl: PackageURL, licence: str = "", **more) -> Component:
    """A library, known by its `purl`; more: what else Component takes."""
    entry = {"name": purl.name, "version": purl.version, "bom_ref": purl.to_string(), "purl": purl, **more}
    return Component(licenses=[licence_entry(licence)] if licence else [], **entry)


@functools.lru_cache(maxsize=None)
def known_wheels() -> dict[tuple, str]:
    """Wheels of the lock files, as `make vendor` found them: (normal name, version, tags) -> SHA-256."""
    found = {}
    for wheel in json.loads(WHEELS.read_text("utf-8")):
        name, version, _, tags = parse_wheel_filename(wheel["name"])
        found[(name, version, tags)] = wheel["sha256"]
    return found


def installed_wheel(distribution: importlib.metadata.Distribution, allowed: list[str]) -> str:
    """The SHA-256 of the wheel that a package was installed from, one of those `allowed`; "" where it is not known.

    pip checks a wheel against the lock, but keeps neither its name nor its hash: the wheel is known where the lock
    allows one only, or by the tags that the wheel says of itself.
    """
    if len(allowed) == 1:
        return allowed[0]
    lines = (distribution.read_text("WHEEL") or "").splitlines()
    tags = frozenset(tag for line in lines if line.startswith("Tag: ") for tag in parse_tag(line[5:].strip()))
    key = (normal(distribution.metadata["Name"]), Version(distribution.version), tags)
    found = known_wheels().get(key, "")
    return found if found in allowed else ""


def search_file(path: Path, pattern: bytes) -> str:
    """The first group of the first match of `pattern` in a (large) file, or nothing."""
    with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = re.search(pattern, content)
        return found.group(1).decode("ascii") if found else ""


def carried_libraries(distribution: importlib.metadata.Distribution, owner: str) -> Iterator[Component]:
    """The shared libraries that a repaired wheel carries in <name>.libs; owner: the package's reference."""
    for file in sorted(distribution.files or []):
        if len(file.parts) != 2 or not file.parts[0].endswith(".libs"):
            continue
        # libopenblas64_p-r0-15028c96.3.21.so: what comes before the hash that auditwheel puts in
        stem = re.split(r"(?:-r\d+)?-[0-9a-f]{8}\b", file.name)[0]
        name, licence = CARRIED.get(stem, (stem, ""))
        version = search_file(Path(file.locate()), rb"OpenBLAS (\d+\.\d+\.\d+)") if name == "OpenBLAS" else ""
        content = base64.urlsafe_b64decode(file.hash.value + "=").hex() if file.hash else ""
        yield Component(
            name=name,
            version=version or None,
            bom_ref=f"{owner}#{file}",
            licenses=[licence_entry(licence)] if licence else [],
            purl=PackageURL("generic", None, name.lower(), version or None),
            hashes=sha256([content] if content else []),
            properties=[Property(name="file", value=str(file))],
        )


def installed_packages() -> dict[str, importlib.metadata.Distribution]:
    return {normal(found.metadata["Name"]): found for found in importlib.metadata.distributions()}


def python_packages(everything: bool) -> Iterator[Component]:
    """The installed packages in alphabetical order; UserError when one differs from its lock."""
    locked = read_lock(LOCK)
    others = {**read_lock(DEV_LOCK), **read_lock(PIP_LOCK)}
    installed = installed_packages()
    for name in sorted(set(locked) | (set(installed) if everything else set())):
        if name not in installed:
            raise UserError(f"{name} is in {LOCK.name} but not installed; type: make setup")
        version = installed[name].version
        expected, hashes = locked.get(name) or others.get(name) or (version, [])
        if version != expected:
            if name in locked:
                raise UserError(f"{name} {version} is installed, {LOCK.name} says {expected}; type: make setup")
            hashes = []
        purl = PackageURL("pypi", None, name, version)
        wheel = installed_wheel(installed[name], hashes)
        yield component(
            purl,
            licence_of(installed[name]),
            hashes=sha256([wheel] if wheel else []),
            external_references=[on_pypi(name, version, hashes)] if hashes else [],
            components=carried_libraries(installed[name], purl.to_string()),
            # Packages that only tests, lint and the set-up need are not part of the tools.
            scope=None if name in locked else ComponentScope.EXCLUDED,
        )


def tvm_package() -> Path:
    """TVM's Python package as it is on the path."""
    for folder in sys.path:
        if (Path(folder) / "tvm" / "_ffi" / "libinfo.py").is_file():
            return Path(folder) / "tvm"
    raise UserError("TVM is not on PYTHONPATH; start this through scripts/in-env.sh")


def llvm_inside(package: Path) -> Component | None:
    """LLVM as it is linked into TVM's library; None where there is none: TVM may use a shared one."""
    places = [package, package.parent.parent / "build", package.parent.parent / "lib"]
    library = next((place / "libtvm.so" for place in places if (place / "libtvm.so").is_file()), None)
    # The signature in LLVM's bitcode.
    version = search_file(library, rb"\0LLVM ?(\d+\.\d+\.\d+)\0") if library else ""
    if not version:
        return None
    purl = PackageURL("generic", None, "llvm", version)
    file = Property(name="file", value=library.name)
    return component(purl, "Apache-2.0 WITH LLVM-exception", name="LLVM", properties=[file])


def tvm_component() -> Component:
    """TVM as it is on the path: version from its own text, and the package it was taken from."""
    package = tvm_package()
    libinfo = package / "_ffi" / "libinfo.py"
    version = re.search(r'^__version__ = "([^"]+)"', libinfo.read_text("utf-8"), re.MULTILINE).group(1)
    references = [ExternalReference(type=ExternalReferenceType.WEBSITE, url=XsUri("https://tvm.apache.org"))]
    ours = REPO / "tvm"
    if ours.resolve() in libinfo.resolve().parents and (ours / "installed-files.json").is_file():
        ((carrier, (carrier_version, hashes)),) = read_lock(TVM_LOCK).items()
        origin = f"taken out of the PyPI package {carrier} {carrier_version}, which carries it complete"
        references.append(on_pypi(carrier, carrier_version, hashes))
    else:
        origin = "the user's own"
    llvm = llvm_inside(package)
    return component(
        PackageURL("generic", None, "apache-tvm", version),
        "Apache-2.0",
        external_references=references,
        properties=[Property(name="origin", value=origin)],
        components=[llvm] if llvm else [],
    )


def cpython() -> Component:
    """The interpreter."""
    name, version = platform.python_implementation(), platform.python_version()
    purl = PackageURL("generic", None, name.lower(), version)
    return component(purl, "Python-2.0", name=name, type=ComponentType.PLATFORM)


def debian_packages() -> Iterator[Component]:
    """Debian's packages in the image; their licences stand in /usr/share/doc/<name>/copyright."""
    done = subprocess.run(
        ["dpkg-query", "-W", "-f=${Package}\t${Version}\t${Architecture}\n"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    for line in sorted(set(done.stdout.splitlines())):
        name, version, architecture = line.split("\t")
        purl = PackageURL("deb", "debian", name, version, qualifiers={"arch": architecture})
        yield component(purl, properties=[Property(name="licence", value=f"/usr/share/doc/{name}/copyright")])


def required(name: str, installed: dict[str, importlib.metadata.Distribution]) -> Iterator[str]:
    """What a package requires here, without its extras, as normal names."""
    for text in installed[name].requires or []:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield normal(requirement.name)


def add_dependencies(bom: Bom, tvm: Component, interpreter: Component, packages: list[Component]) -> None:
    """Record the dependencies of components: by the packages' metadata, and the project by its requirements."""
    installed, by_name = installed_packages(), {package.name: package for package in packages}
    direct = [by_name[name] for name in read_lock(REQUIREMENTS) if name in by_name]
    bom.register_dependency(bom.metadata.component, [tvm, interpreter, *direct])
    bom.register_dependency(tvm, [interpreter, *(by_name[name] for name in TVM_REQUIRES), *tvm.components])
    for name, package in by_name.items():
        needs = [by_name[other] for other in required(name, installed) if other in by_name]
        bom.register_dependency(package, [interpreter, *needs, *package.components])


def source_date() -> datetime | None:
    """The time that SOURCE_DATE_EPOCH gives, in seconds since 1970; None if it is not set."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return None
    try:
        return datetime.fromtimestamp(int(text), timezone.utc)
    except (ValueError, OverflowError, OSError):
        raise UserError(f"SOURCE_DATE_EPOCH={text} is no time in seconds since 1970")


def bill_of_materials(tvm: Component, packages: list[Component], others: Iterable[Component] = ()) -> Bom:
    """The whole document, except its serial number."""
    interpreter = cpython()
    bom = Bom(serial_number=uuid.UUID(int=0), components=[tvm, interpreter, *packages, *others])
    bom.metadata.timestamp = source_date()
    bom.metadata.component = component(
        PackageURL("generic", None, PROJECT, __version__), "Apache-2.0", type=ComponentType.APPLICATION
    )
    ours = Component(name="scripts/sbom.py", version=__version__, type=ComponentType.APPLICATION, group=PROJECT)
    bom.metadata.tools = ToolRepository(components=[this_component(), ours])
    add_dependencies(bom, tvm, interpreter, packages)
    return bom


def written(bom: Bom) -> str:
    """`bom` as JSON, with a serial number derived from its content."""

    def text() -> str:
        return make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_5).output_as_string(indent=1) + "\n"

    bom.serial_number = uuid.UUID(int=0)
    bom.serial_number = uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_DNS, PROJECT), text())
    return text()


def table(components: Iterable[Component]) -> Iterator[str]:
    """The lines of the table for users; libraries inside a component are listed below it."""
    yield f"{'package':32} {'version':28} licence"
    for entry in components:
        yield _line(entry, entry.name)
        for part in sorted(entry.components):
            yield _line(part, f"  {part.name}")


def _line(entry: Component, name: str) -> str:
    licence = "".join(getattr(found, "value", None) or found.id or found.name for found in entry.licenses)
    values = {found.name: found.value for found in entry.properties}
    words = [licence or values.get("licence", "not stated")]
    words += [f"({values[name]})" for name in ("origin", "file") if name in values]
    return f"{name:32} {entry.version or '':28} {' '.join(words)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", metavar="FILE", help="also write CycloneDX 1.5 JSON")
    parser.add_argument("--all", action="store_true", help="every Python package of the environment")
    arguments = parser.parse_args()
    tvm, packages = tvm_component(), list(python_packages(arguments.all))
    # Elsewhere they belong to the computer, not to what is delivered.
    in_image = (REPO / ".image").exists() and shutil.which("dpkg-query")
    debian = list(debian_packages()) if in_image else []
    for line in table([tvm, cpython(), *packages, *debian]):
        print(line)
    if arguments.output:
        write_text(arguments.output, written(bill_of_materials(tvm, packages, debian)))
        print(f"written: {arguments.output}")
    return 0


if __name__ == "__main__":
    cli.run(main)
