"""Writes scripts/wheels.json, from which flake.nix fetches: name, address and SHA-256 of each wheel that set-up needs.

    python scripts/vendor_wheels.py FOLDER      FOLDER holds the wheels (make vendor)

A lock file has the hashes of all files of a package; this list has the one file that Linux on x86-64 takes. PyPI keeps
each file under its BLAKE2b hash, so that the address follows from the file itself.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
LOCKS = ("tools/tvm/requirements.lock", "tools/tvm/tvm.lock", "scripts/pip.lock")
LIST = REPO / "scripts" / "wheels.json"


def address(content: bytes, name: str) -> str:
    """Where PyPI keeps the file `name` with this content."""
    digest = hashlib.blake2b(content, digest_size=32).hexdigest()
    return f"https://files.pythonhosted.org/packages/{digest[:2]}/{digest[2:4]}/{digest[4:]}/{name}"


def locked_hashes() -> set[str]:
    """All hashes that the lock files allow."""
    return {found for lock in LOCKS for found in re.findall(r"sha256:([0-9a-f]{64})", (REPO / lock).read_text("utf-8"))}


def main(arguments: list[str]) -> int:
    (folder,) = arguments
    wheels, allowed = [], locked_hashes()
    for path in sorted(Path(folder).glob("*.whl")):
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if digest in allowed:
            wheels.append({"name": path.name, "url": address(content, path.name), "sha256": digest})
    half = LIST.with_suffix(".new")
    half.write_text(json.dumps(wheels, indent=1) + "\n", "utf-8")
    half.replace(LIST)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
