"""The states that a TFLite model keeps in resource variables, as inputs and outputs; runs beside framework.py, in the
environment that has TensorFlow.
"""

import numpy as np


class StateError(Exception):
    """One line for the user: why the states of a model cannot be its inputs and outputs."""


def with_states(samples, states, starts, places, run):
    """`samples` of a model's own inputs in the order of time, with the state before each: {name: [N, *shape]}.

    starts: the states before the first; places: where the states are among what `run` gives
    """
    current = starts
    rows = {state["input"]: [] for state in states}
    for step in range(len(next(iter(samples.values())))):
        for state, value in zip(states, current):
            rows[state["input"]].append(value)
        result = run({**{n: a[step] for n, a in samples.items()}, **{n: row[-1] for n, row in rows.items()}})
        current = [result[place] for place in places]
    return {**samples, **{name: np.stack(row) for name, row in rows.items()}}


def without_variables(path, folder):
    """(the model with its resource variables as inputs and outputs, [{"input", "output", "start"}]); as it is without.

    Streaming models keep state between calls: READ_VARIABLE gives what ASSIGN_VARIABLE left in the call before, and a
    graph that CALL_ONCE runs assigns the first.
    """
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(path)
    kinds = schema.BuiltinOperator

    def kind(operator):
        code = model.operatorCodes[operator.opcodeIndex]
        return max(code.builtinCode, code.deprecatedBuiltinCode)

    main = model.subgraphs[0]
    if not any(kind(operator) == kinds.VAR_HANDLE for operator in main.operators):
        return path, []
    starts, left = {}, set(range(1, len(model.subgraphs)))
    for operator in main.operators:
        if kind(operator) == kinds.CALL_ONCE:
            left.discard(operator.builtinOptions.initSubgraphIndex)
            starts.update(_assigned(model, model.subgraphs[operator.builtinOptions.initSubgraphIndex], kind, kinds))
    if left:
        raise StateError(f"{path} has states and control flow; export it without one of them")
    handles, first, now, kept = {}, {}, {}, []
    same = {}
    for operator in main.operators:
        what = kind(operator)
        operator.inputs = [same.get(i, i) for i in operator.inputs] if operator.inputs is not None else []
        if what == kinds.VAR_HANDLE:
            handles[operator.outputs[0]] = _variable(operator)
        elif what == kinds.READ_VARIABLE:
            name, tensor = handles[operator.inputs[0]], operator.outputs[0]
            if name in now:
                same[tensor] = now[name]
            else:
                first[name] = now[name] = tensor
        elif what == kinds.ASSIGN_VARIABLE:
            now[handles[operator.inputs[0]]] = operator.inputs[1]
        elif what != kinds.CALL_ONCE:
            kept.append(operator)
    states, taken = [], {tensor.name for place, tensor in enumerate(main.tensors) if place not in handles}
    for name, tensor in first.items():
        if name not in starts or now[name] == tensor:
            raise StateError(
                f"{path}: its state '{name}' has no first value, or never changes; export it as a constant"
            )
        if now[name] in [*main.outputs, *main.inputs] or list(now.values()).count(now[name]) > 1:
            raise StateError(f"{path}: its state '{name}' is what another state, an input or an output is, too")
        entry = {"input": _free(name, taken), "output": _free(name + "_next", taken), "start": starts[name]}
        main.tensors[tensor].name, main.tensors[now[name]].name = entry["input"].encode(), entry["output"].encode()
        states.append(entry)
    main.operators = kept
    main.inputs = [*main.inputs, *first.values()]
    main.outputs = [*[same.get(i, i) for i in main.outputs], *[now[name] for name in first]]
    model.subgraphs, model.signatureDefs = [main], None
    flatbuffer_utils.write_model(model, str(folder / "states.tflite"))
    return str(folder / "states.tflite"), states


def _variable(operator):
    """The name of the variable of a VAR_HANDLE."""
    options = operator.builtinOptions
    names = [options.container, options.sharedName]
    return "/".join(n.decode("utf-8", "replace") if isinstance(n, bytes) else n for n in names if n)


def _free(name, taken):
    """`name`, with a number behind it where a tensor has it."""
    number, free = 1, name
    while free.encode() in taken or free in taken:
        number, free = number + 1, f"{name}_{number}"
    taken.add(free)
    return free


def _assigned(model, graph, kind, kinds):
    """{variable: what the graph assigns to it}; only constants are known before anything runs."""
    handles, found = {}, {}
    types = {0: np.float32, 9: np.int8, 7: np.int16, 2: np.int32, 3: np.uint8}
    for operator in graph.operators:
        if kind(operator) == kinds.VAR_HANDLE:
            handles[operator.outputs[0]] = _variable(operator)
        elif kind(operator) == kinds.ASSIGN_VARIABLE:
            tensor = graph.tensors[operator.inputs[1]]
            data = model.buffers[tensor.buffer].data
            if data is not None and tensor.type in types:
                values = np.frombuffer(np.asarray(data, np.uint8).tobytes(), types[tensor.type])
                found[handles[operator.inputs[0]]] = values.reshape(tensor.shape)
    return found
