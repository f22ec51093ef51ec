"""`cae contract`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cae_cli.options import DeviceName, Json, LimitsText, Trusted, print_json
from cae_cli.progress import interruptible, progress_bar
from cae_cli.streams import say
from cae_core.foreign_text import visible
from cae_core.progress import detail, stage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cae_core.contract_search.found import ContractFound

__all__ = ["run"]

_ROWS = 12
"""Candidates that a table shows; the written file and --json have all."""


def run(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Path of the model whose contract is to be found.")],
    *,
    data: Annotated[str, typer.Option(help="Labelled images of the model's task: digits, or the path of a data set.")],
    split: Annotated[str, typer.Option(help="Part of the data: train, test or all.")] = "test",
    fingerprint: Annotated[
        Path | None,
        typer.Option("--fingerprint", "-f", help="A fingerprint whose examples and benign images must not be asked."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File for the contract; default: NAME.toml beside the model.")
    ] = None,
    images: Annotated[int, typer.Option(min=20, help="Ask at most this many images.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Random seed for the choice of the images.")] = 0,
    trusted: Trusted = False,
    limits: LimitsText = "",
    device: DeviceName = "auto",
    json: Json = False,
) -> None:
    """Find out which input a model file expects, by its accuracy on labelled images, and write that down.

    Example: cae contract model.onnx --data cifar-10-batches-py

    All layouts, ranges, usual normalisations, channel orders and outputs that the model's tensors allow are tried on 20
    images. Those that are left are tried on 100, 200, 500, 2000 and 10000 images, as far as needed. A contract is
    dropped if it is significantly less accurate than another one on the same images (McNemar's exact test; 1 % for
    all comparisons together). If one contract is left, or several that give the same labels to 98 % of the images, it
    is written. Otherwise nothing is written, and the contracts that are left are named.

    The exit code is 1 if nothing was written.
    """
    from cae_backends.datasets import open_data
    from cae_core.containment.limits import parse_limits
    from cae_core.contract_search.of_file import contract_path, find_contract, write_contract
    from cae_core.errors import OverwriteError

    place = output or contract_path(model)
    if place.exists() or place.is_symlink():  # before anything takes long
        raise OverwriteError(f"{place}: there is a file already. Name another one (--output), or move it away.")
    with interruptible(), progress_bar() as progress:
        detail(progress, "reading", data)
        labelled = open_data(data, split=split)
        found = find_contract(
            model,
            labelled,
            taken=_taken(fingerprint),
            count=images,
            seed=seed,
            device=device,
            trusted=trusted,
            named_by_user=True,
            limits=parse_limits(limits),
            progress=stage(progress, "asking"),
        )
    if found.contract is not None:
        write_contract(found, place)
    if json:
        print_json(found, "contract")
    else:
        _show(found, place, contract_path(model))
    if found.contract is None:
        raise typer.Exit(1)


def _taken(fingerprint: Path | None) -> "NDArray[np.uint8] | None":
    if fingerprint is None:
        return None
    import numpy as np

    from cae_core.fingerprint.file import load_fingerprint

    known = load_fingerprint(fingerprint)
    return np.concatenate([known.images, known.probe_images])


def _show(found: "ContractFound", place: Path, beside: Path) -> None:
    from cae_cli.render import print_rows

    rows = [
        [one.words, "" if not one.images else f"{one.accuracy:.3f}", str(one.images or ""), one.state]
        for one in found.tried[:_ROWS]
    ]
    print_rows(["candidate", "accuracy#", "images#", ""], rows)
    further = len(found.tried) - len(rows)
    if further:
        say(f"and {further} more candidates")
    if found.contract is None:
        say(f"Nothing was written. {visible(found.why)}")
    else:
        how = "`cae verify` finds it there" if place == beside else f"give it to `cae verify` with --contract {place}"
        say(visible(f"{place}: written; {how}."))
