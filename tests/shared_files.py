"""Where the files are that are shared beside the project, and are not part of it: `models` and `cases`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

REPO = Path(__file__).resolve().parent.parent


def shared(name: str) -> Optional[Path]:
    """The shared folder of this name: in $ESP_TVM_SHARED, beside the project, or beside the folder that a worktree lies
    in; None where it is nowhere."""
    own = os.environ.get("ESP_TVM_SHARED")
    places = [*([Path(own)] if own else []), REPO.parent / "shared", REPO.parent.parent / "shared"]
    return next((place / name for place in places if (place / name).is_dir()), None)
