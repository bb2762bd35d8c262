#!/usr/bin/env python3
"""The example's test pictures through the generated C, from camera frames to descriptors: which show the same thing?"""

import argparse
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))

from esp_tvm import cli  # noqa: E402

FORM, PER_CLASS = "rgb565_be", 12
# As in app/main/app_main.c.
ONE = 32768
SAME, MOST_THINGS = ONE * 75 // 100, 16
LEAST_RIGHT, WORST_LOSS = 0.85, 0.03


def remembered(descriptors, cosine):
    """The lines that app_main.c prints for the descriptors of frames."""
    things, lines = [], []
    for descriptor in descriptors:
        alike = [cosine(descriptor, thing) for thing in things]
        if alike and (max(alike) >= SAME or len(things) == MOST_THINGS):
            lines.append(f"thing {int(np.argmax(alike))}, cosine {max(alike)} of {ONE}")
        else:
            lines.append(f"new thing {len(things)}")
            things.append(descriptor)
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", required=True, type=Path, help="the folder new_project")
    parser.add_argument("--model", required=True, type=Path, help="the float model")
    parser.add_argument("--pictures", required=True, type=Path, help="folder with a folder of test pictures per class")
    args = parser.parse_args()

    import onnxruntime

    from esp_tvm.frontend import image
    from esp_tvm.frontend.c_text import COMPONENT
    from esp_tvm.frontend.embedding import cosine
    from esp_tvm.frontend.host import ImageProgram, cosines, run_application
    from esp_tvm.frontend.image_spec import load_image_spec
    from esp_tvm.frontend.project import temporary_folder
    from esp_tvm.run.host import HostProgram

    spec = load_image_spec(HERE / "image.yaml")
    folders = sorted(path for path in args.pictures.iterdir() if path.is_dir())
    paths = [path for folder in folders for path in image.find_pictures([folder])[:PER_CLASS]]
    labels = np.array([folders.index(path.parent) for path in paths])
    frames = [image.pack_frame(image.camera_picture(image.read_picture(p), spec.camera), FORM) for p in paths]
    seen = [image.unpack_frame(frame, FORM, spec.camera.width, spec.camera.height) for frame in frames]
    session = onnxruntime.InferenceSession(str(args.model), providers=["CPUExecutionProvider"])
    floats = np.concatenate([session.run(None, {"image": image.float_input(p, spec)})[0] for p in seen])
    program = HostProgram(args.project)
    (port,) = program.inputs
    first, second = np.triu_indices(len(labels), 1)
    with temporary_folder() as folder:
        build, component = Path(folder), args.project / COMPONENT
        inputs = ImageProgram(component, spec, build, sanitize=True).run(frames, FORM)
        results = program.run({port.name: inputs.reshape(len(inputs), *port.shape)})
        descriptors = results[spec.embedding.output].reshape(len(labels), -1)
        in_c = cosines(component, build, descriptors[first], descriptors[second])
        order = np.random.default_rng(0).permutation(len(frames))
        text = run_application(program, build, b"".join(frames[i].tobytes() for i in order))
    in_numpy = np.array([cosine(descriptors[i], descriptors[j]) for i, j in zip(first, second)])
    different = int((in_c != in_numpy).sum())
    app_agrees = text.splitlines() == remembered(descriptors[order], cosine)

    lengths = np.linalg.norm(floats, axis=1)
    in_float = (floats @ floats.T / np.outer(lengths, lengths))[first, second]
    same = labels[first] == labels[second]
    print(f"{len(labels)} camera frames of {len(folders)} things{'the same: found':>22}{'different: told apart':>24}")
    right = {}
    for name, values in (("float model", in_float * ONE), ("generated C", in_c)):
        shares = (values[same] >= SAME).mean(), (values[~same] < SAME).mean()
        right[name] = sum(shares) / 2
        print(f"{name:<32}{shares[0]:>20.1%}{shares[1]:>24.1%}")
    print(
        f"cosines: similarity.c and NumPy differ in {different} of {len(in_c)}; int8 and float differ by "
        f"{np.abs(in_c / ONE - in_float).mean():.4f} on average"
    )
    print(
        f"app_main.c prints {'the same' if app_agrees else 'something else'}; it remembered "
        f"{text.count('new thing')} things"
    )
    for wrong, why in (
        (different, "similarity.c does not compute what NumPy does"),
        (not app_agrees, "app_main.c prints something else than NumPy finds"),
        (right["generated C"] < LEAST_RIGHT, "too few pairs are told rightly"),
        (right["float model"] - right["generated C"] > WORST_LOSS, f"int8 loses more than {WORST_LOSS:.0%}"),
    ):
        if wrong:
            print(f"error: {why}", file=sys.stderr)
            return 1
    print("PASS: pairs are told rightly, with the same cosines from C and from NumPy")
    return 0


if __name__ == "__main__":
    cli.run(main)
