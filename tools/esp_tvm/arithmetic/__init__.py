"""The integer rules of docs/arithmetic.md in NumPy, one function per operator: they decide what is right.

`arithmetic.<operator>(*inputs, **attributes)`: int8 arrays in, an int8 array out (float32 where the rule says so).
A quantized value q has the real value q * 2^e. Images are NHWC. Everything is exact: integers are int64 or float64
below 2^53. Written from the rules alone; the kernels in C and the reference in Relay share no code with this package.

The rules are the public functions of all modules except `common` and `windows`, which contain shared parts. Arguments
of the wrong dtype or shape raise ValueError: they are errors of the program, never of its user.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Callable, Dict

from .common import rshift, sat8

_PARTS = ("common", "windows")
_functions: Dict[str, Callable] = {}
for _found in pkgutil.iter_modules(__path__):
    if _found.name in _PARTS:
        continue
    _module = importlib.import_module(f"{__name__}.{_found.name}")
    for _function in vars(_module).values():
        if not inspect.isfunction(_function) or _function.__module__ != _module.__name__:
            continue
        if not _function.__name__.startswith("_") and _functions.setdefault(_function.__name__, _function) != _function:
            raise ImportError(f"two rules are called {_function.__name__}")
globals().update(_functions)


def rule(operator: str) -> Callable:
    """The rule of an operator; operators on int16 tensors have the rule of int8 unless they have their own."""
    plain = operator[: -len("_s16")] if operator.endswith("_s16") else operator
    return _functions.get(operator) or _functions[plain]


__all__ = ["rshift", "rule", "sat8", *sorted(_functions)]
