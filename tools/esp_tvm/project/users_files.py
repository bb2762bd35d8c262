"""What people changed in an exported project stays when it is exported again.

The project is theirs to work in: `main/app_main.c`, `partitions.csv`, menuconfig. The marker file of an export lists
what it wrote, so that the next one knows what was changed or added since.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import Dict, List, Set

# Says that this tool wrote the folder: the model's hash, then a line for each file that it wrote.
MARKER = ".esp_tvm_project"
# What each export makes anew, whatever was done to it. Paths from the project's folder.
_GENERATED = ("components/tvm_model/model/", "main/input_data.h", "main/output_data.h", MARKER)
# What is built can be built again.
_BUILT = re.compile(r"build([_.-].*)?|managed_components|__pycache__|\.pytest_cache")
# The settings that ESP-IDF made of sdkconfig.defaults and of menuconfig: they hide what a new sdkconfig.defaults says.
_SETTINGS = ("sdkconfig", "sdkconfig.old", "dependencies.lock")


def record(project: Path, model_hash: str) -> None:
    """Note all files of `project` as written by this tool, for the model of this hash."""
    lines = [model_hash, *(f"{_digest(project / name)}  {name}" for name in sorted(_files(project)))]
    (project / MARKER).write_text("\n".join([*lines, ""]), encoding="utf-8")


def again(project: Path) -> None:
    """Note files that this tool wrote after the export too (a front end, an example's application)."""
    record(project, (project / MARKER).read_text("utf-8").partition("\n")[0])


def keep(earlier: Path, project: Path) -> List[str]:
    """Copy to `project`, just made, what was changed in the `earlier` export or added to it; returns what, sorted.

    Changed settings (sdkconfig) are only kept where the defaults that they were made of are the same.
    """
    if not _recorded(earlier):
        return []
    kept = []
    same_settings = _defaults(earlier) == _defaults(project)
    for name in changed(earlier):
        if name.startswith(_GENERATED) or (name in _SETTINGS and not same_settings):
            continue
        target = project / name
        if target.is_symlink() or target.is_file():
            target.unlink()
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(earlier / name, target, follow_symlinks=False)
        if name not in _SETTINGS:
            kept.append(name)
    return kept


def changed(folder: Path) -> List[str]:
    """What differs from what was recorded of `folder`, or was added to it; sorted."""
    written = _recorded(folder)
    return sorted(n for n in _files(folder) if n != MARKER and written.get(n) != _digest(folder / n))


def _recorded(project: Path) -> Dict[str, str]:
    """Path -> SHA-256 of what the export wrote."""
    lines = (project / MARKER).read_text("utf-8", "replace").splitlines()[1:]
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines) if name}


def _files(project: Path) -> Set[str]:
    names = set()
    for folder, subfolders, files in os.walk(project):
        subfolders[:] = [one for one in subfolders if not _BUILT.fullmatch(one)]
        links = [one for one in subfolders if os.path.islink(os.path.join(folder, one))]
        names |= {Path(folder, name).relative_to(project).as_posix() for name in [*files, *links]}
    return names


def _digest(path: Path) -> str:
    """SHA-256 of a file's bytes, of a link's target."""
    if path.is_symlink():
        return hashlib.sha256(os.fsencode(os.readlink(path))).hexdigest()
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _defaults(project: Path) -> Dict[str, bytes]:
    return {path.name: path.read_bytes() for path in project.glob("sdkconfig.defaults*")}
