"""Pictures of a pointer instrument, and the direction of its pointer."""

import numpy as np

SIZE = 32


def gauges(count, seed):
    """(pictures [count, 1, 32, 32], -1 to 1, float32; directions [count, 2]: cosine and sine of the angle)"""
    random = np.random.RandomState(seed)
    angle = random.uniform(-np.pi, np.pi, count)
    centre = random.uniform(-1, 1, (2, count, 1, 1))
    length = random.uniform(9, 14, (count, 1, 1))
    width = random.uniform(0.6, 1.4, (count, 1, 1))
    dark, light = random.uniform(-1, -0.8, (count, 1, 1)), random.uniform(0.8, 1, (count, 1, 1))
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    x, y = x - centre[0], y - centre[1]
    cosine, sine = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    along, across = x * cosine + y * sine, y * cosine - x * sine
    hand = np.clip(width + 0.5 - np.abs(across), 0, 1) * np.clip(length - along, 0, 1) * np.clip(along + 3, 0, 1)
    rim = np.clip(1.5 - np.abs(np.hypot(x, y) - 15), 0, 1)
    picture = light + (dark - light) * np.maximum(hand, 0.7 * rim) + random.normal(0, 0.01, (count, SIZE, SIZE))
    direction = np.stack([np.cos(angle), np.sin(angle)], 1)
    return np.clip(picture, -1, 1)[:, None].astype(np.float32), direction.astype(np.float32)


def degrees_off(found, direction):
    """The mean error of directions [N, 2], in degrees."""
    difference = np.arctan2(found[:, 1], found[:, 0]) - np.arctan2(direction[:, 1], direction[:, 0])
    return float(np.degrees(np.abs((difference + np.pi) % (2 * np.pi) - np.pi)).mean())
