"""Options that several commands share, and how their texts are read."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cae_cli.completion import completing

__all__ = [
    "ContractText",
    "DeviceName",
    "FingerprintPath",
    "Json",
    "LimitsText",
    "Trusted",
    "parse_eps",
    "parse_nonce",
    "print_json",
]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
DeviceName = Annotated[
    str,
    typer.Option(
        "--device",
        help="Device on which models run: auto, cpu, cuda or cuda:N.",
        autocompletion=completing("auto", "cpu", "cuda"),
    ),
]
ContractText = Annotated[
    str | None,
    typer.Option(
        "--contract",
        help="The model's contract, if its file has none: a TOML file, or inline, such as "
        '\'layout="NHWC", range=[0,255], output="labels"\'; single fields by the options below.',
    ),
]
Trusted = Annotated[
    bool,
    typer.Option(
        "--trusted",
        help="The named model files are your own: run them in this process, and also open forms whose opening runs the "
        "code in them (.pt2).",
    ),
]
LimitsText = Annotated[
    str,
    typer.Option(
        "--limits",
        metavar="NAME=NUMBER,...",
        help="Limits of the process for models that are not your own: seconds for each question, memory such "
        "as 8GB, threads. Default: by the model's size.",
    ),
]
FingerprintPath = Annotated[
    Path,
    typer.Option("--fingerprint", "-f", envvar="CAE_FINGERPRINT", help="The fingerprint file."),
]


def parse_eps(text: str) -> float:
    """Read a fraction or a decimal, such as ``8/255`` or ``0.03``."""
    from fractions import Fraction

    try:
        return float(Fraction(text.strip()))
    except (ValueError, ZeroDivisionError) as error:
        raise typer.BadParameter(f"expected a fraction or a decimal, such as 8/255 or 0.03; found {text!r}") from error


def parse_nonce(text: str) -> bytes:
    """Read hexadecimal digits."""
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise typer.BadParameter(f"expected an even number of hexadecimal digits; found {text!r}") from error


def print_json(value: object, output: str) -> None:
    """Print one JSON object on stdout: indented for a person, on one line (and faster) for a program.

    All of it is ASCII, so that a program can read it whatever the encoding of the console.

    Args:
        value: see `as_json`.
        output: its name among the outputs, see `cae_cli.outputs`.
    """
    from cae_cli.outputs import numbered
    from cae_core.files.records import ascii_json

    typer.echo(ascii_json(numbered(value, output), indent=2 if sys.stdout.isatty() else None))
