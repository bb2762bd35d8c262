"""Imports TVM in a temporary folder, since it creates a cache folder in the current folder when it is imported."""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
from typing import Iterator

# TVM downloads tuning logs at the first build unless this variable is set.
os.environ.setdefault("TOPHUB_LOCATION", "NONE")


@contextlib.contextmanager
def in_scratch_folder() -> Iterator[None]:
    """Make a new folder the current folder, and remove it at the end: the caller's may be read-only and stays clean."""
    # By its handle, so that even a current folder that was removed meanwhile can be restored.
    before = os.open(".", os.O_RDONLY)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            os.chdir(scratch)
            try:
                yield
            finally:
                os.fchdir(before)
    finally:
        os.close(before)


with in_scratch_folder():
    # Otherwise it creates a folder in the user's home.
    _ours = os.environ.setdefault("TEST_DATA_ROOT_PATH", os.path.realpath("data"))
    import tvm  # noqa: F401
    import tvm.topi  # noqa: F401
    from tvm.relay.backend import te_compiler

    if _ours == os.path.realpath("data"):
        del os.environ["TEST_DATA_ROOT_PATH"]

# The build options of this TVM: TVM asks for them for every compiled function, a tenth of the time of a small model.
te_compiler.libinfo = functools.lru_cache(maxsize=None)(te_compiler.libinfo)
