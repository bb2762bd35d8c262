#!/usr/bin/env python3
"""Train the model of this example and export it as ONNX; README.md has the commands. Always the same model.

Reads the clips through the project's own front end, as described by audio.yaml. Writes model.onnx beside this file.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))

from esp_tvm.frontend.audio import find_sounds, float_inputs  # noqa: E402
from esp_tvm.frontend.audio_spec import load_audio_spec  # noqa: E402

SEED, EPOCHS, BATCH, WIDTH = 3, 60, 50, 32


class Block(nn.Module):
    """Depthwise 3x3, pointwise 1x1, and the input added to the result."""

    def __init__(self):
        super().__init__()
        self.depthwise = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=WIDTH, bias=False)
        self.norm1 = nn.BatchNorm2d(WIDTH)
        self.pointwise = nn.Conv2d(WIDTH, WIDTH, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(WIDTH)

    def forward(self, x):
        y = torch.relu(self.norm1(self.depthwise(x)))
        return torch.relu(x + self.norm2(self.pointwise(y)))


class WordNet(nn.Module):
    """[N, 1, 49, 10] -> probabilities [N, classes]."""

    def __init__(self, classes):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, WIDTH, (8, 4), stride=2, padding=(3, 1), bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU()
        )
        self.blocks = nn.Sequential(Block(), Block(), Block())
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(WIDTH, classes)

    def logits(self, x):
        x = self.blocks(self.stem(x))
        return self.head(self.dropout(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1)))

    def forward(self, x):
        return torch.softmax(self.logits(x), dim=1)


def load(folder, names, spec):
    arrays = [float_inputs(find_sounds([folder / name]), spec) for name in names]
    labels = np.repeat(np.arange(len(names)), [len(array) for array in arrays])
    return torch.from_numpy(np.concatenate(arrays)), torch.from_numpy(labels)


def varied(x):
    """Up to five frames earlier or later, a bit louder or duller, some frames and features blurred."""
    shift = int(torch.randint(-5, 6, ()))
    frames = torch.clamp(torch.arange(x.shape[2]) + shift, 0, x.shape[2] - 1)
    x = x[:, :, frames]
    x = x + 0.15 * torch.randn(len(x), 1, 1, x.shape[3])
    return x + 0.1 * torch.randn_like(x)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sounds", required=True, type=Path, help="folder that words.py wrote")
    args = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    spec = load_audio_spec(HERE / "audio.yaml")
    x, y = load(args.sounds / "train", spec.labels, spec)
    test_x, test_y = load(args.sounds / "test", spec.labels, spec)
    model = WordNet(len(spec.labels))
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=2e-2)
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
        answers = model(test_x).argmax(1)
    print(f"test accuracy {float((answers == test_y).float().mean()):.4f} on {len(test_y)} clips")
    for index, name in enumerate(spec.labels):
        print(f"  {name}: {float((answers[test_y == index] == index).float().mean()):.3f}")
    torch.onnx.export(
        model,
        test_x[:1],
        str(HERE / "model.onnx"),
        opset_version=13,
        input_names=["features"],
        output_names=["probabilities"],
        dynamic_axes={"features": {0: "batch"}, "probabilities": {0: "batch"}},
        dynamo=False,
    )


if __name__ == "__main__":
    main()
