#!/usr/bin/env python3
"""Speak the words of this example with espeak-ng, a speech synthesizer, and write them as 16 kHz .wav files.

<out>/train/<class>/, <out>/test/<class>/: clips of one second, words in noise and room. <out>/stream.wav, stream.txt:
words one after the other, and when each of them ends. The voices of test and stream are not in training.
Always the same samples: the synthesizer's random numbers are reset for every word.
"""

import argparse
import ctypes
import sys
import wave
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))

from esp_tvm import cli  # noqa: E402
from esp_tvm.errors import UserError  # noqa: E402
from esp_tvm.files import whole_folder, write_text  # noqa: E402

RATE = 16000
KEYWORDS = ("yes", "no", "go", "stop")
OTHERS = (
    "left right up down on off hello marvin cat dog bird house tree one two three four five six seven eight nine "
    "ten happy wow bed so show top step stock shop slow gold goat yell guess nest nose old oh hot spot forward "
    "backward follow learn visual zero please light window music today"
).split()
ACCENTS = ("en-us", "en", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029", "en-us-nyc")
VOICES = (
    "f1 f2 f3 f4 f5 m1 m2 m3 m4 m5 m6 m7 m8 klatt klatt2 klatt3 klatt4 Alex Alicia Andrea Andy Annie Denis Diogo Gene "
    "Henrique Hugo Jacky Lee Marco Mario Michael Mike Nguyen Reed adam anika antonio aunty belinda benjamin boris "
    "caleb david ed edward gustave ian iven john linda marcelo max michel miguel norbert pablo paul pedro quincy rob "
    "robert sandro shelby steph travis victor zac"
).split()
TEST_VOICES = ("f2 m3 m7 klatt3 Andrea Denis Mike adam belinda edward linda pablo steph victor").split()
COUNTS = {"train": (250, 800), "test": (40, 120)}
STREAM = "hello stop tree go seven yes happy no window stop left no dog go visual yes ten stop music no".split()

_SYNCHRONOUS, _CHARS_UTF8 = 2, 1
_SPEED, _PITCH, _RANGE = 1, 3, 4


class Synthesizer:
    """espeak-ng through its C interface."""

    def __init__(self, packages):
        library = packages / "espeakng_loader/libespeak-ng.so"
        if not library.is_file():
            raise UserError(f"{library}: is missing; 'make example-keyword' installs the package")
        self._library = ctypes.CDLL(str(library))
        data = str(packages / "espeakng_loader/espeak-ng-data").encode()
        self._rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, data, 0)
        if self._rate <= 0:
            raise UserError(f"{library}: espeak-ng does not start; install the package again")
        self._chunks = []
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        # Kept, otherwise it would be freed while the library uses it.
        self._callback = kind(self._take)
        self._library.espeak_SetSynthCallback(self._callback)

    def _take(self, samples, count, _events):
        if samples and count > 0:
            self._chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def speak(self, word, voice, speed, pitch, variation):
        """float64 at 16 kHz, without silence before and after, largest value 1."""
        from scipy.signal import resample_poly

        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise UserError(f"espeak-ng has no voice {voice}")
        for parameter, value in ((_SPEED, speed), (_PITCH, pitch), (_RANGE, variation)):
            self._library.espeak_SetParameter(parameter, int(value), 0)
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        self._chunks = []
        text = word.encode()
        self._library.espeak_Synth(text, len(text) + 1, 0, 1, 0, _CHARS_UTF8, None, None)
        samples = resample_poly(np.concatenate(self._chunks).astype(np.float64), RATE, self._rate)
        loud = np.flatnonzero(np.abs(samples) > 0.02 * np.abs(samples).max())
        samples = samples[loud[0] : loud[-1] + 1]
        return samples / np.abs(samples).max()


def a_voice(rng, names):
    return f"{ACCENTS[rng.integers(len(ACCENTS))]}+{names[rng.integers(len(names))]}"


def a_word(synthesizer, word, rng, names):
    return synthesizer.speak(word, a_voice(rng, names), rng.uniform(110, 210), rng.uniform(15, 85), rng.uniform(10, 90))


def in_a_room(samples, rng):
    """Add a decaying echo, and emphasize treble or bass, as microphones and rooms do."""
    length = int(rng.uniform(0.02, 0.25) * RATE)
    echo = rng.standard_normal(length) * np.exp(-6 * np.arange(length) / length) * rng.uniform(0, 0.12)
    echo[0] = 1
    spectrum = np.fft.rfft(np.convolve(samples, echo), 1 << 16)
    tilt = (np.linspace(50, RATE / 2, len(spectrum)) / 1000) ** rng.uniform(-0.5, 0.5)
    result = np.fft.irfft(spectrum * tilt, 1 << 16)[: len(samples) + length]
    return result / np.abs(result).max()


def noise(count, rng):
    """White to brown, loudness 1."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    spectrum /= np.maximum(np.arange(len(spectrum)), 20) ** rng.uniform(0, 1)
    result = np.fft.irfft(spectrum, count)
    return result / result.std()


def clip(samples, rng):
    """One second with `samples` (or nothing) somewhere in it: int16."""
    result = np.zeros(RATE)
    if samples is not None:
        samples = in_a_room(samples, rng)[:RATE]
        room = RATE - len(samples)
        # Usually near the end: in a stream the model runs again and again, and should react early.
        start = int(rng.uniform(0.2, 1.0) * room)
        result[start : start + len(samples)] += samples
    result += noise(RATE, rng) * 10 ** rng.uniform(-3.5, -1.2)
    return as_int16(result * 10 ** rng.uniform(-1.3, -0.1))


def as_int16(samples):
    return np.clip(np.floor(samples * 32767 + 0.5), -32768, 32767).astype(np.int16)


def write_wav(path, samples):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.astype("<i2").tobytes())


def write_clips(folder, synthesizer, names, counts, rng):
    each, others = counts
    for word in KEYWORDS:
        for i in range(each):
            write_wav(folder / word / f"{i:03}.wav", clip(a_word(synthesizer, word, rng, names), rng))
    for i in range(others):
        # Every sixth is noise alone.
        word = None if i % 6 == 0 else OTHERS[rng.integers(len(OTHERS))]
        spoken = None if word is None else a_word(synthesizer, word, rng, names)
        write_wav(folder / "other" / f"{i:03}.wav", clip(spoken, rng))


def write_stream(folder, synthesizer, rng):
    parts, ends, at = [], [], 0
    for word in STREAM:
        spoken = in_a_room(a_word(synthesizer, word, rng, TEST_VOICES), rng)
        pause = np.zeros(int(rng.uniform(0.7, 1.2) * RATE))
        parts += [pause, spoken]
        at += len(pause) + len(spoken)
        ends.append(f"{at / RATE:.2f} {word}")
    samples = np.concatenate([*parts, np.zeros(RATE)])
    write_wav(folder / "stream.wav", as_int16(0.5 * samples + 0.004 * noise(len(samples), rng)))
    write_text(folder / "stream.txt", "\n".join(ends) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", required=True, type=Path, help="folder with espeakng_loader/")
    parser.add_argument("--out", required=True, type=Path, help="folder to write; an earlier one is replaced")
    parser.add_argument("--some", action="store_true", help="of the training clips only what calibration needs")
    args = parser.parse_args()
    synthesizer = Synthesizer(args.packages.resolve())
    train_voices = [name for name in VOICES if name not in TEST_VOICES]
    train = (24, 64) if args.some else COUNTS["train"]
    with whole_folder(args.out) as folder:
        write_clips(folder / "test", synthesizer, TEST_VOICES, COUNTS["test"], np.random.default_rng(1))
        write_stream(folder, synthesizer, np.random.default_rng(2))
        write_clips(folder / "train", synthesizer, train_voices, train, np.random.default_rng(3))
    print(f"{len(list(args.out.rglob('*.wav')))} sounds in {args.out}")


if __name__ == "__main__":
    cli.run(main)
