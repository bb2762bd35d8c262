"""One class per operator, with everything that Python needs for it except its NumPy rule (`esp_tvm.arithmetic`).

The quantizer's rules, the patterns of the compiler, the tables in the documents and the list of benchmarks are derived
from these classes. Every class with a `name`, in any module of this package, is an entry: there is no list to maintain.
TVM is imported only when patterns and references are built.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Dict, List

from .base import ENTRIES, Operand, Operator, Parsed, Refusal

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

# By name, in the order in which their patterns are tried.
OPERATORS: Dict[str, Operator] = {
    entry.name: entry() for entry in sorted(ENTRIES, key=lambda entry: (entry.order, entry.name))
}


def kernels_of(onnx_operator: str) -> List[str]:
    """The operators that compute an operator of ONNX: those with a rule for it come first."""
    own = [o.name for o in OPERATORS.values() if any(onnx_operator in rule.operators for rule in o.rules)]
    return own + [o.name for o in OPERATORS.values() if onnx_operator in o.also.split() and o.name not in own]


__all__ = ["OPERATORS", "Operand", "Operator", "Parsed", "Refusal", "kernels_of"]
