"""TVM makes a folder for a cache wherever it is imported: here it is imported where that harms nobody."""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
from typing import Iterator

# TVM asks the network for tuning logs at the first build unless it is told not to.
os.environ.setdefault("TOPHUB_LOCATION", "NONE")


@contextlib.contextmanager
def in_scratch_folder() -> Iterator[None]:
    """The current folder is a new one, removed at the end: the caller's may be read-only and stays clean."""
    # By its handle: a current folder without a name (removed meanwhile) can be come back to as well.
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
    # Else it makes a folder in the user's home.
    _ours = os.environ.setdefault("TEST_DATA_ROOT_PATH", os.path.realpath("data"))
    import tvm  # noqa: F401
    import tvm.topi  # noqa: F401
    from tvm.relay.backend import te_compiler

    if _ours == os.path.realpath("data"):
        del os.environ["TEST_DATA_ROOT_PATH"]

# How this TVM was built: asked for with every function that is compiled, a tenth of the time of a small model.
te_compiler.libinfo = functools.lru_cache(maxsize=None)(te_compiler.libinfo)
