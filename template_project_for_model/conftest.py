"""Leaves out the tests for other chips than the one that build/ was made for."""

import re
from pathlib import Path

import pytest


def built_for(root: Path) -> str:
    sdkconfig = root / "sdkconfig"
    found = re.search(r'^CONFIG_IDF_TARGET="(\w+)"', sdkconfig.read_text(), re.M) if sdkconfig.is_file() else None
    return found.group(1) if found else ""


def pytest_collection_modifyitems(config: pytest.Config, items: list) -> None:
    chip = built_for(config.rootpath)
    others = [item for item in items if chip and item.callspec.params.get("target") != chip]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]
