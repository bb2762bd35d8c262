"""Reading the YAML that describes a front end: the kinds of values its keys have, and the file itself."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional, Tuple, Type, TypeVar, Union, get_args

import yaml
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from typing_extensions import Annotated

from ..errors import UserError, did_you_mean
from ..exact import exact_number, positive_number, value_text
from ..naming import one_line
from ..record import Record, first_fault

_LARGEST_FILE = 1 << 20


def fault(text: str) -> PydanticCustomError:
    """The error that a validator raises."""
    return PydanticCustomError("spec", text)


def _says(text: str) -> WrapValidator:
    """`text` for whatever pydantic finds in a value."""

    def check(value: Any, validate: Callable[[Any], Any]) -> Any:
        try:
            return validate(value)
        except ValidationError:
            raise fault(text)

    return WrapValidator(check)


def whole(low: int, high: Union[int, str]) -> Any:
    """The type of a whole number from `low` to `high`, a number or the name of an earlier field."""

    def check(value: Any, validate: Callable[[Any], int], info: ValidationInfo) -> int:
        most = info.data.get(high, low) if isinstance(high, str) else high
        try:
            if validate(value) <= most:
                return value
        except ValidationError:
            pass
        raise fault(f"{value_text(value)} is not a whole number from {low} to {most}")

    return Annotated[int, Field(ge=low), WrapValidator(check)]


def _number(read: Callable[[Any], Fraction]) -> Callable[[Any], Fraction]:
    def check(value: Any) -> Fraction:
        try:
            return read(value)
        except ValueError as error:
            raise fault(str(error))

    return check


number, positive = _number(exact_number), _number(positive_number)


def numbers(count: Callable[[Dict[str, Any]], int], each: Callable[[Any], Fraction] = number) -> Any:
    """The type of a list of as many numbers as `count` computes from the earlier fields, or of one number for all."""

    def spread(value: Any, info: ValidationInfo) -> Tuple[Fraction, ...]:
        needed = count(info.data)
        if not isinstance(value, list):
            return (each(value),) * needed
        if len(value) != needed:
            raise fault(f"has {len(value)} numbers, {needed} are needed (or one for all)")
        return tuple(map(each, value))

    return Annotated[Tuple[Fraction, ...], PlainValidator(spread)]


def sequence(kind: Any, text: str) -> Any:
    """The type of a YAML list that becomes the tuple `kind`; `text` is the message for everything else."""
    as_tuple = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else None)
    return Annotated[kind, as_tuple, _says(text)]


def different(values: Tuple[str, ...]) -> Tuple[str, ...]:
    """Names without repetition."""
    if len(set(values)) != len(values):
        raise fault("has a name twice")
    return values


Positive = Annotated[Fraction, PlainValidator(positive)]
Name = Annotated[str, Field(min_length=1)]
InputName = Annotated[Optional[Name], _says("is not the name of a model's input (put it in quotes)")]
Labels = Annotated[
    sequence(
        Annotated[Tuple[Name, ...], Field(min_length=1)],
        "is not a list of names (put 'yes', 'no' and numbers in quotes)",
    ),
    AfterValidator(different),
]


class Spec(Record):
    """The content of a front end's YAML, or a part of it; label: the file, for messages."""

    model_config = ConfigDict(frozen=True)
    _label: str = PrivateAttr("")

    @property
    def label(self) -> str:
        return self._label

    @model_validator(mode="before")
    @classmethod
    def _has_keys(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            raise fault("is not a list of 'key: value' lines")
        return values


S = TypeVar("S", bound=Spec)


def load(kind: Type[S], path: str | os.PathLike) -> S:
    """Read and check the YAML file `path`; a bad value is a `UserError`: file, key, the value, and what is allowed."""
    try:
        spec = kind.model_validate(read_yaml(path))
    except ValidationError as error:
        # Unknown keys first: they are often a missing key misspelt.
        raise UserError(f"{path}: {first_fault(error, lambda one: _wrong(kind, one), 'extra_forbidden')}")
    spec._label = str(path)
    return spec


def _wrong(kind: Type[Spec], fault: Mapping[str, Any]) -> str:
    """The message for an error that pydantic found in `kind`."""
    fixed = {"missing": "is missing", "too_short": "names nothing", "string_unicode": "has text that is not Unicode"}
    if fault["type"] in fixed:
        return fixed[fault["type"]]
    if fault["type"] == "literal_error":
        allowed = fault["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
        return f"{value_text(fault['input'])} is not one of {allowed}"
    if fault["type"] not in ("extra_forbidden", "invalid_key"):
        return fault["msg"]
    *parents, key = fault["loc"]
    for parent in (name for name in parents if isinstance(name, str)):
        kind = get_args(kind.model_fields[parent].annotation)[0]
    known = [field.alias or name for name, field in kind.model_fields.items()]
    return f"is not known here{did_you_mean(str(key), known)}; known are {', '.join(known)}"


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases: a few lines of them can expand to more than any memory holds."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not taken; write the value out", mark)
        return super().compose_node(parent, index)


def read_yaml(path: str | os.PathLike) -> Any:
    """The content of the YAML file `path`."""
    path = Path(path)
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise UserError(f"{path}: is larger than {_LARGEST_FILE} bytes; give the YAML that describes the input")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})")
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not a text file in UTF-8; give the YAML that describes the input")
    try:
        return yaml.load(text, _PlainLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}: is not YAML{where} ({getattr(error, 'problem', None) or 'cannot be parsed'})")
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is not YAML that can be used ({one_line(str(error), 80)})")
