"""The versions of ESP-IDF that build a project, chip by chip, and the container to take where none is active.

This is the only place that decides it: the make targets ask here (scripts/pipeline.sh idf-image, idf-check), and tests
hold the components' manifests, the Dockerfile and the documents to it. Only the standard library: the steps of `make`
read this before set-up.
"""

from __future__ import annotations

import re
from typing import List, Optional, Tuple

from .chips import CHIPS, Chip, check_chip
from .errors import UserError
from .naming import shown

Version = Tuple[int, int]

# 5.5 appeared in July 2025 and gets corrections for 30 months (SUPPORT_POLICY.md of ESP-IDF).
CONTAINER = "espressif/idf:v5.5.5"
SUPPORTED_UNTIL = "January 2028"
# The first version for which nothing is claimed; chips.py has the first that knows a chip.
BEFORE: Version = (7, 0)


def dotted(version: Version) -> str:
    return f"{version[0]}.{version[1]}"


def needed(chip: Chip) -> str:
    """`ESP-IDF 5.3 to 6.x`: what builds a project for the chip."""
    return f"ESP-IDF {dotted(chip.idf_since)} to {BEFORE[0] - 1}.x"


def version_of(text: str) -> Optional[Version]:
    """(major, minor) of what `idf.py --version` prints (`ESP-IDF v5.5.5-dirty`, behind other lines) or of an image's
    tag (`espressif/idf:release-v5.5`); None if there is none."""
    found = re.findall(r"(?:\bESP-IDF |:(?:release-)?)v(\d+)\.(\d+)", text)
    return (int(found[-1][0]), int(found[-1][1])) if found else None


def check_version(chip_name: str, text: str) -> Optional[Version]:
    """The version in `text` (as for `version_of`), which must be one that builds a project for the chip; None if `text`
    has none."""
    chip, version = check_chip(chip_name), version_of(text)
    if version is None or chip.idf_since <= version < BEFORE:
        return version
    tag = re.search(r"\S+:(?:release-)?v\d\S*", text)
    which = f"IDF_IMAGE={shown(tag.group())}" if tag else f"the active ESP-IDF {dotted(version)}"
    instead = "leave IDF_IMAGE out" if tag else "activate another, or none to use docker"
    why = "is too old for" if version < chip.idf_since else "is newer than what was tried for"
    raise UserError(f"{which} {why} {chip.name}, which needs {needed(chip)}; {instead} ({CONTAINER})")


def chips_of(text: str) -> List[str]:
    """The chips that the version in `text` (as for `version_of`) builds for; all chips if it has none."""
    version = version_of(text) or (BEFORE[0] - 1, 0)
    return [chip.name for chip in CHIPS.values() if not chip.is_host and chip.idf_since <= version < BEFORE]
