"""Imports TVM in a temporary folder, since it creates a cache folder in the current folder when it is imported.

Every command that compiles waits for this import, so what takes a quarter of it is left out: TVM reads the names of all
its functions anew for each of its 82 modules, and Python's garbage collector visits again and again, and once more at
the end of the process, what has been imported so far and stays.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import os
import sys
import tempfile
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Callable, Iterator, List, Optional, Sequence

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


def _names_read_once(registry: ModuleType) -> Callable[[], List[str]]:
    """TVM's `list_global_func_names`, which asks for the names again only where there are more."""
    list_names = registry.list_global_func_names
    known: List[str] = []

    def names() -> List[str]:
        size, pointers = ctypes.c_uint(), ctypes.POINTER(ctypes.c_char_p)()
        registry.check_call(registry._LIB.TVMFuncListGlobalNames(ctypes.byref(size), ctypes.byref(pointers)))
        if size.value != len(known):
            known[:] = list_names()
        return known

    return names


class _RegistryFinder:
    """Finds the module of TVM's functions, which TVM's other modules read as they are imported."""

    @staticmethod
    def find_spec(name: str, path: Optional[Sequence[str]] = None, target: object = None) -> Optional[ModuleSpec]:
        spec = PathFinder.find_spec(name, path) if name == "tvm._ffi.registry" else None
        if spec is not None:
            run = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                run(module)
                module.list_global_func_names = _names_read_once(module)

            spec.loader.exec_module = exec_module
        return spec


@contextlib.contextmanager
def _quickly() -> Iterator[None]:
    """Import TVM as the module's first lines say."""
    collects = gc.isenabled()
    gc.disable()
    sys.meta_path.insert(0, _RegistryFinder)
    try:
        yield
    finally:
        sys.meta_path.remove(_RegistryFinder)
        gc.freeze()
        if collects:
            gc.enable()


with in_scratch_folder(), _quickly():
    # Otherwise it creates a folder in the user's home.
    _ours = os.environ.setdefault("TEST_DATA_ROOT_PATH", os.path.realpath("data"))
    import tvm  # noqa: F401
    import tvm.topi  # noqa: F401
    from tvm.relay.backend import te_compiler

    from .tvm_objects import quicken

    if _ours == os.path.realpath("data"):
        del os.environ["TEST_DATA_ROOT_PATH"]

quicken()

# The build options of this TVM: TVM asks for them for every compiled function, a tenth of the time of a small model.
te_compiler.libinfo = functools.lru_cache(maxsize=None)(te_compiler.libinfo)
