"""Passes that keep accuracy: each leaves the noise smaller."""

import json
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import onnxruntime
import pytest
from accuracy_models import NEW, SAMPLES, node, residual_model, run
from small_models import HOSTILE_NAMES, model_of, random, small_cnn

from esp_tvm.preprocess import preprocess_model
from esp_tvm.quantize import Passes, quantize_model
from esp_tvm.quantize.calibrate import calibrate, choose_exponents
from esp_tvm.quantize.evaluation import noise_by_layer
from esp_tvm.quantize.fit import Fit, Moments, windows
from esp_tvm.quantize.graph import read_network
from esp_tvm.quantize.judge import judge, without_softmax
from esp_tvm.quantize.passes import State as Quantization
from esp_tvm.quantize.passes import rounded_weights
from esp_tvm.quantize.report import measure
from esp_tvm.quantize.simulate import Simulator, choose_samples
from esp_tvm.quantize.trials import Trials
from esp_tvm.quantize.walk import Walk, choose_walk_samples


@pytest.fixture(scope="module")
def network():
    return read_network(residual_model())


@pytest.fixture(scope="module")
def simulator(network):
    return Simulator(network, SAMPLES)


# --- fit ---


@pytest.mark.parametrize(
    "options",
    [
        {"pads": [1, 1, 1, 1]},
        {"pads": [0, 1, 2, 1], "strides": [2, 1]},
        {"dilations": [2, 2]},
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
        {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
        {"auto_pad": "VALID", "strides": [3, 2]},
        {"pads": [2, 2, 0, 0], "group": 3},
    ],
)
def test_windows_are_those_of_the_convolution(options):
    groups = options.get("group", 1)
    weights = random(6, 3 // groups, 3, 3)
    model = model_of(
        [node("Conv", ["x", "w"], ["y"], **options)], {"x": [1, 3, 9, 10]}, {"y": [None] * 4}, {"w": weights}
    )
    network = read_network(model)
    x = random(1, 3, 9, 10, seed=3)
    y = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
    (layer,) = network.layers
    view = windows(network.model.graph.node[0], layer, x, y.shape[2:])
    view = view.reshape(1, groups, 3 // groups, *view.shape[2:])
    ours = np.einsum("ngchwij,gocij->ngohw", view, weights.reshape(groups, -1, *weights.shape[1:]))
    np.testing.assert_allclose(ours.reshape(y.shape), y, atol=1e-4)


@pytest.mark.parametrize("per_channel", [True, False])
def test_fitted_weights_leave_less_noise_than_rounded_ones(network, simulator, per_channel):
    exponents = choose_exponents(network, calibrate(network, SAMPLES), "mse", 100.0)
    passes = Passes(per_channel=per_channel, correct_bias=False)
    rounded = rounded_weights(network, exponents, simulator, passes)
    fit = Fit(Walk(simulator, choose_walk_samples(network, SAMPLES), exponents), per_channel)
    for index, layer in enumerate(network.layers):
        if layer.output in rounded:
            fit.layer(layer)
            assert per_channel or len(set(fit.weights[layer.output].exponents)) == 1
        fit.step(index)
    noise = [simulator.noise(simulator.forward(exponents, w), exponents) for w in (rounded, fit.weights)]
    assert noise[1] < 0.8 * noise[0]


def wide_layer():
    """A dense layer of 400 inputs that move together in 12 ways, and far fewer samples than inputs."""
    ways = random(12, 400, seed=3)
    constants = {"w": random(40, 400, scale=0.05, seed=4), "b": random(40, seed=5)}
    model = model_of([node("Gemm", ["x", "w", "b"], ["y"], transB=1)], {"x": [1, 400]}, {"y": [1, 40]}, constants)

    def samples(count, seed):
        parts = random(count, 12, seed=seed) @ ways + random(count, 400, seed=seed + 1) * 0.3
        return {"x": parts[:, None].astype(np.float32)}

    return model, samples


def test_inputs_that_are_constant_have_no_moments():
    """As in samples of a channel that is dead in all but those held back: what rounding leaves is no variance."""
    moments = Moments(1, 6, 2)
    x = np.tile(np.array([0.0123, -0.7, 0.3, 5.1, 0.0, 0.0], np.float32), (1, 5000, 1))
    x[..., 5] = random(5000)
    for part in np.split(x, 4, axis=1):
        moments.add(part, np.ones((1, part.shape[1], 2), np.float32))
    moment, cross, _ = moments.about(*moments.means())
    np.testing.assert_allclose(moment[0, 5, 5], x[..., 5].var(), rtol=1e-4)
    moment[0, 5, 5] = cross[0, 5] = 0.0
    assert not moment.any() and not cross.any()


def test_a_wide_layer_does_not_learn_its_samples_by_heart():
    model, samples = wide_layer()
    network, seen, unseen = read_network(model), samples(60, 10), samples(200, 20)
    simulator = Simulator(network, seen)
    exponents = choose_exponents(network, calibrate(network, seen), "minmax", 100.0)
    rounded = rounded_weights(network, exponents, simulator, Passes())
    fit, made = Fit(Walk(simulator, choose_walk_samples(network, seen), exponents), True), {}
    for how in ((10.0, 0.0), None):
        fit.layer(network.layers[0], how)
        made[how] = dict(fit.weights)
    judge_by = {"seen": simulator, "unseen": Simulator(network, unseen)}

    def noise(which, weights):
        return judge_by[which].noise(judge_by[which].forward(exponents, weights), exponents)

    # Without caution it is good on what it saw, and not on anything else; by default it is never worse than rounding.
    assert noise("seen", made[(10.0, 0.0)]) < 0.7 * noise("seen", rounded)
    assert noise("unseen", made[None]) < 1.02 * noise("unseen", rounded)
    assert noise("unseen", made[None]) < noise("unseen", made[(10.0, 0.0)])


def wide_network():
    """1x1 convolutions of up to 480 channels behind each other, then the mean and a Gemm, as MobileNets end."""
    sizes = (24, 320, 48, 480)
    constants, nodes, name = {"g": random(12, 480, scale=0.06, seed=8)}, [], "x"
    for i, (few, many) in enumerate(zip(sizes, sizes[1:])):
        constants.update(
            {f"w{i}": random(many, few, 1, 1, scale=few**-0.5, seed=i), f"b{i}": random(many, seed=20 + i)}
        )
        nodes.append(node("Conv", [name, f"w{i}", f"b{i}"], [f"c{i}"]))
        name = f"c{i}"
        if many > few:
            nodes.append(node("Relu", [name], [f"r{i}"]))
            name = f"r{i}"
    nodes += [node("GlobalAveragePool", [name], ["m"]), node("Flatten", ["m"], ["f"])]
    nodes.append(node("Gemm", ["f", "g"], ["y"], transB=1))
    return model_of(nodes, {"x": [1, 24, 3, 3]}, {"y": [1, 12]}, constants)


def test_a_wide_network_keeps_its_accuracy_on_new_samples():
    model, ways = wide_network(), random(6, 24 * 9, seed=30)

    def samples(count, seed):
        parts = random(count, 6, seed=seed) @ ways + random(count, 24 * 9, seed=seed + 1) * 0.2
        return {"x": parts.reshape(count, 1, 24, 3, 3).astype(np.float32)}

    seen, unseen = samples(64, 40), samples(128, 50)
    without, fitted = (
        judge(model, quantize_model(model, seen, Passes(fit=fit, effort="quick")).model, unseen).decibels
        for fit in (False, True)
    )
    assert fitted > without - 0.1


def test_a_walk_computes_what_the_simulator_does(network, simulator):
    exponents = choose_exponents(network, calibrate(network, SAMPLES), "mse", 100.0)
    weights = rounded_weights(network, exponents, simulator, Passes())
    walk = Walk(simulator, choose_walk_samples(network, SAMPLES), exponents)
    wanted = simulator.forward(exponents, weights)
    for index, layer in enumerate(network.layers):
        walk.step(index, weights)
        assert set(walk.real) <= {name for one in network.layers[index:] for name in [one.output, *one.inputs]}
        np.testing.assert_allclose(walk.real[layer.output], simulator.reference[layer.output], atol=1e-4)
        assert np.array_equal(walk.whole[layer.output], wanted[layer.output])


def test_trials_judge_as_a_whole_forward_pass_does(network, simulator):
    exponents = choose_exponents(network, calibrate(network, SAMPLES), "mse", 100.0)
    weights = rounded_weights(network, exponents, simulator, Passes())
    state = Quantization(network, exponents, weights)
    trials = Trials(simulator, state)
    assert trials.noise == pytest.approx(simulator.noise_of(state), rel=0.05)
    for step in (-1, 1):
        changed = {**exponents, "r2": exponents["r2"] + step}
        behind = {**weights, "r3": weights["r3"].for_input(changed["r2"])}
        trial = trials.attempt(Quantization(network, changed, behind), ["r2"])
        for part in trial.parts:
            whole = part.simulator.forward(changed, behind)
            assert all(np.array_equal(whole[name], part.values[name]) for name in whole)
        assert trial.full == (len(trial.parts) == 2) and trials.state is state


# --- simulation and judgement ---


def test_the_simulator_computes_what_the_exact_rules_do():
    model = preprocess_model(small_cnn()).model
    result = quantize_model(model, SAMPLES)
    simulator = Simulator(result.network, NEW)
    state = simulator.forward(result.exponents, result.weights)
    (name,) = simulator.objectives()
    ours = simulator.real(name, state, result.exponents)
    from esp_tvm.quantize.judge import exact_runner

    run_exactly = exact_runner(without_softmax(result.model))
    theirs = np.stack([run_exactly({"x": x})[0] for x in NEW["x"]])
    np.testing.assert_array_equal(ours, theirs)


def test_sums_of_tensors_and_products_are_simulated_as_the_exact_rules_have_them():
    nodes = [
        node("Conv", ["x", "w0"], ["a"]),
        node("Conv", ["x", "w1"], ["b"]),
        node("Mul", ["a", "b"], ["m"]),
        node("Relu", ["m"], ["r"]),
        node("Concat", ["r", "a", "x"], ["c"], axis=1),
        node("GlobalAveragePool", ["c"], ["p"]),
        node("Mul", ["c", "p"], ["d"]),
        node("Conv", ["d", "w2"], ["y"]),
    ]
    constants = {
        "w0": random(4, 3, 1, 1, seed=1),
        "w1": random(4, 3, 1, 1, seed=2, scale=9),
        "w2": random(2, 11, 1, 1, seed=3),
    }
    model = model_of(nodes, {"x": [1, 3, 5, 4]}, {"y": [1, 2, 5, 4]}, constants)
    result = quantize_model(model, {"x": random(24, 1, 3, 5, 4, seed=4)}, Passes(effort="quick"))
    simulator = Simulator(result.network, {"x": random(6, 1, 3, 5, 4, seed=5)})
    for kind in ("Mul", "Concat"):
        assert [one.kind for one in result.network.layers if one.op_type == kind], f"{kind} is not quantized"
    state = simulator.forward(result.exponents, result.weights)
    from esp_tvm.quantize.judge import exact_runner

    run_exactly = exact_runner(result.model)
    theirs = np.stack([run_exactly(sample)[0] for sample in simulator.samples])
    np.testing.assert_array_equal(simulator.real("y", state, result.exponents), theirs)


def test_recomputing_a_part_is_recomputing_all(network, simulator):
    exponents = choose_exponents(network, calibrate(network, SAMPLES), "mse", 100.0)
    weights = rounded_weights(network, exponents, simulator, Passes())
    before = simulator.forward(exponents, weights)
    for name in ("x", "r1", "r3", "g", "y"):
        changed = [t for t in network.integers if network.root(t) == network.root(name)]
        other = {**exponents, **{t: exponents[t] + 1 for t in changed}}
        again = rounded_weights(network, other, simulator, Passes())
        part = simulator.forward_again(before, changed, other, again)
        whole = simulator.forward(other, again)
        assert all(np.array_equal(part[t], whole[t]) for t in network.integers)


def test_passes_pay_off_on_new_samples():
    model = residual_model()
    plain = Passes(method="mse", equalize=False, centre=False, correct_bias=False, fit=False)
    ratios = [judge(model, quantize_model(model, SAMPLES, p).model, NEW).decibels for p in (plain, Passes())]
    assert ratios[1] > ratios[0] + 6


def test_each_effect_is_told_and_the_result_is_the_same_each_time():
    model = residual_model()
    one, two = quantize_model(model, SAMPLES), quantize_model(model, SAMPLES)
    assert one.model.SerializeToString(deterministic=True) == two.model.SerializeToString(deterministic=True)
    text = one.table()
    for what in ("equalization", "centering", "search", "fit", "channel factors"):
        assert what in text
    off = quantize_model(model, SAMPLES, Passes(method="minmax", equalize=False, centre=False, fit=False))
    assert "equalization" not in off.table() and "fit" not in off.table()


def test_outputs_are_not_clipped():
    model = residual_model()
    result = quantize_model(model, SAMPLES)
    real = run(model)
    most = result.network.range_of("y")[1] + 0.5
    assert most * 2.0 ** result.exponents["y"] >= np.abs(real).max()


def test_many_samples_are_not_all_held(network):
    many = {"x": np.broadcast_to(random(1, 1, 3, 8, 8), (5000, 1, 3, 8, 8))}
    assert len(choose_samples(network, many)["x"]) <= 256


def test_noise_by_layer():
    result = quantize_model(residual_model(), SAMPLES)
    layers = noise_by_layer(result.state, NEW)
    assert abs(sum(layer.share for layer in layers) - 1) < 1e-9
    assert [layer.share for layer in layers] == sorted((layer.share for layer in layers), reverse=True)
    # A convolution computes the sum.
    assert {layer.operator for layer in layers} >= {"input", "Conv", "Gemm", "GlobalAveragePool"}
    assert not any(layer.operator == "Add" for layer in layers)
    assert all(layer.decibels > 20 for layer in layers)


def test_script_evaluates(tmp_path, repo):
    name = HOSTILE_NAMES[0]
    model = preprocess_model(small_cnn(lambda plain: name + plain)).model
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    np.save(tmp_path / "c.npy", SAMPLES["x"])
    np.save(tmp_path / "e.npy", NEW["x"])
    np.save(tmp_path / "l.npy", np.zeros(24, np.int64))
    np.save(tmp_path / "bad.npy", np.zeros(23, np.int64))

    def script(*options):
        command = [sys.executable, str(repo / "tools/tvm/esp_quantize_onnx.py"), "--input_model", tmp_path / "m.onnx"]
        command += ["--output_model", tmp_path / "q.onnx", "--calibrate_dataset", tmp_path / "c.npy", *options]
        return subprocess.run(command, capture_output=True, text=True)

    done = script("--evaluate", tmp_path / "e.npy", "--labels", tmp_path / "l.npy")
    assert done.returncode == 0, done.stderr
    assert "cosine" in done.stdout and "top-1 accuracy" in done.stdout
    figures = json.loads((tmp_path / "q.onnx.evaluation.json").read_text())
    assert figures["samples"] == 24 and figures["snr_db"] > 20 and figures["accuracy_int8"] is not None
    ElementTree.parse(tmp_path / "q.onnx.evaluation.svg")
    done = script("--evaluate", tmp_path / "e.npy", "--labels", tmp_path / "bad.npy")
    assert done.returncode == 2 and "24 whole numbers" in done.stderr
    assert script("--labels", tmp_path / "l.npy").returncode == 2


# --- other data than those of calibration ---


def trained_mlp(x, labels, sizes=(64, 128, 64, 10), steps=1500):
    """A network of Gemm and Relu trained by Adam on x [N, 64], labels int [N]."""
    r = np.random.RandomState(0)
    weights = [r.randn(b, a) * np.sqrt(2 / a) for a, b in zip(sizes, sizes[1:])]
    biases = [np.zeros(b) for b in sizes[1:]]
    parameters = weights + biases
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in parameters]
    for step in range(1, steps + 1):
        batch = r.randint(0, len(x), 64)
        values = [x[batch]]
        for w, b in zip(weights, biases):
            made = values[-1] @ w.T + b
            values.append(made if w is weights[-1] else np.maximum(made, 0))
        powers = np.exp(values[-1] - values[-1].max(axis=1, keepdims=True))
        slope = powers / powers.sum(axis=1, keepdims=True)
        slope[np.arange(64), labels[batch]] -= 1
        slope, slopes = slope / 64, []
        for w, value in zip(weights[::-1], values[-2::-1]):
            slopes.append((slope.T @ value, slope.sum(axis=0)))
            slope = (slope @ w) * (value > 0)
        for p, g, (m, v) in zip(parameters, [g for pair in zip(*slopes[::-1]) for g in pair], moments):
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            p -= 0.003 * m / (1 - 0.9**step) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    constants, nodes, name = {}, [], "x"
    for i, (w, b) in enumerate(zip(weights, biases)):
        constants.update({f"w{i}": w.astype(np.float32), f"b{i}": b.astype(np.float32)})
        made = "y" if w is weights[-1] else f"g{i}"
        nodes.append(node("Gemm", [name, f"w{i}", f"b{i}"], [made], transB=1))
        if made != "y":
            nodes.append(node("Relu", [made], [f"r{i}"]))
        name = f"r{i}"
    return model_of(nodes, {"x": [1, 64]}, {"y": [1, 10]}, constants)


def test_equalization_loses_next_to_nothing_on_other_data(repo):
    folder = repo / "examples/digits"
    calibration, other = (np.load(folder / f).reshape(-1, 1, 64) / np.float32(16) for f in ("calib.npy", "test.npy"))
    model = trained_mlp(other[:, 0], np.load(folder / "test_labels.npy").reshape(-1))
    other = other[:150]
    noisy = other + np.random.RandomState(5).randn(*other.shape) * 0.2
    shifted = {
        "same": other,
        "brighter": other + 0.25,
        "darker": other * 0.5,
        "flatter": other * 0.5 + 0.25,
        "harder": (other - 0.5) * 2 + 0.5,
        "noisy": noisy,
    }
    made = [
        quantize_model(model, {"x": calibration}, Passes(equalize=equalize, effort="quick"))
        for equalize in (False, True)
    ]
    for how, samples in shifted.items():
        samples = {"x": np.clip(samples, 0, 1).astype(np.float32)}
        without, with_it = (measure(one.network, one.exponents, one.weights, samples)["y"].decibels for one in made)
        assert with_it > without - 1.0, how


# --- the figures of `bench/accuracy.py`: none may drop by half a decibel ---

FIGURES = {"resnet8": 34.4, "kws": 30.0, "digits": 36.2}


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_figures_stay(repo, monkeypatch, name):
    monkeypatch.syspath_prepend(str(repo / "bench"))
    import accuracy

    if not (accuracy.CASES[name][0] / "model.onnx").exists():
        pytest.skip("this network is not beside the project")
    assert accuracy.measure(name, {})["decibels"] > FIGURES[name] - 0.5
