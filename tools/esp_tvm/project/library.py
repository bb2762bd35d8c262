"""The model and its kernels as one library folder, for builds other than ESP-IDF's: PlatformIO, Arduino, plain CMake.

    NAME/library.json, library.properties, CMakeLists.txt
    NAME/src/    every source and header, the model's at the top; `-I src` is the only include folder needed

Arduino gives a library neither compiler options nor menuconfig: `tvm_library.h`, included first by every C file, holds
what both would set.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Callable, Dict, List, Optional, Tuple

from ..chips import CHIPS
from ..errors import UserError
from ..files import whole_folder
from ..program.store import load
from .component import COMPONENT, KERNELS, check_name, check_project, check_replaceable, in_front_end, renamed
from .frontend_component import front_end_of, headers
from .users_files import record

# Folders that Arduino and PlatformIO search for libraries.
LIBRARY_FOLDERS = ("lib", "libraries")
SETTINGS = "tvm_library.h"
_MODEL_FOLDERS = ("crt_config", "include", "src", "model/codegen/host/include", "model/codegen/host/src")
_OPTION = re.compile(r"(?m)^(CONFIG_TVM_MODEL_\w+)=y$")

_SETTINGS_TEXT = """\
/* What menuconfig and the compiler's options say under ESP-IDF; included first by every C file of this library. */
#ifndef TVM_LIBRARY_H
#define TVM_LIBRARY_H

/* No fused multiply-add: the results of float operators must not hang on the compiler. */
#pragma GCC optimize("O2", "fp-contract=off")

#ifdef ESP_PLATFORM
#include "sdkconfig.h"
#if CONFIG_IDF_TARGET_ESP32S3
#define ESP_DL_ESP32S3
#elif CONFIG_IDF_TARGET_ESP32
#define ESP_DL_ESP32
#endif
%s#endif

#endif
"""
# Chips with kernels in assembly.
_WITH_ASSEMBLY = ("esp32", "esp32s3")
# The defaults of Kconfig; tests/test_library.py compares.
_DEFAULTS = {
    "CONFIG_TVM_MODEL_LOG_LEVEL": 3,
    "CONFIG_ESP_DL_CORES_STACK_SIZE": 4096,
    "CONFIG_ESP_DL_CORES_PRIORITY": 5,
    "CONFIG_ESP_DL_CORES_CORE": -1,
}
_CMAKE_TEXT = """\
# Any CMake build: add_subdirectory(<this folder>), then target_link_libraries(app PRIVATE {name}).
cmake_minimum_required(VERSION 3.16)
project({name} C)

file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${{CMAKE_CURRENT_LIST_DIR}}/src/*.c")
add_library({name} STATIC ${{sources}})
target_include_directories({name} PUBLIC src)
set_target_properties({name} PROPERTIES C_STANDARD 11)
# No fused multiply-add: float results must not hang on the compiler. What a model does not use is not linked.
target_compile_options({name} PRIVATE -O2 -ffp-contract=off -ffunction-sections -fdata-sections)
if(NOT CMAKE_SYSTEM_NAME STREQUAL "Generic")
    # On a computer a thread stands for the second core.
    set(THREADS_PREFER_PTHREAD_FLAG ON)
    find_package(Threads REQUIRED)
    target_link_libraries({name} PUBLIC Threads::Threads m)
endif()
"""


def copy_library(project: Path, to: Path, name: Optional[str] = None) -> List[str]:
    """Write the model of the exported `project`, its front end if it has one, and the kernels as a library into `to`.

    name: as for `component.copy_model`
    Returns lines for the user. A folder of that name that this tool did not write, or that was changed since, is never
    replaced.
    """
    check_project(project)
    if name is not None:
        check_name(name)
    title = COMPONENT if name is None else f"{COMPONENT}_{name}"
    program = load(project)
    chip = CHIPS[program.target_chip]
    options = _options(project, chip.name)
    if "CONFIG_TVM_MODEL_CONSTANTS_PARTITION" in options:
        raise UserError(
            f"{project}: its weights are in a partition, which only ESP-IDF's build writes; export it without "
            "--constants partition"
        )
    check_replaceable(to / title)
    with whole_folder(to / title) as folder:
        for path, (source, rename) in _sources(project, chip.name).items():
            _write(folder / "src", path, source, name, rename)
        settings = _settings(options)
        _text(folder / "src" / SETTINGS, renamed(settings, name) if name else settings)
        included = [f"{title}.h", f"tvmgen_{name or 'default'}.h", *_front_end_headers(project, name)]
        for file, text in _descriptions(title, included, program.model_hash, chip.name).items():
            _text(folder / file, text)
        record(folder, name or "default")
    return _advice(to / title, included, options)


def _sources(project: Path, chip: str) -> Dict[str, Tuple[Path, Callable[[str, str], str]]]:
    """Path below src -> (file, how its text is renamed). Of the assembly what is for `chip`."""
    model, kernels = project / "components" / COMPONENT, project / "components" / KERNELS
    roots = [*(model / folder for folder in _MODEL_FOLDERS), kernels / "include", kernels / "src"]
    files = {path.relative_to(root).as_posix(): (path, renamed) for root in roots for path in sorted(root.rglob("*"))}
    front_end = front_end_of(project)
    for root in (front_end / "include", front_end / "src") if front_end else ():
        files.update((path.name, (path, in_front_end)) for path in sorted(root.glob("*")))
    own = (f"_{chip}.S", *((".inc",) if chip in _WITH_ASSEMBLY else ()))
    return {name: found for name, found in files.items() if found[0].suffix in (".c", ".h") or name.endswith(own)}


def _front_end_headers(project: Path, name: Optional[str]) -> List[str]:
    """Those that an application includes, of the front end, if there is one."""
    front_end = front_end_of(project)
    found = [header.strip('"') for header in headers(front_end)] if front_end else []
    return [in_front_end(header, name) if name else header for header in found]


def _write(folder: Path, path: str, source: Path, name: Optional[str], rename: Callable[[str, str], str]) -> None:
    text = source.read_text("utf-8")
    head, _, file = path.rpartition("/")
    if name is not None:
        file, text = rename(file, name), rename(text, name)
    if source.suffix == ".c":
        text = f'#include "{SETTINGS}"\n{text}'
    elif source.suffix == ".S":
        # Builds for a computer pass it to the assembler too.
        text = f"#ifdef ESP_PLATFORM\n{text}#endif\n"
    _text(folder / head / file, text)


def _text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _options(project: Path, chip: str) -> List[str]:
    """The options of the model that its sdkconfig.defaults switch on."""
    files = [project / "sdkconfig.defaults", project / f"sdkconfig.defaults.{chip}"]
    return [option for file in files if file.is_file() for option in _OPTION.findall(file.read_text("utf-8"))]


def _settings(options: List[str]) -> str:
    values = {**_DEFAULTS, **dict.fromkeys(options, 1)}
    defines = (f"#ifndef {option}\n#define {option} {value}\n#endif\n" for option, value in values.items())
    return _SETTINGS_TEXT % "".join(defines)


def _descriptions(title: str, included: List[str], model_hash: str, chip: str) -> Dict[str, str]:
    version = f"1.0.0+{model_hash[:8]}"
    sentence = "A quantized model, compiled to C, with its integer kernels."
    board = "a computer" if chip == "host" else chip
    platformio = {
        "name": title,
        "version": version,
        "description": sentence,
        "license": "Apache-2.0",
        "headers": included,
        "platforms": "*" if chip == "host" else ["espressif32", "native"],
        "build": {"srcDir": "src", "includeDir": "src", "flags": ["-ffp-contract=off"], "libArchive": True},
    }
    arduino = {
        "name": title,
        "version": version,
        "author": "made by make component",
        "maintainer": "made by make component",
        "sentence": sentence,
        "paragraph": f"Model {model_hash}, exported for {board}.",
        "category": "Data Processing",
        "url": "",
        "architectures": "*" if chip == "host" else "esp32",
        "includes": ",".join(included),
        # As an archive: kernels that the model does not call are not linked, and two models may bring the same ones.
        "dot_a_linkage": "true",
    }
    return {
        "library.json": json.dumps(platformio, indent=2) + "\n",
        "library.properties": "".join(f"{key}={value}\n" for key, value in arduino.items()),
        "CMakeLists.txt": _CMAKE_TEXT.format(name=title),
    }


def _advice(folder: Path, included: List[str], options: List[str]) -> List[str]:
    lines = [
        f"wrote the library {folder}: #include {', '.join(f'{chr(34)}{header}{chr(34)}' for header in included)}",
        "PlatformIO finds it in lib/, Arduino in libraries/; CMake: add_subdirectory",
    ]
    if any(option.endswith("_PSRAM") for option in options):
        lines.append(
            "the model needs PSRAM: choose a board definition with PSRAM, whose framework has "
            "CONFIG_SPIRAM_ALLOW_BSS_SEG_EXTERNAL_MEMORY; without it the linker says that it does not fit"
        )
    return lines
