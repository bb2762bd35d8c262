"""Data of unknown origin (a project's metadata, a front end's YAML) as pydantic models, with one-line error
messages."""

from __future__ import annotations

from typing import Any, Callable, Mapping

from pydantic import BaseModel, ConfigDict, ValidationError

from .naming import one_line, shown

Say = Callable[[Mapping[str, Any]], str]


class Record(BaseModel):
    """Only known fields, no conversion between types, no NaN and no infinity."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def first_fault(error: ValidationError, say: Say = lambda fault: fault["msg"], before: str = "") -> str:
    """`key.key: what is wrong` on one line.

    say: gives the text for one of pydantic's errors (type, loc, msg, input, ctx)
    before: a type of errors that is reported before the others
    """
    fault = min(error.errors(include_url=False), key=lambda each: each["type"] != before)
    keys = ".".join(shown(str(key), 40) for key in fault["loc"])
    return one_line(f"{keys}: {say(fault)}" if keys else say(fault))
