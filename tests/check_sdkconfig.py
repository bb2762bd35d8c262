#!/usr/bin/env python3
"""Check the template's sdkconfig.defaults against the Kconfig files of real ESP-IDF source trees, for every chip.

    pip install esp-idf-kconfig
    python tests/check_sdkconfig.py path/to/esp-idf-v5.1 path/to/esp-idf-v5.5 path/to/esp-idf-v6.0

A name that the version does not know, and a value that it does not take over, is reported; exit status 1. Not part of
`make test`: it needs ESP-IDF's sources. tests/test_project.py holds the names that passed.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
TEMPLATE = REPO / "template_project_for_model"
sys.path.insert(0, str(REPO / "tools"))


def sources(files) -> str:
    return "".join(f'source "{file}"\n' for file in sorted(files))


def load(idf: Path, chip: str, folder: Path):
    """The Kconfig tree of ESP-IDF with the project's own menus."""
    import esp_kconfiglib

    lists = {
        "COMPONENT_KCONFIGS_SOURCE_FILE": "Kconfig",
        "COMPONENT_KCONFIGS_PROJBUILD_SOURCE_FILE": "Kconfig.projbuild",
    }
    for variable, name in lists.items():
        files = [
            *idf.glob(f"components/*/{name}"),
            *TEMPLATE.glob(f"components/*/{name}"),
            *TEMPLATE.glob(f"main/{name}"),
        ]
        (folder / name).write_text(sources(files))
        os.environ[variable] = str(folder / name)
    for variable in ("IDF_ENV_FPGA", "IDF_ENV_BRINGUP", "IDF_CI_BUILD", "IDF_MINIMAL_BUILD", "IDF_BUILD_V2"):
        os.environ[variable] = ""
    os.environ.update(IDF_TARGET=chip, IDF_PATH=str(idf), IDF_TOOLCHAIN="gcc", KCONFIG_REPORT_VERBOSITY="quiet")
    os.environ.update(IDF_VERSION="5.1", IDF_INIT_VERSION="5.1")
    os.chdir(idf)
    return esp_kconfiglib.Kconfig("Kconfig", warn=False)


def complaints(kconfig, settings: str, file: Path):
    """What `settings` asks for and does not get."""
    file.write_text(settings)
    kconfig.load_config(str(file))
    for name, value in re.findall(r"^CONFIG_(\w+)=(.*)$", settings, re.M):
        symbol = kconfig.syms.get(name)
        if symbol is None or not symbol.nodes:
            yield f"{name} is unknown"
        elif symbol.str_value != value.strip('"'):
            yield f"{name} is {symbol.str_value}, not {value}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("idf", nargs="+", type=Path, help="an ESP-IDF source tree")
    arguments = parser.parse_args()
    from esp_tvm.project.chips import CHIPS

    failed = False
    for idf in [path.resolve() for path in arguments.idf]:
        for chip in (chip for chip in CHIPS.values() if not chip.is_host):
            if not (idf / "components/soc" / chip.name / "include/soc/Kconfig.soc_caps.in").is_file():
                print(f"{idf.name} {chip.name}: this version does not have the chip")
                continue
            base = "".join((TEMPLATE / f"sdkconfig.defaults{end}").read_text() for end in ("", f".{chip.name}"))
            base += f"CONFIG_ESPTOOLPY_FLASHSIZE_{chip.flash_sizes[-1]}MB=y\n"
            for memory, lines in (("internal RAM", ()), ("PSRAM", chip.psram_lines)):
                if memory == "PSRAM" and not lines:
                    continue
                with tempfile.TemporaryDirectory() as folder:
                    kconfig = load(idf, chip.name, Path(folder))
                    found = list(complaints(kconfig, base + "\n".join([*lines, ""]), Path(folder) / "sdkconfig"))
                print(f"{idf.name} {chip.name} {memory}: {'; '.join(found) or 'ok'}")
                failed = failed or bool(found)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
