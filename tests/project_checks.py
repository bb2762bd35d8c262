"""What every generated project must hold to, whatever its model: options and partitions by ESP-IDF's rules."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Iterable, List, Tuple

from check_sdkconfig import NOT_NEEDED

from esp_tvm.chips import MIB

# The options that ESP-IDF's versions know, by chip; tests/check_sdkconfig.py made it from ESP-IDF's own files.
IDF_OPTIONS = json.loads((Path(__file__).parent / "idf_options.json").read_text())
OWN_OPTIONS = ("CONFIG_TVM_MODEL", "CONFIG_ESP_DL", "CONFIG_INFERENCE")


def versions_of(chip: str) -> List[str]:
    """The versions of ESP-IDF that the project supports the chip with."""
    return [v for v in IDF_OPTIONS["versions"][chip].split() if chip != "esp32p4" or v != "5.2"]


def settings(path: Path) -> Iterable[str]:
    """The names, without CONFIG_, of a file of defaults; every line of it must be one."""
    for line in path.read_text().splitlines():
        if line and not line.startswith("#"):
            match = re.fullmatch(r'CONFIG_(\w+)=(y|n|\d+|"[^"]*")', line)
            assert match, f"{path.name}: {line}"
            yield match.group(1)


def check_settings(path: Path, chips: Iterable[str]) -> None:
    """Every version of ESP-IDF knows every option of `path` on every one of `chips`."""
    for name in settings(path):
        for chip in chips:
            known = IDF_OPTIONS["options"].get(name, {}).get(chip, "").split()
            unneeded = NOT_NEEDED.get(name, ())
            missing = [version for version in versions_of(chip) if version not in known and version not in unneeded]
            assert not missing, f"{path.name}: {name} on {chip} with ESP-IDF {missing}"


def own_settings(project: Path, chip: str) -> List[str]:
    """The lines of the project's defaults that its own Kconfig files declare."""
    files = [project / "sdkconfig.defaults", project / f"sdkconfig.defaults.{chip}"]
    return [line for file in files for line in file.read_text().splitlines() if line.startswith(OWN_OPTIONS)]


def partitions(table: str) -> List[Tuple[str, str, int, int]]:
    """(name, type, offset, size) of the rows of partitions.csv."""
    rows = [[cell.strip() for cell in line.split(",")] for line in table.splitlines() if not line.startswith("#")]
    return [(name, kind, int(offset, 0), int(size, 0)) for name, kind, _, offset, size in rows]


def check_partitions(project: Path, chip: str) -> None:
    """Alignment, order, room in the flash that the defaults name, and a partition for the weights as large as they."""
    end = 0x8000 + 0x1000  # of the partition table itself
    rows = partitions((project / "partitions.csv").read_text())
    for name, kind, offset, size in rows:
        assert offset >= end and size > 0 and len(name) <= 16
        assert offset % (0x10000 if kind == "app" else 0x1000) == 0 and size % 0x1000 == 0
        end = offset + size
    defaults = (project / f"sdkconfig.defaults.{chip}").read_text()
    assert end <= int(re.search(r"FLASHSIZE_(\d+)MB", defaults).group(1)) * MIB
    constants = [size for name, _, _, size in rows if name == "constants"]
    file = project / "components/tvm_model/model/constants.bin"
    assert all(size >= file.stat().st_size for size in constants)
