"""The options that state single fields of a contract, for every command that takes ``--contract``."""

from collections.abc import Callable, Mapping
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, TypeVar

import typer

__all__ = ["fields_of", "takes_contract_fields"]

_Function = TypeVar("_Function", bound=Callable[..., None])

_PANEL = "Fields of the model's contract"

_NUMBERS = ("range", "size", "mean", "std", "classes")
"""The fields that are lists of numbers."""

_FIELDS: dict[str, tuple[str, str]] = {
    "layout": ("NAME", "Layout of the input: NHWC, NCHW, HW, FLAT or FLAT_NCHW."),
    "range": ("BLACK,WHITE", "The values of black and white, such as 0,1 or 0,255 or -1,1."),
    "output": ("NAME", "What the output means: logits, probabilities or labels."),
    "channels": ("NAME", "Order of the channels: RGB, BGR or GRAY."),
    "size": ("HEIGHT,WIDTH", "Size of the model's images."),
    "resize": (
        "RULE",
        "Rule of resizing to that size: nearest, bilinear, bicubic, bilinear-antialias or bicubic-antialias.",
    ),
    "dtype": ("NAME", "Type of the input: float32, float16, float64, uint8, int8, uint16, int16, int32 or int64."),
    "mean": ("NUMBER,...", "Mean to subtract, in the units of the range; one number, or one for each channel."),
    "std": ("NUMBER,...", "Deviation to divide by, in the units of the range; one number, or one for each channel."),
    "scale": ("NUMBER", "Scale of a quantised input."),
    "zero_point": ("NUMBER", "Zero point of a quantised input."),
    "classes": ("NUMBER,...", "The data set's class for each output; -1 means none."),
    "class_names": ("NAME,...", "The names of the outputs, as the data set spells them."),
    "input": ("NAME", "Name of the input tensor."),
    "output_name": ("NAME", "Name of the output tensor."),
}


def takes_contract_fields(run: _Function) -> _Function:
    """Show Typer an option for each field, in the place of the ``**fields`` of a command's function."""
    own = [p for p in signature(run).parameters.values() if p.kind is not p.VAR_KEYWORD]
    place = next(i for i, parameter in enumerate(own) if parameter.name == "contract") + 1
    options = [_option(name, metavar, words) for name, (metavar, words) in _FIELDS.items()]
    run.__dict__["__signature__"] = Signature([*own[:place], *options, *own[place:]])
    return run


def _option(name: str, metavar: str, words: str) -> Parameter:
    option = typer.Option(f"--{name.replace('_', '-')}", metavar=metavar, help=words, rich_help_panel=_PANEL)
    return Parameter(name, Parameter.KEYWORD_ONLY, annotation=Annotated[str | None, option], default=None)


def fields_of(options: Mapping[str, str | None]) -> dict[str, Any]:
    """Return the fields that were given, as TOML would hold them.

    Example:
        >>> fields_of({"range": "0,255", "layout": "NHWC", "mean": None, "class_names": "cat, dog", "scale": "0.5"})
        {'range': [0.0, 255.0], 'layout': 'NHWC', 'class_names': ['cat', 'dog'], 'scale': 0.5}

    Raises:
        BadParameter: a number is none.
    """
    return {name: _value(name, text) for name, text in options.items() if text is not None}


def _value(name: str, text: str) -> Any:  # noqa: ANN401 - the fields have different types
    parts = [part.strip() for part in text.split(",")]
    if name == "class_names":
        return parts
    if name not in (*_NUMBERS, "scale", "zero_point"):
        return text
    whole = name in ("size", "classes", "zero_point")
    try:
        numbers = [(int if whole else float)(part) for part in parts]
    except ValueError as error:
        wanted = "whole numbers" if whole else "numbers"
        raise typer.BadParameter(
            f"expected {wanted}, separated by commas, such as {_FIELDS[name][0]}; found {text!r}",
            param_hint=f"--{name.replace('_', '-')}",
        ) from error
    return numbers if name in _NUMBERS else numbers[0]
