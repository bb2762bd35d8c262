#!/usr/bin/env python3
"""Train a small convolutional network on scikit-learn's handwritten digits and export it as ONNX.

    python3.11 -m venv /tmp/train && /tmp/train/bin/pip install -r examples/digits/requirements.txt
    /tmp/train/bin/python examples/digits/train.py

Writes model.onnx, calib.npy, test.npy, test_labels.npy and input_sample.npy beside this file.
"""

from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

HERE = Path(__file__).resolve().parent
SEED = 7


class Block(nn.Module):
    """Depthwise 3x3, pointwise 1x1, and the input added to the result."""

    def __init__(self, channels):
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        y = torch.relu(self.norm1(self.depthwise(x)))
        return torch.relu(x + self.norm2(self.pointwise(y)))


class DigitNet(nn.Module):
    """[N, 1, 8, 8], pixels 0 to 16 -> probabilities [N, 10]."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.block = Block(16)
        self.pool = nn.MaxPool2d(2)
        self.widen = nn.Conv2d(16, 32, 3, padding=1)
        self.head = nn.Linear(32, 10)

    def logits(self, x):
        x = torch.relu(self.norm(self.stem(x)))
        x = self.pool(self.block(x))
        x = torch.relu(self.widen(x))
        return self.head(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1))

    def forward(self, x):
        return torch.softmax(self.logits(x), dim=1)


def shifted(images):
    """The images, each moved by up to one pixel: digits are not always in the middle."""
    result = torch.zeros_like(images)
    for i in range(len(images)):
        dy, dx = np.random.randint(-1, 2, 2)
        result[i] = torch.roll(images[i], (int(dy), int(dx)), (1, 2))
    return result


def main():
    torch.manual_seed(SEED)
    np.random.seed(SEED)
    torch.set_num_threads(1)
    digits = load_digits()
    images = digits.images.astype(np.float32)[:, None]
    x_train, x_test, y_train, y_test = train_test_split(
        images, digits.target, test_size=0.25, random_state=SEED, stratify=digits.target
    )
    model = DigitNet()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    epochs = 60
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    x, y = torch.from_numpy(x_train), torch.from_numpy(y_train).long()
    for _ in range(epochs):
        model.train()
        order = torch.randperm(len(x))
        for i in range(0, len(x), 32):
            batch = order[i : i + 32]
            loss = nn.functional.cross_entropy(model.logits(shifted(x[batch])), y[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    model.eval()
    with torch.no_grad():
        right = (model(torch.from_numpy(x_test)).argmax(1).numpy() == y_test).mean()
    print(f"test accuracy {right:.4f} on {len(y_test)} images")
    torch.onnx.export(
        model,
        torch.from_numpy(x_test[:1]),
        str(HERE / "model.onnx"),
        opset_version=13,
        input_names=["image"],
        output_names=["probabilities"],
        dynamic_axes={"image": {0: "batch"}, "probabilities": {0: "batch"}},
        dynamo=False,
    )
    np.save(HERE / "calib.npy", x_train[:200])
    np.save(HERE / "test.npy", x_test)
    np.save(HERE / "test_labels.npy", y_test.astype(np.int64))
    np.save(HERE / "input_sample.npy", x_test[:1])


if __name__ == "__main__":
    main()
