"""Turns sound into a model's input with integers: the reference for the generated C. docs/audio-input.md has the
formulas.

`rshift(v, s)` is `(v + 2^(s-1)) >> s`, as in docs/arithmetic.md.
"""

from __future__ import annotations

import math
import os
import wave
from pathlib import Path
from typing import Iterator, List, Sequence

import numpy as np

from ..errors import UserError
from .audio_spec import (
    DCT_BITS,
    FEATURE_BITS,
    LOG_BITS,
    LOG_TABLE_BITS,
    POWER_SHIFT,
    TWIDDLE_BITS,
    WINDOW_BITS,
    AudioSpec,
)

MAX_RATE = 400000
# Features are exact in float32 before they become int8.
FEATURE_LIMIT = (1 << 23) - 1


def rshift(v: np.ndarray, s: int) -> np.ndarray:
    """v / 2^s rounded half up; int64."""
    return (v + (1 << (s - 1))) >> s if s > 0 else v << -s


# --- sound files ------------------------------------------------------------------------------------------


def read_sound(path: str | os.PathLike, sample_rate: int) -> np.ndarray:
    """int16 [samples] at `sample_rate` of a .wav file (PCM of 8, 16, 24 or 32 bits), or of a headerless .raw file.

    Several channels are averaged; another rate is converted (scipy.signal.resample_poly). .raw: int16, low byte
    first, one channel, already at `sample_rate`.
    """
    path = Path(path)
    try:
        if path.suffix.lower() == ".raw":
            data = path.read_bytes()
            return np.frombuffer(data[: len(data) // 2 * 2], "<i2")
        with wave.open(str(path), "rb") as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            data = file.readframes(file.getnframes())
    except FileNotFoundError:
        raise UserError(f"{path}: no such sound file")
    except (OSError, EOFError, RuntimeError, wave.Error) as error:
        # RuntimeError: a chunk that claims to be longer than the file.
        raise UserError(f"{path}: is not a .wav file with PCM samples ({str(error) or 'damaged'}); convert it first")
    if width not in (1, 2, 3, 4) or not 1000 <= rate <= MAX_RATE:
        raise UserError(
            f"{path}: has samples of {8 * width} bits at {rate} Hz; convert it to 16 bits, {sample_rate} Hz"
        )
    samples = _to_float(data[: len(data) // (width * channels) * width * channels], width)
    samples = samples.reshape(-1, channels).mean(axis=1)
    if not len(samples):
        raise UserError(f"{path}: holds no samples")
    if rate != sample_rate:
        from scipy.signal import resample_poly

        divisor = math.gcd(rate, sample_rate)
        samples = resample_poly(samples, sample_rate // divisor, rate // divisor)
    return np.clip(np.floor(samples + 0.5), -32768, 32767).astype(np.int16)


def _to_float(data: bytes, width: int) -> np.ndarray:
    """Samples in units of 16 bits."""
    if width == 1:
        return (np.frombuffer(data, np.uint8).astype(np.float64) - 128) * 256
    if width == 3:
        three = np.frombuffer(data, np.uint8).reshape(-1, 3)
        return np.pad(three, ((0, 0), (1, 0))).view("<i4")[:, 0] / 65536.0
    return np.frombuffer(data, f"<i{width}").astype(np.float64) / (1 if width == 2 else 65536)


def find_sounds(paths: Sequence[str | os.PathLike]) -> List[Path]:
    """The sound files among `paths`; of folders all in them, at any depth, in the order of their names."""
    found: List[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix.lower() in (".wav", ".raw"))
            if not inside:
                raise UserError(f"{path}: has no sound files (.wav, .raw)")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise UserError(f"{path}: no such sound file or folder")
    if not found:
        raise UserError("no sound files are given; name files or folders")
    return found


# --- features ---------------------------------------------------------------------------------------------


class FeatureMaker:
    """The steps from windows of samples to features, with their tables made once."""

    def __init__(self, spec: AudioSpec):
        self.spec = spec
        self._window = spec.window_table()
        self._cosine, self._sine = spec.twiddles()
        self._bank = np.zeros((spec.bands, spec.fft // 2 + 1), np.int64)
        for row, band in zip(self._bank, spec.mel_bands()):
            row[band.first : band.first + len(band.weights)] = band.weights
        self._log = spec.log_table()
        self._transform = spec.transform()
        self._offsets = np.array(spec.offsets(), np.int64)
        factors, self._shift = spec.factors()
        self._factors = np.array(factors, np.int64)
        bits = int(math.log2(spec.fft // 2))
        self._reversed = [int(format(i, f"0{bits}b")[::-1], 2) for i in range(spec.fft // 2)]

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        """int64 [N, features] at 2^-12 of int16 [N, window]."""
        log = self.log2(self.energies(*self.spectrum(windows)))
        features = rshift(log @ self._transform.T, DCT_BITS)
        scaled = rshift((features - self._offsets) * self._factors, self._shift)
        return np.clip(scaled, -FEATURE_LIMIT, FEATURE_LIMIT)

    def spectrum(self, windows: np.ndarray) -> tuple:
        """Real and imaginary part, int64 [N, fft / 2 + 1], in units of 2^-gain_bits of a sample."""
        spec = self.spec
        half = spec.fft // 2
        x = np.zeros((len(windows), spec.fft), np.int64)
        x[:, : spec.window] = rshift(windows.astype(np.int64) * self._window, WINDOW_BITS - spec.gain_bits)
        # Even samples are the real, odd ones the imaginary parts of half as many complex numbers.
        re, im = x[:, 0::2][:, self._reversed], x[:, 1::2][:, self._reversed]
        size = 2
        while size <= half:
            step = spec.fft // size
            re, im = re.reshape(len(x), half // size, size), im.reshape(len(x), half // size, size)
            a, b = re[:, :, : size // 2], im[:, :, : size // 2]
            c, d = self._turn(re[:, :, size // 2 :], im[:, :, size // 2 :], slice(0, half, step))
            re = np.concatenate([a + c, a - c], axis=2).reshape(len(x), half)
            im = np.concatenate([b + d, b - d], axis=2).reshape(len(x), half)
            size *= 2
        # The spectra of even and odd samples, and of both together; bin `half` is bin 0 with the other sign.
        mirror = -np.arange(half) % half
        even_re, even_im = re + re[:, mirror], im - im[:, mirror]
        odd_re, odd_im = im + im[:, mirror], re[:, mirror] - re
        odd_re, odd_im = self._turn(odd_re, odd_im, slice(0, half))
        last = rshift(even_re[:, :1] - odd_re[:, :1], 1)
        real = np.concatenate([rshift(even_re + odd_re, 1), last], axis=1)
        imaginary = np.concatenate([rshift(even_im + odd_im, 1), np.zeros_like(last)], axis=1)
        return real, imaginary

    def _turn(self, re: np.ndarray, im: np.ndarray, which: slice) -> tuple:
        """Times the twiddle factors `which`."""
        cosine, sine = self._cosine[which], self._sine[which]
        return rshift(re * cosine - im * sine, TWIDDLE_BITS), rshift(re * sine + im * cosine, TWIDDLE_BITS)

    def energies(self, re: np.ndarray, im: np.ndarray) -> np.ndarray:
        """int64 [N, bands]: weighted sums over the spectrum."""
        power = re * re + im * im
        if self.spec.spectrum == "power":
            values = rshift(power, POWER_SHIFT)
        else:
            values = np.floor(np.sqrt(power.astype(np.float64))).astype(np.int64)
            # float64 has 53 bits, the power 58: the root may be off by one.
            values -= values * values > power
            values += (values + 1) * (values + 1) <= power
        return values @ self._bank.T

    def log2(self, energies: np.ndarray) -> np.ndarray:
        """int64 at 2^-16: the logarithm to the base of 2 of energies, in units of 1 of samples from -1 to 1."""
        e = energies + self.spec.energy_offset
        n = np.floor(np.log2(e.astype(np.float64))).astype(np.int64)
        n -= (np.int64(1) << n) > e
        n += (np.int64(1) << np.minimum(n + 1, 62)) <= np.where(n < 62, e, 0)
        mantissa = np.where(n >= 16, e >> np.maximum(n - 16, 0), e << np.maximum(16 - n, 0)) & 0xFFFF
        index, rest = mantissa >> (16 - LOG_TABLE_BITS), mantissa & ((1 << (16 - LOG_TABLE_BITS)) - 1)
        low, high = self._log[index], self._log[index + 1]
        part = rshift((high - low) * rest, 16 - LOG_TABLE_BITS)
        return ((n - self.spec.energy_bits) << LOG_BITS) + low + part


def windows_of(samples: np.ndarray, spec: AudioSpec) -> np.ndarray:
    """int16 [N, window]: all whole windows in the samples, `hop` apart."""
    if len(samples) < spec.window:
        return np.zeros((0, spec.window), np.int16)
    return np.lib.stride_tricks.sliding_window_view(samples, spec.window)[:: spec.hop]


def feature_rows(samples: np.ndarray, spec: AudioSpec) -> np.ndarray:
    """int64 [N, features] at 2^-12 of all whole windows in int16 samples."""
    return FeatureMaker(spec)(windows_of(samples, spec))


def samples_needed(spec: AudioSpec) -> int:
    """For one input of the model."""
    return spec.window + (spec.frames - 1) * spec.hop


def _last_samples(samples: np.ndarray, spec: AudioSpec) -> np.ndarray:
    """The samples for one input: the middle of a longer sound, or a shorter one with silence on both sides."""
    missing = samples_needed(spec) - len(samples)
    if missing > 0:
        return np.pad(samples, (missing // 2, missing - missing // 2))
    return samples[-missing // 2 :][: samples_needed(spec)]


def _to_int8(rows: np.ndarray, exponent: int, zero_point: int) -> np.ndarray:
    shift = exponent + FEATURE_BITS
    rounded = rshift(rows, shift) if shift < 62 else 0 * rows
    return np.clip(rounded + zero_point, -128, 127).astype(np.int8)


def _arrange(rows: np.ndarray, spec: AudioSpec) -> np.ndarray:
    return np.ascontiguousarray(rows.T if spec.features_first else rows).reshape(spec.shape)


def float_input(samples: np.ndarray, spec: AudioSpec) -> np.ndarray:
    """float32 of `spec.shape` for a sound of about one input's length. For training and calibration."""
    rows = feature_rows(_last_samples(samples, spec), spec)
    return _arrange((rows * 2.0**-FEATURE_BITS).astype(np.float32), spec)


def int8_input(samples: np.ndarray, spec: AudioSpec, exponent: int, zero_point: int = 0) -> np.ndarray:
    """int8 of `spec.shape`, q worth (q - zero_point) * 2^exponent: `float_input` quantized, computed with integers."""
    return _arrange(_to_int8(feature_rows(_last_samples(samples, spec), spec), exponent, zero_point), spec)


def float_inputs(paths: Sequence[os.PathLike], spec: AudioSpec) -> np.ndarray:
    """float32 [N, ...]: the inputs for sound files."""
    return np.concatenate([float_input(read_sound(path, spec.sample_rate), spec) for path in paths])


class FeatureStream:
    """Turns chunks of sound of any length into the model's input after every frame, as the generated C does."""

    def __init__(self, spec: AudioSpec, exponent: int, zero_point: int = 0):
        self.spec, self._exponent, self._zero_point = spec, exponent, zero_point
        self._make = FeatureMaker(spec)
        self._samples = np.zeros(0, np.int16)
        self._rows: List[np.ndarray] = []

    def push(self, chunk: np.ndarray) -> Iterator[np.ndarray]:
        """The inputs, int8 of `spec.shape`, that the int16 `chunk` completes."""
        spec = self.spec
        self._samples = np.concatenate([self._samples, chunk])
        windows = windows_of(self._samples, spec)
        self._samples = self._samples[len(windows) * spec.hop :]
        for row in _to_int8(self._make(windows), self._exponent, self._zero_point):
            self._rows = [*self._rows, row][-spec.frames :]
            if len(self._rows) == spec.frames:
                yield _arrange(np.stack(self._rows), spec)
