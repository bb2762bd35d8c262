"""Copies the model as a component into another application, under its own name so that there can be several."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Callable, List, Optional, Sequence

from ..chips import CHIPS, DATA_ALIGNMENT, aligned
from ..errors import UserError
from ..files import whole_folder
from ..idf_versions import needed
from ..naming import shown
from ..program.store import load
from .frontend_component import front_end_of, headers, renamed_front_end
from .users_files import MARKER, changed, record

COMPONENT = "tvm_model"
KERNELS = "esp-dl"
# A partition's label has at most 15 characters, and the model's partition is named after the model.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,14}")
_TAKEN = ("default", "model", "constants", "nvs", "nvs_keys", "phy_init", "factory", "otadata", "storage")
_TEXT = (".c", ".h", ".txt", ".yml", ".json", "Kconfig")
# The prefixes of the model's names in C, in CMake and in Kconfig.
_OURS = re.compile(
    r"\b(CONFIG_)?(?:(TVM_MODEL|tvm_model|TVMGEN_DEFAULT|tvmgen_default)(?![A-Za-z0-9])|(CRT_CONFIG)(?=_H)|(crt_config)(?=\.h))"
)


def copy_model(project: Path, to: Path, name: Optional[str] = None) -> List[str]:
    """Copy the model of the exported `project`, its front end if it has one, and the kernels into the folder `to` (an
    application's components).

    name: replaces `tvmgen_default`, `tvm_model` and similar names by `tvmgen_<name>`, `tvm_model_<name>`, and prefixes
    those of the front end by `<name>_`; None: unchanged
    Returns lines for the user: what the application has to do. Folders of that name that this tool did not copy, or
    that were changed since, are never replaced.
    """
    check_project(project)
    source = project / "components" / COMPONENT
    if name is not None:
        check_name(name)
    component = COMPONENT if name is None else f"{COMPONENT}_{name}"
    chip = load(project).target_chip
    kernels = project / "components" / KERNELS
    front_end = front_end_of(project)
    front_end_name = "frontend" if name is None else f"frontend_{name}"
    copied = [component, *([front_end_name] if front_end else []), KERNELS]
    for folder in (to / one for one in copied):
        check_replaceable(folder, kernels if folder.name == KERNELS else None)
    if not _same(kernels, to / KERNELS):
        _copy(kernels, to / KERNELS, None)
    _copy(source, to / component, name)
    if front_end:
        _copy(front_end, to / front_end_name, name, in_front_end)
    return _advice(project, to, chip, copied[:-1], name)


def check_project(project: Path) -> None:
    """An error, unless the export step wrote `project`."""
    metadata = project / "components" / COMPONENT / "model" / "metadata.json"
    if not metadata.is_file() or not (project / MARKER).is_file():
        raise UserError(f"{project}: is not a project that the export step wrote; run export first")


def check_name(name: str) -> str:
    """`name`, which must be valid in C, in Kconfig and as the label of a partition."""
    if not _NAME.fullmatch(name) or name in _TAKEN:
        raise UserError(
            f"--name (MODEL_NAME) {shown(name)}: give lower-case letters, digits and _, a letter first, at most 15, "
            f"and none of {', '.join(_TAKEN)}"
        )
    return name


def renamed(text: str, name: str) -> str:
    """`text` of a file of the component with the model's names made `name`'s."""

    def own(found: re.Match) -> str:
        prefix, *kinds = found.groups(default="")
        kind = "".join(kinds)
        end = name.upper() if kind.isupper() else name
        base = kind[: -len("_default")] if kind.lower() == "tvmgen_default" else kind
        return f"{prefix}{base}_{end}"

    text = _OURS.sub(own, text)
    text = text.replace('"TVM model"', f'"TVM model {name}"').replace("constants-flash", f"{name}-flash")
    return re.sub(r"(PARTITION |partition )(['\"])constants\2", rf"\1\2{name}\2", text)


def in_front_end(text: str, name: str) -> str:
    """`renamed`, for a file of the front end or its name."""
    return renamed(renamed_front_end(text, name), name)


def _copy(source: Path, target: Path, name: Optional[str], rename: Callable[[str, str], str] = renamed) -> None:
    with whole_folder(target) as folder:
        for path in sorted(source.rglob("*")):
            if path.is_dir() or "build" in path.relative_to(source).parts:
                continue
            relative = path.relative_to(source).as_posix()
            if name is not None:
                head, _, file = relative.rpartition("/")
                relative = f"{head}/{rename(file, name)}" if head else file
            copy = folder / relative
            copy.parent.mkdir(parents=True, exist_ok=True)
            if name is not None and path.name.endswith(_TEXT):
                copy.write_text(rename(path.read_text("utf-8"), name), encoding="utf-8")
            else:
                shutil.copyfile(path, copy)
        record(folder, name or "default")


def check_replaceable(folder: Path, kernels: Optional[Path] = None) -> None:
    """Check that `folder` does not exist, or is unchanged since this tool wrote it; kernels may be any copy of those of
    the project."""
    if not folder.exists() or (kernels is not None and _same(kernels, folder)):
        return
    if not (folder / MARKER).is_file():
        raise UserError(f"{folder}: was not copied there by this tool and stays as it is; move it away")
    files = changed(folder)
    if files:
        raise UserError(f"{folder}: {shown(files[0])} was changed since it was copied there; move the folder away")


def _same(a: Path, b: Path) -> bool:
    def content(folder: Path) -> dict:
        files = (path for path in folder.rglob("*") if path.is_file() and path.name != MARKER)
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

    return b.is_dir() and content(a) == content(b)


# Options that an application decides itself: the example's task, the partition table, the size of the flash chip.
_EXAMPLES_OWN = ("CONFIG_INFERENCE_TASK_", "CONFIG_PARTITION_TABLE_", "CONFIG_ESPTOOLPY_FLASHSIZE_")


def _advice(project: Path, to: Path, chip: str, copied: Sequence[str], name: Optional[str]) -> List[str]:
    """What else the application needs: versions of ESP-IDF, the folder of the components, options of sdkconfig.defaults
    (speed, caches, flash and PSRAM, the model's own), a line of partitions.csv. copied: the model's component, and that
    of its front end."""
    lines = [f"{needed(CHIPS[chip])}, for the {chip}"] if not CHIPS[chip].is_host else []
    component, *front_ends = copied
    lines += [f'PRIV_REQUIRES {component}; #include "{component}.h" and "tvmgen_{name or "default"}.h"']
    lines += [f"PRIV_REQUIRES {one}; #include {', '.join(headers(to / one))}" for one in front_ends]
    if to.name != "components":
        # ESP-IDF finds only components in a folder of that name beside the application's CMakeLists.txt.
        lines.append(f'CMakeLists.txt, before project(): set(EXTRA_COMPONENT_DIRS "{to.resolve()}")')
    options: List[str] = []
    for defaults in (project / "sdkconfig.defaults", project / f"sdkconfig.defaults.{chip}"):
        text = defaults.read_text("utf-8") if defaults.is_file() else ""
        options += [line for line in text.splitlines() if line.startswith("CONFIG_")]
    options = [line for line in options if not line.startswith(_EXAMPLES_OWN)]
    lines += [f"sdkconfig.defaults: {renamed(line, name) if name else line}" for line in options]
    program = load(project)
    aligned_ports = [port.c_name for port in [*program.callers_inputs, *program.callers_outputs] if port.alignment > 1]
    if aligned_ports:
        lines.append(f"buffers at multiples of 16, __attribute__((aligned(16))): {', '.join(aligned_ports)}")
    if program.cores > 1:
        lines.append("pin the task that runs the model to core 1 (xTaskCreatePinnedToCore): core 0 computes the rest")
    if "CONFIG_TVM_MODEL_CONSTANTS_PARTITION=y" in options:
        taken = (project / "components" / COMPONENT / "model" / "constants.bin").stat().st_size
        size = aligned(taken, DATA_ALIGNMENT)
        lines.append(f"partitions.csv: {name or 'constants'}, data, undefined, , {size:#x}")
    return lines
