"""Values of tensors on many samples, changed only when somebody looks at them."""

from __future__ import annotations

from typing import Callable, Dict, Iterator, Mapping, Optional, Tuple

import numpy as np


class Planes(Mapping):
    """Arrays [N, ...] by tensor, with changes that are made when one is asked for: nobody asks for most of them.

    changes: (name, values) -> values, each sample by itself; chosen: [n] the samples that are looked at, None: all
    """

    def __init__(
        self,
        arrays: Dict[str, np.ndarray],
        changes: Tuple[Callable[[str, np.ndarray], np.ndarray], ...] = (),
        chosen: Optional[np.ndarray] = None,
    ):
        self._arrays, self._changes, self._chosen = arrays, changes, chosen

    def __getitem__(self, name: str) -> np.ndarray:
        values = self._arrays[name]
        if self._chosen is not None:
            values = values[self._chosen]
        for change in self._changes:
            values = change(name, values)
        return values

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def changed(self, change: Callable[[str, np.ndarray], np.ndarray]) -> Planes:
        """The same arrays after one change more."""
        return Planes(self._arrays, (*self._changes, change), self._chosen)

    def part(self, indices: np.ndarray) -> Planes:
        """Those of some samples; nothing is computed for the others."""
        chosen = indices if self._chosen is None else self._chosen[indices]
        return Planes(self._arrays, self._changes, chosen)


__all__ = ["Planes"]
