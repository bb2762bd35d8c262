"""Data that do not fit a model are said, and the figure that is printed is of samples that nothing was fitted to."""

import json
import time

import numpy as np
import pytest
from onnx import helper
from small_models import model_of, random, small_cnn

from esp_tvm.convert.qdq import Qdq
from esp_tvm.data import Part, load_samples
from esp_tvm.data_check import FEW, check, describe, examine, known_inputs, note, warnings
from esp_tvm.errors import UserError
from esp_tvm.model import load_model, save_model
from esp_tvm.onnx_graph import copied
from esp_tvm.program.form import Port
from esp_tvm.program.ports import to_port
from esp_tvm.program.samples import as_onnx, rounding
from esp_tvm.quantize import Passes, quantize_model
from esp_tvm.quantize.held_back import hold_back
from esp_tvm.quantize.judge import judge
from esp_tvm.quantize.report import NOISE_NOTE
from esp_tvm.quantize.split_products import split_products
from esp_tvm.terminal import Progress

node = helper.make_node


def pictures(count, channels_first=True, seed=0):
    """Smooth pictures [count, 1, 3, 24, 24] (or channels last), values 0 to 1."""
    r = np.random.RandomState(seed)
    grid = np.stack(np.meshgrid(np.arange(24), np.arange(24), indexing="ij"))
    made = []
    for _ in range(count):
        wave, phase = r.uniform(0.05, 0.3, (3, 2)), r.uniform(0, 6, 3)
        made.append(np.stack([np.sin(wave[c] @ grid.reshape(2, -1) + phase[c]).reshape(24, 24) for c in range(3)]))
    images = (0.5 + 0.5 * np.stack(made)[:, None]).astype(np.float32)
    return images if channels_first else np.ascontiguousarray(images.transpose(0, 1, 3, 4, 2))


def calibration_warnings(array):
    return " ".join(warnings("calibration", examine({"x": array})))


def test_good_pictures_have_no_warning_whichever_way_they_lie():
    for first in (True, False):
        facts = examine({"x": pictures(32, first)})
        assert warnings("calibration", facts) == []
        assert "32 samples, " in describe("calibration", facts)[0] and "0 constant, 0 repeated" in str(
            describe("calibration", facts)
        )


@pytest.mark.parametrize("first", [True, False])
def test_pictures_that_were_reshaped_and_not_transposed(first):
    images = pictures(32, first)
    other = images.transpose(0, 1, 3, 4, 2) if first else images.transpose(0, 1, 4, 2, 3)
    assert "axes are swapped" in calibration_warnings(np.ascontiguousarray(other).reshape(images.shape))


def test_few_constant_and_repeated_samples():
    images = pictures(32)
    assert f"only {FEW - 1} samples" in calibration_warnings(images[: FEW - 1])
    constant = images.copy()
    constant[3:5] = 0.25
    assert "2 of 32 samples hold one value" in calibration_warnings(constant)
    assert "16 of 32 samples repeat" in calibration_warnings(np.concatenate([images[:16], images[:16]]))


def test_data_beside_what_the_model_was_calibrated_with(tmp_path):
    model = small_cnn()
    name, shape = model.graph.input[0].name, [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    r = np.random.RandomState(3)
    slope = np.linspace(0, 1, shape[-1], dtype=np.float32)
    samples = {name: (r.uniform(0, 1, (40, *shape)) * slope).astype(np.float32)}
    save_model(quantize_model(model, samples).model, tmp_path / "q.onnx")
    quantized = load_model(tmp_path / "q.onnx")
    known = known_inputs(quantized)[name]
    assert known.low == pytest.approx(samples[name].min()) and known.high == pytest.approx(samples[name].max())

    def said(array):
        return " ".join(check("input", {name: array.astype(np.float32)}, quantized))

    assert "warning" not in said(samples[name][:20])
    assert "goes beyond the calibrated range" in said(samples[name] * 3)
    assert "looks like bytes" in said(np.floor(samples[name] * 255))
    assert "next to nothing" in said(samples[name] / 255)
    assert "look swapped" in said(np.swapaxes(samples[name], -1, -2))


def test_values_that_were_rounded_to_integers_may_lie_beyond_by_half_a_step():
    """Of a range far from zero (kelvins) int8 has steps that are wider than what is called beyond otherwise."""
    model = model_of([node("Relu", ["x"], ["y"])], {"x": [1, 20]}, {"y": [1, 20]}, {})
    reals = np.random.RandomState(0).uniform(298.2, 306.2, (40, 1, 20)).astype(np.float32)
    note(model, examine({"x": reals}))
    port = Port("x", (1, 20), "int8", 2, onnx_dtype="float32")
    rounded = as_onnx([port], {"x": np.stack([to_port(port, one) for one in reals])})["x"]
    assert rounding([port]) == {"x": 2.0} and rounded[:].max() > reals.max() + 1
    assert "beyond" in " ".join(check("input", {"x": rounded}, model))
    assert "beyond" not in " ".join(check("input", {"x": rounded}, model, rounding([port])))
    assert "beyond" in " ".join(check("input", {"x": rounded[:] + 8}, model, rounding([port])))


def test_a_model_without_notes_tells_its_range_by_its_scale():
    scale, zero = np.float32(2**-7), np.int8(0)
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        node("Relu", ["d"], ["y"]),
    ]
    known = known_inputs(model_of(nodes, {"x": [1, 8]}, {"y": [1, 8]}, {"s": scale, "z": zero}))["x"]
    assert (known.low, known.high) == (-1.0, 127 / 128)


def test_what_is_held_back_is_in_no_way_in_the_calibration():
    samples = random(50, 1, 8, seed=1)
    samples[::7] = samples[3]
    kept, held = hold_back({"x": samples})
    ours, theirs = ({row.tobytes() for row in part["x"]} for part in (kept, held))
    assert not ours & theirs and len(held["x"]) >= 8
    assert isinstance(kept["x"], Part) and kept["x"][2:4].shape == (2, 1, 8)
    assert hold_back({"x": samples[: FEW - 1]})[1] is None
    # Many copies of a few samples are few samples.
    assert hold_back({"x": np.repeat(samples[1:5], 20, axis=0)})[1] is None


def dense(bias=1.0):
    constants = {"w": random(4, 16, scale=0.3), "b": random(4, seed=5) * np.float32(bias)}
    return model_of([node("Gemm", ["x", "w", "b"], ["y"], transB=1)], {"x": [1, 16]}, {"y": [1, 4]}, constants)


def test_the_headline_is_of_samples_held_back_or_says_that_there_were_too_few():
    many = quantize_model(dense(), {"x": random(40, 1, 16)})
    assert many.count == 8 and "on 8 samples held back from calibration" in many.table()
    assert many.again and "then all samples were used" in many.table()
    quick = quantize_model(dense(), {"x": random(40, 1, 16)}, Passes(effort="quick"))
    assert quick.held is not None and not quick.again and "then all samples" not in quick.table()
    few = quantize_model(dense(), {"x": random(10, 1, 16)})
    assert few.held is None and "too few to hold any back" in few.table() and "only 10 samples" in few.table()


def test_what_was_held_back_is_in_the_model_at_the_end():
    samples = random(40, 1, 16, seed=2)
    samples[4] *= 6.0  # the fifth is held back
    model = dense()
    whole, part = (quantize_model(model, {"x": samples}, Passes(effort=effort)) for effort in ("default", "quick"))
    assert np.array_equal(whole.held["x"][:1], samples[4:5]) and whole.again and not part.again
    # Only the model that saw it holds what it gives.
    loud = {"x": samples[4:5]}
    assert judge(model, whole.model, loud).decibels > judge(model, part.model, loud).decibels + 6
    # The figure is of the samples when they were unseen.
    assert abs(whole.noise["y"].decibels - part.noise["y"].decibels) < 3


@pytest.mark.parametrize("size", [1e-44, 1e-36, 1e-22])
def test_outputs_below_the_finest_step_are_refused(size):
    with pytest.raises(UserError, match=r"output 'y': its largest value is .* every value would become 0"):
        quantize_model(tiny(size), {"x": random(24, 1, 16)}, path="tiny.onnx")


def test_the_least_outputs_that_steps_can_hold_pass():
    assert "warning" not in quantize_model(tiny(1e-16), {"x": random(24, 1, 16)}).table()


def tiny(size):
    weights = np.where(random(4, 16) < 0, -size, size).astype(np.float32)
    return model_of([node("Gemm", ["x", "w"], ["y"], transB=1)], {"x": [1, 16]}, {"y": [1, 4]}, {"w": weights})


def test_bytes_and_samples_that_are_all_the_same():
    small = np.random.RandomState(0).uniform(0, 1, (40, 1, 16)).astype(np.float32)
    assert "warning" not in quantize_model(dense(), {"x": small}).table()
    assert "looks like bytes" in quantize_model(dense(), {"x": np.floor(small * 256)}).table()
    assert "the same for every sample" in quantize_model(dense(), {"x": np.zeros_like(small)}).table()


def test_collapse_is_said():
    # One input carries the answer, in a range that the other leaves no steps for.
    values = random(40, 1, 16, seed=2)
    values[:, :, 8:] *= 3000
    model = dense()
    weights = np.array(random(4, 16, scale=0.3))
    weights[:, 8:] = 0
    model.graph.initializer[0].raw_data = weights.astype(np.float32).tobytes()
    assert "mostly noise" in quantize_model(model, {"x": values}).table()


def joined(kind):
    if kind == "Conv":
        weights, shape, axis, out = random(5, 8, 3, 3, scale=0.3), [1, 4, 6, 6], 1, [1, 5, 4, 4]
    else:
        weights, shape, axis, out = random(8, 5, scale=0.3), [1, 4], 1, [1, 5]
    weights = np.array(weights)
    big = (slice(None), slice(4, None)) if kind == "Conv" else slice(4, None)
    weights[big] /= 2000
    inputs = ["j", "w"] + (["b"] if kind != "MatMul" else [])
    nodes = [node("Concat", ["a", "g"], ["j"], axis=axis), node(kind, inputs, ["h"]), node("Relu", ["h"], ["y"])]
    constants = {"w": weights, "b": random(5)} if kind != "MatMul" else {"w": weights}
    return model_of(nodes, {"a": shape, "g": shape}, {"y": out}, constants), shape


@pytest.mark.parametrize("kind", ["Gemm", "MatMul", "Conv"])
def test_inputs_of_two_ranges_keep_exponents_of_their_own(kind):
    model, shape = joined(kind)
    samples = {"a": random(40, *shape, seed=1), "g": random(40, *shape, seed=2) * 2000}
    split = split_products(model, samples)
    assert "Concat" not in [n.op_type for n in split.graph.node]
    result = quantize_model(model, samples)
    assert result.noise["y"].decibels > 25
    # Exporters write constants as nodes, too.
    spelled = copied(model)
    for tensor in spelled.graph.initializer:
        spelled.graph.node.insert(0, node("Constant", [], [tensor.name], value=tensor))
    del spelled.graph.initializer[:]
    assert "Concat" not in [n.op_type for n in split_products(spelled, samples).graph.node]
    # Inputs of one range stay joined.
    samples["g"] = samples["g"] / 2000
    assert split_products(model, samples) is model


@pytest.mark.parametrize("scale", [0.0, 1e-42, np.inf])
def test_a_scale_that_nothing_can_be_divided_by(scale):
    nodes = [node("QuantizeLinear", ["x", "s", "z"], ["q"]), node("DequantizeLinear", ["q", "s", "z"], ["y"])]
    constants = {"s": np.float32(scale), "z": np.int8(0)}
    with pytest.raises(UserError, match=r"m\.onnx: node .*QuantizeLinear.*its scale is"):
        Qdq(model_of(nodes, {"x": [1, 8]}, {"y": [1, 8]}, constants), "m.onnx")


def test_models_that_no_arithmetic_can_use():
    model = dense()
    model.graph.initializer[0].raw_data = np.full((4, 16), 1e30, np.float32).tobytes()
    with pytest.raises(UserError, match="a weight is 1e"):
        quantize_model(model, {"x": random(40, 1, 16)})
    constants = {"w": random(4, 16), "low": np.float32(3), "high": np.float32(1)}
    nodes = [node("Gemm", ["x", "w"], ["h"], transB=1), node("Clip", ["h", "low", "high"], ["y"])]
    clipped = model_of(nodes, {"x": [1, 16]}, {"y": [1, 4]}, constants)
    assert "lies above its largest" in quantize_model(clipped, {"x": random(40, 1, 16)}).table()


def test_truth_values_second_outputs_and_tiny_numbers():
    constants = {"w": random(4, 16, scale=0.3)}
    nodes = [
        node("Gemm", ["x", "w"], ["h"], transB=1),
        node("Greater", ["h", "zero"], ["y"]),
    ]
    truth = model_of(nodes, {"x": [1, 16]}, {"y": [1, 4]}, {**constants, "zero": np.zeros(1, np.float32)})
    truth.graph.output[0].type.tensor_type.elem_type = 9
    assert quantize_model(truth, {"x": random(40, 1, 16)}).noise["y"].decibels > 8
    tiny = {"w": random(4, 16, scale=0.3) * np.float32(1e-40)}
    model = model_of([node("Gemm", ["x", "w"], ["y"], transB=1)], {"x": [1, 16]}, {"y": [1, 4]}, tiny)
    with pytest.raises(UserError, match="output 'y': its largest value is .*e-40, and the finest step of int8"):
        quantize_model(model, {"x": random(40, 1, 16)})


def test_a_second_output_of_a_float_layer():
    """A plain RNN stays float; what reads its last state is quantized."""
    constants = {"w": random(1, 8, 4, scale=0.3), "r": random(1, 8, 8, scale=0.3), "d": random(3, 8, scale=0.5)}
    constants["axes"] = np.array([0], np.int64)
    nodes = [
        node("RNN", ["x", "w", "r"], ["all", "last"], hidden_size=8),
        node("Squeeze", ["last", "axes"], ["s"]),
        node("Gemm", ["s", "d"], ["y"], transB=1),
    ]
    model = model_of(nodes, {"x": [6, 1, 4]}, {"y": [1, 3]}, constants)
    assert quantize_model(model, {"x": random(40, 6, 1, 4)}).noise["y"].decibels > 25


def damaged(good, seed):
    """`good` cut off, or with some bytes of its header or anywhere changed."""
    r = np.random.RandomState(seed)
    data = bytearray(good)
    if seed % 4 == 0:
        return bytes(data[: r.randint(len(data))])
    for _ in range(r.choice([1, 1, 2, 5])):
        data[r.randint(128 if good[:1] == b"\x93" else len(data))] = r.randint(256)
    return bytes(data)


@pytest.mark.parametrize("save", [np.save, np.savez, np.savez_compressed])
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_are_complaints(tmp_path, save):
    good = tmp_path / ("good.npy" if save is np.save else "good.npz")
    save(good, random(20, 8))
    refused = 0
    for seed in range(300):
        file = tmp_path / "damaged.npy"
        file.write_bytes(damaged(good.read_bytes(), seed))
        try:
            np.asarray(load_samples(file, [("x", (1, 8), "float32")])["x"])
        except UserError as error:
            refused += 1
            assert "damaged.npy" in str(error) and "\n" not in str(error)
    assert refused > 100


def test_answers_that_are_lost_are_said():
    """Scores from -500 to 3 in one exponent: all that matter become 0."""
    constants = {"w": np.eye(8, 16, dtype=np.float32), "b": np.zeros(8, np.float32)}
    model = model_of([node("Gemm", ["x", "w", "b"], ["y"], transB=1)], {"x": [1, 16]}, {"y": [1, 8]}, constants)
    good = random(60, 1, 16, seed=1)
    table = quantize_model(model, {"x": good}).table()
    assert "warning" not in table and "its largest value is in the same place" in table
    scores = good.copy()
    scores[:, :, :8] = -500 * np.abs(good[:, :, :8]) - 200
    scores[:, :, 2] = 0.3
    lost = quantize_model(model, {"x": scores}, Passes(int16_outputs=False))
    assert "its best value becomes 0" in lost.table()
    noted = {entry.key: entry.value for entry in lost.model.metadata_props}[NOISE_NOTE]
    answers = json.loads(noted)["answers"]["y"]
    assert answers["lost"] and answers["vanished"] > answers["same_sign"] and answers["samples"] == lost.count


def test_progress_without_a_terminal_is_a_line_now_and_then(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with Progress("fitting weights", 10) as progress:
        for _ in range(10):
            now[0] += 4.0
            progress.step()
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["fitting weights: 4/10, about 24 s left", "fitting weights: 8/10, about 8 s left"]
