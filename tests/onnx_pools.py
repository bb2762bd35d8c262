"""Rows of the table of ONNX operators: pooling. Part of `onnx_cases.ONNX_CASES`; import that."""

from __future__ import annotations

from typing import List

import numpy as np
from onnx_cases import OnnxCase

X = (1, 4, 6, 8)


def _pools() -> List[OnnxCase]:
    line = (1, 3, 20)
    windows = {"kernel_shape": [2, 3, 1], "strides": [2, 2, 3], "pads": [1, 1, 0, 0, 0, 0], "storage_order": 1}
    pooled = {"kernel_shape": [2, 2], "strides": [2, 2]}
    corners = (np.arange(24).reshape(1, 4, 2, 3) * 4).astype(np.int64)
    there_and_back = (("MaxPool", ("x0",), "p i", pooled), ("MaxUnpool", ("p", "i"), "y0", pooled))
    cut = (("MaxPool", ("x0",), "p i", pooled), ("MaxUnpool", ("p", "i", "c1"), "y0", pooled))
    given = np.array([1, 3, 7, 8], np.int64)
    three = ("max_pool2d", "max_pool_indices", "max_unpool")
    places_in_3d = (("MaxPool", ("x0",), "values y0", windows),)
    return [
        OnnxCase(
            "MaxPool",
            "2-D",
            {0: X},
            {},
            {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]},
            kernel="max_pool2d",
        ),
        OnnxCase(
            "MaxPool", "1-D", {0: line}, {}, {"kernel_shape": [3], "strides": [2], "pads": [1, 0]}, kernel="max_pool2d"
        ),
        OnnxCase(
            "AveragePool", "2-D", {0: X}, {}, {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1]}, kernel="average_pool2d"
        ),
        OnnxCase("AveragePool", "1-D", {0: line}, {}, {"kernel_shape": [3], "strides": [2]}, kernel="average_pool2d"),
        OnnxCase(
            "MaxPool",
            "with places",
            {0: (2, 3, 6, 8)},
            {},
            {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]},
            outputs=2,
            kernel=("max_pool2d", "max_pool_indices"),
        ),
        OnnxCase(
            "MaxPool",
            "with places, 1-D",
            {0: line},
            {},
            {"kernel_shape": [3], "strides": [2], "auto_pad": "SAME_LOWER", "storage_order": 1},
            outputs=2,
            kernel=("max_pool2d", "max_pool_indices"),
        ),
        OnnxCase(
            "MaxPool",
            "with places, 2-D, strides longer than the window",
            {0: X},
            {},
            {"kernel_shape": [1, 2], "strides": [4, 5], "auto_pad": "SAME_UPPER"},
            outputs=2,
            kernel=("max_pool2d", "max_pool_indices"),
        ),
        OnnxCase("MaxUnpool", "constant places", {0: (1, 4, 2, 3)}, {1: corners}, pooled, kernel="max_unpool"),
        OnnxCase("MaxPool, MaxUnpool", "of all places", {0: (1, 3, 6, 8)}, kernel=three, nodes=there_and_back),
        OnnxCase(
            "MaxPool, MaxUnpool",
            "to a given shape",
            {0: (1, 3, 7, 8)},
            {1: given},
            kernel=three,
            nodes=cut,
        ),
        OnnxCase("MaxPool", "places in 3-D", {0: (2, 2, 4, 5, 4)}, kernel="max_pool_indices", nodes=places_in_3d),
        *(
            OnnxCase(
                operator,
                f"{k}x{k}, {way}",
                {0: (1, 3, 7, 8)},
                {},
                {"kernel_shape": [k, k], "strides": [2, 2], "auto_pad": way},
                kernel=kernel,
            )
            for operator, kernel in (("MaxPool", "max_pool2d"), ("AveragePool", "average_pool2d"))
            for k, way in ((3, "SAME_UPPER"), (2, "SAME_LOWER"))
        ),
        OnnxCase(
            "AveragePool", "3-D", {0: (1, 2, 4, 4, 4)}, {}, {"kernel_shape": [3, 3, 3]}, kernel=("average_pool2d",) * 2
        ),
        OnnxCase("MaxPool", "3-D", {0: (1, 2, 4, 4, 4)}, {}, {"kernel_shape": [2, 2, 2]}, kernel=("max_pool2d",) * 2),
        OnnxCase("GlobalMaxPool", "2-D", {0: X}, kernel="max_pool2d"),
        OnnxCase("GlobalMaxPool", "1-D", {0: line}, kernel="max_pool2d"),
        OnnxCase("GlobalAveragePool", "2-D", {0: X}, kernel="average_pool2d"),
        OnnxCase("GlobalAveragePool", "1-D", {0: line}, kernel="average_pool2d"),
        OnnxCase("GlobalAveragePool", "3-D", {0: (1, 2, 3, 4, 5)}, kernel="reduce_mean"),
    ]


POOL_CASES: List[OnnxCase] = _pools()
