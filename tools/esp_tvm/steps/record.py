"""Records which product was made from what: content hashes decide what is up to date and what `make clean` may remove.

OUT/.made/<step>.json is the recipe with which a step was last done; OUT/.made/products.json has the SHA-256 of every
file that a step wrote, as it left it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import re
from pathlib import Path
from typing import Dict, Iterable, Iterator, List

from ..project.users_files import MARKER, remove_empty_folders, remove_unchanged

MADE = ".made"
_PRODUCTS = "products.json"
PROJECT = "new_project"
# The entry of an ONNX tensor that names its file: key 'location', then the length and the value.
_LOCATION = re.compile(rb"\n\x08location\x12([\x01-\x7f]|[\x80-\xff][\x01-\x7f])")


def sha256(path: Path) -> str:
    """Of a file's content."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def weight_files(model: Path) -> List[Path]:
    """The files that an ONNX model names for its weights, beside it."""
    found = set()
    with contextlib.suppress(OSError, ValueError), open(model, "rb") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for match in _LOCATION.finditer(data):
                length = match.group(1)
                size = length[0] if len(length) == 1 else (length[0] & 0x7F) | length[1] << 7
                found.add(bytes(data[match.end() : match.end() + size]))
    paths = [model.parent / os.fsdecode(name) for name in sorted(found) if b"\0" not in name]
    return [path for path in paths if path.is_file()]


def content(path: str) -> List[str]:
    """A hash that changes if a file, its weights beside it, or any file in a folder changes."""
    here = Path(path)
    if here.is_dir():
        files = sorted(p for p in here.rglob("*") if p.is_file())
        return [f"{sha256(file)} {file.relative_to(here)}" for file in files]
    return [sha256(here), *(f"{sha256(file)} {file.name}" for file in weight_files(here))]


class Records:
    """The records in one folder OUT."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def recipe(self, step: str) -> dict:
        """The recipe with which `step` was last done; {} if it was never done, or is not complete."""
        return self._read(f"{step}.json")

    def models(self) -> List[str]:
        """The models from which anything here was made."""
        recipes = [self.recipe(path.stem) for path in sorted((self.out / MADE).glob("*.json"))]
        return sorted({recipe["MODEL"] for recipe in recipes if isinstance(recipe.get("MODEL"), str)})

    def note(self, step: str, recipe: dict) -> None:
        """Record that `step` was done by `recipe`."""
        self._write(f"{step}.json", recipe)

    def made(self, paths: Iterable[Path]) -> None:
        """Record files, and all files of folders, as made by a step, with their current content."""
        products = self.products()
        for path in paths:
            files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path] * path.is_file()
            products.update({str(file.relative_to(self.out)): sha256(file) for file in files})
        self._write(_PRODUCTS, products)

    def products(self) -> Dict[str, str]:
        """File (from OUT) -> SHA-256 of what steps wrote."""
        return {name: value for name, value in self._read(_PRODUCTS).items() if isinstance(value, str)}

    def is_as_made(self, path: Path) -> bool:
        """Whether a file exists and has the bytes that its step wrote."""
        made = self.products().get(str(path.relative_to(self.out)))
        return made is not None and path.is_file() and sha256(path) == made

    def clean(self) -> List[str]:
        """Remove unchanged products, and folders that are then empty; returns what stays."""
        stays, products = [], self.products()
        for name, digest in products.items():
            path = self.out / name
            if path.is_file() and not path.is_symlink() and sha256(path) == digest:
                path.unlink()
            elif os.path.lexists(path):
                stays.append(name)
        for project in self._projects():
            stays += [f"{project.relative_to(self.out)}/{name}" for name in remove_unchanged(project)]
        for path in (self.out / MADE).glob("*"):
            if path.name == "lock" or path.suffix in (".json", ".new"):
                path.unlink()
        remove_empty_folders(self.out, [*products, f"{MADE}/lock", "logs/log", f"board/{PROJECT}"])
        return sorted(stays)

    def _projects(self) -> Iterator[Path]:
        """Exported projects: their own marker records what was written there."""
        for project in (self.out / PROJECT, self.out / "board" / PROJECT):
            if (project / MARKER).is_file():
                yield project

    def _read(self, name: str) -> dict:
        try:
            found = json.loads((self.out / MADE / name).read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write(self, name: str, what: dict) -> None:
        path = self.out / MADE / name
        half = path.with_name(f"{name}.new")
        half.write_text(json.dumps(what, indent=1), "utf-8")
        os.replace(half, path)
