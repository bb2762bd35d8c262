"""The files of this project, with git or without: a source archive has no .git, and a machine may have no git."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import List

ROOT = Path(__file__).resolve().parent.parent
# What set-up, builds and checks make; as in .gitignore.
MADE = {".git", ".venv", "tvm", "build", "dist", "vendor"}
CACHES = {"__pycache__", ".pytest_cache", ".ruff_cache", ".pkl_memoize_py3"}


def has_git(root: Path = ROOT) -> bool:
    """Whether git is installed and `root` is a checkout."""
    return shutil.which("git") is not None and (root / ".git").exists()


def project_files(*places: str, root: Path = ROOT) -> List[str]:
    """The files below `places` (default all), relative to `root`: what git knows there, or would if it were added."""
    if has_git(root):
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *places]
        listed = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True, check=True).stdout.split("\0")
        return sorted(name for name in set(listed) if name and (root / name).is_file())
    found = []
    for folder, folders, names in os.walk(root):
        made = CACHES | (MADE if Path(folder) == root else set())
        folders[:] = [name for name in folders if name not in made]
        found += [(Path(folder) / name).relative_to(root) for name in names if not name.endswith(".pyc")]
    chosen = [path for path in found if not places or any(path == Path(p) or Path(p) in path.parents for p in places)]
    return sorted(path.as_posix() for path in chosen)
