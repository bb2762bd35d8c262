"""Composite functions are those that TVM's own pass makes of the same patterns."""

from __future__ import annotations

import random

import pytest

tvm = pytest.importorskip("tvm")

from tvm import relay  # noqa: E402
from tvm.relay.dataflow_pattern import is_constant, is_op, wildcard  # noqa: E402

from esp_tvm.compile.rewriting.composites import as_global_functions  # noqa: E402
from esp_tvm.compile.rewriting.matching import merge_composites  # noqa: E402


def _patterns():
    """Alternatives, a part that stands twice, attributes, constants on either side, two wildcards."""
    relu, exp = is_op("nn.relu")(wildcard()), is_op("exp")(wildcard())
    return [
        is_op("add")(is_op("multiply")(exp, exp), is_constant()),
        is_op("add")(relu | exp, wildcard()),
        is_op("transpose")(is_op("nn.relu")(wildcard())).has_attr({"axes": [1, 0]}),
        is_op("nn.relu")(is_op("add")(wildcard(), is_constant()) | is_op("multiply")(wildcard(), wildcard())),
        is_op("multiply")(wildcard(), is_op("transpose")(wildcard())),
        is_op("exp")(wildcard()) | is_op("nn.relu")(wildcard()),
    ]


def _call(choose: random.Random, a: relay.Expr, b: relay.Expr, constant: relay.Expr) -> relay.Expr:
    return choose.choice(
        [
            lambda: relay.add(a, b),
            lambda: relay.multiply(a, choose.choice([a, b])),
            lambda: relay.nn.relu(a),
            lambda: relay.exp(a),
            lambda: relay.transpose(a, choose.choice([[1, 0], [0, 1]])),
            lambda: relay.add(a, constant),
            lambda: relay.multiply(constant, b),
        ]
    )()


def _random_graph(seed: int) -> tvm.IRModule:
    choose = random.Random(seed)
    constant = relay.const([[0.5] * 3] * 3)
    known = [relay.var("x", shape=(3, 3)), constant]
    for _ in range(choose.randint(4, 14)):
        known.append(_call(choose, choose.choice(known[-4:]), choose.choice(known[-4:]), constant))
    results = [one for one in known[-2:] if isinstance(one, relay.Call)]
    return relay.transform.InferType()(tvm.IRModule.from_expr(relay.Tuple(results)))


def _text(expr, bound, functions) -> str:
    """An expression written out, with brackets around what a composite function computes."""
    if expr in bound:
        return bound[expr]
    if isinstance(expr, relay.Tuple):
        return ", ".join(_text(field, bound, functions) for field in expr.fields)
    if not isinstance(expr, relay.Call):
        return "x" if isinstance(expr, relay.Var) else "constant"
    args = [_text(arg, bound, functions) for arg in expr.args]
    op = functions[expr.op] if isinstance(expr.op, relay.GlobalVar) else expr.op
    if isinstance(op, relay.Function):
        inner = _text(op.body, dict(zip(op.params, args)), functions)
        return f"{op.attrs['Composite']}[{inner}]" if "Composite" in op.attrs else inner
    axes = str(expr.attrs.axes) if op.name == "transpose" else ""
    made = bound[expr] = f"{op.name}{axes}({', '.join(args)})"
    return made


@pytest.mark.parametrize("seed", range(20))
def test_matches_are_those_of_merge_composite(seed):
    mod, table = _random_graph(seed), list(enumerate(_patterns()))

    def by(prefix):
        """Some matches are refused."""
        return [(f"{prefix}{i}", p, lambda root, i=i: (i + seed) % 5 > 0) for i, p in table]

    theirs = relay.transform.MergeComposite(by("esp."))(mod)
    ours = merge_composites(mod, by(""))
    assert _text(ours["main"].body, {}, {}) == _text(theirs["main"].body, {}, {})
    separate = as_global_functions(ours)
    assert _text(separate["main"].body, {}, separate.functions) == _text(ours["main"].body, {}, {})
    assert not any(isinstance(call.op, relay.Function) for call in _calls(separate["main"]))


def _calls(function):
    found = []
    relay.analysis.post_order_visit(function.body, lambda e: found.append(e) if isinstance(e, relay.Call) else None)
    return found
