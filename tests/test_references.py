"""The Relay reference of every operator against its NumPy rule, on the same cases as the kernels in C."""

from __future__ import annotations

import numpy as np
import pytest

tvm = pytest.importorskip("tvm")

from kernel_case import Case  # noqa: E402
from kernel_harness import expected, kernel_call  # noqa: E402
from operator_cases import CASES  # noqa: E402
from tvm import relay  # noqa: E402
from tvm.contrib import graph_executor  # noqa: E402

from esp_tvm.evaluate import build_for_host  # noqa: E402
from esp_tvm.operators import OPERATORS  # noqa: E402

# TVM takes about half a second to compile a case: not all of them, but all kinds.
MOST = 3
# Many Relay operators each: TVM takes seconds for one case.
LONG = ("gru", "log_softmax", "lstm", "normalize")


def chosen(operator: str):
    """Some of the cases of an operator: those whose numbers Relay's float32 can hold, spread over the table."""
    cases = [case for case in CASES if case.operator == operator and within_float32(case)]
    return cases[-1:] if operator in LONG else cases[:: -(-len(cases) // MOST)]


def within_float32(case: Case) -> bool:
    """Whether the scale 2^e and its inverse are normal numbers; C and NumPy do without them."""
    return abs(case.attributes.get("exponent", 0)) <= 126


def references(cases):
    """A module for this machine whose output i is the reference of case i."""
    variables, outputs = [], []
    for i, case in enumerate(cases):
        own = [relay.var(f"x{i}_{j}", shape=shape, dtype=dtype) for j, (shape, dtype) in enumerate(case.inputs)]
        outputs.append(OPERATORS[case.operator].reference(kernel_call(case, f"call_{i}"), *own))
        variables += own
    mod = tvm.IRModule.from_expr(relay.Function(variables, relay.Tuple(outputs)))
    mod = relay.transform.InferType()(relay.qnn.transform.CanonicalizeOps()(relay.transform.InferType()(mod)))
    return graph_executor.GraphModule(build_for_host(mod)["default"](tvm.cpu()))


@pytest.mark.slow
@pytest.mark.parametrize("operator", sorted({case.operator for case in CASES}))
def test_reference_follows_the_rule(operator):
    cases = chosen(operator)
    module = references(cases)
    for sample in range(2):
        inputs = [case.samples()[sample] for case in cases]
        for i, arrays in enumerate(inputs):
            for j, array in enumerate(arrays):
                module.set_input(f"x{i}_{j}", array)
        module.run()
        for i, (case, arrays) in enumerate(zip(cases, inputs)):
            result, rule = module.get_output(i).numpy(), expected(case, arrays)
            assert (result.shape, result.dtype) == (rule.shape, rule.dtype), case.id
            different = np.flatnonzero(result != rule)
            assert different.size == 0, f"{case.id}: {different.size} of {rule.size} values"


def test_topk_of_what_has_nan():
    """TVM's own sort makes no order of it; the rule and the kernels in C put NaN last."""
    x = np.float32([np.nan, np.inf, -np.inf, -np.nan, 1, np.inf, -np.inf])
    attributes = [{"axis": 0, "k": x.size, "smallest": smallest} for smallest in (False, True)]
    cases = [Case(f"smallest {a['smallest']}", "topk_indices", ((x.shape, "float32"),), a) for a in attributes]
    module = references(cases)
    for i, (case, order) in enumerate(zip(cases, ([1, 5, 4, 2, 6, 0, 3], [2, 6, 4, 1, 5, 0, 3]))):
        module.set_input(f"x{i}_0", x)
        module.run()
        assert module.get_output(i).numpy().tolist() == expected(case, [x]).tolist() == order
