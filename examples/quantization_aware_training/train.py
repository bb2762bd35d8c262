#!/usr/bin/env python3
"""Train a network that reads a pointer instrument: in float, then on with fake quantization to powers of two.

Writes float/model.onnx and quantized/model.onnx into --out, beside each calib.npy, eval.npy, labels.npy and input.npy.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from fake_quantize import ActivationQuantizer, finish, prepare
from gauges import SIZE, degrees_off, gauges
from torch import nn

EPOCHS, MORE, BATCH = 40, 15, 64


def layer(inputs, outputs, size=1, stride=1, groups=1, curve=True):
    """Convolution and hard-swish. The chip stores the tensor before the curve and the one after it."""
    made = [
        nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        ActivationQuantizer(),
    ]
    return nn.Sequential(*made, *([nn.Hardswish(), ActivationQuantizer()] if curve else []))


class Residual(nn.Module):
    """An inverted residual, as in MobileNet: wider, depthwise 3x3, narrower, added to its input."""

    def __init__(self, channels):
        super().__init__()
        wide = 2 * channels
        self.branch = nn.Sequential(
            layer(channels, wide), layer(wide, wide, 3, groups=wide), layer(wide, channels, curve=False)
        )
        self.stored = ActivationQuantizer()

    def forward(self, x):
        return self.stored(x + self.branch(x))


class Reader(nn.Module):
    """[N, 1, 32, 32] -> cosine and sine [N, 2]."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            ActivationQuantizer(),  # the input
            layer(1, 8, 3, stride=2),
            layer(8, 8, 3, stride=2, groups=8),
            layer(8, 16, curve=False),
            Residual(16),
            layer(16, 16, 3, stride=2, groups=16),
            layer(16, 24, curve=False),
            *[Residual(24) for _ in range(4)],
            nn.Flatten(),
            nn.Linear(24 * 16, 2),
            ActivationQuantizer(),
        )

    def forward(self, x):
        return self.layers(x)


def train(model, x, y, epochs, rate):
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    model.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(x[batch]), y[batch]).backward()
            optimizer.step()
        schedule.step()


def save(model, folder, calib, x, y):
    """Export `model`; x, y: what it is evaluated on. Prints and saves what it computes there."""
    model.eval()
    with torch.no_grad():
        found = model(torch.from_numpy(x)).numpy()
    print(f"PyTorch, {folder.name}: {degrees_off(found, y):.2f} degrees off on {len(x)} pictures")
    folder.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        model,
        (torch.zeros(1, 1, SIZE, SIZE),),
        str(folder / "model.onnx"),
        dynamo=False,  # the exporter that asks a function for its ONNX nodes
        opset_version=14,
        input_names=["picture"],
        output_names=["direction"],
    )
    for name, array in (("calib", calib), ("eval", x), ("labels", y), ("input", x[:1])):
        np.save(folder / f"{name}.npy", array)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, help="folder to write to")
    out = Path(parser.parse_args().out)

    torch.manual_seed(1)
    torch.set_num_threads(1)
    pictures, directions = gauges(3000, seed=1)
    x, y = torch.from_numpy(pictures), torch.from_numpy(directions)
    evaluation = gauges(500, seed=2)

    model = Reader()
    train(model, x, y, EPOCHS, 4e-3)
    save(model, out / "float", pictures[:200], *evaluation)

    prepare(model, x[:512].split(BATCH))
    train(model, x, y, MORE, 1e-3)
    finish(model)
    save(model, out / "quantized", pictures[:200], *evaluation)


if __name__ == "__main__":
    main()
