"""docs/streaming.md: a network with states, its C called step by step, against the float model on a recording."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import onnx
import pytest
from onnx import helper
from small_models import model_of, random

pytest.importorskip("tvm")

from pipeline_harness import Kernels, Program, write_program  # noqa: E402

from esp_tvm.compile import compile_model  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.model import session  # noqa: E402
from esp_tvm.quantize import quantize_model  # noqa: E402
from esp_tvm.quantize.auto import Passes  # noqa: E402
from esp_tvm.run.compare import compare_with_rules  # noqa: E402
from esp_tvm.run.reference import load_steps  # noqa: E402
from esp_tvm.states import set_states  # noqa: E402
from esp_tvm.test_set import command as test_set  # noqa: E402

CHANNELS, KERNEL, HIDDEN, STEPS = 8, 4, 6, 60
CONV = {"w": random(CHANNELS, CHANNELS, KERNEL, scale=0.2), "b": random(CHANNELS, scale=0.1)}


def step_model() -> onnx.ModelProto:
    """One step: a causal convolution whose state is the last columns, then a GRU with its own state."""
    make = helper.make_node
    nodes = [
        make("Concat", ["state", "x"], ["window"], "window", axis=2),
        make("Conv", ["window", "w", "b"], ["c"], "conv"),
        make("Relu", ["c"], ["r"], "relu"),
        make("Slice", ["window", "one", "end", "two"], ["state_next"], "forget"),
        make("Transpose", ["r"], ["sequence"], "turn", perm=[2, 0, 1]),
        make("GRU", ["sequence", "gw", "gr", "", "", "h"], ["", "h_next"], "gru", hidden_size=HIDDEN),
        make("Reshape", ["h_next", "flat"], ["hidden"], "flatten"),
        make("Gemm", ["hidden", "o"], ["y"], "out"),
    ]
    constants = {
        **CONV,
        "gw": random(1, 3 * HIDDEN, CHANNELS, scale=0.4),
        "gr": random(1, 3 * HIDDEN, HIDDEN, scale=0.4),
        "o": random(HIDDEN, 3),
        **{name: np.array([value], np.int64) for name, value in (("one", 1), ("end", KERNEL), ("two", 2))},
        "flat": np.array([1, HIDDEN], np.int64),
    }
    states = {"state": [1, CHANNELS, KERNEL - 1], "h": [1, 1, HIDDEN]}
    outputs = {"y": [1, 3], **{f"{name}_next": shape for name, shape in states.items()}}
    return model_of(nodes, {"x": [1, CHANNELS, 1], **states}, outputs, constants)


def recording(seed: int) -> np.ndarray:
    """Slow waves and noise, [STEPS, 1, channels, 1]."""
    times = np.arange(STEPS)[:, None] / (3.0 + np.arange(CHANNELS))
    noise = np.random.RandomState(seed).standard_normal(times.shape) / 4
    return (np.sin(times + seed) + noise).astype(np.float32)[:, None, :, None]


def stream(model: onnx.ModelProto, sound: np.ndarray, step) -> tuple:
    """(y of each step, all inputs by name) of `step`, a function of the inputs, fed with its own states."""
    inputs = {"state": np.zeros((1, CHANNELS, KERNEL - 1), np.float32), "h": np.zeros((1, 1, HIDDEN), np.float32)}
    found, seen = [], {"x": [], "state": [], "h": []}
    for x in sound:
        inputs["x"] = x
        for name, value in inputs.items():
            seen[name].append(value)
        outputs = step(inputs)
        found.append(outputs["y"])
        inputs = {name: outputs[f"{name}_next"] for name in ("state", "h")}
    return np.concatenate(found), {name: np.stack(values)[:, None] for name, values in seen.items()}


# Runs the steps in stdin twice, from zeros each time, and puts a state back on the way.
KEPT = """\
#include "tvmgen_default.h"
#include <stdio.h>
#include <string.h>

static float x[STEPS][TVMGEN_DEFAULT_INPUT_X_ELEMENTS], y[TVMGEN_DEFAULT_OUTPUT_Y_ELEMENTS];
static int8_t stored[TVMGEN_DEFAULT_STATE_STATE_SIZE];

int main(void)
{
    struct tvmgen_default_outputs outputs = {.y = y};
    if (fread(x, 1, sizeof x, stdin) != sizeof x) {
        return 1;
    }
    for (int round = 0; round < 2; round++) {
        tvmgen_default_reset();
        for (int step = 0; step < STEPS; step++) {
            struct tvmgen_default_inputs inputs = {.x = x[step]};
            int8_t *state = tvmgen_default_states().state;
            memcpy(stored, state, sizeof stored);
            memset(state, 55, sizeof stored);
            memcpy(state, stored, sizeof stored);
            if (tvmgen_default_run(&inputs, &outputs) != 0) {
                return 1;
            }
            fwrite(y, 1, sizeof y, stdout);
        }
    }
    return TVMGEN_DEFAULT_STATES != 2;
}
"""


def test_states_are_carried_from_call_to_call(tmp_path, monkeypatch):
    """By the caller, and by the program itself: the same bytes; evaluated over the whole recording."""
    model = step_model()
    set_states(model, ["state=state_next", "h=h_next"])
    run = session(model)
    names = [port.name for port in model.graph.output]

    def in_float(inputs):
        return dict(zip(names, run.run(names, inputs)))

    calibration = stream(model, recording(1), in_float)[1]
    quantized = quantize_model(
        model, {n: a[:, 0] for n, a in calibration.items()}, Passes(method="minmax", equalize=False, fit=False)
    ).model
    (tmp_path / "kept.c").write_text(KEPT)
    program = Program(write_program(compile_model(quantized), tmp_path), Kernels(sanitize=False))

    def in_c(inputs):
        ((outputs, _),) = program.run_each({n: a[None] for n, a in inputs.items()}, traced=False, alone=True)
        return outputs

    sound = recording(2)
    wanted, _ = stream(model, sound, in_float)
    got, seen = stream(model, sound, in_c)
    noise = got.reshape(wanted.shape) - wanted
    assert 10 * np.log10((wanted**2).sum() / (noise**2).sum()) > 20
    # Nor does it drift away: the last third is as good as the first.
    thirds = [np.abs(part).mean() for part in np.array_split(noise, 3)]
    assert thirds[2] < 2 * thirds[0] + 0.02
    # The state is what the guide says: the columns of the window but its oldest, at most half a step away.
    last = np.concatenate([sound[-1 - k][0] for k in range(KERNEL - 1, 0, -1)], axis=1)
    (port,) = [state.before for state in program.program.states if state.before.name == "state"]
    assert not program.program.fallbacks and {state.before.dtype for state in program.program.states} == {"int8"}
    assert np.abs(seen["state"][-1] * 2.0**port.exponent - last).max() < 0.05
    binary = program.link([tmp_path / "kept.c"], tmp_path / "kept", [f"-DSTEPS={STEPS}"])
    done = subprocess.run([binary], input=sound.tobytes(), stdout=subprocess.PIPE, check=True)
    assert done.stdout == 2 * got.tobytes()
    np.save(tmp_path / "sound.npy", sound)
    steps = load_steps(tmp_path / "sound.npy", program.program, tmp_path)
    assert compare_with_rules(program, steps).equal
    monkeypatch.setattr(test_set, "HostProgram", lambda project: program)
    onnx.save(model, str(tmp_path / "model.onnx"))
    arguments = [str(tmp_path / name) for name in (".", "model.onnx", "sound.npy")]
    ratios = []
    for part in (0, STEPS // 2):
        test_set.evaluate_project(*arguments, output=str(tmp_path / "figures.json"), steps=part)
        (figures,) = json.loads((tmp_path / "figures.json").read_text())["outputs"]
        ratios.append(figures["snr_db"])
    assert ratios[0] == pytest.approx(10 * np.log10((wanted**2).sum() / (noise**2).sum()), abs=0.05) != ratios[1]
    with pytest.raises(UserError, match="no recordings of 7 steps each"):
        test_set.evaluate_project(*arguments, output=str(tmp_path / "figures.json"), steps=7)


def test_without_its_state_it_computes_something_else():
    """The test above can fail: the network hears the past."""
    model = step_model()
    run = session(model)
    sound = recording(2)
    zeros = {"state": np.zeros((1, CHANNELS, KERNEL - 1), np.float32), "h": np.zeros((1, 1, HIDDEN), np.float32)}

    def in_float(inputs):
        return dict(zip(("y", "state_next", "h_next"), run.run(["y", "state_next", "h_next"], inputs)))

    wanted, _ = stream(model, sound, in_float)
    alone = np.concatenate([in_float({"x": x, **zeros})["y"] for x in sound])
    assert np.abs(wanted - alone).mean() > 0.2 * np.abs(wanted).mean()
