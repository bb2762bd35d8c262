#!/usr/bin/env python3
"""The example's test pictures through the generated C: front end and model, bytes and accuracy."""

import argparse
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))

from esp_tvm import cli  # noqa: E402

PER_CLASS = 12
WORST_LOSS = 0.02


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", required=True, type=Path, help="the folder new_project")
    parser.add_argument("--pictures", required=True, type=Path, help="folder with a folder of test pictures per class")
    parser.add_argument("--all", action="store_true", help=f"all pictures, not {PER_CLASS} of each class")
    args = parser.parse_args()

    import onnxruntime

    from esp_tvm.frontend import image
    from esp_tvm.frontend.c_text import COMPONENT
    from esp_tvm.frontend.host import ImageProgram, run_application
    from esp_tvm.frontend.image_spec import load_image_spec
    from esp_tvm.frontend.project import temporary_folder
    from esp_tvm.run.host import HostProgram

    spec = load_image_spec(HERE / "image.yaml")
    paths, labels = [], []
    for index, name in enumerate(spec.labels):
        found = image.find_pictures([args.pictures / name])
        found = found if args.all else found[:PER_CLASS]
        paths += found
        labels += [index] * len(found)
    labels = np.array(labels)
    pictures = [image.read_picture(path) for path in paths]
    print(f"{len(pictures)} test pictures: {', '.join(sorted({path.suffix for path in paths}))}")
    session = onnxruntime.InferenceSession(str(HERE / "model.onnx"), providers=["CPUExecutionProvider"])
    program = HostProgram(args.project)
    (port,) = program.inputs
    shape = port.shape

    def int8_input(pixels):
        return image.int8_input(pixels, spec, port.exponent, "NHWC", port.zero_point)

    def float_accuracy(arrays):
        return float((session.run(None, {"image": np.concatenate(arrays)})[0].argmax(1) == labels).mean())

    def int8_accuracy(arrays):
        result = program.run({port.name: np.stack(arrays)})["probabilities"]
        return float((result.reshape(len(labels), -1).argmax(1) == labels).mean())

    print(f"{'accuracy':<34}{'float model':>12}{'generated C':>13}   bytes of preprocess.c that differ")
    inputs = [int8_input(pixels).reshape(shape) for pixels in pictures]
    rows = [("the picture files", float_accuracy([image.float_input(p, spec) for p in pictures]), inputs, "")]
    with temporary_folder() as folder:
        build = Path(folder)
        preprocess = ImageProgram(args.project / COMPONENT, spec, build, sanitize=True)
        differing = 0
        for form in spec.camera.formats:
            frames = [image.pack_frame(image.camera_picture(pixels, spec.camera), form) for pixels in pictures]
            seen = [image.unpack_frame(frame, form, spec.camera.width, spec.camera.height) for frame in frames]
            computed = preprocess.run(frames, form)
            expected = np.stack([int8_input(pixels).ravel() for pixels in seen])
            different = int((computed != expected).sum())
            differing += different
            title = f"camera frames {spec.camera.width}x{spec.camera.height} {form}"
            text = f"   {different} of {expected.size}"
            rows.append((title, float_accuracy([image.float_input(p, spec) for p in seen]), computed, text))
            if form == "rgb565_be":
                stream = [frame.tobytes() for frame in frames[::PER_CLASS]]
        worst = 0.0
        for title, accuracy, arrays, text in rows:
            on_chip = int8_accuracy([array.reshape(shape) for array in arrays])
            worst = max(worst, accuracy - on_chip)
            print(f"{title:<34}{accuracy:>11.2%} {on_chip:>12.2%} {text}")
        print("app_main.c, a frame of each class from stdin:")
        print(run_application(program, build, b"".join(stream)), end="")
    if differing:
        print("error: preprocess.c does not compute what the Python front end does", file=sys.stderr)
        return 1
    if worst > WORST_LOSS:
        print(f"error: the quantized model lost more than {WORST_LOSS:.0%} of accuracy", file=sys.stderr)
        return 1
    print("PASS: preprocess.c and the Python front end agree in every byte")
    return 0


if __name__ == "__main__":
    cli.run(main)
