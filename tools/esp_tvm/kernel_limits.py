"""Numbers that the exporter and the kernels share, read from the kernels' own header (include/esp_dl/limits.h)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict

from .places import TEMPLATE

HEADER = TEMPLATE / "components/esp-dl/include/esp_dl/limits.h"


def read_limits(header: Path = HEADER) -> Dict[str, int]:
    """The numbers by name, without ESP_DL_ in front."""
    text = header.read_text(encoding="utf-8")
    return {name: int(value) for name, value in re.findall(r"^#define ESP_DL_(\w+) (\d+)$", text, re.M)}


KERNEL_LIMITS = read_limits()
