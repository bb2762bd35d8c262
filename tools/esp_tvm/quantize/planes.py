"""Values of tensors on many samples, changed only when somebody looks at them."""

from __future__ import annotations

from typing import Callable, Dict, Iterator, Mapping, Tuple

import numpy as np


class Planes(Mapping):
    """Arrays by tensor, with changes that are made when one is asked for: nobody asks for most of them."""

    def __init__(
        self, arrays: Dict[str, np.ndarray], changes: Tuple[Callable[[str, np.ndarray], np.ndarray], ...] = ()
    ):
        self._arrays, self._changes = arrays, changes

    def __getitem__(self, name: str) -> np.ndarray:
        values = self._arrays[name]
        for change in self._changes:
            values = change(name, values)
        return values

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def changed(self, change: Callable[[str, np.ndarray], np.ndarray]) -> Planes:
        """The same arrays after one change more."""
        return Planes(self._arrays, (*self._changes, change))


__all__ = ["Planes"]
