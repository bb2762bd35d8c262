"""The export's comparison with ONNX Runtime (onnx_check.py), on the values of the reference in NumPy and TVM."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence

import numpy as np
import onnx

from ..compile.compiled import CompiledModel
from ..compile.importing.import_onnx import Imported, node_indices, relay
from ..compile.partition import Partitioned
from ..errors import UserError
from ..evaluate import Evaluation, NumpyEvaluator
from ..onnx_check import Border, BordersCheck, Verification, earliest_later, written_outputs, wrong_line
from ..operators.expressions import parts_of
from ..program import Call

_SEED = 20240229
# The number of random inputs by the program's multiply-accumulates: the reference takes seconds for large ones.
_RANDOM_INPUTS = ((20_000_000, 3), (100_000_000, 1))


def verify(
    model: onnx.ModelProto,
    compiled: CompiledModel,
    sample: Dict[str, np.ndarray],
    evaluation: Evaluation,
    evaluator: NumpyEvaluator,
) -> Verification:
    """Compare the program with ONNX Runtime on `sample`, whose result is `evaluation`, and on random inputs.

    Raises a `UserError` that names the first node whose result exceeds its bound.
    """
    check = BordersCheck(model, _borders(compiled.imported, compiled.partitioned), written_outputs(compiled.program))
    result = Verification()

    def add(inputs: Dict[str, np.ndarray], computed: Evaluation) -> None:
        def value(key: object) -> object:
            return (computed.tensors if isinstance(key, str) else computed.floats)[key]

        result.add(check.compare(inputs, value, computed.outputs))

    add(sample, evaluation)
    random = np.random.RandomState(_SEED)
    program = compiled.program
    for _ in range(0 if result.first_wrong else _random_inputs(program.macs)):
        other = random_sample(program.inputs, sample, random)
        try:
            add(other, evaluator.run(other))
        except UserError:
            # What is cast to the indices of a table must not leave it: no other values than the sample's.
            other = _reordered(sample, random)
            add(other, evaluator.run(other))
    if result.first_wrong:
        raise UserError(
            f"{wrong_line(result.first_wrong)}; every value after it would be wrong: end the model before this "
            "node, or express it by other operators"
        )
    return result


def random_sample(ports: Sequence, sample: Dict[str, np.ndarray], random: np.random.RandomState) -> Dict:
    """Inputs in the calibrated range of every port (`Port`), otherwise in the range of `sample`.

    Integers, which are often indices, are those of the sample in another order.
    """
    made = {}
    for port in ports:
        given = np.asarray(sample[port.name])
        if given.dtype.kind in "fi" and port.exponent is not None:
            bounds = np.iinfo(port.inside)
            values = random.uniform(bounds.min, bounds.max, given.shape)
            real = given.dtype.kind == "f"
            values = (values - port.zero_point) * 2.0**port.exponent if real else np.round(values)
        elif given.dtype.kind == "f":
            values = random.uniform(given.min(initial=0), given.max(initial=1), given.shape)
        else:
            values = _reordered({port.name: given}, random)[port.name]
        made[port.name] = np.asarray(values).astype(given.dtype)
    return made


def _reordered(sample: Dict[str, np.ndarray], random: np.random.RandomState) -> Dict[str, np.ndarray]:
    """The values of a sample in another order."""
    return {
        name: random.permutation(np.asarray(given).reshape(-1)).reshape(np.shape(given))
        for name, given in sample.items()
    }


def _random_inputs(macs: int) -> int:
    """The number of random inputs for a program with so many multiply-accumulates."""
    return next((count for limit, count in _RANDOM_INPUTS if macs <= limit), 0)


def _borders(imported: Imported, partitioned: Partitioned) -> List[Border]:
    """What leaves an ONNX node in the program: its tensor as ONNX knows it, without order and type yet."""
    readers, owners = _readers_and_owners(partitioned)
    earliest = earliest_later(owners, readers)
    found = []
    for expr, owner in owners.items():
        # Made by the compiler, or something on the way into the node or between its steps.
        if owner is None or any(_may_belong(reader, owner, expr, partitioned) for reader in readers[expr]):
            continue
        if earliest[expr] <= owner:
            continue
        node = imported.nodes[owner]
        outputs = [name for name in node.outputs if name]
        if len(outputs) != 1:
            continue
        if _is_kernel(expr):
            call = partitioned.calls[expr.op.name_hint]
            made = _reshaped(expr, owner, partitioned) if call.operator == "reshape" else call
            if made is None:
                continue
            label = ", ".join(made.nodes) or str(node)
            found.append(Border(outputs[0], label, made.operator, call.symbol, call.output.exponent))
        else:
            found.append(Border(outputs[0], str(node), "", expr, None))
    return found


def _reshaped(expr, owner: int, partitioned: Partitioned) -> Optional[Call]:
    """The kernel call whose result a reshape passes on where that is of node `owner` too, as of a MatMul of more than
    two axes.

    None of other reshapes: the same bytes as another tensor's, and which node they are named after is no one's promise.
    """
    source = expr.args[0]
    made = partitioned.calls[source.op.name_hint] if _is_kernel(source) else None
    return made if made is not None and owner in made.node_indices else None


def _may_belong(reader, owner: int, expr, partitioned: Partitioned) -> bool:
    """Whether what reads `expr` may be a later step of the node that makes it.

    TVM's importer does not say of every operator which node it is of: the addition of a bias has none.
    """
    nodes = _nodes(reader, partitioned)
    return owner in nodes or (not nodes and not _is_kernel(reader) and not _is_kernel(expr))


def _is_kernel(expr) -> bool:
    return isinstance(expr, relay.Call) and isinstance(expr.op, relay.GlobalVar)


def _nodes(expr, partitioned: Partitioned) -> List[int]:
    """Indices of the ONNX nodes that a call of main computes."""
    if _is_kernel(expr):
        call = partitioned.calls[expr.op.name_hint]
        return [*call.node_indices, *([] if call.output_node is None else [call.output_node])]
    return node_indices(expr.tuple_value if isinstance(expr, relay.TupleGetItem) else expr)


def _readers_and_owners(partitioned: Partitioned):
    """({expression: those that read it}, {expression: index of the ONNX node that makes it, or None}) of main's calls.

    Tuples are no readers of their own: who reads the tuple reads what is in it.
    """
    direct: Dict[relay.Expr, List[relay.Expr]] = {}
    owners: Dict[relay.Expr, Optional[int]] = {}

    def visit(expr) -> None:
        if isinstance(expr, (relay.Call, relay.TupleGetItem)):
            indices = _nodes(expr, partitioned)
            if _is_kernel(expr):
                owners[expr] = partitioned.calls[expr.op.name_hint].output_node
            else:
                owners[expr] = indices[0] if len(indices) == 1 else None
        for part in parts_of(expr):
            direct.setdefault(part, []).append(expr)

    main = partitioned.mod["main"]
    relay.analysis.post_order_visit(main.body, visit)

    def readers(expr) -> List[relay.Expr]:
        return [r for one in direct.get(expr, []) for r in (readers(one) if isinstance(one, relay.Tuple) else [one])]

    return {expr: readers(expr) for expr in owners}, owners
