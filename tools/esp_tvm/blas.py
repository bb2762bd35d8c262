"""Holds the linear algebra of NumPy and SciPy to one thread.

OpenBLAS, which both bring along, wakes its threads for each matrix, however small: a thousand systems of nine unknowns
take a millisecond in one thread, and on a busy machine 20 seconds in two. In one thread results do not depend on the
number of cores either.
"""

from __future__ import annotations

import contextlib
import ctypes
from typing import Callable, Iterator, List, Tuple

# The builds that come with NumPy and SciPy add to the names of their functions.
_SUFFIXES = ("", "64_", "_64", "_64_")


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Within, every OpenBLAS of this process computes in the thread that calls it; other libraries stay as they are."""
    found = _libraries()
    for _, set_threads, _ in found:
        set_threads(1)
    try:
        yield
    finally:
        for before, set_threads, _ in found:
            set_threads(before)


def _libraries() -> List[Tuple[int, Callable, ctypes.CDLL]]:
    """(its number of threads, function that sets it, library) of each OpenBLAS that is loaded."""
    import scipy.linalg  # noqa: F401  (loads its own, which would otherwise come later)

    found = []
    for path in _loaded("openblas"):
        library = ctypes.CDLL(path)
        for suffix in _SUFFIXES:
            get = getattr(library, f"openblas_get_num_threads{suffix}", None)
            set_threads = getattr(library, f"openblas_set_num_threads{suffix}", None)
            if get is not None and set_threads is not None:
                found.append((int(get()), set_threads, library))
                break
    return found


def _loaded(word: str) -> List[str]:
    """Files of the shared libraries in this process whose names hold `word`; none where the system does not tell."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
            lines = [line.split(None, 5) for line in maps]
    except OSError:
        return []
    paths = [fields[5].rstrip("\n") for fields in lines if len(fields) == 6]
    return sorted({path for path in paths if word in path.rpartition("/")[2]})
