#!/usr/bin/env python3
"""The example's test pictures through the generated C, from camera frames to boxes, beside NumPy and the float model.

Draws what is found into <out>: a picture for each, and overview.png.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))

from esp_tvm import cli  # noqa: E402

FORM = "rgb565_be"
# A box is right if its label is, and it has this part of the union with the true one in common.
RIGHT_OVERLAP = 0.5
LEAST_FOUND, LEAST_RIGHT, WORST_LOSS = 0.95, 0.95, 0.02
ACROSS, SHOWN = 4, 12


def overlap(a, b):
    """Intersection / union of (left, top, right, bottom)."""
    both = max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return both / (sum(areas) - both) if both else 0.0


def count_right(found, truth):
    """How many of `found`, the best first, are a shape of `truth` that none before was."""
    left, right = list(truth), 0
    for each in found:
        match = next((t for t in left if t[4] == each.label and overlap(t, each.edges) >= RIGHT_OVERLAP), None)
        if match is not None:
            left.remove(match)
            right += 1
    return right


def judge(found, truth):
    """(recall: share of the shapes that are found; precision: share of the boxes that are right)."""
    right = sum(map(count_right, found, truth))
    return right / sum(map(len, truth)), right / max(sum(map(len, found)), 1)


def float_model(spec, pictures):
    """What the float model finds, with the formulas of docs/detection.md in float64."""
    import onnxruntime

    from esp_tvm.frontend.detect import Found
    from esp_tvm.frontend.image import float_input, geometry

    session = onnxruntime.InferenceSession(str(HERE / "model.onnx"), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    result = []
    for pixels in pictures:
        outputs = dict(zip(names, session.run(None, {"image": float_input(pixels, spec)})))
        place, rows = geometry(spec, pixels.shape[1], pixels.shape[0]), []
        for head in spec.detection.heads:
            box, score = (outputs[name][0].astype(np.float64) for name in (head.boxes, head.scores))
            y, x = (np.mgrid[: box.shape[0], : box.shape[1]] + 0.5) * head.stride
            away = box * head.stride
            best = 1 / (1 + np.exp(-score.max(-1)))
            edges = [x - away[..., 0], y - away[..., 1], x + away[..., 2], y + away[..., 3]]
            rows.append(np.stack([*edges, best, score.argmax(-1)], -1).reshape(-1, 6))
        rows = np.concatenate(rows)
        rows = rows[rows[:, 4] >= float(spec.detection.score_threshold)]
        kept = []
        for row in rows[np.argsort(-rows[:, 4])]:
            if all(overlap(row, k) <= float(spec.detection.iou_threshold) for k in kept):
                kept.append(row)
        scale = np.array(place.source[2:] * 2) / np.array(place.target[2:] * 2)
        moved = [((row[:4] - place.target[:2] * 2) * scale, row) for row in kept[: spec.detection.most]]
        result.append([Found(tuple(edges), row[4], int(row[5])) for edges, row in moved])
    return result


def printed(text):
    """The boxes of each frame that app_main.c printed."""
    frames = []
    for line in text.splitlines():
        if re.match(r"\d+ boxes \(", line):
            frames.append([])
        else:
            frames[-1].append(line.strip())
    return frames


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", required=True, type=Path, help="the folder new_project")
    parser.add_argument("--pictures", required=True, type=Path, help="folder with pictures and boxes.json")
    parser.add_argument("--out", required=True, type=Path, help="folder for the pictures with their boxes")
    args = parser.parse_args()

    from PIL import Image

    from esp_tvm.frontend import image
    from esp_tvm.frontend.c_text import COMPONENT
    from esp_tvm.frontend.detect import Detector, draw, found_in, keep
    from esp_tvm.frontend.host import ImageProgram, run_application
    from esp_tvm.frontend.image_spec import load_image_spec
    from esp_tvm.frontend.project import temporary_folder

    spec = load_image_spec(HERE / "image.yaml")
    camera, truth_of = spec.camera, json.loads((args.pictures / "boxes.json").read_text())
    truth = list(truth_of.values())
    frames = [image.pack_frame(image.read_picture(args.pictures / name), FORM) for name in truth_of]
    pictures = [image.unpack_frame(frame, FORM, camera.width, camera.height) for frame in frames]
    place = image.geometry(spec, camera.width, camera.height)
    with temporary_folder() as folder:
        build = Path(folder)
        detector = Detector(args.project, spec, build, sanitize=True)
        in_c = ImageProgram(args.project / COMPONENT, spec, build, sanitize=True).run(frames, FORM)
        in_numpy = detector.inputs(pictures)
        different = int((in_c != in_numpy.reshape(in_c.shape)).sum())
        # An error here says that the boxes of detection.c are not those of NumPy.
        found = [found_in(place, boxes) for boxes in detector.boxes(detector.outputs(in_c))]
        text = run_application(detector.program, build, b"".join(frame.tobytes() for frame in frames))
    app_agrees = printed(text) == [[each.text(spec.labels) for each in boxes] for boxes in found]
    args.out.mkdir(parents=True, exist_ok=True)
    drawn = [draw(pixels, boxes, spec.labels) for pixels, boxes in zip(pictures, found)]
    keep(detector, list(truth_of), pictures, found, detector.spec.labels)
    for name, pixels in zip(truth_of, drawn):
        Image.fromarray(pixels).save(args.out / f"{Path(name).stem}.png")
    rows = [np.concatenate(drawn[i : i + ACROSS], axis=1) for i in range(0, SHOWN, ACROSS)]
    Image.fromarray(np.concatenate(rows)).save(args.out / "overview.png")

    head = f"{sum(map(len, truth))} shapes in {len(truth)} camera frames"
    print(f"{head}{'recall':>14}{'precision':>14}")
    shares = {}
    for name, boxes in (("float model", float_model(spec, pictures)), ("generated C", found)):
        shares[name] = judge(boxes, truth)
        print(f"{name:<{len(head)}}{shares[name][0]:>14.1%}{shares[name][1]:>14.1%}")
    print(f"preprocess.c and the Python front end: {different} of {in_c.size} bytes differ")
    print(
        f"detection.c and NumPy: the same {sum(map(len, found))} boxes; app_main.c prints "
        f"{'the same' if app_agrees else 'others'}"
    )
    print(f"drawn in {args.out}, some together in {args.out / 'overview.png'}")
    floats, ints = shares["float model"], shares["generated C"]
    for wrong, why in (
        (different, "preprocess.c does not compute what the Python front end does"),
        (not app_agrees, "app_main.c prints other boxes than NumPy finds"),
        (ints[0] < LEAST_FOUND or ints[1] < LEAST_RIGHT, "too few boxes are where they belong"),
        (any(f - i > WORST_LOSS for f, i in zip(floats, ints)), f"int8 loses more than {WORST_LOSS:.0%} of the boxes"),
    ):
        if wrong:
            print(f"error: {why}", file=sys.stderr)
            return 1
    print("PASS: the boxes are where they belong, the same from C and from NumPy")
    return 0


if __name__ == "__main__":
    cli.run(main)
