#!/usr/bin/env python3
"""Check the template's sdkconfig.defaults against the Kconfig files of real ESP-IDF source trees, for every chip.

    python3.11 -m pip install 'esp-idf-kconfig>=3'
    python3.11 tests/check_sdkconfig.py path/to/v5.1 path/to/v5.5 path/to/v6.1 --write tests/idf_options.json

A name that the version does not know, and a value that it does not take over, is reported; exit status 1. Not part of
`make test`: it needs ESP-IDF's sources. tests/idf_options.json, which it writes, holds the names that passed, by chip
and version; what it says of other versions than those given stays. tests/test_project.py holds every generated project
against it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
TEMPLATE = REPO / "template_project_for_model"
SOURCE = (
    "Made by tests/check_sdkconfig.py from the Kconfig files of github.com/espressif/esp-idf at the tags of these "
    "versions (6.1: its release branch, before the release): option, chip, the versions that know it and take the "
    "value which the defaults give it."
)
# Options that these versions do not have and do not need: what they build is for those revisions alone.
NOT_NEEDED = {"ESP32P4_SELECTS_REV_LESS_V3": ("5.2", "5.3")}
sys.path.insert(0, str(REPO / "tools"))

from esp_tvm.boards import BOARDS, Board, flash_lines, psram_constants_line, psram_lines, revision_lines  # noqa: E402
from esp_tvm.chips import CHIPS, Psram  # noqa: E402

# As in esp_tvm/project/fit.py and placement.py, which need more packages than this script has.
CONSTANTS = {"ram": "CONFIG_TVM_MODEL_CONSTANTS_RAM=y", "partition": "CONFIG_TVM_MODEL_CONSTANTS_PARTITION=y"}
PLACED = [f"CONFIG_TVM_MODEL_{name}_PSRAM=y" for name in ("ARENA", "INPUTS", "OUTPUTS")]


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


def settings_of(chip) -> dict:
    """What a project for `chip` may set, by what it is about."""
    base = "".join((TEMPLATE / f"sdkconfig.defaults{end}").read_text() for end in ("", f".{chip.name}"))
    flash = [f"CONFIG_ESPTOOLPY_FLASHSIZE_{mib}MB=y" for mib in chip.flash_sizes]
    variants = {"internal RAM": [flash[-1], *flash_lines(Board("", chip.name))]}
    for mode in chip.psram_modes:
        variants[f"PSRAM, {mode}"] = [flash[0], *psram_lines(chip, Psram(2, mode)), *PLACED]
        if psram_constants_line(chip):
            constants = [*psram_lines(chip, Psram(2, mode)), psram_constants_line(chip)]
            variants[f"constants in PSRAM, {mode}"] = [flash[0], *constants]
    variants.update({f"weights: {place}": [line] for place, line in CONSTANTS.items() if line})
    variants.update(
        {f"trace: {mode}": [f"CONFIG_TVM_MODEL_TRACE_{mode}=y"] for mode in ("CHECKSUMS", "TENSORS", "PROFILE")}
    )
    if chip.cores > 1:
        lines = ["INFERENCE_TASK_CORE=1", "ESP_DL_CORES_STACK_SIZE=4096", "ESP_DL_CORES_PRIORITY=5"]
        variants["two cores"] = [f"CONFIG_{line}" for line in lines]
    for line in {line for board in BOARDS.values() if board.chip == chip.name for line in revision_lines(board)}:
        variants[f"revision: {line}"] = [line]
    variants.update({f"flash: {line}": [line] for line in flash[:-1]})
    return {what: base + "\n".join([*lines, ""]) for what, lines in variants.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("idf", nargs="+", type=Path, help="an ESP-IDF source tree, in a folder called v5.1, v5.2, ...")
    parser.add_argument("--write", type=Path, help="write the table of names that the versions know")
    arguments = parser.parse_args()
    write = arguments.write and arguments.write.resolve()
    now = [re.sub(r"^.*v(?=\d)", "", idf.name) for idf in arguments.idf]
    earlier = json.loads(write.read_text()) if write and write.exists() else {"options": {}, "versions": {}}

    def others(rows: dict) -> dict:
        return {chip: [version for version in text.split() if version not in now] for chip, text in rows.items()}

    failed = False
    known: dict = {name: others(rows) for name, rows in earlier["options"].items()}
    versions: dict = others(earlier["versions"])
    for idf in [path.resolve() for path in arguments.idf]:
        version = re.sub(r"^.*v(?=\d)", "", idf.name)
        for chip in (chip for chip in CHIPS.values() if not chip.is_host):
            if not (idf / "components/soc" / chip.name / "include/soc/Kconfig.soc_caps.in").is_file():
                print(f"{idf.name} {chip.name}: this version does not have the chip")
                continue
            versions.setdefault(chip.name, []).append(version)
            for what, settings in settings_of(chip).items():
                with tempfile.TemporaryDirectory() as folder:
                    kconfig = load(idf, chip.name, Path(folder))
                    found = list(complaints(kconfig, settings, Path(folder) / "sdkconfig"))
                unneeded = {name for name, versions_ in NOT_NEEDED.items() if version in versions_}
                ignored = [complaint for complaint in found if complaint.split()[0] in unneeded]
                found = [complaint for complaint in found if complaint not in ignored]
                print(f"{idf.name} {chip.name} {what}: {'; '.join(found) or 'ok'}", flush=True)
                failed = failed or bool(found)
                bad = {complaint.split()[0] for complaint in [*found, *ignored]}
                for name in re.findall(r"^CONFIG_(\w+)=", settings, re.M):
                    listed = known.setdefault(name, {}).setdefault(chip.name, [])
                    if name not in bad and version not in listed:
                        listed.append(version)
    if write:
        options = {name: {chip: " ".join(found) for chip, found in known[name].items()} for name in sorted(known)}
        table = {"source": SOURCE, "versions": {chip: " ".join(all_) for chip, all_ in versions.items()}}
        write.write_text(json.dumps({**table, "options": options}, indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
