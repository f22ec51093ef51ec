"""Converting a file that is not one's own: all of it in a child process, which hands over what it has written.

The child writes into a temporary folder, whose file is taken by its content: what it is called, and where it goes, the
parent has fixed.
"""

import dataclasses
import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_converters.conversion import REAL, Conversion, check_suffixes, convert
from cae_converters.parity import Parity
from cae_core.containment.child import Answer, Child
from cae_core.containment.frames import BadFrame, readable
from cae_core.containment.limits import GENEROUS, Limits
from cae_core.containment.starting import born_as_program
from cae_core.contract import Contract
from cae_core.dataset import ImageSet
from cae_core.errors import CaeError, ModelError, renaming
from cae_core.files.storage import replacing
from cae_core.opening.opened import check_consent
from cae_core.opening.party import files_to_read, lock_child, start_child
from cae_core.opening.serving import Server, Told, contract_table, told_contract
from cae_core.progress import Progress, silent

__all__ = ["convert_foreign", "main"]

_TIMES_OPENING = 5.0
"""A conversion opens the original and the result, in two runtimes each, and compares them."""


def main(parent: int, main_thread: int) -> None:
    """Be a fresh interpreter's program; see `run_program`."""
    _Converter(born_as_program(parent, main_thread=bool(main_thread))).run()


class _Converter(Server):
    """What a child process is asked that converts."""

    def do_convert(self, header: Mapping[str, Any], arrays: Sequence[NDArray[Any]]) -> Told:
        """Convert a file into the temporary folder."""
        rest = list(arrays)
        contract = told_contract(header["contract"], rest.pop(0) if header["mean"] else None, header["spec"])
        names = tuple(header["classes"])
        data = ImageSet(rest[0], rest[1], names, header["data"]) if rest else None
        done = convert(
            Path(header["spec"]),
            Path(header["target"]),
            contract=contract,
            data=data,
            allow_lambda=tuple(header["lambdas"]),
        )
        told = {
            "contract": contract_table(done.contract),
            "parities": [dataclasses.asdict(parity) for parity in done.parities],
            "unchecked": list(done.unchecked),
        }
        return told, ()


def convert_foreign(
    source: Path,
    target: Path,
    *,
    contract: Contract | None = None,
    data: ImageSet | None = None,
    allow_lambda: Sequence[str] = (),
    limits: Limits = GENEROUS,
    progress: Progress = silent,
) -> Conversion:
    """Convert a model file in a process of its own; see `convert`.

    Args:
        source: see `convert`.
        target: likewise.
        contract: likewise.
        data: likewise; a few images of it travel.
        allow_lambda: likewise; their code runs in that process.
        limits: of that process.
        progress: told when it begins and ends.

    Raises:
        ModelError: as of `convert`, or the process ends.
        CaeError: as of `convert`.
    """
    check_suffixes(source, target)
    check_consent(source, trusted=False)
    progress("converting", 0, 3)
    files = files_to_read(str(source))
    size = sum(file.stat().st_size for file in files if file.is_file())
    child = start_child(__name__, limits=limits, scratch=True)
    try:
        memory = limits.bytes_of_memory(size, gradients=True)
        layers = lock_child(child, files, memory=memory, threads=limits.threads, device="cpu", origin=str(source))
        if layers is None or child.scratch is None:
            raise ModelError(f"{source}: the process for the conversion did not start as expected.")
        made = child.scratch / f"made{target.suffix.lower()}"
        given = (contract, data, allow_lambda)
        done = _asked(child, (source, made, target), given, seconds=_TIMES_OPENING * limits.opening_seconds(size))
        with replacing(target) as draft:
            _take(made, draft, source, memory)
    finally:
        child.end()
    progress("converting", 3, 3)
    return done


def _asked(
    child: Child,
    paths: tuple[Path, Path, Path],
    given: tuple[Contract | None, ImageSet | None, Sequence[str]],
    *,
    seconds: float,
) -> Conversion:
    (source, made, target), (contract, data, lambdas) = paths, given
    some = None
    if data is not None:  # those that the comparison would choose; it then has no others
        some = data.subset(np.sort(np.random.default_rng(0).permutation(len(data))[:REAL]))
    mean = None if contract is None else contract.mean_image
    header = {
        "do": "convert",
        "spec": str(source),
        "target": str(made),
        "contract": None if contract is None else contract_table(contract),
        "mean": mean is not None,
        "lambdas": list(lambdas),
        "classes": [] if some is None else list(some.class_names),
        "data": "" if some is None else some.name,
    }
    arrays = [array for array in (mean, *(() if some is None else (some.images, some.labels))) if array is not None]
    with renaming({str(made): str(target)}):  # it has gone by the time that a message is read
        return child.ask(
            header,
            arrays,
            seconds=seconds,
            origin=str(source),
            read=lambda answer: _conversion(answer, target),
        )


def _conversion(answer: Answer, target: Path) -> Conversion:
    """Return what a child says of its work.

    Raises:
        BadFrame: it says what cannot be.
    """
    told = answer.header
    try:
        contract = told_contract(told["contract"], None, str(target))
        parities = tuple(_parity(parity) for parity in told["parities"])
        unchecked = tuple(readable(sentence) for sentence in told["unchecked"])
    except (CaeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise BadFrame("a malformed description") from error
    if contract is None or len(parities) > 100 or len(unchecked) > 100:
        raise BadFrame("a malformed description")
    return Conversion(target, contract, parities, unchecked)


def _parity(told: Mapping[str, Any]) -> Parity:
    return Parity(
        runtime=readable(told["runtime"], longest=100),
        images=readable(told["images"], longest=100),
        count=int(told["count"]),
        outputs=float(told["outputs"]),
        scale=float(told["scale"]),
        gradients=None if told["gradients"] is None else float(told["gradients"]),
    )


def _take(made: Path, draft: Path, source: Path, most: int) -> None:
    """Copy what the child has made, if it is a file."""
    try:
        descriptor = os.open(made, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise ModelError(f"{source}: the conversion made no file. Convert it again.") from error
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_size > most:
        os.close(descriptor)
        raise ModelError(f"{source}: the conversion made a file that is no model. Use another model file.")
    with os.fdopen(descriptor, "rb") as file, draft.open("wb") as copy:
        shutil.copyfileobj(file, copy)
