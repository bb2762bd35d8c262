"""What a user wants of a program's inputs and outputs: their types, the order of an image's axes, what pixels mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Dict, Mapping, Sequence, Tuple

from .errors import UserError, did_you_mean
from .exact import exact_number, positive_number
from .naming import shown

INPUT_TYPES = ("float", "int8", "int16", "uint8")
OUTPUT_TYPES = ("float", "int8", "int16")
LAYOUTS = ("NCHW", "NHWC")
# The ONNX name of a port stands before the value; without one the value is for all ports.
ALL = ""


@dataclass(frozen=True)
class PortOptions:
    """input_types, output_types, input_layouts, output_layouts: ONNX name of a port, or `ALL`, -> what it is to be

    scale, mean, std: of uint8 inputs: a byte b of channel c is float32((b * scale - mean[c]) / std[c]) to the model;
        mean and std have one value or one for each channel
    output_exponents: name of an output -> the largest exponent of an int8 output of int16 values: what is beyond its
        range becomes its limits, for whom the rest matters more
    layouts_if_possible: an input that cannot have its layout keeps that of the model
    """

    input_types: Mapping[str, str] = field(default_factory=dict)
    output_types: Mapping[str, str] = field(default_factory=dict)
    input_layouts: Mapping[str, str] = field(default_factory=dict)
    output_layouts: Mapping[str, str] = field(default_factory=dict)
    scale: Fraction = Fraction(1)
    mean: Tuple[Fraction, ...] = (Fraction(0),)
    std: Tuple[Fraction, ...] = (Fraction(1),)
    output_exponents: Mapping[str, int] = field(default_factory=dict)
    layouts_if_possible: bool = False

    @property
    def given_pixels(self) -> bool:
        """Whether it is said what pixels mean."""
        return (self.scale, self.mean, self.std) != (1, (0,), (1,))

    def check_names(self, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """Refuse options for ports that the model does not have."""
        for option, given, names in (
            ("--input_type", self.input_types, inputs),
            ("--input_layout", self.input_layouts, inputs),
            ("--output_type", self.output_types, outputs),
            ("--output_layout", self.output_layouts, outputs),
        ):
            for name in given:
                if name != ALL and name not in names:
                    listed = ", ".join(f"'{shown(one, 30)}'" for one in names[:8])
                    kind = "output" if option.startswith("--output") else "input"
                    near = did_you_mean(name, names)
                    raise UserError(f"{option}: the model has no {kind} '{shown(name)}'{near} (it has {listed})")


def read_port_options(
    input_type: Sequence[str] = (),
    output_type: Sequence[str] = (),
    input_layout: Sequence[str] = (),
    output_layout: Sequence[str] = (),
    input_scale: str = "",
    input_mean: str = "",
    input_std: str = "",
) -> PortOptions:
    """The options as they are typed: VALUE for all ports or NAME=VALUE, and numbers with commas between."""
    types = _by_name("--input_type", input_type, INPUT_TYPES)
    for option, text in (("--input_scale", input_scale), ("--input_mean", input_mean), ("--input_std", input_std)):
        if text and "uint8" not in types.values():
            raise UserError(f"{option}: says what pixels mean, and no input is to be uint8; add --input_type uint8")
    mean = _numbers("--input_mean", input_mean or "0", exact_number)
    std = _numbers("--input_std", input_std or "1", positive_number)
    if len(mean) != len(std) and 1 not in (len(mean), len(std)):
        raise UserError(f"--input_mean has {len(mean)} numbers and --input_std {len(std)}; give one for each channel")
    count = max(len(mean), len(std))
    mean, std = (each * count if len(each) == 1 else each for each in (mean, std))
    return PortOptions(
        types,
        _by_name("--output_type", output_type, OUTPUT_TYPES),
        _by_name("--input_layout", input_layout, LAYOUTS),
        _by_name("--output_layout", output_layout, LAYOUTS),
        _numbers("--input_scale", input_scale or "1", positive_number)[0],
        mean,
        std,
    )


def _by_name(option: str, given: Sequence[str], allowed: Sequence[str]) -> Dict[str, str]:
    found: Dict[str, str] = {}
    for text in given:
        name, _, value = text.rpartition("=")
        if value not in allowed:
            near = did_you_mean(value, allowed)
            raise UserError(f"{option} {shown(text, 60)}: '{shown(value, 40)}' is none of {', '.join(allowed)}{near}")
        if found.get(name, value) != value:
            raise UserError(f"{option}: is {found[name]} and {value} for the same port; give it once")
        found[name] = value
    return found


def _numbers(option: str, text: str, read) -> Tuple[Fraction, ...]:
    try:
        return tuple(read(part.strip()) for part in text.split(","))
    except ValueError as error:
        raise UserError(f"{option} {shown(text, 60)}: {error}")


__all__ = ["ALL", "INPUT_TYPES", "LAYOUTS", "OUTPUT_TYPES", "PortOptions", "read_port_options"]
