"""Lists what the tools are made of: packages, versions, licences, hashes; as a table, and as CycloneDX 1.5 JSON.

    scripts/in-env.sh python scripts/sbom.py [--output build/sbom.json]

Python's packages are those of tools/tvm/requirements.lock (with --all whatever is installed in the environment, what
tests and lint need too); their hashes are those of the files that the lock lets pip install. TVM comes out of the
package that tools/tvm/tvm.lock pins. In the container image Debian's packages are listed too. The same environment
gives the same bytes: there is no date and no random number in it.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator

REPO = Path(__file__).resolve().parent.parent
LOCK = REPO / "tools" / "tvm" / "requirements.lock"
DEV_LOCK = REPO / "scripts" / "requirements-dev.lock"
PIP_LOCK = REPO / "scripts" / "pip.lock"
TVM_LOCK = REPO / "tools" / "tvm" / "tvm.lock"

sys.path.insert(0, str(REPO / "tools"))
from esp_tvm import cli  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.files import write_text  # noqa: E402

# What packages write about their licence, in SPDX's words. Anything else is kept as it is written.
SPDX = {
    "apache 2.0": "Apache-2.0",
    "apache license v2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "mit": "MIT",
    "mit license": "MIT",
    "bsd 3-clause": "BSD-3-Clause",
    "new bsd": "BSD-3-Clause",
}
_IDENTIFIER = re.compile(r"[A-Za-z0-9.+-]+")


def normal(name: str) -> str:
    """A package's name as PEP 503 compares it."""
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


def licence_entry(licence: str) -> dict[str, Any]:
    """`licence` as CycloneDX writes it."""
    if _IDENTIFIER.fullmatch(licence):
        known = licence in SPDX.values() or re.search(r"-\d", licence)
        return {"license": {"id" if known else "name": licence}}
    parts = re.split(r" (?:AND|OR|WITH) ", licence)
    if len(parts) > 1 and all(_IDENTIFIER.fullmatch(part) for part in parts):
        return {"expression": licence}
    return {"license": {"name": licence}}


def component(name: str, version: str, licence: str, purl: str, hashes: list[str], **more: Any) -> dict[str, Any]:
    """One component; `hashes` are those of the files it may have been installed from."""
    entry: dict[str, Any] = {"type": "library", "bom-ref": purl, "name": name, "version": version}
    if licence:
        entry["licenses"] = [licence_entry(licence)]
    entry["purl"] = purl
    references = list(more.pop("references", []))
    if hashes:
        references.append(
            {
                "type": "distribution",
                "url": f"https://pypi.org/project/{name}/{version}/#files",
                "hashes": [{"alg": "SHA-256", "content": content} for content in sorted(hashes)],
            }
        )
    if references:
        entry["externalReferences"] = references
    return {**entry, **more}


def python_packages(everything: bool) -> Iterator[dict[str, Any]]:
    """The installed packages in alphabetical order; UserError when one differs from its lock."""
    locked = read_lock(LOCK)
    others = {**read_lock(DEV_LOCK), **read_lock(PIP_LOCK)}
    installed = {normal(found.metadata["Name"]): found for found in importlib.metadata.distributions()}
    for name in sorted(set(locked) | (set(installed) if everything else set())):
        if name not in installed:
            raise UserError(f"{name} is in {LOCK.name} but not installed; type: make setup")
        version = installed[name].version
        expected, hashes = locked.get(name) or others.get(name) or (version, [])
        if version != expected:
            if name in locked:
                raise UserError(f"{name} {version} is installed, {LOCK.name} says {expected}; type: make setup")
            hashes = []
        yield component(name, version, licence_of(installed[name]), f"pkg:pypi/{name}@{version}", hashes)


def tvm_component() -> dict[str, Any]:
    """TVM as it is on the path: version from its own text, and the package it was taken from."""
    for folder in sys.path:
        libinfo = Path(folder) / "tvm" / "_ffi" / "libinfo.py"
        if libinfo.is_file():
            break
    else:
        raise UserError("TVM is not on PYTHONPATH; start this through scripts/in-env.sh")
    version = re.search(r'^__version__ = "([^"]+)"', libinfo.read_text("utf-8"), re.MULTILINE).group(1)
    references = [{"type": "website", "url": "https://tvm.apache.org"}]
    ours = REPO / "tvm"
    if ours in libinfo.resolve().parents and (ours / "installed-files.json").is_file():
        ((package, (package_version, hashes)),) = read_lock(TVM_LOCK).items()
        origin = f"taken out of the PyPI package {package} {package_version}, which carries it complete"
        references.append(
            {
                "type": "distribution",
                "url": f"https://pypi.org/project/{package}/{package_version}/#files",
                "hashes": [{"alg": "SHA-256", "content": content} for content in hashes],
            }
        )
    else:
        origin = "the user's own"
    properties = [{"name": "origin", "value": origin}]
    purl = f"pkg:generic/apache-tvm@{version}"
    return component("apache-tvm", version, "Apache-2.0", purl, [], references=references, properties=properties)


def debian_packages() -> Iterator[dict[str, Any]]:
    """Debian's packages in the image; their licences stand in /usr/share/doc/<name>/copyright."""
    done = subprocess.run(
        ["dpkg-query", "-W", "-f=${Package}\t${Version}\t${Architecture}\n"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    for line in sorted(set(done.stdout.splitlines())):
        name, version, architecture = line.split("\t")
        purl = f"pkg:deb/debian/{name}@{version.replace('+', '%2B').replace(':', '%3A')}?arch={architecture}"
        copyright_file = f"/usr/share/doc/{name}/copyright"
        properties = [{"name": "licence", "value": copyright_file}]
        yield component(name, version, "", purl, [], properties=properties)


def table(components: list[dict[str, Any]]) -> Iterator[str]:
    """The lines of the table that people read."""
    yield f"{'package':32} {'version':28} licence"
    for entry in components:
        found = entry.get("licenses", [{}])[0]
        licence = found.get("expression") or "".join(found.get("license", {}).values())
        values = {item["name"]: item["value"] for item in entry.get("properties", [])}
        if "origin" in values:
            licence += f" ({values['origin']})"
        yield f"{entry['name']:32} {entry['version']:28} {licence or values.get('licence', '')}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", metavar="FILE", help="also write CycloneDX 1.5 JSON")
    parser.add_argument("--all", action="store_true", help="every Python package of the environment")
    arguments = parser.parse_args()
    components = [tvm_component(), *python_packages(arguments.all)]
    if (REPO / ".venv" / "sealed").exists() and shutil.which("dpkg-query"):
        components += debian_packages()
    for line in table(components):
        print(line)
    if arguments.output:
        document = {
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            "version": 1,
            "metadata": {
                "component": {
                    "type": "application",
                    "name": "esp-tvm",
                    "licenses": [{"license": {"id": "Apache-2.0"}}],
                }
            },
            "components": components,
        }
        write_text(arguments.output, json.dumps(document, indent=1) + "\n")
        print(f"written: {arguments.output}")
    return 0


if __name__ == "__main__":
    cli.run(main)
