"""Runs in the environment that has a framework: converts one model to ONNX, and computes its outputs for samples.

    python framework.py KIND MODEL FOLDER      with the other settings as JSON on stdin

Writes FOLDER/raw.onnx and FOLDER/samples.npz: in<i> and out<i> [N, *shape] of every input and output, in their order.
An error is one line in FOLDER/error.txt and exit code 2. This file cannot import the package: its Python may be any
version from 3.8 on, with any NumPy.
"""

import json
import sys
from pathlib import Path

import numpy as np

SEED = 11
# Of a model that keeps a state: how many samples it is run on, one after the other.
STEPS = 64


class Complaint(Exception):
    """One line for the user."""


def concrete(shape, what):
    """`shape` with a batch of 1; every other axis must have a size."""
    shape = [None if size is None or int(size) < 1 else int(size) for size in shape]
    shape[:1] = [1] * len(shape[:1])
    if None in shape:
        raise Complaint(f"{what} has the shape {shape}, not all of it fixed; build the model with a fixed input shape")
    return shape


def samples_for(ports, settings):
    """{name: [N, *shape]} for `ports` [(name, shape, dtype)]: the caller's samples, otherwise random ones."""
    given = settings.get("samples")
    if given:
        arrays = np.load(given)
        keys = list(arrays.files) if hasattr(arrays, "files") else None
        if keys is None:
            arrays = {ports[0][0]: arrays}
        elif len(keys) == 1 == len(ports):
            arrays = {ports[0][0]: arrays[keys[0]]}
        result = {}
        for name, shape, dtype in ports:
            if name not in arrays:
                raise Complaint(f"{given} has no array '{name}', an input of the model")
            if not isinstance(arrays[name], np.ndarray):
                raise Complaint(f"{given} has no array in '{name}'; write it with numpy.savez")
            array = arrays[name][: settings["count"]].astype(dtype)
            if array.size == 0 or array[0].size != int(np.prod(shape)):
                raise Complaint(f"{given} holds samples of shape {list(array.shape[1:])}, input '{name}' is {shape}")
            result[name] = array.reshape(-1, *shape)
        return result
    random = np.random.RandomState(SEED)
    # The first sample is zero, so that only the biases show; small values leave a softmax unsaturated.
    scales = np.resize([0.1, 0.3, 1.0], settings["count"])
    scales[0] = 0
    result = {}
    for name, shape, dtype in ports:
        size = (settings["count"], *shape)
        if np.dtype(dtype).kind == "f":
            values = random.standard_normal(size) * scales.reshape(-1, *[1] * len(shape))
        else:
            values = random.randint(0, 2, size)
        result[name] = values.astype(dtype)
    return result


def write(folder, ports, samples, run):
    """Run the source model on each sample ({name: one sample} -> list of outputs) and write samples.npz."""
    names = [name for name, _, _ in ports]
    count = len(samples[names[0]])
    outputs = [[np.asarray(o) for o in run({name: samples[name][i] for name in names})] for i in range(count)]
    arrays = {f"in{i}": samples[name] for i, name in enumerate(names)}
    arrays.update({f"out{i}": np.stack([row[i] for row in outputs]) for i in range(len(outputs[0]))})
    np.savez(str(folder / "samples.npz"), **arrays)


# --- TensorFlow -------------------------------------------------------------------------------------------


def tensorflow():
    import os

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
    import logging

    logging.disable(logging.WARNING)
    return tf


def keras(path, folder, settings):
    """.h5 and .keras."""
    tf = tensorflow()
    import tf2onnx

    if not settings["trust"]:
        refuse_lambda(path)
    model = tf.keras.models.load_model(path, compile=False, **({"safe_mode": False} if settings["trust"] else {}))
    ports = [
        (t.name.split(":")[0], concrete(t.shape, f"input '{t.name}'"), t.dtype.as_numpy_dtype) for t in model.inputs
    ]
    signature = [tf.TensorSpec(shape, dtype, name=name) for name, shape, dtype in ports]
    tf2onnx.convert.from_keras(model, signature, opset=settings["opset"], output_path=str(folder / "raw.onnx"))

    def run(sample):
        result = model([tf.constant(sample[name]) for name, _, _ in ports], training=False)
        result = list(result.values()) if isinstance(result, dict) else result
        return [r.numpy() for r in (result if isinstance(result, (list, tuple)) else [result])]

    write(folder, ports, samples_for(ports, settings), run)


def keras3(path, folder, settings):
    """.h5 and .keras of Keras 3, which tf2onnx does not know: as a function of TensorFlow."""
    import os

    os.environ["KERAS_BACKEND"] = "tensorflow"
    tf = tensorflow()
    import keras
    import keras_recurrent  # the file beside this one
    import onnx
    import tf2onnx
    import tf2onnx_gaps  # beside this one too

    if not settings["trust"]:
        refuse_lambda(path)
    model = keras.models.load_model(path, compile=False, safe_mode=not settings["trust"])
    ports = [
        (t.name, concrete(settings["shapes"].get(t.name) or t.shape, f"input '{t.name}'"), np.dtype(t.dtype))
        for t in model.inputs
    ]
    signature = [tf.TensorSpec(shape, dtype, name=name) for name, shape, dtype in ports]

    try:
        structure = model.input
    except AttributeError:  # of a Sequential that was not called since it was read
        structure = model.inputs[0] if len(ports) == 1 else model.inputs

    def outputs(*values):
        return tf.nest.flatten(model(tf.nest.pack_sequence_as(structure, values), training=False))

    with keras_recurrent.single_calls(tf, keras) as found:
        function = tf.function(outputs, input_signature=signature)
        converted, _ = tf2onnx.convert.from_function(
            function,
            signature,
            opset=settings["opset"],
            custom_op_handlers={"PyFuncStateless": (keras_recurrent.to_onnx(found), [])},
        )
    tf2onnx_gaps.with_captured_constants(converted, function.get_concrete_function())
    named = [str(name) for name in getattr(model, "output_names", [model.layers[-1].name])]
    if len(named) == len(converted.graph.output):
        rename_outputs(converted.graph, named)
    onnx.save(converted, str(folder / "raw.onnx"))

    def run(sample):
        return [value.numpy() for value in outputs(*[tf.constant(sample[name]) for name, _, _ in ports])]

    write(folder, ports, samples_for(ports, settings), run)


def rename_outputs(graph, names):
    """Give the outputs of an ONNX graph `names`, where no tensor has them already."""
    taken = {name for node in graph.node for name in [*node.input, *node.output]}
    wanted = {output.name: name for output, name in zip(graph.output, names) if name not in taken}
    for node in graph.node:
        for tensors in (node.input, node.output):
            tensors[:] = [wanted.get(name, name) for name in tensors]
    for output in graph.output:
        output.name = wanted.get(output.name, output.name)


def refuse_lambda(path):
    """Lambda layers are stored as Python code, which runs when the file is read."""
    import zipfile

    import h5py

    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            text = archive.read("config.json").decode("utf-8", "replace")
    elif h5py.is_hdf5(path):
        with h5py.File(path, "r") as file:
            config = file.attrs.get("model_config", "")
        text = config.decode("utf-8", "replace") if isinstance(config, bytes) else str(config)
    else:
        return
    if not text:
        raise Complaint(f"{path} holds weights without a network; build the model in Python and save all of it")
    try:
        network = json.loads(text)
    except (ValueError, RecursionError):
        raise Complaint(f"{path} has a network that is not JSON; save the model again")
    if has_lambda(network):
        raise Complaint(
            f"{path} has a Lambda layer, which is Python code that runs when the file is read; if you trust it: "
            "--trust-pickle"
        )


def has_lambda(config):
    """Whether a Keras network contains Python code, judged by the content of its JSON, not its spelling."""
    pending = [config]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            if value.get("class_name") in ("Lambda", "__lambda__") or value.get("function_type") == "lambda":
                return True
            pending += value.values()
        elif isinstance(value, list):
            pending += value
    return False


def saved_model(path, folder, settings):
    """A SavedModel's folder; the signature serving_default, or the only one."""
    tf = tensorflow()
    import tf2onnx

    loaded = tf.saved_model.load(path)
    names = [name for name in loaded.signatures if name != "__saved_model_init_op"]
    wanted = settings.get("signature") or (
        "serving_default" if "serving_default" in names else names[0] if names else ""
    )
    if wanted not in names:
        raise Complaint(
            f"{path} has no signature '{wanted}' (it has: {', '.join(names) or 'none'}); name it: --signature"
        )
    function = loaded.signatures[wanted]
    specs = function.structured_input_signature[1]
    ports = [
        (name, concrete(settings["shapes"].get(name) or spec.shape, f"input '{name}'"), spec.dtype.as_numpy_dtype)
        for name, spec in specs.items()
    ]

    def fixed(*values):
        return function(**{name: value for (name, _, _), value in zip(ports, values)})

    signature = [tf.TensorSpec(shape, dtype, name=name) for name, shape, dtype in ports]
    fixed = tf.function(fixed, input_signature=signature)
    tf2onnx.convert.from_function(fixed, signature, opset=settings["opset"], output_path=str(folder / "raw.onnx"))

    def run(sample):
        result = function(**{name: tf.constant(sample[name]) for name, _, _ in ports})
        return [result[name].numpy() for name in sorted(result)]

    write(folder, ports, samples_for(ports, settings), run)


def tflite(path, folder, settings):
    """A .tflite, float or quantized."""
    tf = tensorflow()
    import tf2onnx
    import tf2onnx_gaps  # beside this one too
    import tflite_lstm
    import tflite_states  # the files beside this one

    with open(path, "rb") as file:
        if file.read(8)[4:] != b"TFL3":
            raise Complaint(f"{path} is empty or no TensorFlow Lite model; convert or copy it again")
    tf2onnx_gaps.of_tflite()
    try:
        stateful, (path, states) = path, tflite_states.without_variables(path, folder)
        plain, has_lstm = tflite_lstm.with_zero_states(path, folder)
    except (tflite_states.StateError, tflite_lstm.LstmError) as error:
        raise Complaint(str(error))
    tflite_lstm.register()
    interpreter = tf.lite.Interpreter(path, num_threads=1)
    interpreter.allocate_tensors()
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    ports = [(i["name"], concrete(i["shape"], f"input '{i['name']}'"), i["dtype"]) for i in inputs]
    tf2onnx.convert.from_tflite(plain, opset=settings["opset"], output_path=str(folder / "raw.onnx"))

    def run(sample):
        if has_lstm:
            interpreter.reset_all_variables()
        return interpreted(interpreter, sample)

    # The caller adds quantizers to int8 inputs and outputs: from here on they are floats.
    floats = [(name, shape, np.float32 if quantization(d) else dtype) for (name, shape, dtype), d in zip(ports, inputs)]
    described = {
        "inputs": [describe_quantization(d, quantization(d)) for d in inputs],
        "outputs": [describe_quantization(d, quantization(d)) for d in outputs],
    }
    (folder / "quantization.json").write_text(json.dumps(described))
    if not states:
        write(folder, floats, samples_for(floats, settings), run)
        return
    names = [detail["name"] for detail in inputs]
    places = [[d["name"] for d in outputs].index(state["output"]) for state in states]
    given = samples_for(floats[: len(floats) - len(states)], {**settings, "count": STEPS})
    starts = [dequantized(s["start"], inputs[names.index(s["input"])]) for s in states]
    samples = tflite_states.with_states(given, states, starts, places, run)
    write(folder, floats, samples, run)
    check_states(tf, stateful, samples, folder, len(outputs) - len(states))
    named = [{"input": s["input"], "output": s["output"], "zero": not samples[s["input"]][0].any()} for s in states]
    (folder / "states.json").write_text(json.dumps(named))


def quantization(detail):
    """(scale, zero point) of an int8 port of an interpreter; None of a float one."""
    scale, zero = detail["quantization"]
    return (scale, zero) if np.dtype(detail["dtype"]).kind != "f" and scale else None


def dequantized(value, detail):
    """The real numbers of what lies at a port."""
    q = quantization(detail)
    return (value.astype(np.float32) - q[1]) * np.float32(q[0]) if q else value


def interpreted(interpreter, sample):
    """What an interpreter gives for {input: real numbers}: a list of real numbers."""
    for detail in interpreter.get_input_details():
        value, q = sample[detail["name"]], quantization(detail)
        if q:
            limits = np.iinfo(detail["dtype"])
            value = np.clip(np.round(value / q[0]) + q[1], limits.min, limits.max)
        interpreter.set_tensor(detail["index"], value.astype(detail["dtype"]))
    interpreter.invoke()
    return [dequantized(interpreter.get_tensor(d["index"]), d) for d in interpreter.get_output_details()]


def check_states(tf, path, samples, folder, count):
    """The model as it was given, which keeps its states itself, must say the same at every step."""
    interpreter = tf.lite.Interpreter(path, num_threads=1)
    interpreter.allocate_tensors()
    with np.load(str(folder / "samples.npz")) as arrays:
        inputs = len(samples)
        ours = [arrays[f"out{i}"] for i in range(len(arrays.files) - inputs)][:count]
    for step in range(len(ours[0])):
        theirs = interpreted(interpreter, {name: array[step] for name, array in samples.items()})
        for value, row in zip(theirs, ours):
            if not np.array_equal(value, row[step]):
                raise Complaint(
                    f"{path}: with its states as inputs and outputs it does not compute the same (step {step}); export "
                    "it without resource variables"
                )


def describe_quantization(detail, quantization):
    """[scale, zero point, dtype] of a port as JSON has it, or None."""
    return [float(quantization[0]), int(quantization[1]), np.dtype(detail["dtype"]).name] if quantization else None


# --- PyTorch ----------------------------------------------------------------------------------------------


def torchscript(path, folder, settings):
    """A file of torch.jit.save; it does not contain the shapes of the inputs."""
    import torch

    try:
        model = torch.jit.load(path, map_location="cpu").eval()
    except RuntimeError:
        raise Complaint(
            f"{path} is not TorchScript; a state_dict or a pickled module has no network of its own: load it "
            "in Python and call torch.onnx.export(model, (example,), 'model.onnx', dynamo=False, opset_version=13)"
        )
    shapes = settings["shapes"]
    if not shapes:
        raise Complaint(
            "TorchScript does not say the shape of its input; give it: --shape 1,3,32,32 (once for each input)"
        )
    ports = [(name, shape, np.float32) for name, shape in shapes.items()]
    samples = samples_for(ports, settings)
    example = tuple(torch.from_numpy(samples[name][0]) for name in shapes)
    export(torch, model, example, folder, settings, list(shapes), dynamo=False)

    def run(sample):
        with torch.no_grad():
            return flat(torch, model(*[torch.from_numpy(sample[name]) for name in shapes]))

    write(folder, ports, samples, run)


def torch_export(path, folder, settings):
    """A file of torch.export.save (.pt2)."""
    import torch

    program = torch.export.load(path)
    example = program.example_inputs
    if not example or example[1]:
        raise Complaint(f"{path} was saved without example inputs, or with named ones; export it with positional ones")
    ports = [(f"input{i}", list(t.shape), str(t.dtype).replace("torch.", "")) for i, t in enumerate(example[0])]
    samples = samples_for(ports, settings)
    export(torch, program, example[0], folder, settings, [name for name, _, _ in ports], dynamo=True)
    model = program.module()

    def run(sample):
        with torch.no_grad():
            return flat(torch, model(*[torch.from_numpy(sample[name]) for name, _, _ in ports]))

    write(folder, ports, samples, run)


def export(torch, model, example, folder, settings, names, dynamo):
    """Newer programs can only be exported correctly as opset 18; the caller lowers it."""
    options = {"external_data": False, "verbose": False, "opset_version": 18} if dynamo else {}
    options.setdefault("opset_version", settings["opset"])
    torch.onnx.export(model, example, str(folder / "raw.onnx"), dynamo=dynamo, input_names=names, **options)


def flat(torch, result):
    """The tensors of a result of tuples, lists and dicts."""
    if isinstance(result, torch.Tensor):
        return [result.numpy()]
    return [a for part in (result.values() if isinstance(result, dict) else result) for a in flat(torch, part)]


# --- scikit-learn -----------------------------------------------------------------------------------------


def sklearn(path, folder, settings):
    """A pickled or joblib-dumped estimator; reading it runs the code in it, the caller has asked for that."""
    import joblib
    from skl2onnx import to_onnx

    model = joblib.load(path)
    if not hasattr(model, "predict"):
        raise Complaint(f"{path} holds a {type(model).__name__}, not a fitted estimator with a predict method")
    if not hasattr(model, "n_features_in_"):
        raise Complaint(f"{path}: the {type(model).__name__} does not say how many features it takes; is it fitted?")
    ports = [("features", [1, int(model.n_features_in_)], np.float32)]
    samples = samples_for(ports, settings)
    classifier = hasattr(model, "classes_")
    probabilities = classifier and hasattr(model, "predict_proba")
    export = {"target_opset": {"": settings["opset"], "ai.onnx.ml": 1}}
    example = samples["features"][0]
    try:
        onnx_model = to_onnx(model, example, options={"zipmap": False} if classifier else None, **export)
    except NameError:
        # Some classifiers have no such option, and no map to leave out.
        onnx_model = to_onnx(model, example, **export)
    onnx_model.graph.input[0].name, old = "features", onnx_model.graph.input[0].name
    for node in onnx_model.graph.node:
        for i, name in enumerate(node.input):
            if name == old:
                node.input[i] = "features"
    (folder / "raw.onnx").write_bytes(onnx_model.SerializeToString())

    def run(sample):
        x = sample["features"]
        if probabilities:
            return [model.predict_proba(x).astype(np.float32)]
        if classifier:
            return [model.decision_function(x).astype(np.float32)]
        return [np.asarray(model.predict(x), np.float32).reshape(1, -1)]

    write(folder, ports, samples, run)


KINDS = {f.__name__: f for f in (keras, keras3, saved_model, tflite, torchscript, torch_export, sklearn)}


def main():
    kind, path, folder = sys.argv[1:]
    folder = Path(folder)
    try:
        KINDS[kind](path, folder, json.load(sys.stdin))
    except Complaint as complaint:
        (folder / "error.txt").write_text(str(complaint), encoding="utf-8")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
