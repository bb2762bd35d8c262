#!/usr/bin/env python3
"""The example's test clips and a stream of words through the generated C: front end and model, bytes and accuracy."""

import argparse
import re
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))

from esp_tvm import cli  # noqa: E402

WORST_LOSS = 0.03
# A keyword counts as heard from its last third to a second after its end.
EARLY, LATE = 0.3, 1.0
CHUNKS = (160, 77, 320, 1)


def score(text, truth, keywords):
    """(keywords in the stream, heard, heard where there is none)."""
    spoken = [(float(end), word) for end, word in (line.split() for line in truth.splitlines()) if word in keywords]
    heard = [(float(time), word) for time, word in re.findall(r"(?m)^([\d.]+) s: (.*)$", text)]
    hits, left = 0, list(heard)
    for end, word in spoken:
        match = next((h for h in left if h[1] == word and end - EARLY <= h[0] <= end + LATE), None)
        if match:
            hits += 1
            left.remove(match)
    return len(spoken), hits, len(left)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", required=True, type=Path, help="the folder new_project")
    parser.add_argument("--sounds", type=Path, help="folder that words.py wrote")
    parser.add_argument("--listen", nargs="*", default=[], help="sound files of your own: only print what is heard")
    args = parser.parse_args()

    import onnxruntime

    from esp_tvm.frontend import audio
    from esp_tvm.frontend.audio_spec import load_audio_spec
    from esp_tvm.frontend.c_text import COMPONENT
    from esp_tvm.frontend.host import AudioProgram, run_application
    from esp_tvm.frontend.project import temporary_folder
    from esp_tvm.run.host import HostProgram

    spec = load_audio_spec(HERE / "audio.yaml")
    program = HostProgram(args.project)
    (port,) = program.inputs
    component = args.project / COMPONENT
    steps = port.exponent, port.zero_point

    def listen(samples, build):
        return run_application(program, build, samples.astype("<i2").tobytes())

    with temporary_folder() as folder:
        build = Path(folder)
        for path in args.listen:
            print(f"{path}:")
            print(listen(audio.read_sound(path, spec.sample_rate), build) or "nothing\n", end="")
        if args.listen:
            return 0
        clips, labels = [], []
        for index, name in enumerate(spec.labels):
            for path in audio.find_sounds([args.sounds / "test" / name]):
                clips.append(audio.read_sound(path, spec.sample_rate)[: audio.samples_needed(spec)])
                labels.append(index)
        labels = np.array(labels)
        features = AudioProgram(component, spec, build, sanitize=True)
        stream = audio.read_sound(args.sounds / "stream.wav", spec.sample_rate)
        expected = [audio.int8_input(clip, spec, *steps) for clip in clips]
        computed = [features.run(clip, CHUNKS)[0] for clip in clips]
        in_python = np.stack(list(audio.FeatureStream(spec, *steps).push(stream)))
        in_c = features.run(stream, CHUNKS)
        different = int((np.stack(expected) != np.stack(computed)).sum() + (in_python != in_c).sum())
        total = np.stack(expected).size + in_python.size
        session = onnxruntime.InferenceSession(str(HERE / "model.onnx"), providers=["CPUExecutionProvider"])
        floats = np.concatenate([audio.float_input(clip, spec) for clip in clips])
        in_float = session.run(None, {"features": floats})[0].argmax(1)
        in_int8 = program.run({port.name: np.stack(computed).reshape(len(clips), *port.shape)})
        in_int8 = in_int8["probabilities"].reshape(len(clips), -1).argmax(1)
        print(f"{'accuracy':<24}{'clips':>7}{'float model':>14}{'generated C':>14}")
        rows = [("all", labels >= 0), *((name, labels == i) for i, name in enumerate(spec.labels))]
        for name, which in rows:
            right = [float((answers == labels)[which].mean()) for answers in (in_float, in_int8)]
            print(f"{name:<24}{int(which.sum()):>7}{right[0]:>14.2%}{right[1]:>14.2%}")
        print(f"app_main.c listens to stream.wav, {len(stream) / spec.sample_rate:.0f} s:")
        text = listen(stream, build)
        print(text, end="")
        spoken, hits, false = score(text, (args.sounds / "stream.txt").read_text(), spec.labels[1:])
        print(f"{hits} of {spoken} keywords heard, {false} heard where there is none")
    loss = float((in_float == labels).mean() - (in_int8 == labels).mean())
    print(f"audio_features.c and the Python front end: {different} of {total} bytes differ")
    if different:
        print("error: audio_features.c does not compute what the Python front end does", file=sys.stderr)
        return 1
    if loss > WORST_LOSS:
        print(f"error: the quantized model lost more than {WORST_LOSS:.0%} of accuracy", file=sys.stderr)
        return 1
    print("PASS: audio_features.c and the Python front end agree in every byte")
    return 0


if __name__ == "__main__":
    cli.run(main)
