"""Sound to a model's input: NumPy against float64 and SciPy, the generated C against NumPy, bit by bit."""

from __future__ import annotations

import wave

import numpy as np
import pytest
import scipy.fft
import scipy.signal

from esp_tvm import arithmetic
from esp_tvm.errors import UserError
from esp_tvm.frontend import audio
from esp_tvm.frontend.audio_c import emit_features
from esp_tvm.frontend.audio_spec import load_audio_spec
from esp_tvm.frontend.host import AudioProgram, write_files

GOOD = {
    "sample_rate": 16000,
    "window": 480,
    "hop": 320,
    "fft": 512,
    "bands": 40,
    "low": 20,
    "high": 4000,
    "coefficients": 10,
    "shape": [1, 1, 5, 10],
}


def spec_of(tmp_path, **changes):
    values = {**GOOD, **changes}
    path = tmp_path / "audio.yaml"
    path.write_text("".join(f"{key}: {value}\n" for key, value in values.items() if value is not None))
    return load_audio_spec(path)


def signals(seconds=0.4, rate=16000):
    """What sounds are like: noise of every loudness, a sweep, clicks, full scale, silence."""
    rng = np.random.default_rng(7)
    t = np.arange(int(seconds * rate)) / rate
    loudness = np.repeat(2.0 ** rng.uniform(0, 15, 1 + len(t) // 400), 400)[: len(t)]
    square = np.where(np.sin(2 * np.pi * 440 * t) >= 0, 32767, -32768)
    clicks = np.zeros(len(t))
    clicks[::997] = -32768
    parts = [
        rng.standard_normal(len(t)) * loudness,
        20000 * scipy.signal.chirp(t, 50, seconds, 7900) + rng.standard_normal(len(t)),
        clicks,
        square,
        np.zeros(len(t)),
        np.full(len(t), -32768.0),
    ]
    return np.clip(np.concatenate(parts), -32768, 32767).astype(np.int16)


def float_features(samples, spec):
    """The same in float64, straight from the definition."""
    x = audio.windows_of(samples, spec) / 32768.0 * scipy.signal.get_window("hann", spec.window)
    power = np.abs(np.fft.rfft(x, spec.fft)) ** 2
    if spec.spectrum == "magnitude":
        power = np.sqrt(power)
    log = np.log(power @ spec.mel_weights().T + float(spec.log_offset))
    if spec.features == "logmel":
        return log
    dct = scipy.fft.dct(log, type=2, norm="ortho", axis=1)[:, : spec.coefficients]
    if spec.dct == "htk":
        dct[:, 0] *= np.sqrt(2)
    return dct


# --- formulas ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fft", [64, 256, 512, 1024])
def test_spectrum_is_the_fourier_transform(fft, tmp_path):
    spec = spec_of(
        tmp_path, fft=fft, window=fft, hop=fft, window_function="rectangle", bands=6, coefficients=6, shape=[1, 5, 6]
    )
    windows = audio.windows_of(signals(), spec)
    re, im = audio.FeatureMaker(spec).spectrum(windows)
    exact = np.fft.rfft(windows.astype(np.float64)) * 2.0**spec.gain_bits
    error = np.abs(re + 1j * im - exact)
    # Every stage rounds to whole numbers: errors add up like its square root times the number of values.
    assert error.max() < 4 * np.sqrt(fft)
    assert max(np.abs(re).max(), np.abs(im).max()) <= 1 << 29


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"spectrum": "magnitude"},
        {"features": "logmel", "coefficients": None, "shape": [1, 5, 40]},
        {"dct": "htk", "mel_scale": "slaney", "mel_norm": "slaney"},
        {"log_offset": "1e-3", "high": 8000},
    ],
)
def test_features_are_those_of_float64(changes, tmp_path):
    spec = spec_of(tmp_path, **changes)
    # As quiet as a room: where a band has no energy at all, the window's 16 bits are what is left, 120 dB below.
    noise = np.random.default_rng(8).standard_normal(len(signals())) * 40
    samples = np.clip(signals() + noise, -32768, 32767).astype(np.int16)
    rows = audio.feature_rows(samples, spec) * 2.0**-12
    wanted = float_features(samples, spec)
    assert rows.shape == wanted.shape
    # int8 features are hundreds of times coarser than this.
    assert np.abs(rows - wanted).max() < 0.02 and np.abs(rows - wanted).mean() < 1e-3


def test_mean_and_std_are_applied(tmp_path):
    samples = signals()
    plain = audio.feature_rows(samples, spec_of(tmp_path)) * 2.0**-12
    mean, std = np.linspace(-20, 3, 10), np.linspace(0.5, 6, 10)
    spec = spec_of(tmp_path, mean=list(mean), std=list(std))
    np.testing.assert_allclose(audio.feature_rows(samples, spec) * 2.0**-12, (plain - mean) / std, atol=1.5e-3)


def test_int8_input_is_the_float_input_quantized(tmp_path):
    spec = spec_of(tmp_path, std=7)
    samples = signals()[:3000]
    values = audio.float_input(samples, spec)
    assert values.dtype == np.float32 and values.shape == (1, 1, 5, 10)
    for exponent, zero_point in ((-13, 0), (-12, 128), (-5, 0), (-2, 44), (3, -128), (40, 1)):
        wanted = arithmetic.quantize(values, exponent=exponent, zero_point=zero_point)
        assert np.array_equal(audio.int8_input(samples, spec, exponent, zero_point), wanted)


def test_short_and_long_sounds_fill_one_input(tmp_path):
    spec = spec_of(tmp_path)
    needed = audio.samples_needed(spec)
    assert needed == 480 + 4 * 320
    for count in (0, 1, needed - 1, needed, needed + 1, 5 * needed):
        assert audio.float_input(signals()[:count], spec).shape == spec.shape
    middle = signals()[1000 : 1000 + needed]
    around = np.concatenate([np.full(500, 7, np.int16), middle, np.full(500, 9, np.int16)])
    assert np.array_equal(audio.float_input(around, spec), audio.float_input(middle, spec))


# --- generated C ------------------------------------------------------------------------------------------

QUICK = {
    "mfcc": {},
    "features first": {"shape": [1, 10, 7], "std": 4, "mean": -2, "hop": 480},
}
SLOW = {
    "magnitude": {"spectrum": "magnitude", "high": 8000, "log": "dB", "std": 20},
    "logmel": {"features": "logmel", "coefficients": None, "shape": [1, 3, 40, 1], "log": "log10"},
    "small": {"fft": 64, "window": 64, "hop": 1, "bands": 8, "coefficients": 8, "shape": [1, 8, 2], "low": 1},
    "large": {"fft": 1024, "window": 1023, "hop": 512, "dct": "htk", "window_function": "hamming"},
    "one frame": {"shape": [1, 10]},
    "one feature": {
        "coefficients": 1,
        "mean": -40,
        "std": 4,
        "shape": [1, 9],
        "mel_norm": "slaney",
        "mel_scale": "slaney",
    },
    "8 kHz": {"sample_rate": 8000, "fft": 256, "window": 200, "hop": 80, "bands": 20, "log_offset": "1e-12"},
}


@pytest.mark.parametrize("case", [*QUICK, *(pytest.param(case, marks=pytest.mark.slow) for case in SLOW)])
def test_generated_c_gives_the_bytes_of_python(case, tmp_path):
    spec = spec_of(tmp_path, **(QUICK.get(case) or SLOW.get(case) or {}))
    samples = signals(0.05 if case == "small" else 0.4)
    for exponent in (-4, -2) if case != "mfcc" else (-13, -12, -3, 41):
        zero_point = {-2: 44, -3: -20, -12: 7, -13: -128}.get(exponent, 0)
        write_files(emit_features(spec, exponent, zero_point), tmp_path)
        program = AudioProgram(tmp_path, spec, tmp_path, sanitize=True)
        expected = np.stack(list(audio.FeatureStream(spec, exponent, zero_point).push(samples)))
        assert len(expected) == 1 + (len(samples) - spec.window) // spec.hop - (spec.frames - 1) > 10
        assert np.array_equal(program.run(samples, [len(samples) + 1]), expected)
        assert np.array_equal(program.run(samples, [1, 317, 4000, spec.hop, 2]), expected)
        assert exponent in (-13, 41) or len(np.unique(expected)) > 15


def test_a_stream_in_python_does_not_depend_on_its_chunks(tmp_path):
    spec = spec_of(tmp_path)
    samples = signals(0.2)
    whole = np.stack(list(audio.FeatureStream(spec, -2).push(samples)))
    stream, parts = audio.FeatureStream(spec, -2), []
    for part in np.array_split(samples, 41):
        parts += stream.push(part)
    assert np.array_equal(np.stack(parts), whole)
    needed = audio.samples_needed(spec)
    last = samples[: needed + (len(whole) - 1) * spec.hop][-needed:]
    assert np.array_equal(whole[-1], audio.int8_input(last, spec, -2))


# --- the YAML and sound files -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"fft": 500}, "fft: 500 is not one of 64, 128"),
        ({"window": 600}, "window: 600 is not a whole number from 2 to 512"),
        ({"hop": 481}, "hop: 481 is not a whole number from 1 to 480"),
        ({"shape": [1, 49, 11]}, "is not frames x 10 features"),
        ({"shape": [2, 49, 10]}, "shape: is not the model's input shape"),
        ({"shape": 490}, "shape: is not the model's input shape"),
        ({"high": 9000}, "high: is not between low and half the sample_rate"),
        ({"low": 5000}, "high: is not between"),
        ({"bands": 120}, "lies between bins of the FFT"),
        ({"coefficients": 41}, "coefficients: 41 is not a whole number from 1 to 40"),
        ({"coefficients": None}, "coefficients: is missing"),
        ({"low": "3999.999999999999", "high": 4000}, "high: is so near to low"),
        ({"coefficients": 1, "mean": 0, "std": 1, "shape": [1, 10**12]}, "shape: is not the model's input shape"),
        ({"std": 0}, "std: 0 is not larger than 0"),
        ({"std": "1e-9"}, "std: is not from 0.0001"),
        ({"mean": [1, 2]}, "mean: has 2 numbers, 10 are needed"),
        ({"log_offset": 0}, "log_offset: 0 is not larger than 0"),
        ({"features": "chroma"}, "'chroma' is not one of mfcc, logmel"),
        ({"bands": None}, "bands: is missing"),
        ({"widow": 3}, "widow: is not known here"),
        ({"labels": "[yes, no]"}, "is not a list of names"),
    ],
)
def test_bad_values_are_one_clear_line(changes, words, tmp_path):
    with pytest.raises(UserError) as error:
        spec_of(tmp_path, **changes)
    assert words in str(error.value) and "audio.yaml" in str(error.value) and "\n" not in str(error.value)


def write_wav(path, data, width, channels=1, rate=16000):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(data)


def test_wav_files_of_every_width_are_read_alike(tmp_path):
    samples = signals(0.01)
    write_wav(tmp_path / "16.wav", samples.tobytes(), 2)
    write_wav(tmp_path / "32.wav", (samples.astype(np.int32) << 16).tobytes(), 4)
    three = (samples.astype(np.int32) << 8).view(np.uint8).reshape(-1, 4)[:, :3]
    write_wav(tmp_path / "24.wav", three.tobytes(), 3)
    write_wav(tmp_path / "8.wav", ((samples >> 8) + 128).astype(np.uint8).tobytes(), 1)
    write_wav(tmp_path / "two.wav", np.repeat(samples, 2).tobytes(), 2, channels=2)
    samples.tofile(tmp_path / "a.raw")
    for name in ("16.wav", "32.wav", "24.wav", "two.wav", "a.raw"):
        assert np.array_equal(audio.read_sound(tmp_path / name, 16000), samples), name
    assert np.array_equal(audio.read_sound(tmp_path / "8.wav", 16000), samples >> 8 << 8)


def test_another_rate_is_converted(tmp_path):
    t = np.arange(8000) / 8000
    write_wav(tmp_path / "slow.wav", (10000 * np.sin(2 * np.pi * 500 * t)).astype(np.int16).tobytes(), 2, rate=8000)
    samples = audio.read_sound(tmp_path / "slow.wav", 16000)
    assert len(samples) == 16000
    wanted = 10000 * np.sin(2 * np.pi * 500 * np.arange(16000) / 16000)
    assert np.abs(samples - wanted)[200:-200].max() < 100


def test_what_is_no_sound_is_one_clear_line(tmp_path):
    (tmp_path / "text.wav").write_text("hello")
    write_wav(tmp_path / "empty.wav", b"", 2)
    good = (tmp_path / "empty.wav").read_bytes()
    (tmp_path / "claims.wav").write_bytes(good[:16] + b"ffff" + good[20:])
    (tmp_path / "cut.wav").write_bytes(good[:30])
    write_wav(tmp_path / "fast.wav", b"12" * 100, 2, rate=1_092_676)
    for name in ("text.wav", "empty.wav", "none.wav", "claims.wav", "cut.wav", "fast.wav"):
        with pytest.raises(UserError, match=name):
            audio.read_sound(tmp_path / name, 16000)
    with pytest.raises(UserError, match="no such sound file or folder"):
        audio.find_sounds([tmp_path / "missing"])
