"""What Espressif publishes of the models of ESP-DL's zoo: milliseconds on the ESP32-S3, and how their inputs are made.

Times are those of ESP-DL v3.3.9 at 240 MHz, of the model alone, as the README of each model's folder has them
(https://github.com/espressif/esp-dl, models/<folder>). Of inputs, what the models' C++ says there: channels, and
(pixel - mean) / deviation of pixels 0 to 255.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

Three = Tuple[float, float, float]
_IMAGENET: Tuple[Three, Three] = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
_BYTES: Tuple[Three, Three] = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@dataclass(frozen=True)
class Published:
    """A model. words: all are in the name of its file; milliseconds: on one core of an ESP32-S3; folder: of its README

    channels, mean, deviation: of its input, None where they are not noted here
    """

    words: Sequence[str]
    milliseconds: float
    folder: str
    channels: str = "RGB"
    normalization: Optional[Tuple[Three, Three]] = None


# Of several that fit a name, the first.
MODELS = (
    Published(("imagenet_cls_mobilenetv2",), 1309.5, "imagenet_cls", normalization=_IMAGENET),
    Published(("mobilenetv2_0_5_128_128_gesture",), 115.4, "hand_gesture_recognition", normalization=_IMAGENET),
    Published(("human_face_detect_msr",), 33.1, "human_face_detect", "BGR", _BYTES),
    Published(("human_face_detect_mnp",), 5.8, "human_face_detect", "BGR", _BYTES),
    Published(("pedestrian_detect_pico",), 118.3, "pedestrian_detect", normalization=_BYTES),
    Published(("espdet_pico_224_224", "face"), 131.6, "human_face_detect"),
    Published(("espdet_pico_416_416", "face"), 437.0, "human_face_detect"),
    Published(("human_face_feat_mfn",), 248.8, "human_face_recognition"),
    Published(("human_face_feat_mbf",), 1072.4, "human_face_recognition"),
    Published(("osnet",), 110.0, "human_reid"),
    Published(("yolo11n", "320"), 6161.8, "coco_detect"),
    Published(("yolo11n",), 26014.2, "coco_detect"),
)


def published(name: str) -> Optional[Published]:
    """The model whose file is called `name`, if it is known."""
    return next((one for one in MODELS if all(word in name.lower() for word in one.words)), None)
