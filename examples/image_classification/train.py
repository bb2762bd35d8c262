#!/usr/bin/env python3
"""Train the model of this example and export it as ONNX; README.md has the two commands. Always the same model.

Reads the pictures through the project's own front end, as described by image.yaml. Writes model.onnx beside this file.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))

from esp_tvm.frontend.image import find_pictures, float_inputs  # noqa: E402
from esp_tvm.frontend.image_spec import load_image_spec  # noqa: E402

SEED, EPOCHS, BATCH = 10, 60, 32


def block(inputs, outputs):
    """Depthwise 3x3 with stride 2, pointwise 1x1."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, stride=2, padding=1, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.ReLU(),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class PictureNet(nn.Module):
    """[N, 3, 32, 32] -> probabilities [N, classes]."""

    def __init__(self, classes):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.Sequential(block(16, 32), block(32, 48), block(48, 64))
        self.head = nn.Linear(64, classes)

    def logits(self, x):
        x = self.blocks(self.stem(x))
        return self.head(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1))

    def forward(self, x):
        return torch.softmax(self.logits(x), dim=1)


def load(folder, names, spec):
    arrays = [float_inputs(find_pictures([folder / name]), spec) for name in names]
    labels = np.repeat(np.arange(len(names)), [len(array) for array in arrays])
    return torch.from_numpy(np.concatenate(arrays)), torch.from_numpy(labels)


def varied(x):
    """Mirrored at random, brighter or darker, moved by up to two pixels."""
    x = torch.where(torch.rand(len(x), 1, 1, 1) < 0.5, x.flip(3), x)
    x = x * (0.8 + 0.4 * torch.rand(len(x), 1, 1, 1)) + 0.3 * torch.randn(len(x), 1, 1, 1)
    return torch.roll(x, tuple(torch.randint(-2, 3, (2,)).tolist()), (2, 3))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", required=True, type=Path, help="folder that pictures.py wrote")
    args = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    spec = load_image_spec(HERE / "image.yaml")
    names = spec.labels
    x, y = load(args.pictures / "train", names, spec)
    test_x, test_y = load(args.pictures / "test", names, spec)
    model = PictureNet(len(names))
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for _ in range(EPOCHS):
        model.train()
        order = torch.randperm(len(x))
        for i in range(0, len(x), BATCH):
            batch = order[i : i + BATCH]
            loss = nn.functional.cross_entropy(model.logits(varied(x[batch])), y[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    model.eval()
    with torch.no_grad():
        right = (model(test_x).argmax(1) == test_y).float().mean()
    print(f"test accuracy {float(right):.4f} on {len(test_y)} pictures")
    torch.onnx.export(
        model,
        test_x[:1],
        str(HERE / "model.onnx"),
        opset_version=13,
        input_names=["image"],
        output_names=["probabilities"],
        dynamic_axes={"image": {0: "batch"}, "probabilities": {0: "batch"}},
        dynamo=False,
    )


if __name__ == "__main__":
    main()
