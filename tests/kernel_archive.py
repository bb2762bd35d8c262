"""The kernels, compiled once for all tests of a session (and the next one), and programs that are linked with them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import List, Sequence

from esp_tvm.run.host import CFLAGS, host_compiler
from esp_tvm.run.objects import SHARED_FOLDER, compile_c, kernel_archive

REPO = Path(__file__).resolve().parent.parent
TEMPLATE = REPO / "template_project_for_model"
COMPONENT = TEMPLATE / "components/esp-dl"
INCLUDES = (COMPONENT / "include", COMPONENT / "src")
# For HostProgram too, in this process and in those that tests start.
os.environ.setdefault(SHARED_FOLDER, str(REPO / "build/objects"))


def archive(*flags: str) -> Path:
    """All kernels, compiled for this computer with `flags`."""
    return kernel_archive(COMPONENT, _command(flags))


def build(sources: Sequence[Path], binary: Path, *flags: str) -> None:
    """A program of C files and the kernels that they need."""
    words = [*(f"-I{include}" for include in INCLUDES), *map(str, sources), str(archive(*flags))]
    # What a file does not use needs no symbols.
    words += ["-ffunction-sections", "-Wl,--gc-sections", "-o", str(binary), "-lm"]
    compile_c([*_command(flags), *words], str(sources[0]))


def _command(flags: Sequence[str]) -> List[str]:
    """The command, and so the archive, of a `HostProgram` with these flags."""
    return [*host_compiler(), *CFLAGS, *flags]


def listed_sources() -> List[Path]:
    """The sources that the component's CMakeLists.txt names."""
    text = (COMPONENT / "CMakeLists.txt").read_text(encoding="utf-8")
    names = re.search(r"set\(sources\n(.*?)\)", text, re.S).group(1).split()
    return [COMPONENT / name for name in names]
