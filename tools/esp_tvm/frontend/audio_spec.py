"""What an audio model's input is made of: the YAML beside the model, and the tables that follow from it."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from fractions import Fraction
from typing import List, Optional, Tuple

import numpy as np

from .fields import Fields, read_yaml

WINDOWS = ("hann", "hamming", "rectangle")
FFT_SIZES = (64, 128, 256, 512, 1024)
FEATURES = ("mfcc", "logmel")
# What one factor of two is in each unit.
LOGARITHMS = {"ln": math.log(2), "log10": math.log10(2), "dB": 10 * math.log10(2)}
# Fractional bits. Of twiddle factors, window, logarithms, DCT, and of features before they become int8.
TWIDDLE_BITS, WINDOW_BITS, LOG_BITS, DCT_BITS, FEATURE_BITS = 30, 20, 16, 24, 12
LOG_TABLE_BITS = 7
# |X|^2 is at most 2^58 and loses this many bits before it is weighted with at most 2^MEL_BITS.
POWER_SHIFT, MEL_BITS = 8, 12


@dataclass(frozen=True)
class MelBand:
    """weights[i], in units of 2^-mel_shift, of the spectrum's bins first, first + 1, ..."""

    first: int
    weights: Tuple[int, ...]


@dataclass(frozen=True)
class AudioSpec:
    """16-bit samples to frames of features, and `frames` of them to the model's input.

    window, hop, fft: in samples. low, high: Hz. mean, std: of each feature, `(feature - mean) / std`
    shape: of the model's input; features_first: its rows are features, not frames
    labels: names of the model's classes, empty where none are given
    """

    label: str
    name: Optional[str]
    sample_rate: int
    window: int
    hop: int
    fft: int
    window_function: str
    spectrum: str
    bands: int
    low: Fraction
    high: Fraction
    mel_scale: str
    mel_norm: str
    log: str
    log_offset: Fraction
    features: str
    coefficients: int
    dct: str
    mean: Tuple[Fraction, ...]
    std: Tuple[Fraction, ...]
    shape: Tuple[int, ...]
    frames: int
    features_first: bool
    labels: Tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Features of a frame."""
        return self.coefficients if self.features == "mfcc" else self.bands

    @property
    def gain_bits(self) -> int:
        """The FFT works on samples times 2^gain_bits: as much as 32 bits allow for the loudest sound."""
        return 14 - int(math.log2(self.fft))

    def window_table(self) -> np.ndarray:
        """int64 [window] at 2^-20, periodic."""
        n = np.arange(self.window) / self.window
        cosine = {"hann": 0.5, "hamming": 0.46, "rectangle": 0.0}[self.window_function]
        return _rounded((1 - cosine - cosine * np.cos(2 * np.pi * n)) * (1 << WINDOW_BITS))

    def twiddles(self) -> Tuple[np.ndarray, np.ndarray]:
        """cos and -sin of 2 pi k / fft for k < fft / 2, int64 at 2^-30."""
        angle = 2 * np.pi * np.arange(self.fft // 2) / self.fft
        return _rounded(np.cos(angle) * (1 << TWIDDLE_BITS)), _rounded(-np.sin(angle) * (1 << TWIDDLE_BITS))

    def mel_weights(self) -> np.ndarray:
        """float64 [bands, fft / 2 + 1]: triangles over frequency, their corners evenly spaced on the mel scale."""
        to_mel, from_mel = _MEL[self.mel_scale]
        edges = from_mel(np.linspace(to_mel(float(self.low)), to_mel(float(self.high)), self.bands + 2))
        frequency = np.arange(self.fft // 2 + 1) * self.sample_rate / self.fft
        rising = (frequency - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
        falling = (edges[2:, None] - frequency) / (edges[2:] - edges[1:-1])[:, None]
        weights = np.maximum(0, np.minimum(rising, falling))
        if self.mel_norm == "slaney":
            weights *= (2 / (edges[2:] - edges[:-2]))[:, None]
        return weights

    @property
    def mel_shift(self) -> int:
        """Weights are in units of 2^-mel_shift: as fine as MEL_BITS bits allow."""
        # Where no bin lies within any band, the check of the spec complains.
        return math.floor(MEL_BITS - math.log2(self.mel_weights().max() or 1))

    def mel_bands(self) -> List[MelBand]:
        """The filter bank in whole numbers."""
        whole = _rounded(self.mel_weights() * 2.0**self.mel_shift)
        bands = []
        for row in whole:
            bins = np.flatnonzero(row)
            bands.append(MelBand(int(bins[0]), tuple(int(w) for w in row[bins[0] : bins[-1] + 1])))
        return bands

    @property
    def energy_bits(self) -> int:
        """A band's sum E stands for E * 2^-energy_bits, of samples that count as -1 to 1."""
        if self.spectrum == "power":
            return self.mel_shift + 2 * (self.gain_bits + 15) - POWER_SHIFT
        return self.mel_shift + self.gain_bits + 15

    @property
    def energy_offset(self) -> int:
        """log_offset in units of a band's sum; at least 1, so that silence has a logarithm."""
        return max(1, math.floor(self.log_offset * Fraction(2) ** self.energy_bits + Fraction(1, 2)))

    def log_table(self) -> np.ndarray:
        """int64 [129]: log2(1 + i/128) at 2^-16."""
        size = 1 << LOG_TABLE_BITS
        return _rounded(np.log2(1 + np.arange(size + 1) / size) * (1 << LOG_BITS))

    def transform(self) -> np.ndarray:
        """int64 [features, bands] at 2^-24: the DCT (for logmel none) times the unit of the logarithm."""
        unit = LOGARITHMS[self.log]
        if self.features == "logmel":
            return _rounded(np.eye(self.bands) * unit * (1 << DCT_BITS))
        k, b = np.arange(self.coefficients)[:, None], np.arange(self.bands)
        matrix = np.cos(np.pi * k * (b + 0.5) / self.bands) * math.sqrt(2 / self.bands)
        if self.dct == "ortho":
            matrix[0] /= math.sqrt(2)
        return _rounded(matrix * unit * (1 << DCT_BITS))

    def offsets(self) -> List[int]:
        """The mean of each feature at 2^-16."""
        return [math.floor(mean * (1 << LOG_BITS) + Fraction(1, 2)) for mean in self.mean]

    def factors(self) -> Tuple[List[int], int]:
        """(m, q): (feature - mean) at 2^-16 times m[i] at 2^-q is the normalized feature at 2^-12."""
        q = math.floor(30 + math.log2(min(self.std))) + LOG_BITS - FEATURE_BITS
        scale = Fraction(2) ** (q - (LOG_BITS - FEATURE_BITS))
        return [math.floor(scale / std + Fraction(1, 2)) for std in self.std], q


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.floor(values + 0.5).astype(np.int64)


def _slaney_from(mel):
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))


def _slaney_to(hz):
    return hz * 3 / 200 if hz < 1000 else 15 + math.log(hz / 1000) * 27 / math.log(6.4)


_MEL = {
    "htk": (lambda hz: 2595 * math.log10(1 + hz / 700), lambda mel: 700 * (10 ** (mel / 2595) - 1)),
    "slaney": (_slaney_to, _slaney_from),
}


def load_audio_spec(path: str | os.PathLike) -> AudioSpec:
    """Read and check the YAML file `path`; docs/audio-input.md documents its keys."""
    fields = read_yaml(path)
    sample_rate = fields.whole("sample_rate", 1000, 96000)
    fft = fields.whole("fft", 64, 1024)
    if fft not in FFT_SIZES:
        raise fields.fail("fft", f"{fft} is not one of {', '.join(map(str, FFT_SIZES))}")
    window = fields.whole("window", 2, fft)
    features = fields.choice("features", FEATURES, "mfcc")
    bands = fields.whole("bands", 2, 128)
    coefficients = fields.whole("coefficients", 1, bands) if features == "mfcc" or fields.has("coefficients") else bands
    count = coefficients if features == "mfcc" else bands
    shape, frames, features_first = _shape(fields, count)
    spec = AudioSpec(
        label=fields.label,
        name=_name(fields),
        sample_rate=sample_rate,
        window=window,
        hop=fields.whole("hop", 1, window),
        fft=fft,
        window_function=fields.choice("window_function", WINDOWS, "hann"),
        spectrum=fields.choice("spectrum", ("power", "magnitude"), "power"),
        bands=bands,
        low=fields.number("low", positive=True),
        high=fields.number("high", positive=True),
        mel_scale=fields.choice("mel_scale", tuple(_MEL), "htk"),
        mel_norm=fields.choice("mel_norm", ("none", "slaney"), "none"),
        log=fields.choice("log", tuple(LOGARITHMS), "ln"),
        log_offset=fields.number("log_offset", "1e-6", positive=True),
        features=features,
        coefficients=coefficients,
        dct=fields.choice("dct", ("ortho", "htk"), "ortho"),
        mean=fields.numbers("mean", count, 0),
        std=fields.numbers("std", count, 1, positive=True),
        shape=shape,
        frames=frames,
        features_first=features_first,
        labels=fields.words("labels") if fields.has("labels") else (),
    )
    fields.done()
    _check(fields, spec)
    return spec


def _name(fields: Fields) -> Optional[str]:
    value = fields.raw("input", None)
    if value is not None and (not isinstance(value, str) or not value):
        raise fields.fail("input", "is not the name of a model's input (put it in quotes)")
    return value


def _shape(fields: Fields, count: int) -> Tuple[Tuple[int, ...], int, bool]:
    """(shape, frames, whether features come first): all sizes but those of frames and features are 1."""
    value = fields.raw("shape")
    whole = isinstance(value, list) and all(isinstance(v, int) and not isinstance(v, bool) and v > 0 for v in value)
    sizes = [v for v in value if v != 1] if whole else []
    if not whole or len(value) < 2 or value[0] != 1:
        raise fields.fail("shape", "is not the model's input shape, such as [1, 1, 49, 10]")
    if count == 1 and len(sizes) == 1:
        return tuple(value), sizes[0], False
    if len(sizes) == 1 and sizes[0] == count:
        return tuple(value), 1, False
    if len(sizes) != 2 or count not in sizes or max(sizes) > 4096:
        raise fields.fail("shape", f"{value} is not frames x {count} features (other sizes 1)")
    frames, first = (sizes[0], False) if sizes[1] == count else (sizes[1], True)
    return tuple(value), frames, first


def _check(fields: Fields, spec: AudioSpec) -> None:
    """What is wrong only together."""
    if not spec.low < spec.high <= Fraction(spec.sample_rate, 2):
        raise fields.fail("high", "is not between low and half the sample_rate")
    empty = np.flatnonzero(_rounded(spec.mel_weights() * 2.0**spec.mel_shift).max(axis=1) < 1)
    if len(empty):
        raise fields.fail("bands", f"band {int(empty[0])} lies between bins of the FFT; take fewer, or a larger fft")
    if spec.energy_offset >= 1 << 60:
        raise fields.fail("log_offset", "is too large; samples count as -1 to 1")
    if max(abs(mean) for mean in spec.mean) > 10000:
        raise fields.fail("mean", "is too large for a logarithm")
    if not (Fraction(1, 10000) <= min(spec.std) and max(spec.std) <= 10**6 and max(spec.std) < 10**5 * min(spec.std)):
        raise fields.fail("std", "is not from 0.0001 to 1000000, or its values are too different")
