"""audio_features.c and audio_features.h: samples to the model's int8 input, the same integers as in audio.py."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Dict, List

from ..program.ports import worth_text
from . import c_text
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

_BODY = Path(__file__).with_name("audio_features_body.c")


def emit_features(spec: AudioSpec, exponent: int, zero_point: int = 0) -> Dict[str, str]:
    """Files of the component, path below it -> text.

    exponent, zero_point: q of the model's int8 input is worth (q - zero_point) * 2^exponent
    """
    files = {
        "CMakeLists.txt": c_text.cmake(["src/audio_features.c"]),
        "include/audio_features.h": _header(spec, exponent, zero_point),
        "src/audio_features.c": _source(spec, exponent, zero_point),
    }
    if spec.labels:
        files["include/labels.h"] = c_text.labels(Path(spec.label).name, spec.labels)
    return files


def _header(spec: AudioSpec, exponent: int, zero_point: int) -> str:
    title = Path(spec.label).name
    order = "features of all frames after one another" if spec.features_first else "frames after one another"
    lines = c_text.head(
        title,
        " *",
        f" * int16 samples at {spec.sample_rate} Hz -> windows of {spec.window}, {spec.hop} apart -> {spec.count} "
        f"{spec.features} features a frame",
        f" * -> the model's input of {spec.frames} frames, int8 worth {worth_text(exponent, zero_point)}, {order}.",
        " * Integers only, no heap; all state is in features_t.",
    )
    return (
        "\n".join(lines)
        + f"""
#ifndef AUDIO_FEATURES_H
#define AUDIO_FEATURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

#define FEATURES_SAMPLE_RATE {spec.sample_rate}
#define FEATURES_WINDOW {spec.window}
#define FEATURES_HOP {spec.hop}
#define FEATURES_FFT {spec.fft}
/* Features of a frame, and frames of an input. */
#define FEATURES_COUNT {spec.count}
#define FEATURES_FRAMES {spec.frames}
#define FEATURES_INPUT_SIZE {spec.count * spec.frames}
#define FEATURES_INPUT_EXPONENT ({exponent})
#define FEATURES_INPUT_ZERO_POINT ({zero_point})

/* A stream of sound. About {_state_bytes(spec)} bytes: make it static, not on a task's stack. */
typedef struct {{
    /* The last samples and the last frames, as rings: the oldest is at `..._start`. */
    int16_t samples[FEATURES_WINDOW];
    int32_t samples_start, samples_count;
    int8_t rows[FEATURES_FRAMES * FEATURES_COUNT];
    int32_t rows_start, rows_count;
    /* Of the frame that is computed. */
    int32_t re[FEATURES_FFT / 2], im[FEATURES_FFT / 2];
    uint64_t spectrum[FEATURES_FFT / 2 + 1];
}} features_t;

/* Start with silence behind: no samples, no frames. */
void features_reset(features_t *state);

/* Take samples until a frame is complete or none are left; returns how many were taken, and in `frame` whether a frame
 * was completed. Call again with the rest. */
size_t features_push(features_t *state, const int16_t *samples, size_t count, bool *frame);

/* Whether there are frames enough for an input. */
bool features_ready(const features_t *state);

/* The last FEATURES_FRAMES frames as the model's input, FEATURES_INPUT_SIZE bytes. Call it when they are ready. */
void features_input(const features_t *state, int8_t *input);

#ifdef __cplusplus
}}
#endif

#endif
"""
    )


def _state_bytes(spec: AudioSpec) -> int:
    return 2 * spec.window + spec.frames * spec.count + 4 * spec.fft + 8 * (spec.fft // 2 + 1) + 16


def _source(spec: AudioSpec, exponent: int, zero_point: int) -> str:
    lines = [*c_text.head(Path(spec.label).name), '#include "audio_features.h"', "", "#include <string.h>", ""]
    constants = {
        "HALF": spec.fft // 2,
        "HALF_BITS": int(math.log2(spec.fft // 2)),
        "BANDS": spec.bands,
        "WINDOW_SHIFT": WINDOW_BITS - spec.gain_bits,
        "TWIDDLE_SHIFT": TWIDDLE_BITS,
        "POWER_SHIFT": POWER_SHIFT,
        "ENERGY_BITS": spec.energy_bits,
        "LOG_BITS": LOG_BITS,
        "LOG_TABLE_BITS": LOG_TABLE_BITS,
        "TRANSFORM_SHIFT": DCT_BITS,
        "FACTOR_SHIFT": spec.factors()[1],
        "FEATURE_LIMIT": (1 << 23) - 1,
        # Of features at 2^-12 to the model's exponent; more would be 0 all the same, less all saturated.
        "INPUT_SHIFT": max(-8, min(exponent + FEATURE_BITS, 40)),
    }
    lines += ["enum {", *(f"    {name} = {value}," for name, value in constants.items()), "};", ""]
    lines += [
        "/* Added to the sum of a band before its logarithm. */",
        f"#define ENERGY_OFFSET {spec.energy_offset}u" + ("ll" if spec.energy_offset >= 1 << 32 else ""),
        "",
        f"/* At 2^-{WINDOW_BITS}. */",
    ]
    lines += c_text.table("int32_t", "window", spec.window_table())
    cosine, sine = spec.twiddles()
    lines += ["", f"/* Twiddle factors at 2^-{TWIDDLE_BITS}. */"]
    lines += [*c_text.table("int32_t", "cosine", cosine), "", *c_text.table("int32_t", "sine", sine), ""]
    lines += _mel_tables(spec)
    lines += [f"/* log2(1 + i / 128) at 2^-{LOG_BITS}. */", *c_text.table("uint32_t", "logarithms", spec.log_table())]
    if spec.features == "mfcc":
        lines += ["", f"/* DCT at 2^-{DCT_BITS}, a row per feature; in it the unit of the logarithm. */"]
        lines += c_text.table("int32_t", "transform", spec.transform().ravel(), "[FEATURES_COUNT * BANDS]")
    else:
        lines += ["", f"/* The unit of the logarithm at 2^-{DCT_BITS}. */"]
        lines += [f"#define UNIT {int(spec.transform()[0, 0])}"]
    lines += ["", f"/* Mean of each feature at 2^-{LOG_BITS}, and what a difference from it is multiplied with. */"]
    lines += c_text.table("int32_t", "offsets", spec.offsets())
    lines += c_text.table("int32_t", "factors", spec.factors()[0])
    body = _BODY.read_text(encoding="utf-8").split("/* --- from here on in audio_features.c --- */\n")[1]
    return "\n".join([*lines, ""]) + _chosen(body, spec, exponent, zero_point)


def _mel_tables(spec: AudioSpec) -> List[str]:
    bands = spec.mel_bands()
    weights = [weight for band in bands for weight in band.weights]
    lines = [
        "/* Filter bank: the first bin and the number of bins of each band, and all weights one after the other. */",
        "typedef struct {",
        "    uint16_t first, count;",
        "} band_t;",
        "",
        "static const band_t bands[BANDS] = {",
    ]
    pairs = [f"{{{band.first}, {len(band.weights)}}}, " for band in bands]
    lines += ["    " + "".join(pairs[i : i + 8]).rstrip() for i in range(0, len(pairs), 8)]
    return [*lines, "};", "", *c_text.table("uint16_t", "weights", weights), ""]


def _chosen(body: str, spec: AudioSpec, exponent: int, zero_point: int) -> str:
    """The body without the variants between `/* if x */` and `/* end */` that this spec does not need."""
    wanted = {spec.spectrum, spec.features, "features first" if spec.features_first else "frames first"}
    wanted.add("coarser" if exponent + FEATURE_BITS > 0 else "finer")
    wanted.update(["centred"] if zero_point != 0 else [])
    lines, keep = [], True
    for line in body.splitlines():
        text = line.strip()
        if text.startswith("/* if "):
            keep = text[6:-3] in wanted
        elif text == "/* end */":
            keep = True
        elif keep:
            lines.append(line)
    return "\n".join([*lines, ""])
