"""Which ONNX operators have an integer rule, and where the exponent of their result comes from.

All of it comes from the table of operators (`esp_tvm.operators`): each entry states what it accepts, or why not.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

import onnx

from ..operators import OPERATORS, lookup
from ..operators.rule import INPUT, OWN, Facts, Rule, attribute

NO_RULE = "no integer rule for this operator"

# The rules of an ONNX operator, in the order of the table: a node gets the first whose check has no objection.
CHOICES: Dict[str, List[Rule]] = {}
for _operator in OPERATORS.values():
    for _rule in _operator.rules:
        for _name in _rule.operators if _rule.kind else ():
            CHOICES.setdefault(_name, []).append(_rule)

RULES: Dict[str, Rule] = {name: choices[0] for name, choices in CHOICES.items()}


def rule_of(facts: Facts, node: onnx.NodeProto) -> Tuple[Optional[Rule], str]:
    """(the rule of a node, "") or (None, why it has none)."""
    if node.op_type not in CHOICES:
        return None, NO_RULE
    reasons = []
    for rule in CHOICES[node.op_type]:
        reason = rule.check(facts, node) if rule.check else None
        if not reason:
            return rule, ""
        reasons.append(reason)
    return None, reasons[0]


def _named(constants: str) -> frozenset:
    return frozenset(name for name, rule in RULES.items() if rule.constants == constants)


# Operators that a lookup table may hold together: each value of the result depends on one value of one tensor.
ELEMENTWISE = frozenset(name for name, rule in RULES.items() if rule.kind in ("lookup", "clamp")).union(
    lookup.PARTS.split()
)
# Bool operators that may be between them.
TESTS = frozenset(lookup.TESTS.split())

# Operators whose constant operand may be a single value: functions of one tensor that are not tables.
WITH_SINGLE_CONSTANTS = _named("single")
# Operators whose constant operands are int8 tensors with their own exponent.
WITH_CONSTANTS = _named("int8") | WITH_SINGLE_CONSTANTS

__all__ = [
    "ELEMENTWISE",
    "INPUT",
    "NO_RULE",
    "OWN",
    "RULES",
    "TESTS",
    "WITH_CONSTANTS",
    "WITH_SINGLE_CONSTANTS",
    "Facts",
    "Rule",
    "attribute",
    "rule_of",
]
