"""One-dimensional layers of a single channel: nothing falls back, whatever lies around them."""

import numpy as np
import pytest
from onnx import helper
from pipeline_harness import Kernels, Program, compare_with_references, run_model, write_program
from small_models import model_of, random

from esp_tvm.compile import compile_model
from esp_tvm.quantize import Passes, quantize_model

make = helper.make_node


@pytest.fixture(scope="module")
def kernels():
    return Kernels()


def check(nodes, shape, output, constants, kernels, wanted, least=25):
    samples = {"x": random(8, *shape)}
    result = run_model(model_of(nodes, {"x": shape}, {"y": output}, constants), samples, kernels)
    assert result.comparison.samples_equal and not result.compiled.program.fallbacks
    assert [kind for kind in result.kernels if kind in wanted] == list(wanted)
    noise = result.floats["y"] - result.ours["y"].reshape(result.floats["y"].shape)
    assert 10 * np.log10((result.floats["y"] ** 2).sum() / (noise**2).sum()) > least


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("inputs, outputs, length", [(1, 1, 8), (4, 1, 8), (1, 4, 8), (1, 1, 3), (3, 1, 3)])
def test_convolutions(kernels, inputs, outputs, length, bias):
    constants = {"w": random(outputs, inputs, 3, scale=0.5), **({"b": random(outputs, seed=1)} if bias else {})}
    nodes = [make("Conv", ["x", *constants], ["y"], "conv", pads=[1, 1])]
    check(nodes, [1, inputs, length], [1, outputs, length], constants, kernels, ["conv2d"])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("inputs, outputs", [(1, 1), (4, 1), (1, 4)])
def test_transposed_convolutions(kernels, inputs, outputs, bias):
    constants = {"w": random(inputs, outputs, 4, scale=0.5), **({"b": random(outputs, seed=1)} if bias else {})}
    nodes = [make("ConvTranspose", ["x", *constants], ["y"], "conv", strides=[2], pads=[1, 1])]
    check(nodes, [1, inputs, 8], [1, outputs, 16], constants, kernels, ["conv_transpose2d"])


@pytest.mark.parametrize("activation", ["Relu", "LeakyRelu", "Tanh", "PRelu"])
@pytest.mark.parametrize("middle", [1, 4])
def test_networks(kernels, activation, middle):
    constants = {"w": random(middle, 1, 5, scale=0.5), "b": random(middle, seed=1, scale=0.2)}
    constants.update(
        {"v": random(1, middle, 1), "c": random(1, seed=2), "slope": np.full((middle, 1), 0.2, np.float32)}
    )
    nodes = [
        make("Conv", ["x", "w", "b"], ["h"], "conv", pads=[2, 2]),
        make(activation, ["h"] + ["slope"] * (activation == "PRelu"), ["a"], "activation"),
        make("Conv", ["a", "v", "c"], ["y"], "head"),
    ]
    check(nodes, [1, 1, 16], [1, 1, 16], constants, kernels, ["conv2d", "conv2d"], 20)


@pytest.mark.parametrize("pool", ["Average", "Max"])
def test_a_global_pool_of_int16_has_a_kernel(kernels, pool, tmp_path):
    """The quantizer takes it for one that int16 costs nothing: it ran in float, since it became a ReduceMean."""
    nodes = [make("Conv", ["x", "w"], ["c"], "conv"), make(f"Global{pool}Pool", ["c"], ["y"], "pool")]
    model = model_of(nodes, {"x": [1, 2, 15]}, {"y": [1, 4, 1]}, {"w": random(4, 2, 3)})
    samples = {"x": random(24, 1, 2, 15)}
    made = quantize_model(model, samples, Passes(int16="pool", fit=False, equalize=False, centre=False))
    compiled = compile_model(made.model)
    assert not compiled.program.fallbacks
    assert f"{pool.lower()}_pool2d_s16" in [call.operator for call in compiled.program.kernels]
    program = Program(write_program(compiled, tmp_path), kernels)
    assert compare_with_references(program, compiled, samples).samples_equal == 24
