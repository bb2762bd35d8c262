"""The front end of an exported project beside its model in another application, under the model's name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import List, Optional

from ..frontend.c_text import COMPONENT

# What of a front end belongs to one model: `labels[`, `preprocess.h`, `preprocess_rgb888`, `detection_model`,
# `DETECTION_OUTPUTS`, ... Its types and the functions of detection.c and similarity.c are the same for every model, and
# so are these files: the linker takes one copy from the archives of the components.
_OWN = re.compile(
    r"\b(?:"
    r"(?:preprocess|features|audio_features|labels|embedding)(?=[_.\[])|(?:PREPROCESS|FEATURES|LABELS|EMBEDDING)_\w+|"
    r"AUDIO_FEATURES_H|EMBEDDING(?=\()|(?:detection_model|detection_frame)\b|detection_results_t|"
    r"DETECTION_(?:CANDIDATES|LANDMARKS|MOST|OUTPUTS|MODEL_H)"
    r")"
)


def front_end_of(project: Path) -> Optional[Path]:
    """Its component in the exported `project`, if there is one."""
    folder = project / COMPONENT
    return folder if folder.is_dir() else None


def renamed_front_end(text: str, name: str) -> str:
    """`text` of a file of the component, or a file's name, with what belongs to the model prefixed by `name`."""
    text = re.sub(r"(?<=\()frontend(?= )", f"frontend_{name}", text)
    return _OWN.sub(lambda own: f"{name.upper() if own.group()[0].isupper() else name}_{own.group()}", text)


def headers(folder: Path) -> List[str]:
    """Those to include, of a copied component, in quotes."""
    return sorted(f'"{path.name}"' for path in (folder / "include").glob("*.h"))
