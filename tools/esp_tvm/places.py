"""The places of the project's own files: beside the package in a checkout, inside it after `pip install`.

Only the standard library: the steps of `make` read this before set-up.
"""

from __future__ import annotations

from pathlib import Path
from typing import Optional

PACKAGE = Path(__file__).resolve().parent
_ABOVE = PACKAGE.parents[1]
_TEMPLATE = "template_project_for_model"

# The folder of the checkout, or None if the package was installed with pip.
CHECKOUT: Optional[Path] = _ABOVE if (_ABOVE / _TEMPLATE).is_dir() and (_ABOVE / "Makefile").is_file() else None
# The template of exported projects, with the kernels.
TEMPLATE: Path = (CHECKOUT or PACKAGE) / _TEMPLATE


def template_folder(path: str) -> Path:
    """The template project that `path` names.

    ESP-DL's tutorial calls it esp_dl/tools/tvm/template_project_for_model: if that does not exist, this project's own
    template is meant.
    """
    folder = Path(path)
    if not folder.exists() and folder.parts[-3:] == ("tools", "tvm", _TEMPLATE):
        return TEMPLATE
    return folder
