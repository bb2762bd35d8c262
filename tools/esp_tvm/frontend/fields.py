"""Reading the YAML that describes a front end; every complaint about such a file is made here."""

from __future__ import annotations

import os
import re
from fractions import Fraction
from pathlib import Path
from typing import Any, List, Optional, Sequence, Tuple

import yaml

from ..errors import UserError
from ..naming import one_line, shown

_MISSING = object()
_LARGEST_FILE = 1 << 20


class Fields:
    """The keys of one mapping, each taken once with a check; `done` refuses what nobody took.

    Bad values raise `UserError` with one line: file, key, the value, and what is allowed.
    """

    def __init__(self, label: str, values: Any, prefix: str = ""):
        if not isinstance(values, dict):
            what = f"'{prefix[:-1]}' is" if prefix else "the file is"
            raise UserError(f"{label}: {what} not a list of 'key: value' lines")
        self.label, self._prefix = label, prefix
        self._values = dict(values)
        self._known: List[str] = []

    def fail(self, key: str, why: str) -> UserError:
        """The error to raise about `key`."""
        return UserError(f"{self.label}: {self._prefix}{key}: {why}")

    def raw(self, key: str, default: Any = _MISSING) -> Any:
        """The value as YAML has it; without a default the key must be there."""
        if key not in self._known:
            self._known.append(key)
        value = self._values.pop(key, _MISSING)
        if value is not _MISSING:
            return value
        if default is _MISSING:
            raise self.fail(key, "is missing")
        return default

    def has(self, key: str) -> bool:
        """Whether the file has `key`; a key that may be there is known from then on."""
        self._known.append(key)
        return key in self._values

    def whole(self, key: str, low: int, high: int, default: Any = _MISSING) -> int:
        """A whole number from `low` to `high`."""
        value = self.raw(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.fail(key, f"{_text(value)} is not a whole number from {low} to {high}")
        return value

    def number(self, key: str, default: Any = _MISSING, positive: bool = False) -> Fraction:
        """A number, exactly as written: 0.229, 1e-6, or a fraction such as 1/255."""
        return self._number(key, self.raw(key, default), positive)

    def numbers(self, key: str, count: int, default: Any = _MISSING, positive: bool = False) -> Tuple[Fraction, ...]:
        """`count` numbers, or one that stands for all of them."""
        value = self.raw(key, default)
        if not isinstance(value, list):
            return (self._number(key, value, positive),) * count
        if len(value) != count:
            raise self.fail(key, f"has {len(value)} numbers, {count} are needed (or one for all)")
        return tuple(self._number(key, item, positive) for item in value)

    def _number(self, key: str, value: Any, positive: bool) -> Fraction:
        try:
            if isinstance(value, bool) or not isinstance(value, (int, float, str, Fraction)):
                raise ValueError
            # repr: 0.229 is meant, not the binary fraction beside it.
            text = repr(value) if isinstance(value, float) else value
            if isinstance(text, str) and not _is_short(text):
                raise ValueError
            number = Fraction(text)
        except (ValueError, ZeroDivisionError, OverflowError):
            raise self.fail(key, f"{_text(value)} is not a number (0.5 and 1/255 are)")
        if abs(number) > 10**12 or (number and abs(number) < Fraction(1, 10**15)):
            raise self.fail(key, f"{_text(value)} is too large or too small to compute with")
        if positive and number <= 0:
            raise self.fail(key, f"{_text(value)} is not larger than 0")
        return number

    def choice(self, key: str, allowed: Sequence[str], default: Any = _MISSING) -> str:
        """One of the words in `allowed`."""
        value = self.raw(key, default)
        if not isinstance(value, str) or value not in allowed:
            raise self.fail(key, f"{_text(value)} is not one of {', '.join(allowed)}")
        return value

    def choices(self, key: str, allowed: Sequence[str], default: Any = _MISSING) -> Tuple[str, ...]:
        """One or more different words of `allowed`."""
        value = self.raw(key, default)
        items = value if isinstance(value, (list, tuple)) else [value]
        for item in items:
            if not isinstance(item, str) or item not in allowed:
                raise self.fail(key, f"{_text(item)} is not one of {', '.join(allowed)}")
        if not items or len(set(items)) != len(items):
            raise self.fail(key, "names nothing, or something twice")
        return tuple(items)

    def words(self, key: str) -> Tuple[str, ...]:
        """A list of different names, at least one."""
        value = self.raw(key)
        if not isinstance(value, list) or not value or not all(isinstance(item, str) and item for item in value):
            raise self.fail(key, f"{_text(value)} is not a list of names (put 'yes', 'no' and numbers in quotes)")
        if len(set(value)) != len(value):
            raise self.fail(key, "has a name twice")
        return tuple(value)

    def group(self, key: str) -> Optional[Fields]:
        """The mapping below `key`, or None."""
        value = self.raw(key, None)
        return None if value is None else Fields(self.label, value, f"{self._prefix}{key}.")

    def done(self) -> None:
        """Complain about keys that nothing has asked for."""
        for key in self._values:
            raise self.fail(shown(str(key), 40), f"is not known here; known are {', '.join(self._known)}")


def _is_short(number: str) -> bool:
    """Whether a number's text is one that people write: what 1e999999999 stands for does not fit any memory."""
    exponent = re.search(r"[eE][-+]?0*(\d+)", number)
    return len(number) <= 100 and (exponent is None or len(exponent.group(1)) <= 3)


def _text(value: Any) -> str:
    return one_line(str(value), 40) if not isinstance(value, str) else f"'{shown(value, 40)}'"


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases: a few lines of them stand for more than any memory holds."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not taken; write the value out", mark)
        return super().compose_node(parent, index)


def read_yaml(path: str | os.PathLike) -> Fields:
    """The keys of the YAML file `path`."""
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
        values = yaml.load(text, _PlainLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}: is not YAML{where} ({getattr(error, 'problem', None) or 'cannot be parsed'})")
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is not YAML that can be used ({one_line(str(error), 80)})")
    return Fields(str(path), values)
