"""Inputs that failed once (../shared/cases): each gives the right value, or one clear line.

models/: a float model with calibration; right is what ONNX Runtime computes of it, within the noise of quantization.
hostile/: files that crash or mislead what reads them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Dict, Optional, Union

import numpy as np
import pytest
from pipeline_harness import Kernels, Program, float_outputs, quantized_or_float, write_program

from esp_tvm.compile import compile_model
from esp_tvm.data import load_samples
from esp_tvm.errors import UserError
from esp_tvm.evaluate import NumpyEvaluator
from esp_tvm.model import inputs_of, is_quantized, load_model
from esp_tvm.preprocess import preprocess_model
from esp_tvm.project.verify import verify
from esp_tvm.run.compare import compare_with_rules

# Case -> least signal-to-noise ratio in dB of every output against the float model, or words of the refusal.
MODELS: Dict[str, Union[float, str]] = {
    "avg_ceil_pad_incl": 29.0,
    "conv1d_1to1_bias": 37.0,
    "conv1d_4to1_bias": 31.0,
    "conv_same_dil": 28.0,
    "convt1d_to1": 34.0,
    "double_const_inside": 36.0,
    "e2e_conv1d_head": 31.0,
    "e2e_convt1d": 33.0,
    "e2e_rnn_reverse": 36.0,
    "e2e_rnn_reverse_seq": 34.0,
    "empty_window_ceil": 57.0,
    "f_gathernd_neg": 38.0,
    "f_glppool_p1": 57.0,
    "f_hardmax_op11": 57.0,
    "f_mean3": 34.0,
    "f_pad18_axes": 37.0,
    "f_scatternd_neg": 57.0,
    "f_topk_small": 41.0,
    "float16_inside": 39.0,
    "imu_two_ranges": 26.0,
    "local_function": 29.0,
    "loop_const": 39.0,
    "lppool": 57.0,
    "lppool_pads": 57.0,
    "lstm_state": 32.0,
    "max_same_dil": 39.0,
    "maxpool_idx": 13.0,
    "net_avgpool_ceil": 26.0,
    "net_cbam": 27.0,
    "net_interp15": 25.0,
    "net_lstm_stream": 32.0,
    "net_rnnoise": 33.0,
    "opset21_int4": 57.0,
    "rnn_fwd_seq": 40.0,
    "scatternd_neg": 35.0,
    "unfolded": 30.0,
    "dyn_time": "axis 2 ('T') has no fixed size",
    "f_lstm_clip": 57.0,
    "f_lstm_seqlen": 57.0,
}
HOSTILE: Dict[str, Union[float, str]] = {
    "clip_min_above_max": "'Clip_1' (Clip) has min 3 above max 1",
    "dims_raw_mismatch": "constant 'w' is float[2147483648, 2147483648]",
    "eq_const": 57.0,
    "if_init": "outside the model's folder",
    "invalid_utf8_name": "is not UTF-8",
    "mutate_10048": "constant 'i2' is int64[1]",
    "oob_gathernd_q": "'GatherND_2' (GatherND): the constant 'i' has the index -900000",
    "oob_scatter_f": "'ScatterND_0' (ScatterND): the constant 'i' has the index 70000",
    "oob_scatter_q": "'ScatterND_3' (ScatterND): the constant 'i' has the index 700",
    "pool_empty": "tensor 'p' (MaxPool) has an axis of size 0",
    "qdq_scale_zero": "node 'n13' (QuantizeLinear): its scale is 0",
    "rt_gathernd": 57.0,
    "segv_output_not_made_opset11": "output 'y': no node computes it",
    "segv_version_converter_1": "output 'o0': no node computes it",
    "stride0_sigfpe": "'strides' is 0",
    "zero_size_resize": "tensor 'o3' (Resize) has an axis of size 0",
    "noncompiling/float16_cast": 39.0,
    "noncompiling/nan_alpha": "'n14' (Elu): its attribute 'alpha' is not a number",
    "noncompiling/output_named_UINT8_MAX": 39.0,
    "noncompiling/output_twice": "output 'o7' stands twice",
}


def outcome(path: Path, calibration: Optional[Path], kernels: Kernels) -> Dict[str, float]:
    """Output name -> dB of the generated C against the float model; every layer is compared on the way.

    Raises what the pipeline raises.
    """
    model = load_model(path)
    samples = _samples(model, calibration)
    few = {name: array[:4] for name, array in samples.items()}
    prepared = model if is_quantized(model) else quantized_or_float(preprocess_model(model, path).model, samples)
    compiled = compile_model(prepared)
    evaluator = NumpyEvaluator(compiled.imported, compiled.partitioned)
    first = {name: array[0] for name, array in few.items()}
    verify(prepared, compiled, first, evaluator.run(first), evaluator)
    with tempfile.TemporaryDirectory(prefix="esp_tvm_case_") as folder:
        program = Program(write_program(compiled, Path(folder)), kernels)
        assert compare_with_rules(program, few).equal, "the C differs from its rules"
        ours = program.run(few)
    return {name: _decibel(ours[name], right) for name, right in float_outputs(model, few).items()}


def _samples(model, calibration: Optional[Path]) -> Dict[str, np.ndarray]:
    if calibration is not None:
        return {name: np.asarray(array[:16]) for name, array in load_samples(calibration, inputs_of(model)).items()}
    random, made = np.random.RandomState(0), {}
    for name, shape, dtype in inputs_of(model):
        kind = np.dtype(dtype).kind
        values = random.standard_normal((8, *shape)) if kind == "f" else random.randint(0, 2, (8, *shape))
        made[name] = values.astype(dtype)
    return made


def _decibel(ours: np.ndarray, right: np.ndarray) -> float:
    if ours.dtype.kind not in "fiu":
        return np.inf if np.array_equal(ours, right) else -np.inf
    noise = float(np.sum((ours.astype(np.float64) - right) ** 2))
    return np.inf if noise == 0 else 10 * np.log10(float(np.sum(right.astype(np.float64) ** 2)) / noise)


def case_files(folder: Path):
    """(model, calibration) of a case in models/."""
    model = next(iter(sorted(folder.glob("*.onnx"))))
    calibration = [file for name in ("calib.*", f"{folder.name}.np*") for file in sorted(folder.glob(name))]
    return model, calibration[0] if calibration else None


@pytest.fixture(scope="module")
def kernels() -> Kernels:
    return Kernels()


def check(path: Path, calibration: Optional[Path], kernels: Kernels, wanted: Union[float, str]) -> None:
    if isinstance(wanted, str):
        with pytest.raises(UserError) as error:
            outcome(path, calibration, kernels)
        assert wanted in str(error.value) and "\n" not in str(error.value)
        return
    ratios = outcome(path, calibration, kernels)
    assert min(ratios.values()) >= wanted, ratios


@pytest.mark.parametrize("name", sorted(MODELS))
def test_models(shared_cases, kernels, name):
    folder = shared_cases / "models" / name
    check(*case_files(folder), kernels, MODELS[name])


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile(shared_cases, kernels, name):
    check(shared_cases / "hostile" / f"{name}.onnx", None, kernels, HOSTILE[name])
