"""The description of an audio model's input: the YAML beside the model, and the tables derived from it."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator
from typing_extensions import Annotated, Literal

from .fields import InputName, Labels, Positive, Spec, fault, load, numbers, positive, sequence, whole

FFT_SIZES = (64, 128, 256, 512, 1024)
# A factor of two in each unit.
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


def _slaney_from(mel):
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))


def _slaney_to(hz):
    return hz * 3 / 200 if hz < 1000 else 15 + math.log(hz / 1000) * 27 / math.log(6.4)


_MEL = {
    "htk": (lambda hz: 2595 * math.log10(1 + hz / 700), lambda mel: 700 * (10 ** (mel / 2595) - 1)),
    "slaney": (_slaney_to, _slaney_from),
}


def _count(values: Dict[str, Any]) -> int:
    """Features of a frame."""
    return values.get("coefficients" if values.get("features") == "mfcc" else "bands", 1)


def _order(shape: Tuple[int, ...], count: int) -> Optional[Tuple[int, bool]]:
    """(frames, whether features come first) where all sizes but those of frames and features are 1, else None."""
    sizes = [size for size in shape if size != 1]
    if len(sizes) == 1 and (count == 1 or sizes[0] == count):
        return (sizes[0], False) if count == 1 else (1, False)
    if len(sizes) != 2 or count not in sizes:
        return None
    return (sizes[0], False) if sizes[1] == count else (sizes[1], True)


def _fft_size(value: int) -> int:
    if value not in FFT_SIZES:
        raise fault(f"{value} is not one of {', '.join(map(str, FFT_SIZES))}")
    return value


FFTSize = Annotated[whole(FFT_SIZES[0], FFT_SIZES[-1]), AfterValidator(_fft_size)]
Size = Annotated[int, Field(ge=1, le=4096)]
Shape = sequence(
    Annotated[Tuple[Size, ...], Field(min_length=2)],
    "is not the model's input shape, such as [1, 1, 49, 10] (at most 4096 frames)",
)
# Of one frame. The names are those of fields of AudioSpec.
Window, Hop, Coefficients = whole(2, "fft"), whole(1, "window"), whole(1, "bands")


class AudioSpec(Spec):
    """16-bit samples to frames of features, and `frames` of them to the model's input.

    name: of the model's input, `input` in the YAML
    window, hop, fft: in samples. low, high: Hz. mean, std: of each feature, `(feature - mean) / std`
    shape: of the model's input, frames x features or features x frames, and ones
    labels: names of the model's classes, empty if none are given
    """

    name: InputName = Field(None, alias="input")
    sample_rate: whole(1000, 96000)
    fft: FFTSize
    window: Window
    hop: Hop
    window_function: Literal["hann", "hamming", "rectangle"] = "hann"
    spectrum: Literal["power", "magnitude"] = "power"
    features: Literal["mfcc", "logmel"] = "mfcc"
    bands: whole(2, 128)
    coefficients: Coefficients
    low: Positive
    high: Positive
    mel_scale: Literal[tuple(_MEL)] = "htk"
    mel_norm: Literal["none", "slaney"] = "none"
    log: Literal[tuple(LOGARITHMS)] = "ln"
    log_offset: Positive = Fraction(1, 10**6)
    dct: Literal["ortho", "htk"] = "ortho"
    mean: numbers(_count) = Field(0, validate_default=True)
    std: numbers(_count, positive) = Field(1, validate_default=True)
    shape: Shape
    labels: Labels = ()

    @model_validator(mode="before")
    @classmethod
    def _all_bands_of_logmel(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("features") == "logmel":
            return {"coefficients": values.get("bands"), **values}
        return values

    @field_validator("shape")
    @classmethod
    def _frames_and_features(cls, shape: Tuple[int, ...], info: ValidationInfo) -> Tuple[int, ...]:
        if shape[0] != 1:
            raise fault("is not the model's input shape: its first size, the batch, is 1")
        if _order(shape, _count(info.data)) is None:
            raise fault(f"{list(shape)} is not frames x {_count(info.data)} features (other sizes 1)")
        return shape

    @model_validator(mode="after")
    def _fits_together(self) -> AudioSpec:
        if not self.low < self.high <= Fraction(self.sample_rate, 2):
            raise fault("high: is not between low and half the sample_rate")
        if np.diff(self.mel_edges()).min() <= 0:
            raise fault("high: is so near to low that bands have no width; take a larger one")
        empty = np.flatnonzero(_rounded(self.mel_weights() * 2.0**self.mel_shift).max(axis=1) < 1)
        if len(empty):
            raise fault(f"bands: band {int(empty[0])} lies between bins of the FFT; take fewer, or a larger fft")
        if self.energy_offset >= 1 << 60:
            raise fault("log_offset: is too large; samples count as -1 to 1")
        if max(map(abs, self.mean)) > 10000:
            raise fault("mean: is too large for a logarithm")
        least, most = min(self.std), max(self.std)
        if not (Fraction(1, 10000) <= least and most <= 10**6 and most < 10**5 * least):
            raise fault("std: is not from 0.0001 to 1000000, or its values are too different")
        return self

    @property
    def frames(self) -> int:
        """How many of them the model's input has."""
        return _order(self.shape, self.count)[0]

    @property
    def features_first(self) -> bool:
        """Whether the rows of the model's input are features, not frames."""
        return _order(self.shape, self.count)[1]

    @property
    def count(self) -> int:
        """Features of a frame."""
        return _count({"features": self.features, "coefficients": self.coefficients, "bands": self.bands})

    @property
    def gain_bits(self) -> int:
        """The FFT works on samples times 2^gain_bits: as many as 32 bits allow for the loudest sound."""
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

    def mel_edges(self) -> np.ndarray:
        """float64 [bands + 2], Hz: corners of the triangles, evenly spaced on the mel scale."""
        to_mel, from_mel = _MEL[self.mel_scale]
        return from_mel(np.linspace(to_mel(float(self.low)), to_mel(float(self.high)), self.bands + 2))

    def mel_weights(self) -> np.ndarray:
        """float64 [bands, fft / 2 + 1]: triangles over frequency, their corners at `mel_edges`."""
        edges = self.mel_edges()
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
        # If a band contains no bin, the check of the spec reports it.
        return math.floor(MEL_BITS - math.log2(self.mel_weights().max() or 1))

    def mel_bands(self) -> List[MelBand]:
        """The filter bank in integers."""
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


def load_audio_spec(path: str | os.PathLike) -> AudioSpec:
    """Read and check the YAML file `path`; docs/audio-input.md documents its keys."""
    return load(AudioSpec, path)
