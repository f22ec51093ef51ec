"""`cae convert`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cae_cli.contract_options import fields_of, takes_contract_fields
from cae_cli.options import ContractText, Json, LimitsText, Trusted, print_json
from cae_cli.progress import interruptible, progress_bar
from cae_cli.streams import complain, say
from cae_core.foreign_text import visible
from cae_core.progress import detail

if TYPE_CHECKING:
    from cae_converters.conversion import Conversion

__all__ = ["run"]


@takes_contract_fields
def run(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="The model: a .keras, .h5, .pt2 or .onnx file, or a SavedModel folder.")
    ],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The result: an .onnx or .pt2 file.")],
    *,
    contract: ContractText = None,
    data: Annotated[
        str | None, typer.Option(help="Real images for the comparison: digits, or the path of a data set.")
    ] = None,
    split: Annotated[str, typer.Option(help="Part of the data: train, test or all.")] = "test",
    allow_lambda: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Run the code of this Lambda layer; for your own files only. Repeatable."),
    ] = None,
    trusted: Trusted = False,
    limits: LimitsText = "",
    json: Json = False,
    **fields: str | None,
) -> None:
    """Convert a model, and compare the result with the original.

    Example: cae convert mine.keras mine.onnx --data cifar-10-batches-py

    Keras, SavedModel and torch (.pt2) become ONNX; Keras, SavedModel and ONNX become torch; ONNX becomes ONNX with its
    contract inside. The result takes images in [0, 1]: range, normalisation, channel order and class map become part
    of its graph. Answers and input gradients are compared on random images and on those of --data; a result that
    differs is not written. The conversion runs in a process of its own, unless the file is --trusted.
    """
    from cae_backends.datasets import open_data
    from cae_core.containment.limits import parse_limits
    from cae_core.opening.stating import stated_contract

    lambdas, limited = allow_lambda or (), parse_limits(limits)
    given = stated_contract(str(source), contract, fields_of(fields), trusted=trusted, limits=limited)
    with interruptible(), progress_bar() as progress:
        detail(progress, "reading", str(source) if data is None else data)
        images = None if data is None else open_data(data, split=split)
        if trusted:
            from cae_converters.conversion import convert

            done = convert(
                source, target, contract=given, data=images, allow_lambda=lambdas, trusted=True, progress=progress
            )
        else:
            from cae_converters.contained import convert_foreign

            done = convert_foreign(
                source, target, contract=given, data=images, allow_lambda=lambdas, limits=limited, progress=progress
            )
    if json:
        print_json(done, "convert")
    else:
        _show(done)


def _show(done: "Conversion") -> None:
    from cae_cli.render import print_rows

    rows = [
        [
            parity.runtime,
            f"{parity.images} ({parity.count})",
            f"{parity.outputs:.1e}",
            "–" if parity.gradients is None else f"{parity.gradients:.1e}",
        ]
        for parity in done.parities
    ]
    say(f"{visible(str(done.path))}: written")
    print_rows(["run by", "images", "outputs differ by#", "gradients, relative#"], rows)
    for sentence in done.unchecked:
        complain(sentence)
