"""The templates of the generated C."""

from __future__ import annotations

import functools
from pathlib import Path

import jinja2


@functools.lru_cache(maxsize=None)
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(Path(__file__).parent)),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        # C, not HTML.
        autoescape=False,
    )


def render(name: str, **values) -> str:
    """The template `name` filled with `values`."""
    return _environment().get_template(name).render(**values)
