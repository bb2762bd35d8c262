"""TVM, imported on first use: the quantizer reads the operators' rules without it."""

from __future__ import annotations

import importlib
from typing import Any


class _Later:
    """A module that is imported when one of its names is first used."""

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        from .. import tvm_import  # noqa: F401  before every other import of TVM

        value = getattr(importlib.import_module(self._name), attribute)
        setattr(self, attribute, value)
        return value


tvm, relay = _Later("tvm"), _Later("tvm.relay")
_patterns = _Later("tvm.relay.dataflow_pattern")
frontend = _Later("tvm.relay.frontend.onnx")
special = _Later("scipy.special")


def is_op(name: str):
    """The pattern of a Relay operator; called with the patterns of its arguments."""
    return _patterns.is_op(name)


def is_constant():
    """The pattern of a constant."""
    return _patterns.is_constant()


def wildcard():
    """The pattern of any expression."""
    return _patterns.wildcard()
