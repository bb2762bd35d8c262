"""Keeps what users changed in an exported project when it is exported again.

Users may work in the project: `main/app_main.c`, `partitions.csv`, menuconfig. The marker file of an export lists the
files that it wrote, so that the next export knows what was changed or added since.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import Dict, Iterable, List, Set

from ..errors import UserError
from ..naming import shown

# Marks a folder that this tool wrote: the model's hash, then a line for each file that it wrote.
MARKER = ".esp_tvm_project"
# Files that each export writes again, even if they were changed. Paths relative to the project's folder.
_GENERATED = ("components/tvm_model/model/", "main/input_data.h", "main/output_data.h", MARKER)
# Build products can be built again.
_BUILT = re.compile(r"build([_.-].*)?|managed_components|__pycache__|\.pytest_cache")
# The settings that ESP-IDF made of sdkconfig.defaults and of menuconfig: they override a new sdkconfig.defaults.
_SETTINGS = ("sdkconfig", "sdkconfig.old", "dependencies.lock")


def record(project: Path, model_hash: str) -> None:
    """Record all files of `project` as written by this tool, for the model of this hash."""
    lines = [model_hash, *(f"{_digest(project / name)}  {name}" for name in sorted(_files(project) - {MARKER}))]
    (project / MARKER).write_text("\n".join([*lines, ""]), encoding="utf-8")


def again(project: Path, names: Iterable[str]) -> None:
    """Record files, by their path in the project, that this tool wrote after the export (a front end, an application);
    what the user changed stays the user's."""
    written = {**_recorded(project), **{name: _digest(project / name) for name in names}}
    head = (project / MARKER).read_text("utf-8").partition("\n")[0]
    lines = [head, *(f"{written[name]}  {name}" for name in sorted(written))]
    (project / MARKER).write_text("\n".join([*lines, ""]), encoding="utf-8")


def keep(earlier: Path, project: Path) -> List[str]:
    """Copy to the new `project` what was changed in the `earlier` export or added to it; returns the paths, sorted.

    Changed settings (sdkconfig) are only kept if the defaults that they were made from are the same.
    """
    if not _recorded(earlier):
        return []
    kept = []
    same_settings = _defaults(earlier) == _defaults(project)
    for name in changed(earlier):
        if name.startswith(_GENERATED) or (name in _SETTINGS and not same_settings):
            continue
        _make_way(project, name)
        shutil.copy2(earlier / name, project / name, follow_symlinks=False)
        if name not in _SETTINGS:
            kept.append(name)
    return kept


def check(project: Path) -> None:
    """Refuse changes of users in an exported `project` that cannot be kept; called before the long compile."""
    for name in _files(project):
        _check_generated(project, name)


def _check_generated(earlier: Path, name: str) -> None:
    """A file or link of the user in place of a folder that the export writes into cannot be kept."""
    if any(generated.startswith(f"{name}/") for generated in _GENERATED):
        what = "a link" if (earlier / name).is_symlink() else "a file"
        raise UserError(
            f"{earlier / name}: is {what} where the export writes the model; put a folder there, or move {earlier} away"
        )


def _make_way(project: Path, name: str) -> None:
    """Make room for a kept file or link `name`: remove what the template has in its place, even a folder."""
    target = project / name
    for above in reversed(target.relative_to(project).parents):
        if (project / above).is_symlink() or (project / above).is_file():
            (project / above).unlink()
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    elif os.path.lexists(target):
        target.unlink()
    target.parent.mkdir(parents=True, exist_ok=True)


def is_whole(project: Path) -> bool:
    """Whether all files that the export generates exist, with the bytes it wrote."""
    try:
        written = _recorded(project)
    except OSError:
        return False
    names = [name for name in written if name.startswith(_GENERATED) and name != MARKER]
    return bool(names) and all((project / n).is_file() and _digest(project / n) == written[n] for n in names)


def remove_unchanged(project: Path) -> List[str]:
    """Remove unchanged files of the export and everything built from them; returns what stays, sorted."""
    written = _recorded(project)
    for name, digest in written.items():
        if (
            name != MARKER
            and os.path.lexists(project / name)
            and not _is_special(project / name)
            and _is_inside(project, name)
        ):
            if _digest(project / name) == digest:
                (project / name).unlink()
    for build in [path for path in project.glob("*") if _BUILT.fullmatch(path.name)]:
        if _is_build_of(build, project):
            shutil.rmtree(build)
    # The kernels that `make run` keeps there (run/objects.py).
    for path in [*project.glob("build_host/kernels_*.a"), *project.glob("build_host/kernels_*.lock")]:
        path.unlink()
    remove_empty_folders(project, [*written, "build_host/kernels"])
    stays = sorted(str(p.relative_to(project)) for p in project.rglob("*") if not p.is_dir() and p.name != MARKER)
    if not stays:
        # If something stays, so does the marker: the next export then keeps it.
        (project / MARKER).unlink()
        remove_empty_folders(project, [MARKER])
    return stays


def _is_inside(project: Path, name: str) -> bool:
    """Whether `name` is in the project's own folders, not behind a link that a user put there."""
    return not any((project / above).is_symlink() for above in Path(name).parents if str(above) != ".")


def _is_build_of(build: Path, project: Path) -> bool:
    """Whether CMake made the folder for this very project."""
    try:
        cache = (build / "CMakeCache.txt").read_text("utf-8", "replace")
    except OSError:
        return False
    homes = re.findall(r"(?m)^CMAKE_HOME_DIRECTORY:INTERNAL=(.*)$", cache)
    # /project: built in ESP-IDF's container.
    ours = {str(project.resolve()), str(project.resolve() / "host"), "/project"}
    return not build.is_symlink() and bool(ours & set(homes))


def remove_empty_folders(top: Path, names: Iterable[str]) -> None:
    """Remove the folders of files `names` in `top`, and `top`, if they are empty."""
    folders = {top / above for name in names for above in Path(name).parents}
    for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
        if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
            folder.rmdir()


def _is_special(path: Path) -> bool:
    """Whether a path is a pipe, a socket or a device: reading it may never end."""
    return not path.is_symlink() and not path.is_file() and not path.is_dir()


def changed(folder: Path) -> List[str]:
    """The files in `folder` that differ from the record, or were added; sorted."""
    written = _recorded(folder)
    return sorted(n for n in _files(folder) if n != MARKER and written.get(n) != _digest(folder / n))


def _recorded(project: Path) -> Dict[str, str]:
    """Path -> SHA-256 of the files that the export wrote."""
    lines = (project / MARKER).read_text("utf-8", "replace").splitlines()[1:]
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines) if name}


def _files(project: Path) -> Set[str]:
    names = set()
    for folder, subfolders, files in os.walk(project):
        subfolders[:] = [one for one in subfolders if not _BUILT.fullmatch(one)]
        links = [one for one in subfolders if os.path.islink(os.path.join(folder, one))]
        for name in [*files, *links]:
            path = Path(folder, name)
            if _is_special(path):
                raise UserError(f"{shown(str(path), 200)}: is a pipe, a socket or a device; move it out of the project")
            names.add(path.relative_to(project).as_posix())
    return names


def _digest(path: Path) -> str:
    """SHA-256 of a file's bytes, of a link's target."""
    if path.is_symlink():
        return hashlib.sha256(os.fsencode(os.readlink(path))).hexdigest()
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _defaults(project: Path) -> Dict[str, bytes]:
    return {path.name: path.read_bytes() for path in project.glob("sdkconfig.defaults*")}
