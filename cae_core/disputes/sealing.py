"""Sealing a claim, from file to files: what `cae seal` does, and a script may do as well."""

import dataclasses
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cae_core.calibration.calibrated import load_calibrated
from cae_core.disputes.seal import Opening, Seal, make_opening
from cae_core.errors import OverwriteError, VerdictError
from cae_core.files.exclusion import exclusive
from cae_core.files.outputs import RECORD, check_output
from cae_core.files.records import as_json, read_record, readable_json
from cae_core.files.storage import creating, write_new
from cae_core.paths import StrPath
from cae_core.statistics.score import Score

__all__ = ["Sealed", "opening_of", "seal_file", "signature_of"]


@dataclass(frozen=True)
class Sealed:
    """A seal and where it was written.

    Attributes:
        seal: what is published.
        opening: what is kept secret until there is a dispute.
        path: of the seal; its very bytes are what is to be dated.
        opening_path: of the opening.
        unopened: the suffix of the source's file where it is a form that a judge will not open, because opening it runs
            code; else empty.
    """

    seal: Seal
    opening: Opening
    path: Path
    opening_path: Path
    unopened: str = ""


def opening_of(seal: Path) -> Path:
    """Return where the opening of a seal is kept: ``seal.opening.json`` beside ``seal.json``."""
    return seal.with_suffix(".opening.json")


def signature_of(seal: Path) -> Path:
    """Return where the signature of a seal is kept: ``seal.sig.json`` beside ``seal.json``."""
    return seal.with_suffix(".sig.json")


def seal_file(
    fingerprint: StrPath,
    output: StrPath,
    *,
    fpr: float | None = None,
    max_queries: int | None = None,
    claimant: str = "",
    attest: Callable[[Path], None] | None = None,
) -> Sealed:
    """Seal a claim with the fingerprint in a file.

    Deciding score and rate are those of its calibration, where it has one. The seal is the last file that is written.
    So an opening without a seal is of a run that was killed: its seal is made from it if the claim is the same, and an
    opening is never replaced, since a seal may have been published and moved. Of several runs at once one seals.

    Args:
        fingerprint: the fingerprint's file.
        output: file for the seal; the opening is written beside it, with mode 0600.
        fpr: rate of false accusations; None: the calibration's, otherwise 0.05.
        max_queries: largest number of images that a suspect may be asked.
        claimant: name of the claimant.
        attest: called with a file of the seal's bytes before ``output`` is there: whatever it writes is complete
            wherever there is a seal.

    Raises:
        OptionError: the seal would take the place of something else; see `check_output`.
        VerdictError: a seal, or the opening of another claim, is there already: without its opening a seal is worth
            nothing.
        CaeError: see `load_calibrated` and `make_opening`.
    """
    output = Path(output)
    for path in (output, opening_of(output)):
        check_output(path, RECORD, inputs=[Path(fingerprint)])
    subject = load_calibrated(fingerprint)
    loaded, calibration = subject.fingerprint, subject.calibration
    if loaded.query_log is not None:
        raise VerdictError(
            f"{fingerprint}: a fingerprint of a query log cannot be sealed: a judge makes examples of his own from the "
            "source, and has no log. Seal one of the source's own examples."
        )
    opening = make_opening(
        loaded,
        score=Score.CAEACC if calibration is None else calibration.score,
        fpr=fpr if fpr is not None else 0.05 if calibration is None else calibration.fpr,
        max_queries=max_queries,
        claimant=claimant,
    )
    opening_path = opening_of(output)
    with exclusive(output):
        if output.exists():
            raise VerdictError(_there_already(output))
        opening = _kept_opening(opening, opening_path)
        seal = opening.seal()
        with _once(output), creating(output) as draft:
            draft.write_bytes(readable_json(seal))
            if attest is not None:
                attest(draft)
    return Sealed(seal, opening, output, opening_path, unopened=str(loaded.generation["source"].get("form", "")))


def _kept_opening(opening: Opening, path: Path) -> Opening:
    """Write ``opening``, or return the one of the same claim that a killed run has left without a seal."""
    if not path.exists():
        with _once(path):
            write_new(path, readable_json(opening), mode=0o600)
        return opening
    kept = read_record(path)
    same = dataclasses.replace(opening, salt=str(kept.get("salt")), tool=str(kept.get("tool")))
    if as_json(same) != kept:
        raise VerdictError(
            f"{path}: there is the opening of another claim without its seal, and an opening is never replaced. Name "
            "another --output, or delete it if its seal was never published."
        )
    return same


@contextmanager
def _once(path: Path) -> Generator[None]:
    """Say what it means where somebody else has written ``path`` in between."""
    try:
        yield
    except OverwriteError as error:
        raise VerdictError(_there_already(path)) from error


def _there_already(path: Path) -> str:
    return f"{path}: there is a seal already, and a seal without its own opening proves nothing. Name another --output."
