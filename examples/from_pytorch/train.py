#!/usr/bin/env python3
"""Train a small convolutional network with PyTorch, and export it so that the tools read it.

Writes model.onnx, calib.npy, eval.npy, labels.npy and input.npy into --out.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn


def prepare(images):
    """Images [N, 8, 8] with values 0 to 16 as the network takes them: [N, 1, 8, 8], -1 to 1.

    The only definition of this conversion: training, calibration, evaluation and the board must all do the same.
    """
    return (images[:, None] / 8 - 1).astype(np.float32)


class Net(nn.Module):
    """[N, 1, 8, 8] -> scores [N, 10]."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False),  # depthwise
            nn.BatchNorm2d(16),
            nn.ReLU6(),
            nn.Conv2d(16, 32, 1),  # pointwise
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
        )
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        return self.head(torch.flatten(self.features(x), 1))


def train(model, x, y, epochs=40):
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    model.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
        schedule.step()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, help="folder to write to")
    out = Path(parser.parse_args().out)
    out.mkdir(parents=True, exist_ok=True)

    torch.manual_seed(1)
    torch.set_num_threads(1)
    digits = load_digits()
    x_train, x_eval, y_train, y_eval = train_test_split(
        prepare(digits.images), digits.target, test_size=0.25, random_state=1, stratify=digits.target
    )
    model = Net()
    train(model, torch.from_numpy(x_train), torch.from_numpy(y_train))

    # BatchNorm and Dropout must be in their inference form before anything is exported or compared.
    model.eval()
    with torch.no_grad():
        scores = model(torch.from_numpy(x_eval)).numpy()
    print(f"PyTorch {torch.__version__}: {np.mean(scores.argmax(1) == y_eval):.2%} of {len(y_eval)} right")

    torch.onnx.export(
        model,
        (torch.zeros(1, 1, 8, 8),),
        str(out / "model.onnx"),
        dynamo=False,  # the exporter that writes the opset it is asked for
        opset_version=13,
        input_names=["image"],
        output_names=["scores"],
    )
    np.save(out / "calib.npy", x_train[:200])
    np.save(out / "eval.npy", x_eval)
    np.save(out / "labels.npy", y_eval.astype(np.int64))
    np.save(out / "input.npy", x_eval[:1])


if __name__ == "__main__":
    main()
