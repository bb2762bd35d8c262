#!/usr/bin/env python3
"""Train the detector of this example on pictures that scenes.py draws, and export it as ONNX; commands in README.md.

Reads the pictures through the project's own front end, as described by image.yaml. Writes model.onnx beside this file:
input [N, 3, 96, 96]; outputs box0, score0 (stride 8), box1, score1 (stride 16): of every cell the distances from its
centre to the left, upper, right and lower edge in strides, [N, rows, columns, 4], and a number before sigmoid for each
label, [N, rows, columns, 3].
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))

from scenes import Scenes  # noqa: E402

from esp_tvm.frontend.image import float_input, geometry  # noqa: E402
from esp_tvm.frontend.image_spec import load_image_spec  # noqa: E402

SEED, BATCH, RATE = 19, 32, 4e-3
STRIDES = (8, 16)
# Boxes whose longer side is at most this are found by the first level, in pixels of the input.
LARGEST_OF_FIRST = 26
# A cell finds a box if its centre is inside, and this many strides at most from the box's centre.
REACH = 1.0


def convolution(inputs, outputs, stride=1, kernel=3, groups=1):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def block(inputs, outputs, stride=1):
    """Depthwise 3x3, pointwise 1x1."""
    return nn.Sequential(convolution(inputs, inputs, stride, groups=inputs), convolution(inputs, outputs, kernel=1))


class Head(nn.Module):
    """[N, C, H, W] -> (distances [N, H, W, 4], classes before sigmoid [N, H, W, classes])."""

    def __init__(self, channels, classes):
        super().__init__()
        self.distances, self.classes = nn.Conv2d(channels, 4, 1), nn.Conv2d(channels, classes, 1)
        nn.init.constant_(self.distances.bias, 1.0)
        nn.init.constant_(self.classes.bias, -3.0)

    def forward(self, x):
        return self.distances(x).permute(0, 2, 3, 1), self.classes(x).permute(0, 2, 3, 1)


class Detector(nn.Module):
    """[N, 3, 96, 96] -> the outputs of the heads, fine and coarse."""

    def __init__(self, classes):
        super().__init__()
        self.fine = nn.Sequential(
            convolution(3, 16, 2), convolution(16, 24, 2), block(24, 32), convolution(32, 40, 2), block(40, 48)
        )
        self.coarse = nn.Sequential(block(48, 64, 2), block(64, 64))
        self.heads = nn.ModuleList([Head(48, classes), Head(64, classes)])

    def forward(self, x):
        fine = self.fine(x)
        return (*self.heads[0](fine), *self.heads[1](self.coarse(fine)))


# --- targets ----------------------------------------------------------------------------------------------


def centres(spec):
    """(x, y, stride) of every cell of all levels, in the order of the outputs; pixels of the input."""
    rows = []
    for stride in STRIDES:
        y, x = np.mgrid[: spec.height // stride, : spec.width // stride]
        rows.append(np.stack([(x + 0.5) * stride, (y + 0.5) * stride, np.full(x.shape, stride)], -1).reshape(-1, 3))
    return np.concatenate(rows).astype(np.float32)


def targets(boxes, cells):
    """[cells, 5]: the box and label that a cell has to find, label -1 for none. boxes: [n, 5] in the input's pixels."""
    result = np.zeros((len(cells), 5), np.float32)
    result[:, 4] = -1
    for box in boxes:
        stride = STRIDES[int(max(box[2] - box[0], box[3] - box[1]) > LARGEST_OF_FIRST)]
        away = np.abs(cells[:, :2] - [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
        inside = (cells[:, :2] > box[:2]).all(1) & (cells[:, :2] < box[2:4]).all(1)
        of_level = cells[:, 2] == stride
        near = of_level & inside & (away <= REACH * stride).all(1)
        if not near.any():
            near = of_level & (away == away[of_level].min(0)).all(1)
        result[near] = box
    return result


def samples(scenes, count, spec):
    """(inputs [count, 3, H, W], boxes in the input's pixels, one array [n, 5] for each) of `count` new pictures."""
    inputs, boxes_of = [], []
    for _ in range(count):
        pixels, boxes = scenes.draw()
        place = geometry(spec, pixels.shape[1], pixels.shape[0])
        scale = np.array(place.target[2:] * 2, np.float32) / np.array(place.source[2:] * 2, np.float32)
        boxes[:, :4] = boxes[:, :4] * scale + np.array(place.target[:2] * 2, np.float32)
        inputs.append(float_input(pixels, spec))
        boxes_of.append(boxes)
    return np.concatenate(inputs), boxes_of


def batches(inputs, boxes_of, spec, cells):
    """Once over all pictures in random order, mirrored at random both ways, brighter or darker."""
    order = torch.randperm(len(inputs)).numpy()
    for i in range(len(order) // BATCH):
        chosen = order[i * BATCH : (i + 1) * BATCH]
        images, wanted = torch.from_numpy(inputs[chosen]), []
        across, down = torch.rand(BATCH, 1, 1, 1) < 0.5, torch.rand(BATCH, 1, 1, 1) < 0.5
        images = torch.where(across, images.flip(3), images)
        images = torch.where(down, images.flip(2), images)
        for n, index in enumerate(chosen):
            boxes = boxes_of[index].copy()
            if across[n]:
                boxes[:, [0, 2]] = spec.width - boxes[:, [2, 0]]
            if down[n]:
                boxes[:, [1, 3]] = spec.height - boxes[:, [3, 1]]
            wanted.append(targets(boxes, cells))
        yield images * (0.8 + 0.4 * torch.rand(BATCH, 1, 1, 1)), torch.from_numpy(np.stack(wanted))


# --- loss -------------------------------------------------------------------------------------------------


def generalized_overlap(a, b):
    """The generalized IoU of boxes [n, 4]."""
    size = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0)
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1)
    both = size.prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - both
    return both / union.clamp(min=1e-6) - (hull - union) / hull.clamp(min=1e-6)


def loss_of(outputs, wanted, cells):
    """Focal loss of the classes, generalized IoU and absolute difference of the distances, for each cell with a box."""
    count = len(wanted)
    box, score = (torch.cat([t.reshape(count, -1, t.shape[-1]) for t in outputs[k::2]], 1) for k in (0, 1))
    positive = wanted[..., 4] >= 0
    place, aim, distances = cells.expand(count, -1, -1)[positive], wanted[positive], box[positive]
    truth = torch.zeros_like(score)
    truth[positive] = functional.one_hot(aim[:, 4].long(), score.shape[-1]).float()
    away = (torch.sigmoid(score) - truth).abs().pow(2)
    classes = (away * functional.binary_cross_entropy_with_logits(score, truth, reduction="none")).sum()
    strides = place[:, 2:]
    found = torch.cat([place[:, :2] - distances[:, :2] * strides, place[:, :2] + distances[:, 2:] * strides], 1)
    edges = torch.cat([place[:, :2] - aim[:, :2], aim[:, 2:4] - place[:, :2]], 1) / strides
    boxes = (1 - generalized_overlap(found, aim[:, :4])).sum() + 0.5 * (distances - edges).abs().sum()
    return (2.0 * classes + boxes) / max(len(aim), 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=6000, help="how many pictures are drawn to train with")
    parser.add_argument("--epochs", type=int, default=30)
    args = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    spec = load_image_spec(HERE / "image.yaml")
    cells = centres(spec)
    inputs, boxes_of = samples(Scenes("train", SEED), args.pictures, spec)
    # Other numbers than those of the test pictures: nothing is chosen with what the example is judged by.
    held_back, held_boxes = samples(Scenes("train", SEED + 1), 200, spec)
    held_back = torch.from_numpy(held_back)
    held_wanted = torch.from_numpy(np.stack([targets(boxes, cells) for boxes in held_boxes]))
    cell_places = torch.from_numpy(cells)
    model = Detector(len(spec.labels))
    print(f"{sum(p.numel() for p in model.parameters())} parameters", flush=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=1e-2)
    steps = args.epochs * (len(inputs) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.1)
    for epoch in range(args.epochs):
        model.train()
        total = 0.0
        for images, wanted in batches(inputs, boxes_of, spec, cells):
            loss = loss_of(model(images), wanted, cell_places)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
        model.eval()
        with torch.no_grad():
            held = float(loss_of(model(held_back), held_wanted, cell_places))
        print(f"epoch {epoch + 1}: loss {total / (len(inputs) // BATCH):.3f}, held back {held:.3f}", flush=True)
    names = [f"{name}{level}" for level in range(len(STRIDES)) for name in ("box", "score")]
    torch.onnx.export(
        model,
        held_back[:1],
        str(HERE / "model.onnx"),
        opset_version=13,
        input_names=["image"],
        output_names=names,
        dynamic_axes={name: {0: "batch"} for name in ["image", *names]},
        dynamo=False,
    )


if __name__ == "__main__":
    main()
